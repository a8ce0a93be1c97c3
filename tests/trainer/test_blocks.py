"""Networks with named blocks: their sizes, features and first weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from trainer import blocks


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("number", "outputs", "parameters"),
    # of the specification: the paper's networks, and the supervised one for CIFAR-10
    [(3, 10, 1_005_642), (3, 4, 1_004_484), (4, 4, 1_411_140), (5, 4, 1_817_796)],
)
def test_a_network_in_network_has_the_papers_number_of_parameters(
    number: int, outputs: int, parameters: int
) -> None:
    assert count(blocks.nin(number, outputs)) == parameters
    assert count(blocks.make(f"nin{number}", outputs, size=32)) == parameters


@pytest.mark.parametrize("number", [3, 4, 5])
@pytest.mark.parametrize("avg_on_conv3", [False, True])
def test_features_of_a_network_in_network_are_the_papers(number: int, avg_on_conv3: bool) -> None:
    network = blocks.nin(number, 4, avg_on_conv3=avg_on_conv3).eval()
    images = torch.rand(2, 3, 32, 32)
    smaller = avg_on_conv3 and number > 3  # three blocks never pool after the third

    shapes = {name: tuple(network.features(images, name).shape[1:]) for name in network.blocks}

    assert shapes["conv1"] == (96, 16, 16)
    assert shapes["conv2"] == (192, 8, 8)
    for name in [f"conv{n}" for n in range(3, number + 1)]:
        assert shapes[name] == ((192, 4, 4) if smaller else (192, 8, 8))
    assert network(images).shape == (2, 4)


def test_convolutions_begin_with_the_papers_spread() -> None:
    network = blocks.nin(5, 4)

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            assert layer.bias is None
            std = math.sqrt(2 / (layer.kernel_size[0] ** 2 * layer.out_channels))
            # Chance moves the spread of n numbers by 1 / sqrt(2 n).
            chance = 1 / math.sqrt(2 * layer.weight.numel())
            assert float(layer.weight.detach().std()) == pytest.approx(std, rel=5 * chance)
            assert abs(float(layer.weight.detach().mean())) < 5 * std / math.sqrt(
                layer.weight.numel()
            )
        if isinstance(layer, nn.Linear):
            assert not layer.bias.any()


def test_a_narrow_network_keeps_its_proportions() -> None:
    network = blocks.nin(4, 4, width=48)

    widths = [m.out_channels for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert widths[:6] == [48, 40, 24, 48, 48, 48]
    with pytest.raises(ValueError, match="multiple of 6"):
        blocks.nin(4, 4, width=50)


def test_features_of_alexnet_are_the_papers() -> None:
    network = blocks.alexnet_bn(4).eval()
    images = torch.rand(1, 3, 224, 224)

    shapes = {name: tuple(network.features(images, name).shape[1:]) for name in network.blocks}

    assert shapes == {
        "conv1": (64, 55, 55),
        "conv2": (192, 27, 27),
        "conv3": (384, 13, 13),
        "conv4": (256, 13, 13),
        "conv5": (256, 13, 13),
    }
    assert [m.in_features for m in network.head.modules() if isinstance(m, nn.Linear)] == [
        256 * 6 * 6,
        4096,
        4096,
    ]
    assert network(images).shape == (1, 4)
    kinds = {type(m) for m in network.modules()}
    assert not kinds & {nn.Dropout, nn.LocalResponseNorm}
    assert all(m.groups == 1 for m in network.modules() if isinstance(m, nn.Conv2d))
    with pytest.raises(ValueError, match="needs at least 63"):
        blocks.alexnet_bn(4, size=62)
    assert blocks.alexnet_bn(4, size=63).eval()(torch.rand(1, 3, 63, 63)).shape == (1, 4)


def test_alexnet_has_a_batch_norm_after_every_layer_but_the_last() -> None:
    network = blocks.alexnet_bn(4, size=63)

    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm1d)]

    assert len(layers) == len(norms) + 1 == 8
    assert all(layer.bias is None for layer in layers[:-1])


@pytest.mark.parametrize(("size", "side"), [(32, 4), (64, 8), (128, 4)])
def test_a_resnet_has_a_small_stem_for_small_pictures(size: int, side: int) -> None:
    network = blocks.make("resnet18", 5, size=size).eval()

    last = network.features(torch.rand(1, 3, size, size), "layer4")

    assert last.shape == (1, 512, side, side)
    assert network(torch.rand(2, 3, size, size)).shape == (2, 5)


def test_features_are_what_the_network_itself_goes_on_with() -> None:
    network = blocks.nin(3, 4, width=12).eval()
    images = torch.rand(2, 3, 16, 16)

    found = network.features(images, "conv2")

    rest = nn.Sequential(network.blocks["conv3"], network.head)
    assert torch.equal(rest(found), network(images))


def test_an_unknown_block_or_network_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no block 'conv4'; there are conv1, conv2, conv3"):
        blocks.nin(3, 4, width=12).features(torch.rand(1, 3, 16, 16), "conv4")
    with pytest.raises(ValueError, match=r"no network 'nin6'; there are nin3"):
        blocks.make("nin6", 4, size=32)


@pytest.mark.parametrize("name", ["nin3", "nin4", "nin5", "alexnet_bn", "resnet18"])
def test_names_of_blocks_are_known_before_a_network_is_made(name: str) -> None:
    network = blocks.make(name, 2, size=64, width=12)

    assert blocks.block_names(name) == tuple(network.blocks)
