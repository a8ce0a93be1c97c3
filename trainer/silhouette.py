"""How well a predicted cloud covers what is seen: where nothing but an outline is known.

Of a photo there is neither a true cloud nor a true camera; its mask is all there is to compare to.
The predicted points, as balls, seen at the predicted pose, give another mask; the error is the area
in which the two differ, over the area of the real one.

N pictures, P points, S pixels along a side.
Source: Jourdan, Annotation Invariant Style Transfer, Edinburgh 2020.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from trainer.geometry import DISTANCE, rotate
from trainer.projection import FOCAL

Array = NDArray[np.float64]

RADIUS = 0.01
"""Of a point's ball, in diagonals of the shape."""
CURVE = 101
"""Places of a curve that is kept ..."""
FARTHEST = 1.5
"""... from 0 to this error: what is beyond is as good as lost."""


# --- masks ---------------------------------------------------------------------------------------


def silhouettes(points: Tensor, quaternions: Tensor, side: int, radius: float = RADIUS) -> Tensor:
    """bool [N, S, S] where the balls about the points are seen; the top row first.

    points       [N, P, 3] in the cloud's own frame
    quaternions  [N, 4] the cameras: trainer.geometry has the frame
    radius       of the balls, in diagonals

    A ball's outline is a disc here; off the axis it is an ellipse, by less than 4 % of its radius.
    Its own pixel always shows it, however small it is.
    """
    turned = rotate(quaternions, points).double()
    depth, up, right = turned.unbind(-1)
    away = depth + DISTANCE
    there = away > 2 * radius
    away = away.clamp(min=2 * radius)
    x = (right * FOCAL / away + 0.5) * side
    y = (0.5 - up * FOCAL / away) * side
    reach = radius * FOCAL / (away**2 - radius**2).sqrt() * side  # [N, P] pixels
    whole = max(0, math.ceil(float(reach.max()))) if reach.numel() else 0
    column, row = x.floor().long(), y.floor().long()
    seen = torch.zeros(len(points), side * side, dtype=torch.bool, device=points.device)
    picture = torch.arange(len(points), device=points.device)[:, None].expand_as(row)
    for dy in range(-whole, whole + 1):
        for dx in range(-whole, whole + 1):
            at_row, at_column = row + dy, column + dx
            apart = (at_column + 0.5 - x) ** 2 + (at_row + 0.5 - y) ** 2
            covered = (apart <= reach**2) & there
            if dx == dy == 0:
                covered = there
            covered = covered & (at_row >= 0) & (at_row < side)
            covered &= (at_column >= 0) & (at_column < side)
            seen[picture[covered], (at_row * side + at_column)[covered]] = True
    return seen.view(-1, side, side)


def mask_errors(real: Tensor, predicted: Tensor) -> Tensor:
    """[N] |real XOR predicted| / |real| of masks bool [N, S, S]: 0 at best, and without bound.

    A real mask of no pixels counts as one of one pixel.
    """
    differ = (real ^ predicted).flatten(1).sum(1).double()
    return differ / real.flatten(1).sum(1).clamp(min=1)


def mask_overlaps(real: Tensor, predicted: Tensor) -> Tensor:
    """[N] intersection over union of masks bool [N, S, S]; two empty ones are alike."""
    both = (real & predicted).flatten(1).sum(1).double()
    either = (real | predicted).flatten(1).sum(1).double()
    return torch.where(either > 0, both / either.clamp(min=1), torch.ones_like(both))


# --- how errors are spread -----------------------------------------------------------------------


def scott_factor(count: int) -> float:
    """Scott's rule for so many values of one dimension: what scipy's gaussian_kde takes."""
    return float(count ** (-1 / 5))


def bandwidth(values: ArrayLike) -> float:
    """Scott's factor times the deviation (n - 1); 0 where all values are one."""
    found = np.asarray(values, float)
    if len(found) < 2:
        return 0.0
    return scott_factor(len(found)) * float(found.std(ddof=1))


def kde_cumulative(values: ArrayLike, at: ArrayLike) -> Array:
    """[M] the share below each place of a Gaussian kernel density estimate of values [n].

    From minus infinity: the estimate leaks below 0, where no error is, and that counts too.
    """
    found, places = np.asarray(values, float), np.asarray(at, float)
    width = bandwidth(found)
    if width == 0:
        return empirical_cumulative(found, places)
    apart = torch.from_numpy((places[:, None] - found) / width)
    return np.asarray(torch.special.ndtr(apart).mean(1).numpy())


def empirical_cumulative(values: ArrayLike, at: ArrayLike) -> Array:
    """[M] the share of values [n] that are at most each place."""
    found = np.sort(np.asarray(values, float))
    count = np.searchsorted(found, np.asarray(at, float), side="right")
    return np.asarray(count / max(1, len(found)))


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Errors and overlaps of pictures, and what is told of them."""

    errors: Array
    """[n] of mask_errors"""
    overlaps: Array
    """[n] of mask_overlaps"""

    def metrics(self) -> dict[str, float]:
        return {
            "mask_error": float(self.errors.mean()),
            "mask_error_median": float(np.median(self.errors)),
            "mask_iou": float(self.overlaps.mean()),
            "mask_iou_median": float(np.median(self.overlaps)),
        }

    def tables(self) -> dict[str, Mapping[str, list[float]]]:
        """The two cumulative curves over the error, from 0 on."""
        places = np.linspace(0, FARTHEST, CURVE)
        return {
            "mask_error_cumulative": {
                "error": [round(float(place), 4) for place in places],
                "kde": [round(float(v), 6) for v in kde_cumulative(self.errors, places)],
                "empirical": [
                    round(float(v), 6) for v in empirical_cumulative(self.errors, places)
                ],
            }
        }
