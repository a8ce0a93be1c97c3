"""The render job: shapes in, a proven multi-view dataset out.

Only plain data and pure functions at the top: the controller imports this file on machines that
have no Blender.  What is heavy is imported by the function that needs it.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from renderer import storage
from renderer.shapes.shape import Shape

if TYPE_CHECKING:
    from renderer.growth import Kept

ROLE = "render"
NOT_IDENTITY = frozenset({"max_failures", "add"})
PASSES = ("rgba", "depth", "normal", "albedo", "mask")
MAX_SHARD_SIZE = 64
MIN_TASKS = 32


@dataclass(frozen=True, kw_only=True)
class Job:
    """Render shapes from many sides, with point clouds, into shards."""

    shapes: tuple[str, ...]
    """Addresses: samples/cars, shapenet/chair, modelnet/desk, or a folder or file; several may be
    given."""
    out: str | None = None
    """The dataset's folder, or s3://bucket/folder; by default named after the address:
    data/samples-cars."""
    views: int | None = None
    """Pictures of each shape; a fixed rig has its own number, else 5."""
    cameras: str = "dpc"
    """Where the cameras stand: dpc (random), circle (12), dodecahedron (20), miro (160),
    hammersley, orbit, street (random, low, as photos are taken)."""
    size: int = 128
    """Pixels along each side of a picture."""
    spp: int = 16
    """Path-traced samples per pixel; 64 for higher quality."""
    passes: str = "rgba,depth,normal,albedo,mask"
    """What is stored of each view, with commas between."""
    points: int = 16384
    """Points of each ground-truth cloud; 0 for none."""
    seed: int = 0
    """Of everything random."""
    split: str = "auto"
    """auto: the source's own, else 70/10/20; or a ratio; or a file of lines `shape,split`."""
    shard_size: int | Literal["auto"] = "auto"
    """Shapes in each shard."""
    up: Literal["y", "z"] | None = None
    """Which axis of the files points up, where they differ from their format's habit."""
    limit: int | None = None
    """Only so many shapes of each address; for samples/, how many are made."""
    max_failures: str = "10%"
    """Stop when more shapes than this fail: a share or a count."""
    add: bool = False
    """Add to the finished dataset in --out: more views, more shapes, repaired shapes."""

    def __post_init__(self) -> None:
        if not self.shapes or not all(self.shapes):
            raise ValueError("--shapes is empty; give an address such as samples/cars")
        _within("--size", self.size, 8, 4096)
        _within("--spp", self.spp, 1, 65536)
        _within("--points", self.points, 0, 10_000_000)
        _within("--seed", self.seed, 0, 2**63 - 1)
        if self.shard_size != "auto":
            _within("--shard-size", self.shard_size, 1, 100_000)
        if self.limit is not None:
            _within("--limit", self.limit, 1, 10**9)
        if self.views is not None:
            _within("--views", self.views, 1, 1000)
        for name in self.pass_names:
            if name not in PASSES:
                raise ValueError(f"--passes: no pass {name!r}; there are {', '.join(PASSES)}")
        if len(set(self.pass_names)) != len(self.pass_names):
            raise ValueError(f"--passes {self.passes} names a pass twice")
        if "rgba" not in self.pass_names:
            raise ValueError(f"--passes {self.passes} lacks rgba, which every dataset has")

    @property
    def pass_names(self) -> tuple[str, ...]:
        return tuple(self.passes.split(","))

    @property
    def folder(self) -> storage.Place:
        assert self.out is not None, "resolve() names the folder"
        return storage.place(self.out)


@dataclass(frozen=True, kw_only=True)
class Task:
    """One shard."""

    name: str
    """train-000000"""
    split: str
    shapes: tuple[Shape, ...]
    items: tuple[str, ...]
    """Keys of the shapes."""
    grows: bool = False
    """Whether a finished dataset is added to, which may have views of these shapes."""


@dataclass(frozen=True, kw_only=True)
class Failed:
    """One shape that is not in the dataset."""

    id: str
    failure_class: str
    reason: str
    tries: int


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


@dataclass(frozen=True, kw_only=True)
class Scanned:
    """What storage says before anything is planned."""

    shapes: tuple[Shape, ...]
    kept: tuple[Kept, ...] = ()
    first: int = 0
    """Number of the first new shard."""


# --- before the job ----------------------------------------------------------------------------


def resolve(job: Job, cwd: Path) -> Job:
    """The job with nothing left open: full paths, the number of views, the folder's name."""
    from renderer.camera import rig_views
    from renderer.shapes import source, sources

    folder_source = sources()["folder"]
    shapes = tuple(
        storage.absolute_path(a, cwd) if source(a)[0] is folder_source else a.strip("/")
        for a in job.shapes
    )
    out = job.out or str(Path("data") / default_name(shapes))
    split = job.split
    if split != "auto":
        from renderer.split import parse_ratio, read_list

        if parse_ratio(split) is None:
            split = storage.absolute_path(split, cwd)
            read_list(Path(split))
    return dataclasses.replace(
        job,
        shapes=shapes,
        out=storage.absolute(out, cwd),
        views=rig_views(job.cameras, job.views),
        split=split,
    )


def reads(job: Job, task: Task | None) -> Iterator[str]:
    """Folders and files of shapes; those of a source's own address lie where the machine says."""
    from renderer.shapes import paths

    yield from paths(job.shapes) if task is None else (shape.path for shape in task.shapes)
    if Path(job.split).is_absolute():
        yield job.split


def writes(job: Job, task: Task | None) -> Iterator[str]:
    yield str(job.folder / task.name) if task else str(job.folder)


def default_name(shapes: Sequence[str]) -> str:
    """`samples-cars` of samples/cars; a folder gives its own name."""
    names = [Path(a).stem if Path(a).is_absolute() else a.replace("/", "-") for a in shapes]
    joined = "-".join(dict.fromkeys(names)) or "dataset"
    return joined if len(joined) <= 80 else f"{joined[:60]}-and-more"


def scan(job: Job) -> Scanned:
    """Read storage once: which shapes, with which hashes; what of an older dataset stays.

    Raises ValueError for what cannot be rendered or added to.
    """
    from renderer import growth, ownership, shapes, shards

    found = shapes.scan(job.shapes, up=job.up, limit=job.limit)
    note = ownership.read(job.folder)
    if note is not None and ownership.is_ours(note, job, found):
        kept = tuple(growth.Kept(**{**k, "keys": tuple(k["keys"])}) for k in note["kept"])
        return Scanned(shapes=found, kept=kept, first=note["first"])
    if job.add and note is not None:
        old = shards.Dataset(job.folder)
        growth.check(job, old)
        kept, first = growth.kept_shards(job, found, old)
        return Scanned(shapes=found, kept=kept, first=first)
    return Scanned(shapes=found)


def prepare(job: Job, scanned: Scanned) -> None:
    """Claim the folder by writing job.json, or find it ours.

    Raises ValueError when it is another's, when shapes have changed since, or when the disk is too
    small.
    """
    from renderer import ownership

    seen = storage.version(job.folder / ownership.NAME)
    note = ownership.read(job.folder)
    if note is not None and ownership.is_ours(note, job, scanned.shapes):
        ownership.refuse_changed(job.folder, note, scanned)
        return
    ownership.refuse_foreign(job.folder, note, job)
    needed, free = estimate(job, scanned)["bytes"], storage.free_bytes(job.folder)
    if needed > free:
        raise ValueError(
            f"{job.folder} will need about {_bytes(needed)}, and {_bytes(free)} are "
            "free there; choose another --out, or fewer views or shapes"
        )
    if not ownership.claim(job, scanned, seen):
        prepare(job, scanned)  # somebody was faster: this job's other controller, or another job


def _bytes(number: float) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"


def estimate(job: Job, scanned: Scanned) -> dict[str, Any]:
    """Shapes, images, CPU hours and bytes that are still to be made: a rough guess from measured
    rates (docs/performance.md)."""
    shapes = len(_wanted(scanned))
    images = shapes * (job.views or 0)
    pixels = (job.size / 128) ** 2
    per_image = 0.020 + 0.0072 * job.spp * pixels  # CPU seconds
    passes = {"rgba": 14e3, "depth": 6e3, "normal": 22e3, "albedo": 7e3, "mask": 1e3}
    per_view = sum(passes[name] for name in job.pass_names) * pixels + 2500
    return {
        "shapes": shapes,
        "images": images,
        "cpu_hours": round(images * per_image / 3600, 3),
        "bytes": int(images * per_view + shapes * (job.points * 24 + 2000)),
    }


# --- planning ----------------------------------------------------------------------------------


def plan(job: Job, scanned: Scanned) -> Iterator[Task]:
    """One task per shard.

    Within a split, shapes are ordered by the SHA-256 of their keys: every shard is a fair mixture
    of the categories, so reading shards one after another is nearly a shuffle.
    """
    from renderer.split import SPLITS, assign

    splits = assign(scanned.shapes, job.split)
    size = shard_size(job, len(scanned.shapes))
    wanted = _wanted(scanned)
    for split in (*SPLITS, *sorted(set(splits.values()) - set(SPLITS))):
        mine = [shape for shape in wanted if splits[shape.key] == split]
        mine.sort(key=lambda shape: hashlib.sha256(shape.key.encode()).digest())
        for number, start in enumerate(range(0, len(mine), size), start=scanned.first):
            shapes = tuple(mine[start : start + size])
            yield Task(
                name=f"{split}-{number:06d}",
                split=split,
                shapes=shapes,
                items=tuple(shape.key for shape in shapes),
                grows=scanned.first > 0,
            )


def shard_size(job: Job, shapes: int) -> int:
    """At least 32 tasks where there are as many shapes; never more than 64 shapes in each."""
    if job.shard_size != "auto":
        return job.shard_size
    return max(1, min(MAX_SHARD_SIZE, shapes // MIN_TASKS))


def units(job: Job, task: Task) -> dict[str, int]:
    """What the task will make, for progress."""
    return {"shapes": len(task.shapes), "images": len(task.shapes) * (job.views or 0)}


# --- one task ----------------------------------------------------------------------------------


def run(job: Job, task: Task, lease: Any) -> Done:
    """Make one shard: render what is missing, then write it whole."""
    from renderer.shard_task import make_shard

    return make_shard(job, task, lease)


def done(job: Job, task: Task) -> Done | None:
    """What storage says of the task's shard; None where it is missing or not whole."""
    from renderer import shards

    try:
        sidecar = shards.read_versioned(shards.sidecar_path(job.folder / f"{task.name}.tar"))
        tar = shards.tar_path(job.folder, task.name, sidecar["sha256"])
        log = storage.read_json(shards.log_path(tar))
        size = storage.size(tar)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    keys = {sample["key"] for sample in sidecar["samples"]}
    failed = {failure["id"] for failure in sidecar["failed"]}
    if keys | failed != set(task.items):
        return None
    return Done(
        name=task.name,
        shapes=len(keys),
        images=len(keys) * (job.views or 0),
        bytes=size,
        sha256=sidecar["sha256"],
        failed=tuple(
            Failed(id=f["id"], failure_class=f["class"], reason=f["reason"], tries=f["tries"])
            for f in sidecar["failed"]
        ),
        created_with=_created_with(log),
    )


# --- the index ---------------------------------------------------------------------------------


def publish(job: Job, scanned: Scanned, dones: Sequence[Done], complete: bool) -> None:
    """Rewrite the index from the shards that are on storage."""
    from renderer import index

    index.publish(job, scanned, dones, complete)


def summary(job: Job, dones: Sequence[Done]) -> str:
    """For people, when it is done."""
    shapes, images = sum(d.shapes for d in dones), sum(d.images for d in dones)
    size, failed = sum(d.bytes for d in dones), sum(len(d.failed) for d in dones)
    where = storage.short(job.folder)
    lines = [
        f"{where}: {_count(shapes, 'shape')}, {_count(images, 'image')}, {size / 1e6:.1f} MB "
        f"in {_count(len(dones), 'shard')}"
    ]
    if failed:
        lines.append(
            f"{_count(failed, 'shape')} failed; `farm dataset info {where}` says which and why"
        )
    lines += [
        f"  look at it    farm dataset preview {where} --out preview.png",
        f"  prove it      farm dataset verify {where}",
        f"  in Python     renderer.shards.Dataset({str(where)!r})[0].views[0].rgba",
    ]
    return "\n".join(lines)


# --- details -----------------------------------------------------------------------------------


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _created_with(log: dict[str, Any]) -> str:
    made_with = {
        storage.canonical_json(sample["created_with"]): sample["created_with"]
        for sample in log["samples"].values()
    }
    return storage.canonical_json([made_with[text] for text in sorted(made_with)]).decode()


def _wanted(scanned: Scanned) -> list[Shape]:
    have = {key for kept in scanned.kept for key in kept.keys}
    return [shape for shape in scanned.shapes if shape.key not in have]


def _within(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} {value}: from {low} to {high}")
