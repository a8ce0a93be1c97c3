"""A segment becomes a square picture with as much background as renders have.

r is foreground over background, #(alpha > 0) / #(alpha == 0).  With a pixels of the thing in a
square of side s, a square of side N = s + 2n has r = a / (N^2 - a); so N^2 = a (1 + r) / r and
n = (sqrt(a (1 + r) / r) - s) / 2.  n is negative where r is above what the square has already.
Source: B. Jourdan, Annotation Invariant Style Transfer, Edinburgh 2020; see docs/segment.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

LEAST_RATIO = 0.01
"""Below it the thing is a tenth of the picture's side: the normal distribution is cut off here."""
DRAWS = 100
BLOCK = 32  # output rows made at a time: a photo of 50 megapixels is never whole in floats


@dataclass(frozen=True, kw_only=True)
class Normal:
    """The distribution of ratios of a dataset."""

    mean: float
    deviation: float


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Where a crop lies in the square picture that is made of it."""

    side: int
    left: int
    top: int


def fit(ratios: Iterable[float]) -> Normal:
    """The normal distribution of the same mean and standard deviation.

    Raises ValueError for fewer than two ratios.
    """
    values = np.array([r for r in ratios if math.isfinite(r)])
    if len(values) < 2:
        raise ValueError(f"{len(values)} pictures: a distribution needs two at least")
    return Normal(mean=float(values.mean()), deviation=float(values.std()))


def ratio(area: float, side: float) -> float:
    """r of a thing of `area` pixels in a square; infinite where it fills it."""
    background = side * side - area
    return area / background if background > 0 else math.inf


def of_coverage(share: float) -> float:
    """r of a picture of which `share` is foreground."""
    return share / (1 - share) if share < 1 else math.inf


def margin(side: float, area: float, wanted: float) -> float:
    """n, the background to be added on each side; negative where the square has too much of it."""
    return (math.sqrt(area * (1 + wanted) / wanted) - side) / 2


def draw(normal: Normal, most: float, rng: np.random.Generator) -> float | None:
    """A ratio from the distribution, between LEAST_RATIO and `most`; None where none is found."""
    for _ in range(DRAWS):
        found = float(rng.normal(normal.mean, normal.deviation))
        if LEAST_RATIO <= found <= most:
            return found
    return None


def squared(width: int, height: int, rng: np.random.Generator) -> Frame:
    """The crop in the smallest square; an odd pixel goes to a random side."""
    side = max(width, height)
    return Frame(side=side, left=_half(side - width, rng), top=_half(side - height, rng))


def padded(frame: Frame, n: float, rng: np.random.Generator) -> Frame:
    """The frame with round(2n) pixels more in each direction; an odd one goes to a random side."""
    total = max(0, round(2 * n))
    return Frame(
        side=frame.side + total,
        left=frame.left + _half(total, rng),
        top=frame.top + _half(total, rng),
    )


def _half(total: int, rng: np.random.Generator) -> int:
    return total // 2 + (int(rng.integers(2)) if total % 2 else 0)


# --- pixels --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Normalized:
    """A segment as a picture, and how it came to be."""

    rgba: Bytes
    """[size, size, 4] straight alpha."""
    frame: Frame
    before: float
    """r of the smallest square around the crop."""
    drawn: float | None
    """r that was drawn; None where none was wanted."""


def normalized(
    rgb: Bytes,
    mask: Bytes,
    normal: Normal | None,
    size: int,
    rng: np.random.Generator,
    *,
    clamp: bool = False,
) -> Normalized | None:
    """The crop in a square with a ratio drawn from `normal`; None where no ratio can be reached.

    rgb, mask  as for `resampled`
    normal     None: the square stays as it is
    clamp      a ratio that would need cropping gives the smallest square, instead of another draw
    """
    height, width = mask.shape
    area = float(np.count_nonzero(mask))
    frame = squared(width, height, rng)
    before, drawn = ratio(area, frame.side), None
    if normal is not None:
        drawn = draw(normal, math.inf if clamp else before, rng)
        if drawn is None:
            return None
        n = margin(frame.side, area, drawn)
        if n > 0:
            whole = frame.side + round(2 * n)
            guess = Frame(side=whole, left=(whole - width) // 2, top=(whole - height) // 2)
            n = margin(frame.side, counted(mask, guess, size), drawn)
        frame = padded(frame, n, rng)
    rgba = resampled(rgb, mask, frame, size)
    return Normalized(rgba=rgba, frame=frame, before=before, drawn=drawn)


def resampled(rgb: Bytes, mask: Bytes, frame: Frame, size: int) -> Bytes:
    """[size, size, 4] straight alpha: the crop in its frame, reduced by area.

    rgb   [h, w, 3] sRGB-encoded
    mask  [h, w] 1 on the thing

    As if the crop were padded with zeros to the frame and resized; the padding is never made.
    Colours do not bleed: those off the mask weigh nothing.
    """
    height, width = mask.shape
    rows, down = weights(frame.side, frame.top, height, size)
    columns, across = weights(frame.side, frame.left, width, size)
    lines = np.empty((len(down), width * 4), np.float32)
    for start in range(0, len(down), BLOCK):
        some = down[start : start + BLOCK]
        seen = np.flatnonzero(some.any(axis=0))
        band = slice(seen[0], seen[-1] + 1)
        stacked = cv2.merge([*cv2.split(rgb[band] * mask[band, :, None]), mask[band]])
        floats = stacked.astype(np.float32).reshape(len(stacked), -1)
        lines[start : start + BLOCK] = _mixed(some[:, band], floats)
    mixed = np.matmul(across, lines.reshape(-1, width, 4))
    share = mixed[..., 3]
    colours = mixed[..., :3] / np.maximum(share, 1e-6)[..., None]
    small = np.zeros((size, size, 4), np.uint8)
    window = small[rows, columns]
    window[..., :3] = np.rint(colours).clip(0, 255)
    # Whatever the thing touches counts, as in a render: the smallest share is alpha 1.
    alpha = np.where(share > 1e-6, np.maximum(np.rint(share * 255), 1), 0)
    window[..., 3] = alpha.clip(0, 255)
    return corrected(small)


def weights(side: int, offset: int, length: int, size: int) -> tuple[slice, Floats]:
    """Which of `size` output pixels see a crop, and how much of each of its pixels: [m, length].

    side    of the frame, whose pixels offset ... offset + length are the crop's

    By area where the frame is the larger one, linear where it has to grow.
    """
    scale = side / size
    if scale >= 1:
        edges = np.arange(size + 1) * scale - offset
        at = np.arange(length)
        upper, lower = np.minimum(edges[1:, None], at + 1), np.maximum(edges[:-1, None], at)
    else:
        centre = (np.arange(size)[:, None] + 0.5) * scale - 0.5 - offset
        upper, lower = np.maximum(0, 1 - np.abs(centre - np.arange(length))), np.zeros(1)
        scale = 1
    found = (np.maximum(0, upper - lower) / scale).astype(np.float32)
    seen = np.flatnonzero(found.any(axis=1))
    first, last = (int(seen[0]), int(seen[-1]) + 1) if len(seen) else (0, 0)
    return slice(first, last), found[first:last]


def corrected(rgba: Bytes) -> Bytes:
    """The colours by which foreground and background are told apart, made true in place.

    Foreground that is (0, 0, 0) becomes (1, 1, 1), background becomes (0, 0, 0).  It comes after
    any resampling, which changes what is exactly zero.
    """
    inside = rgba[..., 3] > 0
    colours = rgba[..., :3]
    colours[inside & ~colours.any(axis=2)] = 1
    colours[~inside] = 0
    return rgba


def counted(mask: Bytes, frame: Frame, size: int) -> float:
    """Pixels of the frame that the thing will count, once the picture is small.

    A small pixel that the thing touches is foreground, so edges grow by half a pixel or so.
    """
    _, down = weights(frame.side, frame.top, mask.shape[0], size)
    _, across = weights(frame.side, frame.left, mask.shape[1], size)
    touched = np.count_nonzero(_mixed(down, mask.astype(np.float32)) @ across.T > 1e-6)
    return float(touched) * (frame.side / size) ** 2


def _mixed(down: Floats, image: Floats) -> Floats:
    """down @ image, for weights [m, h] of which a row has few that are not zero: 20 times as fast
    at 512 px, where an output row sees 8 of the image's."""
    found = np.empty((len(down), image.shape[1]), np.float32)
    there = down > 0
    first, last = there.argmax(axis=1), down.shape[1] - there[:, ::-1].argmax(axis=1)
    for number, (start, stop) in enumerate(zip(first, last, strict=True)):
        np.dot(down[number, start:stop], image[start:stop], out=found[number])
    return found
