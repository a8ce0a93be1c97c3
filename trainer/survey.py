"""A look over one dataset: which shards, which shapes, and what is true of all of them.

Every sample's JSON is read once, for its category and size; what is kept of it goes into a run's
snapshot, so that nobody reads them all again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from renderer import storage
from renderer.shards import VERSION, Dataset, Sample, sidecar_path, tar_path
from renderer.storage import Place
from trainer.errors import DatasetRefused

REMEDY = "begin a new run, with another --out"


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A shard as it was when it was looked at."""

    name: str
    split: str
    bytes: int
    sidecar: str
    """SHA-256 of the side-car, which has the hashes of all that is in the shard."""
    keys: tuple[str, ...]
    categories: tuple[str, ...]
    """Of each shape; empty text where it has none."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What one dataset holds."""

    folder: str
    id: str
    shards: tuple[Shard, ...]
    views: int
    cameras: str
    """The rig; empty where unknown."""
    size: tuple[int, int]
    passes: tuple[str, ...]
    points: int
    """In every cloud; 0: none."""


def survey(folder: Place) -> Survey:
    """Look over the dataset in a folder.

    Raises FileNotFoundError where there is none; DatasetRefused where it is not finished, or its
    samples are not all alike.
    """
    dataset = Dataset(folder)
    if not dataset.complete:
        raise DatasetRefused(
            f"{folder} is not finished; the same `farm submit render` again finishes it"
        )
    # Reading waits for storage most of the time, over a network above all.
    with ThreadPoolExecutor(8 if isinstance(folder, Path) else 32) as pool:
        looked = list(pool.map(functools.partial(_look, folder), dataset.index["shards"]))
    found = [sample for _, samples in looked for sample in samples]
    if not found:
        raise DatasetRefused(f"{folder} has no shapes")
    for what in ("views", "size", "passes", "points"):
        _alike(folder, what, found)
    first = found[0]
    return Survey(
        folder=str(folder),
        id=dataset.id,
        shards=tuple(shard for shard, _ in looked),
        views=first.views,
        cameras=str(dataset.index["conventions"].get("cameras", "")),
        size=first.size,
        passes=first.passes,
        points=first.points,
    )


def check(folder: str, shard: Shard) -> bytes:
    """The side-car of a shard that still is what it was.

    Raises DatasetRefused, by name, for one that is gone or changed.
    """
    plain = storage.place(folder) / shard.name
    with still_there(plain):
        data = storage.read(sidecar_path(plain))
        if hashlib.sha256(data).hexdigest() != shard.sidecar:
            raise DatasetRefused(f"{sidecar_path(plain)} was changed since the run began; {REMEDY}")
        size = storage.size(storage.by_content(plain, json.loads(data)["sha256"]))
    if size != shard.bytes:
        raise DatasetRefused(
            f"{plain} was changed since the run began: {size} bytes are not {shard.bytes}; {REMEDY}"
        )
    return data


@contextlib.contextmanager
def still_there(tar: Place) -> Iterator[None]:
    """Missing files are told as a shard that is gone."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DatasetRefused(f"{tar} is gone, which the run was begun with; {REMEDY}") from error


@dataclass(frozen=True, kw_only=True)
class _Looked:
    """What must be the same for every sample, and its category."""

    key: str
    category: str
    views: int
    size: tuple[int, int]
    passes: tuple[str, ...]
    points: int


def _look(folder: Place, entry: Mapping[str, Any]) -> tuple[Shard, list[_Looked]]:
    tar = tar_path(folder, entry["name"], entry["sha256"])
    try:
        data = storage.read(sidecar_path(folder / entry["name"]))
        sidecar = json.loads(data)
        fits = (sidecar["version"], sidecar["sha256"]) == (VERSION, entry["sha256"])
        if not fits or storage.size(tar) != entry["bytes"]:
            raise ValueError("it is not the shard that the index names")
        samples = [_look_at(Sample(tar, sample)) for sample in sidecar["samples"]]
    except (FileNotFoundError, ValueError, LookupError, TypeError) as error:
        what = "it is missing" if isinstance(error, FileNotFoundError) else error
        raise DatasetRefused(f"{tar}: {what}; `farm dataset verify {folder}` tells more") from error
    shard = Shard(
        name=entry["name"],
        split=entry["split"],
        bytes=entry["bytes"],
        sidecar=hashlib.sha256(data).hexdigest(),
        keys=tuple(sample.key for sample in samples),
        categories=tuple(sample.category for sample in samples),
    )
    return shard, samples


def _look_at(sample: Sample) -> _Looked:
    meta = sample.meta
    images = [name for name in sample.members if name.endswith(".png")]
    size = meta.get("size")
    if size is None:  # photos: as large as the first of them
        height, width = sample.decode(images[0]).shape[:2]
        size = (width, height)
    # The header of a .npy is as long for any number of points: 12 bytes for each are the rest.
    cloud = sample.members.get("points.npy")
    return _Looked(
        key=sample.key,
        category=str((meta.get("shape") or {}).get("category", "")),
        views=sum(name.endswith(".rgba.png") for name in images),
        size=(int(size[0]), int(size[1])),
        passes=tuple(dict.fromkeys(name.split(".")[-2] for name in images)),
        points=(cloud[1] - 128) // 12 if cloud else 0,
    )


def _alike(folder: Place, what: str, samples: Iterable[_Looked]) -> None:
    first, *others = samples
    for other in others:
        ours, theirs = getattr(first, what), getattr(other, what)
        if ours != theirs:
            raise DatasetRefused(
                f"{folder}: {what} is {spelled(ours)} in {first.key} and {spelled(theirs)} in "
                f"{other.key}; render it again with the same options"
            )


def spelled(value: object) -> str:
    """Values as people read them in a message."""
    if isinstance(value, tuple):
        numbers = all(isinstance(part, int) for part in value)
        return (" x " if numbers else ",").join(map(str, value)) or "none"
    return str(value) or "unknown"
