"""A child program, from its parent's side: JSON lines, its own process group, its exit told.

Nothing the child does can hurt the parent: a crash in Blender is an exit code here, a hang is
ended by killing the group, memory is measured from outside.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from farm.child import told
from farm.errors import ProgramFailed
from farm.scratch import Scratch
from farm.secret import without_secrets
from farm.task_log import TaskLog

TAIL_LINES = 15
LINE_BYTES = 16_000  # of stderr without an end of line are a line
PAGE = os.sysconf("SC_PAGE_SIZE")
MACHINE, NETWORK, CLOUD = "machine", "network", "cloud"  # how far a child reaches
# What a child program may say with its exit code.
EXIT_CLASSES = {
    os.EX_DATAERR: "bad_input",
    os.EX_UNAVAILABLE: "environment",
    os.EX_OSFILE: "environment",
    os.EX_CONFIG: "environment",
}


class Program:
    """`python -m PACKAGE`, speaking the protocol of farm.child, with a temporary folder of its own.

    It opens what other people made, so it gets no secrets, and reaches no further than it must:
    reach   "machine": no network (farm.jail); "network"; "cloud": with what object stores ask for
    Raises ProgramFailed when there is no room for that folder.
    """

    def __init__(self, package: str, environment: Mapping[str, str], reach: str = MACHINE):
        self.package, self.reach = package, reach
        try:
            self.scratch = Scratch()
        except OSError as error:
            raise ProgramFailed("environment", told(error, None)) from None
        self._oom_kills = _oom_kills()
        self._process = subprocess.Popen(
            [sys.executable, "-m", package],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={
                **without_secrets(environment, cloud=reach == CLOUD),
                "TMPDIR": str(self.scratch.path),
                "FARM_OFFLINE": str(int(reach == MACHINE)),
            },
            process_group=0,
        )
        self.pid = self._process.pid
        self._buffer = b""
        self._unended = b""
        self._log: TaskLog | None = None
        self._tail: collections.deque[str] = collections.deque(maxlen=TAIL_LINES)
        self._select = selectors.DefaultSelector()
        assert self._process.stdout and self._process.stderr
        self._out, self._err = self._process.stdout.fileno(), self._process.stderr.fileno()
        for descriptor in (self._out, self._err):
            os.set_blocking(descriptor, False)
            self._select.register(descriptor, selectors.EVENT_READ)

    @property
    def tail(self) -> str:
        """The last lines of stderr."""
        return "\n".join(self._tail)

    def log_to(self, log: TaskLog) -> None:
        """From now on the lines of stderr go there; the tail starts anew."""
        self._log, self._unended = log, b""
        self._tail.clear()

    def send(self, message: Mapping[str, Any]) -> None:
        """Raises ProgramFailed if the child is gone."""
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps(message, allow_nan=False).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise self._death() from None

    def receive(self, timeout_s: float) -> dict[str, Any] | None:
        """The child's next event; None when there is none in time.

        Raises ProgramFailed, with the failure's class, once the child is gone.
        """
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            for key, _ in self._select.select(max(0.0, deadline - time.monotonic())):
                data = _read(key.fd)
                if key.fd == self._err:
                    self._keep(data)
                elif data:
                    self._buffer += data
                else:
                    raise self._death()
            if time.monotonic() >= deadline and b"\n" not in self._buffer:
                return None
        line, self._buffer = self._buffer.split(b"\n", 1)
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            self.kill()
            raise ProgramFailed("crash", f"not an event: {line[:80]!r}")
        return event

    def rss_mb(self) -> float:
        """Resident memory in MB, measured from outside; 0 once it is gone."""
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_bytes().split()[1]
            return int(pages) * PAGE / 1e6
        except (OSError, IndexError):
            return _rss_elsewhere(self.pid)

    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self, grace_s: float = 3.0) -> None:
        """Let it go: end of file, a moment, then kill. For a child between tasks."""
        assert self._process.stdin
        try:
            self._process.stdin.close()
            self._process.wait(grace_s)
        except (OSError, subprocess.TimeoutExpired):
            pass
        self.kill()

    def kill(self) -> None:
        """Kill the whole process group, and free everything."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._drain()
        self._select.close()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()
        self._log = None
        self.scratch.remove()

    def _death(self) -> ProgramFailed:
        """Why it is gone, as an error."""
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:  # it closed its stdout and lives on
            self.kill()
            return ProgramFailed("crash", "closed its output and went on")
        oom = code == -signal.SIGKILL and _oom_kills() > self._oom_kills
        self.kill()
        if oom:
            return ProgramFailed("out_of_memory", "killed by the kernel for want of memory")
        if code < 0:
            return ProgramFailed("crash", f"killed by {_signal_name(-code)}{self._last()}")
        return ProgramFailed(EXIT_CLASSES.get(code, "crash"), f"exited with {code}{self._last()}")

    def _last(self) -> str:
        return f": {self._tail[-1]}" if self._tail else ""

    def _drain(self) -> None:
        while data := _read(self._err):
            self._keep(data)
        self._tell(self._unended)
        self._unended = b""

    def _keep(self, data: bytes) -> None:
        if not data and self._err in self._select.get_map():
            self._select.unregister(self._err)
        lines = (self._unended + data).replace(b"\r", b"\n").split(b"\n")
        self._unended = lines.pop() if len(lines[-1]) < LINE_BYTES else b""
        for line in lines:
            self._tell(line)

    def _tell(self, line: bytes) -> None:
        """One line of stderr, into the tail and the log; none for a blank one."""
        if text := line.decode(errors="replace").rstrip():
            self._tail.append(text)
            if self._log:
                self._log.add(text)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except (BlockingIOError, OSError):
        return b""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _oom_kills() -> int:
    """How often the kernel has killed for want of memory, here or in our control group."""
    total = 0
    for path, field in (
        ("/proc/vmstat", b"oom_kill"),
        ("/sys/fs/cgroup/memory.events", b"oom_kill"),
    ):
        try:
            for line in Path(path).read_bytes().splitlines():
                if line.split()[:1] == [field]:
                    total += int(line.split()[1])
        except OSError:
            pass
    return total


def _rss_elsewhere(pid: int) -> float:
    """Resident memory where there is no /proc."""
    import psutil  # type: ignore[import-untyped]

    try:
        return float(psutil.Process(pid).memory_info().rss) / 1e6
    except psutil.Error:
        return 0.0
