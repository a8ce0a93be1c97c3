"""Models, found by folder: one file is one model, its name is its name everywhere.

A model is a module of this folder. It may import torch at its top, and has

    PAPER           str: authors, title, year
    NEEDS           str: what a dataset must have, for people
    Config          frozen keyword-only dataclass; field docstrings are the help of
                    `farm submit train --model NAME`; every value is JSON. ValueError of its
                    __post_init__ is told in one line. Has at least
                        steps: int      optimizer steps of a whole run
                        batch: int      examples in a step, over all processes
    PRESETS         {"tiny": function, "small": function, "paper": function}, each gives a Config
    check(config, facts)                        ValueError for a dataset that will not do, by name:
                                                views, rig, passes, categories
    examples(config, snapshot, split, train)    Examples: what one example is; train: augmented
    build(config, facts) -> nn.Module           freshly made; the generator is already seeded
    optimizer(config, network) -> (Optimizer, schedule)
                                                schedule(t) gives the factor on every learning rate
                                                at t = step / steps in [0, 1]
    loss(config, network, batch, moment) -> (loss, {"name": value, ...})
                                                one forward pass of `network`, which may be wrapped
                                                for several processes; values are 0-d tensors
    evaluate(config, network, snapshot, split, tools) -> Evaluation
                                                no gradient, network in eval mode; deterministic

and may have

    check_evaluation(config, facts)
                            as check, for a dataset that is only evaluated on; without it check
    BEST = "name"           the metric of the validation split that `best` goes by ("-name": lower
                            is better); without it the last checkpoint counts as best
    backbone(config, network) -> (name, module)
                            the part of a fresh network that torchvision's weights of that name
                            fit: what `--weights imagenet` fills
    report(config, evaluation, folder) -> [(file name, caption), ...]
                            pictures for `farm report`, written into the folder by trainer.plots
    DATASETS = {"real": "photos, or renders that stand for them"}
                            datasets beside those of --data, told in a plain dict. Config has for
                            each a field `real: tuple[str, ...] = ()`, which is an option --real of
                            folders and must be given; snapshot.others["real"] is its Snapshot
    stylize(config, network, images, alpha) -> images
                            other colours for the same shapes: what `farm submit stylize` does.
                            images [B, 3, H, W] float, 0 to 1, straight; alpha [B, 1, H, W], 0 to 1;
                            0 where alpha is 0, then as now
    notes(config, network) -> {"name": "text", ...}
                            what else is to be known of a run that begins: kept in run.json, shown
                            in the report
    samples(config, network, snapshot, tools) -> Samples
                            what it makes, to be looked at: kept as pictures in the run's samples/
                            every `config.sample_steps` steps and at the end, shown in the report
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from trainer.errors import UnknownModel

if TYPE_CHECKING:
    import numpy as np
    import torch

PACKAGE = "trainer.models"
NEEDED = (
    "PAPER",
    "NEEDS",
    "Config",
    "PRESETS",
    "check",
    "examples",
    "build",
    "optimizer",
    "loss",
    "evaluate",
)


class Examples(Protocol):
    """What a model learns from, by number. Read in loader processes: no CUDA, no shared state."""

    def __len__(self) -> int: ...

    def get(self, index: int, rng: np.random.Generator) -> Mapping[str, Any]:
        """One example: numpy arrays, numbers and strings, always the same names and shapes.

        rng  the only source of chance: it depends on the run's seed, the epoch and the index
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Where a run is."""

    step: int
    steps: int
    generator: torch.Generator
    """On the CPU; seeded from the run's seed and the step, so that a resumed run repeats."""

    @property
    def t(self) -> float:
        """Share of the run that is over, 0 to 1: what schedules are functions of."""
        return self.step / self.steps


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What the trainer lends an evaluation."""

    device: torch.device
    batches: Callable[..., Any]
    """batches(examples, batch) -> dicts of tensors on the device, every example once, in order"""
    progress: Callable[..., None]
    """progress(done=3, total=40): the farm sees that it goes on"""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How good a network is on a split."""

    metrics: Mapping[str, float]
    """One number each; written to evaluation.json and the tables."""
    tables: Mapping[str, Any] = field(default_factory=dict)
    """JSON: per-category figures, confusion matrices, histograms."""
    arrays: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    """Predictions kept beside it in evaluation.npz, for the report's pictures."""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """What a network makes, to be looked at."""

    rows: Sequence[Sequence[np.ndarray[Any, Any]]]
    """Of tiles uint8 [S, S, 3], all of one size, as many in each row."""
    columns: tuple[str, ...]
    """What the tiles of a row are."""


def find() -> dict[str, str]:
    """Name of every model -> the package of its file; imports none of them.

    FARM_MODEL_PACKAGES names more packages, with commas between.
    """
    found: dict[str, str] = {}
    for package in (PACKAGE, *filter(None, os.environ.get("FARM_MODEL_PACKAGES", "").split(","))):
        spec = importlib.util.find_spec(package)
        for module in pkgutil.iter_modules((spec and spec.submodule_search_locations) or ()):
            if not module.name.startswith("_"):
                found.setdefault(module.name, package)
    return dict(sorted(found.items()))


def load(name: str) -> ModuleType:
    """The model of that name. Imports torch.

    Raises UnknownModel with the names there are; TypeError for a file that lacks a part.
    """
    known = find()
    if name not in known:
        raise UnknownModel(name, tuple(known))
    module = importlib.import_module(f"{known[name]}.{name}")
    lacking = [part for part in NEEDED if not hasattr(module, part)]
    if lacking:
        raise TypeError(f"{module.__name__} is not a model: it lacks {', '.join(lacking)}")
    return module
