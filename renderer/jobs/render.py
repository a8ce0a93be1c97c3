"""The render job: shapes in, a proven multi-view dataset out.

Only plain data and pure functions at the top: the controller imports this file on machines that
have no Blender.  What is heavy is imported by the function that needs it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from renderer.shapes.shape import Shape

if TYPE_CHECKING:
    from renderer.blender.session import Session
    from renderer.sample import Recipe
    from renderer.shards import Record, Sample

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
    """The dataset's folder; by default named after the address: data/samples-cars."""
    views: int | None = None
    """Pictures of each shape; a fixed rig has its own number, else 5."""
    cameras: str = "dpc"
    """Where the cameras stand: dpc (random), circle (12), dodecahedron (20), miro (160),
    hammersley, orbit."""
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
        allowed_failures(self.max_failures, 100)

    @property
    def pass_names(self) -> tuple[str, ...]:
        return tuple(self.passes.split(","))

    @property
    def folder(self) -> Path:
        assert self.out is not None, "resolve() names the folder"
        return Path(self.out)


@dataclass(frozen=True, kw_only=True)
class Task:
    """One shard."""

    name: str
    """train-000000"""
    split: str
    shapes: tuple[Shape, ...]
    items: tuple[str, ...]
    """Keys of the shapes."""


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
    """JSON: versions and device."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A shard of the finished dataset that is being added to, which stays as it is."""

    name: str
    split: str
    samples: int
    bytes: int
    sha256: str
    keys: tuple[str, ...]


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
        str(_absolute(a, cwd)) if source(a)[0] is folder_source else a.strip("/")
        for a in job.shapes
    )
    out = job.out or str(Path("data") / default_name(shapes))
    split = job.split
    if split != "auto":
        from renderer.split import parse_ratio, read_list

        if parse_ratio(split) is None:
            split = str(_absolute(split, cwd))
            read_list(Path(split))
    return dataclasses.replace(
        job,
        shapes=shapes,
        out=str(_absolute(out, cwd)),
        views=rig_views(job.cameras, job.views),
        split=split,
    )


def default_name(shapes: Sequence[str]) -> str:
    """`samples-cars` of samples/cars; a folder gives its own name."""
    names = [Path(a).stem if Path(a).is_absolute() else a.replace("/", "-") for a in shapes]
    joined = "-".join(dict.fromkeys(names)) or "dataset"
    return joined if len(joined) <= 80 else f"{joined[:60]}-and-more"


def allowed_failures(max_failures: str, shapes: int) -> int:
    """How many of so many shapes may fail.

    Raises ValueError for what is neither a share nor a count.
    """
    try:
        if max_failures.endswith("%"):
            share = float(max_failures[:-1])
            if not 0 <= share <= 100:
                raise ValueError
            return math.ceil(shapes * share / 100)
        if int(max_failures) < 0:
            raise ValueError
        return int(max_failures)
    except ValueError:
        raise ValueError(
            f"--max-failures {max_failures}: give a share such as 10% or a count such as 25"
        ) from None


def scan(job: Job) -> Scanned:
    """Read storage once: which shapes, with which hashes; what of an older dataset stays."""
    from renderer import shapes, shards, storage

    found = shapes.scan(job.shapes, up=job.up, limit=job.limit)
    folder = job.folder
    note = _job_note(folder)
    if note is not None and note["job"] == identity(job):
        kept = tuple(Kept(**{**k, "keys": tuple(k["keys"])}) for k in note["kept"])
        return Scanned(shapes=found, kept=kept, first=note["first"])
    if job.add and note is not None:
        old = shards.Dataset(folder)
        _check_addable(job, old)
        return _keeping(job, found, old)
    storage.free_bytes(folder)  # an unreachable folder is told now
    return Scanned(shapes=found)


def identity(job: Job) -> dict[str, Any]:
    """What of the job decides the result, as JSON; a folder elsewhere makes the same dataset."""
    left_out = NOT_IDENTITY | {"out"}
    whole = dataclasses.asdict(job)
    return {
        k: list(v) if isinstance(v, tuple) else v for k, v in whole.items() if k not in left_out
    }


def prepare(job: Job, scanned: Scanned) -> None:
    """Claim the folder by writing job.json, or find it ours.

    Raises ValueError when it is another's, when shapes have changed since, or when the disk is too
    small.
    """
    from renderer import shards, storage

    folder = job.folder
    note = _job_note(folder)
    shapes = {shape.key: shape.sha256 for shape in scanned.shapes}
    if note is not None and note["job"] == identity(job):
        _refuse_changed({s["key"]: s["sha256"] for s in note["shapes"]}, shapes, folder)
        return
    if note is not None and not job.add:
        raise ValueError(
            f"{folder} holds another job's dataset ({_difference(note['job'], identity(job))}); "
            "choose another --out, or --add to it"
        )
    if note is None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is in use and is not a dataset; choose another --out")
    needed, free = estimate(job, scanned)["bytes"], storage.free_bytes(folder)
    if needed > free:
        raise ValueError(
            f"{folder} will need about {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free "
            "there; choose another --out, or fewer views or shapes"
        )
    storage.write(
        folder / shards.JOB,
        storage.readable_json(
            {
                "version": shards.VERSION,
                "kind": "render",
                "job": identity(job),
                "shapes": [dataclasses.asdict(shape) for shape in scanned.shapes],
                "kept": [dataclasses.asdict(kept) for kept in scanned.kept],
                "first": scanned.first,
            }
        ),
    )


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

_session: Session | None = None  # Blender exists once per process


def _warm() -> Session:
    global _session
    if _session is None:
        from renderer.blender import open_session
        from renderer.machine import threads

        _session = open_session(threads())
    return _session


def run(job: Job, task: Task, lease: Any) -> Done:
    """Make one shard: render what is missing, then write it whole."""
    from renderer import shards, storage
    from renderer.errors import ItemFailed
    from renderer.sample import make_sample

    folder, staging = job.folder, job.folder / shards.STAGING / task.name
    if (already := done(job, task)) is not None:
        return already
    recipe, made, started = _recipe(job), _made_before(job), time.perf_counter()
    failed = {
        item: Failed(id=item, failure_class=f.cls, reason=f.reason, tries=f.tries)
        for item, f in lease.failed.items()
        if item in task.items
    }
    again = False
    seconds: dict[str, float] = {}
    for shape in task.shapes:
        if shape.key in failed:
            continue
        if shards.staged(staging, shape.key) is not None:
            lease.finish(shape.key, shapes=1, images=recipe.views)
            continue
        lease.start(shape.key)
        began = time.perf_counter()
        try:
            record = make_sample(
                _warm,
                shape,
                recipe,
                made=made.get(shape.key),
                progress=lambda view: lease.progress(view=view),
            )
        except (ItemFailed, MemoryError) as error:
            failure_class = getattr(error, "failure_class", "out_of_memory")
            reason = getattr(error, "reason", "the machine's memory does not hold it")
            lease.fail(shape.key, failure_class, reason)
            if failure_class != "bad_input":
                again = True
                continue
            failed[shape.key] = Failed(
                id=shape.key, failure_class=failure_class, reason=reason, tries=1
            )
            continue
        shards.stage(staging, record)
        seconds[shape.key] = round(time.perf_counter() - began, 3)
        lease.finish(shape.key, shapes=1, images=recipe.views)
    if again:
        raise lease.Retry
    lease.commit()
    keys = [shape.key for shape in task.shapes if shape.key not in failed]
    _write_log(job, task, seconds, time.perf_counter() - started)
    shards.write_shard(
        folder, task.name, _records(staging, keys), [_failure(failed[k]) for k in sorted(failed)]
    )
    storage.remove_folder(staging)
    result = done(job, task)
    assert result is not None, "the shard was just written"
    return result


def done(job: Job, task: Task) -> Done | None:
    """What storage says of the task's shard; None where it is missing or not whole."""
    from renderer import shards, storage

    tar = job.folder / f"{task.name}.tar"
    try:
        sidecar = shards.read_versioned(shards.sidecar_path(tar))
        log = storage.read_json(shards.log_path(tar))
        size = tar.stat().st_size
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
        created_with=storage.canonical_json(log["created_with"]).decode(),
    )


# --- the index ---------------------------------------------------------------------------------


def publish(job: Job, scanned: Scanned, dones: Sequence[Done], complete: bool) -> None:
    """Rewrite the index from the shards that are on storage.

    While a dataset is added to, its readers keep the old index until the new one is complete.
    """
    import json

    from renderer import shapes, shards, storage

    folder = job.folder
    if scanned.first and not complete:
        return
    entries = [
        {
            "name": k.name,
            "split": k.split,
            "samples": k.samples,
            "bytes": k.bytes,
            "sha256": k.sha256,
        }
        for k in scanned.kept
    ] + [
        {
            "name": f"{d.name}.tar",
            "split": d.name.rpartition("-")[0],
            "samples": d.shapes,
            "bytes": d.bytes,
            "sha256": d.sha256,
        }
        for d in dones
    ]
    entries.sort(key=lambda entry: str(entry["name"]))
    splits: dict[str, list[str]] = {}
    for entry in entries:
        splits.setdefault(str(entry["split"]), []).append(str(entry["name"]))
    made_with = [json.loads(text) for text in sorted({d.created_with for d in dones})]
    index = {
        "version": shards.VERSION,
        "complete": complete,
        "job": identity(job),
        "parent": None,
        "created_with": made_with[0] if len(made_with) == 1 else made_with,
        "conventions": {**shards.CONVENTIONS, "cameras": job.cameras},
        "members": shards.expected_members(job.pass_names, job.views or 0, job.points),
        "splits": splits,
        "shards": entries,
        "sources": [
            {"address": address, "licence": getattr(shapes.source(address)[0], "LICENCE", None)}
            for address in job.shapes
        ],
    }
    shards.write_index(folder, index)
    if complete:
        _tidy(folder, {str(entry["name"]) for entry in entries})
        storage.remove_folder(folder / shards.STAGING)


def summary(job: Job, dones: Sequence[Done]) -> str:
    """For people, when it is done."""
    shapes, images = sum(d.shapes for d in dones), sum(d.images for d in dones)
    size, failed = sum(d.bytes for d in dones), sum(len(d.failed) for d in dones)
    try:
        where = job.folder.relative_to(Path.cwd())
    except ValueError:
        where = job.folder
    lines = [
        f"{where}: {shapes} shapes, {images} images, {size / 1e6:.1f} MB in {len(dones)} shards"
    ]
    if failed:
        lines.append(f"{failed} shapes failed; `farm dataset info {where}` says which and why")
    lines += [
        f"  look at it    farm dataset preview {where} --out preview.png",
        f"  prove it      farm dataset verify {where}",
        f"  in Python     renderer.shards.Dataset({str(where)!r})[0].views[0].rgba",
    ]
    return "\n".join(lines)


# --- details -----------------------------------------------------------------------------------


def _recipe(job: Job) -> Recipe:
    from renderer.sample import Recipe

    assert job.views is not None, "resolve() gives the number of views"
    return Recipe(
        cameras=job.cameras,
        views=job.views,
        size=job.size,
        spp=job.spp,
        passes=tuple(name for name in PASSES if name in job.pass_names),
        points=job.points,
        seed=job.seed,
    )


def _records(staging: Path, keys: Sequence[str]) -> Iterator[Record]:
    from renderer import shards

    for key in keys:
        record = shards.staged(staging, key)
        assert record is not None, f"{key} was staged and is gone"
        yield record


def _failure(failed: Failed) -> dict[str, Any]:
    return {
        "id": failed.id,
        "class": failed.failure_class,
        "reason": failed.reason,
        "tries": failed.tries,
    }


def _write_log(job: Job, task: Task, seconds: dict[str, float], total: float) -> None:
    """Everything that may differ between two runs; never hashed."""
    from renderer import machine, shards, storage

    device = _session.device if _session else None
    storage.write(
        shards.log_path(job.folder / f"{task.name}.tar"),
        storage.readable_json(
            {
                "version": shards.VERSION,
                "host": machine.host(),
                "seconds": round(total, 3),
                "seconds_of": seconds,
                "created_with": machine.created_with(
                    device.kind if device else "CPU", device.name if device else ""
                ),
            }
        ),
    )


def _job_note(folder: Path) -> dict[str, Any] | None:
    from renderer import shards

    try:
        return shards.read_versioned(folder / shards.JOB)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _refuse_changed(before: dict[str, str], now: dict[str, str], folder: Path) -> None:
    if before == now:
        return
    changed = sorted(key for key in before.keys() & now.keys() if before[key] != now[key])
    gone, new = sorted(before.keys() - now.keys()), sorted(now.keys() - before.keys())
    told = [
        f"{word} {keys[0]}" + (f" and {len(keys) - 1} more" if len(keys) > 1 else "")
        for word, keys in (("changed:", changed), ("gone:", gone), ("new:", new))
        if keys
    ]
    raise ValueError(
        f"the shapes are not those that {folder} was begun with ({'; '.join(told)}); "
        "put them back, choose another --out, or --add to the finished dataset"
    )


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    names = [name for name in now if before.get(name) != now[name]]
    name = names[0] if names else "shapes"
    return f"{name} {_short(before.get(name))}, not {_short(now.get(name))}"


def _short(value: Any) -> str:
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _check_addable(job: Job, old: Any) -> None:
    """Raises ValueError when nothing of the old dataset could stand in the new one."""
    from renderer.camera import RIGS

    if not old.complete:
        raise ValueError(f"{job.folder} is not finished; finish it before adding to it")
    before, now = old.index["job"], identity(job)
    for name in ("cameras", "size", "spp", "passes", "points", "seed", "up"):
        if before[name] != now[name]:
            raise ValueError(
                f"--add cannot change {name} ({before[name]}, not {now[name]}); "
                "choose another --out"
            )
    if now["views"] < before["views"]:
        raise ValueError(
            f"--add cannot take views away ({before['views']}, not {now['views']}); "
            "`farm dataset subset` makes a smaller dataset"
        )
    if now["views"] > before["views"] and not RIGS[job.cameras].nested:
        raise ValueError(
            f"the views of --cameras {job.cameras} move when there are more; choose another --out"
        )


def _keeping(job: Job, found: tuple[Shape, ...], old: Any) -> Scanned:
    """Which shards of the old dataset stand as they are in the new one."""
    from renderer import shards
    from renderer.split import assign

    splits = assign(found, job.split)
    hashes = {shape.key: shape.sha256 for shape in found}
    note = _job_note(job.folder)
    before = {s["key"]: s["sha256"] for s in note["shapes"]} if note else {}
    same_views = old.index["job"]["views"] == job.views
    kept = []
    for number, shard in enumerate(old.shards):
        keys = tuple(sample["key"] for sample in old.sidecar(number)["samples"])
        stands = same_views and all(
            splits.get(key) == shard["split"] and hashes[key] == before.get(key) for key in keys
        )
        if stands and keys:
            kept.append(Kept(**{**shard, "keys": keys}))
    first = 1 + max((shards.shard_number(s["name"]) for s in old.shards), default=-1)
    return Scanned(shapes=found, kept=tuple(kept), first=first)


def _wanted(scanned: Scanned) -> list[Shape]:
    have = {key for kept in scanned.kept for key in kept.keys}
    return [shape for shape in scanned.shapes if shape.key not in have]


def _made_before(job: Job) -> dict[str, Sample]:
    """Samples of the finished dataset that is being added to, by key."""
    from renderer import shards

    note = _job_note(job.folder)
    if note is None or not note["first"]:
        return {}
    try:
        old = shards.Dataset(job.folder)
    except FileNotFoundError:
        return {}
    hashes = {s["key"]: s["sha256"] for s in note["shapes"]}
    return {
        sample.key: sample
        for sample in old
        if sample.meta["shape"]["sha256"] == hashes.get(sample.key)
    }


def _tidy(folder: Path, names: set[str]) -> None:
    """Remove shards that the finished index no longer names."""
    from renderer import shards

    for tar in folder.glob("*-[0-9]*.tar"):
        if tar.name not in names:
            for path in (tar, shards.sidecar_path(tar), shards.log_path(tar)):
                path.unlink(missing_ok=True)


def _absolute(path: str, cwd: Path) -> Path:
    import os

    return Path(os.path.normpath(cwd / Path(path).expanduser()))


def _within(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} {value}: from {low} to {high}")
