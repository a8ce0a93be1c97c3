"""A model for the tests of the trainer: the double, with a further dataset and samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer.data import Reader
from trainer.models import Evaluation, Samples
from trainerdouble.models import double
from trainerdouble.models.double import PAPER, build, check, examples, loss, optimizer

__all__ = ["PAPER", "build", "check", "examples", "loss", "optimizer"]

NEEDS = "at least 2 views, and a second dataset"
DATASETS = {"real": "photos that look as the pictures should"}


@dataclass(frozen=True, kw_only=True)
class Config(double.Config):
    """The double's, and more."""

    real: tuple[str, ...] = ()
    """Folders of the second dataset."""
    sample_steps: int = 8
    """A sheet of samples each time so many steps are done."""


PRESETS = {"tiny": lambda: Config(steps=20), "small": Config, "large": lambda: Config(width=32)}


def evaluate(config: Config, network: Any, snapshot: Any, split: str, tools: Any) -> Evaluation:
    return Evaluation(metrics={"real": float(len(snapshot.others["real"].items(split)))})


def samples(config: Config, network: Any, snapshot: Any, tools: Any) -> Samples:
    real = snapshot.others["real"]
    tiles = [
        np.ascontiguousarray(Reader(of).image(of.items("train")[0], 0)[..., :3])
        for of in (snapshot, real)
    ]
    return Samples(rows=[tiles, tiles[::-1]], columns=("render", "real"))
