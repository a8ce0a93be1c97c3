"""The hours in which a machine may be used: "20:00-08:00, weekends, fri 16:00-20:00"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
GROUPS = {"weekdays": frozenset(range(5)), "weekends": frozenset((5, 6))}
SPAN = re.compile(r"(?:(?P<days>[a-z]+)(?:\s+|$))?(?:(\d\d?):(\d\d)-(\d\d?):(\d\d))?")
WHOLE = 24 * 60


@dataclass(frozen=True)
class Span:
    """From a minute of each of some days to another, on the next day where that comes first."""

    days: frozenset[int]
    """0 is Monday."""
    start: int
    end: int

    def has(self, day: int, minute: int) -> bool:
        if self.start < self.end:
            return day in self.days and self.start <= minute < self.end
        yesterday = (day - 1) % 7
        begun = day in self.days and minute >= self.start
        return begun or (yesterday in self.days and minute < self.end)


@dataclass(frozen=True)
class Hours:
    """Spans, any of which will do; the text they were read from."""

    spans: tuple[Span, ...]
    text: str

    def has(self, moment: datetime) -> bool:
        """Whether a moment of the machine's own time is within them."""
        return any(
            span.has(moment.weekday(), moment.hour * 60 + moment.minute) for span in self.spans
        )


def parse(text: str) -> Hours:
    """Hours from text. Raises ValueError, naming the part that cannot be read."""
    return Hours(tuple(_spans(text)), text)


def _spans(text: str) -> Iterator[Span]:
    for part in text.split(","):
        part = part.strip().lower()
        match = SPAN.fullmatch(part)
        days = _days(match["days"]) if match and part else None
        if match is None or days is None:
            raise ValueError(_refusal(part))
        if match[2] is None:
            yield Span(days, 0, WHOLE)
            continue
        start, end = (60 * int(match[i]) + int(match[i + 1]) for i in (2, 4))
        if start >= WHOLE or end > WHOLE or start == end or max(match[3], match[5]) >= "60":
            raise ValueError(_refusal(part))
        yield Span(days, start, end)


def _days(name: str | None) -> frozenset[int] | None:
    if name is None:
        return frozenset(range(7))
    if name in GROUPS:
        return GROUPS[name]
    return frozenset((DAYS.index(name),)) if name in DAYS else None


def _refusal(part: str) -> str:
    return (
        f"work_hours ({part!r}): spans such as 20:00-08:00, weekends or sat 10:00-14:00 are wanted"
    )
