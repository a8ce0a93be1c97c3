"""The one door from pages to datasets on storage: opened once, read in place, little at a time.

What a page asks for costs the same whether a dataset has ten shards or a hundred thousand: the
index is read again only when it is old, and then for all who ask; of the samples a page sees some.
Only names that the index gives are opened, and only beneath the dataset's own folder.
"""

from __future__ import annotations

import bisect
import hashlib
import re
import struct
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from renderer import storage
from renderer.shards import INDEX, Dataset, Sample

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*-\d{6,}")
"""Of a shard, without `.tar`."""
FRESH_S, REST_S = 2.0, 30.0
"""An index is read again after so long: of a dataset that grows, of one that is complete."""
SHARE = 20
"""And not before this many times what reading it took."""
MOST_OPEN = 32
MOST_BYTES = 64_000_000
"""Of one picture as it is stored."""
MOST_PIXELS = 4096 * 4096
MOST_JSON_BYTES = 4_000_000
SEEN_SHARDS, SEEN_OF_SHARD = 64, 4
"""How many shards, and samples of each, stand for all of them where views are counted."""
KEPT_SHARDS = 4096


class NotThere(Exception):
    """A dataset, shard, sample or picture that is not there; or not where it should be."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a sample lies: what a page's address has of it."""

    shard: str
    """Name of the shard without `.tar`."""
    number: int
    """Of the sample in its shard."""
    view: int
    """The one that stands for it: another for each shape, for a rig's first may be from above."""
    key: str
    split: str
    digest: str
    """Of the shard's content: an address with it never shows anything else."""


@dataclass(frozen=True, kw_only=True)
class ViewFacts:
    azimuth_deg: float | None
    """None of a picture without a camera."""
    elevation_deg: float | None
    coverage: float | None


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The views of some shapes of a dataset, which were drawn by hash."""

    views: tuple[ViewFacts, ...]
    shapes: int
    of: int
    whole: bool
    """Whether all that are to be read have been: else the next look has more."""


class Opened:
    """A dataset as its index stood at one moment."""

    def __init__(self, folder: str):
        began = time.monotonic()
        self.folder = folder
        inside(folder, INDEX)
        try:
            self.dataset = Dataset(folder)
            shards = self.dataset.shards
            self.names = {str(s["name"]).removesuffix(".tar"): n for n, s in enumerate(shards)}
            counts = [int(shard["samples"]) for shard in shards]
            self.first = [0, *accumulate(counts)]
            self.bytes = sum(int(shard["bytes"]) for shard in shards)
            members = [str(name) for name in self.dataset.index["members"]]
            self.views = sum(name.endswith(".rgba.png") for name in members)
            self.splits: Counter[str] = Counter()
            for shard, count in zip(shards, counts, strict=True):
                self.splits[str(shard["split"])] += count
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise NotThere(str(error)) from error
        # A draw by hash stays what it was while shards are added.
        self.drawn = sorted(
            (name for name, number in self.names.items() if counts[number]),
            key=lambda name: hashlib.sha256(name.encode()).digest(),
        )[:SEEN_SHARDS]
        self.opened = time.monotonic()
        self.cost_s = self.opened - began

    @property
    def stale(self) -> bool:
        keep_s = max(REST_S if self.dataset.complete else FRESH_S, SHARE * self.cost_s)
        return time.monotonic() - self.opened > keep_s

    def shard(self, name: str) -> dict[str, Any]:
        """Its entry in the index. Raises NotThere, also for one that lies elsewhere."""
        if name not in self.names or not NAME.fullmatch(name):
            raise NotThere(f"no shard {name}")
        inside(self.folder, f"{name}.tar")
        inside(self.folder, f"{name}.json")
        return self.dataset.shards[self.names[name]]

    def sample(self, name: str, number: int) -> Sample:
        entry = self.shard(name)
        if not 0 <= number < int(entry["samples"]):
            raise NotThere(f"{name} has {entry['samples']} samples")
        try:
            return self.dataset[self.first[self.names[name]] + number]
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise NotThere(str(error)) from error

    def places(self, name: str) -> list[Place]:
        """Of all samples of a shard."""
        entry = self.shard(name)
        return [
            Place(
                shard=name,
                number=number,
                view=int(hashlib.sha256(key.encode()).hexdigest(), 16) % max(1, self.views),
                key=key,
                split=str(entry["split"]),
                digest=str(entry["sha256"])[:12],
            )
            for number in range(int(entry["samples"]))
            for key in (self.sample(name, number).key,)
        ]


class Datasets:
    """The datasets that pages look at. Its functions read storage: call them in a thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opened: OrderedDict[str, Opened] = OrderedDict()
        self._seen: OrderedDict[tuple[str, str], tuple[int, tuple[ViewFacts, ...]]] = OrderedDict()

    def open(self, folder: str) -> Opened:
        """Raises NotThere where there is none yet."""
        with self._lock:
            found = self._opened.get(folder)
        if found is None or found.stale:
            found = Opened(folder)
            with self._lock:
                self._opened[folder] = found
                self._opened.move_to_end(folder)
                while len(self._opened) > MOST_OPEN:
                    self._opened.popitem(last=False)
        return found

    def newest(self, folder: str, names: Sequence[str], most: int) -> list[Place]:
        """Samples of these shards, in their order, then of the last ones; at most so many."""
        opened = self.open(folder)
        known = [name for name in names if name in opened.names]
        if not known:
            known = list(opened.names)[-most:][::-1]
        found: list[Place] = []
        for name in known:
            if len(found) >= most:
                break
            found += opened.places(name)
        return found[:most]

    def page(self, folder: str, start: int, most: int) -> list[Place]:
        """Samples from the start-th on, in the order of the dataset."""
        opened = self.open(folder)
        found: list[Place] = []
        shard = max(0, bisect.bisect_right(opened.first, start) - 1)
        names = list(opened.names)
        while len(found) < most and shard < len(names):
            skip = max(0, start - opened.first[shard])
            found += opened.places(names[shard])[skip:]
            shard += 1
        return found[:most]

    def find(self, folder: str, shard: str, key: str) -> Place | None:
        """Where the sample of that key lies, if it is in this shard."""
        try:
            places = self.open(folder).places(shard)
        except NotThere:
            return None
        return next((place for place in places if place.key == key), None)

    def seen(self, folder: str, budget_s: float = 0.4) -> Seen:
        """The views of some samples. What takes longer than the budget is read by later calls."""
        opened = self.open(folder)
        ends = time.monotonic() + budget_s
        views: list[ViewFacts] = []
        shapes, whole = 0, True
        for name in opened.drawn:
            entry = opened.shard(name)
            known = (folder, str(entry["sha256"]))
            found = self._seen.get(known)
            if found is None:
                if time.monotonic() > ends and shapes:
                    whole = False
                    continue
                found = _look(opened, name, int(entry["samples"]))
                with self._lock:
                    self._seen[known] = found
                    while len(self._seen) > KEPT_SHARDS:
                        self._seen.popitem(last=False)
            shapes += found[0]
            views += found[1]
        return Seen(views=tuple(views), shapes=shapes, of=len(opened.dataset), whole=whole)


def _look(opened: Opened, name: str, samples: int) -> tuple[int, tuple[ViewFacts, ...]]:
    """How many samples of a shard were looked at, and their views."""
    small = len(opened.dataset) <= SEEN_SHARDS * SEEN_OF_SHARD
    chosen = range(0, samples, 1 if small else max(1, -(-samples // SEEN_OF_SHARD)))
    views = [
        ViewFacts(
            azimuth_deg=_number(view.get("azimuth_deg")),
            elevation_deg=_number(view.get("elevation_deg")),
            coverage=_number(view.get("coverage")),
        )
        for number in chosen
        for view in meta(opened.sample(name, number))["views"]
    ]
    return len(chosen), tuple(views)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def meta(sample: Sample) -> dict[str, Any]:
    """What is known of a sample. Raises NotThere."""
    try:
        within(sample, "json")
        return sample.meta
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise NotThere(str(error)) from error


def within(sample: Sample, member: str) -> None:
    """Raises NotThere for a member that is missing, too large, or a picture of too many pixels."""
    if member not in sample.members:
        raise NotThere(f"{sample.key} has no {member}")
    if not 0 < sample.members[member][1] <= MOST_BYTES:
        raise NotThere(f"{member} of {sample.key} is too large")
    if member.endswith(".png"):
        width, height = png_size(storage.read_range(sample.tar, sample.members[member][0], 24))
        if width * height > MOST_PIXELS:
            raise NotThere(f"{member} of {sample.key} is {width} x {height} pixels")


def png_size(head: bytes) -> tuple[int, int]:
    """Width and height that the first 24 bytes of a PNG tell. Raises NotThere for another file."""
    if len(head) < 24 or head[:8] != b"\x89PNG\r\n\x1a\n" or head[12:16] != b"IHDR":
        raise NotThere("it is no PNG")
    width, height = struct.unpack(">II", head[16:24])
    return int(width), int(height)


def inside(folder: str, *parts: str) -> storage.Place:
    """A file beneath a folder.

    Raises NotThere where there is none, where it is a way out of the folder, and for what is no
    file: a pipe that nobody writes to would be read for ever.
    """
    try:
        root = storage.place(folder)
    except ValueError as error:
        raise NotThere(str(error)) from None
    if any(part in ("", ".", "..") or "/" in part for part in parts):
        raise NotThere(f"{'/'.join(parts)} is no file in a folder")
    if not isinstance(root, Path):  # an object store has no links and no pipes
        for part in parts:
            root = root / part
        return root
    whole = root.resolve()
    path = whole.joinpath(*parts).resolve()
    if not path.is_relative_to(whole):
        raise NotThere(f"{'/'.join(parts)} leads out of its folder")
    if not path.is_file():
        raise NotThere(f"{'/'.join(parts)} is no file")
    return path


def is_there(folder: str, *parts: str) -> bool:
    """Whether there is such a file beneath a folder."""
    try:
        return storage.exists(inside(folder, *parts))
    except (NotThere, OSError):
        return False


def read_json(folder: str, *parts: str) -> dict[str, Any] | None:
    """A small JSON object; None where there is none that can be read."""
    try:
        path = inside(folder, *parts)
        found = storage.read_json(path) if storage.size(path) <= MOST_JSON_BYTES else None
    except (NotThere, OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
