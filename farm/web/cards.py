"""How jobs and workers are listed: what a card or a row of a table says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from farm import steering
from farm.records import ACTIVE, RUNNING, JobRecord, View, WorkerRecord
from farm.watch import duration
from farm.web.datasets import Place


@dataclass(frozen=True, kw_only=True)
class Bar:
    unit: str
    made: int
    total: int


@dataclass(frozen=True, kw_only=True)
class JobCard:
    """A job as it is listed."""

    record: JobRecord
    view: View
    bars: tuple[Bar, ...]
    facts: tuple[str, ...]
    """Rate, time to go, tasks ..."""
    elapsed_s: float
    places: tuple[Place, ...] = ()
    """Shapes that it made last."""
    photos: tuple[str, ...] = ()
    """Names of the photos that it made last."""
    spark: str = ""
    """How the loss of a run went, as SVG."""

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def verbs(self) -> list[str]:
        """What can be done with it now."""
        record = self.record
        found = [verb for verb, (_, before) in steering.TURNS.items() if record.state in before]
        given_up = self.view.failures or self.view.tasks["dead"]
        return [*found, *(["retry"] if given_up and not record.active else [])]


@dataclass(frozen=True, kw_only=True)
class WorkerRow:
    worker: WorkerRecord
    state: str
    """works, waits, paused, refused or gone."""
    verb: str
    """What can be asked of it."""

    @property
    def told(self) -> str:
        """Why it rests, or is not there."""
        if self.state == "gone":
            return f"not seen for {duration(self.worker.age_s)}"
        why = {"paused": self.worker.paused, "refused": self.worker.refused}
        return why.get(self.state, self.state)


def tiles(
    at_work: Sequence[JobRecord], active: Sequence[JobCard], workers: Sequence[WorkerRow]
) -> list[tuple[str, str]]:
    """The few numbers that tell how the farm is."""
    rates = Counter[str]()
    for record in at_work:
        if record.state == RUNNING:
            rates.update(record.rates)
    here = [row for row in workers if row.state != "gone"]
    busy = sum(row.state == "works" for row in here)
    failures = sum(card.view.failures for card in active)
    found = [
        (f"{len(at_work)}", "job at work" if len(at_work) == 1 else "jobs at work"),
        (f"{busy} of {len(here)}", "workers busy"),
    ]
    unit = next((u for u in ("images", "photos", "steps") if rates.get(u)), "")
    rate = rates[unit] if unit else 0
    told = f"{rate:.1f}" if rate >= 1 else f"{rate:.2g}"
    found.append((told, f"{unit or 'images'} per second"))
    found.append((f"{failures:,}", "failures in them"))
    return found


def facts(view: View) -> Iterable[str]:
    """How fast a job is, how long it will take, how far its tasks are."""
    record = view.record
    if record.state == RUNNING:
        rates = {unit: rate for unit, rate in record.rates.items() if rate > 0}
        unit = max(rates, key=lambda unit: rates[unit]) if rates else ""
        if unit:
            yield f"{rates[unit]:.{1 if rates[unit] >= 1 else 2}f} {unit}/s"
        elif not any(view.made.values()):
            yield "starting"
        if view.eta_s is not None:
            yield f"{duration(view.eta_s)} to go"
    if view.tasks["total"]:
        yield f"{view.tasks['done']:,} of {view.tasks['total']:,} tasks"
    if record.state in ACTIVE and view.tasks["leased"]:
        yield f"{view.tasks['leased']} at work"
    if view.retried:
        yield f"{view.retried:,} tried again"


def options(record: JobRecord) -> Iterable[tuple[str, str]]:
    """What was asked for."""
    for name, value in json.loads(record.job).items():
        if value in (None, "", [], {}) or value is False:
            continue
        text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
        yield name.replace("_", "-"), text if len(text) <= 240 else f"{text[:239]}…"
