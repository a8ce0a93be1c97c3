"""What the farm's parts said on their machines, each line with the host's name in front."""

from __future__ import annotations

import threading
from collections.abc import Callable

from deploy.fleet import Outcome, Say, Show, each
from deploy.inventory import Host, Lab
from deploy.remote import Remote
from deploy.running import Machine

LOGS_S = 60


def logs(
    lab: Lab,
    hosts: tuple[Host, ...],
    show: Show,
    write: Callable[[str], None],
    *,
    lines: int,
    follow: bool,
    unit: str = "",
) -> list[Outcome]:
    """Write the last lines of every host, or, where they are followed, all as they come.

    unit: only of those with this in their name.
    """
    width = max(len(host.name) for host in hosts)
    one_at_a_time = threading.Lock()

    def one(host: Host, remote: Remote, say: Say) -> Outcome:
        machine = Machine.of(host, remote)

        def told(line: str) -> None:
            with one_at_a_time:
                write(f"{host.name:<{width}}  {line}")

        command = machine.keeping.logs(machine.place, unit, lines, follow)
        if follow:
            remote.follow(command, told)
        else:
            for line in remote.run(command, timeout_s=LOGS_S, check=False).out.splitlines():
                told(line)
        return Outcome(host.name, {"version": machine.found.current})

    return each(lab, hosts, one, show)
