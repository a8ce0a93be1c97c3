"""CycleGAN's networks and losses (Zhu et al. 2017, arXiv 1703.10593), as its code was released.

Pictures are [B, 3, H, W] in [-1, 1].  Networks run with channels last in memory, on every device:
convolutions and reflections are faster so, on CPUs too.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

STD = 0.02
"""Of a fresh network's weights; biases begin at 0."""
EPS = 1e-5
Norm = Literal["instance", "none"]
"""What evens out every channel of a picture between layers, if anything does."""


class InstanceNorm(nn.Module):
    """Every channel of every picture to mean 0 and variance 1; then, where asked for, a slope.

    slope  None: as it is; 0: ReLU; 0.2: leaky ReLU. It is taken in place.
    """

    def __init__(self, slope: float | None = None):
        super().__init__()
        self.slope = slope

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = _Normalized.apply(images, self.slope)
        return found


class _Normalized(torch.autograd.Function):
    """Normalization and slope at once, in whatever layout the pictures have: on a CPU torch's own
    copies channels that are last to first and back, and its var_mean is 40 times a mean."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, slope: float | None) -> Tensor:
        centred = images - _mean(images)
        scale = torch.rsqrt(_mean(centred * centred) + EPS).to(images.dtype)
        normal = centred.mul_(scale)
        ctx.save_for_backward(normal, scale)
        ctx.slope = slope
        return normal.clone() if slope is None else F.leaky_relu(normal, slope)

    @staticmethod
    @once_differentiable  # what it keeps forgets the pictures
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        normal, scale = ctx.saved_tensors
        (grad,) = grads
        if ctx.slope is not None:
            grad = torch.ops.aten.leaky_relu_backward(grad, normal, ctx.slope, False)
        found = grad - _mean(grad)
        return found.addcmul_(normal, _mean(grad * normal), value=-1).mul_(scale), None


def _mean(images: Tensor) -> Tensor:
    """[B, C, 1, 1] over all places."""
    kind = torch.promote_types(images.dtype, torch.float32)  # sums of many
    return images.mean(dim=(2, 3), keepdim=True, dtype=kind).to(images.dtype)


def wide(values: Tensor) -> Tensor:
    """The same in fp32 at least."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def normed(norm: Norm, slope: float | None = None) -> nn.Module:
    """A norm and a slope, or the slope alone; slope as in InstanceNorm."""
    if norm == "instance":
        return InstanceNorm(slope)
    return nn.Identity() if slope is None else nn.LeakyReLU(slope)


class Residual(nn.Module):
    """Two convolutions beside a way around them."""

    def __init__(self, channels: int, norm: Norm = "instance"):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3)
        self.second = nn.Conv2d(channels, channels, 3)
        self.middle, self.last = normed(norm, 0.0), normed(norm)

    def forward(self, images: Tensor) -> Tensor:
        inner = self.middle(self.first(reflected(images, 1)))
        out: Tensor = self.last(self.second(reflected(inner, 1)))
        return out + images


class Generator(nn.Module):
    """[B, 3, H, W] to the same: down, residual blocks, up, tanh.

    Sides are multiples of 2 ** halvings. With 64 filters and two halvings 9 blocks have 11 378 179
    parameters, 6 have 7 837 699, whatever the way up.
    upsample  transposed: as it was published; nearest: every pixel doubled, then a convolution,
              which cannot leave a checkerboard (Odena et al. 2016, distill.pub)
    halvings  as published 2; fewer keep more of small pictures
    norm      instance as published; none: what is bright stays so from layer to layer
    residual  what comes out is added to the picture, twice, so that white can become black: a
              fresh network changes nothing, where one as published has to learn first to paint
              what it is given
    """

    def __init__(
        self,
        filters: int = 64,
        blocks: int = 9,
        upsample: str = "transposed",
        halvings: int = 2,
        norm: Norm = "instance",
        residual: bool = False,
    ):
        super().__init__()
        widths = [filters * 2**n for n in range(halvings + 1)]
        steps = list(pairwise(widths))
        self.residual = residual
        self.enter = nn.Conv2d(3, filters, 7)
        self.down = nn.ModuleList(nn.Conv2d(few, many, 3, 2, 1) for few, many in steps)
        self.blocks = nn.Sequential(*(Residual(widths[-1], norm) for _ in range(blocks)))
        up = _Doubled if upsample == "nearest" else _Transposed
        self.up = nn.ModuleList(up(many, few) for few, many in reversed(steps))
        self.leave = nn.Conv2d(filters, 3, 7)
        self.norm = normed(norm, 0.0)
        begin(self, norm, small={"leave", "second"})
        if residual:
            nn.init.zeros_(self.leave.weight)

    def forward(self, images: Tensor) -> Tensor:
        out = images.contiguous(memory_format=torch.channels_last)
        out = self.norm(self.enter(reflected(out, 3)))
        for layer in self.down:
            out = self.norm(layer(out))
        out = self.blocks(out)
        for layer in self.up:
            out = self.norm(layer(out))
        # A colour's last digits decide what counts as black: in full precision.
        out = torch.tanh(wide(self.leave(reflected(out, 3))))
        return bounded(images + 2 * out) if self.residual else out


class _Transposed(nn.ConvTranspose2d):
    """Twice the side by a transposed convolution."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 3, 2, 1, output_padding=1)


class _Doubled(nn.Conv2d):
    """Twice the side: every pixel four times, then a convolution."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 3)

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(reflected(F.interpolate(images, scale_factor=2), 1))


class Discriminator(nn.Module):
    """[B, 3, H, W] to a map of how real each patch looks: 1 real, 0 made. No sigmoid.

    layers  with 3, patches are of 70 x 70 px: 256 px give 30 x 30. 2 764 737 parameters at 64
            filters.
    """

    def __init__(self, filters: int = 64, layers: int = 3, norm: Norm = "instance"):
        super().__init__()
        widths = [3, *(filters * min(2**n, 8) for n in range(layers + 1)), 1]
        self.layers = nn.ModuleList(
            nn.Conv2d(few, many, 4, stride, 1)
            for (few, many), stride in zip(pairwise(widths), strides(layers), strict=True)
        )
        self.norm = normed(norm, 0.2)
        begin(self, norm)
        if norm == "none":  # nothing is real or made yet: guesses of 2 and -3 take long to mend
            last = self.layers[-1]
            assert isinstance(last, nn.Conv2d)
            nn.init.zeros_(last.weight)

    def forward(self, images: Tensor, alone: bool = False) -> Tensor:
        """alone  of no consequence here: pictures do not meet in any layer"""
        first, *middle, last = self.layers
        out = images.contiguous(memory_format=torch.channels_last)
        out = F.leaky_relu(first(out), 0.2, inplace=True)
        for layer in middle:
            out = self.norm(layer(out))
        return wide(last(out))


def strides(layers: int) -> list[int]:
    """Of a Discriminator's convolutions, each 4 x 4."""
    return [2] * layers + [1, 1]


def side_of_scores(side: int, layers: int) -> int:
    """Of a Discriminator's map, for pictures of that side; below 1: they are too small."""
    for stride in strides(layers):
        side = (side - 2) // stride + 1
    return side


def reflected(images: Tensor, pad: int) -> Tensor:
    return F.pad(images, (pad, pad, pad, pad), mode="reflect")


def bounded(images: Tensor) -> Tensor:
    """Into [-1, 1], with the gradient of what is not: white must find its way back."""
    return images + (images.clamp(-1, 1) - images).detach()


def begin(network: nn.Module, norm: Norm = "instance", small: Collection[str] = ()) -> None:
    """Fresh weights, biases 0: from N(0, 0.02), which a norm makes up for.  Without one, by He et
    al. 2015 (arXiv 1502.01852), so that every layer passes on as much as it gets; but for those
    of a name in `small`: the last before a tanh, and those beside a way around them."""
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            if norm == "instance" or name.split(".")[-1] in small:
                nn.init.normal_(layer.weight, 0.0, STD)
            else:
                nn.init.kaiming_normal_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


def frozen(network: nn.Module, images: Tensor) -> Tensor:
    """What a discriminator says of each picture alone, with gradients for the pictures and none
    for its weights."""
    weights = {name: weight.detach() for name, weight in network.named_parameters()}
    found: Tensor = torch.func.functional_call(network, weights, (images,), {"alone": True})
    return found


# --- pools --------------------------------------------------------------------------------------


class Pool(nn.Module):
    """Pictures made before, so that a discriminator does not forget them. A buffer: it is kept in
    checkpoints.

    Shrivastava et al. 2017: until it is full, a picture is kept and given back; then, half of the
    time, one kept before is given back in its place.
    """

    images: Tensor

    def __init__(self, count: int, side: int, channels: int = 3):
        super().__init__()
        self.register_buffer("images", torch.zeros(count, channels, side, side))

    @property
    def channels(self) -> int:
        return self.images.shape[1]

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # its numbers change every step
    @torch.no_grad()
    def swap(self, made: Tensor, seen: int, choices: Sequence[tuple[bool, int]]) -> Tensor:
        """Pictures in place of those just made [B, C, S, S].

        seen     pictures that it was given before
        choices  for each picture: whether an old one is given back, and which
        """
        back = []
        for number, (image, (old, place)) in enumerate(zip(made.detach(), choices, strict=True)):
            count = seen + number
            if count < len(self.images):
                self.images[count] = image
                back.append(image)
            elif old and len(self.images):
                back.append(self.images[place].clone())
                self.images[place] = image
            else:
                back.append(image)
        return torch.stack(back)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def drawn(self, seen: int, places: Tensor) -> Tensor:
        """Pictures that were kept [N, C, S, S]: some come twice.

        seen    pictures that it was given by now
        places  [N] from 0 to 1, 1 not among them: which, as a share of those there are
        """
        there = min(seen, len(self.images))
        numbers = (places * there).long().clamp(max=there - 1)
        return self.images[numbers.to(self.images.device)]


def choices(count: int, pool: int, generator: torch.Generator) -> list[tuple[bool, int]]:
    """Chance for `count` pictures of a pool: on the CPU, so that a GPU need not wait."""
    old = torch.rand(count, generator=generator) > 0.5
    places = torch.randint(max(1, pool), (count,), generator=generator)
    return list(zip(old.tolist(), places.tolist(), strict=True))


# --- losses and rates ---------------------------------------------------------------------------


def real_loss(scores: Tensor) -> Tensor:
    """Least squares (LSGAN): of scores that should be 1."""
    return (scores - 1).square().mean()


def made_loss(scores: Tensor) -> Tensor:
    """Of scores that should be 0."""
    return scores.square().mean()


def told_apart(network: nn.Module, real: Tensor, made: Tensor) -> Tensor:
    """A discriminator's loss: half of both, in one pass."""
    scores = network(torch.cat([real, made]))
    return 0.5 * (real_loss(scores[: len(real)]) + made_loss(scores[len(real) :]))


@torch.compiler.disable  # type: ignore[untyped-decorator]  # which does no gradients of gradients
def steepness(network: nn.Module, pictures: Tensor) -> Tensor:
    """The mean over pictures of the squared gradient of a discriminator's mean score: of real ones
    R1 of Mescheder et al. 2018 (arXiv 1801.04406, eq. 9), of made ones R2 (eq. 10).

    Without it a discriminator that knows few pictures by heart points wherever it likes from
    there, and generators follow.

    pictures  [B, 3, H, W]; comes back as one number
    Raises RuntimeError, when gradients of it are taken, where the network has an instance norm.
    """
    with torch.enable_grad():
        images = pictures.detach().requires_grad_()
        scores = network(images, alone=True).mean(dim=(1, 2, 3)).sum()
        (gradient,) = torch.autograd.grad(scores, images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference."""
    return F.l1_loss(a, b)


def falling(epoch: int, constant: int = 100, fall: int = 100) -> float:
    """Factor on the rate: 1, then in a line to 0."""
    return 1.0 - max(0, epoch + 1 - constant) / (fall + 1)


def falling_at(t: float, constant: int = 100, fall: int = 100) -> float:
    """The same at a share t of a run of so many epochs."""
    return falling(min(math.floor(t * (constant + fall)), constant + fall), constant, fall)


def parameters(networks: Iterable[nn.Module]) -> list[nn.Parameter]:
    return [parameter for network in networks for parameter in network.parameters()]
