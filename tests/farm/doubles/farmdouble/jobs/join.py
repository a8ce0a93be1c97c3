"""A job kind that reads what others made: the texts of finished counts, joined into one.

Its scan refuses a folder that is not there or not finished, as the real kinds do.
"""

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
    """Join what was counted."""

    data: tuple[str, ...]
    """Folders of finished counts, or of what was joined."""
    one: str | None = None
    """One folder more."""
    out: str | None = None
    """Folder of the result."""
    seconds: float = 0.0
    """Work."""
    seed: int = 0
    """Any number."""
    fail: bool = False
    """Fail."""


@dataclass(frozen=True, kw_only=True)
class Task:
    name: str


@dataclass(frozen=True, kw_only=True)
class Done:
    name: str
    joined: int
    failed: tuple[str, ...] = ()


def resolve(job: Job, cwd: Path) -> Job:
    return replace(
        job,
        data=tuple(str(cwd / folder) for folder in job.data),
        one=str(cwd / job.one) if job.one else None,
        out=str(cwd / (job.out or "data/joined")),
    )


def reads(job: Job, task: Task | None) -> Iterator[str]:
    yield from (*job.data, *((job.one,) if job.one else ()))


def writes(job: Job, task: Task | None) -> Iterator[str]:
    yield str(job.out)


def scan(job: Job) -> tuple[str, ...]:
    folders = (*job.data, *((job.one,) if job.one else ()))
    for folder in folders:
        index = Path(folder) / "index.json"
        if not index.exists() or not json.loads(index.read_text())["complete"]:
            raise ValueError(f"{folder} is not finished")
    return folders


def prepare(job: Job, scanned: tuple[str, ...]) -> None:
    Path(job.out or "").mkdir(parents=True, exist_ok=True)


def plan(job: Job, scanned: tuple[str, ...]) -> Iterator[Task]:
    yield Task(name="join")


def units(job: Job, task: Task) -> dict[str, int]:
    return {"joins": 1}


def done(job: Job, task: Task) -> Done | None:
    path = Path(job.out or "") / "count-joined.txt"
    return Done(name=task.name, joined=len(path.read_text().split())) if path.exists() else None


def publish(job: Job, scanned: tuple[str, ...], dones: Any, complete: bool) -> None:
    _write(Path(job.out or "") / "index.json", json.dumps({"complete": complete}))


def estimate(job: Job, scanned: tuple[str, ...]) -> dict[str, int]:
    return {"joins": len(scanned)}


def summary(job: Job, dones: Any) -> str:
    return f"{job.out}: joined"


def run(job: Job, task: Task, lease: Any) -> Done:
    if found := done(job, task):
        return found
    if job.fail and not (Path(job.out or "") / "mended").exists():
        raise RuntimeError("this cannot be joined")
    deadline = time.monotonic() + job.seconds
    while time.monotonic() < deadline:
        time.sleep(0.05)
        lease.progress()
    parts = [path for folder in scan(job) for path in sorted(Path(folder).glob("count-*.txt"))]
    lease.commit()
    with (Path(job.out or "") / "work.log").open("a") as log:
        log.write(f"join {os.getpid()}\n")
    _write(Path(job.out or "") / "count-joined.txt", "".join(p.read_text() for p in parts))
    found = done(job, task)
    assert found is not None
    return found


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    os.replace(temporary, path)
