"""Turning pictures: exact quarter turns, and eighth turns that show nothing but the picture."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from trainer import rotations

FOUR = (0, 90, 180, 270)
EIGHT = (0, 45, 90, 135, 180, 225, 270, 315)


def pictures(count: int, side: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def by_angle(sources: torch.Tensor, angles: tuple[int, ...], side: int) -> torch.Tensor:
    """[K, B, C, S, S]"""
    found = rotations.turned(sources, angles, side)
    return found.unflatten(0, (len(sources), len(angles))).transpose(0, 1)


def test_quarter_turns_are_those_of_numpy_pixel_by_pixel() -> None:
    sources = pictures(2, 7)

    found = by_angle(sources, FOUR, 7)

    for turns, views in enumerate(found):
        np.testing.assert_array_equal(views, np.rot90(sources.numpy(), turns, (2, 3)))


def test_a_quarter_turn_is_a_transpose_and_then_a_flip() -> None:  # the vectors of the paper's code
    sources = pictures(1, 5)

    _, quarter, half, three = by_angle(sources, FOUR, 5)

    assert torch.equal(quarter, sources.transpose(-1, -2).flip(-2))
    assert torch.equal(half, sources.flip(-2).flip(-1))
    assert torch.equal(three, sources.flip(-2).transpose(-1, -2))


@pytest.mark.parametrize("angles", [FOUR, EIGHT, (0, 180), (90, 270)])
def test_a_batch_holds_every_picture_at_every_angle(angles: tuple[int, ...]) -> None:
    sources = pictures(3, rotations.source_side(8, angles))

    whole = rotations.turned(sources, angles, 8)

    assert whole.shape == (3 * len(angles), 3, 8, 8)
    assert rotations.labels(3, angles).tolist() == list(range(len(angles))) * 3
    alone = torch.cat([rotations.turned(one[None], angles, 8) for one in sources])
    torch.testing.assert_close(whole, alone, rtol=0, atol=1e-6)


def test_half_turns_alone_are_labelled_0_and_1() -> None:
    sources = pictures(2, 6)

    found = by_angle(sources, (90, 270), 6)

    assert torch.equal(found[0], torch.rot90(sources, 1, (2, 3)))
    assert torch.equal(found[1], torch.rot90(sources, 3, (2, 3)))
    assert rotations.labels(2, (90, 270)).tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("side", [8, 9, 31, 32])
def test_eight_turns_never_show_what_is_beyond_the_source(side: int) -> None:
    wide = rotations.source_side(side, EIGHT)
    sources = torch.full((1, 3, wide, wide), 0.75)

    found = rotations.turned(sources, EIGHT, side)

    # A pixel of padding, at any angle, would pull a value away from the constant.
    torch.testing.assert_close(found, torch.full_like(found, 0.75), rtol=0, atol=1e-5)


@pytest.mark.parametrize("side", [8, 9, 32])
def test_a_source_is_no_larger_than_the_turned_square_needs(side: int) -> None:
    wide = rotations.source_side(side, EIGHT)

    assert wide % 2 == side % 2  # so that the middle is the middle
    assert side * math.sqrt(2) + 2 * 5 <= wide < side * math.sqrt(2) + 2 * 5 + 2


def test_every_angle_looks_at_the_same_square_of_its_own() -> None:
    # Quarter turns among the eight are exact, so a picture and itself turned give the same set.
    sources = pictures(2, rotations.source_side(12, EIGHT))

    found = by_angle(sources, EIGHT, 12)
    of_turned = by_angle(torch.rot90(sources, 1, (2, 3)), EIGHT, 12)

    torch.testing.assert_close(of_turned, found.roll(-2, 0), rtol=0, atol=1e-5)


def test_an_eighth_turn_goes_counter_clockwise_by_45_degrees() -> None:
    side = 32
    wide = rotations.source_side(side, EIGHT)

    def scene(pixels: int, angle_deg: float) -> torch.Tensor:
        """A smooth picture, turned by calculation: x to the right, y up."""
        at = torch.arange(pixels, dtype=torch.float64) - (pixels - 1) / 2
        x, y = at, -at[:, None]
        cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
        u, v = x * cos + y * sin, -x * sin + y * cos
        return torch.sin(0.21 * u) + torch.cos(0.13 * v) + 0.02 * u

    found = rotations.turned(scene(wide, 0)[None, None], EIGHT, side)[:, 0]

    for angle, view in zip(EIGHT, found, strict=True):
        # The Gaussian weakens a wave of 0.21 per pixel by exp(-(0.21 * 0.8)^2 / 2) = 1.4 %.
        torch.testing.assert_close(view, scene(side, angle), rtol=0, atol=0.03)


def test_sharpness_does_not_tell_the_angle() -> None:
    side = 48
    noise = torch.randn(
        24, 3, *[rotations.source_side(side, EIGHT)] * 2, generator=torch.Generator().manual_seed(1)
    )

    found = by_angle(noise, EIGHT, side)

    # 24 * 3 * 48^2 numbers, correlated over about 8 pixels: chance moves a variance by 1 %.
    variance = found.var(dim=(1, 2, 3, 4))
    slope = (found[..., 1:] - found[..., :-1]).var(dim=(1, 2, 3, 4))
    for figures in (variance, slope):
        assert float(figures[1::2].mean() / figures[::2].mean()) == pytest.approx(1, abs=0.05)


def test_plain_cubic_turns_would_tell_it() -> None:  # what the Gaussian is for
    side = 48
    noise = torch.randn(8, 1, 96, 96, generator=torch.Generator().manual_seed(1))

    bare = rotations._eighth_turn(noise, side)

    assert float(bare.var() / noise.var()) < 0.8


def test_the_unturned_picture_is_the_one_at_0_degrees() -> None:
    for angles in (FOUR, EIGHT):
        sources = pictures(2, rotations.source_side(10, angles))

        found = rotations.upright(sources, angles, 10)

        torch.testing.assert_close(found, by_angle(sources, angles, 10)[0])


@pytest.mark.parametrize("angles", [(0,), (), (0, 0), (0, 30), (0, 360), (-90, 90)])
def test_angles_that_are_no_task_are_refused(angles: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="angle"):
        rotations.check(angles)


def test_a_source_of_another_size_is_refused_with_the_size_it_needs() -> None:
    with pytest.raises(ValueError, match=r"\(8, 8\).*need 22 x 22"):
        rotations.turned(pictures(1, 8), EIGHT, 8)
