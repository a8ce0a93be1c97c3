"""A discriminator that is a small classifier: it scores a picture as a whole.

CycleGAN's scores patch by patch and has, without norms, to find its scale by itself.  This one has
batch norms (Ioffe and Szegedy 2015, arXiv 1502.03167), which keep how bright a picture is beside
others, and a mean over all places before its last layer, so that it learns much from few pictures
in few steps.  It resembles realism.classifier, and is apart from it: what measures stays as it is.

Pictures are [B, 3, H, W] in [-1, 1].
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.cyclegan import wide

MOST_WIDER = 4
"""The widest layer has so many times the filters of the first."""
FLOOR = 1e-2
"""Added to every norm's variance. A discriminator held flat makes its weights small, until channels
vary by 1e-6, and with a usual 1e-5 a picture that is new to one of them costs generators hundreds
instead of 1: Adam's second moment keeps such a gradient for a thousand steps."""


class PooledDiscriminator(nn.Module):
    """[B, 3, H, W] to how real each picture looks [B, 1, 1, 1]: 1 real, 0 made. No sigmoid.

    While it learns, pictures are evened out beside all others of the pass: real and made ones want
    to be in one.
    layers  each halves the side
    """

    def __init__(self, filters: int = 16, layers: int = 4):
        super().__init__()
        widths = [3, *(filters * min(2**n, MOST_WIDER) for n in range(layers))]
        # Without biases: the norms' own take their place.
        self.layers = nn.ModuleList(
            nn.Conv2d(few, many, 3, 2, 1, bias=False) for few, many in pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width, eps=FLOOR) for width in widths[1:])
        self.last = nn.Conv2d(widths[-1], 1, 1)

    def forward(self, images: Tensor, alone: bool = False) -> Tensor:
        """alone  each picture is evened out by what was seen before, as when nothing is learnt"""
        out = images.contiguous(memory_format=torch.channels_last)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            out = F.leaky_relu(by_before(norm, layer(out)) if alone else norm(layer(out)), 0.2)
        return wide(self.last(out.mean(dim=(2, 3), keepdim=True)))


@torch.compiler.disable  # type: ignore[untyped-decorator]  # which keeps no copies
def by_before(norm: nn.Module, images: Tensor) -> Tensor:
    """A batch norm as in evaluation, whichever mode it is in; a gradient that is taken after it saw
    more pictures is of what it knew now."""
    assert isinstance(norm, nn.BatchNorm2d | nn.SyncBatchNorm)  # the second on several GPUs
    assert norm.running_mean is not None and norm.running_var is not None
    mean, var = norm.running_mean.clone(), norm.running_var.clone()
    return F.batch_norm(images, mean, var, norm.weight, norm.bias, eps=norm.eps)
