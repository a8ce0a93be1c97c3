"""What a merged dataset and a subset have in common: how they are claimed, written and finished."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from renderer import shards, storage
from renderer.dataset.origin import Made, Origin, read_made
from renderer.shards import Dataset
from renderer.storage import Place

# Called with how much is done and of how much: samples, or bytes where it says so.
Progress = Callable[[int, int], None]


def silent(done: int, total: int) -> None:
    """No progress."""


def open_finished(folder: Place) -> tuple[Dataset, Made]:
    """A dataset that others can be made from.

    Raises FileNotFoundError, or ValueError when it is not complete.
    """
    dataset = Dataset(folder)
    if not dataset.complete:
        raise ValueError(f"{folder} is not complete; let its job finish first: `farm status`")
    return dataset, read_made(folder, dataset.index)


def parent_of(dataset: Dataset) -> dict[str, Any]:
    """The entry in `parent` that names a dataset."""
    return {"id": dataset.id, "samples": len(dataset)}


def claim(
    folder: Place,
    kind: str,
    job: Mapping[str, Any],
    shapes: Iterable[Mapping[str, Any]],
    origins: Iterable[Origin],
) -> None:
    """Make the folder ours by writing job.json, or find that it is.

    Raises ValueError when it holds something else.
    """
    note = {
        "version": shards.VERSION,
        "kind": kind,
        "job": job,
        "shapes": list(shapes),
        "origins": [origin.as_json() for origin in origins],
    }
    path = folder / shards.JOB
    if not storage.exists(path):
        if storage.in_use(folder):
            raise ValueError(f"{folder} is in use and is not a dataset; choose another --out")
        if storage.write_if(path, storage.readable_json(note), None):
            return
    if storage.canonical_json(storage.read_json(path)) != storage.canonical_json(note):
        raise ValueError(f"{folder} holds another job's dataset; choose another --out")


def written(folder: Place, name: str, keys: Iterable[str]) -> dict[str, Any] | None:
    """The side-car of a shard that an earlier, interrupted run finished; None where there is none.

    The side-car is written last, so the tar beside it is whole.
    """
    try:
        sidecar = shards.read_versioned(shards.sidecar_path(folder / f"{name}.tar"))
        tar = shards.tar_path(folder, name, sidecar["sha256"])
        if storage.size(tar) and [s["key"] for s in sidecar["samples"]] == list(keys):
            return sidecar
    except (FileNotFoundError, ValueError, KeyError):
        pass
    return None


def entry_of(folder: Place, split: str, sidecar: Mapping[str, Any]) -> dict[str, Any]:
    """A shard's entry in the index."""
    return {
        "name": sidecar["shard"],
        "split": split,
        "samples": len(sidecar["samples"]),
        "bytes": storage.size(shards.tar_path(folder, sidecar["shard"], sidecar["sha256"])),
        "sha256": sidecar["sha256"],
    }


def finish(
    folder: Place,
    entries: list[dict[str, Any]],
    *,
    job: Mapping[str, Any],
    parent: dict[str, Any] | list[dict[str, Any]],
    created_with: Any,
    conventions: Mapping[str, Any],
    members: list[str],
    sources: list[Any],
) -> dict[str, Any]:
    """Write the index, which makes the dataset one; returns it."""
    splits: dict[str, list[str]] = {}
    for entry in entries:
        if entry["samples"]:  # webdataset stumbles over a shard without samples
            splits.setdefault(entry["split"], []).append(entry["name"])
    return shards.write_index(
        folder,
        {
            "version": shards.VERSION,
            "complete": True,
            "job": dict(job),
            "parent": parent,
            "created_with": created_with,
            "conventions": dict(conventions),
            "members": members,
            "splits": splits,
            "shards": entries,
            "sources": sources,
        },
    )


def copy_checked(source: Place, target: Place, sha256: str) -> None:
    """Copy a shard byte for byte.

    target  by its plain name

    A copy, not a hard link: two datasets that share a file would break together.
    Raises ValueError, naming the shard, when it is not what its index says.
    """
    digest = hashlib.sha256()
    with (
        storage.on_disk(source) as path,
        path.open("rb") as file,
        storage.replacing(target, digest) as out,
    ):
        while chunk := file.read(1 << 22):
            digest.update(chunk)
            out.write(chunk)
        if digest.hexdigest() != sha256:
            raise ValueError(
                f"{source} is not what its index says; `farm dataset verify {source.parent}` "
                "tells what is wrong"
            )


def distinct(values: Iterable[Any]) -> list[Any]:
    """Each value once, in order of its first appearance; lists are taken apart."""
    found: list[Any] = []
    for value in values:
        for one in value if isinstance(value, list) else [value]:
            if one not in found:
                found.append(one)
    return found
