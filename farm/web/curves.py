"""The curves of a run, from its metrics.jsonl: what is new is read, and few points are kept."""

from __future__ import annotations

import json
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from farm.web.datasets import NotThere, inside
from renderer import storage

METRICS = "metrics.jsonl"
READ_BYTES = 8_000_000
"""At one look; the next one goes on there."""
MOST_POINTS = 600
MOST_NAMES = 48
MOST_RUNS = 64
NOT_CURVES = frozenset({"step", "split", "seconds"})


@dataclass
class Series:
    """Points of one number over the steps; of many, evenly fewer."""

    points: list[tuple[float, float]] = field(default_factory=list)
    stride: int = 1
    told: int = 0
    last: tuple[float, float] | None = None

    def add(self, step: float, value: float) -> None:
        self.last = (step, value)
        if self.told % self.stride == 0:
            self.points.append(self.last)
        self.told += 1
        if len(self.points) > MOST_POINTS:
            self.points, self.stride = self.points[::2], 2 * self.stride

    def drawn(self) -> list[tuple[float, float]]:
        """The points and the newest one."""
        if self.last and self.points[-1] != self.last:
            return [*self.points, self.last]
        return list(self.points)


@dataclass(frozen=True, kw_only=True)
class Curves:
    step: int
    """The newest."""
    names: dict[str, dict[str, list[tuple[float, float]]]]
    """Metric -> split -> [(step, value)]."""


class File:
    """One metrics.jsonl, as far as it was read."""

    def __init__(self) -> None:
        self.identity: tuple[int, int] | None = None
        self.offset = 0
        self.step = 0
        self.names: dict[str, dict[str, Series]] = {}

    def read(self, path: Path) -> None:
        """Raises FileNotFoundError."""
        with path.open("rb") as stream:
            facts = os.fstat(stream.fileno())
            identity = (facts.st_dev, facts.st_ino)
            # A run that goes on from a checkpoint writes its file anew, without what came after.
            if identity != self.identity or facts.st_size < self.offset:
                self.__init__()  # type: ignore[misc]
                self.identity = identity
            stream.seek(self.offset)
            self.add(stream.read(READ_BYTES))

    def add(self, data: bytes) -> None:
        """Take what follows; a last line that is cut off waits for its end."""
        whole = data.rfind(b"\n") + 1
        self.offset += whole
        for line in data[:whole].splitlines():
            self._take(line)

    def curves(self) -> Curves:
        return Curves(
            step=self.step,
            names={
                name: {split: series.drawn() for split, series in splits.items()}
                for name, splits in self.names.items()
            },
        )

    def _take(self, line: bytes) -> None:
        try:
            facts = json.loads(line)
            step, split = int(facts["step"]), str(facts["split"])
        except (ValueError, LookupError, TypeError):
            return
        self.step = max(self.step, step)
        for name, value in facts.items():
            if name in NOT_CURVES or not isinstance(value, int | float):
                continue
            if name not in self.names and len(self.names) >= MOST_NAMES:
                continue
            self.names.setdefault(name, {}).setdefault(split, Series()).add(step, float(value))


class Runs:
    """The runs that pages look at. Call it in a thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: OrderedDict[Path, File] = OrderedDict()

    def of(self, folder: str) -> Curves | None:
        """Of the run in a folder; None of what is no run, or has not begun."""
        try:
            path = inside(folder, METRICS)
            if isinstance(path, Path):
                return self.curves(path)
            file = File()  # an object store has what was sent at the last checkpoint
            if storage.exists(path) and storage.size(path) <= READ_BYTES:
                file.add(storage.read(path))
            return file.curves() if file.step else None
        except (NotThere, OSError):
            return None

    def curves(self, path: Path) -> Curves | None:
        """None where there is no such file."""
        with self._lock:  # two looks at once would read the same lines twice
            file = self._files.setdefault(path, File())
            self._files.move_to_end(path)
            while len(self._files) > MOST_RUNS:
                self._files.popitem(last=False)
            try:
                file.read(path)
            except OSError:
                return None
            return file.curves()
