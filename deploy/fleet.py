"""The same work on many machines at once; one that is dead keeps nobody waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from deploy.errors import HostFailed
from deploy.inventory import Host, Lab
from deploy.remote import Remote

MOST = 64  # connections at a time
JOIN_S = 0.1
DONE, FAILED = "done", "failed"  # the last step of a host

Say = Callable[[str], None]
"""Tells people what a host is at."""


@dataclass(frozen=True)
class Problem:
    """What one machine lacks, or could not do."""

    about: str
    """connection, disk, GPU, ...: a column of the table where it has one."""
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.about}: {self.what}" + (f"; {self.remedy}" if self.remedy else "")


@dataclass(frozen=True)
class Outcome:
    """How the work ended on one machine."""

    host: str
    facts: dict[str, Any] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problems


Work = Callable[[Host, Remote, Say], Outcome]
"""What is done on one machine. HostFailed that leaves it becomes a problem of that machine."""


class Show(Protocol):
    """Where people see how it goes; called from many threads."""

    def step(self, host: str, what: str) -> None: ...


class Silent:
    """Shows nothing."""

    def step(self, host: str, what: str) -> None:
        pass


def each(lab: Lab, hosts: Sequence[Host], work: Work, show: Show) -> list[Outcome]:
    """Do the work on all hosts at once: an outcome for each, in their order.

    An error that is nobody's but ours is raised when all have ended.
    """
    found: dict[str, Outcome] = {}
    broken: list[BaseException] = []
    places = threading.Semaphore(MOST)

    def one(host: Host) -> None:
        with places:
            show.step(host.name, "connecting")
            try:
                with Remote(host, lab.known_hosts, lab.connect_s) as remote:
                    outcome = work(host, remote, lambda what: show.step(host.name, what))
            except HostFailed as failed:
                problem = Problem(failed.about, failed.what, failed.remedy)
                outcome = Outcome(host.name, {}, (problem,))
            except BaseException as error:
                broken.append(error)
                return
            found[host.name] = outcome
            wrong = ", ".join(sorted({problem.about for problem in outcome.problems}))
            show.step(host.name, f"{FAILED}: {wrong}" if wrong else DONE)

    # Daemons: Ctrl-C ends this program, and what the hosts still do ends within its own time.
    threads = [threading.Thread(target=one, args=(host,), daemon=True) for host in hosts]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(JOIN_S)
    if broken:
        raise broken[0]
    return [found[host.name] for host in hosts]
