"""Logs of tasks and workers from wherever they are: this machine's files, or Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import redis

from farm.log_line import LogLine, read_line
from farm.store import WORKER_LOGS, Store

POLL_S = 0.5
PATIENCE_S = 60.0


def in_file(path: Path, job: str, task: str) -> Iterator[LogLine]:
    """Every line of a task that this machine has, or shared storage; a line of another kind is
    told as it is."""
    with path.open("rb") as file:
        for text in file:
            yield read_line(text, job=job, task=task) or LogLine(
                time=0.0, level="info", worker="", item="", line=text.decode(errors="replace")
            )


class LiveLogs:
    """The live logs of jobs and workers, read on from where the last look ended."""

    def __init__(self, store: Store):
        self.store = store
        self._last: dict[tuple[str, str], str] = {}
        self._seen: dict[tuple[str, str], float] = {}

    def look(self, job: str, chosen: Callable[[str], bool] = lambda name: True) -> list[LogLine]:
        """New lines, oldest first, of the tasks of a job that are chosen by name.

        The cost follows what is new: of a log that has no new line nothing is read. One that has
        left the list since the last look is looked at once more, for its end.
        """
        logs = {name: at for name, at in self.store.logs(job).items() if chosen(name)}
        due = [name for name, at in logs.items() if self._seen.get((job, name)) != at]
        gone = [name for of, name in self._seen if of == job and name not in logs]
        found = self.store.log_lines(
            job, {name: self._last.get((job, name), "") for name in due + gone}
        )
        lines = []
        for name, entries in found.items():
            task = "" if job == WORKER_LOGS else name
            about = "" if job == WORKER_LOGS else job
            for at, text in entries:
                self._last[job, name] = at
                if line := read_line(text, job=about, task=task):
                    lines.append(line)
        for name in due:
            self._seen[job, name] = logs[name]
        for name in gone:
            del self._seen[job, name]
        return sorted(lines, key=lambda line: line.time)


def follow(look: Callable[[], list[LogLine]], on: Callable[[], bool]) -> Iterator[LogLine]:
    """New lines as they come, for as long as `on` says so, and a last look after that.

    A Redis that is started anew is waited for; raises its RedisError when it stays away.
    """
    answered = time.monotonic()
    while True:
        try:
            goes_on = on()
            lines = look()
        except redis.RedisError:
            if time.monotonic() - answered > PATIENCE_S:
                raise
            time.sleep(POLL_S)
            continue
        answered = time.monotonic()
        yield from lines
        if not goes_on:
            return
        time.sleep(POLL_S)
