"""A job of 100,000 tasks in the farm's store, and the farm's own cost for each task.

    python tests/benchmarks/store_100k.py [--tasks 100000] [--whole 600]

Prints seconds and MB of planning and recording (Redis and the controller's process together),
milliseconds of `farm status`, and, from a real farm of two workers whose tasks are nothing but
overhead (`--whole` of them), CPU milliseconds per task of Redis, the controller and the workers.
Limits are issue 2's: 20 s, 300 MB, 500 ms, 10 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from farm import broker, kinds
from farm.records import JobRecord
from farm.store import Store, connect

DOUBLES = Path(__file__).resolve().parents[1] / "farm" / "doubles"
sys.path.insert(0, str(DOUBLES))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--whole", type=int, default=600)
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="farm-bench-"))
    try:
        found = {**record(home, options.tasks), **whole(home / "whole", options.whole)}
    finally:
        shutil.rmtree(home, ignore_errors=True)
    for name, (value, limit) in found.items():
        print(f"{name:<34} {value:10.2f}   limit {limit:g}   {value / limit:5.2f} of it")


def record(home: Path, number: int) -> dict[str, tuple[float, float]]:
    """Plan and record a job of so many tasks of three shapes, and look at it."""
    server = subprocess.Popen(broker.command(home), stdout=subprocess.DEVNULL)
    while not broker.socket_path(home).exists():
        time.sleep(0.05)
    store = Store(connect(broker.url(home)))
    kind = kinds.load("render")
    render = kind.module
    job = render.Job(shapes=("x",), out="/x", views=5, shard_size=3)
    before = psutil.Process().memory_info().rss
    started = time.perf_counter()
    store.submit(
        JobRecord(id="j", kind="render", role="render", job=kinds.canonical(job).decode(), state="")
    )
    store.plan("j", planned(kind, job, number))
    seconds = time.perf_counter() - started
    store.turn("j", "running", "submitted")
    mine = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    theirs = psutil.Process(server.pid).memory_info().rss
    environment = {**os.environ, "FARM_BROKER_URL": broker.url(home)}
    times = []
    for _ in range(3):  # the first reads modules from a cold disk
        started = time.perf_counter()
        status = subprocess.run(
            [sys.executable, "-m", "farm.cli", "status", "--json"],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        times.append(time.perf_counter() - started)
    status_s = min(times)
    assert json.loads(status.stdout)["jobs"][0]["tasks"]["waiting"] == number
    store.client.close()
    server.terminate()
    server.wait()
    return {
        "planned and recorded, s": (seconds, 20),
        "memory, Redis and planner, MB": ((mine + theirs) / 1e6, 300),
        "farm status, ms": (status_s * 1000, 500),
    }


def planned(kind, job, number):
    """Tasks as render plans them, of three shapes each, as real ones are named."""
    from renderer.shapes.shape import Shape

    for i in range(number):
        shapes = tuple(
            Shape(
                key=f"02958343-{i:026d}{j:06d}", id=f"{i:026d}{j:06d}", category="car",
                synset="02958343", path=f"/data/ShapeNetCore.v2/02958343/{i:032d}/model.obj",
                sha256=f"{i:064x}", up="y",
            )
            for j in range(3)
        )  # fmt: skip
        task = kind.module.Task(
            name=f"train-{i:06d}", split="train", shapes=shapes,
            items=tuple(shape.key for shape in shapes),
        )  # fmt: skip
        yield task.name, kinds.canonical(task), kind.module.units(job, task), None, {}


def whole(home: Path, number: int) -> dict[str, tuple[float, float]]:
    """CPU of the farm itself for each task, in a job whose tasks do next to nothing."""
    home.mkdir()
    environment = {
        **os.environ, "FARM_HOME": str(home / "home"), "FARM_KIND_PACKAGES": "farmdouble.jobs",
        "PYTHONPATH": str(DOUBLES),
    }  # fmt: skip

    def submit(things: int, out: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "farm.cli", "submit", "count", "--things", f"n:{things}",
             "--per-task", "1", "--out", out],
            env=environment, cwd=home, check=True, capture_output=True,
        )  # fmt: skip

    submit(4, "warm")  # processes start, modules are imported
    store = Store(connect(broker.url(home / "home")))
    parts = [psutil.Process(worker.pid) for worker in store.workers(10)]
    parts += [psutil.Process(int(store.holder().split()[1]))]
    parts += [psutil.Process(int((home / "home" / "redis" / "pid").read_text()))]
    before = sum(map(cpu, parts))
    started = time.perf_counter()
    submit(number, "many")
    spent, seconds = sum(map(cpu, parts)) - before, time.perf_counter() - started
    small = max(part.memory_info().rss for part in parts[:-2]) / 1e6
    subprocess.run([sys.executable, "-m", "farm.cli", "down"], env=environment, check=True,
                   capture_output=True)  # fmt: skip
    store.client.close()
    print(f"({number} tasks through two workers in {seconds:.1f} s)")
    return {
        "the farm's own CPU per task, ms": (1000 * spent / number, 10),
        "a worker's parent, MB": (small, 150),
    }


def cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    main()
