"""Pictures of a segmented dataset: where segments were lost, the ratios, and what they look like.

python -m trainer.segment_pictures data/real-cars
"""

from __future__ import annotations

import base64
import itertools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from renderer.shards import Dataset
from trainer import plots, rejections
from trainer.ratios import EDGES, counted
from trainer.rejections import FACTS, NO_SEGMENT, PICTURES
from trainer.segments import FILTERS

Array = NDArray[Any]

ACROSS, DOWN = 10, 8
ORDER = (*FILTERS, "ratio")
"""The filters as segments meet them."""


def draw(folder: Path) -> list[Path]:
    """Draw all there is to draw of a dataset into its folder of pictures."""
    from trainer import atomic

    facts = atomic.read_json(folder / FACTS, rejections.VERSION)
    target = folder / PICTURES
    drawn = [funnel(target / "funnel.png", facts), ratios(target / "ratios.png", facts["ratios"])]
    if rows := _rows([(key, picture) for key, picture in _accepted(folder)]):
        drawn.append(plots.image_grid(target / "accepted.png", rows, tile=88))
    drawn += rejected(target / "rejected.png", folder)
    return drawn


def funnel(path: Path, facts: Mapping[str, Any]) -> Path:
    """How many segments were left after each filter."""
    left, names, counts = facts["found"], ["found"], [facts["found"]]
    for name in ORDER:
        left -= facts["rejected"].get(name, 0)
        names.append(f"after {name}")
        counts.append(left)
    return plots.bars(path, names, {"segments": counts}, axis=_aside(facts))


def _aside(facts: Mapping[str, Any]) -> str:
    """The photos beside the funnel."""
    without = sum(facts["rejected"].get(name, 0) for name in NO_SEGMENT)
    told = f"segments of {facts['photos']} photos"
    return f"{told}, {without} of them without any" if without else told


def ratios(path: Path, facts: Mapping[str, Any]) -> Path:
    """Foreground to background: of the synthetic pictures, and of ours before and after padding."""
    shares: dict[str, Sequence[float]] = {}
    if facts["match"]:
        shares["synthetic"] = _shares(facts["match"]["counts"])
    for name, words in (("before", "real, before padding"), ("after", "real, after")):
        values = [np.inf if value is None else value for value in facts[name]]
        shares[words] = _shares(counted(values))
    middles = [(low + high) / 2 for low, high in itertools.pairwise(EDGES)]
    return plots.lines(
        path, middles, shares, x_name="foreground / background (1 and above at the right)",
        y_name="share of pictures", percent=True,
    )  # fmt: skip


def _shares(counts: Sequence[int]) -> list[float]:
    whole = max(1, sum(counts))
    return [count / whole for count in counts]


def rejected(path: Path, folder: Path) -> list[Path]:
    """A row of each filter that rejected something."""
    found: dict[str, list[Array]] = {}
    for note in sorted(folder.glob("*.rejected.json")):
        told = rejections.read(folder, note.name.removesuffix(".rejected.json"))
        for one in told["rejected"] if told else ():
            if "picture" in one:
                found.setdefault(one["filter"], []).append(_decoded(one["picture"]))
    names = [name for name in ORDER if name in found]
    rows = [_spread(found[name], ACROSS) for name in names]
    return [plots.image_grid(path, rows, row_names=names, tile=88)] if rows else []


def _accepted(folder: Path) -> list[tuple[str, Array]]:
    """Some accepted pictures, evenly over the dataset's splits."""
    dataset = Dataset(folder)
    numbers = range(len(dataset))
    step = max(1, len(dataset) // (ACROSS * DOWN))
    return [(dataset[n].key, dataset[n].views[0].rgba) for n in numbers[::step]][: ACROSS * DOWN]


def _rows(pictures: Sequence[tuple[str, Array]]) -> list[list[Array]]:
    flat = [picture for _, picture in pictures]
    return [flat[start : start + ACROSS] for start in range(0, len(flat), ACROSS)]


def _spread(pictures: Sequence[Array], most: int) -> list[Array]:
    """So many of them, from all over the list."""
    at = np.unique(np.linspace(0, len(pictures) - 1, min(most, len(pictures))).astype(int))
    return [pictures[number] for number in at]


def _decoded(text: str) -> Array:
    data = np.frombuffer(base64.b64decode(text), np.uint8)
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


if __name__ == "__main__":
    for drawn in draw(Path(sys.argv[1])):
        print(drawn)
