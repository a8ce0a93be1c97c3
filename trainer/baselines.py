"""What a predicted cloud must beat: two answers that need no learning.

constant   always the same cloud: of the training shapes the one nearest to the others
nearest    the cloud of the training shape that has the most similar picture
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from trainer.data import Item, Reader, Snapshot
from trainer.metrics import chamfer, thin

CANDIDATES = 128
"""Training shapes, evenly chosen: the constant is the one of them nearest to the others."""
POINTS = 512
"""Of each of their clouds while it is sought; they lie in no order."""
FEATURE_PX = 16
"""Pictures are compared at this size: outline and colours before white."""


def most_central(clouds: Sequence[Tensor]) -> int:
    """The number of the cloud [N, 3] with the lowest mean Chamfer distance to the others."""
    sums = [0.0] * len(clouds)
    for a, one in enumerate(clouds):
        for b, other in enumerate(clouds[:a]):
            distance = sum(chamfer(one, other))
            sums[a] += distance
            sums[b] += distance
    return min(range(len(sums)), key=sums.__getitem__)


def picture_features(rgba: Tensor) -> Tensor:
    """[N, 4 * 16 * 16] alpha, and colours before white, of pictures uint8 [N, H, W, 4].

    Euclidean distances between them are root sums of squared differences of pixels.
    """
    pixels = rgba.permute(0, 3, 1, 2).float() / 255
    colour, alpha = pixels[:, :3], pixels[:, 3:]
    flat = torch.cat([colour * alpha + 1 - alpha, alpha], 1)
    return F.interpolate(flat, size=(FEATURE_PX, FEATURE_PX), mode="area").flatten(1)


@functools.lru_cache(maxsize=8)  # the same at every validation of a run
def baselines(snapshot: Snapshot, split: str, device: torch.device) -> dict[str, float]:
    """Chamfer distances x 100, over the views of each shape of a split, then over its shapes.

    chamfer_constant, chamfer_nearest; nothing where there are no training shapes.  A training
    shape is never its own nearest.
    """
    if not snapshot.facts.samples.get("train"):
        return {}
    reader = Reader(snapshot)
    train, asked = snapshot.items("train"), snapshot.items(split)

    def cloud(item: Item) -> Tensor:
        return torch.from_numpy(reader.points(item)).to(device)

    truths = [thin(cloud(item)) for item in asked]
    step = max(1, len(train) / CANDIDATES)
    some = [train[int(n * step)] for n in range(min(len(train), CANDIDATES))]
    constant = thin(cloud(some[most_central([cloud(item)[:POINTS] for item in some])]))
    to_constant = [sum(chamfer(constant, truth)) for truth in truths]

    known = torch.stack([_features(reader, item, device) for item in train])  # [T, views, F]
    kept = functools.lru_cache(maxsize=64)(lambda number: thin(cloud(train[number])))
    to_nearest = []
    for item, truth in zip(asked, truths, strict=True):
        apart = torch.cdist(_features(reader, item, device), known.flatten(0, 1))
        apart = apart.view(len(apart), *known.shape[:2]).amin(2)  # [views, T]
        if split == "train":
            apart[:, item.number] = torch.inf
        counts = apart.argmin(1).bincount(minlength=len(train))
        found = counts.nonzero().flatten().tolist()
        whole = sum(int(counts[n]) * sum(chamfer(kept(n), truth)) for n in found)
        to_nearest.append(whole / len(apart))
    return {
        "chamfer_constant": 100 * sum(to_constant) / len(to_constant),
        "chamfer_nearest": 100 * sum(to_nearest) / len(to_nearest),
    }


def _features(reader: Reader, item: Item, device: torch.device) -> Tensor:
    """[views, F]"""
    views = range(reader.snapshot.facts.views)
    pictures = np.stack([reader.image(item, view) for view in views])
    return picture_features(torch.from_numpy(pictures).to(device))
