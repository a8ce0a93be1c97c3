"""What the controller and the workers log of themselves: on stderr, a worker's in Redis too."""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Callable

from farm.log_line import LogLine
from farm.settings import Settings

KEPT = 100  # lines of a worker, in Redis
LINE_CHARS = 2000  # of one, tracebacks included
LEVELS = {"CRITICAL": "error"}  # the others are told by their own names


def configure(settings: Settings, name: str, level: int = logging.INFO) -> None:
    """Log to stderr from this level on: for people, or, as settings.log_format says, in JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(level)
    if settings.log_format == "json":
        handler.setFormatter(AsJson(name))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("farm").setLevel(logging.INFO)  # Celery sets the root's to its own


class AsJson(logging.Formatter):
    """A record as a LogLine, in JSON; `extra` may name its job and task."""

    def __init__(self, worker: str):
        super().__init__("%(name)s: %(message)s")
        self.worker = worker

    def format(self, record: logging.LogRecord) -> str:
        return self.line(record).as_json()

    def line(self, record: logging.LogRecord) -> LogLine:
        return LogLine(
            time=round(record.created, 3),
            level=LEVELS.get(record.levelname, record.levelname.lower()),
            worker=self.worker,
            item="",
            line=super().format(record),
            job=getattr(record, "job", ""),
            task=getattr(record, "task", ""),
        )


class Recent(logging.Handler):
    """Keeps a process's last lines until they are sent to where others see them."""

    def __init__(self, worker: str):
        super().__init__()
        self._as_json = AsJson(worker)
        self._lines: deque[str] = deque(maxlen=KEPT)

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self._as_json.line(record).cut(LINE_CHARS).as_json())

    def send(self, to: Callable[[list[str], int], object]) -> None:
        """Hand over what has come since the last time; it is kept if `to` raises."""
        self.acquire()
        lines, self._lines = self._lines, deque(maxlen=KEPT)
        self.release()
        if not lines:
            return
        try:
            to(list(lines), KEPT)
        except BaseException:
            self._lines.extendleft(reversed(lines))
            raise
