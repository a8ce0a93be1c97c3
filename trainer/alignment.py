"""The frame that an unsupervised DPC has learned, turned into that of the data.

Without cameras to learn from, a network is free to choose how its clouds are turned.  One rotation
for the whole network, found on the validation split, takes its clouds to the true ones.

N, M points.  Source: Insafutdinov and Dosovitskiy 2018, their evaluation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trainer.geometry import average, matrix_from_quaternion, quaternion_from_matrix
from trainer.metrics import nearest_places

MAX_DISTANCE = 0.2
"""Between a point and its partner, in diagonals of the shape."""
POINTS = 512
"""Of each cloud, predicted and true, that are brought together; they lie in no order."""
ITERATIONS = 30
TOLERANCE = 1e-6
"""Of the share of partners and their distance: less change ends it.  Both as Open3D has them."""
SHAPES = 50
"""Of the validation split that are looked at."""
BEST_VIEWS = 2
"""Of each shape."""
BEST_SHAPES = 15


def icp(source: Tensor, target: Tensor, start: Tensor) -> tuple[Tensor, float]:
    """The rotation [4] that takes one cloud to another, and the root mean square of what is left.

    Iterative closest points, point to point, with a translation that is forgotten and no scale.

    source  [N, 3]
    target  [M, 3]
    start   [4] where to begin
    The distance is infinite where no point has a partner within MAX_DISTANCE.
    """
    source, target = source.double(), target.double()
    rotation = matrix_from_quaternion(start.double())
    translation = source.new_zeros(3)
    share, rmse = 0.0, math.inf
    for step in range(ITERATIONS + 1):
        moved = source @ rotation.T + translation
        distance, place = nearest_places(moved, target)
        near = distance <= MAX_DISTANCE
        if int(near.sum()) < 3:
            return quaternion_from_matrix(rotation), math.inf
        before = share, rmse
        share = float(near.double().mean())
        rmse = float(distance[near].square().mean().sqrt())
        settled = abs(share - before[0]) < TOLERANCE and abs(rmse - before[1]) < TOLERANCE
        if settled or step == ITERATIONS:
            break
        rotation, translation = _rigid(source[near], target[place[near]])
    return quaternion_from_matrix(rotation), rmse


def _rigid(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Rotation [3, 3] and translation [3] that take points [N, 3] nearest to theirs (Kabsch)."""
    middle, goal = source.mean(0), target.mean(0)
    u, _, vt = torch.linalg.svd((target - goal).T @ (source - middle))
    hand = u.new_tensor([1.0, 1.0, float(torch.linalg.det(u @ vt))])  # no mirror images
    rotation = (u * hand) @ vt
    return rotation, goal - rotation @ middle


def canonical_rotation(rotations: Tensor, rmse: Tensor) -> Tensor:
    """[4] the one rotation of a network, of those that ICP found for each shape and view.

    rotations  [S, V, 4] predicted cloud to true cloud
    rmse       [S, V] what was left of the distance; infinite or NaN: it failed

    The two best views of each shape, of the fifteen best shapes, averaged; the first rotation
    stays as it is where all of them failed.
    """
    rmse = torch.where(rmse.isfinite() & rotations.isfinite().all(-1), rmse, math.inf)
    views = rmse.argsort(dim=1, stable=True)[:, :BEST_VIEWS]
    chosen_rmse = rmse.gather(1, views)
    shapes = chosen_rmse.mean(1).argsort(stable=True)[:BEST_SHAPES]
    chosen = rotations.gather(1, views[..., None].expand(*views.shape, 4))[shapes].flatten(0, 1)
    kept = chosen[chosen_rmse[shapes].flatten().isfinite()]
    if not len(kept):
        return rotations.new_tensor([1.0, 0.0, 0.0, 0.0])
    return average(kept)
