"""A farm of a thousand workers and a million shapes, on one machine: what it costs, what gives.

    python tests/benchmarks/scale.py                       all of it, half an hour
    python tests/benchmarks/scale.py plan --shapes 10000 100000
    python tests/benchmarks/scale.py work --workers 10 100 --shapes 100000

Redis, `farm controller` and `farm status` are the real ones, and so are all records, messages and
leases.  Only the workers are simulated: many in one process, with the farm's own Store functions
for every beat, claim, renewal, live log line and commit, in the rhythm of real ones; a task is
nothing but time.  CPU is counted from the processes' own clocks, so that other programs on the
machine change it little; they do change what is told in seconds of the clock on the wall.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE / "scale_kind")]

from farm import broker, kinds  # noqa: E402
from farm.app import carried  # noqa: E402
from farm.records import JobRecord, WorkerRecord  # noqa: E402
from farm.store import Store, connect  # noqa: E402
from farm.version import version  # noqa: E402

KIND = "simulated"
BEAT_S, RENEW_S, LEASE_S = 2.0, 2.0, 15.0  # as farm.worker and farm.settings have them
LOST = 0.3  # share of the workers that vanish


# --- the farm ----------------------------------------------------------------------------------


@dataclass
class Farm:
    """A Redis and a controller of their own."""

    home: Path
    redis: psutil.Process
    store: Store
    environment: dict[str, str]
    controller: psutil.Process | None = None
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def control(self) -> psutil.Process:
        log = (self.home / "controller.log").open("ab")
        with log:
            process = subprocess.Popen(
                [sys.executable, "-m", "farm.cli", "controller"],
                env=self.environment, cwd=self.home, stdout=log, stderr=log,
            )  # fmt: skip
        self.controller = psutil.Process(process.pid)
        return self.controller

    def submit(self, shapes: int, shard_size: int = 0) -> str:
        kind = kinds.load(KIND, ("farmscale.jobs",))
        job = kind.module.Job(
            shapes=shapes, shard_size=shard_size, out=str(self.home / f"out-{time.time_ns()}")
        )
        name = kind.job_id(job)
        text = kinds.canonical(job).decode()
        self.store.submit(
            JobRecord(id=name, kind=KIND, role="render", job=text, state="", label=str(shapes))
        )
        return name

    def simulate(self, first: int, number: int, task_s: float) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, __file__, "simulate", str(first), str(number), str(task_s)],
            env=self.environment, cwd=self.home,
        )  # fmt: skip
        self.workers.append(process)
        return process

    def end_workers(self) -> None:
        for process in self.workers:
            process.kill()
            process.wait()
        self.workers = []
        for worker in self.store.workers():
            self.store.leave(worker.name)

    def memory_mb(self) -> float:
        return float(self.store.client.info("memory")["used_memory"]) / 1e6


@contextlib.contextmanager
def a_farm() -> Iterator[Farm]:
    home = Path(tempfile.mkdtemp(prefix="farm-scale-"))
    server = subprocess.Popen(broker.command(home), stdout=subprocess.DEVNULL)
    until(lambda: broker.socket_path(home).exists())
    address = broker.url(home)
    environment = {name: v for name, v in os.environ.items() if not name.startswith("FARM_")}
    environment |= {
        "FARM_HOME": str(home), "FARM_BROKER_URL": address, "FARM_KIND_PACKAGES": "farmscale.jobs",
        "PYTHONPATH": os.pathsep.join(sys.path[:2]),
    }  # fmt: skip
    farm = Farm(home, psutil.Process(server.pid), Store(connect(address)), environment)
    try:
        yield farm
    finally:
        farm.end_workers()
        if farm.controller:
            farm.controller.kill()
            farm.controller.wait()
        farm.store.client.close()
        server.kill()
        server.wait()
        shutil.rmtree(home, ignore_errors=True)


def until(holds: Callable[[], object], timeout_s: float = 900) -> float:
    """Wait for a condition; seconds it took."""
    started = time.perf_counter()
    while not holds():
        assert time.perf_counter() - started < timeout_s, "waited in vain"
        time.sleep(0.05)
    return time.perf_counter() - started


def cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


# --- planning ----------------------------------------------------------------------------------


def planning(shapes: int, shard_size: int) -> dict[str, float]:
    """What it costs to take a job in, before anybody works on it, and to look at it."""
    with a_farm() as farm:
        controller = farm.control()
        until(farm.store.holder)
        resting, empty, spent = controller.memory_info().rss, farm.memory_mb(), cpu(controller)
        server = cpu(farm.redis)
        job = farm.submit(shapes, shard_size)
        seconds = until(lambda: farm.store.job(job).state != "submitted")  # type: ignore[union-attr]
        record = farm.store.job(job)
        assert record is not None and record.state == "running", record
        return {
            "shapes": shapes,
            "tasks": record.tasks,
            "controller, CPU s": cpu(controller) - spent,
            "Redis, CPU s": cpu(farm.redis) - server,
            "seconds": seconds,
            "Redis, MB": farm.memory_mb() - empty,
            "controller, MB": (controller.memory_info().rss - resting) / 1e6,
            "job.json, MB": sum(p.stat().st_size for p in farm.home.glob("out-*/job.json")) / 1e6,
            "farm status, CPU ms": status(farm),
        }


def status(farm: Farm) -> float:
    """CPU milliseconds of `farm status`, the lesser of two."""
    found = []
    for _ in range(2):
        before = children()
        subprocess.run(
            [sys.executable, "-m", "farm.cli", "status"],
            env=farm.environment, cwd=farm.home, check=True, capture_output=True,
        )  # fmt: skip
        found.append(1000 * (children() - before))
    return min(found)


def children() -> float:
    times = os.times()
    return times.children_user + times.children_system


# --- working -----------------------------------------------------------------------------------


def working(workers: int, shapes: int, task_s: float, seconds: float) -> dict[str, float]:
    """A job in its stride, the loss of 30 % of the workers, then as fast as tasks can go out."""
    with a_farm() as farm:
        controller = farm.control()
        job = farm.submit(shapes)
        until(lambda: farm.store.job(job).state == "running")  # type: ignore[union-attr]
        lost = max(1, round(LOST * workers))
        doomed = farm.simulate(0, lost, task_s)
        for first in range(lost, workers, 350):
            farm.simulate(first, min(350, workers - first), task_s)
        until(lambda: farm.store.leased(job) >= workers)
        time.sleep(3 * BEAT_S)

        steady = window(farm, job, seconds)
        looked = status(farm)
        names = {f"render-{number}@simulated" for number in range(lost)}
        doomed.kill()
        gone = time.perf_counter()
        held = {name for name, lease in leases(farm, job).items() if lease in names}
        back: dict[str, float] = {}
        while len(back) < len(held):
            now = leases(farm, job)
            for name in held - set(back):
                if now.get(name) not in names:
                    back[name] = time.perf_counter() - gone
            assert time.perf_counter() - gone < 300, "they did not come back"
            time.sleep(0.1)
        until(lambda: not set(leases(farm, job).values()) & names)
        return {
            "workers": workers,
            "shapes": shapes,
            "tasks/s": steady["tasks/s"],
            "controller, % of a core": steady["controller, % of a core"],
            "Redis, % of a core": steady["Redis, % of a core"],
            "controller, MB": controller.memory_info().rss / 1e6,
            "Redis, MB": farm.memory_mb(),
            "farm status, CPU ms": looked,
            "lost tasks back, s": max(back.values(), default=0.0),
        }


def rushing(workers: int, seconds: float) -> dict[str, float]:
    """Tasks that take no time: as many as the controller can send out."""
    with a_farm() as farm:
        farm.control()
        for first in range(0, workers, 350):
            farm.simulate(first, min(350, workers - first), 0.0)
        until(lambda: len(farm.store.workers(5.0)) >= workers)
        job = farm.submit(int(2000 * seconds), shard_size=1)
        until(lambda: farm.store.client.hlen(f"farm:{job}:done") > 100)
        found = window(farm, job, seconds)
        assert not over(farm, job), "all tasks were done before the time was over"
        return {"workers": workers, **found}


def over(farm: Farm, job: str) -> bool:
    record = farm.store.job(job)
    return record is None or record.state != "running"


def leases(farm: Farm, job: str) -> dict[str, str]:
    """Task -> the worker that has it."""
    found = farm.store.client.hgetall(f"farm:{job}:leases")
    return {task: lease.partition(" ")[2] for task, lease in found.items()}


def window(farm: Farm, job: str, seconds: float) -> dict[str, float]:
    """Rates over a while."""
    assert farm.controller is not None

    def look() -> tuple[float, float, float, float]:
        done = float(farm.store.client.hlen(f"farm:{job}:done"))
        return time.perf_counter(), done, cpu(farm.controller), cpu(farm.redis)  # type: ignore[arg-type]

    before = look()
    time.sleep(seconds)
    then, done, controller, redis = (b - a for a, b in zip(before, look(), strict=True))
    return {
        "tasks/s": done / then,
        "controller, % of a core": 100 * controller / then,
        "Redis, % of a core": 100 * redis / then,
        "controller, CPU ms/task": 1000 * controller / max(1.0, done),
        "Redis, CPU ms/task": 1000 * redis / max(1.0, done),
    }


# --- what is there without any work --------------------------------------------------------------


def resting(jobs: int) -> dict[str, float]:
    """A look at the jobs, all at rest, as every tick has it, and how it was: all read."""
    with a_farm() as farm:
        for number in range(jobs):
            name = f"{number:012x}"
            text = kinds.canonical({"shapes": 1, "out": "/data/cars"}).decode()
            farm.store.submit(JobRecord(id=name, kind=KIND, role="render", job=text, state=""))
            farm.store.turn(name, "done", "submitted")

        def looked(look: Callable[[], object]) -> tuple[float, float]:
            mine, its = time.process_time(), cpu(farm.redis)
            for _ in range(10):
                look()
            return 100 * (time.process_time() - mine), 100 * (cpu(farm.redis) - its)

        after = looked(farm.store.active)
        before = looked(lambda: [record for record in farm.store.jobs() if record.active])
        return {
            "jobs at rest": jobs,
            "a look, CPU ms": after[0],
            "of Redis, CPU ms": after[1],
            "all read, CPU ms": before[0],
            "of Redis then, CPU ms": before[1],
        }


def connections(workers: int = 3) -> dict[str, float]:
    """What real workers that wait hold open in Redis."""
    with a_farm() as farm:
        before, memory = farm.store.client.info("clients")["connected_clients"], farm.memory_mb()
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "farm.cli", "worker", "render", "--slot", str(slot)],
                env=farm.environment, cwd=farm.home,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            for slot in range(workers)
        ]  # fmt: skip
        until(lambda: len(farm.store.workers(5.0)) == workers)
        time.sleep(3 * BEAT_S)
        found = farm.store.client.info("clients")["connected_clients"] - before
        memory = farm.memory_mb() - memory
        for process in processes:
            process.terminate()
            process.wait()
        return {"connections/worker": found / workers, "Redis, kB/worker": 1e3 * memory / workers}


# --- simulated workers -------------------------------------------------------------------------


@dataclass
class Simulated:
    """One worker: what it has in hand."""

    name: str
    job: str = ""
    task: str = ""
    token: str = ""
    shapes: int = 0
    began: float = 0.0
    done: int = 0


def simulate(first: int, number: int, task_s: float) -> None:
    """Be so many workers until killed; each has its own rhythm, drawn from its number."""
    from farmscale.jobs import simulated as kind

    store = Store(connect(os.environ["FARM_BROKER_URL"]))
    mine = version()
    workers = [Simulated(name=f"render-{n}@simulated") for n in range(first, first + number)]
    chance = random.Random(first)
    started = time.time()
    due: list[tuple[float, int, str]] = []
    now = time.monotonic()
    for index in range(number):
        heapq.heappush(due, (now + chance.uniform(0, BEAT_S), index, "beat"))
    idle = list(range(number))
    tasks: dict[str, int] = {}

    def beat(worker: Simulated) -> None:
        store.beat(
            WorkerRecord(
                name=worker.name, role="render", host="simulated", pid=os.getpid(), version=mine,
                gpu="NVIDIA GeForce RTX 4090", gpus=1, job=worker.job, task=worker.task,
                item=worker.task and f"02958343-{worker.token}", rss_mb=1200.0,
                rates={"shapes": 1.5, "images": 30.0}, tasks=worker.done, started=started,
            )
        )  # fmt: skip
        store.queue_length("render")

    def take(worker: Simulated, job: str, task: str) -> bool:
        worker.token = f"{chance.getrandbits(128):032x}"
        claimed = store.claim(
            job, task, worker.name, worker.token, kind=KIND, lease_s=LEASE_S, alone=False,
            version=mine,
        )  # fmt: skip
        if claimed != "ok":
            return False
        if job not in tasks:
            tasks[job] = len(json.loads(store.task(job, task) or "{}")["shapes"])
        else:
            store.task(job, task)
        worker.job, worker.task, worker.shapes = job, task, tasks[job]
        worker.began = time.monotonic()
        return True

    while True:
        now = time.monotonic()
        if idle:
            for message in store.client.rpop("render", len(idle)) or ():
                where = carried(message)
                assert where is not None
                index = idle.pop()
                if not take(workers[index], *where):
                    idle.append(index)
                    continue
                length = task_s * chance.uniform(0.5, 1.5)
                heapq.heappush(due, (now + length, index, "commit"))
                if length > RENEW_S:
                    heapq.heappush(due, (now + RENEW_S, index, "renew"))
        while due and due[0][0] <= now:
            at, index, what = heapq.heappop(due)
            worker = workers[index]
            match what:
                case "beat":
                    beat(worker)
                    heapq.heappush(due, (at + BEAT_S, index, "beat"))
                case "renew" if worker.task and now - worker.began >= RENEW_S - 0.1:
                    share = min(1.0, (now - worker.began) / max(task_s, 0.1))
                    made = int(worker.shapes * share)
                    store.renew(
                        worker.job, worker.task, worker.name, worker.token, LEASE_S,
                        {"shapes": made, "images": 5 * made},
                    )  # fmt: skip
                    line = json.dumps({"time": time.time(), "level": "info", "line": 60 * "x"})
                    store.log(worker.job, worker.task, [line], 200)
                    heapq.heappush(due, (now + RENEW_S, index, "renew"))
                case "commit":
                    made = kind.made(worker.job, worker.task, worker.shapes)
                    store.commit(
                        worker.job, worker.task, worker.name, worker.token, kinds.canonical(made),
                        {"shapes": made.shapes, "images": made.images},
                    )  # fmt: skip
                    worker.job = worker.task = ""
                    worker.done += 1
                    idle.append(index)
        wait = (due[0][0] if due else now + 0.05) - time.monotonic()
        time.sleep(min(0.05, max(0.001, wait)))


# --- the command -------------------------------------------------------------------------------


def main() -> None:
    if sys.argv[1:2] == ["simulate"]:
        simulate(int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "what", nargs="?", choices=("plan", "work", "rush", "rest", "all"), default="all"
    )
    parser.add_argument("--shapes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--shard-size", type=int, default=0, help="0: as rendering decides")
    parser.add_argument("--task-s", type=float, default=20.0, help="seconds of a task, on average")
    parser.add_argument("--seconds", type=float, default=30.0, help="of a measurement")
    options = parser.parse_args()
    if options.what in ("plan", "all"):
        show([planning(shapes, options.shard_size) for shapes in options.shapes])
    if options.what in ("work", "all"):
        shapes = max(options.shapes)
        show([working(n, shapes, options.task_s, options.seconds) for n in options.workers])
    if options.what in ("rush", "all"):
        show([rushing(n, min(options.seconds, 10.0)) for n in options.workers])
    if options.what in ("rest", "all"):
        show([resting(number) for number in (100, 1000, 10_000)])
        show([connections()])


def show(rows: list[dict[str, float]]) -> None:
    """One line for each figure, one column for each case."""
    for name in rows[0]:
        cells = [
            f"{row[name]:>12,.0f}" if row[name] >= 100 else f"{row[name]:>12.2f}" for row in rows
        ]
        print(f"{name:<26}{''.join(cells)}")
    print(flush=True)


if __name__ == "__main__":
    main()
