"""Backbones: torchvision's classifiers by name, with any number of outputs.

Layers keep torchvision's names, so its pretrained weights fit all but the last one.
"""

from __future__ import annotations

import difflib
import fnmatch

import torchvision
from torch import nn

FAMILIES = {"alexnet": 63, "vgg*": 32, "resnet*": 32, "resnext*": 32, "wide_resnet*": 32}
"""Pattern of names -> the least side in px: below it a pooling of AlexNet or VGG has no output,
and a ResNet's last maps, 1/32 of the image, are smaller than a pixel."""


def names() -> tuple[str, ...]:
    """Every backbone there is."""
    known = torchvision.models.list_models(torchvision.models, include=[*FAMILIES])
    return tuple(sorted(known))


def check_backbone(name: str, size_px: tuple[int, int] | None = None) -> None:
    """Raises ValueError for a name that is none, or images it cannot take.

    size_px  (width, height)
    """
    known = names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise ValueError(f"no backbone {name!r}; {meant}")
    least = next(px for pattern, px in FAMILIES.items() if fnmatch.fnmatch(name, pattern))
    if size_px is not None and min(size_px) < least:
        raise ValueError(
            f"--backbone {name} needs images of at least {least} px; "
            f"these are {size_px[0]} x {size_px[1]}"
        )


def make_backbone(name: str, outputs: int) -> nn.Module:
    """A classifier [B, 3, H, W] -> [B, outputs] with random weights.

    Images are expected as torchvision's weights expect them: `MEAN`, `STD`.
    """
    check_backbone(name)
    network: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=outputs)
    return network


def head_name(name: str) -> str:
    """The name of the last layer, whose outputs are ours: "fc", or "classifier.6"."""
    return "classifier.6" if name.startswith(("alexnet", "vgg")) else "fc"


MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Of ImageNet's pixels in [0, 1]: what torchvision's weights were trained with."""
