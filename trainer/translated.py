"""Pictures of two kinds, translated there and back by a pair of generators, and how well fresh
classifiers tell what came out from the real ones.

B pictures, S side in pixels; colours in [-1, 1], black is -1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer import alpha as masks
from trainer import realism
from trainer.cutouts import Views, shown
from trainer.models import Tools
from trainer.probes import Chosen
from trainer.realism import Kinds

SHOWN = 6
"""Pictures of a side that are kept to be looked at."""
JUDGE_PX = 64
CUTS = 4
"""How often a picture is cut, each time to another outline."""


class Translator(Protocol):
    """Two generators and two discriminators."""

    @property
    def g(self) -> nn.Module: ...
    @property
    def f(self) -> nn.Module: ...
    @property
    def d_x(self) -> nn.Module: ...
    @property
    def d_y(self) -> nn.Module: ...

    def put(self, made: Tensor, images: Tensor, alpha: Tensor) -> Tensor:
        """What a generator made of pictures, put together with their alpha."""

    def judged(self, images: Tensor, alpha: Tensor, other: Tensor) -> Tensor:
        """What a discriminator sees of pictures beside some with another alpha."""


@dataclass
class Translated:
    """What a split came to, picture by picture; the fields of one side."""

    images: list[Tensor] = dataclasses.field(default_factory=list)
    """uint8 [B, 4, P, P], at most JUDGE_PX."""
    made: list[Tensor] = dataclasses.field(default_factory=list)
    values: dict[str, list[Tensor]] = dataclasses.field(default_factory=dict)
    first: list[Tensor] = dataclasses.field(default_factory=list)
    """[N, 3, 3, S, S] uint8: picture, translation, and back; of those that are shown."""

    def mean(self, name: str) -> float:
        return float(torch.cat(self.values[name]).double().mean())


def translated(
    network: Translator, views: Views, side: str, most: int, batch: int, tools: Tools
) -> Translated:
    """Pictures of one side, at most so many, spread evenly: there and back."""
    there, back = (network.g, network.f) if side == "x" else (network.f, network.g)
    judge = network.d_y if side == "x" else network.d_x
    numbers = spread(len(views), most)
    show = set(spread(len(numbers), SHOWN))
    seen, done = Translated(), 0
    for some in tools.batches(Chosen(views, numbers), max(batch, 8)):
        images, alpha = shown(some["image"])
        painted = there(images)
        made = network.put(painted, images, alpha)
        again = network.put(back(made), made, alpha)
        found = {
            "mask_xor": masks.mask_xor(made, alpha),
            "painted": masks.mask_xor(painted, alpha),
            "changed": changed(images, made, alpha),
            "cycle": changed(images, again, alpha),
            "judged": judge(network.judged(made, alpha, alpha)).flatten(1).mean(1),
        }
        if side == "y":
            found["judged_real"] = (
                network.d_y(network.judged(images, alpha, alpha)).flatten(1).mean(1)
            )
        for name, value in found.items():
            seen.values.setdefault(name, []).append(value.float().cpu())
        seen.images.append(at_most(some["image"]))
        seen.made.append(at_most(torch.cat([bytes_of(made), some["image"][:, 3:]], dim=1)))
        rows = [n - done for n in sorted(show) if done <= n < done + len(images)]
        trio = torch.stack([bytes_of(each[rows]) for each in (images, made, again)], dim=1)
        seen.first.append(trio.cpu())
        done += len(images)
        tools.progress(done=done, total=len(numbers))
    return seen


def told_apart(
    known: tuple[Translated, Translated],
    others: tuple[Translated, Translated],
    steps: int,
    tools: Tools,
) -> dict[str, dict[str, float]]:
    """What fresh classifiers that learned from `known` pictures, X and Y, tell of others: plain
    renders from real pictures and stylized ones from real, as they are and cut to one outline; and
    white outlines from outlines, which no style may change."""
    (x_known, y_known), (x, y) = known, others
    real, plain, made = (
        (torch.cat(train), torch.cat(test))
        for train, test in (
            (y_known.images, y.images),
            (x_known.images, x.images),
            (x_known.made, x.made),
        )
    )
    return {
        name: asked(real, of, show, steps, tools)
        for name, of, show in (
            ("plain_told", plain, whole),
            ("stylized_told", made, whole),
            ("outlines_told", plain, outlines),
            ("plain_cut_told", plain, cut),
            ("stylized_cut_told", made, cut),
        )
    }


def whole(real: Tensor, made: Tensor) -> Kinds:
    """uint8 [N, 4, S, S] on black, as they are."""
    return Kinds(real=real[:, :3], made=made[:, :3])


def outlines(real: Tensor, made: Tensor) -> Kinds:
    """Their alpha alone, [N, 1, S, S]."""
    return Kinds(real=real[:, 3:], made=made[:, 3:])


def cut(real: Tensor, made: Tensor) -> Kinds:
    """Each cut to the outline of one of the other kind as well, by chance, CUTS times: both kinds
    have the same outlines, and what is told is told by colours.

    real, made  uint8 [N, 4, S, S] and [M, 4, S, S]; [CUTS * min(N, M), 3, S, S] of either come back
    """
    generator = torch.Generator().manual_seed(0)
    kinds: tuple[list[Tensor], list[Tensor]] = ([], [])
    for _ in range(CUTS):
        pair = [
            some[torch.randperm(len(some), generator=generator).to(some.device)]
            for some in (real, made)
        ]
        count = min(map(len, pair))
        (one, alpha), (other, beside) = (shown(some[:count]) for some in pair)
        kinds[0].append(bytes_of(masks.cut(one, alpha, beside)))
        kinds[1].append(bytes_of(masks.cut(other, beside, alpha)))
    return Kinds(real=torch.cat(kinds[0]), made=torch.cat(kinds[1]))


def asked(
    real: Sequence[Tensor],
    made: Sequence[Tensor],
    show: Callable[[Tensor, Tensor], Kinds],
    steps: int,
    tools: Tools,
) -> dict[str, float]:
    """Accuracy of fresh classifiers, of which several are asked; each side is train and test."""
    train, test = (show(one, other) for one, other in zip(real, made, strict=True))
    right = realism.accuracies(
        train,
        test,
        steps=steps,
        progress=lambda: tools.progress(done=0, total=0),
    )
    known, others = (min(map(len, both)) for both in zip(real, made, strict=True))
    return {
        "mean": sum(right) / len(right),
        "lowest": min(right),
        "highest": max(right),
        "classifiers": len(right),
        "trained_on": 2 * known,
        "asked_about": 2 * others,
    }


def changed(before: Tensor, after: Tensor, alpha: Tensor) -> Tensor:
    """[B] mean change of a shape's colours, 0 to 1."""
    shape = (alpha > 0).to(before.dtype)
    apart = ((after - before).abs() / 2).mean(dim=1, keepdim=True) * shape
    return apart.flatten(1).sum(1) / shape.flatten(1).sum(1).clamp(min=1)


def spread(count: int, most: int) -> list[int]:
    """At most so many numbers below count, spread evenly."""
    return np.linspace(0, count - 1, min(most, count), dtype=int).tolist()  # type: ignore[no-any-return]


def at_most(images: Tensor) -> Tensor:
    """uint8 [B, C, S, S] at JUDGE_PX or below."""
    if images.shape[-1] <= JUDGE_PX:
        return images
    return F.interpolate(images.float(), (JUDGE_PX, JUDGE_PX), mode="area").round().byte()


def bytes_of(images: Tensor) -> Tensor:
    """[-1, 1] to uint8."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).byte()
