"""The same commands for those who type `fab`:

fab -r deploy check --inventory lab.toml --hosts "gpu01 gpu02"
fab -r deploy push
"""

from __future__ import annotations

from typing import Any

from invoke.exceptions import Exit
from invoke.tasks import task

from farm.commands import deploy


def _run(command: Any, inventory: str, hosts: str, **more: Any) -> None:
    """Raises invoke's Exit with the command's exit code where that is not 0."""
    from farm.errors import FarmError

    try:
        code = command(inventory=inventory, hosts=tuple(hosts.split()), **more)()
    except (FarmError, ValueError, OSError) as error:
        raise Exit(f"farm: {error}", 2 if isinstance(error, ValueError) else 1) from None
    if code:
        raise Exit(code=code)


@task
def check(_: Any, inventory: str = "lab.toml", hosts: str = "") -> None:
    """What each machine has and lacks."""
    _run(deploy.Check, inventory, hosts)


@task
def push(_: Any, inventory: str = "lab.toml", hosts: str = "") -> None:
    """Install this version on the machines."""
    _run(deploy.Push, inventory, hosts)


@task
def start(_: Any, inventory: str = "lab.toml", hosts: str = "") -> None:
    """Start what the machines' roles ask for."""
    _run(deploy.Start, inventory, hosts)


@task
def stop(_: Any, inventory: str = "lab.toml", hosts: str = "", now: bool = False) -> None:
    """Stop all parts of the farm."""
    _run(deploy.Stop, inventory, hosts, now=now)


@task
def restart(_: Any, inventory: str = "lab.toml", hosts: str = "", now: bool = False) -> None:
    """Stop and start, with what was pushed last."""
    _run(deploy.Restart, inventory, hosts, now=now)


@task
def rollback(_: Any, inventory: str = "lab.toml", hosts: str = "") -> None:
    """Go back to the version before."""
    _run(deploy.Rollback, inventory, hosts)


@task
def status(_: Any, inventory: str = "lab.toml", hosts: str = "") -> None:
    """What runs on each machine."""
    _run(deploy.Status, inventory, hosts)


@task
def logs(
    _: Any, inventory: str = "lab.toml", hosts: str = "", lines: int = 20, follow: bool = False
) -> None:
    """What the parts said."""
    _run(deploy.Logs, inventory, hosts, lines=lines, follow=follow)
