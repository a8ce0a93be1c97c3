"""A contact sheet of a dataset: what a person looks at first, and shows to others.

A row is a shape: some views, then the passes of the first view and the point cloud from its camera.
Of a stylized shape, whose passes are its parent's, every view is shown beside the parent's where
that is at hand.  Where there are more shapes than rows make sense for, or nothing but pictures, a
wall of first views takes their place.  Everything is drawn at twice its size and reduced, for
smooth edges and letters.
"""

from __future__ import annotations

import functools
import hashlib
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from renderer import storage
from renderer.dataset import parent
from renderer.dataset.info import info
from renderer.dataset.origin import read_made
from renderer.dataset.pictures import Window, depth_colours, draw_points, picture_of, window_of
from renderer.shards import Dataset, Sample
from renderer.storage import Place

Array = NDArray[Any]
Colour = tuple[int, int, int]

TWICE = 2
TILE, GAP, MARGIN, LABEL = 168, 10, 48, 168
"""Pixels of the finished sheet."""
VIEWS = 4
MOST_ROWS = 30
WALL_WIDTH = 1920

PAGE: Colour = (246, 247, 249)
INK: Colour = (28, 33, 43)
SOFT: Colour = (112, 120, 134)
LINE: Colour = (222, 226, 232)
CARD_TOP: Colour = (255, 255, 255)
CARD_BOTTOM: Colour = (233, 237, 243)


def preview(
    folder: Place, out: Path, samples: int = 8, split: str | None = None, seed: int = 0
) -> tuple[int, int]:
    """Write a contact sheet as PNG; returns its width and height.

    samples  how many shapes, of as many categories as there are
    seed     of the choice

    Raises FileNotFoundError where there is no dataset, ValueError where it has no samples.
    """
    if samples < 1:
        raise ValueError(f"--samples {samples}: at least 1")
    if out.suffix.lower() != ".png":
        raise ValueError(f"--out {out}: a contact sheet is a PNG; let its name end in .png")
    dataset = Dataset(folder, split)
    if not len(dataset):
        raise ValueError(f"{folder} has no samples yet")
    shown = _chosen(dataset, samples, seed)
    columns = _columns(shown[0])
    wall = len(shown) > MOST_ROWS or (len(columns) < 3 and shown[0].original is None)
    sheet = _wall(dataset, shown) if wall else _rows(dataset, shown, columns)
    small = sheet.resize((sheet.width // TWICE, sheet.height // TWICE), Image.Resampling.BOX)
    buffer = io.BytesIO()
    small.save(buffer, "PNG", optimize=True)
    storage.write(out, buffer.getvalue())
    return small.size


# --- which shapes ------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Shown:
    sample: Sample
    category: str
    split: str
    original: Sample | None = None
    """The parent's, of a stylized one."""


def _chosen(dataset: Dataset, samples: int, seed: int) -> list[Shown]:
    """A mixture of the categories: one of each in turn, drawn by hash, in order of category."""
    try:
        shapes = read_made(dataset.folder, dataset.index).shapes
    except FileNotFoundError:
        shapes = {}
    by_category: dict[str, list[tuple[str, int]]] = {}
    for number, (key, _) in enumerate(_keys(dataset)):
        category = str(shapes.get(key, {}).get("category") or key.partition("-")[0])
        digest = hashlib.sha256(f"{seed} {key}".encode()).hexdigest()
        by_category.setdefault(category, []).append((digest, number))
    groups = sorted(
        ((category, sorted(same)) for category, same in by_category.items()),
        key=lambda group: hashlib.sha256(f"{seed} {group[0]}".encode()).digest(),
    )
    turns = [
        (turn, order, category, same[turn][1])
        for order, (category, same) in enumerate(groups)
        for turn in range(min(len(same), samples))
    ]
    picked = sorted(sorted(turns)[:samples], key=lambda one: (one[2], one[0]))
    splits = [split for _, split in _keys(dataset)]
    samples_, originals = [dataset[number] for _, _, _, number in picked], _originals(dataset)
    return [
        Shown(
            sample=sample,
            category=category,
            split=splits[number],
            original=originals(sample) if originals else None,
        )
        for sample, (_, _, category, number) in zip(samples_, picked, strict=True)
    ]


def _originals(dataset: Dataset) -> Callable[[Sample], Sample | None] | None:
    """Sample -> its parent's, of a stylized dataset whose parent is at hand."""
    folder = parent.find(dataset.folder, dataset.index)
    if folder is None:
        return None
    read = functools.cache(parent.samples_of)  # a shard holds several of the shapes
    return lambda sample: read(folder, storage.plain_name(sample.tar)).get(sample.key)


def _keys(dataset: Dataset) -> list[tuple[str, str]]:
    """Key and split of every sample."""
    return [
        (entry["key"], shard["split"])
        for number, shard in enumerate(dataset.shards)
        for entry in dataset.sidecar(number)["samples"]
    ]


# --- the sheet ---------------------------------------------------------------------------------


def _columns(shown: Shown) -> list[str]:
    """`view 0` ..., then the passes of the first view, as far as the sample has them; of a stylized
    sample `original 0`, `view 0` ..."""
    sample = shown.sample
    first = sample.views[0]
    if shown.original is not None:
        numbers = range(min(len(sample.views), VIEWS))
        return [f"{what} {number}" for number in numbers for what in ("original", "view")]
    passes = [kind for kind in ("depth", "normal", "albedo", "mask") if first.has(kind)]
    if "points.npy" in sample.members and "world_to_camera" in first.meta:
        passes.append("points")
    views = min(len(sample.views), VIEWS if passes else 2 * VIEWS)
    return [*(f"view {number}" for number in range(views)), *passes]


TITLES = {
    "depth": "depth",
    "normal": "normals",
    "albedo": "albedo",
    "mask": "parts",
    "points": "point cloud",
}


def _rows(dataset: Dataset, shown: Sequence[Shown], columns: Sequence[str]) -> Image.Image:
    views = sum(column.startswith("view") for column in columns)
    # A wider gap sets the passes apart from the views.
    lefts = [
        MARGIN + LABEL + n * (TILE + GAP) + (2 * GAP if n >= views else 0)
        for n in range(len(columns))
    ]
    if pairs := columns[0].startswith("original"):  # a wider gap between one pair and the next
        lefts = [MARGIN + LABEL + n * (TILE + GAP) + n // 2 * GAP for n in range(len(columns))]
    top = MARGIN + 108
    width = lefts[-1] + TILE + MARGIN
    height = top + len(shown) * (TILE + GAP) - GAP + MARGIN
    sheet = _Sheet(max(width, 720), height)
    _head(sheet, dataset)
    for left, column in zip(lefts, columns, strict=True):
        if pairs:
            sheet.text(left, top - 26, "original" if column[0] == "o" else "stylized", 14, SOFT)
        elif column == "view 0":
            sheet.text(left, top - 26, "views" if views > 1 else "view", 14, SOFT)
        elif column in TITLES:
            sheet.text(left, top - 26, TITLES[column], 14, SOFT)
        if column == "depth":
            _depth_bar(sheet, left + TILE - 96, top - 22)
    for row, one in enumerate(shown):
        y = top + row * (TILE + GAP)
        sheet.text(MARGIN, y + TILE // 2 - 30, _fitting(one.category, 20, LABEL - 16), 20, INK)
        name = str(one.sample.meta.get("shape", {}).get("id") or one.sample.key)
        sheet.text(MARGIN, y + TILE // 2 - 2, _fitting(name, 12, LABEL - 20), 12, SOFT)
        sheet.pill(MARGIN, y + TILE // 2 + 20, one.split, 11)
        window = window_of(one.sample, max(views, 1))
        for left, column in zip(lefts, columns, strict=True):
            of = one.original or one.sample if column.startswith("original") else one.sample
            sheet.tile(left, y, TILE, _picture(of, column, window, TILE * TWICE))
            if column.startswith("view") and "azimuth_deg" in one.sample.meta["views"][0]:
                view = one.sample.views[int(column[5:])]
                angles = f"{round(view.azimuth_deg) % 360}°  {round(view.elevation_deg):+d}°"
                sheet.text(left + 9, y + TILE - 19, angles, 10, (150, 157, 170))
    return sheet.image


def _wall(dataset: Dataset, shown: Sequence[Shown]) -> Image.Image:
    """First views side by side, as large as a sheet of talk size allows."""
    gap = 6
    room = WALL_WIDTH - 2 * MARGIN
    across = max(1, math.ceil(math.sqrt(len(shown) * 16 / 9)))
    tile = max(48, min(240, (room + gap) // across - gap))
    across = min(max(1, (room + gap) // (tile + gap)), len(shown))
    down = math.ceil(len(shown) / across)
    top = MARGIN + 92
    width = max(2 * MARGIN + across * (tile + gap) - gap, 720)
    sheet = _Sheet(width, top + down * (tile + gap) - gap + MARGIN)
    _head(sheet, dataset)
    for number, one in enumerate(shown):
        y, x = divmod(number, across)
        picture = _picture(one.sample, "view 0", window_of(one.sample, 1), tile * TWICE)
        sheet.tile(MARGIN + x * (tile + gap), top + y * (tile + gap), tile, picture)
    return sheet.image


def _picture(sample: Sample, column: str, window: Window, side: int) -> Array:
    """[side, side, 4] straight alpha, of one column."""
    if column == "points":
        return draw_points(sample, window, side)
    if column.startswith(("view", "original")):
        return picture_of(sample.views[int(column.split()[1])], "rgba", window, side)
    return picture_of(sample.views[0], column, window, side)


def _head(sheet: _Sheet, dataset: Dataset) -> None:
    facts = info(dataset.folder)
    folder = storage.place(storage.absolute(str(dataset.folder), Path.cwd()))
    sheet.text(MARGIN, MARGIN - 10, folder.name, 34, INK)
    categories = {category for by in facts["splits"].values() for category in by}
    parts = [
        _count(facts["samples"], "shape", "shapes"),
        _count(facts["images"], "image", "images"),
        _count(len(categories), "category", "categories"),
        ",  ".join(f"{split} {sum(by.values()):,}" for split, by in facts["splits"].items()),
        " x ".join(map(str, facts["size"] or [])) + " px",
    ]
    if dataset.split:
        parts.insert(0, f"split {dataset.split}")
    if not facts["complete"]:
        parts.append("still growing")
    sheet.text(MARGIN, MARGIN + 36, "    ·    ".join(parts), 15, SOFT)
    sheet.text(sheet.width - MARGIN, MARGIN + 4, facts["id"][:12], 15, SOFT, right=True)


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _depth_bar(sheet: _Sheet, x: int, y: int) -> None:
    ramp = depth_colours(np.linspace(0, 1, 48 * TWICE)[None].repeat(5 * TWICE, axis=0))
    sheet.text(x, y - 4, "near", 10, SOFT)
    sheet.image.paste(Image.fromarray(ramp), ((x + 26) * TWICE, (y + 1) * TWICE))
    sheet.text(x + 78, y - 4, "far", 10, SOFT)


class _Sheet:
    """A page drawn at twice its size; positions and sizes are those of the finished sheet."""

    def __init__(self, width: int, height: int):
        self.width = width
        self.image = Image.new("RGB", (width * TWICE, height * TWICE), PAGE)
        self._draw = ImageDraw.Draw(self.image)

    def text(
        self, x: int, y: int, text: str, size: int, colour: Colour, *, right: bool = False
    ) -> None:
        anchor = "ra" if right else "la"
        at = (x * TWICE, y * TWICE)
        self._draw.text(at, text, colour, _font(size), anchor=anchor)

    def pill(self, x: int, y: int, text: str, size: int) -> None:
        """A word on a rounded ground."""
        width = _font(size).getlength(text) + 16 * TWICE
        box = (x * TWICE, y * TWICE, x * TWICE + width, (y + size + 8) * TWICE)
        self._draw.rounded_rectangle(box, radius=(size + 8) * TWICE / 2, fill=(228, 232, 239))
        middle = (x * TWICE + width / 2, (y + (size + 8) / 2) * TWICE)
        self._draw.text(middle, text, SOFT, _font(size), anchor="mm")

    def tile(self, x: int, y: int, size: int, picture: Array | None) -> None:
        """A card with a picture [2 size, 2 size, 4] on it."""
        side = size * TWICE
        ramp = np.linspace(0, 1, side)[:, None, None]
        card = np.array(CARD_TOP) * (1 - ramp) + np.array(CARD_BOTTOM) * ramp
        card = np.broadcast_to(card, (side, side, 3))
        if picture is not None:
            alpha = picture[..., 3:] / 255.0
            card = picture[..., :3] * alpha + card * (1 - alpha)
        shape = Image.new("L", (side, side), 0)
        radius = max(2, round(size * 0.045)) * TWICE
        ImageDraw.Draw(shape).rounded_rectangle((0, 0, side - 1, side - 1), radius, fill=255)
        at = (x * TWICE, y * TWICE)
        self.image.paste(Image.fromarray(np.rint(card).astype(np.uint8)), at, shape)
        box = (*at, at[0] + side - 1, at[1] + side - 1)
        self._draw.rounded_rectangle(box, radius, outline=LINE, width=TWICE)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size * TWICE)


def _fitting(text: str, size: int, width: int) -> str:
    """The text, cut with an ellipsis where it is wider than `width`."""
    font = _font(size)
    if font.getlength(text) <= width * TWICE:
        return text
    while text and font.getlength(text + "…") > width * TWICE:
        text = text[:-1]
    return text + "…"
