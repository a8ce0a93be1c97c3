"""One line of a log as JSON: when, how bad, by whom, about what."""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict, dataclass, replace

from farm.words import CONTROL

INFO, WARNING, ERROR = "info", "warning", "error"
ALARMS = (
    (re.compile(r"\b(?:ERROR|CRITICAL|FATAL|Traceback)\b|^\w*(?:Error|Exception)\b"), ERROR),
    (re.compile(r"\b(?:WARN|WARNING|Warning)\b|^\w+Warning:"), WARNING),
)


@dataclass(frozen=True, kw_only=True)
class LogLine:
    time: float
    """Seconds since 1970, of the machine that wrote it."""
    level: str
    """info, warning or error."""
    worker: str
    item: str
    """What the task was at; "" for none."""
    line: str
    job: str = ""
    task: str = ""

    def as_json(self) -> str:
        """One line of JSON; without job and task where the place it lies tells them."""
        facts = asdict(self)
        for name in ("job", "task"):
            if not facts[name]:
                del facts[name]
        return json.dumps(facts)

    def cut(self, length: int) -> LogLine:
        """The same with a text of at most so many characters."""
        if len(self.line) <= length:
            return self
        return replace(self, line=self.line[: length - 1] + "…")

    def for_people(self, where: str) -> str:
        """One line for a terminal; `where` is what tells it from its neighbours."""
        clock = time.strftime("%H:%M:%S", time.localtime(self.time))
        mark = {WARNING: "! ", ERROR: "!! "}.get(self.level, "")
        about = f"[{self.item}] " if self.item and self.item not in self.line else ""
        return f"{clock} {where}  {mark}{about}{self.line}".translate(CONTROL).rstrip()


def level_of(text: str) -> str:
    """How bad a line of a program's stderr is, by the words that loggers and Python put there."""
    return next((level for pattern, level in ALARMS if pattern.search(text)), INFO)


def read_line(text: str | bytes, *, job: str = "", task: str = "") -> LogLine | None:
    """What as_json wrote; None for what is not whole, such as the end of a file being written."""
    try:
        facts = json.loads(text)
        return LogLine(**{"job": job, "task": task, **facts})
    except (TypeError, ValueError):
        return None
