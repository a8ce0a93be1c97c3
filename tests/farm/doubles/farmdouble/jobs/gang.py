"""A job kind whose tasks run side by side: they meet, and the first of them counts for all."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROLE = "count"
NOT_IDENTITY: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Job:
    """Count together."""

    out: str | None = None
    """Folder of the result."""
    nodes: int = 2
    """How many count."""
    steps: int = 20
    """How far."""
    hold: bool = False
    """Leave the last step until there is a file `enough`."""
    bad_at: int | None = None
    """The step at which the second one finds something wrong."""
    seed: int = 0
    """Any number."""


@dataclass(frozen=True, kw_only=True)
class Task:
    name: str
    node: int = 0


@dataclass(frozen=True, kw_only=True)
class Done:
    name: str
    steps: int
    failed: tuple[str, ...] = ()


class Wrong(Exception):
    failure_class = "bad_input"


def resolve(job: Job, cwd: Path) -> Job:
    return replace(job, out=str(cwd / (job.out or "data/together")))


def reads(job: Job, task: Task | None) -> Iterator[str]:
    yield from ()


def scan(job: Job) -> None: ...


def plan(job: Job, scanned: None) -> Iterator[Task]:
    for node in range(job.nodes):
        yield Task(name=f"gang-{node}", node=node)


def together(job: Job) -> int:
    return job.nodes


def prepare(job: Job, scanned: None) -> None:
    _out(job).mkdir(parents=True, exist_ok=True)


def units(job: Job, task: Task) -> dict[str, int]:
    return {"steps": 0 if task.node else job.steps}


def done(job: Job, task: Task) -> Done | None:
    return Done(name=task.name, steps=_share(job, task)) if _steps(job) == job.steps else None


def publish(job: Job, scanned: None, dones: Any, complete: bool) -> None: ...


def estimate(job: Job, scanned: None) -> dict[str, float]:
    return {"steps": job.steps}


def summary(job: Job, dones: Any) -> str:
    return f"{job.out}: {job.steps} steps"


def run(job: Job, task: Task, lease: Any) -> Done:
    sizes = range(1, job.nodes + 1)
    while _steps(job) < job.steps:
        meeting = lease.meet(1000 + task.node, sizes)
        with (_out(job) / "rounds.log").open("a") as log:
            facts = {"task": task.name, "pid": os.getpid(), "at": _steps(job)}
            log.write(json.dumps({**facts, "round": meeting.round, "size": meeting.size}) + "\n")
        while _steps(job) < job.steps and lease.stands(sizes):
            held = job.hold and not (_out(job) / "enough").exists()
            if meeting.place == 0 and not (held and _steps(job) == job.steps - 1):
                _write(job, _steps(job) + 1)
                lease.finish(task.name, steps=1)
            lease.progress(at=f"round {meeting.round}")
            if task.node == 1 and job.bad_at is not None and _steps(job) >= job.bad_at:
                raise Wrong("this cannot be counted")
            time.sleep(0.1)
    lease.commit()
    return Done(name=task.name, steps=_share(job, task))


def _share(job: Job, task: Task) -> int:
    return 0 if task.node else job.steps


def _out(job: Job) -> Path:
    assert job.out is not None
    return Path(job.out)


def _steps(job: Job) -> int:
    try:
        return int((_out(job) / "steps").read_text())
    except FileNotFoundError:
        return 0


def _write(job: Job, steps: int) -> None:
    temporary = _out(job) / f".steps.{os.getpid()}"
    temporary.write_text(str(steps))
    os.replace(temporary, _out(job) / "steps")
