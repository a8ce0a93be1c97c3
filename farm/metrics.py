"""The farm's own figures, as Prometheus reads them.

Everything is read from the store in a few round trips, whatever the size of a job, and from the
file systems of its storage. Counters live in Redis (farm.store.COUNTS) and in the workers, so that
whoever serves this page may be started anew without losing a number. docs/monitor.md has the list.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import redis
from prometheus_client import Metric, exposition

from farm.records import Census, JobRecord, View, WorkerRecord
from farm.roles import ROLES, queues
from farm.roster import state_of
from farm.settings import Settings
from farm.store import Store

SHOWN_S = 900.0  # a job is told of for so long after its end, so that its last figures are seen
GONE_S = 600.0  # a worker that vanished, as long
DISK_S = 2.0  # storage that does not answer in time is left out
WORKER = ("worker", "host", "gpu")
JOB = ("job", "kind")


@dataclass(frozen=True)
class Family:
    """One metric: its type, its labels and what it says."""

    kind: str
    labels: tuple[str, ...]
    help: str


FAMILIES = {
    "farm_redis_up": Family("gauge", (), "1 while Redis answers; without it nothing else is told"),
    "farm_controller_up": Family("gauge", (), "1 while a controller holds the lock"),
    "farm_controller_last_tick_timestamp_seconds": Family(
        "gauge", (), "When a controller last looked at its jobs"
    ),
    "farm_jobs": Family("gauge", ("state",), "Jobs on record"),
    "farm_tasks": Family("gauge", ("state",), "Tasks of the jobs at work"),
    "farm_queue_messages": Family("gauge", ("queue",), "Messages that wait for a worker"),
    "farm_units_total": Family("counter", ("unit",), "Images, shapes or steps made and committed"),
    "farm_tasks_done_total": Family("counter", (), "Tasks committed"),
    "farm_failures_total": Family("counter", ("class",), "Tries of an item that failed"),
    "farm_given_up_total": Family("counter", ("class",), "Items given up for good"),
    "farm_retries_total": Family("counter", (), "Items that failed and are tried again"),
    "farm_leases_expired_total": Family(
        "counter", (), "Leases that ran out: a worker died, hung or was cut off"
    ),
    "farm_messages_lost_total": Family("counter", (), "Celery messages that were sent again"),
    "farm_job_progress_ratio": Family("gauge", (*JOB, "label"), "Share of a job that is made"),
    "farm_job_units": Family("gauge", (*JOB, "unit"), "What a job has made so far"),
    "farm_job_planned_units": Family("gauge", (*JOB, "unit"), "What a job will have made"),
    "farm_job_tasks": Family("gauge", (*JOB, "state"), "Tasks of one job"),
    "farm_job_failed_items": Family("gauge", JOB, "Items of a job that were given up"),
    "farm_job_remaining_seconds": Family("gauge", JOB, "Time to go at the present rate"),
    "farm_workers": Family("gauge", ("role", "state"), "Workers that are there, or were just now"),
    "farm_worker_info": Family(
        "gauge", (*WORKER, "role", "version"), "1; what a worker is, to join by its name"
    ),
    "farm_worker_units_total": Family(
        "counter", (*WORKER, "unit"), "What a worker has made since it started"
    ),
    "farm_worker_units_per_second": Family(
        "gauge", (*WORKER, "unit"), "What a worker makes, over the last half minute"
    ),
    "farm_worker_tasks_total": Family("counter", WORKER, "Tasks of a worker since it started"),
    "farm_worker_kinds_off": Family(
        "gauge", WORKER, "Kinds of jobs that a worker is taken off, for its failures"
    ),
    "farm_worker_memory_bytes": Family("gauge", WORKER, "Memory of a worker's child program"),
    "farm_worker_last_seen_timestamp_seconds": Family("gauge", WORKER, "When a worker last spoke"),
    "farm_storage_free_bytes": Family("gauge", ("root",), "Room for more on a storage root"),
    "farm_storage_size_bytes": Family("gauge", ("root",), "Size of a storage root"),
}
COUNTED = {
    "farm_units_total": "units ",
    "farm_failures_total": "failures ",
    "farm_given_up_total": "given up ",
    "farm_tasks_done_total": "tasks",
    "farm_retries_total": "retries",
    "farm_leases_expired_total": "leases expired",
    "farm_messages_lost_total": "messages lost",
}
"""Counter -> its field of COUNTS; with a blank at the end, a label follows."""


@dataclass(frozen=True, kw_only=True)
class Disk:
    free: int
    size: int


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The farm at one moment."""

    now: float
    census: Census
    jobs: Mapping[str, int]
    """State -> jobs in it."""
    views: tuple[View, ...]
    """Of the jobs that are told of one by one."""
    workers: tuple[WorkerRecord, ...]
    disks: Mapping[str, Disk] = field(default_factory=dict)


class Metrics:
    """The page /metrics of one farm."""

    def __init__(self, settings: Settings, store: Store):
        self.settings, self.store = settings, store
        self._disks = ThreadPoolExecutor(1, thread_name_prefix="disks")
        self._asked: Future[dict[str, Disk]] | None = None

    def page(self, accept: str = "") -> tuple[bytes, str]:
        """The page and its content type, in the form that an Accept header asks for."""
        encode, kind = exposition.choose_encoder(accept)
        return encode(_Collected(self.collect())), kind

    def collect(self) -> list[Metric]:
        """Every family. Without Redis farm_redis_up alone, which is 0."""
        try:
            seen = self._look()
        except redis.RedisError:
            down = _empty("farm_redis_up")
            down.add_sample("farm_redis_up", {}, 0)
            return [down]
        return list(families(seen, self.settings.worker_dead_s))

    def close(self) -> None:
        self._disks.shutdown(wait=False, cancel_futures=True)

    def _look(self) -> Seen:
        now = time.time()
        records = self.store.jobs()
        shown = [record for record in records if record.active or now - record.changed < SHOWN_S]
        workers = self.store.workers(GONE_S)
        waiting = {queue for role in ROLES for queue in queues(role)}
        waiting |= {record.role for record in records}
        return Seen(
            now=now,
            census=self.store.census(sorted(waiting)),
            jobs=Counter(record.state for record in records),
            views=tuple(self.store.views([record.id for record in shown])),
            workers=tuple(workers),
            disks=self._room(roots(self.settings, shown)),
        )

    def _room(self, folders: Iterable[Path]) -> dict[str, Disk]:
        """Storage hangs where its server does: one thread waits for it, and this page does not."""
        if self._asked is None or self._asked.done():
            self._asked = self._disks.submit(_disks, tuple(folders))
        try:
            return self._asked.result(DISK_S)
        except TimeoutError:
            return {}


def roots(settings: Settings, jobs: Iterable[JobRecord]) -> list[Path]:
    """The storage roots of this machine; where none is set, the file systems of what jobs make."""
    if settings.storage_roots:
        return [Path(root) for root in settings.storage_roots if "://" not in root]
    outs = {json.loads(record.job).get("out") for record in jobs}
    return sorted({_mount(Path(out)) for out in outs if isinstance(out, str) and "://" not in out})


def families(seen: Seen, dead_s: float) -> Iterator[Metric]:
    """Every family of FAMILIES, in its order. Pure.

    dead_s  seconds without a word after which a worker is told to be gone
    """
    samples: dict[str, list[tuple[tuple[str, ...], float]]] = {name: [] for name in FAMILIES}

    def tell(name: str, value: float, *labels: str) -> None:
        samples[name].append((labels, value))

    tell("farm_redis_up", 1)
    tell("farm_controller_up", float(bool(seen.census.holder)))
    if seen.census.ticked:
        tell("farm_controller_last_tick_timestamp_seconds", seen.census.ticked)
    for state, number in sorted(seen.jobs.items()):
        tell("farm_jobs", number, state)
    for queue, number in sorted(seen.census.queues.items()):
        tell("farm_queue_messages", number, queue)
    _counts(seen.census.counts, tell)
    tasks: Counter[str] = Counter()
    for view in seen.views:
        _job(view, tell)
        if view.record.active:
            tasks.update({state: n for state, n in view.tasks.items() if state != "total"})
    for state, number in tasks.items():
        tell("farm_tasks", number, state)
    states = Counter((worker.role, state_of(worker, dead_s)) for worker in seen.workers)
    for (role, state), number in sorted(states.items()):
        tell("farm_workers", number, role, state)
    for worker in seen.workers:
        _worker(worker, seen.now, tell)
    for root, disk in sorted(seen.disks.items()):
        tell("farm_storage_free_bytes", disk.free, root)
        tell("farm_storage_size_bytes", disk.size, root)
    for name, found in samples.items():
        family, metric = FAMILIES[name], _empty(name)
        for labels, value in found:
            metric.add_sample(name, dict(zip(family.labels, labels, strict=True)), value)
        yield metric


Tell = Callable[..., None]


def _counts(counts: Mapping[str, int], tell: Tell) -> None:
    for name, start in COUNTED.items():
        if not start.endswith(" "):
            tell(name, counts.get(start, 0))
            continue
        for key, number in sorted(counts.items()):
            if key.startswith(start):
                tell(name, number, key.removeprefix(start))


def _job(view: View, tell: Tell) -> None:
    record = view.record
    names = (record.id, record.kind)
    shares = [view.made.get(unit, 0) / whole for unit, whole in view.total.items() if whole]
    if shares:
        tell("farm_job_progress_ratio", min(1.0, min(shares)), *names, record.label)
    for unit, whole in view.total.items():
        tell("farm_job_units", view.made.get(unit, 0), *names, unit)
        tell("farm_job_planned_units", whole, *names, unit)
    for state, number in view.tasks.items():
        if state != "total":
            tell("farm_job_tasks", number, *names, state)
    tell("farm_job_failed_items", view.failures, *names)
    if record.active and view.eta_s is not None:
        tell("farm_job_remaining_seconds", view.eta_s, *names)


def _worker(worker: WorkerRecord, now: float, tell: Tell) -> None:
    names = (worker.name, worker.host, worker.gpu)
    tell("farm_worker_info", 1, *names, worker.role, worker.version)
    for unit, number in worker.made.items():
        tell("farm_worker_units_total", number, *names, unit)
    for unit, rate in worker.rates.items():
        tell("farm_worker_units_per_second", rate, *names, unit)
    tell("farm_worker_tasks_total", worker.tasks, *names)
    tell("farm_worker_kinds_off", len(worker.off), *names)
    tell("farm_worker_memory_bytes", worker.rss_mb * 1e6, *names)
    tell("farm_worker_last_seen_timestamp_seconds", now - worker.age_s, *names)


def _empty(name: str) -> Metric:
    family = FAMILIES[name]
    # The library adds _total to a counter's name by itself.
    return Metric(name.removesuffix("_total"), family.help, family.kind)


def _disks(folders: tuple[Path, ...]) -> dict[str, Disk]:
    """Room for whoever is not root; nothing of a folder that is not there."""
    found = {}
    for folder in folders:
        try:
            stat = os.statvfs(folder)
        except OSError:
            continue
        found[str(folder)] = Disk(
            free=stat.f_bavail * stat.f_frsize, size=stat.f_blocks * stat.f_frsize
        )
    return found


def _mount(path: Path) -> Path:
    """Where the file system begins that a path is or will be on."""
    while not os.path.ismount(path) and path != path.parent:
        path = path.parent
    return path


class _Collected:
    """What the library's encoders take for a registry."""

    def __init__(self, metrics: list[Metric]):
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        return self._metrics
