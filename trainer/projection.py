"""Differentiable projection of point clouds (Insafutdinov and Dosovitskiy 2018), made lean.

A cloud seen from a camera is splatted into a grid of voxels, smoothed, and looked through along
its rays.  The values are those of the published form; what differs is the work:

* smoothing along an axis is one product with a band matrix, at any sigma;
* rays end by running products instead of logarithms and cumulative sums of the whole grid;
* no grid outlives its clouds: a few clouds at a time, and the backward pass makes theirs anew;
* clouds whose picture gets no gradient, as all but the best of an ensemble, cost it nothing.

N clouds, P points, V voxels along an edge, C channels of a picture.
Points are (depth, up, right); grids are [N, Z, Y, X], near to far, upwards, rightwards; pictures
have the top row first.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from trainer.geometry import DISTANCE, rotate

FOCAL = 1.875
"""In widths of the image: a 60 mm lens on a 32 mm sensor."""
MAX_DEPTH = 10.0
"""Of the background, where nothing else is said; as published."""
TAPS = 21
"""Length of the Gaussian kernel."""
CLIP = 1e-5
"""Occupancies stay so far from 0 and 1."""
DIVISOR = 0.01
"""Added to what colours are divided by."""

CPU_VOXELS = 2**18
"""A grid that stays in a core's cache: 1 MiB.  More clouds at a time are slower."""
GPU_VOXELS = 2**24
"""Enough to keep a GPU busy: 64 clouds of 64 cubed, 64 MiB a grid."""


class Pictures(NamedTuple):
    """What a camera sees of clouds: all float, top row first."""

    silhouette: Tensor
    """[N, V, V] in [0, 1]"""
    depth: Tensor | None
    """[N, V, V] along the optical axis; tends to the background's where nothing is"""
    colour: Tensor | None
    """[N, 3, V, V] in [0, 1] on white"""


def perspective(points: Tensor) -> Tensor:
    """[N, P, 3] turned points (depth, up, right) as the camera sees them.

    Up and right are in widths of the image; depth stays as it is.
    """
    depth, up, right = points.unbind(-1)
    factor = FOCAL / (depth + DISTANCE)
    return torch.stack([depth, up * factor, right * factor], dim=-1)


def view(points: Tensor, quaternions: Tensor) -> Tensor:
    """[N, P, 3] clouds [N, P, 3] as the cameras of quaternions [N, 4] see them."""
    return perspective(rotate(quaternions, points))


def kernel(sigma: float, taps: int = TAPS) -> Tensor:
    """[taps] a Gaussian of that many voxels, normalised to sum 1; float64."""
    at = torch.arange(taps, dtype=torch.float64) - taps // 2
    weights = torch.exp(-(at**2) / (2 * sigma**2))
    return weights / weights.sum()


def band(sigma: float, voxels: int, taps: int = TAPS) -> Tensor:
    """[V, V] the matrix that smooths a line of voxels; outside of it is nothing.  float64.

    Symmetric, so that it is its own gradient.
    """
    place = torch.arange(voxels)
    offset = place[:, None] - place + taps // 2
    weights = kernel(sigma, taps)[offset.clamp(0, taps - 1)]
    return torch.where((offset >= 0) & (offset < taps), weights, weights.new_zeros(()))


def project(
    points: Tensor,
    scale: Tensor,
    sigma: float,
    voxels: int,
    *,
    depth: float | None = None,
    colours: Tensor | None = None,
) -> Pictures:
    """Pictures of clouds, with gradients for points, scale and colours.

    points   [N, P, 3] after `view`; one outside of [-0.5, 0.5]^3 is not seen
    scale    [N] factor on the smoothed occupancy
    sigma    of the smoothing, in voxels
    depth    of the background, diagonals; None: no depth is wanted
    colours  [N, P, 3] in [0, 1], or None

    Computed in the points' own precision, but never below float32: running products of 64 factors
    near 1 mean nothing in 8 bits.
    """
    with torch.autocast(points.device.type, enabled=False):
        if points.dtype not in (torch.float32, torch.float64):
            points = points.float()
        smoother = band(sigma, voxels).to(points)
        painted = None if colours is None else colours.to(points)
        pictures = _Project.apply(points, scale.to(points), painted, smoother, depth)
    return Pictures(
        silhouette=pictures[:, 0],
        depth=None if depth is None else pictures[:, 1],
        colour=None if colours is None else pictures[:, -3:],
    )


class _Project(torch.autograd.Function):
    """Chunks of clouds one after the other; keeps the clouds, never a grid."""

    @staticmethod
    def forward(
        ctx: Any,
        points: Tensor,
        scale: Tensor,
        colours: Tensor | None,
        smoother: Tensor,
        depth: float | None,
    ) -> Tensor:
        """[N, C, V, V] channels: silhouette, depth if asked for, three colours if given."""
        ctx.save_for_backward(points, scale, colours, smoother)
        ctx.depth = depth
        voxels = len(smoother)
        channels = 1 + (depth is not None) + (0 if colours is None else 3)
        pictures = points.new_empty(len(points), channels, voxels, voxels)
        for part in _chunks(points, voxels):
            paint = None if colours is None else colours[part]
            grids = _Grids(points[part], scale[part], paint, smoother)
            pictures[part] = _look(grids, depth).flip(-2)
        return pictures

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        points, scale, colours, smoother = ctx.saved_tensors
        to_points, to_scale = torch.zeros_like(points), torch.zeros_like(scale)
        to_colours = None if colours is None else torch.zeros_like(colours)
        live = gradient.flatten(1).ne(0).any(1).nonzero().squeeze(1)
        with torch.autocast(points.device.type, enabled=False):
            for part in _chunks(live, len(smoother)):
                some = live[part]
                paint = None if colours is None else colours[some]
                grids = _Grids(points[some], scale[some], paint, smoother)
                wanted = gradient[some].flip(-2).contiguous()
                to_occupancy, to_paint = _look_back(grids, ctx.depth, wanted)
                a, b, c = grids.back(to_occupancy, to_paint)
                to_points[some], to_scale[some] = a, b
                if to_colours is not None and c is not None:
                    to_colours[some] = c
        return to_points, to_scale, to_colours, None, None


def _chunks(clouds: Tensor, voxels: int) -> list[slice]:
    budget = CPU_VOXELS if clouds.device.type == "cpu" else GPU_VOXELS
    step = max(1, budget // voxels**3)
    return [slice(first, first + step) for first in range(0, len(clouds), step)]


class _Grids:
    """The grids of some clouds, and the way back from their gradients to the clouds."""

    occupancy: Tensor
    """[n, Z, Y, X] within the clip"""
    colour: Tensor | None
    """[n, 3, Z, Y, X] smoothed"""

    def __init__(self, points: Tensor, scale: Tensor, colours: Tensor | None, smoother: Tensor):
        self.smoother, self.scale, self.colours = smoother, scale, colours
        self.corners, self.weights, self.sides, self.inside = _splat_weights(points, len(smoother))
        splat = self._scatter(self.weights)
        self.saturated = splat > 1
        self.colour = None
        if colours is not None:
            # A mean of colours needs all of their weights: the sum before it is cut off at 1.
            self.divisor = _smooth(splat, smoother) + DIVISOR
            channels = [self._scatter(self.weights * colours[:, None, :, c]) for c in range(3)]
            self.colour = torch.stack([_smooth(c, smoother) / self.divisor for c in channels], 1)
        self.smoothed = _smooth(splat.clamp_(max=1), smoother)
        self.occupancy = (self.smoothed * scale[:, None, None, None]).clamp_(CLIP, 1 - CLIP)

    def back(
        self, to_occupancy: Tensor, to_colour: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Gradients of points [n, P, 3], scale [n] and colours [n, P, 3]."""
        factor = self.scale[:, None, None, None]
        # As torch.clamp has it: a value at the limit still gets its gradient.
        to_occupancy *= (self.smoothed * factor).eq_(self.occupancy)
        to_scale = (to_occupancy * self.smoothed).flatten(1).sum(1)
        to_splat = _smooth(to_occupancy.mul_(factor), self.smoother)
        to_weights = self._gather(to_splat.masked_fill_(self.saturated, 0))
        to_colours = None
        if to_colour is not None and self.colours is not None:
            channels = [
                self._gather(_smooth(to_colour[:, c] / self.divisor, self.smoother))
                for c in range(3)
            ]
            to_colours = torch.stack([(self.weights * one).sum(1) for one in channels], -1)
            for c, one in enumerate(channels):
                to_weights += one * self.colours[:, None, :, c]
        return self._to_points(to_weights), to_scale, to_colours

    def _to_points(self, to_weights: Tensor) -> Tensor:
        """[n, P, 3] from the gradients of the eight weights [n, 8, P]."""
        n, _, count = to_weights.shape
        cube = to_weights.view(n, 2, 2, 2, count)
        z, y, x = self.sides
        plane = (cube * x[:, None, None]).sum(3)  # [n, 2, 2, P]
        line = (plane * y[:, None]).sum(2)  # [n, 2, P]
        to_y = ((plane[:, :, 1] - plane[:, :, 0]) * z).sum(1)
        across = ((cube[..., 1, :] - cube[..., 0, :]) * y[:, None]).sum(2)
        to_x = (across * z).sum(1)
        to_z = line[:, 1] - line[:, 0]
        steps = len(self.smoother) - 1
        return torch.stack([to_z, to_y, to_x], -1) * (self.inside * steps)[..., None]

    def _scatter(self, values: Tensor) -> Tensor:
        """[n, V, V, V] sums of values [n, 8, P] at the corners."""
        n, voxels = len(values), len(self.smoother)
        grid = values.new_zeros(n * voxels**3)
        grid.index_add_(0, self.corners, values.reshape(-1))
        return grid.view(n, voxels, voxels, voxels)

    def _gather(self, grid: Tensor) -> Tensor:
        """[n, 8, P] the grid's values at the corners."""
        return grid.view(-1).index_select(0, self.corners).view(self.weights.shape)


def _splat_weights(
    points: Tensor, voxels: int
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor], Tensor]:
    """Where and with what weight points [n, P, 3] fall on a grid.

    Gives corners [n * 8 * P] numbers of voxels in the flat grid; weights [n, 8, P], 0 for a point
    outside; their factors along z, y and x [n, 2, P]; and inside [n, P], 0 or 1.
    """
    inside = ((points >= -0.5) & (points <= 0.5)).all(-1)
    place = torch.where(inside[..., None], (points + 0.5) * (voxels - 1), 0.0)
    # A point on the far border lies in the last cell, not in one behind it.
    cell = place.floor().clamp_(max=voxels - 2)
    sides = torch.stack([1 - (place - cell), place - cell], 1)  # [n, 2, P, 3]
    seen = inside.to(points)
    z, y, x = sides.unbind(-1)
    zy = (z * seen[:, None])[:, :, None] * y[:, None]  # [n, 2, 2, P]
    weights = (zy[:, :, :, None] * x[:, None, None]).flatten(1, 3)
    cell = cell.long()
    first = torch.arange(len(points), device=points.device)[:, None] * voxels**3
    first = first + (cell[..., 0] * voxels + cell[..., 1]) * voxels + cell[..., 2]
    pair = torch.arange(2, device=points.device)
    steps = (pair[:, None, None] * voxels + pair[:, None]) * voxels + pair
    corners = first[:, None] + steps.view(1, 8, 1)
    return corners.view(-1), weights, (z, y, x), seen


def _smooth(grid: Tensor, smoother: Tensor) -> Tensor:
    """[n, V, V, V] smoothed along its three axes: a new grid."""
    n, voxels = len(grid), len(smoother)
    along_x = grid.view(-1, voxels) @ smoother
    along_y = torch.matmul(smoother, along_x.view(-1, voxels, voxels))
    along_z = torch.matmul(smoother, along_y.view(n, voxels, -1))
    return along_z.view(grid.shape)


def depths(voxels: int) -> list[float]:
    """Of the grid's layers, near to far."""
    return [k / voxels - 0.5 + DISTANCE for k in range(voxels)]


def _look(grids: _Grids, depth: float | None) -> Tensor:
    """[n, C, Y, X] what the rays meet: expectations over where they end."""
    occupancy = grids.occupancy
    clear = torch.prod(1 - occupancy, dim=1)
    pictures = [1 - clear[:, None]]
    if depth is not None:
        far = torch.full_like(clear, depth)
        for k, at in reversed(list(enumerate(depths(occupancy.shape[1])))):
            far += occupancy[:, k] * (at - far)
        pictures.append(far[:, None])
    if grids.colour is not None:
        seen = torch.ones_like(grids.colour[:, :, 0])
        for k in reversed(range(occupancy.shape[1])):
            seen += occupancy[:, None, k] * (grids.colour[:, :, k] - seen)
        pictures.append(seen)
    return torch.cat(pictures, 1)


def _look_back(
    grids: _Grids, depth: float | None, gradient: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Gradients of occupancy [n, Z, Y, X] and of colour [n, 3, Z, Y, X] from [n, C, Y, X].

    A picture is E = sum_k T_k o_k v_k + T_V v_V with T_k = prod_{u<k} (1 - o_u), so that
    dE/do_k = T_k (v_k - R_{k+1}), R being what a ray sees that has come as far as that layer.
    All channels together are one E, whose v are their sum weighted by the gradient.
    """
    occupancy = grids.occupancy
    if gradient.shape[1] == 1:  # the silhouette: v_k = 1 and R_{k+1} = 1 - T_V / T_{k+1}
        clear = 1 - occupancy
        product = torch.prod(clear, dim=1) * gradient[:, 0]
        return clear.reciprocal_().mul_(product[:, None]), None

    to_occupancy = torch.empty_like(occupancy)
    rest = torch.zeros_like(gradient[:, 0]) if depth is None else gradient[:, 1] * depth
    if grids.colour is not None:
        rest += gradient[:, -3:].sum(1)
    for k, at in reversed(list(enumerate(depths(occupancy.shape[1])))):
        met = gradient[:, 0].clone()
        if depth is not None:
            met += gradient[:, 1] * at
        if grids.colour is not None:
            met += (gradient[:, -3:] * grids.colour[:, :, k]).sum(1)
        met -= rest
        to_occupancy[:, k] = met
        rest += occupancy[:, k] * met

    to_colour = None if grids.colour is None else torch.empty_like(grids.colour)
    through = torch.ones_like(rest)
    for k in range(occupancy.shape[1]):
        to_occupancy[:, k] *= through
        ends = through * occupancy[:, k]
        if to_colour is not None:
            to_colour[:, :, k] = gradient[:, -3:] * ends[:, None]
        through -= ends
    return to_occupancy, to_colour
