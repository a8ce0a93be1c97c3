"""The geometry of normalization: the derived formula, and pixels as if the padding were made."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer import padding
from trainer.padding import Frame, Normal

# s, a, r -> n, total, r' of the padded picture: computed from A = a (1 + r) / r with 30 digits.
VECTORS = [
    (100, 3000, 0.2, 17.0820, 34, 0.200588),
    (256, 20000, 0.22, 38.5151, 77, 0.220049),
    (200, 26000, 0.25, 80.2776, 161, 0.249231),
    (128, 12000, 0.2, 70.1641, 140, 0.200588),
]


def blob(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A noisy crop and the mask of a thing in it that has its box."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), np.uint8)
    half = (max(1, width // 2 - 1), max(1, height // 2 - 1))
    cv2.ellipse(mask, (width // 2, height // 2), half, 0, 0, 360, 1, -1)
    mask[height // 3, :], mask[:, width // 3] = 1, 1
    return rng.integers(0, 256, (height, width, 3), np.uint8), mask


@pytest.mark.parametrize(("s", "a", "r", "n", "total", "came"), VECTORS)
def test_the_margin_is_that_of_the_derived_formula(s, a, r, n, total, came):
    margin = padding.margin(s, a, r)
    frame = padding.padded(Frame(side=s, left=0, top=0), margin, np.random.default_rng(0))

    assert margin == pytest.approx(n, abs=5e-5)
    assert frame.side == s + total
    assert padding.ratio(a, frame.side) == pytest.approx(came, abs=5e-7)


@given(s=st.integers(8, 4000), share=st.floats(0.05, 0.95), wanted=st.floats(0.02, 3))
def test_the_margin_gives_the_ratio_and_is_negative_just_where_cropping_would_be_needed(
    s, share, wanted
):
    area = share * s * s
    n = padding.margin(s, area, wanted)

    assert padding.ratio(area, s + 2 * n) == pytest.approx(wanted, rel=1e-6)
    now = padding.ratio(area, s)
    if not math.isclose(now, wanted, rel_tol=1e-9):
        assert (n > 0) == (wanted < now)


def test_ratio_and_coverage_are_two_names_of_one_thing():
    assert padding.ratio(1, 2) == padding.of_coverage(0.25) == pytest.approx(1 / 3)
    assert padding.ratio(9, 3) == padding.of_coverage(1.0) == math.inf


def test_the_normal_distribution_is_fitted_by_its_moments():
    ratios = np.random.default_rng(0).normal(0.22, 0.06, 100_000)

    found = padding.fit([*ratios, math.inf])

    assert found.mean == pytest.approx(0.22, abs=1e-3)
    assert found.deviation == pytest.approx(0.06, abs=1e-3)


def test_one_picture_has_no_distribution():
    with pytest.raises(ValueError, match="1 pictures: a distribution needs two at least"):
        padding.fit([0.3, math.inf])


def test_draws_are_those_of_the_normal_distribution_cut_off_at_what_can_be_reached():
    rng = np.random.default_rng(0)
    normal = Normal(mean=0.22, deviation=0.06)

    drawn = np.array([padding.draw(normal, 0.25, rng) for _ in range(20_000)])

    # Of the normal distribution below 0.25: P((0.24 < r < 0.25) | r < 0.25), by its own integral.
    def below(r: float) -> float:
        return 0.5 * (1 + math.erf((r - 0.22) / 0.06 / math.sqrt(2)))

    assert drawn.min() >= padding.LEAST_RATIO and drawn.max() <= 0.25
    wanted = (below(0.25) - below(0.24)) / (below(0.25) - below(padding.LEAST_RATIO))
    assert (drawn > 0.24).mean() == pytest.approx(wanted, abs=0.01)


@pytest.mark.parametrize("most", [0.005, 0.2])
def test_a_ratio_that_cannot_be_reached_is_none(most):
    normal = Normal(mean=0.9, deviation=0.001)

    assert padding.draw(normal, most, np.random.default_rng(0)) is None


@given(width=st.integers(1, 900), height=st.integers(1, 900), seed=st.integers(0, 99))
def test_a_crop_lies_in_the_middle_of_its_square(width, height, seed):
    frame = padding.squared(width, height, np.random.default_rng(seed))

    assert frame.side == max(width, height)
    assert abs(2 * frame.left + width - frame.side) <= 1
    assert abs(2 * frame.top + height - frame.side) <= 1


def test_an_odd_pixel_goes_to_either_side():
    rng = np.random.default_rng(0)
    frames = [padding.squared(4, 7, rng) for _ in range(100)]

    assert {frame.left for frame in frames} == {1, 2}
    assert 30 < sum(frame.left == 1 for frame in frames) < 70


def test_a_negative_margin_adds_nothing():
    frame = Frame(side=9, left=2, top=0)

    assert padding.padded(frame, -3.0, np.random.default_rng(0)) == frame


# --- pixels --------------------------------------------------------------------------------------


def plain(rgb: np.ndarray, mask: np.ndarray, frame: Frame, size: int) -> np.ndarray:
    """[size, size, 4] floats: padded with zeros, reduced by OpenCV, colours free of the padding."""
    height, width = mask.shape
    whole = np.zeros((frame.side, frame.side, 4), np.float64)
    inside = whole[frame.top : frame.top + height, frame.left : frame.left + width]
    inside[..., :3], inside[..., 3] = rgb * mask[..., None], mask
    small = cv2.resize(whole, (size, size), interpolation=cv2.INTER_AREA)
    small[..., :3] /= np.maximum(small[..., 3:], 1e-9)
    return small


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(5, 90),
    width=st.integers(5, 90),
    size=st.integers(4, 40),
    more=st.integers(0, 70),
    seed=st.integers(0, 9),
)
def test_a_crop_is_reduced_as_if_its_padding_were_made(height, width, size, more, seed):
    rgb, mask = blob(height, width, seed)
    rng = np.random.default_rng(seed)
    frame = padding.padded(padding.squared(width, height, rng), max(more, size) / 2, rng)
    wanted = plain(rgb, mask, frame, size)

    found = padding.resampled(rgb, mask, frame, size)

    inside = wanted[..., 3] > 1e-5
    np.testing.assert_array_equal(found[..., 3] > 0, inside)
    assert np.abs(found[..., 3] - wanted[..., 3] * 255).max() <= 1
    assert np.abs(found[inside][:, :3] - wanted[inside][:, :3]).max() <= 1.01
    assert not found[~inside].any()


def test_a_crop_that_grows_is_smooth():
    rgb, mask = np.zeros((3, 3, 3), np.uint8), np.ones((3, 3), np.uint8)
    rgb[:, 1], rgb[:, 2] = 100, 200

    found = padding.resampled(rgb, mask, Frame(side=5, left=1, top=1), 25)

    # Pixel centres are 0.2 apart in the frame: 20 levels of brightness.
    np.testing.assert_array_equal(found[12, 7:18, 0], np.arange(0, 201, 20).clip(1))


def test_ours_is_1_where_black_background_is_0_after_the_resampling():
    rgb, mask = blob(50, 70)
    rgb[:25] = 0

    found = padding.resampled(rgb, mask, Frame(side=100, left=15, top=25), 32)

    inside = found[..., 3] > 0
    assert (found[inside][:, :3].max(axis=1) >= 1).all()
    assert not found[~inside].any()


def test_colour_correction_touches_only_what_is_exactly_black():
    rgba = np.zeros((1, 4, 4), np.uint8)
    rgba[0, 0] = (0, 0, 0, 1)
    rgba[0, 1] = (0, 0, 3, 255)
    rgba[0, 2] = (9, 9, 9, 0)

    assert padding.corrected(rgba)[0].tolist() == [
        [1, 1, 1, 1], [0, 0, 3, 255], [0, 0, 0, 0], [0, 0, 0, 0],
    ]  # fmt: skip


@pytest.mark.parametrize("size", [64, 128])
def test_pictures_come_to_the_ratio_that_was_drawn(size):
    normal, rng = Normal(mean=0.22, deviation=0.05), np.random.default_rng(1)
    off = []
    for seed in range(40):
        rgb, mask = blob(int(rng.integers(150, 400)), int(rng.integers(150, 400)), seed)
        made = padding.normalized(rgb, mask, normal, size, rng)
        came = padding.of_coverage(float((made.rgba[..., 3] > 0).mean()))
        off.append(came / made.drawn - 1)

    # Without counting small pixels they come to 11 % too much at 64 px, 6 % at 128 px.
    assert abs(np.mean(off)) < 0.01
    assert np.abs(off).max() < 4 / size


def test_a_thing_too_small_for_any_ratio_is_not_made():
    rgb, mask = blob(60, 60)

    assert (
        padding.normalized(
            rgb, mask, Normal(mean=9.0, deviation=0.01), 32, np.random.default_rng(0)
        )
        is None
    )


def test_clamped_it_fills_its_smallest_square():
    rgb, mask = blob(60, 90)

    made = padding.normalized(
        rgb, mask, Normal(mean=9.0, deviation=0.01), 32, np.random.default_rng(0), clamp=True
    )

    assert made.frame == Frame(side=90, left=0, top=15)
    assert made.drawn == pytest.approx(9, abs=0.1)


def test_without_a_distribution_it_fills_its_smallest_square():
    rgb, mask = blob(60, 91)

    made = padding.normalized(rgb, mask, None, 32, np.random.default_rng(0))

    assert (made.frame.side, made.drawn) == (91, None)
    assert made.before == padding.ratio(np.count_nonzero(mask), 91)


def test_the_same_generator_gives_the_same_picture():
    rgb, mask = blob(171, 240)
    normal = Normal(mean=0.22, deviation=0.05)

    first, second = (
        padding.normalized(rgb, mask, normal, 64, np.random.default_rng(5)) for _ in range(2)
    )

    np.testing.assert_array_equal(first.rgba, second.rgba)
    assert first.frame == second.frame
