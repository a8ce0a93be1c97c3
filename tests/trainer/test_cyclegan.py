"""CycleGAN's networks are those of the paper's code; what is fast is what the plain way gives."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer import cyclegan
from trainer.cyclegan import Discriminator, Generator, InstanceNorm, Pool


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


# models.md, section 3.1 and 3.2
@pytest.mark.parametrize(("blocks", "wanted"), [(9, 11_378_179), (6, 7_837_699)])
def test_a_generator_has_as_many_parameters_as_published(blocks, wanted):
    assert count(Generator(64, blocks)) == wanted
    assert count(Generator(64, blocks, "nearest")) == wanted


@pytest.mark.parametrize(("upsample", "even"), [("transposed", False), ("nearest", True)])
def test_doubled_pixels_leave_no_checkerboard_where_a_transposed_convolution_does(
    upsample: str, even: bool
) -> None:
    torch.manual_seed(0)
    up = Generator(8, 1, upsample).up[0]

    out = up(torch.ones(1, 32, 8, 8))[0, 0, 2:-2, 2:-2]  # away from the border

    assert torch.allclose(out, out.mean().expand_as(out), atol=1e-6) == even


def test_a_discriminator_has_as_many_parameters_and_patches_as_published():
    network = Discriminator(64, 3)

    assert count(network) == 2_764_737
    assert network(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 30, 30)
    assert network(torch.zeros(1, 3, 128, 128)).shape == (1, 1, 14, 14)


@pytest.mark.parametrize(("side", "layers"), [(16, 1), (33, 2), (64, 3), (24, 3), (70, 1)])
def test_the_side_of_a_map_of_scores_is_known_before_there_is_one(side, layers):
    scores = Discriminator(2, layers, "none")(torch.zeros(1, 3, side, side))

    assert cyclegan.side_of_scores(side, layers) == scores.shape[-1] == scores.shape[-2]


def test_a_patch_of_the_discriminator_is_70_px():
    network = Discriminator(2, 3)
    for layer in network.modules():
        if isinstance(layer, InstanceNorm):
            layer.forward = lambda images: images  # its means would see the whole picture
    image = torch.randn(1, 3, 256, 256, requires_grad=True)

    network(image)[0, 0, 15, 15].backward()

    rows = image.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    assert rows.max() - rows.min() + 1 == 70


def plain_generator(blocks: int) -> nn.Sequential:
    """The paper's network as torch's own layers in a row, 8 filters."""

    def down(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.InstanceNorm2d(outputs), nn.ReLU()]

    def up(inputs: int, outputs: int) -> list[nn.Module]:
        layer = nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, output_padding=1)
        return [layer, nn.InstanceNorm2d(outputs), nn.ReLU()]

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(
                nn.ReflectionPad2d(1), nn.Conv2d(32, 32, 3), nn.InstanceNorm2d(32), nn.ReLU(),
                nn.ReflectionPad2d(1), nn.Conv2d(32, 32, 3), nn.InstanceNorm2d(32),
            )  # fmt: skip

        def forward(self, images: Tensor) -> Tensor:
            return images + self.inner(images)

    return nn.Sequential(
        nn.ReflectionPad2d(3), nn.Conv2d(3, 8, 7), nn.InstanceNorm2d(8), nn.ReLU(),
        *down(8, 16), *down(16, 32), *(Block() for _ in range(blocks)), *up(32, 16), *up(16, 8),
        nn.ReflectionPad2d(3), nn.Conv2d(8, 3, 7), nn.Tanh(),
    )  # fmt: skip


def test_a_generator_is_the_plain_one_and_so_are_its_gradients():
    torch.manual_seed(0)
    ours, plain = Generator(8, 2), plain_generator(2)
    # As large as in a trained network: at N(0, 0.02) all that comes out is near 0.
    for parameter in ours.parameters():
        nn.init.normal_(parameter, 0.0, 0.2)
    assert [p.shape for p in ours.parameters()] == [p.shape for p in plain.parameters()]
    for mine, theirs in zip(ours.parameters(), plain.parameters(), strict=True):
        theirs.data = mine.data.clone()
    ours, plain = ours.double(), plain.double()
    image = torch.randn(2, 3, 28, 20, dtype=torch.float64, requires_grad=True)
    same = image.detach().clone().requires_grad_()
    weight = torch.randn(2, 3, 28, 20)

    found, wanted = ours(image), plain(same)
    (found * weight).sum().backward()
    (wanted * weight).sum().backward()

    torch.testing.assert_close(found.double(), wanted, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(image.grad, same.grad, atol=1e-4, rtol=1e-4)
    for mine, theirs in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("slope", [None, 0.0, 0.2])
def test_the_norm_s_gradient_is_what_differences_say(slope):
    torch.manual_seed(0)
    images = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)

    assert torch.autograd.gradcheck(InstanceNorm(slope), images, atol=1e-4)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("slope", [None, 0.0, 0.2])
def test_the_norm_is_torch_s_in_any_layout(layout, slope):
    images = torch.randn(2, 5, 7, 11).mul(3).add(1).contiguous(memory_format=layout)
    wanted = F.instance_norm(images)
    wanted = wanted if slope is None else F.leaky_relu(wanted, slope)

    found = InstanceNorm(slope)(images)

    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    assert found.is_contiguous(memory_format=layout)


def test_fresh_weights_have_the_paper_s_spread():
    torch.manual_seed(0)
    network = Generator(32, 2)

    tensors = network.state_dict()
    weights = torch.cat([tensors[name].flatten() for name in tensors if "weight" in name])
    biases = torch.cat([tensors[name].flatten() for name in tensors if "bias" in name])
    assert weights.std().item() == pytest.approx(0.02, rel=0.01) and weights.mean().abs() < 1e-4
    assert not biases.any()


def test_a_frozen_network_sends_gradients_to_pictures_alone():
    network, images = Discriminator(4, 2), torch.randn(2, 3, 32, 32, requires_grad=True)

    cyclegan.frozen(network, images).sum().backward()

    assert images.grad is not None and images.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in network.parameters())
    torch.testing.assert_close(cyclegan.frozen(network, images), network(images))


class PlainPool:
    """CycleGAN's pool, from its description, with a list."""

    def __init__(self, count: int):
        self.count, self.images = count, []

    def query(self, images, chance):
        given = []
        for image, (old, place) in zip(images, chance, strict=True):
            if self.count == 0:
                given.append(image)
            elif len(self.images) < self.count:
                self.images.append(image)
                given.append(image)
            elif old:
                given.append(self.images[place])
                self.images[place] = image
            else:
                given.append(image)
        return torch.stack(given)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_pool_gives_what_a_list_would(count):
    generator = torch.Generator().manual_seed(3)
    pool, plain = Pool(count, 2), PlainPool(count)

    for step in range(12):
        images = torch.randn(3, 3, 2, 2, generator=generator)
        chance = cyclegan.choices(3, count, generator)
        found = pool.swap(images, 3 * step, chance)
        torch.testing.assert_close(found, plain.query(images, chance), rtol=0, atol=0)


def test_half_of_the_time_an_old_picture_comes_back():
    chance = cyclegan.choices(10_000, 50, torch.Generator().manual_seed(0))

    assert sum(old for old, _ in chance) / 10_000 == pytest.approx(0.5, abs=0.02)
    assert {place for _, place in chance} == set(range(50))


# models.md, section 8: LR factors at 99, 100, 150, 200
def test_the_rate_falls_as_published():
    found = [cyclegan.falling(epoch) for epoch in (0, 99, 100, 150, 200)]

    assert found == pytest.approx([1, 1, 0.990099, 0.495050, 0], abs=1e-6)
    assert cyclegan.falling_at(0.4999) == 1 and cyclegan.falling_at(1.0) == 0
    assert cyclegan.falling_at(150.5 / 200) == cyclegan.falling(150)


def test_a_discriminator_s_loss_is_half_of_both():
    network = nn.Flatten()
    real, made = torch.tensor([[1.0], [0.5]]), torch.tensor([[0.0], [0.5]])

    # 0.5 E[(D(y) - 1)^2] + 0.5 E[D(G(x))^2] = 0.5 * 0.125 + 0.5 * 0.125
    assert cyclegan.told_apart(network, real, made).item() == pytest.approx(0.125)


class Linear(nn.Conv2d):
    """The simplest discriminator."""

    def forward(self, images: Tensor, alone: bool = False) -> Tensor:
        return super().forward(images)


def test_steepness_is_the_squared_gradient_of_the_mean_score_and_has_one_of_its_own():
    network = Linear(3, 1, 2)
    weight = network.weight[0].detach()

    # Of four scores' mean, the pixel in the middle of 3 x 3 has a quarter of all four weights.
    found = cyclegan.steepness(network, torch.randn(5, 3, 3, 3))
    spread = F.conv_transpose2d(torch.full((1, 1, 2, 2), 0.25), weight[None])
    assert found.item() == pytest.approx(spread.square().sum().item(), rel=1e-5)

    cyclegan.steepness(network, torch.randn(5, 3, 2, 2)).backward()  # |w|^2: one score
    torch.testing.assert_close(network.weight.grad[0], 2 * weight)


def test_steepness_grows_with_what_a_discriminator_without_norms_says_and_takes_nothing_else():
    torch.manual_seed(0)
    network, real = Discriminator(4, 2, "none").double(), torch.randn(2, 3, 32, 32).double()
    nn.init.normal_(network.layers[-1].weight)
    weight = network.layers[1].weight

    found = cyclegan.steepness(network, real)
    (gradient,) = torch.autograd.grad(found, weight)
    with torch.no_grad():
        weight[0, 0, 0, 0] += 1e-6
    moved = (cyclegan.steepness(network, real) - found) / 1e-6

    assert moved.item() == pytest.approx(gradient[0, 0, 0, 0].item(), rel=1e-3)
    assert real.grad is None and not real.requires_grad


def test_through_an_instance_norm_steepness_is_refused_and_not_wrong():
    with pytest.raises(RuntimeError, match="once_differentiable"):
        cyclegan.steepness(Discriminator(4, 2), torch.randn(2, 3, 32, 32)).backward()


def test_a_fresh_discriminator_without_norms_says_nothing_yet():
    scores = Discriminator(8, 2, "none")(torch.randn(2, 3, 32, 32))

    assert not scores.any() and scores.requires_grad


def test_deep_copies_are_networks_of_their_own():
    network = Generator(4, 1)
    copied = copy.deepcopy(network)
    with torch.no_grad():
        copied.enter.weight.add_(1)

    assert not torch.equal(network.enter.weight, copied.enter.weight)


@pytest.mark.parametrize("halvings", [0, 1, 2])
@pytest.mark.parametrize("norm", ["instance", "none"])
def test_a_fresh_residual_generator_leaves_pictures_as_they_are(halvings, norm):
    torch.manual_seed(0)
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    residual = Generator(8, 2, "nearest", halvings, norm, residual=True)
    anew = Generator(8, 2, "nearest", halvings, norm)

    assert len(residual.down) == len(residual.up) == halvings
    with torch.no_grad():
        assert torch.equal(residual(images), images)
        assert (anew(images) - images).abs().mean() > 0.3


def test_what_a_residual_generator_makes_lies_in_range_and_white_finds_its_way_back():
    torch.manual_seed(0)
    network = Generator(4, 1, residual=True)
    assert not network.leave.weight.any()
    with torch.no_grad():
        network.leave.bias.fill_(5.0)  # all white

    made = network(torch.zeros(1, 3, 16, 16))
    made.sum().backward()

    assert made.min() > 0.999 and made.max() <= 1
    assert network.leave.bias.grad.abs().sum() > 0


def test_without_a_norm_brightness_reaches_the_scores_and_with_one_it_does_not():
    torch.manual_seed(0)
    images = torch.rand(4, 3, 64, 64) - 0.5
    apart = {}
    for norm in ("instance", "none"):
        network = Discriminator(8, 2, norm)
        nn.init.normal_(network.layers[-1].weight)
        with torch.no_grad():
            bright, dim = network(images), network(0.5 * images)
        apart[norm] = float((bright - dim).abs().mean() / bright.abs().mean())

    assert apart["instance"] < 0.1 < 0.3 < apart["none"]


def test_a_pool_is_drawn_from_as_far_as_it_is_filled():
    pool = Pool(4, 2)
    pool.swap(torch.arange(3.0)[:, None, None, None].expand(3, 3, 2, 2), 0, [(False, 0)] * 3)
    places = torch.tensor([0.0, 0.4, 0.99])

    drawn = pool.drawn(3, places)

    assert drawn.shape == (3, 3, 2, 2) and drawn[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert pool.drawn(400, torch.tensor([0.99]))[0, 0, 0, 0] == 0  # the fourth is still black
