"""What frozen features know: a small classifier on top of a named block.

    linear      pooled to at most 9600 numbers, batch norm without scale and shift, a linear layer
    nonlinear   two hidden layers, or the rest of the network made afresh
    conv        a block of three convolutions, averaged over the places

The network is in eval mode and never changes; its features are computed once where they fit.
Source: Gidaris et al., ICLR 2018, sections 3.1 and 3.2; Zhang et al., Split-Brain Autoencoders,
CVPR 2017, for the pooled linear layer.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer import chance
from trainer.blocks import Network, averaged, conv, dense
from trainer.models import Examples

Batches = Callable[[Examples, int], Iterator[dict[str, Any]]]
Inputs = Callable[[dict[str, Any]], Tensor]

LINEAR_NUMBERS = 9600
_KEEP_BYTES = 4 << 30  # the second block's of CIFAR-10 take 2.5 GB


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a probe is trained: SGD with Nesterov momentum."""

    epochs: int
    drops: tuple[int, ...]
    """Epochs at which the learning rate is divided by five."""
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    epoch: int = 0
    """Examples in an epoch; 0: each once."""

    def lr_at(self, epoch: int) -> float:
        return self.lr * 0.2 ** sum(epoch >= drop for drop in self.drops)


RECIPES: Mapping[str, Recipe] = {
    "linear": Recipe(epochs=35, drops=(5, 15, 25), lr=0.01),
    "nonlinear": Recipe(epochs=50, drops=(20, 40, 45)),
    "conv": Recipe(epochs=100, drops=(35, 70, 85)),
}


def pooling(channels: int, side: int) -> nn.Module:
    """Max pooling to at most 9600 numbers, for `linear`: AlexNet's sides become 12, 7, 5, 6, 6."""
    return nn.AdaptiveMaxPool2d(max(1, min(side, math.isqrt(LINEAR_NUMBERS // channels))))


def linear(channels: int, side: int, classes: int) -> nn.Module:
    """Of pooled features: batch norm without scale and shift, one linear layer."""
    return nn.Sequential(
        nn.BatchNorm2d(channels, affine=False),
        nn.Flatten(),
        nn.Linear(channels * side * side, classes),
    )


def nonlinear(channels: int, side: int, classes: int) -> nn.Module:
    """Two hidden layers of min(20 classes, 2048), each with batch norm and ReLU."""
    hidden = min(20 * classes, 2048)
    return nn.Sequential(
        nn.Flatten(),
        dense(channels * side * side, hidden),
        dense(hidden, hidden),
        nn.Linear(hidden, classes),
    )


def convolutional(channels: int, classes: int, width: int = 192) -> nn.Module:
    """3 x 3, 1 x 1, 1 x 1 convolutions of 192 channels, averaged over the places, linear."""
    return nn.Sequential(
        conv(channels, width, 3),
        conv(width, width, 1),
        conv(width, width, 1),
        averaged(width, classes),
    )


def rest(fresh: Network, block: str) -> nn.Module:
    """What follows a block, of a network just made with an output per class."""
    names = list(fresh.blocks)
    after = names[names.index(block) + 1 :]
    return nn.Sequential(*(fresh.blocks[name] for name in after), fresh.head)


class Copies:
    """Examples several times over; each time with other chance."""

    def __init__(self, examples: Examples, copies: int):
        self.examples, self.copies = examples, copies

    def __len__(self) -> int:
        return len(self.examples) * self.copies

    def get(self, index: int, rng: np.random.Generator) -> Mapping[str, Any]:
        return self.examples.get(index % len(self.examples), rng)


class Chosen:
    """Some of the examples, in the order given."""

    def __init__(self, examples: Examples, numbers: Sequence[int]):
        self.examples, self.numbers = examples, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def get(self, index: int, rng: np.random.Generator) -> Mapping[str, Any]:
        return self.examples.get(self.numbers[index], rng)


def first_of_each(targets: Sequence[int], groups: Sequence[Any], labels: int) -> list[int]:
    """The examples of the first `labels` groups of each class.

    targets  class of every example
    groups   what a label is given to: examples of one group (the views of a shape) share theirs
    """
    seen: dict[int, dict[Any, None]] = {}
    chosen = []
    for number, (target, group) in enumerate(zip(targets, groups, strict=True)):
        known = seen.setdefault(target, {})
        if group in known or len(known) < labels:
            known[group] = None
            chosen.append(number)
    return chosen


class Features:
    """Features of examples after a block of a frozen network, and their classes.

    They are computed once and kept where they fit into 4 GiB, else anew in every epoch; in the
    second case, chance of the examples falls differently, and nothing else changes.

    network  in eval mode; nn.Identity, which has no blocks, has the pictures as its features
    inputs   what the network gets of a batch
    pooled   whether they are for a linear probe
    """

    def __init__(
        self,
        network: nn.Module,
        block: str,
        examples: Examples,
        batches: Batches,
        inputs: Inputs,
        *,
        batch: int,
        pooled: bool = False,
        keep_bytes: int = _KEEP_BYTES,
    ):
        if network.training:
            raise ValueError("the network is in train mode; features are taken in eval mode")
        self.network: Any = network
        self.block, self.examples = block, examples
        self.batches, self.inputs, self.batch = batches, inputs, batch
        self._kept: tuple[Tensor, Tensor] | None = None
        self._pool: nn.Module = nn.Identity()
        first = Chosen(examples, [0])
        one = next(self._computed(first))[0]
        self.device, shape = one.device, one.shape
        if pooled and not isinstance(network, nn.Identity):
            self._pool = pooling(shape[1], shape[2])
            shape = next(self._computed(first))[0].shape
        self.shape: tuple[int, int, int] = (shape[1], shape[2], shape[3])
        if 4 * len(examples) * math.prod(self.shape) <= keep_bytes:
            parts = list(self._computed(examples))
            self._kept = torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])

    def _computed(self, examples: Examples) -> Iterator[tuple[Tensor, Tensor]]:
        for found in self.batches(examples, self.batch):
            yield self._of(found), found["category"]

    def _of(self, found: dict[str, Any]) -> Tensor:
        # A probe learns from these, which tensors made in inference mode do not allow.
        with torch.inference_mode(False), torch.no_grad():
            features: Tensor = self.inputs(found)
            if not isinstance(self.network, nn.Identity):
                features = self.network.features(features, self.block)
            features = self._pool(features.float())
            return features.clone() if features.is_inference() else features

    def ordered(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches [b, C, H, W] and [b] in the order of the examples."""
        if self._kept is None:
            yield from self._computed(self.examples)
        else:
            x, y = self._kept
            yield from zip(torch.split(x, self.batch), torch.split(y, self.batch), strict=True)

    def shuffled(
        self, generator: torch.Generator, examples: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Each once in random order, or over and over to that many; the last batch may be short.

        A last batch of one example is left out: batch norm needs two.
        """
        wanted, count = examples or len(self.examples), len(self.examples)
        rounds = [torch.randperm(count, generator=generator) for _ in range(-(-wanted // count))]
        order = torch.cat(rounds)[:wanted]
        if self._kept is None:
            parts = self._computed(Chosen(self.examples, order.tolist()))
        else:
            x, y = self._kept
            chosen = torch.split(order.to(x.device), self.batch)
            parts = ((x[numbers], y[numbers]) for numbers in chosen)
        yield from (part for part in parts if len(part[1]) > 1)


def train(
    probe: nn.Module,
    features: Features,
    recipe: Recipe,
    *,
    seed: int,
    progress: Callable[..., None] = lambda **_: None,
) -> nn.Module:
    """The probe, trained on features and returned in eval mode; the same seed, the same probe."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(
        probe.parameters(),
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=True,
        weight_decay=recipe.weight_decay,
    )
    probe.train()
    with torch.inference_mode(False), torch.enable_grad(), _full_precision(features):
        for epoch in range(recipe.epochs):
            for group in optimizer.param_groups:
                group["lr"] = recipe.lr_at(epoch)
            for x, y in features.shuffled(generator, recipe.epoch):
                optimizer.zero_grad()
                F.cross_entropy(probe(x), y).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            progress(done=epoch + 1, total=recipe.epochs)
    return probe.eval()


def accuracy(probe: nn.Module, features: Features) -> float:
    """Share of the examples whose class the probe tells."""
    right = total = 0
    with torch.no_grad(), _full_precision(features):
        for x, y in features.ordered():
            right += int((probe(x).argmax(1) == y).sum())
            total += len(y)
    return right / total


def _full_precision(features: Features) -> torch.autocast:
    """Whatever the network computes with: a probe is too small to gain by less."""
    return torch.autocast(features.device.type, enabled=False)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """What is made inside is what a run of that seed makes; torch's generator is as before then."""
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False):
        chance.begin(seed)
        yield
