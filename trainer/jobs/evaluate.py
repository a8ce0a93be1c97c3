"""The evaluate job: a run and datasets in, figures and predictions out.

Only plain data at the top: the controller imports this file on machines that have no torch.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from renderer import storage

ROLE = "train"
NETWORK = True  # weights that are fetched
LABEL = ("run", "split")
NOT_IDENTITY = frozenset({"device", "loaders"})
PRODUCT = "run"  # an evaluation belongs to it
EXAMPLE = """\
    farm submit evaluate --run runs/rn --data data/cars data/chairs --split test"""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Measure how good a run's network is."""

    run: str
    """The run's folder."""
    data: tuple[str, ...] = ()
    """Folders of datasets; by default those it was trained on, as they were then."""
    split: str = "test"
    """Which shapes of them."""
    checkpoint: str = "best"
    """best, last, or a step."""
    out: str | None = None
    """Where it is written, as SPLIT-ID; by default the run's evaluations/."""
    device: str = "auto"
    """auto (a GPU where there is one), cpu, cuda."""
    loaders: int | None = None
    """Processes that read examples; by default the cores to spare."""

    def __post_init__(self) -> None:
        if self.checkpoint not in ("best", "last") and not self.checkpoint.isdecimal():
            raise ValueError(f"--checkpoint {self.checkpoint}: best, last or a step is wanted")


@dataclass(frozen=True, kw_only=True)
class Task:
    """The whole evaluation."""

    name: str
    step: int | None = None
    """Of the checkpoint; None: whichever it is then."""
    snapshot: str = ""
    """Id of the datasets."""


@dataclass(frozen=True, kw_only=True)
class Done:
    name: str
    folder: str
    """Of the evaluation."""
    step: int
    metrics: dict[str, float | None]
    failed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Scanned:
    step: int
    snapshot: str
    shapes: int


def resolve(job: Job, cwd: Path) -> Job:
    run = storage.absolute(job.run, cwd)
    out = storage.absolute(job.out, cwd) if job.out else str(storage.place(run) / "evaluations")
    data = tuple(storage.absolute(folder, cwd) for folder in job.data)
    return dataclasses.replace(job, run=run, data=data, out=out)


def reads(job: Job, task: Task | None) -> Iterator[str]:
    yield job.run
    yield from job.data


def far(job: Job) -> bool:
    """Whether the run's own datasets are in an object store, though the run is not."""
    if job.data:
        return False
    with contextlib.suppress(OSError):
        return b'"s3://' in (Path(job.run) / "data.json").read_bytes()
    return False


def writes(job: Job, task: Task | None) -> Iterator[str]:
    out = storage.place(job.out or "")
    yield str(out / evaluation_name(job.split, task.snapshot) if task else out)


def scan(job: Job) -> Scanned:
    """Look at run and datasets. Raises FileNotFoundError, ValueError for what is not there."""
    from trainer.run import Run, snapshot_for

    run = Run(job.run)
    snapshot = snapshot_for(run, job.data)
    return Scanned(
        step=run.checkpoint(job.checkpoint).step,
        snapshot=snapshot.id,
        shapes=len(snapshot.items(job.split)),
    )


def prepare(job: Job, scanned: Scanned) -> None:
    """The run's folder is claimed already."""


def estimate(job: Job, scanned: Scanned) -> dict[str, Any]:
    return {"shapes": scanned.shapes, "checkpoint": scanned.step}


def plan(job: Job, scanned: Scanned) -> Iterator[Task]:
    yield Task(name="evaluate", step=scanned.step, snapshot=scanned.snapshot)


def units(job: Job, task: Task) -> dict[str, int]:
    return {"evaluations": 1}


def run(job: Job, task: Task, lease: Any) -> Done:
    from trainer.measure import evaluate

    return Done(name=task.name, **evaluate(job, lease))


def done(job: Job, task: Task) -> Done | None:
    """What is on storage of that checkpoint and those datasets; None where there is nothing."""
    from trainer.run import evaluated

    assert job.out is not None, "resolve() names the folder"
    folder = storage.place(job.out) / evaluation_name(job.split, task.snapshot)
    try:
        found = evaluated(folder)
    except (FileNotFoundError, ValueError):
        return None
    if (found.step, found.snapshot) != (task.step, task.snapshot):
        return None
    return Done(name=task.name, folder=str(folder), step=found.step, metrics=dict(found.metrics))


def publish(job: Job, scanned: Scanned, dones: Sequence[Done], complete: bool) -> None:
    """An evaluation is a folder of its own."""


def summary(job: Job, dones: Sequence[Done]) -> str:
    """The table of figures."""
    done = dones[0]
    width = max(map(len, done.metrics), default=0)
    lines = [
        f"{storage.short(job.run)} at step {done.step} on {job.split}: {storage.short(done.folder)}"
    ]
    for name, value in done.metrics.items():
        lines.append(f"  {name:<{width}}  {'none' if value is None else f'{value:.4g}'}")
    return "\n".join(lines)


def result(job: Job, dones: Sequence[Done]) -> dict[str, Any]:
    """What `--json` prints of it."""
    done = dones[0]
    return {"metrics": done.metrics, "step": done.step, "evaluation": done.folder}


def evaluation_name(split: str, snapshot: str) -> str:
    """The name of an evaluation's folder."""
    return f"{split}-{snapshot[:8]}"
