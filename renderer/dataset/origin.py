"""Where the samples of a dataset were first made, through every merge and subset since.

A render job's dataset is its own origin.  A merged dataset or a subset carries `origins` in its
`job.json`: which jobs made its samples, and which of their views are left.  Thus it can still be
checked against its recipe and rendered again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from renderer import shards
from renderer.storage import Place


@dataclass(frozen=True, kw_only=True)
class Origin:
    id: str
    """Of the dataset in which the samples were made."""
    kind: str
    """Of the job that made them: `render`."""
    job: Mapping[str, Any]
    """The job, without what does not change the result."""
    views: tuple[int, ...] | None
    """Which of the origin's views are left, in this order; None: all of them."""
    shapes: tuple[str, ...]
    """Keys of the samples that come from there."""
    restyled: bool = False
    """Whether a network has changed the colours since; all else is as it was made."""

    def as_json(self) -> dict[str, Any]:
        views = None if self.views is None else list(self.views)
        whole = {**asdict(self), "views": views, "shapes": list(self.shapes)}
        return whole if self.restyled else {n: v for n, v in whole.items() if n != "restyled"}

    def with_views(self, views: Sequence[int]) -> tuple[int, ...]:
        """Numbers in the origin of some of the views that are left."""
        return tuple(views) if self.views is None else tuple(self.views[v] for v in views)


@dataclass(frozen=True, kw_only=True)
class Made:
    """What `job.json` tells."""

    kind: str
    job: Mapping[str, Any]
    shapes: Mapping[str, Mapping[str, Any]]
    """key -> the shape's fields"""
    origins: tuple[Origin, ...]
    first: int = 0
    """Number of the first shard that was added to a finished dataset; 0: nothing was."""
    kept: tuple[str, ...] = ()
    """Shards that stayed as they were when it was added to."""

    def being_added_to(self, index: Mapping[str, Any]) -> bool:
        """Whether job.json tells of more than the index does, because a job still runs."""
        if self.kind != "render":
            return False
        if self.job != index["job"]:
            return True
        names = [entry["name"] for entry in index["shards"]]
        news = any(shards.shard_number(name) >= self.first for name in names)
        return self.first > 0 and not news and sorted(names) != sorted(self.kept)

    def origin_of(self) -> dict[str, Origin]:
        """key -> origin"""
        return {key: origin for origin in self.origins for key in origin.shapes}


def read_made(folder: Place, index: Mapping[str, Any]) -> Made:
    """What made the dataset in a folder.

    Raises FileNotFoundError, or ValueError for what is no job.json of this format.
    """
    path = folder / shards.JOB
    note = shards.read_versioned(path)
    try:
        shapes = {str(shape["key"]): shape for shape in note["shapes"]}
        if "photos" in note:
            shapes |= _found(folder, index)
        if "origins" in note:
            origins = tuple(_origin(one) for one in note["origins"])
        else:
            origins = (
                Origin(
                    id=index["id"],
                    kind=note["kind"],
                    job=index["job"],
                    views=None,
                    shapes=tuple(shapes),
                ),
            )
        return Made(
            kind=note["kind"],
            job=note["job"],
            shapes=shapes,
            origins=origins,
            first=note.get("first", 0),
            kept=tuple(shard["name"] for shard in note.get("kept", ())),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} lacks {error}; it is not as it was written") from error


def _found(folder: Place, index: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Key -> fields of what was found in photos: nobody knows before they are looked at."""
    keys: list[str] = []
    for entry in index["shards"]:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            sidecar = shards.read_versioned(shards.sidecar_path(folder / entry["name"]))
            keys += [sample["key"] for sample in sidecar["samples"]]
            keys += [failure["id"] for failure in sidecar["failed"]]
    return {key: {"key": key, "category": key.partition("-")[0]} for key in keys}


def _origin(one: Mapping[str, Any]) -> Origin:
    views = one["views"]
    return Origin(
        id=one["id"],
        kind=one["kind"],
        job=one["job"],
        views=None if views is None else tuple(views),
        shapes=tuple(one["shapes"]),
        restyled=bool(one.get("restyled", False)),
    )


def limited_to(origins: Iterable[Origin], keys: Iterable[str]) -> list[Origin]:
    """The origins of some samples alone."""
    wanted = set(keys)
    found = []
    for origin in origins:
        mine = tuple(key for key in origin.shapes if key in wanted)
        if mine:
            found.append(Origin(**{**vars(origin), "shapes": mine}))
    return found
