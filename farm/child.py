"""The child's side of a child program: `python -m renderer` calls `serve("renderer.jobs")`.

JSON lines: requests come on stdin, events go to what was stdout. The standard library is enough
here (reading a task strictly takes pydantic, imported with the first request).

    parent -> child   {"run": {"kind", "job", "task", "failed": [...]}}   {"commit": true|false}
                      end of file: exit
    child -> parent   {"event": "ready", "pid"}
                      {"event": "start", "item"}      {"event": "finish", "item", "units": {...}}
                      {"event": "found", "item", "units": {...}}
                      {"event": "failed", "item", "class", "reason"}
                      {"event": "progress", "values": {...}}
                      {"event": "commit"}              the parent answers {"commit": ...}
                      {"event": "meet", "port", "sizes"}   {"meet": {...}}, once they have met
                      {"event": "stands", "sizes"}     {"stands": true|false}
                      {"event": "done", "done": {...}} {"event": "retry"}   {"event": "lost"}
                      {"event": "error", "item", "class", "reason", "stop"}
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import errno
import json
import os
import re
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

PR_SET_PDEATHSIG = 1
PROGRESS_S = 0.2  # progress oftener than this tells nobody anything
# Nobody can write there: every task would fail the same way, so the job stops.
STOPPING = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
OURS = re.compile(r"\.(.+)\.\w+\.part")  # a file of storage that is not renamed yet
CLASSES = ("bad_input", "out_of_memory", "timeout", "crash", "blank", "environment")


@dataclass(frozen=True)
class Failure:
    """One item that failed for good."""

    item: str
    cls: str
    reason: str
    tries: int


@dataclass(frozen=True)
class Meeting:
    """The workers that run a job's tasks side by side, from one of them."""

    round: int
    """Higher than all before."""
    place: int
    """Of this one among them; 0 is at host and port, where the others find it."""
    size: int
    host: str
    port: int
    address: str
    """This machine's own, as the others see it."""


class LeaseLost(Exception):
    """Another worker has the task by now: nothing may be committed."""


class Retry(Exception):
    """Some items failed and are worth another try."""


class Lease:
    """What `run(job, task, lease)` tells the farm, and asks it."""

    Retry = Retry

    def __init__(self, channel: Channel, failed: Iterable[Failure]):
        self._channel = channel
        self._told = 0.0
        self._item: str | None = None
        self.failed = {failure.item: failure for failure in failed}
        """Items already given up: leave them out and list them as failed."""

    @property
    def item(self) -> str | None:
        """The item being worked on: charged if this process dies or hangs."""
        return self._item

    def start(self, item: str) -> None:
        self._item = item
        self._channel.send(event="start", item=item)

    def finish(self, item: str, **units: int) -> None:
        """An item is made (or was found made); units such as shapes=1, images=5."""
        self._item = None
        self._channel.send(event="finish", item=item, units=units)

    def found(self, item: str, **units: int) -> None:
        """Units of an item that an earlier try made: they count, and say nothing of speed."""
        self._channel.send(event="found", item=item, units=units)

    def fail(self, item: str, cls: str, reason: str) -> None:
        """An item failed; cls is one of CLASSES. bad_input is final at once."""
        if cls not in CLASSES:
            raise ValueError(f"failure class ({cls!r}) must be one of {', '.join(CLASSES)}")
        self._item = None
        self._channel.send(event="failed", item=item, **{"class": cls}, reason=reason)

    def progress(self, **values: Any) -> None:
        """Still alive and moving, within a long item; at="loss 0.53" is shown to people."""
        now = time.monotonic()
        if now - self._told >= PROGRESS_S:
            self._told = now
            self._channel.send(event="progress", values=values)

    def commit(self) -> None:
        """Ask, right before the final rename, whether the lease still holds. Raises LeaseLost."""
        self._item = None
        self._channel.send(event="commit")
        answer = self._channel.receive()
        if answer is None or answer.get("commit") is not True:
            raise LeaseLost

    def meet(self, port: int, sizes: Sequence[int]) -> Meeting:
        """Wait until the workers of the job's other tasks are here as well.

        port   where this one can listen for the others
        sizes  how many can share the work
        """
        self._channel.send(event="meet", port=port, sizes=list(sizes))
        answer = self._channel.receive()
        if answer is None:
            raise LeaseLost
        return Meeting(**answer["meet"])

    def stands(self, sizes: Sequence[int]) -> bool:
        """Whether those who met are to go on: nobody is lost, nobody else came."""
        self._channel.send(event="stands", sizes=list(sizes))
        answer = self._channel.receive()
        return bool(answer and answer["stands"])


class Channel:
    """JSON lines to and from the parent."""

    def __init__(self, source: BinaryIO, sink: BinaryIO):
        self._source, self._sink = source, sink

    def send(self, **message: Any) -> None:
        self._sink.write(json.dumps(message, allow_nan=False).encode() + b"\n")
        self._sink.flush()

    def receive(self) -> dict[str, Any] | None:
        """The next message; None at the end."""
        line = self._source.readline()
        return json.loads(line) if line else None


def serve(package: str, warm_up: Callable[[], object] = lambda: None) -> int:
    """Run the tasks of a package's kinds until stdin ends; the exit code.

    warm_up  loads what is heavy, before the first task comes; what goes wrong then is told by the
             task that needs it

    Call it before anything heavy is imported: it moves stdout away (Blender chatters there) and
    asks the kernel to kill this process with its parent, and to keep it from what it does not
    need.
    """
    die_with_parent()
    _go_first()
    channel = _take_channel()
    for lacking in _give_up_rights():
        print(lacking, file=sys.stderr)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the parent's business
    channel.send(event="ready", pid=os.getpid())
    with contextlib.suppress(Exception):
        warm_up()
    while (message := channel.receive()) is not None:
        _run(package, message["run"], channel)
    return os.EX_OK


def _go_first() -> None:
    """When memory runs out the kernel ends this process and not its worker; and it leaves no image
    of its memory behind, which would be large and hold what was read."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def _give_up_rights() -> list[str]:
    from farm import jail
    from farm.settings import load

    return jail.close(load(), network=os.environ.get("FARM_OFFLINE") != "1")


def die_with_parent(signal_number: int = signal.SIGKILL) -> None:
    """Ask Linux for this signal when the thread that started this process ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)


def _take_channel() -> Channel:
    """The real stdin and stdout; in their places come /dev/null and stderr."""
    source, sink = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return Channel(os.fdopen(source, "rb"), os.fdopen(sink, "wb"))


def _run(package: str, request: dict[str, Any], channel: Channel) -> None:
    lease = Lease(channel, [Failure(**failure) for failure in request["failed"]])
    job: Any = None
    try:
        from farm import kinds

        kind = kinds.load(request["kind"], [package])
        job = kind.read_job(json.dumps(request["job"]))
        task = kind.read_task(json.dumps(request["task"]))
        done = kind.module.run(job, task, lease)
        channel.send(event="done", done=dataclasses.asdict(done))
    except Retry:
        channel.send(event="retry")
    except LeaseLost:
        channel.send(event="lost")
    except Exception as error:
        traceback.print_exc()
        _tell(error, lease.item, getattr(job, "out", None), channel)


def told(error: OSError, out: str | None) -> str:
    """What storage refused, where, and what helps: one line. `out` is the job's folder."""
    path, what = str(error.filename or out or "storage"), error.strerror or str(error)
    folder, slash, name = path.rpartition("/")
    if match := OURS.fullmatch(name):
        path = f"{folder}{slash}{match[1]}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{path}: {what}; free some space, the same line goes on"
    if error.errno in STOPPING:
        return f"{path}: {what}; make it writable, the same line goes on"
    return f"{path}: {what}"


def _tell(error: Exception, item: str | None, out: str | None, channel: Channel) -> None:
    """Say what went wrong as a failure class and one line."""
    reason, stop = f"{type(error).__name__}: {error}".splitlines()[0], False
    cls = getattr(error, "failure_class", "crash")
    if hasattr(error, "failure_class"):
        reason = str(getattr(error, "reason", error))
    elif isinstance(error, MemoryError):
        cls = "out_of_memory"
    elif isinstance(error, ImportError):
        cls, item, stop = "environment", None, True
    elif isinstance(error, OSError) and error.errno in STOPPING:
        cls, item, stop = "environment", None, True
        reason = told(error, out)
    channel.send(event="error", item=item, **{"class": cls}, reason=reason, stop=stop)
