"""Alpha losses: which say anything to a generator, and what."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from trainer import alpha
from trainer.alpha import DELTA, LOSSES


def picture(inside: float = 0.0, outside: float = -1.0) -> tuple[Tensor, Tensor]:
    """[1, 3, 5, 7] a block of 2 x 3 px on a background, and its alpha."""
    mask = torch.zeros(1, 1, 5, 7)
    mask[..., 1:3, 2:5] = 1
    return (mask * inside + (1 - mask) * outside).expand(1, 3, 5, 7).clone(), mask


def gradient(kind: str, made: Tensor, mask: Tensor) -> Tensor:
    made = made.clone().requires_grad_()
    shown, _ = picture()
    value = alpha.loss(kind, shown, made, mask)
    if value.requires_grad:
        value.backward()
    return torch.zeros_like(made) if made.grad is None else made.grad


@pytest.mark.parametrize("kind", LOSSES)
def test_a_shape_that_stays_costs_nothing(kind):
    shown, mask = picture(inside=0.3)

    # Soft: 1 - exp(-64 * 0.65) is 1 to within 1e-18.
    assert alpha.loss(kind, shown, shown, mask).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("kind", ["hinge", "soft", "straight_through"])
def test_background_that_is_painted_is_pushed_to_black(kind):
    made, mask = picture(outside=-1 + 2 * 0.02)

    found = gradient(kind, made, mask)

    outside = found[(mask == 0).expand_as(found)]
    assert (outside > 0).all()  # down is black


@pytest.mark.parametrize("kind", ["composite", "hinge", "soft", "straight_through"])
def test_a_shape_gone_black_is_pushed_to_light(kind):
    made, mask = picture(inside=-1 + 2 * 0.2 / 255)

    inside = gradient(kind, made, mask)[(mask == 1).expand(1, 3, 5, 7)]
    assert (inside.view(3, -1).sum(0) < 0).all()


def test_the_soft_ones_share_the_gradient_among_channels():
    made, mask = picture(inside=-0.99)

    found = gradient("soft", made, mask)

    inside = found[(mask == 1).expand_as(found)].view(3, -1)
    torch.testing.assert_close(inside[0], inside[2])


def test_the_literal_one_says_nothing_to_any_pixel():
    made, mask = picture(inside=-1.0, outside=0.5)
    shown, _ = picture()

    assert not gradient("literal", made, mask).any()
    # All 35 pixels are wrong: E[|d|_1^2] of the mean is 1.
    assert alpha.loss("literal", shown, made, mask).item() == 1
    assert alpha.loss("literal", shown, made, mask, "sum").item() == 35**2


def test_the_hinge_has_the_value_of_its_formula():
    made, mask = picture(inside=-1 + 2 * DELTA / 4, outside=-1 + 2 * 0.1)
    shown, _ = picture()

    # mean[(1 - m) v] + mean[m relu(delta - v) / delta]: 29 px of 0.1 and 6 of 3/4, of 35.
    wanted = (29 * 0.1 + 6 * 0.75) / 35
    assert alpha.loss("hinge", shown, made, mask).item() == pytest.approx(wanted, rel=1e-5)


def test_straight_through_counts_hard_and_learns_soft():
    shown, mask = picture()
    made, _ = picture(outside=-1 + 2 * 0.01)

    # 29 of 35 pixels are painted: (29 / 35)^2.
    value = alpha.loss("straight_through", shown, made, mask).item()
    assert value == pytest.approx((29 / 35) ** 2, rel=1e-5)


def test_a_composite_has_the_input_s_outline_whatever_is_painted():
    painted, (_, mask) = torch.rand(1, 3, 5, 7) * 2 - 1, picture()

    made = alpha.composite(painted, mask)

    assert alpha.mask_xor(made, mask).item() == 0
    assert (made[(mask == 0).expand_as(made)] == -1).all()
    torch.testing.assert_close(made * mask, painted * mask)


def test_a_hard_mask_is_what_8_bits_show():
    values = torch.tensor([0.0, 0.4, 0.6, 1.0, 255.0]) / 255 * 2 - 1

    found = alpha.hard_mask(values.view(1, 1, 1, 5).expand(1, 3, 1, 5))

    assert found.flatten().tolist() == [0, 0, 1, 1, 1]


# models.md, section 2.4: where tanh is exactly -1 in fp32
def test_the_thesis_mask_takes_a_tanh_s_background_for_the_shape():
    logits = torch.tensor([-8.5, -9.5]).view(1, 1, 1, 2).expand(1, 3, 1, 2)

    assert alpha.literal_mask(torch.tanh(logits)).flatten().tolist() == [1, 0]
    assert not alpha.hard_mask(torch.tanh(logits)).any()


def test_the_xor_is_a_share_of_the_shape():
    made, mask = picture()
    made[..., 0, 0] = 0.0  # one px too many
    made[..., 1, 2] = -1.0  # one too few

    assert alpha.mask_xor(made, mask).item() == pytest.approx(2 / 6)


def test_the_soft_mask_is_half_where_it_says():
    v = math.log(2) / alpha.BETA
    value = torch.full((1, 3, 1, 1), 2 * v - 1)

    assert alpha.soft_mask(value).item() == pytest.approx(0.5, abs=1e-4)


def test_an_unknown_kind_is_refused_with_those_there_are():
    shown, mask = picture()

    with pytest.raises(ValueError, match="no alpha loss 'hard'; there are composite, hinge, soft"):
        alpha.loss("hard", shown, shown, mask)


def test_cut_to_each_other_two_pictures_have_one_outline_and_edges_their_own_colour():
    one = torch.tensor([1.0, 0.6, 0.4, 1.0]).view(1, 1, 1, 4)
    other = torch.tensor([0.5, 1.0, 1.0, 0.0]).view(1, 1, 1, 4)
    grey = one * (0.2 + 1) - 1  # 0.2 before black

    seen = alpha.cut(grey.expand(1, 3, 1, 4), one, other)
    beside = alpha.cut(torch.ones(1, 3, 1, 4), other, one)

    torch.testing.assert_close(seen[0, 0, 0], torch.tensor([0.2, 0.2, -1.0, -1.0]))
    assert torch.equal(seen > -1, beside > -1)
