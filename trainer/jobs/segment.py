"""The segment job: photos in, a dataset of the things in them out.

Only plain data at the top: the controller imports this file on machines that have no torch.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from renderer import storage
from trainer.hub import LABELS
from trainer.jobs.train import has_torch
from trainer.output import Failed, Shard

ROLE = "train"
NETWORK = True  # weights that are fetched
LABEL = ("photos",)
NOT_IDENTITY = frozenset({"max_failures", "device"})
EXAMPLE = """\
    farm submit segment --photos photos/cars --out data/real-cars --match data/cars
    farm submit segment --photos photos/cars --masks photos/cars/masks --match data/cars

Rejected segments are listed in the dataset's rejected.csv; its pictures/ show how it went."""
MEMBERS = ("json", "00.rgba.png")
SPLITS = ("train", "val", "test")
MAX_SHARD_SIZE = 64
MIN_TASKS = 32
DEFAULT_SIZE = 128
Network = Literal["maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """Cut the things out of photos, and make a dataset of those that are good enough."""

    photos: str
    """Folder of photos, with its subfolders; one called masks is left out."""
    out: str | None = None
    """The dataset's folder; by default data/real-NAME after the photos' folder."""
    match: str | None = None
    """Dataset whose ratio of foreground to background is to be met; by default the things fill
    their squares."""
    masks: str | None = None
    """Folder of masks, NAME.png or NAME.anything.png of a photo NAME.jpg, one thing each; by
    default a photo's own transparency, else the detector says what is in it."""
    size: int | None = None
    """Pixels along each side of a picture; by default those of --match, else 128."""
    detector: Network = "maskrcnn_resnet50_fpn_v2"
    """torchvision's network that finds things."""
    weights: str = "coco"
    """Its weights: coco (from torch hub's folder, or fetched into it), or a file."""
    labels: str = "car,truck"
    """Filter: what a thing must be, in COCO's words with commas between; empty for anything."""
    score: float = 0.7
    """Filter: the least confidence of the detector."""
    side: float = 128.0
    """Filter: the least square root of the box's area, in pixels of the photo."""
    fill: float = 0.5
    """Filter: the least share of its box that a thing covers."""
    colour: float = 2.0
    """Filter: the least mean difference between a photo's channels, of 255; 0 lets grayscale
    photos pass."""
    parts: int = 1
    """Filter: the most connected parts of a thing."""
    border: float = 1 / 3
    """Filter: the largest share of a strip along a side of the box that a thing covers."""
    border_width: float = 0.02
    """Width of these strips, as a share of the box."""
    too_full: Literal["redraw", "clamp"] = "redraw"
    """Of a ratio that cropping alone could meet: redraw it, or clamp it to the smallest square."""
    max_megapixels: float = 50.0
    """Larger photos are refused; a larger JPEG is read at a half, a quarter or an eighth."""
    seed: int = 0
    """Of everything random."""
    split: str = "70/10/20"
    """Shares of train, val and test; all things of a photo are in one of them."""
    shard_size: int | Literal["auto"] = "auto"
    """Photos for each shard."""
    device: str = "auto"
    """Where the detector runs: auto (a GPU where there is one), cpu, cuda."""
    max_failures: str = "10%"
    """Stop when more photos than this fail: a share or a count. Rejected ones do not count."""

    def __post_init__(self) -> None:
        if not self.photos:
            raise ValueError("--photos is empty; give a folder such as photos/cars")
        if self.size is not None:
            _within("--size", self.size, 8, 4096)
        for name in ("score", "fill", "border"):
            _within(f"--{name}", getattr(self, name), 0, 1)
        _within("--border-width", self.border_width, 0, 0.5)
        _within("--side", self.side, 0, 1e6)
        _within("--colour", self.colour, 0, 255)
        _within("--parts", self.parts, 1, 10**6)
        _within("--max-megapixels", self.max_megapixels, 0.01, 10_000)
        _within("--seed", self.seed, 0, 2**63 - 1)
        if self.shard_size != "auto":
            _within("--shard-size", self.shard_size, 1, 100_000)
        if self.device.partition(":")[0] not in ("auto", "cpu", "cuda"):
            raise ValueError(f"--device {self.device}: auto, cpu or cuda is wanted")
        for name in self.label_names:
            if name not in LABELS:
                near = difflib.get_close_matches(name, LABELS, n=1)
                meant = f"; did you mean {near[0]}?" if near else ", such as car or truck"
                raise ValueError(f"--labels: {name!r} is none of COCO's words{meant}")
        shares(self.split)

    @property
    def folder(self) -> Path:
        assert self.out is not None, "resolve() names the folder"
        return Path(self.out)

    @property
    def label_names(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.labels.split(",") if name.strip())


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A file that is to be looked at."""

    file: str
    """Within the folder of photos."""
    sha256: str
    """Empty where it cannot be read."""
    masks: tuple[str, ...] = ()
    """Within the folder of masks."""
    masks_sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class Match:
    """What is to be met: the ratios of a dataset's training pictures."""

    id: str
    mean: float
    deviation: float
    pictures: int
    counts: tuple[int, ...]
    """How many ratios lie in each bin of trainer.ratios."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """The photos of one shard."""

    name: str
    """train-000000"""
    photos: tuple[Photo, ...]
    items: tuple[str, ...]
    """Their files."""
    size: int
    mean: float | None = None
    """Of the ratios to be met; None: the squares stay as they are."""
    deviation: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Done:
    """One shard that is on storage."""

    name: str
    photos: int
    segments: int
    rejected: dict[str, int]
    """Filter -> how many."""
    shard: Shard
    failed: tuple[Failed, ...]


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A file that no task looks at."""

    file: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Scanned:
    """What storage says before anything is planned."""

    photos: tuple[Photo, ...]
    skipped: tuple[Skipped, ...]
    size: int
    match: Match | None


# --- before the job ----------------------------------------------------------------------------


def resolve(job: Job, cwd: Path) -> Job:
    """The job with full paths."""
    photos = storage.absolute_path(job.photos, cwd)
    out = job.out or str(Path("data") / f"real-{Path(photos).name}")
    weights = job.weights
    if weights != "coco":
        weights = storage.absolute_path(weights, cwd)
        if not Path(weights).is_file():
            raise ValueError(f"--weights {job.weights}: no such file; or coco")
    return dataclasses.replace(
        job,
        photos=photos,
        out=storage.absolute_path(out, cwd),
        match=storage.absolute(job.match, cwd) if job.match else None,
        masks=storage.absolute_path(job.masks, cwd) if job.masks else None,
        weights=weights,
    )


def reads(job: Job, task: Task | None) -> Iterator[str]:
    """Folders, a file of weights, and the photos and masks of a task."""
    yield from (path for path in (job.photos, job.match, job.masks) if path is not None)
    if job.weights != "coco":
        yield job.weights
    for photo in task.photos if task else ():
        yield str(Path(job.photos) / photo.file)
        yield from (str(Path(job.masks or job.photos) / mask) for mask in photo.masks)


def writes(job: Job, task: Task | None) -> Iterator[str]:
    yield str(job.folder / task.name) if task else str(job.folder)


def scan(job: Job) -> Scanned:
    """Read storage once: which photos, with which hashes and masks; the ratios to be met.

    Raises ValueError for what will not do, by name.
    """
    from trainer import album, hub, ratios

    match, size = ratios.of_dataset(storage.place(job.match)) if job.match else (None, DEFAULT_SIZE)
    photos, skipped = album.look(job)
    # A controller's machine, which has no torch, cannot know what the workers' machines have.
    unknown = job.masks is None and job.weights == "coco" and has_torch()
    if unknown and not hub.within_reach(job.detector) and album.needs_detector(job, photos):
        raise ValueError(hub.lacking(job.detector))
    return Scanned(photos=photos, skipped=skipped, size=job.size or size, match=match)


def prepare(job: Job, scanned: Scanned) -> None:
    """Claim the folder by writing job.json, or find it ours.

    Raises ValueError when it is another's, or when photos, masks or ratios have changed since.
    """
    from trainer import album, output

    match = dataclasses.asdict(scanned.match) if scanned.match else None
    photos = [dataclasses.asdict(photo) for photo in scanned.photos]
    identity = output.identity(job, NOT_IDENTITY)
    album.refuse_changed(job.folder, output.owner(job.folder), identity, scanned)
    output.check_room(job.folder, estimate(job, scanned)["bytes"])
    output.claim(
        job.folder,
        "segment",
        identity,
        shapes=[],
        photos=photos,
        skipped=[dataclasses.asdict(one) for one in scanned.skipped],
        ratios=match,
        size=scanned.size,
    )


def estimate(job: Job, scanned: Scanned) -> dict[str, Any]:
    """For --dry-run: bytes as if each photo had two things of 1.6 bytes a pixel."""
    found: dict[str, Any] = {"photos": len(scanned.photos), "skipped": len(scanned.skipped)}
    if scanned.match:
        found |= {"ratio": f"{scanned.match.mean:.3f} ± {scanned.match.deviation:.3f}"}
    bytes_each = 2 * (scanned.size**2 * 1.6 + 3000)
    return {**found, "size": scanned.size, "bytes": int(len(scanned.photos) * bytes_each)}


# --- planning ----------------------------------------------------------------------------------


def plan(job: Job, scanned: Scanned) -> Iterator[Task]:
    """One task per shard.

    Photos are ordered by their SHA-256 and cut into the splits there: what is in one of them
    depends on the photos alone, not on names or order.
    """
    ordered = sorted(scanned.photos, key=lambda photo: (photo.sha256, photo.file))
    size = shard_size(job, len(ordered))
    match = scanned.match
    for split, mine in zip(SPLITS, cut(ordered, shares(job.split)), strict=True):
        for number, start in enumerate(range(0, len(mine), size)):
            photos = tuple(mine[start : start + size])
            yield Task(
                name=f"{split}-{number:06d}",
                photos=photos,
                items=tuple(photo.file for photo in photos),
                size=scanned.size,
                mean=match.mean if match else None,
                deviation=match.deviation if match else 0.0,
            )


def cut(ordered: Sequence[Photo], parts: Sequence[float]) -> list[Sequence[Photo]]:
    """At round(0.7 n) and round(0.8 n), say; of three photos or more, no wanted part is empty."""
    n = len(ordered)
    wanted = [int(part > 0) for part in parts]
    first, second = round(parts[0] * n), round((parts[0] + parts[1]) * n)
    if n >= 3:
        first = min(max(first, wanted[0]), n - wanted[1] - wanted[2])
        second = min(max(second, first + wanted[1]), n - wanted[2])
    return [ordered[:first], ordered[first:second], ordered[second:]]


def shares(split: str) -> tuple[float, ...]:
    """(0.7, 0.1, 0.2) of `70/10/20`. Raises ValueError for anything else."""
    match = re.fullmatch(r"(\d+)/(\d+)/(\d+)", split)
    parts = [int(part) for part in match.groups()] if match else []
    if sum(parts) != 100:
        raise ValueError(f"--split {split}: three shares that add up to 100, such as 70/10/20")
    return tuple(part / 100 for part in parts)


def shard_size(job: Job, photos: int) -> int:
    """At least 32 tasks where there are as many photos; never more than 64 photos in each."""
    if job.shard_size != "auto":
        return job.shard_size
    return max(1, min(MAX_SHARD_SIZE, photos // MIN_TASKS))


def units(job: Job, task: Task) -> dict[str, int]:
    """What the task will look at, for progress."""
    return {"photos": len(task.photos)}


# --- one task ----------------------------------------------------------------------------------


def run(job: Job, task: Task, lease: Any) -> Done:
    """Look at the photos of a shard, then write it whole."""
    from trainer.segment_task import make_shard

    return make_shard(job, task, lease)


def done(job: Job, task: Task) -> Done | None:
    """What storage says of the task's shard; None where it is missing or not whole."""
    from trainer import output, rejections

    shard = output.written(job.folder, task.name)
    note = rejections.read(job.folder, task.name)
    if shard is None or note is None:
        return None
    failed = {failure.id for failure in shard.failed}
    if {one["file"] for one in note["photos"]} | failed != set(task.items):
        return None
    return Done(
        name=task.name,
        photos=len(task.items) - len(failed),
        segments=len(shard.keys),
        rejected=dict(Counter(one["filter"] for one in note["rejected"])),
        shard=shard,
        failed=shard.failed,
    )


# --- the index ---------------------------------------------------------------------------------


def publish(job: Job, scanned: Scanned, dones: Sequence[Done], complete: bool) -> None:
    """Rewrite the index; at the end the lists of what was rejected, and the pictures.

    Raises ValueError when no segment at all was accepted.
    """
    from trainer import rejections

    write_index(job, dones, complete)
    if complete:
        conclude(job, scanned, dones)
        rejections.draw(job.folder)


def write_index(job: Job, dones: Sequence[Done], complete: bool) -> None:
    from trainer import output

    output.publish(
        job.folder,
        [done.shard for done in dones],
        complete,
        job=output.identity(job, NOT_IDENTITY),
        members=MEMBERS,
        conventions={
            "pixels": "centres at half-integers",
            "rgba": "8 bits, sRGB-encoded, straight alpha; (0, 0, 0) in the background alone",
        },
        sources=[{"address": job.photos, "licence": None}],
    )


def conclude(job: Job, scanned: Scanned, dones: Sequence[Done]) -> None:
    """Write the lists of what was rejected. Raises ValueError when nothing was accepted."""
    from trainer import rejections

    facts = rejections.gather(job, scanned, dones)
    if not facts["accepted"]:
        raise ValueError(
            f"{storage.short(job.folder)}: no segment was accepted ({rejections.told(facts)}); "
            "rejected.csv there says why, photo by photo"
        )


def summary(job: Job, dones: Sequence[Done]) -> str:
    """For people, when it is done."""
    where = storage.short(job.folder)
    photos, segments = sum(d.photos for d in dones), sum(d.segments for d in dones)
    counts: Counter[str] = Counter()
    for one in dones:
        counts.update(one.rejected)
    lines = [f"{where}: {_count(segments, 'segment')} of {_count(photos, 'photo')}"]
    if counts:
        told = ", ".join(f"{name} {count}" for name, count in counts.most_common())
        lines.append(f"  rejected      {told}; listed in {where}/rejected.csv")
    lines += [
        f"  look at it    {where}/pictures, farm dataset preview {where} --out preview.png",
        f"  prove it      farm dataset verify {where}",
    ]
    return "\n".join(lines)


def result(job: Job, dones: Sequence[Done]) -> dict[str, Any]:
    """What `--json` prints of it."""
    counts: Counter[str] = Counter()
    for one in dones:
        counts.update(one.rejected)
    return {"segments": sum(d.segments for d in dones), "rejected": dict(counts)}


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _within(name: str, value: float, low: float, high: float) -> None:
    if not math.isfinite(value) or not low <= value <= high:
        raise ValueError(f"{name} {value:g}: from {low:g} to {high:g}")
