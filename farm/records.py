"""What the farm remembers, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SUBMITTED = "submitted"
RUNNING = "running"
PAUSED = "paused"
INTERRUPTED = "interrupted"
CANCELLED = "cancelled"
FAILED = "failed"
DONE = "done"

ACTIVE = (SUBMITTED, RUNNING)
"""States in which the farm works on a job."""
RESTING = (PAUSED, INTERRUPTED, CANCELLED)
"""States a person put it in; it goes on from storage."""


@dataclass(frozen=True, kw_only=True)
class JobRecord:
    id: str
    kind: str
    role: str
    job: str
    """The Job, as JSON."""
    state: str
    reason: str = ""
    fault: str = ""
    """Whose: "use" when what was asked for is wrong."""
    told: bool = False
    """Whether somebody has read why it was refused."""
    label: str = ""
    """What it makes of what, for people."""
    workers: int = 0
    """At most so many tasks at once; 0: no limit."""
    tasks: int = 0
    submitted: float = 0.0
    started: float = 0.0
    changed: float = 0.0
    rates: dict[str, float] = field(default_factory=dict)
    """Units per second, over the last minute."""

    @property
    def active(self) -> bool:
        return self.state in ACTIVE

    @property
    def refused(self) -> bool:
        """Whether it never came to work: what was asked for was wrong."""
        return self.state == FAILED and self.fault == "use" and not self.tasks


@dataclass(frozen=True, kw_only=True)
class ItemFailure:
    """One failed try of one item, or the last of several."""

    item: str
    cls: str
    reason: str
    tries: int
    task: str
    worker: str = ""
    tail: str = ""
    """Last lines of the child's stderr."""


PAUSE, DRAIN = "pause", "drain"
"""What a person asks of a worker: hand its task back, or finish it; then take no more."""


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What a worker is told at every heartbeat."""

    version: str = ""
    """The controller's; "" before there was one."""
    hold: str = ""
    """PAUSE, DRAIN or ""."""


@dataclass(frozen=True, kw_only=True)
class WorkerRecord:
    name: str
    role: str
    host: str
    pid: int
    version: str
    device: str = ""
    """CUDA_VISIBLE_DEVICES."""
    gpu: str = ""
    """The name of its card; "" without one."""
    gpus: int = 0
    """How many it has."""
    job: str = ""
    task: str = ""
    item: str = ""
    rss_mb: float = 0.0
    """Of the child program."""
    rates: dict[str, float] = field(default_factory=dict)
    tasks: int = 0
    """Finished since it started."""
    made: dict[str, int] = field(default_factory=dict)
    """Units made since it started."""
    started: float = 0.0
    paused: str = ""
    """Why it rests; "" when it works."""
    refused: str = ""
    """Why the controller gives it no tasks; "" when it does."""
    off: dict[str, str] = field(default_factory=dict)
    """Kinds that it is taken off -> why."""
    age_s: float = 0.0
    """Seconds since it was last seen."""

    @property
    def takes_tasks(self) -> bool:
        return not self.paused and not self.refused

    @property
    def rate(self) -> tuple[str, float]:
        """Its smallest unit, images rather than shapes, and so many of them a second."""
        return next(reversed(self.rates.items()), ("", 0.0))


@dataclass(frozen=True, kw_only=True)
class View:
    """One job at one moment, for people and programs."""

    record: JobRecord
    total: dict[str, int]
    made: dict[str, int]
    tasks: dict[str, int]
    """done, leased, queued, waiting, dead"""
    failures: int
    retried: int

    @property
    def eta_s(self) -> float | None:
        """Seconds to go at the present rate; None while it is unknown."""
        waits = [
            (self.total[unit] - self.made.get(unit, 0)) / rate
            for unit, rate in self.record.rates.items()
            if rate > 0 and unit in self.total
        ]
        return max(waits) if waits else None

    def as_json(self) -> dict[str, Any]:
        record = self.record
        eta = self.eta_s
        return {
            "job": record.id,
            "kind": record.kind,
            "label": record.label,
            "state": record.state,
            "reason": record.reason,
            "total": self.total,
            "made": self.made,
            "tasks": self.tasks,
            "failures": self.failures,
            "retried": self.retried,
            "rates": {unit: round(rate, 3) for unit, rate in record.rates.items()},
            "eta_s": None if eta is None else round(eta, 1),
        }


@dataclass(frozen=True, kw_only=True)
class Census:
    """Figures of the whole farm at one moment."""

    holder: str
    """Of the controller's lock; "" for nobody."""
    ticked: float
    """When it last said so, in Redis's time; 0: never."""
    counts: dict[str, int]
    """What was counted since the farm began: farm.store.COUNTS."""
    queues: dict[str, int]
    """Role -> messages that wait."""
