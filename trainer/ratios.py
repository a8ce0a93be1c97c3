"""How much of a dataset's pictures is foreground: what photos are padded to."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from renderer.storage import Place
    from trainer.jobs.segment import Match

EDGES = tuple(round(0.02 * n, 2) for n in range(51))
"""Of the bins in which ratios are counted; what is above 1 is in the last one."""


def of_dataset(folder: Place) -> tuple[Match, int]:
    """The ratios of a dataset's training pictures, and the size of its pictures.

    Only the samples' JSON is read: `coverage` is the share of pixels with alpha > 0.
    Raises ValueError for a dataset that is not finished or has too few pictures.
    """
    from renderer.shards import Dataset
    from trainer import padding
    from trainer.jobs.segment import Match

    try:
        dataset = Dataset(folder)
    except FileNotFoundError as error:
        raise ValueError(f"--match {folder}: {error}") from None
    if not dataset.complete:
        raise ValueError(f"--match {folder} is not finished; let its job finish first")
    if "train" not in dataset.index["splits"]:
        raise ValueError(f"--match {folder} has no shapes in train")
    found: list[float] = []
    for sample in Dataset(folder, "train"):
        found += [padding.of_coverage(view["coverage"]) for view in sample.meta["views"]]
        width, height = sample.meta["size"]
    if width != height:
        raise ValueError(f"--match {folder} has pictures of {width} x {height}; squares are wanted")
    try:
        normal = padding.fit(found)
    except ValueError as error:
        raise ValueError(f"--match {folder} has {error}") from None
    match = Match(
        id=dataset.id,
        mean=normal.mean,
        deviation=normal.deviation,
        pictures=len(found),
        counts=tuple(counted(found)),
    )
    return match, int(width)


def counted(ratios: Iterable[float]) -> Sequence[int]:
    """How many lie in each bin."""
    counts = [0] * (len(EDGES) - 1)
    for ratio in ratios:
        counts[min(max(0, bisect.bisect_right(EDGES, ratio) - 1), len(counts) - 1)] += 1
    return counts
