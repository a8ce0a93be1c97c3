"""What the dashboard's pages show: facts from the farm's memory and from storage, ready to print.

Everything here reads, and waits for Redis and disks: call it in a thread. Its cost does not grow
with the size of a job.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from farm import confine, steering
from farm.log_line import read_line
from farm.pipelines import PipelineRecord, Pipelines, PipelineView
from farm.records import ItemFailure, JobRecord
from farm.roster import state_of
from farm.settings import Settings
from farm.store import Store
from farm.web import dataset_facts, run_facts, svg
from farm.web.cards import Bar, JobCard, WorkerRow, facts, options, tiles
from farm.web.curves import Runs
from farm.web.datasets import Datasets, NotThere, Place, is_there, meta, read_json
from farm.web.thumbnails import POINTS, Thumbnails
from renderer.members import PASSES
from renderer.shards import FAILED

STRIP, SHEET, PAGE = 8, 36, 60
"""Shapes beside a job, on its page, on a page of all of them."""
FAILURES, MENDED, PHOTOS = 100, 12, 36
ACTIVE_SHOWN, GRAPHS, WORKERS = 12, 4, 24
"""On the first page: jobs and pipelines at work, and workers."""
EARLIER, JOBS, LOGS = 12, 40, 1000
KEY = re.compile(r"[A-Za-z0-9_-]{1,100}")
"""Of a sample."""
DRAWN = ("rejected", "funnel", "ratios")
"""Pictures that a segment job draws at its end."""


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
            "tiles": tiles(at_work, active, workers),
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
            "options": list(options(record)),
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
            if KEY.fullmatch(failure.item) and is_there(folder, FAILED, f"{failure.item}.png")
        }
        try:
            opened = self.datasets.open(folder)
            newest = self.store.newest(job, dataset_facts.SHARDS)
            found["data"] = dataset_facts.facts(opened, newest)
            found["charts"] = list(dataset_facts.charts(self.datasets.seen(folder)))
        except NotThere:
            pass
        if curves := self.runs.of(folder):
            found["run"] = run_facts.facts(folder, curves)
        found["metrics"] = self._metrics(record)
        if record.kind == "segment":
            found["drawn"] = [name for name in DRAWN if is_there(folder, "pictures", f"{name}.png")]
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
                    spark = run_facts.spark(self.runs.of(folder))
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
            facts=tuple(facts(view)),
            elapsed_s=max(0.0, now - record.started),
            places=tuple(places),
            photos=tuple(names),
            spark=spark,
        )

    def _cards(self, records: Iterable[JobRecord], shapes: int = 0) -> list[JobCard]:
        return [card for record in records if (card := self.card(record, shapes))]

    def _photos(self, folder: str, tasks: Sequence[str], most: int) -> list[str]:
        """Names of the photos of these tasks."""
        found: list[str] = []
        for task in tasks:
            if len(found) >= most or not re.fullmatch(r"photos-\d+", task):
                break
            truth = read_json(folder, "truth", f"{task}.json") or {}
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
