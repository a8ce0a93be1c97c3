"""What may happen to a farm, as things that one can do to a lab and undo again."""

from __future__ import annotations

import contextlib
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from tests.lab.hosts import Host
from tests.lab.room import Room


@dataclass(frozen=True)
class Fault:
    """One fault to be.

    seconds   how long it lasts
    suffer    the workers that it takes away, by name
    happen    begins it; the function it returns ends it
    """

    kind: str
    what: str
    seconds: float
    suffer: tuple[str, ...]
    happen: Callable[[], Callable[[], None]]


@dataclass(frozen=True)
class Lengths:
    """How long faults last, in seconds: least and most."""

    cut: tuple[float, float] = (5, 60)
    off: tuple[float, float] = (1, 20)
    down: tuple[float, float] = (0, 5)
    full: tuple[float, float] = (5, 20)
    stopped: tuple[float, float] = (17, 25)  # longer than the lease, 15 s


def draw(kind: str, room: Room, rng: random.Random, lengths: Lengths) -> Fault:
    """A fault of a kind: whom it meets and how long it lasts, by chance. Raises LookupError when
    there is nobody it could meet."""
    host, slot = rng.choice(room.lab.hosts), rng.randrange(room.workers)
    of_host = tuple(room.name(host, slot) for slot in range(room.workers))
    of_all = room.names()

    def lasting(bounds: tuple[float, float]) -> float:
        return rng.uniform(*bounds)

    match kind:
        case "cut":
            return Fault(kind, host.name, lasting(lengths.cut), of_host, lambda: _cut(host))
        case "power":
            return Fault(kind, host.name, lasting(lengths.off), of_host, lambda: _power(host))
        case "server":
            server = room.lab.server
            return Fault(
                kind, server.name, lasting(lengths.off), of_all, lambda: _server(room, server)
            )
        case "redis":
            return Fault(kind, "server", lasting(lengths.down), of_all, lambda: _redis(room))
        case "controller":
            home, process = room.controller()
            return Fault(kind, home.name, 0.0, of_all, lambda: _kill(process))
        case "disk":
            return Fault(kind, host.name, lasting(lengths.full), of_host, lambda: _disk(host))
        case "server disk":
            server = room.lab.server
            return Fault(kind, server.name, lasting(lengths.full), of_all, lambda: _disk(server))
        case "stop worker":
            process, name = room.worker(host, slot), room.name(host, slot)
            return Fault(kind, name, lasting(lengths.stopped), (name,), lambda: _stop(process))
        case "stop child":
            process, name = _child(room.worker(host, slot)), room.name(host, slot)
            return Fault(kind, name, lasting(lengths.stopped), (name,), lambda: _stop(process))
        case "stop redis":
            process = room.redis()
            return Fault(kind, "server", lasting(lengths.stopped), of_all, lambda: _stop(process))
        case "stop controller":
            home, process = room.controller()
            return Fault(kind, home.name, lasting(lengths.stopped), of_all, lambda: _stop(process))
    raise ValueError(f"no fault {kind!r}; there are {', '.join(KINDS)}")


KINDS = (
    "cut", "power", "server", "redis", "controller", "disk", "server disk",
    "stop worker", "stop child", "stop controller", "stop redis",
)  # fmt: skip


def _cut(host: Host) -> Callable[[], None]:
    host.cut()
    return host.mend


def _power(host: Host) -> Callable[[], None]:
    host.kill()
    return host.boot


def _server(room: Room, server: Host) -> Callable[[], None]:
    server.kill()

    def back() -> None:
        server.boot()
        room.lab.start_redis()

    return back


def _redis(room: Room) -> Callable[[], None]:
    room.lab.kill_redis()
    return room.lab.start_redis


def _kill(process: psutil.Process) -> Callable[[], None]:
    process.kill()
    return lambda: None


def _disk(host: Host) -> Callable[[], None]:
    host.fill()
    return host.free


def _stop(process: psutil.Process) -> Callable[[], None]:
    process.send_signal(signal.SIGSTOP)
    parent = process.parent()

    def go_on() -> None:
        with contextlib.suppress(psutil.Error):
            process.send_signal(signal.SIGCONT)
        if parent and "nsenter" in parent.name():  # it stops itself with what it waits for
            parent.send_signal(signal.SIGCONT)

    return go_on


def _child(worker: psutil.Process) -> psutil.Process:
    """Its child program. Raises LookupError while it has none."""
    children = worker.children()
    if not children:
        raise LookupError("the worker has no child now")
    return children[0]
