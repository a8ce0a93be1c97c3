"""Networks as named blocks in a row and a head, so that features can be taken after any block.

nin3 nin4 nin5      Network in Network for CIFAR (Lin et al. 2013, as RotNet builds it)
alexnet_bn          AlexNet with a batch norm after every layer, for 224 px
resnet18 ... 152    torchvision's
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torchvision
from torch import Tensor, nn

NIN = ("nin3", "nin4", "nin5")
RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
NAMES = (*NIN, "alexnet_bn", *RESNETS)
NIN_WIDTH = 192
# A ResNet's stem divides the side by 4, which leaves nothing of pictures below this.
_LARGE_PX = 96


class Network(nn.Module):
    """Blocks in a row, then a head."""

    def __init__(self, blocks: Mapping[str, nn.Module], head: nn.Module):
        super().__init__()
        self.blocks = nn.ModuleDict(blocks)
        self.head = head

    def features(self, images: Tensor, block: str) -> Tensor:
        """[B, C, H, W] what the named block puts out.

        Raises ValueError for a block it does not have.
        """
        if block not in self.blocks:
            raise ValueError(f"no block {block!r}; there are {', '.join(self.blocks)}")
        for name, part in self.blocks.items():
            images = part(images)
            if name == block:
                break
        return images

    def forward(self, images: Tensor) -> Tensor:
        for part in self.blocks.values():
            images = part(images)
        out: Tensor = self.head(images)
        return out


def block_names(network: str) -> tuple[str, ...]:
    """Of a network by its name, in order."""
    if network in RESNETS:
        return ("stem", "layer1", "layer2", "layer3", "layer4")
    count = 5 if network == "alexnet_bn" else int(network.removeprefix("nin"))
    return tuple(f"conv{number}" for number in range(1, count + 1))


def make(
    name: str,
    outputs: int,
    *,
    size: int,
    width: int = NIN_WIDTH,
    avg_on_conv3: bool = False,
) -> Network:
    """A fresh network for pictures of `size` pixels.

    width, avg_on_conv3  of the NIN family alone: see `nin`

    Raises ValueError for an unknown name, or a size that is too small.
    """
    if name in NIN:
        return nin(int(name[-1]), outputs, width=width, avg_on_conv3=avg_on_conv3)
    if name == "alexnet_bn":
        return alexnet_bn(outputs, size=size)
    if name in RESNETS:
        return resnet(name, outputs, size=size)
    raise ValueError(f"no network {name!r}; there are {', '.join(NAMES)}")


def conv(
    inputs: int, outputs: int, kernel: int, stride: int = 1, pad: int | None = None
) -> nn.Module:
    """Convolution, batch norm, ReLU; the batch norm's shift is the only bias.

    Weights from N(0, sqrt(2 / (kernel^2 outputs))).
    """
    layer = nn.Conv2d(
        inputs, outputs, kernel, stride, kernel // 2 if pad is None else pad, bias=False
    )
    nn.init.normal_(layer.weight, 0.0, math.sqrt(2 / (kernel * kernel * outputs)))
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def nin(
    blocks: int, outputs: int, *, width: int = NIN_WIDTH, avg_on_conv3: bool = False
) -> Network:
    """Network in Network: blocks of one wide and two 1 x 1 convolutions.

    blocks        3, 4 or 5
    width         channels; 192 in the paper
    avg_on_conv3  a network of more than three blocks halves its features after the third too

    Source: Gidaris et al., ICLR 2018, section 3.1; Lin et al., Network in Network, 2013.
    """
    if width % 6 or width < 6:
        raise ValueError(f"width is {width}; it must be a multiple of 6, such as {NIN_WIDTH}")
    parts: dict[str, nn.Module] = {
        "conv1": nn.Sequential(
            conv(3, width, 5),
            conv(width, width * 5 // 6, 1),
            conv(width * 5 // 6, width // 2, 1),
            nn.MaxPool2d(3, 2, 1),
        ),
        "conv2": nn.Sequential(
            conv(width // 2, width, 5),
            conv(width, width, 1),
            conv(width, width, 1),
            nn.AvgPool2d(3, 2, 1),
        ),
    }
    for number in range(3, blocks + 1):
        layers = [conv(width, width, 3), conv(width, width, 1), conv(width, width, 1)]
        if number == 3 and blocks > 3 and avg_on_conv3:
            layers.append(nn.AvgPool2d(3, 2, 1))
        parts[f"conv{number}"] = nn.Sequential(*layers)
    return Network(parts, averaged(width, outputs))


def averaged(channels: int, outputs: int) -> nn.Module:
    """The mean over the places, and a linear layer."""
    last = nn.Linear(channels, outputs)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), last)


def alexnet_bn(outputs: int, *, size: int = 224) -> Network:
    """AlexNet in one tower, a batch norm after every layer; no dropout, no local normalisation.

    The features of a block are taken before the pooling that follows it.
    Source: Gidaris et al., ICLR 2018, section 3.2; Krizhevsky, One weird trick, 2014.
    """
    side = (size + 2 * 2 - 11) // 4 + 1  # after conv1
    for _ in range(3):
        side = (side - 3) // 2 + 1  # after a pooling
    if side < 1:
        raise ValueError(f"size is {size} px; alexnet_bn needs at least 63")
    parts: dict[str, nn.Module] = {
        "conv1": conv(3, 64, 11, 4, 2),
        "conv2": nn.Sequential(nn.MaxPool2d(3, 2), conv(64, 192, 5)),
        "conv3": nn.Sequential(nn.MaxPool2d(3, 2), conv(192, 384, 3)),
        "conv4": conv(384, 256, 3),
        "conv5": conv(256, 256, 3),
    }
    head = nn.Sequential(
        nn.MaxPool2d(3, 2),
        nn.Flatten(),
        dense(256 * side * side, 4096),
        dense(4096, 4096),
        nn.Linear(4096, outputs),
    )
    return Network(parts, head)


def dense(inputs: int, outputs: int) -> nn.Module:
    """Linear layer, batch norm, ReLU."""
    return nn.Sequential(
        nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True)
    )


def resnet(name: str, outputs: int, *, size: int = 224) -> Network:
    """torchvision's ResNet: blocks stem, layer1 to layer4.

    Below 96 px its stem is one 3 x 3 convolution without stride and pooling (He et al. 2015,
    section 4.2, for CIFAR).
    """
    whole = torchvision.models.get_model(name, weights=None, num_classes=outputs)
    stem: nn.Module = nn.Sequential(whole.conv1, whole.bn1, whole.relu, whole.maxpool)
    if size < _LARGE_PX:
        stem = conv(3, 64, 3)
    parts: dict[str, nn.Module] = {"stem": stem}
    parts |= {layer: getattr(whole, layer) for layer in ("layer1", "layer2", "layer3", "layer4")}
    return Network(parts, nn.Sequential(whole.avgpool, nn.Flatten(), whole.fc))
