"""What a run trains on: a frozen snapshot of datasets, read shape by shape where it lies.

    snapshot = Snapshot.take(["data/cars", "data/chairs"])
    reader = Reader(snapshot)
    for item in snapshot.items("train"):
        reader.image(item, view=0)

A snapshot names every shard and the hash of its side-car; the side-car has the hash of every
member.  So a dataset may grow while a run reads it, and a shard that was changed is found out.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renderer import storage
from trainer.cache import Cache
from trainer.errors import DatasetRefused
from trainer.members import Members
from trainer.survey import Shard, Survey, check, spelled, survey

Array = NDArray[Any]

VERSION = 1
"""Of a snapshot's JSON."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is true of every sample: what a model asks before anything runs."""

    categories: tuple[str, ...]
    """Sorted; the class number is the index."""
    views: int
    """Of every sample."""
    cameras: str
    """The rig: dpc, circle, dodecahedron, miro, hammersley, orbit, street; empty where unknown."""
    size: tuple[int, int]
    """Width, height of every picture."""
    passes: tuple[str, ...]
    """That every view has: rgba, depth, ..."""
    points: int
    """In each cloud; 0: none."""
    samples: Mapping[str, int]
    """Split -> number of shapes."""
    folders: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Item:
    """One shape of a snapshot."""

    key: str
    category: int
    """Index into the facts' categories."""
    folder: int
    """Index into the facts' folders."""
    number: int
    """Position in its split, over all folders."""
    shard: int
    """Index into the shards of its folder."""
    row: int
    """Position in its shard."""


class Snapshot:
    """Which shapes a run reads, and from where: what the indexes named when it was taken.

    id     of the dataset; of several, the SHA-256 over their ids
    facts  what is true of every sample
    parts  the datasets, one by one
    others  snapshots of further datasets, by the name that the model's DATASETS gives them

    classes  categories there are beside those of these shapes: a run that knows more of them
             numbers them all
    """

    def __init__(
        self,
        parts: Sequence[Survey],
        classes: Sequence[str] = (),
        others: Mapping[str, Snapshot] | None = None,
    ):
        self.parts = tuple(parts)
        self.others = dict(others or {})
        self.facts = _facts(self.parts, classes)
        ids = [one.id for one in self.parts]
        self.id = ids[0] if len(ids) == 1 else hashlib.sha256(" ".join(ids).encode()).hexdigest()

    def __repr__(self) -> str:
        return f"Snapshot({self.id[:8]}, {', '.join(self.facts.folders)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Snapshot, (self.parts, self.facts.categories, self.others)

    @classmethod
    def take(
        cls,
        folders: Sequence[str | Path],
        others: Mapping[str, Sequence[str | Path]] | None = None,
    ) -> Snapshot:
        """What the datasets in these folders hold now.

        others  folders of the further datasets, by name

        Raises FileNotFoundError where there is no dataset; DatasetRefused for one that is not
        finished, or is not like the others in its views, rig or size, with both values.
        """
        if not folders:
            raise DatasetRefused("no dataset is given; --data wants one folder or several")
        places = [storage.absolute(str(folder), Path.cwd()) for folder in folders]
        surveys = [survey(storage.place(one)) for one in places]
        _refuse_unlike(surveys)
        _refuse_shared(surveys)
        further = {name: cls.take(some) for name, some in (others or {}).items()}
        return cls(surveys, others=further)

    def items(self, split: str) -> Sequence[Item]:
        """The shapes of a split, always in the same order.

        Raises DatasetRefused for a split that is not there or has no shapes.
        """
        found = self._items.get(split)
        if not found:
            there = [f"{name} ({count})" for name, count in self.facts.samples.items()]
            raise DatasetRefused(
                f"no shapes in split {split!r} of {', '.join(self.facts.folders)}; "
                f"there are {', '.join(there)}"
            )
        return found

    @functools.cached_property
    def _items(self) -> dict[str, tuple[Item, ...]]:
        class_of = {name: number for number, name in enumerate(self.facts.categories)}
        found: dict[str, list[Item]] = {split: [] for split in self.facts.samples}
        for folder, part in enumerate(self.parts):
            for place, shard in enumerate(part.shards):
                for row, (key, category) in enumerate(
                    zip(shard.keys, shard.categories, strict=True)
                ):
                    items = found[shard.split]
                    items.append(
                        Item(
                            key=key,
                            category=class_of[category],
                            folder=folder,
                            number=len(items),
                            shard=place,
                            row=row,
                        )
                    )
        return {split: tuple(items) for split, items in found.items()}

    def to_json(self) -> dict[str, Any]:
        """What a run keeps of it: JSON that `from_json` reads."""
        value: dict[str, Any] = {
            "version": VERSION,
            "id": self.id,
            "datasets": [asdict(part) for part in self.parts],
        }
        if self.others:
            value["others"] = {name: other.to_json() for name, other in self.others.items()}
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Snapshot:
        """The same snapshot again, after a look whether its shards are still there, unchanged.

        Raises DatasetRefused, naming the first shard that is gone or changed.
        """
        if value.get("version") != VERSION:
            raise DatasetRefused(
                f"the snapshot has version {value.get('version')!r}; "
                f"this program reads version {VERSION}"
            )
        surveys = []
        for dataset in value["datasets"]:
            shards = tuple(Shard(**_tuples(shard)) for shard in dataset["shards"])
            surveys.append(Survey(**_tuples({**dataset, "shards": shards})))
        for one in surveys:
            for shard in one.shards:
                check(one.folder, shard)
        others = value.get("others", {})
        return cls(surveys, others={name: cls.from_json(other) for name, other in others.items()})


class Reader:
    """Pictures, clouds and cameras of a snapshot's shapes, in any order.

    Threads may share one; other processes get their own by fork or pickle.
    cache  keep decoded pictures for all processes of this machine: see trainer.cache
    """

    def __init__(self, snapshot: Snapshot, cache: bool = True):
        self.snapshot, self.cache = snapshot, cache
        facts = snapshot.facts
        self._starts = [_starts(one) for one in snapshot.parts]
        self._caches = [
            Cache(one.id, slots=sum(len(s.keys) for s in one.shards) * facts.views)
            if cache
            else None
            for one in snapshot.parts
        ]
        self._members = Members(snapshot.parts)
        # Parsed cameras take about 5 kB each: 50 MB.
        self._meta = functools.lru_cache(10_000 // max(1, facts.views))(self._members.meta)

    def __reduce__(self) -> tuple[Any, ...]:
        return Reader, (self.snapshot, self.cache)

    def image(self, item: Item, view: int, kind: str = "rgba") -> Array:
        """One pass of one view as it is stored: see the format page.

        rgba uint8 [H, W, 4], depth uint16 [H, W], normal uint16 [H, W, 3], albedo uint8 [H, W, 3],
        mask uint8 [H, W]; not to be written to: the array may be the cache's own memory

        Raises DatasetRefused for a pass that is not there, or a shard that was changed since.
        """
        views = self.snapshot.facts.views
        if not 0 <= view < views:
            raise IndexError(f"view {view} of {item.key}, which has {views}")
        cache = self._caches[item.folder]
        slot = (self._starts[item.folder][item.shard] + item.row) * views + view
        if cache is not None and (kept := cache.get(kind, slot)) is not None:
            return kept
        image: Array = self._members.decode(item.folder, item.shard, item.row, kind, view)
        image.flags.writeable = False
        if cache is not None:
            cache.put(kind, slot, image)
        return image

    def points(self, item: Item) -> NDArray[np.float32]:
        """[N, 3] uniform by area on the surface, world frame; N is the facts' points."""
        # Points lie in a cloud in no order: the first n of them are a cloud of n.
        cloud: NDArray[np.float32] = self._members.decode(
            item.folder, item.shard, item.row, "points"
        )
        return cloud[: self.snapshot.facts.points]

    def meta(self, item: Item) -> Mapping[str, Any]:
        """The sample's JSON, which others hold too: not to be changed."""
        return self._meta(item.folder, item.shard, item.row)


def _starts(one: Survey) -> list[int]:
    """For each shard the number of its first shape in the cache: training comes first, so that it
    is what is kept when not all fits."""
    order = sorted(range(len(one.shards)), key=lambda n: (one.shards[n].split != "train", n))
    starts, total = [0] * len(order), 0
    for number in order:
        starts[number] = total
        total += len(one.shards[number].keys)
    return starts


def _facts(surveys: Sequence[Survey], classes: Sequence[str]) -> Facts:
    samples: dict[str, int] = {}
    for shard in itertools.chain.from_iterable(one.shards for one in surveys):
        if shard.keys:
            samples[shard.split] = samples.get(shard.split, 0) + len(shard.keys)
    categories = {name for one in surveys for shard in one.shards for name in shard.categories}
    first = surveys[0]
    return Facts(
        categories=tuple(sorted({*categories, *classes})),
        views=first.views,
        cameras=first.cameras,
        size=first.size,
        passes=tuple(p for p in first.passes if all(p in one.passes for one in surveys)),
        points=min(one.points for one in surveys),
        samples=samples,
        folders=tuple(one.folder for one in surveys),
    )


def _refuse_unlike(surveys: Sequence[Survey]) -> None:
    first = surveys[0]
    for other in surveys[1:]:
        for what in ("views", "cameras", "size"):
            ours, theirs = getattr(first, what), getattr(other, what)
            if ours != theirs:
                raise DatasetRefused(
                    f"{first.folder} and {other.folder} cannot be trained on together: {what} is "
                    f"{spelled(ours)} and {spelled(theirs)}; render one of them again to match"
                )


def _refuse_shared(surveys: Sequence[Survey]) -> None:
    """A shape of two datasets could be in the training of one and in the test of the other."""
    holder: dict[str, str] = {}
    for one in surveys:
        for key in itertools.chain.from_iterable(shard.keys for shard in one.shards):
            if key in holder:
                raise DatasetRefused(
                    f"{key} is in {holder[key]} and in {one.folder}; "
                    "leave it out of one with `farm dataset subset`"
                )
            holder[key] = one.folder


def _tuples(value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(v) if isinstance(v, list) else v for name, v in value.items()}
