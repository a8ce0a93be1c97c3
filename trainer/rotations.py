"""Pictures turned by known angles, and labels that say by which.

Angles are degrees counter-clockwise, multiples of 45.  A turn is told by what is in the picture
and by nothing else: no padding is ever seen, and every angle is equally sharp.

B pictures, C channels, K angles, S side of a picture in pixels, M side of its source.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

# Bilinear or cubic sampling leaves a picture sharp at 0 degrees and blurs it at 45: a label by
# itself.  So all angles go through one Gaussian, wide enough that it does not matter where between
# the pixels its centre falls: white noise keeps its variance to 2 exp(-(pi sigma)^2) = 0.4 %.
SIGMA_PX = 0.8
_BLUR_PX = 3  # 3.75 sigma
_CUBIC_PX = 2  # what bicubic sampling reads on each side


def check(angles: Sequence[int]) -> None:
    """Raises ValueError unless there are at least two different multiples of 45 in [0, 360)."""
    if len(set(angles)) < max(2, len(angles)):
        raise ValueError(f"angles are {tuple(angles)}; at least two, each once")
    for angle in angles:
        if angle % 45 or not 0 <= angle < 360:
            raise ValueError(f"angle {angle} is not one of 0, 45, 90, ... 315")


def exact(angles: Sequence[int]) -> bool:
    """Whether these are quarter turns, which only move pixels."""
    return all(angle % 90 == 0 for angle in angles)


def source_side(side: int, angles: Sequence[int]) -> int:
    """M: how large pictures must be, so that after every turn S x S of them are full.

    The square that stays inside at 45 degrees is cut out at every angle, 0 included.
    """
    if exact(angles):
        return side
    # The turned square spans S sqrt(2).  The parity is that of S, so that the cut is central.
    margin = math.ceil((side * math.sqrt(2) - side) / 2) + _CUBIC_PX + _BLUR_PX
    return side + 2 * margin


def turned(sources: Tensor, angles: Sequence[int], side: int) -> Tensor:
    """Every picture at every angle, picture by picture.

    sources  [B, C, M, M]      float; M = source_side(side, angles)
    returns  [B * K, C, S, S]  number b * K + k is picture b turned by angles[k]

    A quarter turn is numpy.rot90(k=1): transposed, then flipped upside down.
    Raises ValueError for another M.
    """
    wanted = source_side(side, angles)
    if sources.shape[-2:] != (wanted, wanted):
        raise ValueError(
            f"pictures are {tuple(sources.shape[-2:])}; "
            f"{side} px at angles {tuple(angles)} need {wanted} x {wanted}"
        )
    if exact(angles):
        parts = {0: sources}
    else:
        smooth = _blurred(sources)
        parts = {0: _centre(smooth, side), 45: _eighth_turn(smooth, side)}
    views = [torch.rot90(parts[angle % 90], angle // 90, (-2, -1)) for angle in angles]
    return torch.stack(views, dim=1).flatten(0, 1)  # [B, K, C, S, S] -> [B * K, C, S, S]


def upright(sources: Tensor, angles: Sequence[int], side: int) -> Tensor:
    """[B, C, S, S] the pictures unturned, as sharp and as closely cut as `turned` makes them."""
    return sources if exact(angles) else _centre(_blurred(sources), side)


def labels(pictures: int, angles: Sequence[int], device: torch.device | None = None) -> Tensor:
    """[B * K] int64: 0, 1, ... K - 1 for each picture, in the order of `turned`."""
    return torch.arange(len(angles), device=device).repeat(pictures)


def _centre(pictures: Tensor, side: int) -> Tensor:
    start = (pictures.shape[-1] - side) // 2
    return pictures[..., start : start + side, start : start + side]


def _blurred(pictures: Tensor) -> Tensor:
    """[B, C, M - 6, M - 6]: the outermost pixels go, as there is nothing beyond them."""
    channels = pictures.shape[1]
    at = torch.arange(-_BLUR_PX, _BLUR_PX + 1, device=pictures.device, dtype=pictures.dtype)
    taps = torch.exp(-0.5 * (at / SIGMA_PX) ** 2)
    taps = (taps / taps.sum()).expand(channels, 1, -1)
    rows = F.conv2d(pictures, taps[..., None], groups=channels)
    return F.conv2d(rows, taps[..., None, :], groups=channels)


def _eighth_turn(pictures: Tensor, side: int) -> Tensor:
    """[B, C, S, S]: the middle of the pictures, turned by 45 degrees counter-clockwise."""
    at = torch.arange(side, device=pictures.device, dtype=pictures.dtype) - (side - 1) / 2
    y, x = torch.meshgrid(at, at, indexing="ij")
    # What comes to (x, y) lay at (x cos - y sin, x sin + y cos), y down.
    places = torch.stack([x - y, x + y], dim=-1) * (math.sqrt(0.5) * 2 / pictures.shape[-1])
    grid = places.expand(len(pictures), -1, -1, -1)
    return F.grid_sample(pictures, grid, mode="bicubic", align_corners=False)
