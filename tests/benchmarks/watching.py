"""What it costs to watch a farm: a line of a task's log, a scrape of /metrics, Flower's memory.

    PYTHONPATH=. python tests/benchmarks/watching.py [--workers 1000] [--jobs 50] [--tasks 20000]

A Redis of its own is filled with so many workers and jobs at work, each of 100,000 tasks as far as
its counts tell; a log gets 20,000 lines, sent once a second as a worker does, and once more with a
child that chatters without end; Flower gets the events of so many tasks. Printed is CPU time of
this process, and the memory of Redis and of Flower's table.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import psutil
from celery.events.event import Event
from flower.events import EventsState

from farm import broker
from farm.app import shown
from farm.metrics import Metrics
from farm.records import JobRecord, WorkerRecord
from farm.settings import Settings
from farm.store import Store, connect
from farm.task_log import TaskLog
from farm.web.flower import MOST_TASKS, Uncounted

LINES = 20_000
BLENDER = "00:08.309  render           | Saved: '/dev/shm/shapefarm/pass-0007.exr' 12.3 ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=50)
    parser.add_argument("--tasks", type=int, default=MOST_TASKS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="farm-watching-") as folder:
        home = Path(folder)
        server = subprocess.Popen(broker.command(home), stdout=subprocess.DEVNULL)
        while not broker.socket_path(home).exists():
            time.sleep(0.05)
        store = Store(connect(broker.url(home)))
        try:
            told = {
                "log": log_lines(store, home),
                "metrics": scrape(store, home, options.workers, options.jobs),
                "flower": flower(options.tasks, options.workers),
            }
        finally:
            store.client.close()
            server.terminate()
            server.wait()
    print(json.dumps(told, indent=2))


def log_lines(store: Store, home: Path) -> dict[str, float]:
    """CPU per line, to the file and to Redis; and what a chatterer leaves there."""
    log = TaskLog(
        home / "log", "render-0@host", lambda lines, keep: store.log("j", "t", lines, keep)
    )
    began = time.process_time()
    for number in range(LINES):
        log.add(BLENDER)
        if number % 100 == 0:  # a second of a child that writes a hundred lines in it
            log.flush(at_once=True)
    each = (time.process_time() - began) / LINES
    log.close()
    return {
        "cpu_us_per_line": round(each * 1e6, 1),
        "kept_in_redis": int(store.client.xlen("farm:j:log:t")),
        "bytes_in_redis": int(store.client.memory_usage("farm:j:log:t", samples=0)),
    }


def scrape(store: Store, home: Path, workers: int, jobs: int) -> dict[str, float]:
    """CPU of one page, and its size."""
    for number in range(workers):
        store.beat(
            WorkerRecord(
                name=f"render-{number % 4}@host-{number // 4}",
                role="render",
                host=f"host-{number // 4}",
                pid=1,
                version="0.1.0",
                gpu="NVIDIA L4",
                job="j",
                task=f"train-{number:06d}",
                made={"shapes": 10, "images": 200},
                rates={"shapes": 0.5, "images": 10.0},
            )
        )
    for number in range(jobs):
        name = f"{number:012x}"
        store.submit(JobRecord(id=name, kind="render", role="render", job="{}", state=""))
        store.plan(name, [("t", b"{}", {"shapes": 100_000, "images": 2_400_000}, None, {})])
        store.turn(name, "running", "submitted")
    metrics = Metrics(Settings(home=home), store)
    metrics.page()
    began, rounds = time.process_time(), 10
    for _ in range(rounds):
        body, _ = metrics.page()
    each = (time.process_time() - began) / rounds
    metrics.close()
    return {"workers": workers, "jobs": jobs, "cpu_ms": round(each * 1e3, 1), "bytes": len(body)}


def flower(tasks: int, workers: int) -> dict[str, float]:
    """Memory of its table once so many tasks went by twice: what is older makes room."""
    state = EventsState(max_tasks_in_memory=tasks)
    state.metrics = Uncounted()
    process = psutil.Process()
    before = process.memory_info().rss
    found = {}
    for turn in ("first", "second"):
        for number in range(tasks):
            worker = f"render-0@host-{number % workers}"
            job = f"{number // 1000:012x}"
            facts = {"uuid": str(uuid.uuid4()), "hostname": worker, "pid": 1, "utcoffset": 0}
            at = time.time()
            for clock, (kind, more) in enumerate(
                {
                    "task-received": {
                        "name": shown("render", job),
                        "args": f"['{job}', 'train-{number:06d}']",
                        "kwargs": "{}",
                    },
                    "task-started": {},
                    "task-succeeded": {"result": "'done'", "runtime": 1.0},
                }.items()
            ):
                state.event(
                    Event(kind, clock=clock, local_received=at, timestamp=at, **facts, **more)
                )
        found[f"mb_after_{turn}"] = round((process.memory_info().rss - before) / 1e6, 1)
    return {"tasks": tasks, "workers": workers, **found}


if __name__ == "__main__":
    main()
