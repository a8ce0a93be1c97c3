"""The photos job: shapes in, a folder of photo-like pictures out, with masks kept aside as truth.

A stand-in for photos of real things where there are none at hand, and it says so wherever its
pictures are told of.  Only plain data and pure functions at the top: see renderer.jobs.render.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from renderer import storage
from renderer.shapes.shape import Shape

ROLE = "render"
NOT_IDENTITY = frozenset({"max_failures"})
EXAMPLE = """\
    farm submit photos --shapes samples/cars --photos 200 --out photos/cars --seed 7
    farm submit segment --photos photos/cars --masks photos/cars/masks --match data/cars"""
PER_TASK = 8
PER_SHAPE = 4
"""Photos of each shape, where nobody says how many shapes."""
MADE_APART = 10_000
"""Samples by rule are numbered: seed s takes those from (s + 1) * MADE_APART on, which no render
of the first few has."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Make photo-like pictures of shapes: a stand-in for photos of real things."""

    shapes: tuple[str, ...]
    """Addresses, as of `farm submit render`; of samples/cars other cars are taken than a render
    takes, and samples/cars/5000 are those from number 5000 on."""
    photos: int = 200
    """How many."""
    out: str | None = None
    """The folder; by default named after the address: photos/samples-cars."""
    size: int = 320
    """Pixels along each side of a photo."""
    spp: int = 8
    """Path-traced samples per pixel, before denoising."""
    seed: int = 0
    """Of everything random."""
    limit: int | None = None
    """Different shapes of each address; by default one for every four photos."""
    up: str | None = None
    """y or z: which axis of the files points up, where they differ from their format's habit."""
    max_failures: str = "10%"
    """Stop when more photos than this fail: a share or a count."""

    def __post_init__(self) -> None:
        if not self.shapes or not all(self.shapes):
            raise ValueError("--shapes is empty; give an address such as samples/cars")
        _within("--photos", self.photos, 1, 1_000_000)
        _within("--size", self.size, 32, 4096)
        _within("--spp", self.spp, 1, 65536)
        _within("--seed", self.seed, 0, 2**63 - 1)
        if self.limit is not None:
            _within("--limit", self.limit, 1, 10**9)
        if self.up not in (None, "y", "z"):
            raise ValueError(f"--up {self.up}: it is y or z")

    @property
    def folder(self) -> Path:
        assert self.out is not None, "resolve() names the folder"
        return Path(self.out)


@dataclass(frozen=True, kw_only=True)
class Task:
    """A few photos."""

    name: str
    """photos-000000"""
    first: int
    """Number of the first photo; the seed and the number decide what it shows."""
    shapes: tuple[Shape, ...]
    """Of each photo."""
    items: tuple[str, ...]
    """Names of the photos."""


@dataclass(frozen=True, kw_only=True)
class Failed:
    """One photo that is not there."""

    id: str
    failure_class: str
    reason: str
    tries: int


@dataclass(frozen=True, kw_only=True)
class Done:
    """Photos that are on storage."""

    name: str
    photos: int
    failed: tuple[Failed, ...]


@dataclass(frozen=True, kw_only=True)
class Scanned:
    """What storage says before anything is planned."""

    shapes: tuple[Shape, ...]


# --- before the job ------------------------------------------------------------------------------


def resolve(job: Job, cwd: Path) -> Job:
    """The job with nothing left open: full paths, which samples, how many shapes."""
    from renderer.jobs.render import default_name
    from renderer.shapes import source, sources

    folder_source, samples = sources()["folder"], sources()["samples"]
    shapes = []
    for address in job.shapes:
        reader, rest = source(address)
        if reader is folder_source:
            address = storage.absolute_path(address, cwd)
        elif reader is samples and not rest.rpartition("/")[2].isdecimal():
            address = f"{address.strip('/')}/{(job.seed + 1) * MADE_APART}"
        shapes.append(address.strip("/") if reader is not folder_source else address)
    name = default_name([a.strip("/") if source(a)[0] is not folder_source else a
                         for a in job.shapes])  # fmt: skip
    return dataclasses.replace(
        job,
        shapes=tuple(shapes),
        out=storage.absolute_path(job.out or str(Path("photos") / name), cwd),
        limit=job.limit or max(1, -(-job.photos // PER_SHAPE)),
    )


def reads(job: Job, task: Task | None) -> Iterator[str]:
    """Folders and files of shapes; those of a source's own address lie where the machine says."""
    from renderer.shapes import paths

    yield from paths(job.shapes) if task is None else (shape.path for shape in task.shapes)


def writes(job: Job, task: Task | None) -> Iterator[str]:
    if task is None:
        yield str(job.folder)
    else:
        yield from (str(job.folder / item) for item in task.items)


def scan(job: Job) -> Scanned:
    """Read storage once: which shapes, with which hashes."""
    from renderer import shapes

    return Scanned(shapes=shapes.scan(job.shapes, up=job.up, limit=job.limit))


def prepare(job: Job, scanned: Scanned) -> None:
    """Claim the folder by writing job.json, or find it ours. Raises ValueError otherwise."""
    from renderer import photo_folder

    photo_folder.claim(job, scanned)


def estimate(job: Job, scanned: Scanned) -> dict[str, Any]:
    """Photos, CPU hours and bytes: a rough guess from measured rates (docs/photos.md)."""
    pixels = (job.size / 320) ** 2
    seconds = 0.1 + pixels * (0.55 + 0.09 * job.spp)
    return {
        "shapes": len(scanned.shapes),
        "photos": job.photos,
        "cpu_hours": round(job.photos * seconds / 3600, 3),
        "bytes": int(job.photos * (220e3 * pixels + 4000)),
    }


# --- planning ------------------------------------------------------------------------------------


def plan(job: Job, scanned: Scanned) -> Iterator[Task]:
    """One task for a few photos; photos of a shape follow one another."""
    count = len(scanned.shapes)
    for number, first in enumerate(range(0, job.photos, PER_TASK)):
        numbers = range(first, min(first + PER_TASK, job.photos))
        yield Task(
            name=f"photos-{number:06d}",
            first=first,
            shapes=tuple(scanned.shapes[n * count // job.photos] for n in numbers),
            items=tuple(photo_name(n) for n in numbers),
        )


def photo_name(number: int) -> str:
    return f"photo-{number:05d}"


def units(job: Job, task: Task) -> dict[str, int]:
    return {"photos": len(task.items)}


# --- one task ------------------------------------------------------------------------------------


def run(job: Job, task: Task, lease: Any) -> Done:
    from renderer.photo_task import make_photos

    return make_photos(job, task, lease)


def done(job: Job, task: Task) -> Done | None:
    """What storage says of the task's photos; None where they are not all told of."""
    from renderer import photo_folder

    return photo_folder.done(job, task)


def publish(job: Job, scanned: Scanned, dones: Sequence[Done], complete: bool) -> None:
    """Rewrite truth.json and README.md from what is on storage."""
    from renderer import photo_folder

    photo_folder.publish(job, scanned, dones, complete)


def summary(job: Job, dones: Sequence[Done]) -> str:
    """For people, when it is done."""
    where = storage.short(job.folder)
    photos, failed = sum(d.photos for d in dones), sum(len(d.failed) for d in dones)
    lines = [f"{where}: {photos} renders that stand in for photos, masks aside"]
    if failed:
        lines.append(f"{failed} failed; {where}/truth.json says which and why")
    lines.append(
        f"  cut them out  farm submit segment --photos {where} --masks {where}/masks"
        " --match DATASET"
    )
    return "\n".join(lines)


# --- details -------------------------------------------------------------------------------------


def _within(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} {value}: from {low} to {high}")
