"""Segments of photos and the filters that they must pass.

A filter is a function of a segment and the thresholds: None, or why the segment is refused.  The
first five look at what the detector says and at the photo, the other two at the mask.
Source: B. Jourdan, Annotation Invariant Style Transfer, Edinburgh 2020; see docs/segment.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One thing that was found in a photo."""

    label: str
    """What the detector calls it; "" where a person gave the mask."""
    score: float | None
    """The detector's confidence; None where a person gave the mask."""
    box: tuple[int, int, int, int]
    """x0, y0, x1, y1 in pixels of the photo as decoded, ends exclusive: what the detector says, or
    the bounding box of the mask that was given."""
    mask: Bytes
    """[y1 - y0, x1 - x0] 1 on the thing, 0 elsewhere."""
    colour: float
    """Of its photo: see photos.colourfulness."""

    @property
    def area(self) -> int:
        """Pixels of the mask."""
        return int(np.count_nonzero(self.mask))


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """What a segment must reach; the values of the thesis."""

    labels: tuple[str, ...] = ("car", "truck")
    score: float = 0.7
    side: float = 128.0
    fill: float = 0.5
    colour: float = 2.0
    parts: int = 1
    border: float = 1 / 3
    border_width: float = 0.02


def whole(mask: NDArray[np.bool_], colour: float) -> Segment | None:
    """The segment of a mask [H, W] that a person gave; None where nothing is marked."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    crop = mask[box[1] : box[3], box[0] : box[2]].astype(np.uint8)
    return Segment(label="", score=None, box=box, mask=crop, colour=colour)


# --- the first pass: what was found, in what photo -----------------------------------------------


def label(segment: Segment, least: Thresholds) -> str | None:
    if not segment.label or not least.labels or segment.label in least.labels:
        return None
    return f"a {segment.label} is none of {', '.join(least.labels)}"


def score(segment: Segment, least: Thresholds) -> str | None:
    if segment.score is None or segment.score >= least.score:
        return None
    return f"confidence {segment.score:.2f} is below {least.score:g}"


def side(segment: Segment, least: Thresholds) -> str | None:
    x0, y0, x1, y1 = segment.box
    found = math.sqrt((x1 - x0) * (y1 - y0))
    return f"{found:.1f} px are below {least.side:g}" if found < least.side else None


def fill(segment: Segment, least: Thresholds) -> str | None:
    found = segment.area / max(1, segment.mask.size)
    if found >= least.fill:
        return None
    return f"it fills {found:.0%} of its box, below {least.fill:.0%}"


def grayscale(segment: Segment, least: Thresholds) -> str | None:
    if segment.colour >= least.colour:
        return None
    differ = f"channels differ by {segment.colour:.1f}, below {least.colour:g}"
    return f"the photo is grayscale: {differ}"


# --- the second pass: what the mask looks like ---------------------------------------------------


def parts(segment: Segment, least: Thresholds) -> str | None:
    """Connected parts of the mask, corners included."""
    found = cv2.connectedComponents(segment.mask, connectivity=8)[0] - 1
    return f"{found} parts, more than {least.parts}" if found > least.parts else None


def border(segment: Segment, least: Thresholds) -> str | None:
    """A thing that the photo's edge or another thing cuts off is flat along a side of its box."""
    height, width = segment.mask.shape
    tall = max(1, round(least.border_width * height))
    wide = max(1, round(least.border_width * width))
    strips = {
        "top": segment.mask[:tall],
        "bottom": segment.mask[-tall:],
        "left": segment.mask[:, :wide],
        "right": segment.mask[:, -wide:],
    }
    name, covered = max(
        ((name, np.count_nonzero(strip) / strip.size) for name, strip in strips.items()),
        key=lambda one: one[1],
    )
    if covered <= least.border:
        return None
    return f"{covered:.0%} of its {name} border are covered, more than {least.border:.0%}"


Filter = Callable[[Segment, Thresholds], str | None]

FIRST: Mapping[str, Filter] = {
    "label": label,
    "score": score,
    "side": side,
    "fill": fill,
    "grayscale": grayscale,
}
SECOND: Mapping[str, Filter] = {"parts": parts, "border": border}
FILTERS: Mapping[str, Filter] = {**FIRST, **SECOND}


def rejected(segment: Segment, least: Thresholds) -> tuple[str, str] | None:
    """The first filter that refuses a segment, and why; None where all let it pass."""
    for name, refuses in FILTERS.items():
        if reason := refuses(segment, least):
            return name, reason
    return None
