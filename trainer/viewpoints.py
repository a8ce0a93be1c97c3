"""RotationNet's rule: which category, and which image in which viewpoint slot, from one score.

For every image and slot a network says how likely each category is there, and how likely none is
("incorrect view", the last class).  A candidate fills the V slots with images; it scores the sum
of what its images say for a category at their slots.

N shapes, V views and slots, M of the views seen, C categories, R candidates, A placements.
Source: Kanezaki et al. 2018, section 3; the softmax rule is the fast.ai article's.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Rule = Literal["log", "softmax_minus"]


def ratios(logits: Tensor, rule: Rule = "log") -> Tensor:
    """[..., C] how much each category speaks for an image at a slot, from logits [..., C + 1].

    The log rule, log P(c) - log P(incorrect), is the difference of the logits.
    """
    if rule == "softmax_minus":
        logits = logits.softmax(-1)
    return logits[..., :-1] - logits[..., -1:]


def scores(single: Tensor, table: Tensor) -> Tensor:
    """[N, R, C] of every candidate and category: the sum over slots of the images in them.

    single  [N, V, V, C] ratios of image i at slot k
    table   [R, V] the image in slot k
    """
    return single.flatten(1, 2)[:, viewpoint_rows(table)].sum(2)


def targets(
    logits: Tensor, table: Tensor, labels: Tensor, rule: Rule = "log"
) -> tuple[Tensor, Tensor]:
    """Labels of all rows [N, V, V], and the candidates [N] they come from; without gradient.

    In the best candidate for the known category, an image is of the category at its own slot and
    incorrect (class C) at every other.

    logits  [N, V, V, C + 1]
    labels  [N]
    """
    with torch.no_grad():
        shapes, categories = len(logits), logits.shape[-1] - 1
        rows = viewpoint_rows(table)
        single = ratios(logits.float(), rule).flatten(1, 2)  # [N, V*V, C]
        own = single.take_along_dim(labels[:, None, None], 2).squeeze(2)
        best = own[:, rows].sum(2).argmax(1)
        wanted = torch.full_like(own, categories, dtype=torch.long)
        wanted.scatter_(1, rows[best], labels[:, None].expand(shapes, table.shape[1]))
        return wanted.view(logits.shape[:-1]), best


def viewpoint_rows(table: Tensor) -> Tensor:
    """[R, V] the number of row (image of slot k, slot k) of a shape."""
    return table * table.shape[1] + torch.arange(table.shape[1], device=table.device)


def placements(slots: Tensor, seen: Tensor) -> Tensor:
    """[A, M] the ways in which the seen views can lie in the slots.

    slots  [R, V] the slot of view i under each candidate
    seen   [M] views: how they lie to each other is known, not where the first one is.  One view
           alone may be any: every slot, also where no candidate takes its camera there
    """
    if len(seen) == 1:
        return torch.arange(slots.shape[1], device=slots.device)[:, None]
    return slots[:, seen]


def placed(single: Tensor, places: Tensor) -> Tensor:
    """[N, A, C] score of every placement and category.

    single  [N, M, V, C] ratios of the seen images
    places  [A, M]

    The product of the paper for images that are not there has the same factor everywhere.
    """
    first = torch.arange(places.shape[1], device=places.device) * single.shape[2]
    return single.flatten(1, 2)[:, first + places].sum(2)


def best_pair(score: Tensor) -> tuple[Tensor, Tensor]:
    """Placement [N] and category [N] of the highest score [N, A, C]."""
    flat = score.flatten(1).argmax(1)
    return flat // score.shape[2], flat % score.shape[2]
