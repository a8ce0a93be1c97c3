"""Which shapes look the same when they are turned, by the outlines of their views.

N shapes, V views, R candidates.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.viewpoints import viewpoint_rows

SAME = 0.97
"""Mean overlap of outlines from which two ways to turn a shape look the same.

Of the samples' bottles, rockets, tables and lamps at 64 px those that are round or two-fold reach
0.980 and more; cars, which are alike in front and behind, at most 0.952."""
_SIDE = 64  # pixels: precise enough, and 160 views fit into memory


def overlaps(outlines: Tensor) -> Tensor:
    """[N, V, V] how much the outlines of two views cover each other, intersection over union.

    outlines  bool [N, V, H, W]
    """
    step = max(1, outlines.shape[-1] // _SIDE)
    covered = outlines[..., ::step, ::step].flatten(2).float()
    both = covered @ covered.mT
    area = covered.sum(2)
    return both / (area[:, :, None] + area[:, None] - both).clamp(min=1)


def symmetric(overlap: Tensor, table: Tensor) -> Tensor:
    """[N] whether the shape looks the same under a candidate that is not the first.

    overlap  [N, V, V]
    table    [R, V] of trainer.candidates, two or more
    """
    each = overlap.flatten(1)[:, viewpoint_rows(table)].mean(2)  # [N, R]
    return each[:, 1:].amax(1) >= SAME


def alike(overlap: Tensor, table: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """[N] whether each shape looks the same under two candidates [N]."""
    row = torch.arange(len(overlap), device=overlap.device)[:, None]
    return overlap[row, table[one], table[other]].mean(1) >= SAME
