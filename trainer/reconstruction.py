"""How good predicted clouds and poses are: of each shape, of each category, of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from trainer.geometry import angle_deg
from trainer.metrics import chamfer

ACCURATE_DEG = 30.0
"""A pose within it counts as found."""
BINS = 18
"""Of the histogram of errors, over 0 to 180 degrees."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was found of one shape."""

    category: int
    precision: float
    """Mean distance of predicted points to the true cloud x 100, over the views."""
    coverage: float
    """Mean distance of true points to the predicted cloud x 100, over the views."""
    error_deg: NDArray[np.float32] | None
    """[v] of the pose from each view; None where poses are told."""
    winners: tuple[int, ...] = ()
    """For each view the candidate pose that fits its outline best."""


def compare(clouds: Tensor, truth: Tensor) -> tuple[float, float]:
    """Precision and coverage x 100, over the views, of clouds [v, P, 3] against one [N, 3].

    Source: Insafutdinov and Dosovitskiy 2018; neither scaled nor shifted to fit.
    """
    both = np.mean([chamfer(cloud, truth) for cloud in clouds], axis=0) * 100
    return float(both[0]), float(both[1])


def summary(rows: Sequence[Row]) -> dict[str, float]:
    """Means over shapes; of poses over all views: the share within 30 degrees, and the median."""
    precision = float(np.mean([row.precision for row in rows]))
    coverage = float(np.mean([row.coverage for row in rows]))
    told = {"chamfer": precision + coverage, "precision": precision, "coverage": coverage}
    errors = _errors(rows)
    if len(errors):
        told["accuracy"] = float((errors < ACCURATE_DEG).mean())
        told["median_deg"] = float(errors[len(errors) // 2])
    return told


def tables(rows: Sequence[Row], categories: Sequence[str]) -> dict[str, Any]:
    """Figures of each category; a histogram of errors of pose; how often each candidate won."""
    found: dict[str, Any] = {"categories": {}}
    for number, name in enumerate(categories):
        own = [row for row in rows if row.category == number]
        if own:
            found["categories"][name] = {"shapes": len(own), **summary(own)}
    errors = _errors(rows)
    if len(errors):
        # Symmetric shapes have a second heap at 180 degrees, which a median does not show.
        counts, edges = np.histogram(errors, BINS, (0, 180))
        found["pose_error_deg"] = {"edges": edges.tolist(), "counts": counts.tolist()}
    winners = [winner for row in rows for winner in row.winners]
    if winners:
        counts = np.bincount(winners)
        found["winners"] = {"candidate": list(range(len(counts))), "views": counts.tolist()}
    return found


def arrays(rows: Sequence[Row]) -> dict[str, NDArray[Any]]:
    """Every shape's figures: category, precision and coverage [S], perhaps error_deg [S, v]."""
    found = {
        "category": np.array([row.category for row in rows]),
        "precision": np.array([row.precision for row in rows]),
        "coverage": np.array([row.coverage for row in rows]),
    }
    errors = [row.error_deg for row in rows if row.error_deg is not None]
    return found | ({"error_deg": np.stack(errors)} if errors else {})


def chance(cameras: Tensor) -> float:
    """The accuracy of poses [N, 4] that are dealt to the wrong views: what the rig alone gives."""
    right = (angle_deg(cameras[:, None], cameras) < ACCURATE_DEG).float()
    count = len(cameras)
    return float((right.sum() - count) / max(1, count * (count - 1)))


def guessed(edges_deg: NDArray[Any]) -> NDArray[np.float64]:
    """[b] shares of rotations dealt evenly over all whose angle falls between edges [b + 1].

    An angle w has density (1 - cos w) / pi. Source: Miles, On random rotations in R3, 1965.
    """
    angle = np.radians(edges_deg)
    return np.asarray(np.diff(angle - np.sin(angle)) / np.pi, np.float64)


def _errors(rows: Sequence[Row]) -> NDArray[np.float32]:
    """Of all views, sorted."""
    errors = [row.error_deg for row in rows if row.error_deg is not None]
    return np.sort(np.concatenate(errors)) if errors else np.zeros(0, np.float32)
