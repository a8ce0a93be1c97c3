"""The log of a task: whole in a file of this machine, its last lines for everybody in Redis.

The file has every line as JSON (farm.log_line), up to LOG_BYTES. What goes to Redis is bounded: so
many lines and bytes are kept of a task, and a child that chatters gets only so many through, with
a line that says how many were left out and where they are. A task that is over within a second
sends nothing.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO

import redis

from farm.log_line import INFO, LogLine, level_of

log = logging.getLogger(__name__)

LOG_BYTES = 4_000_000  # of one task: a child that chatters for days must not fill the disk
LIVE_LINES, LIVE_BYTES = 200, 32_000  # of one task in Redis
LINE_CHARS = 400  # of one line there
RATE = 20.0  # lines per second there, in the long run; LIVE_LINES at once
FLUSH_S = 1.0
QUIET_S = 10.0  # after a Redis that did not answer: the lease needs it more than the log

Send = Callable[[list[str], int], object]
"""Adds lines to the live log, of which so many of the last stay."""


class TaskLog:
    """Where the lines of one task go while this worker has it."""

    def __init__(self, path: Path, worker: str = "", send: Send | None = None):
        self.path, self.worker = path, worker
        self.item = ""
        """What the task is at; goes with every line."""
        self._file: IO[bytes] | None = None
        self._full = self._closed = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)
            self._full = self._file.tell() >= LOG_BYTES
        except OSError as error:
            self._give_up(error)
        self._send = send
        self._pending: deque[LogLine] = deque()
        self._left_out = 0
        self._sizes: deque[int] = deque(maxlen=LIVE_LINES)
        self._allowed, self._counted = float(LIVE_LINES), time.monotonic()
        self._flush_after = self._counted + FLUSH_S
        self.sent = False
        """Whether a live log was begun."""

    def add(self, text: str, level: str | None = None) -> None:
        """One line; without a level its words tell it. What comes after the end is nobody's."""
        if self._closed:
            return
        line = self._line(text, level or level_of(text))
        self._keep(line)
        if self._send is not None:
            if len(self._pending) == LIVE_LINES:
                self._pending.popleft()
                self._left_out += 1
            self._pending.append(line)

    def note(self, text: str) -> None:
        """A line of the worker's own."""
        self.add(text, INFO)

    def flush(self, at_once: bool = False) -> None:
        """Send what is due, at most once a second; a Redis that is away gets nothing."""
        now = time.monotonic()
        if self._send is None or not self._pending or (now < self._flush_after and not at_once):
            return
        self._flush_after = now + FLUSH_S
        lines = [line.as_json() for line in self._due(now)]
        self._sizes.extend(len(line) for line in lines)
        try:
            self._send(lines, self._room())
            self.sent = True
        except redis.RedisError:
            self._flush_after = now + QUIET_S

    def close(self, tell: bool = True) -> None:
        """The task is over here; tell: send what is left."""
        if tell:
            self.flush(at_once=True)
        self._pending.clear()
        self._closed = True
        if self._file:
            self._file.close()

    def _keep(self, line: LogLine) -> None:
        if self._full or not self._file:
            return
        try:
            self._file.write(line.as_json().encode() + b"\n")
            if self._file.tell() >= LOG_BYTES:
                self._full = True
                last = self._line("the log is full: no more of this task is kept here", INFO)
                self._file.write(last.as_json().encode() + b"\n")
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """A full disk here costs the task its log, and not its work."""
        if not self._full:
            log.warning("%s is not kept: %s", self.path, error.strerror or error)
        self._full = True

    def _due(self, now: float) -> list[LogLine]:
        """The newest lines that may go, and one that tells of those that may not."""
        self._allowed = min(LIVE_LINES, self._allowed + RATE * (now - self._counted))
        self._counted = now
        lines, self._pending = list(self._pending), deque()
        number = min(len(lines), max(1, int(self._allowed)))
        left_out = self._left_out + len(lines) - number
        self._left_out = 0
        self._allowed = max(0.0, self._allowed - number)
        due = [line.cut(LINE_CHARS) for line in lines[-number:]]
        if left_out:
            told = f"... {left_out} lines left out; all are in {self.path} on the worker's machine"
            due.insert(0, self._line(told, INFO))
        return due

    def _room(self) -> int:
        """How many of the last lines fit into what a task may take."""
        total = 0
        for number, size in enumerate(reversed(self._sizes)):
            total += size
            if total > LIVE_BYTES:
                return max(1, number)
        return LIVE_LINES

    def _line(self, text: str, level: str) -> LogLine:
        now = round(time.time(), 3)
        return LogLine(time=now, level=level, worker=self.worker, item=self.item, line=text)
