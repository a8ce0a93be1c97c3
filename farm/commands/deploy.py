"""The farm on many machines: what they lack, and putting it there, by ssh."""

from __future__ import annotations

import json as json_
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import arg

if TYPE_CHECKING:
    from deploy.fleet import Outcome, Show
    from deploy.inventory import Host, Lab
    from deploy.table import Row


@dataclass(frozen=True, kw_only=True)
class OnHosts:
    """What the commands have in common."""

    inventory: str = "lab.toml"
    """The file with the machines."""
    hosts: tuple[str, ...] = ()
    """Only these: names, ranges (gpu[01-04]) or patterns (gpu*); by default all."""
    json: bool = False
    """Print one JSON object."""

    def on_hosts(
        self, work: Callable[[Lab, tuple[Host, ...], Show], list[Outcome]], row: Row
    ) -> int:
        """Do it, show how it goes and how it ended; the exit code."""
        lab, hosts = self.chosen()
        from deploy import table

        with table.show([host.name for host in hosts], plain=self.json) as show:
            outcomes = work(lab, hosts, show)
        if self.json:
            print(json_.dumps(table.facts(outcomes)))
        else:
            table.tell(outcomes, row)
        return tell(outcomes)

    def chosen(self) -> tuple[Lab, tuple[Host, ...]]:
        """The inventory, and those of its hosts that are meant. Raises ValueError."""
        import importlib.util

        if importlib.util.find_spec("fabric") is None:
            raise ValueError(
                "fabric is not installed: `uv sync --extra deploy`, or pip install "
                "'shapefarm[deploy]'"
            )
        from deploy import inventory

        lab = inventory.read(Path(self.inventory))
        return lab, lab.chosen(self.hosts)


def tell(outcomes: Sequence[Outcome]) -> int:
    """Say which hosts failed; the exit code."""
    failed = [outcome.host for outcome in outcomes if not outcome.ok]
    if failed:
        print(
            f"farm: {len(failed)} of {len(outcomes)} hosts failed: {', '.join(failed)}",
            file=sys.stderr,
        )
    return 1 if failed else 0


@dataclass(frozen=True, kw_only=True)
class Check(OnHosts):
    """What each machine has and lacks, with the remedy.

    Whether it is reached and its key known, its disk, Python, uv, GPUs and driver, its clock,
    whether it sees the same storage as the others, and whether Redis lets it in.

    farm deploy check --inventory lab.toml
    """

    def __call__(self) -> int:
        from deploy import check, table

        return self.on_hosts(check.check, table.checked)


@dataclass(frozen=True, kw_only=True)
class Push(OnHosts):
    """Install this version on the machines, beside those that are there.

    The wheel, with exactly the pins of this clone and the extras that a machine's roles need, goes
    into a folder of its own; then the link to it is flipped. What runs goes on as it was until
    `farm deploy restart`.

    farm deploy push --hosts gpu01
    """

    wheel: str | None = None
    """This wheel; by default one is built of the clone."""
    constraints: str | None = None
    """A file of exact versions; by default the pins of the clone."""

    def __call__(self) -> int:
        import tempfile

        lab, hosts = self.chosen()
        from deploy import push, release, table

        with tempfile.TemporaryDirectory(prefix="farm-wheel-") as folder:
            wheel = Path(self.wheel) if self.wheel else release.build(Path(folder))
            pins = Path(self.constraints) if self.constraints else None
            new = release.read(wheel, pins)
        if not self.json:
            print(f"shapefarm {new.version} to {len(hosts)} hosts of {lab.file}", file=sys.stderr)
        return self.on_hosts(
            lambda lab, hosts, show: push.push(lab, hosts, new, show), table.pushed
        )


@dataclass(frozen=True, kw_only=True)
class Start(OnHosts):
    """Start what each machine's roles ask for: a worker for each GPU, the controller

    Done when all of it runs and Redis has seen every worker.

    farm deploy start
    """

    def __call__(self) -> int:
        from deploy import running, table

        return self.on_hosts(running.start, table.started)


@dataclass(frozen=True, kw_only=True)
class Stopping(OnHosts):
    """What the commands have in common that stop something."""

    patience: float = 60.0
    """Seconds that workers may go on with the task they have in hand; then they hand it back."""
    now: bool = False
    """Kill them at once; their tasks are given to others when the leases run out."""

    def __post_init__(self) -> None:
        if self.patience < 0:
            raise ValueError(f"--patience {self.patience:g}: at least 0; --now waits for nothing")

    @property
    def patience_s(self) -> float:
        """As deploy.running takes it."""
        return -1.0 if self.now else self.patience


@dataclass(frozen=True, kw_only=True)
class Stop(Stopping):
    """Stop all parts of the farm on the machines, once workers are done with what they have.

    farm deploy stop --hosts gpu01
    """

    def __call__(self) -> int:
        from deploy import running, table

        return self.on_hosts(
            lambda lab, hosts, show: running.stop(lab, hosts, show, self.patience_s), table.stopped
        )


@dataclass(frozen=True, kw_only=True)
class Restart(Stopping):
    """Stop and start: what runs then is the version that was pushed last.

    farm deploy restart
    """

    def __call__(self) -> int:
        from deploy import running, table

        return self.on_hosts(
            lambda lab, hosts, show: running.restart(lab, hosts, show, self.patience_s),
            table.started,
        )


@dataclass(frozen=True, kw_only=True)
class Rollback(Stopping):
    """Go back to the version before the present one, and restart what runs.

    farm deploy rollback
    """

    def __call__(self) -> int:
        from deploy import running, table

        return self.on_hosts(
            lambda lab, hosts, show: running.rollback(lab, hosts, show, self.patience_s),
            table.started,
        )


@dataclass(frozen=True, kw_only=True)
class Status(OnHosts):
    """What runs on each machine: version, units, and the workers that Redis has seen.

    farm deploy status
    """

    def __call__(self) -> int:
        from deploy import running, table

        return self.on_hosts(running.status, table.stands)


@dataclass(frozen=True, kw_only=True)
class Logs(OnHosts):
    """What the parts of the farm said on their machines.

    farm deploy logs --hosts gpu01 --unit worker -f
    """

    lines: Annotated[int, arg(aliases=["-n"])] = 20
    """So many of each machine."""
    follow: Annotated[bool, arg(aliases=["-f"])] = False
    """Go on with what comes, until Ctrl-C."""
    unit: str = ""
    """Only of units with this in their name: controller, render, worker@render-0."""

    def __call__(self) -> int:
        import re

        if self.lines < 0 or not re.fullmatch(r"[A-Za-z0-9@._-]*", self.unit):
            raise ValueError(
                f"--lines {self.lines} --unit {self.unit!r}: a number and a part of a name"
            )
        lab, hosts = self.chosen()
        from deploy import logs, table
        from deploy.fleet import Silent

        told: list[str] = []
        write = told.append if self.json else lambda line: print(line, flush=True)
        # The lines themselves are what is shown.
        outcomes = logs.logs(
            lab, hosts, Silent(), write, lines=self.lines, follow=self.follow, unit=self.unit
        )
        if self.json:
            print(json_.dumps({**table.facts(outcomes), "lines": told}))
        for line in table.problems(outcomes):
            print(line, file=sys.stderr)
        return tell(outcomes)


@dataclass(frozen=True, kw_only=True)
class Redis:
    """Write what a lab's Redis needs: its configuration, its users, and their passwords.

    redis-server DIR/redis.conf runs it; [redis] in lab.toml names DIR/secrets as passwords.
    Written again, passwords stay as they are.

    farm deploy redis --out redis --bind 10.0.0.5 127.0.0.1
    """

    out: str
    """Folder to write to."""
    bind: tuple[str, ...] = ("127.0.0.1",)
    """Addresses it listens at."""
    port: int = 6379
    """Port it listens at."""
    roles: tuple[str, ...] = ()
    """Further roles: those of your own job kinds."""
    server_version: str | None = None
    """Of the Redis that will read it, such as 7.0; by default this machine's."""
    tls_certificate: Path | None = None
    """Of the server, for rediss://; as it lies on the server."""
    tls_key: Path | None = None
    """Its key."""

    def __call__(self) -> int:
        from deploy import redis

        files = redis.write(
            Path(self.out),
            bind=self.bind,
            port=self.port,
            roles=(*redis.ROLES, *self.roles),
            server=_version(self.server_version),
            tls=_tls(self.tls_certificate, self.tls_key),
        )
        folder = Path(self.out)
        print(f"redis-server {folder / 'redis.conf'}   starts it")
        print(f"{folder / 'secrets'}   has the passwords of {', '.join(files)}")
        return 0


def _version(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split("."))
    except ValueError:
        raise ValueError(f"--server-version {text}: numbers such as 7.0 are wanted") from None


def _tls(certificate: Path | None, key: Path | None) -> Any:
    from deploy import redis

    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise ValueError("--tls-certificate and --tls-key go together")
    return redis.Tls(certificate=certificate, key=key)


COMMANDS = {
    "deploy": {
        "check": Check,
        "push": Push,
        "start": Start,
        "stop": Stop,
        "restart": Restart,
        "status": Status,
        "logs": Logs,
        "rollback": Rollback,
        "redis": Redis,
    }
}
