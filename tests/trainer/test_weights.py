"""Where a network's first weights come from, and what is said when they cannot be had."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from trainer import weights
from trainer.errors import NoWeights


class Model(ModuleType):
    """A model with a small backbone of torchvision's, and a head of its own."""

    def __init__(self) -> None:
        super().__init__("model")

    @staticmethod
    def backbone(config: object, network: nn.Module) -> tuple[str, nn.Module]:
        return "squeezenet1_1", network.body


def network() -> nn.Module:
    import torchvision

    made = nn.Module()
    made.body = torchvision.models.squeezenet1_1(weights=None, num_classes=7)
    made.head = nn.Linear(7, 3)
    return made


def test_none_leaves_a_network_as_it_is():
    net = network()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}

    assert weights.fill(net, "none", Model(), None) == []
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_file_fills_what_fits_by_name_and_shape(tmp_path, suffix):
    import torchvision

    trained = torchvision.models.squeezenet1_1(weights=None)  # 1000 classes
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pth":
        torch.save({"state_dict": trained.state_dict()}, path)
    else:
        save_file(trained.state_dict(), path)
    net = network()
    head = net.body.classifier[1].weight.clone()

    given = weights.fill(net, str(path), Model(), None)

    assert len(given) == len(trained.state_dict()) - 2
    assert torch.equal(net.body.features[0].weight, trained.features[0].weight)
    assert torch.equal(net.body.classifier[1].weight, head)


def test_a_checkpoint_of_a_run_fills_the_whole_network(tmp_path):
    trained, net = network(), network()
    save_file(trained.state_dict(), tmp_path / "network.safetensors")

    given = weights.fill(net, str(tmp_path / "network.safetensors"), Model(), None)

    assert len(given) == len(net.state_dict())
    assert torch.equal(net.head.weight, trained.head.weight)


def test_a_file_of_which_nothing_fits_is_refused_with_names_of_both(tmp_path):
    save_file({"other.weight": torch.zeros(2, 2)}, tmp_path / "other.safetensors")

    with pytest.raises(ValueError, match=r"none of its 1 tensors fits \(other.weight; wanted are"):
        weights.fill(network(), str(tmp_path / "other.safetensors"), Model(), None)


def test_a_file_with_code_in_it_is_refused_and_nothing_runs(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save({"weight": Trap()}, tmp_path / "trap.pth")

    with pytest.raises(ValueError, match=r"trap.pth has more in it than tensors"):
        weights.fill(network(), str(tmp_path / "trap.pth"), Model(), None)

    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["broken.safetensors", "broken.pth"])
def test_a_file_that_is_none_is_refused_by_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"nothing")

    with pytest.raises(ValueError, match=name):
        weights.fill(network(), str(tmp_path / name), Model(), None)


def test_without_a_network_imagenet_names_file_and_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody answers there

    with pytest.raises(NoWeights) as refused:
        weights.fill(network(), "imagenet", Model(), None)

    assert str(refused.value).endswith(
        f"put squeezenet1_1-b8a52dc0.pth into {tmp_path}/hub/checkpoints, or --weights none"
    )
    assert refused.value.failure_class == "environment"


def test_imagenet_is_read_from_the_hub_s_folder(tmp_path, monkeypatch):
    import torchvision

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    trained = torchvision.models.squeezenet1_1(weights=None)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(trained.state_dict(), folder / "squeezenet1_1-b8a52dc0.pth")
    net = network()

    weights.fill(net, "imagenet", Model(), None)

    assert torch.equal(net.body.features[0].weight, trained.features[0].weight)


def test_a_model_without_a_pretrained_part_says_so():
    with pytest.raises(ValueError, match="--weights imagenet: plain has no part that they fit"):
        weights.fill(nn.Linear(2, 2), "imagenet", ModuleType("plain"), None)
