"""A model of shape and pose, judged by masks: on segments of photos, which have nothing else, and
on renders beside it, so that the gap between the two shows.

n pictures, S pixels along a side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.data import Item, Reader, Snapshot
from trainer.geometry import camera_from_quaternion
from trainer.models import Evaluation, Tools
from trainer.silhouette import Spread, mask_errors, mask_overlaps, silhouettes

SHOWN = 12
"""Predictions that a report shows: best, middling and worst."""

Predict = Callable[[Tensor], tuple[Tensor, Tensor]]
"""RGBA uint8 [n, S, S, 4] -> clouds [n, P, 3] and cameras [n, 4], both in the network's frame."""


@dataclass
class Masks:
    """Collects how well clouds cover the alpha of their pictures."""

    errors: list[Tensor] = field(default_factory=list)
    overlaps: list[Tensor] = field(default_factory=list)

    def add(self, rgba: Tensor, clouds: Tensor, cameras: Tensor) -> tuple[Tensor, Tensor]:
        """Take in pictures uint8 [n, S, S, 4]; their errors [n], the predicted masks [n, S, S]."""
        real = rgba[..., 3] >= 128
        predicted = silhouettes(clouds, cameras, real.shape[-1])
        errors = mask_errors(real, predicted)
        self.errors.append(errors.cpu())
        self.overlaps.append(mask_overlaps(real, predicted).cpu())
        return errors, predicted

    def spread(self) -> Spread:
        return Spread(
            errors=torch.cat(self.errors).numpy(), overlaps=torch.cat(self.overlaps).numpy()
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """mask_error and mask_iou [n], in the order in which pictures were added."""
        found = self.spread()
        return {"mask_error": found.errors, "mask_iou": found.overlaps}


@dataclass(frozen=True, kw_only=True)
class Segments:
    """Examples: the pictures of a dataset, and nothing about them."""

    reader: Reader
    items: Sequence[Item]

    def __len__(self) -> int:
        return len(self.items)

    def get(self, index: int, rng: np.random.Generator) -> Mapping[str, Any]:
        """key, rgba uint8 [views, S, S, 4]"""
        item, views = self.items[index], self.reader.snapshot.facts.views
        pictures = [self.reader.image(item, view) for view in range(views)]
        return {"key": item.key, "rgba": np.stack(pictures)}


def evaluate(
    predict: Predict, snapshot: Snapshot, split: str, tools: Tools, batch: int
) -> Evaluation:
    """Mask errors and overlaps of a split that has neither cameras nor clouds."""
    items = snapshot.items(split)
    segments = Segments(reader=Reader(snapshot), items=items)
    masks, done = Masks(), 0
    clouds, cameras, outlines = [], [], []
    for part in tools.batches(segments, batch):
        rgba = part["rgba"].flatten(0, 1)
        cloud, camera = predict(rgba)
        _, predicted = masks.add(rgba, cloud, camera)
        # Which ones a report shows is known at the end; in halves, 3000 clouds are 150 MB.
        clouds.append(cloud.half().cpu())
        cameras.append(camera.float().cpu())
        outlines.append(predicted.cpu())
        done += len(part["key"])
        tools.progress(done=done, total=len(items))
    spread = masks.spread()
    chosen = _shown(spread.errors)
    views = snapshot.facts.views
    where = torch.from_numpy(chosen)
    arrays = masks.arrays() | {
        "segment": chosen,
        "segment_rgba": np.stack(
            [segments.reader.image(items[n // views], n % views) for n in chosen]
        ),
        "segment_outline": torch.cat(outlines)[where].numpy(),
        "segment_cloud": torch.cat(clouds)[where].float().numpy(),
        "segment_camera": torch.cat(cameras)[where].numpy(),
    }
    tables: dict[str, Any] = {**spread.tables()}
    tables["segments"] = [
        {"segment": items[n // views].key, "mask error": float(spread.errors[n]),
         "mask iou": float(spread.overlaps[n])}
        for n in chosen
    ]  # fmt: skip
    return Evaluation(metrics=spread.metrics(), tables=tables, arrays=arrays)


def _shown(errors: NDArray[np.float64]) -> NDArray[np.int64]:
    """Numbers of a third each of the best, the middling and the worst; best first."""
    order = np.argsort(errors, kind="stable")
    if len(order) <= SHOWN:
        return np.asarray(order)
    third, middle = SHOWN // 3, len(order) // 2
    middling = order[middle - third // 2 : middle - third // 2 + third]
    return np.concatenate([order[:third], middling, order[-third:]])


def pictures(arrays: Mapping[str, NDArray[Any]], folder: Path) -> list[tuple[str, str]]:
    """For a report: segments, where the two masks differ, the clouds; and the curves."""
    from trainer import clouds, plots, plots_experiment

    found = []
    if "segment_cloud" in arrays:
        rows: list[list[NDArray[Any] | None]] = []
        captions = []
        for n, cloud in enumerate(arrays["segment_cloud"]):
            rgba, outline = arrays["segment_rgba"][n], arrays["segment_outline"][n]
            camera = camera_from_quaternion(torch.from_numpy(arrays["segment_camera"][n]).double())
            rows.append(
                [
                    rgba,
                    differences(rgba[..., 3] >= 128, outline),
                    clouds.point_cloud(cloud, camera=camera.numpy()),
                    clouds.point_cloud(cloud),
                ]
            )
            error = arrays["mask_error"][arrays["segment"][n]]
            captions.append(["", f"error {error:.2f}", "", ""])
        half = -(-len(rows) // 2)
        blank: list[NDArray[Any] | None] = [None] * 4
        pairs = [a + b for a, b in zip(rows[:half], [*rows[half:], blank], strict=False)]
        told = [a + b for a, b in zip(captions[:half], [*captions[half:], [""] * 4], strict=False)]
        names = ["segment", "masks", "cloud, its pose", "from aside"] * 2
        plots.image_grid(folder / "segments.png", pairs, captions=told, column_names=names)
        found.append(
            ("segments.png", "Best, middling and worst: blue is covered, red is missed, yellow is "
             "too much")
        )  # fmt: skip
    if "mask_error" in arrays:
        plots_experiment.cumulative(
            folder / "mask_error.png", {"this run": [arrays["mask_error"].ravel()]}
        )
        found.append(("mask_error.png", "Share of pictures whose masks differ by no more"))
    return found


def differences(real: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """uint8 [S, S, 4]: both blue, only the real one red, only the predicted one yellow."""
    out = np.zeros((*real.shape, 4), np.uint8)
    out[real & predicted] = (0x6F, 0x93, 0xD2, 255)
    out[real & ~predicted] = (0xC8, 0x4B, 0x45, 255)
    out[~real & predicted] = (0xE0, 0xB0, 0x40, 255)
    return out
