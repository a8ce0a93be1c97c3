"""Pictures on black, as networks of styles see them: colours times alpha, and alpha itself.

B pictures, S side in pixels.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.data import Reader, Snapshot
from trainer.errors import DatasetRefused


class Views:
    """Every view of a split, on black, its shape in the middle: key, image [4, S, S] uint8, which
    is colours times alpha, and alpha.

    Where a shape stands in its picture is the camera's doing and not a matter of style: segments of
    photos are centred by their box, renders by their shape's origin.
    """

    def __init__(self, snapshot: Snapshot, split: str, size: int, flip: bool = False):
        if "rgba" not in snapshot.facts.passes:
            raise DatasetRefused(f"{', '.join(snapshot.facts.folders)} has no rgba pass")
        self.items, self.views = snapshot.items(split), snapshot.facts.views
        self.reader, self.size, self.flip = Reader(snapshot), size, flip

    def __len__(self) -> int:
        return len(self.items) * self.views

    def get(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        item, view = self.items[index // self.views], index % self.views
        image = centred(on_black(self.reader.image(item, view), self.size))
        if self.flip and rng.random() < 0.5:
            image = image[:, ::-1]
        return {"key": item.key, "image": np.ascontiguousarray(image.transpose(2, 0, 1))}


def on_black(rgba: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """uint8 [S, S, 4] colours times alpha, and alpha; after resampling what is seen is not black.

    rgba  straight, as it is stored
    """
    colours = rgba[..., :3] * (rgba[..., 3:] / np.float32(255))
    whole = np.dstack([colours, rgba[..., 3].astype(np.float32)])
    if rgba.shape[:2] != (size, size):
        smaller = size < max(rgba.shape[:2])
        how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
        whole = cv2.resize(whole, (size, size), interpolation=how)
    image: NDArray[np.uint8] = np.clip(np.rint(whole), 0, 255).astype(np.uint8)
    seen = image[..., 3] > 0
    image[~seen] = 0
    image[seen & ~image[..., :3].any(axis=2), :3] = 1
    return image


def centred(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[S, S, 4] moved by whole pixels: the box of what is seen to the middle; an odd pixel of
    background is left over below or at the right."""
    seen = image[..., 3] > 0
    if not seen.any():
        return image
    moves = []
    for lines in (seen.any(axis=1), seen.any(axis=0)):
        inside = np.flatnonzero(lines)
        moves.append((len(lines) - 1 - int(inside[0]) - int(inside[-1])) // 2)
    return np.roll(image, moves, axis=(0, 1))  # nothing comes around: the box has room


def shown(image: Tensor) -> tuple[Tensor, Tensor]:
    """uint8 [B, 4, S, S] to colours [B, 3, S, S] in [-1, 1] and alpha [B, 1, S, S] in [0, 1]."""
    values = image.to(torch.get_default_dtype()) / 255
    colours = (2 * values[:, :3] - 1).contiguous(memory_format=torch.channels_last)
    return colours, values[:, 3:]
