"""Whose folder a dataset's folder is: job.json, written first, with the job and its shapes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from renderer import shards, storage
from renderer.shapes.shape import Shape
from renderer.storage import Place

if TYPE_CHECKING:
    from renderer.jobs.render import Job, Scanned

NAME = shards.JOB
NOT_IDENTITY = frozenset({"max_failures", "add", "out"})
"""Fields of the job that do not decide the result: a folder elsewhere holds the same dataset."""
_SHAPE = tuple(field.name for field in dataclasses.fields(Shape))


def identity(job: Job) -> dict[str, Any]:
    """What of the job decides the result, as JSON."""
    whole = dataclasses.asdict(job)
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in whole.items()
        if name not in NOT_IDENTITY
    }


def read(folder: Place) -> dict[str, Any] | None:
    """The folder's job.json; None where it has none."""
    try:
        return shards.read_versioned(folder / NAME)
    except (FileNotFoundError, NotADirectoryError):
        return None


def hashes(note: Mapping[str, Any] | None) -> dict[str, str]:
    """Key -> SHA-256 of the shapes in job.json."""
    return {shape["key"]: shape["sha256"] for shape in note["shapes"]} if note else {}


def is_ours(note: Mapping[str, Any], job: Job, shapes: Sequence[Shape]) -> bool:
    """Whether the folder is this job's; with --add and other shapes it is one to grow instead."""
    same = note["job"] == identity(job)
    return same and not (job.add and hashes(note) != {s.key: s.sha256 for s in shapes})


def refuse_foreign(folder: Place, note: Mapping[str, Any] | None, job: Job) -> None:
    """Raises ValueError when the folder holds something else than this job's dataset."""
    if note is not None and not job.add:
        raise ValueError(
            f"{folder} holds another job's dataset ({_difference(note['job'], identity(job))}); "
            "choose another --out, or --add to it"
        )
    if note is None and storage.in_use(folder):
        raise ValueError(f"{folder} is in use and is not a dataset; choose another --out")


def refuse_changed(folder: Place, note: Mapping[str, Any], scanned: Scanned) -> None:
    """Raises ValueError that names a shape which is not what the job was begun with."""
    before, now = hashes(note), {shape.key: shape.sha256 for shape in scanned.shapes}
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


def claim(job: Job, scanned: Scanned, seen: str | None) -> bool:
    """Write job.json; whether nobody else has since its version was `seen`."""
    note = {
        "version": shards.VERSION,
        "kind": "render",
        "job": identity(job),
        "shapes": ({name: getattr(shape, name) for name in _SHAPE} for shape in scanned.shapes),
        "kept": [dataclasses.asdict(kept) for kept in scanned.kept],
        "first": scanned.first,
    }
    return storage.write_if(job.folder / NAME, storage.readable_json(note, lines="shapes"), seen)


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    names = [name for name in now if before.get(name) != now[name]]
    name = names[0] if names else "kind"
    return f"{name} {_short(before.get(name))}, not {_short(now.get(name))}"


def _short(value: Any) -> str:
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
