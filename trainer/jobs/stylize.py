"""The stylize job: a dataset and a run in, the same dataset with other colours out.

Only plain data at the top: the controller imports this file on machines that have no torch.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from renderer import storage
from renderer.storage import Place
from trainer import output
from trainer.output import Failed

ROLE = "train"
NETWORK = True  # weights that are fetched
LABEL = ("data", "run")
NOT_IDENTITY = frozenset({"max_failures", "device", "batch"})
EXAMPLE = """\
Depth, cameras, clouds and masks are the same bytes as in the dataset it is made from.
The same line again goes on where it stopped.

    farm submit stylize --data data/cars --run runs/aist --out data/cars-styled"""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Give a dataset's pictures the look that a run has learnt."""

    data: str
    """Folder of a finished dataset."""
    run: str
    """Folder of a run whose model can stylize, such as aist."""
    out: str | None = None
    """The new dataset's folder; by default named after both: data/cars-aist."""
    checkpoint: str = "best"
    """best, last, or a step."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 on GPUs that have it, else fp32."""
    device: str = "auto"
    """auto (a GPU where there is one), cpu, cuda."""
    batch: int | None = None
    """Pictures at once; by default 64 on a GPU, else 8; fewer where memory is short."""
    max_failures: str = "10%"
    """Stop when more shapes than this fail: a share or a count."""

    def __post_init__(self) -> None:
        if self.checkpoint not in ("best", "last") and not self.checkpoint.isdecimal():
            raise ValueError(f"--checkpoint {self.checkpoint}: best, last or a step is wanted")
        if self.device.partition(":")[0] not in ("auto", "cpu", "cuda"):
            raise ValueError(f"--device {self.device}: auto, cpu or cuda is wanted")
        if self.batch is not None and self.batch < 1:
            raise ValueError(f"--batch {self.batch}: at least 1")

    @property
    def folder(self) -> Place:
        assert self.out is not None, "resolve() names the folder"
        return storage.place(self.out)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A shard of the dataset that is stylized."""

    name: str
    """train-000000"""
    bytes: int
    sha256: str
    keys: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Scanned:
    """What storage says before anything is planned."""

    parent: dict[str, Any]
    """As the new index names it."""
    shards: tuple[Source, ...]
    views: int
    members: tuple[str, ...]
    conventions: dict[str, Any]
    sources: list[Any]


@dataclass(frozen=True, kw_only=True)
class Task:
    """One shard."""

    name: str
    items: tuple[str, ...]
    """Keys of the shapes."""
    views: int
    step: int
    """Of the checkpoint."""
    sha256: str
    """Of the parent's shard."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """One shard that is on storage."""

    name: str
    shapes: int
    images: int
    bytes: int
    sha256: str
    failed: tuple[Failed, ...]
    created_with: str
    """JSON list of the versions and devices that its samples were made with."""

    @property
    def samples(self) -> int:
        return self.shapes


# --- before the job ----------------------------------------------------------------------------


def resolve(job: Job, cwd: Path) -> Job:
    """The job with full paths and the folder's name."""
    data, run = storage.absolute(job.data, cwd), storage.absolute(job.run, cwd)
    name = f"{storage.place(data).name}-{storage.place(run).name}"[:100]
    out = storage.absolute(job.out or str(Path("data") / name), cwd)
    return dataclasses.replace(job, data=data, run=run, out=out)


def reads(job: Job, task: Task | None) -> Iterator[str]:
    yield from (job.data, job.run)


def writes(job: Job, task: Task | None) -> Iterator[str]:
    yield str(job.folder / task.name) if task else str(job.folder)


def scan(job: Job) -> Scanned:
    """Look at dataset and run, once.

    Raises FileNotFoundError, ValueError for what is not there or will not do.
    """
    from renderer.shards import Dataset
    from trainer.run import Run

    run = Run(job.run)
    _check_model(run.job.model, job.run)
    checkpoint = run.checkpoint(job.checkpoint)
    dataset = Dataset(job.data)
    if not dataset.complete:
        raise ValueError(f"{job.data} is not finished; let its job finish first: `farm status`")
    if not len(dataset):
        raise ValueError(f"{job.data} has no shapes")
    if job.folder == storage.place(job.data):
        raise ValueError(f"--out {job.out} is the dataset itself; give another")
    members = tuple(dataset.index["members"])
    sources = tuple(
        Source(
            name=Path(shard["name"]).stem,
            bytes=shard["bytes"],
            sha256=shard["sha256"],
            keys=tuple(sample["key"] for sample in dataset.sidecar(number)["samples"]),
        )
        for number, shard in enumerate(dataset.shards)
    )
    parent = {
        "id": dataset.id,
        "folder": storage.place(job.data).name,
        "samples": len(dataset),
        "run": storage.place(job.run).name,
        "model": run.job.model,
        "step": checkpoint.step,
        "network": _sha256(checkpoint.folder / "network.safetensors"),
    }
    return Scanned(
        parent=parent,
        shards=sources,
        views=sum(member.endswith(".rgba.png") for member in members),
        members=members,
        conventions=dataset.index["conventions"],
        sources=dataset.index["sources"],
    )


def prepare(job: Job, scanned: Scanned) -> None:
    """Claim the folder by writing job.json, or find it ours.

    Raises ValueError when it is another's, when dataset or checkpoint have changed since, or when
    the disk is too small.
    """
    from renderer.shards import Dataset

    keys = [key for source in scanned.shards for key in source.keys]
    shapes, origins = _made_of(Dataset(job.data), keys)
    if output.owner(job.folder) is None:
        output.check_room(job.folder, estimate(job, scanned)["bytes"])
    output.claim(
        job.folder,
        "stylize",
        output.identity(job, NOT_IDENTITY),
        shapes=shapes,
        parent=scanned.parent,
        origins=origins,
    )


def estimate(job: Job, scanned: Scanned) -> dict[str, Any]:
    """For --dry-run. Colours from a network are finer noise than a render's: larger PNGs."""
    shapes = sum(len(source.keys) for source in scanned.shards)
    return {
        "shapes": shapes,
        "images": shapes * scanned.views,
        "checkpoint": scanned.parent["step"],
        "bytes": int(1.3 * sum(source.bytes for source in scanned.shards)),
    }


def plan(job: Job, scanned: Scanned) -> Iterator[Task]:
    """One task for each shard of the parent that has samples, under the same name."""
    for source in scanned.shards:
        if source.keys:
            yield Task(
                name=source.name,
                items=source.keys,
                views=scanned.views,
                step=scanned.parent["step"],
                sha256=source.sha256,
            )


def units(job: Job, task: Task) -> dict[str, int]:
    return {"shapes": len(task.items), "images": len(task.items) * task.views}


# --- one task ----------------------------------------------------------------------------------


def run(job: Job, task: Task, lease: Any) -> Done:
    """Stylize one shard: what is missing of it, then write it whole."""
    from trainer.stylize_task import make_shard

    return make_shard(job, task, lease)


def done(job: Job, task: Task) -> Done | None:
    """What storage says of the task's shard; None where it is missing or not whole."""
    shard = output.written(job.folder, task.name)
    if shard is None or {*shard.keys, *(f.id for f in shard.failed)} != set(task.items):
        return None
    return Done(
        name=shard.name,
        shapes=shard.samples,
        images=shard.images,
        bytes=shard.bytes,
        sha256=shard.sha256,
        failed=shard.failed,
        created_with=shard.created_with,
    )


def publish(job: Job, scanned: Scanned, dones: Sequence[Done], complete: bool) -> None:
    """Rewrite the index from the shards that are on storage."""
    output.publish(
        job.folder,
        dones,
        complete,
        job=output.identity(job, NOT_IDENTITY),
        members=scanned.members,
        parent=scanned.parent,
        conventions=scanned.conventions,
        sources=scanned.sources,
    )


def summary(job: Job, dones: Sequence[Done]) -> str:
    """For people, when it is done."""
    where, size = storage.short(job.folder), sum(done.bytes for done in dones)
    shapes, images = sum(done.shapes for done in dones), sum(done.images for done in dones)
    failed = sum(len(done.failed) for done in dones)
    lines = [
        f"{where}: {shapes} shapes, {images} images, {size / 1e6:.1f} MB in {len(dones)} shards"
    ]
    if failed:
        lines.append(f"{failed} shapes failed; `farm dataset info {where}` says which and why")
    lines += [
        f"  look at it    farm dataset preview {where} --out preview.png",
        f"  prove it      farm dataset verify {where}",
        f"  train on it   farm submit train --model dpc --data {where}",
    ]
    return "\n".join(lines)


# --- details -----------------------------------------------------------------------------------


def _check_model(model: str, run: str) -> None:
    """Raises ValueError for a model that cannot stylize, with those that can; imports none."""
    from trainer import catalogue

    able = catalogue.that_have("stylize")
    if model not in able:
        raise ValueError(
            f"{run} is a run of {model}, which cannot stylize; "
            f"give one of {', '.join(able) or 'a model that can'}"
        )


def _made_of(dataset: Any, keys: Sequence[str]) -> tuple[list[Any], list[Any]]:
    """The shapes of job.json, and its origins: where the annotations were first made, so that
    they can still be checked against their recipe (renderer.dataset.origin)."""
    wanted, note = set(keys), output.owner(dataset.folder) or {}
    shapes = {shape["key"]: shape for shape in note.get("shapes", ()) if shape["key"] in wanted}
    if len(shapes) < len(wanted):  # photos, and datasets without job.json: the samples know
        for sample in dataset:
            known = {"key": sample.key, "category": sample.key.partition("-")[0]}
            shapes.setdefault(sample.key, {**known, **sample.meta.get("shape", {})})
    origins = note.get("origins") or [
        {
            "id": dataset.id,
            "kind": note.get("kind", "unknown"),
            "job": dataset.index["job"],
            "views": None,
            "shapes": list(keys),
        }
    ]
    mine = [
        {**one, "shapes": [key for key in one["shapes"] if key in wanted], "restyled": True}
        for one in origins
    ]
    return [shapes[key] for key in sorted(wanted)], [one for one in mine if one["shapes"]]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
