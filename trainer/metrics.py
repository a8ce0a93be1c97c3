"""Figures of merit: pure functions over arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from torch import Tensor


def confusion(truth: ArrayLike, predicted: ArrayLike, classes: int) -> NDArray[np.int64]:
    """[C, C] how often each class (row) was taken for each (column).

    truth, predicted  [N] numbers of classes
    """
    truth, predicted = np.asarray(truth, np.int64), np.asarray(predicted, np.int64)
    counts: NDArray[Any] = np.bincount(truth * classes + predicted, minlength=classes**2)
    return counts.reshape(classes, classes)


# --- point clouds: torch tensors on any device ---------------------------------------------------

VOXEL = 0.01
"""Edge of the voxels in which a ground-truth cloud is thinned (Insafutdinov and Dosovitskiy 2018).

Theirs come from splitting mesh edges, ours from sampling the surface evenly by area; after thinning
both have about one point for each voxel that the surface meets.
"""


def thin(points: Tensor, voxel: float = VOXEL) -> Tensor:
    """[M, 3] the means of the points [N, 3] in each voxel of a grid, as Open3D does it."""
    cell = ((points - points.amin(0)) / voxel + 0.5).floor().long()
    _, y, z = (cell.amax(0) + 1).tolist()
    number = (cell[:, 0] * y + cell[:, 1]) * z + cell[:, 2]
    _, place, count = number.unique(return_inverse=True, return_counts=True)
    means: Tensor = points.new_zeros(len(count), 3).index_add_(0, place, points)
    return means.div_(count[:, None])


def nearest(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Distances [N] from each point of a [N, 3] to the nearest of b [M, 3], and [M] back."""
    there, back = a.new_empty(len(a)), b.new_full((len(b),), math.inf)
    for rows, squares in _squares(a, b):
        there[rows] = squares.amin(1)
        back = back.minimum(squares.amin(0))
    return there.sqrt(), back.sqrt()


def nearest_places(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Distances [N] from each point of a [N, 3] to the nearest of b [M, 3], and its numbers [N]."""
    there = a.new_empty(len(a))
    places = there.long()
    for rows, squares in _squares(a, b):
        there[rows], places[rows] = squares.min(1)
    return there.sqrt(), places


def _squares(a: Tensor, b: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Squared distances of some rows of a at a time: [rows, M].

    Exact: every pair is looked at, in chunks that stay in a CPU's cache.  By coordinates, since the
    shorter |a|^2 - 2ab + |b|^2 loses the small distances in float32.
    """
    x, y, z = b.T.contiguous()
    step = max(1, (2**19 if a.device.type == "cpu" else 2**26) // len(b))
    for first in range(0, len(a), step):
        rows = slice(first, first + step)
        part = a[rows]
        squares = (part[:, :1] - x).square_()
        for axis, coordinates in ((1, y), (2, z)):
            apart = part[:, axis : axis + 1] - coordinates
            squares.addcmul_(apart, apart)
        yield rows, squares


def chamfer(a: Tensor, b: Tensor) -> tuple[float, float]:
    """Mean distance from the points of a [N, 3] to the nearest of b [M, 3], and from b to a.

    Not squared, not multiplied.  Of a prediction a and the truth b the first is called precision,
    the second coverage, and their sum the Chamfer distance.
    """
    there, back = nearest(a, b)
    return float(there.double().mean()), float(back.double().mean())
