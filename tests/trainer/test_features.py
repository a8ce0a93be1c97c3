"""Phi sees pictures as a ResNet-18 does, is never trained, and says where it comes from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import save_file

from tests.trainer.datasets import make_dataset
from trainer import backbones, features, start
from trainer.features import Features, source
from trainer.jobs.train import Job, resolve


@pytest.fixture(scope="module")
def resnet() -> torch.nn.Module:
    torch.manual_seed(0)
    return torchvision.models.resnet18().eval()


@pytest.fixture(scope="module")
def file(resnet, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    save_file({n: t.contiguous() for n, t in resnet.state_dict().items()}, path)
    return path


def test_are_the_maps_before_a_resnet_s_pooling(resnet, file):
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    mean, std = (torch.tensor(v)[:, None, None] for v in (backbones.MEAN, backbones.STD))
    wanted = torch.nn.Sequential(*list(resnet.children())[:-2])(((images + 1) / 2 - mean) / std)

    found = Features(source(str(file)))(images)

    assert found.shape == (2, 512, 2, 2)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


def test_are_frozen_even_where_all_is_set_to_train(file):
    phi = Features(source(str(file)))
    images = torch.rand(1, 3, 32, 32, requires_grad=True)
    before = {name: tensor.clone() for name, tensor in phi.state_dict().items()}

    phi.train()(images).sum().backward()

    assert images.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in phi.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in phi.state_dict().items())


def test_take_no_chance_from_the_run(file):
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    Features(source(str(file)))

    assert torch.equal(torch.rand(3), wanted)


def test_come_from_a_rotnet_s_run(tmp_path, quiet):
    data = make_dataset(tmp_path / "data", shapes=6, views=2, points=0)
    config = {"network": "resnet18", "size": 32, "probe": "none", "backgrounds": ""}
    given = Job(
        model="rotnet", data=(str(data),), out="run", preset="tiny", steps=1,
        config={**config, "batch": 2}, device="cpu",
    )  # fmt: skip
    job = resolve(given, tmp_path)
    start.train(job, quiet)

    of = source(str(job.folder))

    assert of.told == "resnet18 of the rotnet run run, step 1"
    assert (of.mean, of.std) == ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    phi, large = Features(of), torch.rand(1, 3, 64, 64)
    assert phi(large).shape == (1, 512, 4, 4)  # at 32 px, which it learned from; no pooling
    torch.testing.assert_close(phi(large), phi(F.avg_pool2d(large, 2)))
    assert features.told(of)["sha256"] == of.sha256[:16]


def test_none_are_none():
    assert source("none") is None
    assert features.told(None) == {"of": "none: no feature distance"}


def test_what_is_not_there_is_told_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")

    with pytest.raises(ValueError, match=r"put resnet18-f37072fd.pth into .*--features PATH"):
        source("auto")
    with pytest.raises(ValueError, match="--features nowhere: no such run or file"):
        source("nowhere")
    with pytest.raises(ValueError, match=r"--features .*: no run in "):
        source(str(tmp_path))


def test_another_network_s_file_is_refused_by_the_tensor_it_lacks(tmp_path, resnet):
    tensors = {name: tensor.contiguous() for name, tensor in resnet.state_dict().items()}
    del tensors["layer4.1.conv2.weight"]
    save_file(tensors, tmp_path / "half.safetensors")
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")

    with pytest.raises(ValueError, match=r"half.safetensors is no ResNet-18: layer4.1.conv2.weig"):
        Features(source(str(tmp_path / "half.safetensors")))
    with pytest.raises(ValueError, match=r"other.safetensors has no first convolution"):
        Features(source(str(tmp_path / "other.safetensors")))
