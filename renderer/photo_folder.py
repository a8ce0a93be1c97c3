"""The folder of a photos job: plain pictures, and the truth about them aside.

photos/cars/
  job.json                  the job and its shapes with their hashes; written first
  README.md                 that these are renders, and of what
  photos/photo-00017.png    a picture, 8-bit RGB
  masks/photo-00017.png     where the shape is seen, 8-bit grey: 0, 255, shares between at edges
  truth/photos-000002.json  of each task: shape, camera, scene, hashes
  truth.json                all of them; "complete": true at the end
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from renderer import ownership, shards, storage
from renderer.jobs.photos import Done, Failed, Job, Scanned, Task

if TYPE_CHECKING:
    from pathlib import Path

VERSION = 1
PHOTOS, MASKS, TRUTH = "photos", "masks", "truth"
STAND_IN = (
    "These pictures are renders of 3D shapes. They stand in for photos of real things, where there "
    "are none at hand, and are no evidence of how well anything does on real photos."
)
CONVENTIONS = {
    "world": shards.CONVENTIONS["world"],
    "camera": shards.CONVENTIONS["camera"],
    "pixels": shards.CONVENTIONS["pixels"],
    "mask": "8 bits, share of the pixel that shows the shape; aberration and blur left out",
}


def claim(job: Job, scanned: Scanned) -> None:
    """Write job.json, or find it this job's.

    Raises ValueError for another's folder, or shapes that have changed since.
    """
    folder, note = job.folder, ownership.read(job.folder)
    if note is None:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ValueError(f"{folder} is in use, and not for photos; choose another --out")
        whole = {
            "version": shards.VERSION,
            "kind": "photos",
            "job": _identity(job),
            "shapes": [dataclasses.asdict(shape) for shape in scanned.shapes],
        }
        storage.write(folder / shards.JOB, storage.readable_json(whole))
        return
    if note.get("kind") != "photos":
        raise ValueError(f"{folder} holds a {note.get('kind')} job; choose another --out")
    theirs, ours = note["job"], _identity(job)
    for name in ours:
        if theirs.get(name) != ours[name]:
            raise ValueError(
                f"{folder} holds other photos ({name} {theirs.get(name)}, not {ours[name]}); "
                "choose another --out"
            )
    before = ownership.hashes(note)
    now = {shape.key: shape.sha256 for shape in scanned.shapes}
    changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    if changed:
        raise ValueError(
            f"{changed[0]} is not what {folder} was begun with; put it back, or choose another "
            "--out"
        )


def _identity(job: Job) -> dict[str, Any]:
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(job).items()
        if name not in ("max_failures", "out")
    }


def truth_path(job: Job, task: Task) -> Path:
    return job.folder / TRUTH / f"{task.name}.json"


def done(job: Job, task: Task) -> Done | None:
    """What the task's file says, where its pictures are there too."""
    try:
        note = shards.read_versioned(truth_path(job, task))
        photos, failed = note["photos"], note["failed"]
        sizes = [(job.folder / photo[name]).stat().st_size
                 for photo in photos for name in ("file", "mask")]  # fmt: skip
    except (FileNotFoundError, NotADirectoryError, ValueError, LookupError):
        return None
    if {p["name"] for p in photos} | {f["id"] for f in failed} != set(task.items) or 0 in sizes:
        return None
    return Done(
        name=task.name,
        photos=len(photos),
        failed=tuple(
            Failed(id=f["id"], failure_class=f["class"], reason=f["reason"], tries=f["tries"])
            for f in failed
        ),
    )


def publish(job: Job, scanned: Scanned, dones: Sequence[Done], complete: bool) -> None:
    """truth.json and README.md from the tasks' files."""
    photos: list[Any] = []
    failed: list[Any] = []
    made_with: dict[str, Any] = {}
    for each in sorted(dones, key=lambda done: done.name):
        note = shards.read_versioned(job.folder / TRUTH / f"{each.name}.json")
        photos += note["photos"]
        failed += note["failed"]
        made_with[storage.canonical_json(note["created_with"]).decode()] = note["created_with"]
    whole = {
        "version": VERSION,
        "stand_in": STAND_IN,
        "complete": complete,
        "job": _identity(job),
        "created_with": [made_with[text] for text in sorted(made_with)],
        "conventions": CONVENTIONS,
        "photos": photos,
        "failed": failed,
    }
    storage.write(job.folder / "truth.json", storage.readable_json(whole))
    storage.write(job.folder / "README.md", _readme(job, len(photos), len(scanned.shapes)).encode())


def _readme(job: Job, photos: int, shapes: int) -> str:
    return f"""# Renders that stand in for photos

{STAND_IN}

{photos} pictures of {shapes} shapes of {", ".join(job.shapes)}, {job.size} px, seed {job.seed}.
Ground, sky, sun, paint, clutter, lens and sensor are drawn at random from the seed.

- `photos/` the pictures, 8-bit PNG
- `masks/` where the shape is seen in each; kept aside: no training reads them unasked
- `truth.json` the shape, the camera and the scene of each

Made by `farm submit photos`.
"""
