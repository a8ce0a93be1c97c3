"""Small pictures of samples for pages: decoded once, kept while there is room."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Callable

from PIL import Image

from farm.web.datasets import (
    MOST_BYTES,
    MOST_PIXELS,
    Datasets,
    NotThere,
    inside,
    meta,
    png_size,
    within,
)
from renderer import storage
from renderer.dataset.pictures import draw_points, picture_of, window_of
from renderer.members import PASSES, view_name
from renderer.shards import Sample

SIDES = {"s": 176, "m": 288}
"""Pixels: of a tile of many, of one beside others; sharp on a dense screen at half of it."""
ROOM_BYTES = 64_000_000
MOST_SHEET_BYTES = 16_000_000
POINTS = "points"


class Thumbnails:
    """WebP with transparency. Its functions read storage and decode: call them in a thread."""

    def __init__(self, datasets: Datasets):
        self.datasets = datasets
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[object, ...], bytes] = OrderedDict()
        self._bytes = 0

    def view(self, folder: str, shard: str, number: int, view: int, kind: str, size: str) -> bytes:
        """One pass of one view of a sample; of kind "points" its cloud, from the first view.

        Raises NotThere.
        """
        digest = self.datasets.open(folder).shard(shard)["sha256"]
        known = (folder, digest, shard, number, view, kind, size)
        return self._keep(known, lambda: self._draw(folder, shard, number, view, kind, SIDES[size]))

    def photo(self, folder: str, *parts: str, size: str = "s") -> bytes:
        """A PNG in a job's folder, made small. Raises NotThere."""
        path = inside(folder, *parts)
        try:
            stored = storage.size(path)
            if stored > MOST_BYTES:
                raise NotThere(f"{path.name} is too large")
            known = (str(path), stored, size)
            return self._keep(known, lambda: _small(storage.read(path), SIDES[size]))
        except OSError as error:
            raise NotThere(str(error)) from error

    def _draw(self, folder: str, shard: str, number: int, view: int, kind: str, side: int) -> bytes:
        sample = self.datasets.open(folder).sample(shard, number)
        views = meta(sample)["views"]
        if not 0 <= view < len(views):
            raise NotThere(f"{sample.key} has {len(views)} views")
        try:
            return _webp(sample, view, kind, side)
        except (OSError, ValueError, LookupError, TypeError, ArithmeticError) as error:
            raise NotThere(f"{sample.key}: {error}") from error

    def _keep(self, known: tuple[object, ...], make: Callable[[], bytes]) -> bytes:
        with self._lock:
            if known in self._kept:
                self._kept.move_to_end(known)
                return self._kept[known]
        made = make()
        with self._lock:
            if known not in self._kept:
                self._kept[known] = made
                self._bytes += len(made)
            while self._bytes > ROOM_BYTES:
                self._bytes -= len(self._kept.popitem(last=False)[1])
        return made


def _webp(sample: Sample, view: int, kind: str, side: int) -> bytes:
    names = {kind, "rgba"} if kind in PASSES else {"rgba"}
    for name in names:
        within(sample, f"{view_name(view, len(sample.meta['views']))}.{name}.png")
    # The same window for all views of a shape, so that they can be compared.
    window = window_of(sample, len(sample.views))
    if kind == POINTS:
        within(sample, "points.npy")
        if sample.views[0].has("depth"):
            within(sample, f"{view_name(0, len(sample.views))}.depth.png")
        pixels = draw_points(sample, window, side)
    else:
        pixels = picture_of(sample.views[view], kind, window, side)
    return _encoded(Image.fromarray(pixels))


def _small(data: bytes, side: int) -> bytes:
    width, height = png_size(data[:24])
    if width * height > MOST_PIXELS:
        raise NotThere(f"{width} x {height} pixels are too many")
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            small = image.convert("RGBA")
            small.thumbnail((side, side), Image.Resampling.BOX)
            return _encoded(small)
    except (OSError, ValueError, SyntaxError) as error:
        raise NotThere(str(error)) from error


def _encoded(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=86, method=2)
    return buffer.getvalue()


def sheet(folder: str, *parts: str) -> bytes:
    """A PNG in a run's folder, as it is. Raises NotThere for anything else, and too large a one."""
    path = inside(folder, *parts)
    try:
        if storage.size(path) > MOST_SHEET_BYTES:
            raise NotThere(f"{path.name} is too large")
        data = storage.read(path)
    except OSError as error:
        raise NotThere(str(error)) from error
    png_size(data[:24])
    return data
