"""How well a fresh classifier tells one kind of pictures from another: 0.5 is not at all.

It learns from pictures of the training split and is asked about others; one classifier may be
lucky, so several are asked, and their mean counts.  Before and after a style was put on renders,
beside the same real pictures, it says how much nearer they came.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BATCH = 32  # of each kind
CHUNK = 256
CLASSIFIERS = 5


@dataclass(frozen=True, kw_only=True)
class Kinds:
    """Pictures that are to be told apart, uint8 [N, C, S, S]: as many of either count."""

    real: Tensor
    made: Tensor

    def balanced(self) -> Kinds:
        count = min(len(self.real), len(self.made))
        return Kinds(real=self.real[:count], made=self.made[:count])


def accuracies(
    train: Kinds,
    test: Kinds,
    *,
    steps: int,
    count: int = CLASSIFIERS,
    progress: Callable[[], None] = lambda: None,
) -> list[float]:
    """`accuracy` of so many classifiers, which begin and learn by chances of their own."""
    return [
        accuracy(train, test, steps=steps, seed=seed, progress=progress) for seed in range(count)
    ]


def accuracy(
    train: Kinds,
    test: Kinds,
    *,
    steps: int,
    seed: int = 0,
    progress: Callable[[], None] = lambda: None,
) -> float:
    """Share of `test`, half of it real, that a classifier trained for so many steps gets right.

    Raises ValueError where there is nothing to learn from, or to ask about.
    """
    train, test = train.balanced(), test.balanced()
    if not len(train.real) or not len(test.real):
        raise ValueError("a classifier wants pictures of both kinds, to learn from and to tell")
    device, device_type = train.real.device, train.real.device.type
    generator = torch.Generator().manual_seed(seed)
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(device_type, enabled=False),
        torch.random.fork_rng(devices=[]),
    ):
        torch.manual_seed(seed)
        network = classifier(train.real.shape[1]).to(device)
        network.to(memory_format=torch.channels_last)
        adam = torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=1e-4)
        # At a rate that stays high the last step decides: five said 0.52 to 0.91 of one run.
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
        for _ in range(steps):
            images, labels = _drawn(train, generator)
            loss = F.binary_cross_entropy_with_logits(network(images)[:, 0], labels)
            adam.zero_grad()
            torch.autograd.backward(loss)
            adam.step()
            falling.step()
            progress()
    network.eval()
    with torch.no_grad(), torch.autocast(device_type, enabled=False):
        real, made = (
            torch.cat([network(prepared(part)) for part in torch.split(some, CHUNK)])
            for some in (test.real, test.made)
        )
    right = int((real > 0).sum()) + int((made <= 0).sum())
    return right / (2 * len(test.real))


def classifier(channels: int) -> nn.Module:
    """Four convolutions, each halving the side: small, and it looks at textures."""
    layers: list[nn.Module] = []
    for width in (16, 32, 64, 64):
        layers += [nn.Conv2d(channels, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
    pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(channels, 1)]
    return nn.Sequential(*layers, *pooled)


def prepared(images: Tensor) -> Tensor:
    """Colours from -1 to 1."""
    return (images.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def _drawn(kinds: Kinds, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Half a batch of each kind, some of it mirrored; label 1: real."""
    parts = []
    for images in (kinds.real, kinds.made):
        numbers = torch.randint(len(images), (BATCH,), generator=generator)
        some = images[numbers.to(images.device)]
        mirror = (torch.rand(BATCH, generator=generator) < 0.5).to(images.device)
        parts.append(torch.where(mirror[:, None, None, None], some.flip(-1), some))
    labels = torch.cat([torch.ones(BATCH), torch.zeros(BATCH)]).to(kinds.real.device)
    return prepared(torch.cat(parts)), labels
