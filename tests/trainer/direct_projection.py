"""The projection as it is published, step by step: slow, large and plain.

models.md, 1.5.  Every cloud has dense grids of its own, and autograd keeps them all.
N clouds, P points, V voxels along an edge.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def kernel(sigma: float, taps: int = 21) -> Tensor:
    at = torch.arange(taps, dtype=torch.float64) - taps // 2
    weights = torch.exp(-(at**2) / (2 * sigma**2))
    return weights / weights.sum()


def splat(points: Tensor, voxels: int, values: Tensor) -> Tensor:
    """[N, V, V, V] where each point [N, P, 3] adds its value [N, P] to its eight neighbours."""
    n, count, _ = points.shape
    inside = ((points >= -0.5) & (points <= 0.5)).all(-1)
    place = (points + 0.5) * (voxels - 1)
    low = place.detach().floor()
    r = place - low
    grid = points.new_zeros(n, voxels, voxels, voxels)
    cloud = torch.arange(n, device=points.device)[:, None].expand(n, count)
    for dz in (0, 1):
        for dy in (0, 1):
            for dx in (0, 1):
                weight = inside.to(points) * values
                for axis, step in enumerate((dz, dy, dx)):
                    weight = weight * (r[..., axis] if step else 1 - r[..., axis])
                at = (low + low.new_tensor([dz, dy, dx])).long().clamp(0, voxels - 1)
                where = (cloud, at[..., 0], at[..., 1], at[..., 2])
                grid = grid.index_put(where, weight, accumulate=True)
    return grid


def smooth(grid: Tensor, sigma: float) -> Tensor:
    """Along x, y and z by convolutions of full length; outside of the grid is nothing."""
    taps = kernel(sigma).to(grid)
    half = len(taps) // 2
    grid = grid[:, None]
    grid = F.conv3d(grid, taps.view(1, 1, 1, 1, -1), padding=(0, 0, half))
    grid = F.conv3d(grid, taps.view(1, 1, 1, -1, 1), padding=(0, half, 0))
    grid = F.conv3d(grid, taps.view(1, 1, -1, 1, 1), padding=(half, 0, 0))
    return grid[:, 0]


def terminate(occupancy: Tensor) -> Tensor:
    """[N, V + 1, Y, X] probabilities that a ray ends in each layer of [N, V, Y, X], or in none."""
    o = occupancy.clamp(1e-5, 1 - 1e-5)
    clear = torch.log(1 - o).cumsum(1)
    before = torch.cat([torch.zeros_like(clear[:, :1]), clear], 1)
    ends = torch.cat([torch.log(o), torch.zeros_like(o[:, :1])], 1)
    return torch.exp(before + ends)


def project(
    points: Tensor,
    scale: Tensor,
    sigma: float,
    voxels: int,
    depth: float | None = None,
    colours: Tensor | None = None,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Silhouette [N, V, V], depth [N, V, V], colour [N, 3, V, V] of clouds after the camera."""
    whole = splat(points, voxels, torch.ones_like(points[..., 0]))
    smoothed = smooth(whole.clamp(0, 1), sigma)
    ends = terminate((smoothed * scale[:, None, None, None]).clamp(0, 1))
    silhouette = ends[:, :-1].sum(1).flip(-2)
    far = seen = None
    if depth is not None:
        layers = [k / voxels - 0.5 + 2.0 for k in range(voxels)]
        d = torch.tensor([*layers, depth], dtype=torch.float64).to(points)
        far = (ends * d[:, None, None]).sum(1).flip(-2)
    if colours is not None:
        mass = smooth(whole, sigma).detach() + 0.01
        painted = []
        for c in range(3):
            grid = smooth(splat(points, voxels, colours[..., c]), sigma) / mass
            painted.append((ends[:, :-1] * grid).sum(1) + ends[:, -1])
        seen = torch.stack(painted, 1).flip(-2)
    return silhouette, far, seen
