"""A finished dataset can grow: more views, more shapes, repaired shapes.

Shards in which nothing changes stay as they are.  Every other sample is made again under a new
shard's name, from the views that it had: only what is missing is rendered.  Readers keep the old
index until the new one is complete.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from renderer import ownership, shards, storage
from renderer.camera import RIGS
from renderer.shapes.shape import Shape
from renderer.split import assign

if TYPE_CHECKING:
    from renderer.jobs.render import Job, Task

FIXED = ("cameras", "size", "spp", "passes", "points", "seed", "up")
"""What every sample of a dataset has in common, and growing cannot change."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A shard that stays as it is."""

    name: str
    split: str
    samples: int
    bytes: int
    sha256: str
    keys: tuple[str, ...]
    """Its shapes, also those that failed: as they are, they would fail again."""


def check(job: Job, old: shards.Dataset) -> None:
    """Raises ValueError when nothing of the old dataset could stand in the new one."""
    note = ownership.read(job.folder)
    if note is None or note["kind"] != "render":
        raise ValueError(
            f"{job.folder} was not rendered but made of other datasets; add to those instead"
        )
    if not old.complete:
        raise ValueError(f"{job.folder} is not finished; finish it before adding to it")
    before, now = old.index["job"], ownership.identity(job)
    for name in FIXED:
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


def kept_shards(
    job: Job, shapes: tuple[Shape, ...], old: shards.Dataset
) -> tuple[tuple[Kept, ...], int]:
    """The shards that stay, and the number of the first new one."""
    splits = assign(shapes, job.split)
    now = {shape.key: shape.sha256 for shape in shapes}
    before = ownership.hashes(ownership.read(job.folder))
    same_views = old.index["job"]["views"] == job.views
    kept = []
    for number, shard in enumerate(old.shards):
        sidecar = old.sidecar(number)
        keys = tuple(sample["key"] for sample in sidecar["samples"])
        keys += tuple(failure["id"] for failure in sidecar["failed"])
        stands = same_views and all(
            splits.get(key) == shard["split"] and now.get(key) == before.get(key) for key in keys
        )
        if stands and keys:
            kept.append(Kept(**{**shard, "keys": keys}))
    first = 1 + max((shards.shard_number(shard["name"]) for shard in old.shards), default=-1)
    return tuple(kept), first


def made_before(job: Job, task: Task) -> dict[str, shards.Sample]:
    """Key -> sample of the dataset that is being added to, where the task's shape is the same."""
    if not task.grows:
        return {}
    try:
        old = shards.Dataset(job.folder)
    except FileNotFoundError:
        return {}
    now = {shape.key: shape.sha256 for shape in task.shapes}
    # The key first: reading a sample's JSON is a read of its own.
    return {s.key: s for s in old if s.key in now and s.meta["shape"]["sha256"] == now[s.key]}


def created_with(made: shards.Sample) -> dict[str, Any]:
    """What a sample of the dataset that is being added to was made with."""
    log = storage.read_json(shards.log_path(made.tar))
    return dict(log["samples"][made.key]["created_with"])
