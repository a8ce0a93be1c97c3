"""A pooled discriminator sees a picture as a whole, and says of one alone what it always says."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from trainer import cyclegan
from trainer.pooled import PooledDiscriminator


@pytest.fixture
def network() -> PooledDiscriminator:
    """One that has seen pictures, and is learning."""
    torch.manual_seed(0)
    network = PooledDiscriminator(4, 3)
    for _ in range(20):
        network(pictures(32) * 3 + 1)
    return network.train()


def pictures(count: int) -> Tensor:
    return torch.randn(count, 3, 16, 16)


def test_it_has_a_score_for_each_picture_of_any_size():
    network = PooledDiscriminator(16, 4)

    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 1, 1, 1)
    assert network(torch.zeros(2, 3, 17, 9)).shape == (2, 1, 1, 1)
    # convolutions 432 + 4608 + 18432 + 36864, a slope and a shift for 176 channels, the last 65
    assert sum(parameter.numel() for parameter in network.parameters()) == 60_753


def test_alone_a_picture_has_the_same_score_beside_any_others_as_in_evaluation(network):
    mine, others = pictures(1), pictures(7)

    alone = network(torch.cat([mine, others]), alone=True)[0]
    elsewhere = network(torch.cat([mine, others * 9]), alone=True)[0]
    evaluated = network.eval()(mine)[0]
    among = network.train()(torch.cat([mine, others]))[0]

    torch.testing.assert_close(alone, elsewhere)
    torch.testing.assert_close(alone, evaluated)
    assert (alone - among).abs().item() > 1e-3


def test_with_norms_that_several_gpus_share_a_picture_alone_has_the_same_score(network):
    mine = pictures(1)
    alone = network(mine, alone=True)

    shared = torch.nn.SyncBatchNorm.convert_sync_batchnorm(network)

    assert any(isinstance(layer, torch.nn.SyncBatchNorm) for layer in shared.modules())
    torch.testing.assert_close(shared(mine, alone=True), alone)


def test_asked_for_generators_it_learns_nothing_and_what_it_has_seen_stays(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    images = pictures(3).requires_grad_()

    cyclegan.frozen(network, images).sum().backward()

    assert images.grad is not None and images.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.training


def test_what_is_seen_between_a_score_and_its_gradient_does_not_change_the_gradient(network):
    images = pictures(3).requires_grad_()
    (wanted,) = torch.autograd.grad(cyclegan.frozen(network, images).sum(), images)

    scores = cyclegan.frozen(network, images)
    network(pictures(32) * 9)  # as a discriminator's own loss does, in the same step
    (found,) = torch.autograd.grad(scores.sum(), images)

    torch.testing.assert_close(found, wanted)


def test_channels_that_hardly_varied_do_not_blow_up_the_score_of_a_new_picture(network):
    usual = network(pictures(8), alone=True).abs().max().item()
    network.norms[1].running_var.fill_(1e-6)  # as found in runs

    unusual = network(pictures(8), alone=True).abs().max().item()

    assert usual < 1
    assert unusual < 10


def test_its_steepness_has_a_gradient_that_is_right(network):
    network.double()
    real, weight = pictures(3).double(), network.layers[1].weight

    found = cyclegan.steepness(network, real)
    (gradient,) = torch.autograd.grad(found, weight)
    with torch.no_grad():
        weight[0, 0, 0, 0] += 1e-6
    moved = (cyclegan.steepness(network, real) - found) / 1e-6

    assert found.item() > 0
    assert moved.item() == pytest.approx(gradient[0, 0, 0, 0].item(), rel=1e-3)


def test_of_few_pictures_it_learns_at_once_which_are_brighter():
    torch.manual_seed(0)
    network = PooledDiscriminator(4, 2)
    adam = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(60):
        loss = cyclegan.told_apart(network, pictures(8) + 0.5, pictures(8) - 0.5)
        adam.zero_grad()
        loss.backward()
        adam.step()

    network.eval()

    assert cyclegan.told_apart(network, pictures(8) + 0.5, pictures(8) - 0.5).item() < 0.05
