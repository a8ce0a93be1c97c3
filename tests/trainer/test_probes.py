"""Classifiers on frozen features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from trainer import blocks, loader, probes


class Spots:
    """8 x 8 pictures with one bright spot: its quarter of the picture is the class."""

    def __init__(self, count: int):
        self.count = count

    def __len__(self) -> int:
        return self.count

    def get(self, index: int, rng: np.random.Generator) -> Mapping[str, Any]:
        category = index % 4
        image = rng.normal(0, 0.1, (3, 8, 8)).astype(np.float32)
        y, x = rng.integers(0, 4, 2) + 4 * np.array(divmod(category, 2))
        image[:, y, x] += 1
        return {"key": str(index), "image": image, "category": np.int64(category)}


def batches(examples: Any, batch: int) -> Iterator[dict[str, Any]]:
    return loader.ordered(examples, batch=batch)


def pixels(count: int, **more: Any) -> probes.Features:
    return features(nn.Identity().eval(), "", count, **more)


def features(network: nn.Module, block: str, count: int, **more: Any) -> probes.Features:
    return probes.Features(
        network, block, Spots(count), batches, lambda found: found["image"], batch=32, **more
    )


@pytest.fixture
def network() -> blocks.Network:
    with probes.seeded(0):
        return blocks.nin(3, 4, width=12).eval()


def test_linear_probes_pool_as_for_alexnet() -> None:
    sides = {"conv1": (64, 55), "conv2": (192, 27), "conv3": (384, 13), "conv4": (256, 13)}

    pooled = {
        name: probes.pooling(channels, side)(torch.rand(1, channels, side, side)).shape
        for name, (channels, side) in sides.items()
    }

    assert {name: shape[-1] for name, shape in pooled.items()} == {
        "conv1": 12, "conv2": 7, "conv3": 5, "conv4": 6,
    }  # fmt: skip
    assert {name: shape.numel() for name, shape in pooled.items()} == {
        "conv1": 9216, "conv2": 9408, "conv3": 9600, "conv4": 9216,
    }  # fmt: skip
    assert probes.pooling(48, 8)(torch.rand(1, 48, 8, 8)).shape == (1, 48, 8, 8)


def test_a_nonlinear_probe_has_two_hidden_layers_of_20_for_each_class() -> None:
    hidden = [m for m in probes.nonlinear(192, 8, 10).modules() if isinstance(m, nn.Linear)]

    assert [(m.in_features, m.out_features) for m in hidden] == [
        (192 * 8 * 8, 200), (200, 200), (200, 10),
    ]  # fmt: skip
    wide = [m for m in probes.nonlinear(2, 1, 1000).modules() if isinstance(m, nn.Linear)]
    assert wide[0].out_features == 2048


def test_a_convolutional_probe_is_a_block_of_three_and_a_mean() -> None:
    probe = probes.convolutional(96, 10)

    kernels = [
        (m.kernel_size[0], m.out_channels) for m in probe.modules() if isinstance(m, nn.Conv2d)
    ]
    assert kernels == [(3, 192), (1, 192), (1, 192)]
    assert probe.eval()(torch.rand(2, 96, 8, 8)).shape == (2, 10)


def test_the_rest_of_a_network_takes_its_features_to_the_classes() -> None:
    fresh = blocks.alexnet_bn(7, size=63).eval()
    images = torch.rand(2, 3, 63, 63)

    probe = probes.rest(fresh, "conv4")

    assert torch.equal(probe(fresh.features(images, "conv4")), fresh(images))


@pytest.mark.parametrize(
    ("probe", "rates"),
    [
        ("nonlinear", {0: 0.1, 19: 0.1, 20: 0.02, 39: 0.02, 40: 0.004, 45: 0.0008, 49: 0.0008}),
        ("conv", {0: 0.1, 34: 0.1, 35: 0.02, 70: 0.004, 85: 0.0008, 99: 0.0008}),
        ("linear", {0: 0.01, 4: 0.01, 5: 0.002, 15: 0.0004, 25: 0.00008, 34: 0.00008}),
    ],
)
def test_learning_rates_are_the_papers(probe: str, rates: dict[int, float]) -> None:
    recipe = probes.RECIPES[probe]

    assert {epoch: recipe.lr_at(epoch) for epoch in rates} == pytest.approx(rates)
    assert recipe.epochs == max(rates) + 1


def test_the_first_labels_are_those_of_the_first_shapes() -> None:
    # Two views each of shapes a to e; a, b, d are of class 0.
    targets = [0, 0, 0, 0, 1, 1, 0, 0, 1, 1]
    groups = ["a", "a", "b", "b", "c", "c", "d", "d", "e", "e"]

    assert probes.first_of_each(targets, groups, 1) == [0, 1, 4, 5]
    assert probes.first_of_each(targets, groups, 2) == [0, 1, 2, 3, 4, 5, 8, 9]
    assert probes.first_of_each(targets, groups, 9) == list(range(10))


def test_copies_are_the_same_examples_with_other_chance() -> None:
    copies = probes.Copies(probes.Chosen(Spots(10), [3, 6]), 3)

    found = [loader.stack([copies.get(n, np.random.default_rng(n))]) for n in range(len(copies))]

    assert [int(one["category"]) for one in found] == [3, 2, 3, 2, 3, 2]
    assert not torch.equal(found[0]["image"], found[2]["image"])


def test_features_are_the_same_kept_or_computed_again(network: blocks.Network) -> None:
    kept = features(network, "conv2", 70)
    again = features(network, "conv2", 70, keep_bytes=0)

    for (x, y), (u, v) in zip(kept.ordered(), again.ordered(), strict=True):
        assert torch.equal(x, u) and torch.equal(y, v)
    assert kept.shape == again.shape == (12, 2, 2)


def test_every_example_comes_once_in_an_epoch_or_as_often_as_wanted() -> None:
    for found in (pixels(67), pixels(67, keep_bytes=0)):
        chance = torch.Generator().manual_seed(0)
        once = [len(y) for _, y in found.shuffled(chance)]
        longer = [len(y) for _, y in found.shuffled(chance, 150)]

        assert once == [32, 32, 3]
        assert longer == [32, 32, 32, 32, 22]
    single = pixels(33)
    assert [len(y) for _, y in single.shuffled(chance)] == [32]  # batch norm needs two


def test_a_probe_leaves_the_network_as_it_is(network: blocks.Network) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    for keep_bytes in (1 << 30, 0):
        some = features(network, "conv1", 64, keep_bytes=keep_bytes)
        probe = probes.linear(*some.shape[:2], 4)
        weight = probe[2].weight.clone()
        probes.train(probe, some, probes.Recipe(epochs=2, drops=()), seed=0)
        assert not torch.equal(probe[2].weight, weight)

    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())


def test_a_network_in_train_mode_is_refused(network: blocks.Network) -> None:
    with pytest.raises(ValueError, match="eval mode"):
        features(network.train(), "conv1", 8)


@pytest.mark.parametrize("kind", ["linear", "nonlinear"])
def test_a_probe_learns_what_its_features_show(kind: str) -> None:
    train, test = pixels(512), pixels(200)
    recipe = probes.Recipe(epochs=20, drops=(15,), lr=0.1)

    with probes.seeded(0):
        probe = getattr(probes, kind)(3, 8, 4)
    untrained = probes.accuracy(probe.eval(), test)
    probes.train(probe, train, recipe, seed=0)

    assert untrained < 0.5
    assert probes.accuracy(probe, test) > 0.95


def test_a_convolutional_probe_does_not_see_where() -> None:
    # The class is the place of the spot, which the mean over places hides from all but the edges.
    train, test = pixels(256), pixels(200)
    with probes.seeded(0):
        probe = probes.convolutional(3, 4, width=12)

    probes.train(probe, train, probes.Recipe(epochs=3, drops=(), lr=0.05), seed=0)

    assert probes.accuracy(probe, test) < 0.9


def test_the_same_seed_gives_the_same_probe_and_disturbs_no_other_chance() -> None:
    def trained(seed: int) -> torch.Tensor:
        with probes.seeded(seed):
            probe = probes.linear(3, 8, 4)
        probes.train(probe, pixels(64), probes.Recipe(epochs=2, drops=()), seed=seed)
        return torch.cat([p.detach().flatten() for p in probe.parameters()])

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = trained(0), trained(0), trained(1)

    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.rand(3), expected)


def test_a_probe_learns_where_no_gradients_and_half_precision_are_asked_for(
    network: blocks.Network,
) -> None:
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        some, images = features(network, "conv1", 64), pixels(64)
        with probes.seeded(0):
            probe = probes.linear(*some.shape[:2], 4)
            other = probes.linear(*images.shape[:2], 4)
        probes.train(other, images, probes.Recipe(epochs=1, drops=()), seed=0)
        before = probe[2].weight.clone()
        probes.train(probe, some, probes.Recipe(epochs=1, drops=()), seed=0)
        accuracy = probes.accuracy(probe, some)

    assert 0 <= accuracy <= 1
    assert not torch.equal(probe[2].weight, before)
    assert next(iter(some.ordered()))[0].dtype == torch.float32
