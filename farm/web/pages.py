"""What the dashboard's pages show: facts from the farm's memory and from storage, ready to print.

Everything here reads, and waits for Redis and disks: call it in a thread. Its cost does not grow
with the size of a job.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farm import confine, steering
from farm.log_line import read_line
from farm.pipelines import PipelineRecord, Pipelines, PipelineView
from farm.records import ACTIVE, RUNNING, ItemFailure, JobRecord, View, WorkerRecord
from farm.roster import state_of
from farm.settings import Settings
from farm.store import Store
from farm.watch import duration
from farm.web import svg
from farm.web.curves import METRICS, READ_BYTES, Curves, File, Runs
from farm.web.datasets import Datasets, NotThere, Place, inside, meta
from farm.web.thumbnails import POINTS, Thumbnails
from renderer import storage
from renderer.members import PASSES
from renderer.shards import FAILED

STRIP, SHEET, PAGE = 8, 36, 60
"""Shapes beside a job, on its page, on a page of all of them."""
FAILURES, MENDED, SHARDS, PHOTOS = 100, 12, 12, 36
ACTIVE_SHOWN, GRAPHS, WORKERS = 12, 4, 24
"""On the first page: jobs and pipelines at work, and workers."""
EARLIER, JOBS, LOGS = 12, 40, 1000
MOST_JSON = 4_000_000  # bytes
CURVES = 12
SHEETS = 3
FIRST, LAST = ("loss",), ("images_per_s", "lr")
"""Curves that come before the others, and after them."""
KEY = re.compile(r"[A-Za-z0-9_-]{1,100}")
"""Of a sample."""
SHEET_NAME = re.compile(r"\d{8}\.png")
DRAWN = ("rejected", "funnel", "ratios")
"""Pictures that a segment job draws at its end."""


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


@dataclass(frozen=True, kw_only=True)
class Chart:
    title: str
    picture: str
    """SVG, whose text is escaped."""
    note: str = ""
    splits: tuple[str, ...] = ()


class Farm:
    """What the pages look at."""

    def __init__(self, settings: Settings, store: Store):
        self.settings, self.store = settings, store
        self.pipelines = Pipelines(store)
        self.datasets = Datasets()
        self.thumbnails = Thumbnails(self.datasets)
        self.runs = Runs()

    # what there is

    def job(self, job: str) -> JobRecord:
        record = self.store.job(job)
        if record is None:
            raise NotThere(f"no job {job}")
        return record

    def pipeline(self, name: str) -> PipelineRecord:
        record = self.pipelines.get(name)
        if record is None:
            raise NotThere(f"no pipeline {name}")
        return record

    def folder(self, record: JobRecord) -> str:
        """Where a job's product lies; nothing of a job is read elsewhere."""
        out = json.loads(record.job).get("out")
        if not isinstance(out, str) or not out:
            raise NotThere(f"job {record.id} makes nothing")
        if self.settings.storage_roots:
            try:
                confine.refuse([out], "read", self.settings.storage_roots)
            except ValueError as error:
                raise NotThere(str(error)) from None
        return out

    # pages

    def overview(self) -> dict[str, Any]:
        """The first page: what is at work, and what was."""
        records = self.store.jobs()
        views = self._pipelines_shown()
        stages = {each.stage.id for view in views for each in view.stages}
        at_work = [r for r in records if r.active]
        active = self._cards(at_work[:ACTIVE_SHOWN], STRIP)
        earlier = [r for r in records if not r.active and r.id not in stages and not r.refused]
        workers = self.workers()["workers"]
        return {
            "active": active,
            "more_active": max(0, len(at_work) - ACTIVE_SHOWN),
            "views": views,
            "earlier": self._cards(earlier[: -EARLIER - 1 : -1]),
            "more": max(0, len(earlier) - EARLIER),
            "workers": workers[:WORKERS],
            "more_workers": max(0, len(workers) - WORKERS),
            "tiles": _tiles(at_work, active, workers),
            "every": 2 if at_work else 8,
        }

    def _pipelines_shown(self) -> list[PipelineView]:
        """Those at work, else the newest."""
        records = self.pipelines.all()
        chosen = [r for r in records if r.active][-GRAPHS:] or records[-1:]
        found = (self.pipelines.view(record.id, progress=True) for record in reversed(chosen))
        return [view for view in found if view]

    def jobs(self, page: int) -> dict[str, Any]:
        """All jobs and pipelines, the newest first."""
        records = self.store.jobs()[::-1]
        start = page * JOBS
        return {
            "cards": self._cards(records[start : start + JOBS]),
            "pipelines": self.pipelines.all()[::-1] if not page else [],
            "page": page,
            "pages": max(1, -(-len(records) // JOBS)),
            "every": 8,
        }

    def workers(self) -> dict[str, Any]:
        """Every worker, by machine."""
        dead_s, holds = self.settings.worker_dead_s, self.store.holds()
        found = sorted(self.store.workers(), key=lambda worker: (worker.host, worker.name))
        return {
            "workers": [
                WorkerRow(
                    worker=worker,
                    state=state_of(worker, dead_s),
                    verb="resume" if worker.name in holds else "pause",
                )
                for worker in found
            ],
            "every": 2,
        }

    def pipeline_page(self, name: str) -> dict[str, Any]:
        view = self.pipelines.view(self.pipeline(name).id, progress=True)
        if view is None:
            raise NotThere(f"no pipeline {name}")
        record = view.record
        verbs = [v for v, (_, before) in steering.TURNS.items() if record.state in before]
        failed = view.named("failed")
        return {
            "view": view,
            "verbs": [*verbs, *(["retry"] if failed else [])],
            "elapsed_s": (time.time() if record.active else record.changed) - record.submitted,
            "every": 2 if record.active else 8,
        }

    def job_page(self, job: str) -> dict[str, Any]:
        """One job, and what it made."""
        record = self.job(job)
        card = self.card(record, SHEET, PHOTOS)
        if card is None:
            raise NotThere(f"no job {job}")
        failures = self.store.some_failures(job, FAILURES)
        found: dict[str, Any] = {
            "card": card,
            "failures": failures,
            "classes": Counter(failure.cls for failure in failures).most_common(),
            "mended": self._mended(record),
            "dead": self._dead(job),
            "logs": self.logs(job),
            "options": list(_options(record)),
            "charts": [],
            "data": None,
            "run": None,
            "drawn": [],
            "pictured": set(),
            "metrics": [],
            "every": 2 if record.active else 15,
        }
        try:
            folder = self.folder(record)
        except NotThere:
            return found
        found["folder"] = folder
        found["pictured"] = {
            failure.item
            for failure in failures
            if KEY.fullmatch(failure.item) and _is_there(folder, FAILED, f"{failure.item}.png")
        }
        try:
            found["data"] = self.data(record, folder)
            found["charts"] = list(self._views(folder))
        except NotThere:
            pass
        found["run"] = self._run(record, folder)
        found["metrics"] = self._metrics(record)
        if record.kind == "segment":
            found["drawn"] = [
                name for name in DRAWN if _is_there(folder, "pictures", f"{name}.png")
            ]
        return found

    def logs(self, job: str) -> list[str]:
        """Tasks that have a live log, the one that spoke last first; at most LOGS."""
        found = self.store.logs(job)
        return sorted(found, key=lambda task: -found[task])[:LOGS]

    def log(self, job: str, task: str) -> dict[str, Any]:
        """What a task said last: of one that runs, or has failed."""
        record = self.job(job)
        texts = self.store.log_lines(job, {task: ""})[task]
        lines = [line for _, text in texts if (line := read_line(text, job=job, task=task))]
        return {
            "record": record,
            "task": task,
            "lines": [
                (time.strftime("%H:%M:%S", time.localtime(line.time)), line) for line in lines
            ],
            "every": 2 if record.active else 15,
        }

    def shapes(self, job: str, page: int) -> dict[str, Any]:
        """A page of all shapes of a dataset."""
        record = self.job(job)
        folder = self.folder(record)
        opened = self.datasets.open(folder)
        return {
            "record": record,
            "places": self.datasets.page(folder, page * PAGE, PAGE),
            "total": len(opened.dataset),
            "page": page,
            "pages": max(1, -(-len(opened.dataset) // PAGE)),
            "every": 0,
        }

    def shape(self, job: str, shard: str, number: int) -> dict[str, Any]:
        """One shape: all its views, and the passes of each."""
        record = self.job(job)
        folder = self.folder(record)
        opened = self.datasets.open(folder)
        places = opened.places(shard)
        if number >= len(places):
            raise NotThere(f"{shard} has {len(places)} samples")
        sample = opened.sample(shard, number)
        facts = meta(sample)
        views = facts["views"]
        passes = [kind for kind in PASSES if sample.views[0].has(kind)]
        cloud = "points.npy" in sample.members and "world_to_camera" in views[0]
        return {
            "record": record,
            "place": places[number],
            "before": places[number - 1] if number else None,
            "after": places[number + 1] if number + 1 < len(places) else None,
            "facts": facts,
            "views": list(enumerate(views))[:48],
            "passes": passes,
            "cloud": POINTS if cloud else "",
            "every": 0,
        }

    # parts of them

    def card(self, record: JobRecord, shapes: int = 0, photos: int = 0) -> JobCard | None:
        """A job as it is listed, with what it made last; None of one that is forgotten."""
        view = self.store.view(record.id)
        if view is None:
            return None
        record = view.record
        now = time.time() if record.active else record.changed
        places: list[Place] = []
        names: list[str] = []
        spark = ""
        if shapes:
            newest = self.store.newest(record.id, 2 * shapes)  # a task may have made none
            try:
                folder = self.folder(record)
                if record.kind == "train":
                    spark = self._spark(folder)
                elif record.kind == "photos":
                    names = self._photos(folder, newest, photos or shapes)
                else:
                    places = self.datasets.newest(folder, newest, shapes)
            except NotThere:
                pass
        return JobCard(
            record=record,
            view=view,
            bars=tuple(
                Bar(unit=unit, made=view.made.get(unit, 0), total=total)
                for unit, total in view.total.items()
            ),
            facts=tuple(_facts(view)),
            elapsed_s=max(0.0, now - record.started),
            places=tuple(places),
            photos=tuple(names),
            spark=spark,
        )

    def _cards(self, records: Iterable[JobRecord], shapes: int = 0) -> list[JobCard]:
        return [card for record in records if (card := self.card(record, shapes))]

    def data(self, record: JobRecord, folder: str) -> dict[str, Any]:
        """What a dataset is. Raises NotThere."""
        opened = self.datasets.open(folder)
        index = opened.dataset.index
        members = [str(name) for name in index["members"]]
        newest = [n for n in self.store.newest(record.id, SHARDS) if n in opened.names]
        names = newest or list(opened.names)[-SHARDS:][::-1]
        return {
            "id": opened.dataset.id,
            "complete": opened.dataset.complete,
            "samples": len(opened.dataset),
            "images": len(opened.dataset) * opened.views,
            "passes": [kind for kind in PASSES if any(n.endswith(f".{kind}.png") for n in members)],
            "points": "points.npy" in members,
            "splits": sorted(opened.splits.items(), key=lambda one: -one[1]),
            "bytes": opened.bytes,
            "shards": len(opened.names),
            "newest": [opened.shard(name) for name in names],
            "made_with": list(_made_with(index.get("created_with"))),
            "parent": _parent(index.get("parent")),
            "licences": [
                f"{source.get('address')}: {source['licence']}"
                for source in index.get("sources") or []
                if isinstance(source, dict) and source.get("licence")
            ],
        }

    def _views(self, folder: str) -> Iterable[Chart]:
        """Where the cameras stood, and how much of the pictures the shapes fill."""
        seen = self.datasets.seen(folder)
        angles = [
            (view.azimuth_deg, view.elevation_deg)
            for view in seen.views
            if view.azimuth_deg is not None and view.elevation_deg is not None
        ]
        covered = [100 * view.coverage for view in seen.views if view.coverage is not None]
        of = f"{len(seen.views):,} views of {seen.shapes:,} shapes"
        if seen.shapes < seen.of:
            of += f", drawn from {seen.of:,}" if seen.whole else f" so far, of {seen.of:,}"
        if angles:
            yield Chart(title="Viewpoints", picture=svg.sky(angles, label="viewpoints"), note=of)
            elevations = [elevation for _, elevation in angles]
            low = -90 if min(elevations) < -1 else 0
            ends = [svg.short(end(elevations)) for end in (min, max)]
            yield Chart(
                title="Elevation",
                picture=svg.histogram(
                    elevations,
                    label="elevation",
                    low=low,
                    high=90,
                    bins=36 if low else 30,
                    unit="°",
                    marks=range(low, 91, 30 if low else 15),
                ),
                note=f"{ends[0]}° to {ends[1]}°" if ends[0] != ends[1] else f"all at {ends[0]}°",
            )
        if covered:
            high = min(100.0, 10 * math.ceil(max(covered) / 10 + 1e-9))
            yield Chart(
                title="Coverage",
                picture=svg.histogram(
                    covered, label="coverage", low=0, high=high, bins=30, unit="%"
                ),
                note=f"{sum(covered) / len(covered):.1f} % of the pixels on average",
            )

    def _curves(self, folder: str) -> Curves | None:
        """None of what is no run, or has not begun."""
        try:
            path = inside(folder, METRICS)
            if isinstance(path, Path):
                return self.runs.curves(path)
            file = File()  # an object store has what was sent at the last checkpoint
            if storage.exists(path) and storage.size(path) <= READ_BYTES:
                file.add(storage.read(path))
            return file.curves() if file.step else None
        except (NotThere, OSError):
            return None

    def _spark(self, folder: str) -> str:
        curves = self._curves(folder)
        names = curves.names if curves else {}
        name = next((n for n in names if n.startswith(FIRST)), "")
        points = names[name].get("train", []) if name else []
        return svg.spark(points, label=name)

    def _photos(self, folder: str, tasks: Sequence[str], most: int) -> list[str]:
        """Names of the photos of these tasks."""
        found: list[str] = []
        for task in tasks:
            if len(found) >= most or not re.fullmatch(r"photos-\d+", task):
                break
            truth = _read_json(folder, "truth", f"{task}.json") or {}
            names = [str(one.get("name")) for one in truth.get("photos", [])]
            found += [name for name in names if re.fullmatch(r"photo-\d+", name)]
        return found[:most]

    def _mended(self, record: JobRecord) -> list[tuple[ItemFailure, Place | None]]:
        """Items that failed and were not given up; where they lie, once they went well."""
        tried = self.store.some_tried(record.id, MENDED)
        try:
            folder = self.folder(record)
        except NotThere:
            return [(failure, None) for failure in tried]
        return [(f, self._find(folder, f)) for f in tried]

    def _find(self, folder: str, failure: ItemFailure) -> Place | None:
        try:
            return self.datasets.find(folder, failure.task, failure.item)
        except NotThere:
            return None

    def _dead(self, job: str) -> list[tuple[str, str]]:
        return sorted(self.store.some_dead(job, FAILURES).items())

    def _run(self, record: JobRecord, folder: str) -> dict[str, Any] | None:
        """Curves and pictures of a run; None of what is none."""
        curves = self._curves(folder)
        if curves is None:
            return None
        about = _read_json(folder, "run.json")
        flat = {name for name, splits in curves.names.items() if _is_flat(splits.values())}
        order = sorted(
            curves.names, key=lambda name: (name in flat, name in LAST, not name.startswith(FIRST))
        )
        charts = [
            Chart(
                title=name.replace("_", " "),
                picture=svg.lines(curves.names[name], label=name),
                note=", ".join(
                    f"{split} {svg.short(points[-1][1])}"
                    for split, points in curves.names[name].items()
                    if points
                ),
            )
            for name in order[:CURVES]
        ]
        splits = [s for s in ("train", "val", "test") if any(s in c for c in curves.names.values())]
        return {
            "charts": charts,
            "splits": splits,
            "step": curves.step,
            "about": list(_about(about or {})),
            "sheets": _sheets(folder),
        }

    def _metrics(self, record: JobRecord) -> list[tuple[str, str]]:
        """What a job with one task or a few came to."""
        if not 0 < record.tasks <= 4:
            return []
        found: list[tuple[str, str]] = []
        for text in self.store.dones(record.id):
            metrics = json.loads(text).get("metrics")
            for name, value in metrics.items() if isinstance(metrics, dict) else ():
                if isinstance(value, int | float):
                    found.append((name.replace("_", " "), svg.short(float(value))))
        return found


# --- facts ----------------------------------------------------------------------------------------


def _tiles(
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


def _facts(view: View) -> Iterable[str]:
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


def _options(record: JobRecord) -> Iterable[tuple[str, str]]:
    """What was asked for."""
    for name, value in json.loads(record.job).items():
        if value in (None, "", [], {}) or value is False:
            continue
        text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
        yield name.replace("_", "-"), text if len(text) <= 240 else f"{text[:239]}…"


def _made_with(created_with: Any) -> Iterable[str]:
    for one in created_with if isinstance(created_with, list) else [created_with]:
        if not isinstance(one, dict):
            continue
        device: Any = one.get("device")
        device = device if isinstance(device, dict) else {}
        versions = [f"{n} {one[n]}" for n in ("shapefarm", "bpy", "torch") if one.get(n)]
        where = [str(device[n]) for n in ("kind", "name") if device.get(n)]
        yield ", ".join([*versions, " ".join(where)] if where else versions)


def _parent(parent: Any) -> list[str]:
    parents = parent if isinstance(parent, list) else [parent]
    return [
        f"{p.get('folder', '')} {str(p.get('id', ''))[:12]}" for p in parents if isinstance(p, dict)
    ]


def _about(about: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """What a run is, from its run.json."""
    config = about.get("config") if isinstance(about.get("config"), dict) else {}
    assert isinstance(config, dict)
    for name in ("model", "preset", "seed"):
        if about.get(name) is not None:
            yield name, str(about[name])
    if isinstance(about.get("parameters"), int):
        yield "parameters", svg.short(about["parameters"])
    for name in ("steps", "batch", "lr"):
        if config.get(name) is not None:
            yield name, str(config[name])
    datasets = about.get("datasets")
    for folder, digest in datasets.items() if isinstance(datasets, dict) else ():
        yield "trained on", f"{Path(folder).name} {str(digest)[:12]}"
    starts = about.get("starts")
    if isinstance(starts, list) and starts and isinstance(starts[-1], dict):
        last = starts[-1]
        told = [str(last[n]) for n in ("device", "precision") if last.get(n)]
        yield "on", ", ".join(told)
        if len(starts) > 1:
            yield "starts", str(len(starts))


def _is_flat(series: Iterable[Sequence[tuple[float, float]]]) -> bool:
    """Whether a number stays what it was: a baseline."""
    values = [value for points in series for _, value in points]
    largest = max((abs(value) for value in values), default=0.0)
    return len(values) > 1 and max(values) - min(values) <= max(1e-9, 1e-4 * largest)


def _sheets(folder: str) -> list[int]:
    """Steps of the newest sheets of samples."""
    try:
        found = storage.names(storage.place(folder) / "samples", "*.png")
    except (OSError, NotThere):
        return []
    names = [name for name in found if SHEET_NAME.fullmatch(name)]
    return [int(name[:8]) for name in names[-SHEETS:]][::-1]


def _is_there(folder: str, *parts: str) -> bool:
    try:
        return storage.exists(inside(folder, *parts))
    except (NotThere, OSError):
        return False


def _read_json(folder: str, *parts: str) -> dict[str, Any] | None:
    """A small JSON object; None where there is none that can be read."""
    try:
        path = inside(folder, *parts)
        found = storage.read_json(path) if storage.size(path) <= MOST_JSON else None
    except (NotThere, OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
