"""The render kind with shapes that are only named: planned, claimed, indexed as real ones are.

Nothing is read but what the render kind itself writes; nobody renders, see scale.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from renderer.jobs import render
from renderer.shapes.shape import Shape

ROLE = "render"
NOT_IDENTITY: frozenset[str] = frozenset()
Task, Done = render.Task, render.Done


@dataclass(frozen=True, kw_only=True)
class Job:
    """Shapes that are not there."""

    shapes: int
    """How many."""
    out: str | None = None
    """The dataset's folder."""
    shard_size: int = 0
    """Shapes in each shard; 0: as rendering decides."""
    max_failures: str = "10%"
    """Stop when more shapes than this fail."""

    @property
    def real(self) -> render.Job:
        # Small pictures, or a million shapes would need more disk than there is.
        return render.Job(
            shapes=("samples/cars",), out=self.out, views=5, size=8, points=0, passes="rgba",
            shard_size=self.shard_size or "auto",
        )  # fmt: skip


def resolve(job: Job, cwd: Path) -> Job:
    return Job(shapes=job.shapes, out=str(cwd / str(job.out)), shard_size=job.shard_size)


def scan(job: Job) -> render.Scanned:
    found = []
    for number in range(job.shapes):
        digest = hashlib.sha256(str(number).encode()).hexdigest()
        model = digest[:32]
        found.append(
            Shape(
                key=f"02958343-{model}", id=model, category="car", synset="02958343",
                path=f"/data/ShapeNetCore.v2/02958343/{model}/models/model_normalized.obj",
                sha256=digest, up="y",
            )
        )  # fmt: skip
    return render.Scanned(shapes=tuple(found))


def prepare(job: Job, scanned: render.Scanned) -> None:
    render.prepare(job.real, scanned)


def plan(job: Job, scanned: render.Scanned) -> Iterator[render.Task]:
    yield from render.plan(job.real, scanned)


def units(job: Job, task: render.Task) -> dict[str, int]:
    return render.units(job.real, task)


def done(job: Job, task: render.Task) -> render.Done | None:
    return render.done(job.real, task)


def publish(job: Job, scanned: Any, dones: Sequence[render.Done], complete: bool) -> None:
    render.publish(job.real, scanned, dones, complete)


def estimate(job: Job, scanned: render.Scanned) -> dict[str, Any]:
    return render.estimate(job.real, scanned)


def summary(job: Job, dones: Sequence[render.Done]) -> str:
    return render.summary(job.real, dones)


def run(job: Job, task: render.Task, lease: Any) -> render.Done:
    raise ValueError("shapes that are only named cannot be rendered")


def made(job: Job, task: str, shapes: int) -> render.Done:
    """What a worker that had rendered a task would report."""
    return render.Done(
        name=task, shapes=shapes, images=5 * shapes, bytes=60_000 * shapes,
        sha256=hashlib.sha256(task.encode()).hexdigest(), failed=(),
        created_with='[{"bpy":"5.0.1","device":{"kind":"OPTIX","name":"RTX 4090"}}]',
    )  # fmt: skip
