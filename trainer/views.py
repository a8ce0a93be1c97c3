"""Pictures of shapes with their cameras: what a model of shape from pictures learns from.

B shapes, v views of each, H pixels along a side of the dataset's pictures, V along one of a grid.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from trainer.data import Item, Reader
from trainer.errors import DatasetRefused
from trainer.geometry import DISTANCE, quaternion_from_camera
from trainer.projection import FOCAL


@dataclass(frozen=True, kw_only=True)
class Views:
    """Examples: a shape with some of its views in random order, or with all in their own."""

    reader: Reader
    items: Sequence[Item]
    chosen: int
    """Views in an example, drawn without replacement; 0: all, in order."""
    depth: float | None = None
    """Of the background in depth maps; None: examples have none."""
    mirror: str = "none"
    """The world's axis, x or z, along which every other example, by chance, is mirrored."""

    def __len__(self) -> int:
        return len(self.items)

    def get(self, index: int, rng: np.random.Generator) -> Mapping[str, Any]:
        """key, category, rgba uint8 [v, H, W, 4], camera [v, 4]; perhaps depth [v, H, W].

        camera  quaternions: see trainer.geometry
        depth   in diagonals of the shape
        """
        item, views = self.items[index], self.reader.snapshot.facts.views
        seen = rng.permutation(views)[: self.chosen].tolist() if self.chosen else list(range(views))
        example: dict[str, Any] = {
            "key": item.key,
            "category": item.category,
            "rgba": np.stack([self.reader.image(item, view) for view in seen]),
            "camera": self.cameras(index)[seen],
        }
        if self.depth is not None:
            scale = np.float32(self.reader.meta(item)["depth_scale"])
            stored = np.stack([self.reader.image(item, view, "depth") for view in seen])
            example["depth"] = np.where(stored > 0, stored * scale, np.float32(self.depth))
        if self.mirror != "none" and rng.uniform() < 0.5:
            example |= mirrored(example, self.mirror)
        return example

    def cameras(self, index: int) -> NDArray[np.float32]:
        """[views, 4] quaternions of all views of a shape.

        Raises DatasetRefused for a camera that is not the one of the projection.
        """
        item = self.items[index]
        metas = self.reader.meta(item)["views"]
        for number, meta in enumerate(metas):
            focal = meta["intrinsics"][0][0] / (2 * meta["intrinsics"][0][2])
            if abs(meta["distance"] - DISTANCE) > 1e-3 or abs(focal - FOCAL) > 1e-3:
                raise DatasetRefused(
                    f"view {number} of {item.key} is taken from {meta['distance']:g} diagonals "
                    f"with a lens of {focal:.4g} widths; only {DISTANCE:g} and {FOCAL} are known"
                )
        matrices = torch.tensor([meta["world_to_camera"] for meta in metas], dtype=torch.float64)
        return np.asarray(quaternion_from_camera(matrices).float().numpy())


def mirrored(example: Mapping[str, Any], axis: str) -> dict[str, Any]:
    """The views of an example's shape mirrored along x or z: rgba, camera, and depth if it has it.

    A camera R becomes F R M, with F the picture's flip and M the world's.  Columns that are turned
    are (depth, up, right), so F M is nothing for z, and half a turn about y for x.
    """
    w, x, y, z = np.moveaxis(example["camera"], -1, 0)
    turned = (w, -x, -y, z) if axis == "z" else (y, -z, w, -x)  # F R F, perhaps times (0, 0, 1, 0)
    found = {"camera": np.stack(turned, -1)}
    for name in ("rgba", "depth"):
        if name in example:
            found[name] = np.ascontiguousarray(example[name][:, :, ::-1])
    return found


class Seen(NamedTuple):
    """A batch at the sizes of an encoder and of a grid."""

    pictures: Tensor
    """[B, v, 3, S, S] in [0, 1], before white"""
    silhouette: Tensor
    """[B, v, V, V] in [0, 1]"""
    colour: Tensor
    """[B, v, 3, V, V] in [0, 1], before white"""
    depth: Tensor | None
    """[B, v, V, V]"""

    def map(self, change: Callable[[Tensor], Tensor]) -> Seen:
        """The same with each of its tensors changed."""
        depth = None if self.depth is None else change(self.depth)
        return Seen(change(self.pictures), change(self.silhouette), change(self.colour), depth)


def look(batch: Mapping[str, Tensor], side: int, voxels: int) -> Seen:
    """The pictures of a batch of Views: `side` pixels for the encoder, `voxels` for the grid."""
    pixels = batch["rgba"].movedim(-1, 2).float() / 255  # [B, v, 4, H, W]
    alpha = pixels[:, :, 3:]
    white = pixels[:, :, :3] * alpha + 1 - alpha
    pictures = white
    if white.shape[-1] != side:
        smaller = F.interpolate(white.flatten(0, 1), (side, side), mode="area")
        pictures = smaller.view(*white.shape[:3], side, side)
    return Seen(
        pictures=pictures,
        silhouette=onto_grid(alpha[:, :, 0], voxels),
        colour=onto_grid(white, voxels),
        depth=onto_grid(batch["depth"], voxels) if "depth" in batch else None,
    )


def jittered(pictures: Tensor, amount: float) -> Tensor:
    """Pictures [..., 3, S, S] before white, each turned, resized and moved by chance.

    amount  turned up to so many radians, resized up to exp(amount) either way, and moved up to so
            many halves of a side; what comes in at the edges is white
    """
    flat = pictures.flatten(0, -4)
    turn, size, right, down = amount * (2 * torch.rand(4, len(flat), device=flat.device) - 1)
    cos, sin = size.exp() * turn.cos(), size.exp() * turn.sin()
    there = torch.stack([cos, -sin, right, sin, cos, down], 1).view(-1, 2, 3)
    grid = F.affine_grid(there, list(flat.shape), align_corners=False)
    return 1 - F.grid_sample(1 - flat, grid, align_corners=False).view_as(pictures)


def onto_grid(images: Tensor, voxels: int) -> Tensor:
    """[..., V, V] means of images [..., H, H] over the cells about a grid's nodes.

    The outermost nodes lie on the edges of the picture, not half a cell inside (`projection`): with
    plain V x V blocks all clouds would come out V / (V - 1) times too large.
    """
    shares = _shares(voxels, images.shape[-1]).to(images)
    with torch.autocast(images.device.type, enabled=False):
        return shares @ images @ shares.T


@functools.lru_cache
def _shares(voxels: int, side: int) -> Tensor:
    """[V, H] the share of each of H pixels in the cell about each of V nodes; rows sum to 1."""
    node = torch.arange(voxels, dtype=torch.float64)[:, None] / (voxels - 1)
    half = 0.5 / (voxels - 1)
    edge = torch.arange(side + 1, dtype=torch.float64) / side
    low, high = torch.maximum(node - half, edge[:-1]), torch.minimum(node + half, edge[1:])
    overlap = (high - low).clamp(min=0)
    return overlap / overlap.sum(1, keepdim=True)
