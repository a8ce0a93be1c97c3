"""Backbones by name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainer.backbones import check_backbone, head_name, make_backbone, names


def test_alexnet_vgg_and_every_resnet_of_torchvision_are_there() -> None:
    known = names()

    assert {"alexnet", "vgg16", "resnet18", "resnet34", "resnet50", "resnet101"} <= set(known)
    assert {"resnext50_32x4d", "wide_resnet50_2"} <= set(known)
    assert not {"vit_b_16", "mobilenet_v2"} & set(known)


@pytest.mark.parametrize("name", ["alexnet", "vgg11", "resnet18", "resnet50"])
@pytest.mark.parametrize("size", [(64, 64), (71, 90)])
def test_a_backbone_has_the_outputs_asked_for_at_any_image_size(
    name: str, size: tuple[int, int]
) -> None:
    network = make_backbone(name, outputs=39).eval()

    with torch.inference_mode():
        out = network(torch.zeros(2, 3, *size))

    assert out.shape == (2, 39)


@pytest.mark.parametrize("name", ["alexnet", "vgg11_bn", "resnet34", "resnet50"])
def test_the_head_is_the_layer_whose_outputs_are_ours(name: str) -> None:
    head = make_backbone(name, outputs=7).get_submodule(head_name(name))

    assert isinstance(head, nn.Linear)
    assert head.out_features == 7


def test_all_but_the_head_is_called_as_torchvision_calls_it() -> None:
    ours = make_backbone("resnet50", outputs=7).state_dict()
    theirs = make_backbone("resnet50", outputs=1000).state_dict()

    assert ours.keys() == theirs.keys()
    assert {name for name in ours if ours[name].shape != theirs[name].shape} == {
        "fc.weight",
        "fc.bias",
    }


@pytest.mark.parametrize(("name", "least"), [("alexnet", 63), ("vgg11", 32)])
def test_the_least_image_is_the_least_that_works(name: str, least: int) -> None:
    network = make_backbone(name, outputs=2).eval()

    with torch.inference_mode():
        network(torch.zeros(1, 3, least, least))
        with pytest.raises(RuntimeError):
            network(torch.zeros(1, 3, least - 1, least - 1))


def test_images_that_are_too_small_are_refused_with_both_sizes() -> None:
    check_backbone("alexnet", (64, 64))

    with pytest.raises(ValueError, match=r"alexnet needs images of at least 63 px; these are 64 x"):
        check_backbone("alexnet", (64, 48))


def test_an_unknown_backbone_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="no backbone 'resnet19'; did you mean resnet1"):
        check_backbone("resnet19")
    with pytest.raises(ValueError, match="no backbone 'vit_b_16'; there are alexnet, resnet101"):
        check_backbone("vit_b_16")
