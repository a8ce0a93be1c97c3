"""A model for the tests of the trainer: which category a picture shows, by a few convolutions.

Its options make it behave badly: a loss that is no number, steps that take long.
"""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from trainer.data import Reader
from trainer.models import Evaluation

PAPER = "none: a double of the tests"
NEEDS = "at least 2 views"
BEST = "accuracy"
HALT_AT, HALT_S = "DOUBLE_HALT_AT", 600
"""So many steps are done, and the next lasts until the process is killed: in mid-run, however busy
the machine is. Of the environment, as the run's config is to be the undisturbed one's."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """A few convolutions."""

    steps: int = 40
    """Optimizer steps."""
    batch: int = 4
    """Examples in a step."""
    width: int = 8
    """Channels."""
    lr: float = 1e-2
    """Learning rate."""
    kernels: tuple[int, ...] = (3, 3)
    """Sides of the kernels, in px."""
    dropout: float = 0.1
    """Share of features left out."""
    norm: bool = True
    """Batch norm."""
    noise: float = 0.05
    """Of the pictures, from the moment's generator."""
    nan_at: int | None = None
    """Step (finished ones count) whose loss is no number."""
    spoil_at: int | None = None
    """Step whose loss is a number, and whose gradient is none."""
    seconds: float = 0.0
    """Work in each step."""

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"--width {self.width}: at least 1")


PRESETS = {
    "tiny": lambda: Config(steps=20),
    "small": Config,
    "paper": lambda: Config(steps=400, width=32),
}


def check(config: Config, facts: Any) -> None:
    if facts.views < 2:
        raise ValueError(
            f"double needs at least 2 views, {facts.folders[0]} has {facts.views}; "
            "render it with --views 2"
        )


class Pictures:
    """One view of one shape, drawn by chance."""

    def __init__(self, snapshot: Any, split: str, train: bool):
        self.reader, self.items, self.train = Reader(snapshot), snapshot.items(split), train

    def __len__(self) -> int:
        return len(self.items)

    def get(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        item = self.items[index]
        view = int(rng.integers(self.reader.snapshot.facts.views)) if self.train else 0
        rgba = self.reader.image(item, view)
        image = np.ascontiguousarray(rgba.transpose(2, 0, 1)).astype(np.float32) / 255
        return {"images": image, "category": item.category, "key": item.key}


def examples(config: Config, snapshot: Any, split: str, train: bool) -> Pictures:
    return Pictures(snapshot, split, train)


def build(config: Config, facts: Any) -> nn.Module:
    layers: list[nn.Module] = []
    channels = 4
    for side in config.kernels:
        layers += [nn.Conv2d(channels, config.width, side, stride=2, padding=side // 2)]
        layers += [nn.BatchNorm2d(config.width)] if config.norm else []
        layers += [nn.ReLU()]
        channels = config.width
    layers += [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(config.dropout)]
    return nn.Sequential(*layers, nn.Linear(4 * channels, len(facts.categories)))


def optimizer(config: Config, network: nn.Module) -> Any:
    adam = torch.optim.AdamW(network.parameters(), lr=config.lr)
    return adam, lambda t: 0.5 * (1 + math.cos(math.pi * t))


def loss(config: Config, network: nn.Module, batch: Any, moment: Any) -> Any:
    time.sleep(config.seconds)
    if os.environ.get(HALT_AT) == str(moment.step):
        time.sleep(HALT_S)
    images = batch["images"]
    noise = torch.randn(images.shape, generator=moment.generator).to(images.device)
    scores = network(images + config.noise * noise)
    value = F.cross_entropy(scores, batch["category"])
    if config.nan_at == moment.step + 1:
        value = value * math.nan
    if config.spoil_at == moment.step + 1:
        value = value + torch.sqrt(0 * scores.sum())
    right = (scores.argmax(1) == batch["category"]).float().mean()
    return value, {"accuracy": right}


def evaluate(config: Config, network: nn.Module, snapshot: Any, split: str, tools: Any) -> Any:
    right, scores = [], []
    for batch in tools.batches(examples(config, snapshot, split, False), config.batch):
        found = network(batch["images"])
        right += (found.argmax(1) == batch["category"]).tolist()
        scores.append(found.float().cpu().numpy())
        tools.progress(done=len(right), total=len(snapshot.items(split)))
    return Evaluation(
        metrics={"accuracy": sum(right) / len(right)},
        tables={"right": [bool(value) for value in right]},
        arrays={"scores": np.concatenate(scores)},
    )
