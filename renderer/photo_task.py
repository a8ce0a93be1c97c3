"""The work of one photos task: make the pictures that are missing, then tell of them all."""

from __future__ import annotations

import dataclasses
import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from renderer import machine, shards, storage
from renderer.darkroom import develop
from renderer.errors import BadInput, ItemFailed
from renderer.jobs.photos import Done, Failed, Job, Task
from renderer.members import encode_image
from renderer.photo_folder import MASKS, PHOTOS, VERSION, done, truth_path
from renderer.photo_scene import draw_scene
from renderer.sample import check_file
from renderer.shapes.references import roots_of
from renderer.shapes.shape import Shape
from renderer.shard_task import warm_session

if TYPE_CHECKING:
    from renderer.blender.session import Loaded

LEAST = 0.002
"""Share of a photo that must show the shape."""


def make_photos(job: Job, task: Task, lease: Any) -> Done:
    """Make a task's photos and commit them.

    lease  what the farm gives a child program (farm/child.py)

    Raises lease.Retry when one failed in a way that another try may mend.
    """
    staging = job.folder / shards.STAGING / task.name
    already = done(job, task)
    if already is not None and not any(
        f.failure_class != "bad_input" and f.id not in lease.failed for f in already.failed
    ):
        return already
    failed = _make(job, task, lease, staging)
    lease.commit()
    names = [name for name in task.items if name not in failed]
    notes = [_made(job, staging, name) for name in names]
    assert all(notes), "every photo is staged or in its place"
    for name in names:
        for folder in (PHOTOS, MASKS):
            staged = staging / folder / f"{name}.png"
            if staged.exists():
                (job.folder / folder).mkdir(parents=True, exist_ok=True)
                os.replace(staged, job.folder / folder / f"{name}.png")
    whole = {
        "version": VERSION,
        "created_with": machine.created_with(*_device()),
        "photos": notes,
        "failed": [
            {"id": f.id, "class": f.failure_class, "reason": f.reason, "tries": f.tries}
            for f in sorted(failed.values(), key=lambda f: f.id)
        ],
    }
    storage.write(truth_path(job, task), storage.readable_json(whole))
    storage.remove_folder(staging)
    result = done(job, task)
    assert result is not None, "it was just written"
    return result


def _make(job: Job, task: Task, lease: Any, staging: Path) -> dict[str, Failed]:
    """Stage every photo of the task; those that failed for good, by name."""
    failed = {
        item: Failed(id=item, failure_class=f.cls, reason=f.reason, tries=f.tries)
        for item, f in lease.failed.items()
        if item in task.items
    }
    again = False
    with ExitStack() as stack:
        loaded: Loaded | None = None
        holds = ""  # the key of the shape that is loaded
        for place, (name, shape) in enumerate(zip(task.items, task.shapes, strict=True)):
            if name in failed:
                continue
            if _made(job, staging, name) is None:
                lease.start(name)
                try:
                    if loaded is None or holds != shape.key:
                        stack.close()
                        loaded = None
                        loaded, holds = stack.enter_context(_load(shape)), shape.key
                    _stage(job, staging, name, task.first + place, shape, loaded)
                except (ItemFailed, MemoryError) as error:
                    told = _failed(name, error)
                    lease.fail(name, told.failure_class, told.reason)
                    if told.failure_class == "bad_input":
                        failed[name] = told
                    else:
                        again = True
                    continue
            lease.finish(name, photos=1)
    if again:
        raise lease.Retry
    return failed


def _load(shape: Shape) -> Any:
    if shape.problem:
        raise BadInput(shape.problem)
    path = Path(shape.path)
    check_file(path, shape)
    return warm_session().shape(path, shape.up, roots_of(path))


def _stage(job: Job, staging: Path, name: str, number: int, shape: Shape, loaded: Loaded) -> None:
    """Make one photo; its note comes last and makes it count."""
    from renderer.blender.photo import photograph

    scene = draw_scene(job.seed, number)
    light, share, matrix, intrinsic = photograph(warm_session(), loaded, scene, job.size, job.spp)
    mask = np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)
    seen = mask > 127
    if seen.mean() < LEAST:
        raise ItemFailed("blank", f"the shape covers {seen.mean():.2%} of the photo")
    photo = encode_image("albedo", develop(light, scene.sensor, job.seed, number))
    masked = encode_image("mask", mask)
    note = {
        "name": name,
        "file": f"{PHOTOS}/{name}.png",
        "mask": f"{MASKS}/{name}.png",
        "sha256": storage.sha256(photo),
        "mask_sha256": storage.sha256(masked),
        "number": number,
        "size": [job.size, job.size],
        "shape": {
            "key": shape.key,
            "id": shape.id,
            "category": shape.category,
            "synset": shape.synset,
            "sha256": shape.sha256,
        },
        "bbox": _bbox(seen),
        "coverage": round(float(seen.mean()), 6),
        "cut": bool(seen[0].any() or seen[-1].any() or seen[:, 0].any() or seen[:, -1].any()),
        "intrinsics": intrinsic.tolist(),
        "world_to_camera": matrix.tolist(),
        "scene": dataclasses.asdict(scene),
    }
    storage.write(staging / PHOTOS / f"{name}.png", photo)
    storage.write(staging / MASKS / f"{name}.png", masked)
    storage.write(staging / f"{name}.json", storage.readable_json(note))


def _made(job: Job, staging: Path, name: str) -> dict[str, Any] | None:
    """The note of a photo that an earlier try made, in whichever of the two places it lies."""
    try:
        note = storage.read_json(staging / f"{name}.json")
        for file, sha in ((note["file"], note["sha256"]), (note["mask"], note["mask_sha256"])):
            there = staging / file
            if not there.exists():
                there = job.folder / file
            if storage.sha256(there.read_bytes()) != sha:
                return None
        return dict(note)
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        return None


def _bbox(seen: NDArray[np.bool_]) -> list[int]:
    """[x0, y0, x1, y1], ends exclusive."""
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]


def _device() -> tuple[str, str]:
    device = warm_session().device
    return device.kind, device.name


def _failed(name: str, error: Exception) -> Failed:
    if isinstance(error, ItemFailed):
        cls, reason = error.failure_class, error.reason
    else:
        cls, reason = "out_of_memory", "this machine's memory does not hold it"
    return Failed(id=name, failure_class=cls, reason=reason, tries=1)
