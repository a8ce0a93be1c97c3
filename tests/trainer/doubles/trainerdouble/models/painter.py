"""A model for the tests of stylizing: it paints red what was green, green what was blue ...

Its options make it slow, and have it write down what it was asked for.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainer.models import Evaluation
from trainerdouble.models.double import Pictures

PAPER = "none: a double of the tests"
NEEDS = "nothing"


@dataclass(frozen=True, kw_only=True)
class Config:
    """A change of channels."""

    steps: int = 1
    """Optimizer steps."""
    batch: int = 4
    """Examples in a step."""
    seconds: float = 0.0
    """Work for each picture."""
    ledger: str = ""
    """File that gets a line for every network and call: process, number of pictures."""
    spoil_above: float = 9.0
    """Pictures whose colours come to more than this, on the average, become no numbers."""


PRESETS = {"tiny": Config, "small": Config, "paper": Config}


class Painter(nn.Module):
    """Moves every channel on by one; and outside of the shape it paints too, as networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.eye(3).roll(1, dims=1))

    def forward(self, images: Tensor) -> Tensor:
        return torch.einsum("oc,bchw->bohw", self.mix, images) + 0.25 * (images == 0)


def check(config: Config, facts: Any) -> None: ...


def examples(config: Config, snapshot: Any, split: str, train: bool) -> Pictures:
    return Pictures(snapshot, split, train)


def build(config: Config, facts: Any) -> nn.Module:
    _note(config, "built")
    return Painter()


def optimizer(config: Config, network: nn.Module) -> Any:
    return torch.optim.SGD(network.parameters(), lr=0.0), lambda t: 1.0


def loss(config: Config, network: nn.Module, batch: Any, moment: Any) -> Any:
    value = network(batch["images"][:, :3]).mean()
    return value, {}


def evaluate(config: Config, network: nn.Module, snapshot: Any, split: str, tools: Any) -> Any:
    return Evaluation(metrics={})


def stylize(config: Config, network: nn.Module, images: Tensor, alpha: Tensor) -> Tensor:
    time.sleep(config.seconds * len(images))
    _note(config, str(len(images)))
    made: Tensor = network(images)
    spoilt = images.mean(dim=(1, 2, 3), keepdim=True) > config.spoil_above
    return torch.where(spoilt, torch.nan, made)


def _note(config: Config, what: str) -> None:
    if config.ledger:
        with open(config.ledger, "a") as file:
            file.write(f"{os.getpid()} {what}\n")


def ledger(path: Path) -> Iterator[tuple[int, str]]:
    """Process and what it noted, line by line."""
    for line in path.read_text().splitlines():
        process, what = line.split()
        yield int(process), what
