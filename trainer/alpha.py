"""Alpha losses: what a generator is told when it paints outside a shape, or blackens it.

Jourdan (2020) takes for the shape whatever is not black, Alpha(x) = 1 where any channel is above
-1.  That has no gradient, and a tanh is exactly -1 only below about -9 (fp32): LITERAL is kept to
be compared with.  The others know the shape from the input's own alpha.

    composite          the picture is put together with the input's alpha: nothing is outside; what
                       is left to tell is a shape gone black
    hinge              brightness outside, and what is missing to delta inside
    soft               L1 between soft masks 1 - exp(-beta v)
    straight_through   L1 between hard masks, with the gradient of the soft ones
    literal            L1 between hard masks

Pictures [B, 3, H, W] in [-1, 1], black is -1; masks and alpha [B, 1, H, W]; v in [0, 1] is a
pixel's brightest channel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

Kind = Literal["composite", "hinge", "soft", "straight_through", "literal"]
Reduction = Literal["mean", "sum"]

DELTA = 4 / 255
"""What is this bright counts as painted."""
BETA = 64.0
"""Of the soft mask: half at v = 0.011, which is 2.8 of 255."""
STEP = 1 / 255
"""Brightness of the darkest pixel of a shape in an 8-bit picture: 1; the background has 0."""
HALF = 0.5
"""A pixel with as much alpha shows the shape."""
SHARPNESS = 20.0
"""Of the maximum over channels that sends its gradient to all of them."""


def loss(
    kind: Kind, shown: Tensor, made: Tensor, alpha: Tensor, reduction: Reduction = "mean"
) -> Tensor:
    """How far the shape of `made` is from that of `shown`, whose alpha is known."""
    if kind not in LOSSES:
        raise ValueError(f"no alpha loss {kind!r}; there are {', '.join(LOSSES)}")
    return LOSSES[kind](shown, made, alpha, reduction)


def composite(made: Tensor, alpha: Tensor) -> Tensor:
    """A picture before black, as its alpha has it."""
    return alpha * (made + 1) - 1


def on_top(made: Tensor, shown: Tensor, alpha: Tensor) -> Tensor:
    """The same where `made` is what is seen, which lies before black already, painted over: edges
    are mixed once. At most as bright as white with that alpha is, with the gradient of more."""
    mixed = shown + alpha * (made - shown)
    return mixed + (torch.minimum(mixed, 2 * alpha - 1) - mixed).detach()


def cut(images: Tensor, alpha: Tensor, other: Tensor) -> Tensor:
    """What shows a shape in two pictures: straight colours where both alphas are at least a half,
    else black. Two pictures that are cut so, each to the other, have one outline; edges, which in
    photos take on colours of what lies behind, are seen in both.

    images  [B, 3, H, W] before black, as their alpha has it; alpha, other [B, 1, H, W]
    """
    both = (alpha >= HALF) & (other >= HALF)
    return torch.where(both, (images + 1) / alpha.clamp(min=HALF) - 1, -1.0)


def brightness(images: Tensor) -> Tensor:
    """v of every pixel [B, 1, H, W]."""
    return (images.amax(dim=1, keepdim=True) + 1) / 2


def smooth_brightness(images: Tensor) -> Tensor:
    """The same to within log(3) / SHARPNESS, weighted so that equal channels give their value, and
    every channel has a share of the gradient."""
    values = (images + 1) / 2
    return (values * torch.softmax(SHARPNESS * values, dim=1)).sum(dim=1, keepdim=True)


def hard_mask(images: Tensor) -> Tensor:
    """1 where a picture is not black once it has 8 bits, else 0. No gradient."""
    return (brightness(images.detach()) > STEP / 2).to(images.dtype)


def literal_mask(images: Tensor) -> Tensor:
    """1 where any channel is above -1, as the thesis has it. No gradient."""
    return (images.detach() > -1).any(dim=1, keepdim=True).to(images.dtype)


def soft_mask(images: Tensor) -> Tensor:
    return -torch.expm1(-BETA * smooth_brightness(images))


def straight_mask(images: Tensor) -> Tensor:
    """Hard, with the soft mask's gradient."""
    soft = soft_mask(images)
    return hard_mask(images) + soft - soft.detach()


def squared(difference: Tensor, reduction: Reduction) -> Tensor:
    """E[|d|_1^2]: each picture's L1, squared; then the mean over pictures.

    The thesis does not say whether its L1 is a sum or a mean; with the weights it gives, and
    CycleGAN's other terms, only the mean makes sense.
    """
    whole = difference.abs().flatten(1)
    each = whole.mean(dim=1) if reduction == "mean" else whole.sum(dim=1)
    return each.square().mean()


def mask_xor(made: Tensor, alpha: Tensor) -> Tensor:
    """[B] pixels that are painted and should not be, or should and are not, over the shape's."""
    shape = alpha > 0
    wrong = (hard_mask(made) > 0) ^ shape
    return wrong.flatten(1).sum(1) / shape.flatten(1).sum(1).clamp(min=1)


def _reduced(terms: Tensor, reduction: Reduction) -> Tensor:
    return terms.mean() if reduction == "mean" else terms.flatten(1).sum(1).mean()


def _composite(shown: Tensor, made: Tensor, alpha: Tensor, reduction: Reduction) -> Tensor:
    # Where alpha is small a composite is dark whatever is painted.
    inside = (alpha > 0.5).to(made.dtype)
    return _reduced(inside * torch.relu(DELTA - brightness(made)) / DELTA, reduction)


def _hinge(shown: Tensor, made: Tensor, alpha: Tensor, reduction: Reduction) -> Tensor:
    inside, v = (alpha > 0).to(made.dtype), brightness(made)
    return _reduced((1 - inside) * v + inside * torch.relu(DELTA - v) / DELTA, reduction)


def _between(mask: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    def loss(shown: Tensor, made: Tensor, alpha: Tensor, reduction: Reduction) -> Tensor:
        return squared(mask(shown) - mask(made), reduction)

    return loss


LOSSES: Mapping[str, Callable[[Tensor, Tensor, Tensor, Reduction], Tensor]] = {
    "composite": _composite,
    "hinge": _hinge,
    "soft": _between(soft_mask),
    "straight_through": _between(straight_mask),
    "literal": _between(literal_mask),
}
