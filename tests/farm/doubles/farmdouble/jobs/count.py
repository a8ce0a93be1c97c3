"""A job kind without Blender: each item becomes a line of a text file.

Items with a name of a certain kind behave badly, so that the farm can be tested:
abort-*, exit-*, sleep-*, fat-*, full-*, bad-*, blank-*, raise-*, chatter-*, talk-N (lines);
flaky-* fails on its first try.
It keeps the promises of a real kind: fragments in .staging, products by rename, an index.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

ROLE = "count"
NOT_IDENTITY = frozenset({"max_failures"})


@dataclass(frozen=True, kw_only=True)
class Job:
    """Count things: the farm's own test double.

    Example: farm submit count --things a b c
    """

    things: tuple[str, ...]
    """What to count; `n:40` stands for forty good things."""
    out: str | None = None
    """Folder of the result."""
    per_task: int = 4
    """Things per task."""
    seconds: float = 0.0
    """Work per thing."""
    seed: int = 0
    """Any number."""
    max_failures: str = "100%"
    """Stop when more things than this failed: a share or a count."""

    def __post_init__(self) -> None:
        if self.per_task < 1:
            raise ValueError(f"per-task ({self.per_task}) must be at least 1")


@dataclass(frozen=True, kw_only=True)
class Task:
    name: str
    items: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Failed:
    id: str
    failure_class: str
    reason: str
    tries: int


@dataclass(frozen=True, kw_only=True)
class Done:
    name: str
    shapes: int
    images: int
    failed: tuple[Failed, ...] = ()


def resolve(job: Job, cwd: Path) -> Job:
    return replace(job, out=str(cwd / (job.out or "data/counted")))


def reads(job: Job, task: Task | None) -> Iterator[str]:
    yield from (thing for thing in job.things if thing.startswith("/"))


def writes(job: Job, task: Task | None) -> Iterator[str]:
    yield str(job.out)


def scan(job: Job) -> tuple[str, ...]:
    found: list[str] = []
    for thing in job.things:
        if thing == "missing":
            raise ValueError("no things named 'missing'; there are good-0, good-1, ...")
        start, _, count = thing.partition(":")
        found += [f"good-{i:05d}" for i in range(int(count))] if start == "n" else [thing]
    return tuple(found)


def plan(job: Job, scanned: tuple[str, ...]) -> Iterator[Task]:
    for start in range(0, len(scanned), job.per_task):
        number = start // job.per_task
        yield Task(name=f"count-{number:06d}", items=scanned[start : start + job.per_task])


def prepare(job: Job, scanned: tuple[str, ...]) -> None:
    text = json.dumps({"job": asdict(job), "things": scanned})
    path = _out(job) / "job.json"
    if path.exists() and json.loads(path.read_text())["things"] != list(scanned):
        raise ValueError(f"{path.parent}: holds another count; give another --out")
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, text)


def units(job: Job, task: Task) -> dict[str, int]:
    return {"shapes": len(task.items), "images": 3 * len(task.items)}


def done(job: Job, task: Task) -> Done | None:
    try:
        found = json.loads((_out(job) / f"{task.name}.json").read_text())
    except FileNotFoundError:
        return None
    return Done(
        name=task.name,
        shapes=found["shapes"],
        images=3 * found["shapes"],
        failed=tuple(Failed(**failure) for failure in found["failed"]),
    )


def publish(job: Job, scanned: tuple[str, ...], dones: Any, complete: bool) -> None:
    names = sorted(done.name for done in dones)
    _write(_out(job) / "index.json", json.dumps({"complete": complete, "names": names}))


def estimate(job: Job, scanned: tuple[str, ...]) -> dict[str, float]:
    return {"shapes": len(scanned), "images": 3 * len(scanned), "cpu_hours": 0.0, "bytes": 1000}


def summary(job: Job, dones: Any) -> str:
    return f"{job.out}: {sum(done.shapes for done in dones)} things counted"


def run(job: Job, task: Task, lease: Any) -> Done:
    out, staging = _out(job), _out(job) / ".staging"
    found = done(job, task)
    if found is not None and all(
        f.id in lease.failed or f.failure_class == "bad_input" for f in found.failed
    ):
        return found
    staging.mkdir(parents=True, exist_ok=True)
    worth_another_try = False
    lines = []
    for item in task.items:
        if item in lease.failed:
            continue
        fragment = staging / item
        lease.start(item)
        if not fragment.exists():
            try:
                _work(job, item, lease)
            except Trouble as trouble:
                lease.fail(item, trouble.args[0], "as its name says")
                worth_another_try |= trouble.args[0] != "bad_input"
                continue
            with (out / "work.log").open("a") as log:
                log.write(f"{item} {os.getpid()}\n")
            _write(fragment, f"{item}\n")
        lines.append(fragment.read_text())
        lease.finish(item, shapes=1, images=3)
    if worth_another_try:
        raise lease.Retry
    failed = [
        {
            "id": item,
            "failure_class": lease.failed[item].cls,
            "reason": lease.failed[item].reason,
            "tries": lease.failed[item].tries,
        }
        for item in task.items
        if item in lease.failed
    ]
    failed += [
        {"id": item, "failure_class": "bad_input", "reason": "as its name says", "tries": 1}
        for item in task.items
        if item.startswith("bad-") and item not in lease.failed
    ]
    lease.commit()
    _write(out / f"{task.name}.txt", "".join(lines))
    _write(out / f"{task.name}.json", json.dumps({"shapes": len(lines), "failed": failed}))
    return Done(
        name=task.name,
        shapes=len(lines),
        images=3 * len(lines),
        failed=tuple(Failed(**failure) for failure in failed),
    )


class Trouble(Exception):
    """What a badly behaved item raises."""


def _work(job: Job, item: str, lease: Any) -> None:
    behaviour = item.partition("-")[0]
    if behaviour == "abort":
        os.abort()
    if behaviour == "chatter":
        os.write(1, b"Blender chatters here\n")
    if behaviour == "talk":
        for number in range(int(item.partition("-")[2])):
            os.write(2, b"line %d of what it says\n" % number)
    if behaviour == "exit":
        os._exit(3)
    if behaviour == "sleep":
        time.sleep(3600)
    if behaviour == "fat":
        ballast = bytearray(400_000_000)
        time.sleep(60)
        del ballast
    if behaviour == "raise":
        raise RuntimeError("this thing cannot be counted")
    if behaviour == "full":
        raise OSError(28, "No space left on device", job.out)
    if behaviour == "bad":
        raise Trouble("bad_input")
    if behaviour == "blank":
        raise Trouble("blank")
    if behaviour == "flaky":
        mark = _out(job) / f"tried-{item}"
        if not mark.exists():
            mark.touch()
            raise Trouble("crash")
    deadline = time.monotonic() + job.seconds
    while time.monotonic() < deadline:
        time.sleep(min(0.05, job.seconds))
        lease.progress(item=item)


def _out(job: Job) -> Path:
    assert job.out is not None
    return Path(job.out)


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    os.replace(temporary, path)
