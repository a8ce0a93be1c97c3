"""What stands behind shapes."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from trainer import backgrounds
from trainer.errors import DatasetRefused

ROADS = Path(__file__).parents[3] / "shared" / "data" / "road_photos"


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos of mine"
    (folder / "deep er").mkdir(parents=True)
    # The upper half blue (a sky), the lower half green.
    photo = np.zeros((40, 60, 3), np.uint8)
    photo[:20], photo[20:] = (255, 0, 0), (0, 255, 0)
    cv2.imwrite(str(folder / "deep er" / "été.png"), photo)
    return folder


def test_compositing_is_the_weighted_mean_rounded() -> None:
    rgba = np.array([[[200, 100, 0, 0], [200, 100, 0, 255], [200, 100, 0, 128]]], np.uint8)
    behind = np.array([[[10, 20, 30]] * 3], np.uint8)

    found = backgrounds.over(rgba, behind)

    # 128 / 255 = 0.50196: 105.37, 60.16, 14.94
    assert found.tolist() == [[[10, 20, 30], [200, 100, 0], [105, 60, 15]]]


def test_the_same_seed_gives_the_same_background() -> None:
    made = backgrounds.backgrounds("")

    for seed in range(20):
        first, again = made.draw(rng(seed), 17), made.draw(rng(seed), 17)
        assert first.shape == (17, 17, 3) and first.dtype == np.uint8
        np.testing.assert_array_equal(first, again)
    assert (made.draw(rng(1), 17) != made.draw(rng(2), 17)).any()


@pytest.mark.parametrize("name", list(backgrounds.PATTERNS))
def test_a_pattern_is_between_0_and_1(name: str) -> None:
    for seed in range(10):
        found = backgrounds.PATTERNS[name](rng(seed), 23)

        assert found.shape == (23, 23) and found.dtype == np.float32
        assert float(found.min()) >= -1e-6 and float(found.max()) <= 1 + 1e-6
        assert name == "plain" or float(found.std()) > 0


def test_no_side_of_a_background_is_different_from_the_others() -> None:
    made = backgrounds.backgrounds("")
    chance = rng()
    drawn = np.stack([made.draw(chance, 16) for _ in range(1500)]).astype(float)

    bright = drawn.mean(axis=3)  # [N, S, S]
    vertical = bright[:, :8].mean(axis=(1, 2)) - bright[:, 8:].mean(axis=(1, 2))
    horizontal = bright[:, :, :8].mean(axis=(1, 2)) - bright[:, :, 8:].mean(axis=(1, 2))

    for difference in (vertical, horizontal):
        error = difference.std() / np.sqrt(len(difference))
        assert abs(difference.mean()) < 4 * error
    assert vertical.std() == pytest.approx(horizontal.std(), rel=0.15)


def test_a_photo_does_not_stay_upright(photos: Path) -> None:
    made = backgrounds.backgrounds(str(photos))

    chance = rng()
    drawn = np.stack([made.draw(chance, 24) for _ in range(300)]).astype(float)

    blue_above = drawn[:, :12, :, 2].mean(axis=(1, 2)) - drawn[:, 12:, :, 2].mean(axis=(1, 2))
    told = np.abs(blue_above) > 50
    assert 0.4 < (blue_above[told] > 0).mean() < 0.6
    assert told.mean() > 0.3  # and the edge of the sky is seen
    assert drawn[..., 0].max() == 0  # red, green, blue: nothing was swapped or filled in


def test_real_photos_are_taken_in_pieces() -> None:
    if not ROADS.is_dir():
        if os.environ.get("CI"):
            raise AssertionError(f"no photos in {ROADS}")
        pytest.skip("no road photos beside this checkout")
    made = backgrounds.backgrounds(str(ROADS))

    found = [made.draw(rng(seed), 33) for seed in range(6)]

    assert all(one.shape == (33, 33, 3) and one.std() > 1 for one in found)
    np.testing.assert_array_equal(found[3], backgrounds.Photos(ROADS).draw(rng(3), 33))


def test_a_folder_without_photos_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DatasetRefused, match=r"no photos in .*--backgrounds"):
        backgrounds.backgrounds(str(tmp_path))


def test_a_broken_photo_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")

    with pytest.raises(DatasetRefused, match=r"broken.jpg"):
        backgrounds.backgrounds(str(tmp_path)).draw(rng(), 8)


def disc(side: int) -> np.ndarray:
    """A red disc, antialiased; transparent black around it."""
    at = np.arange(side) + 0.5 - side / 2
    away = np.sqrt(at**2 + at[:, None] ** 2)
    out = np.zeros((side, side, 4), np.uint8)
    out[..., 3] = np.clip((side * 0.3 - away + 0.5) * 255, 0, 255)
    out[out[..., 3] > 0, 0] = 220
    return out


def test_a_shape_in_the_middle_at_its_own_size_is_itself() -> None:
    picture = disc(16)

    found = backgrounds.placed(picture, 16)

    np.testing.assert_array_equal(found[..., 3], picture[..., 3])
    seen = picture[..., 3] > 0
    np.testing.assert_array_equal(found[seen], picture[seen])


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.5])
def test_a_scaled_shape_keeps_colour_middle_and_proportion(scale: float) -> None:
    found = backgrounds.placed(disc(32), 48, scale=scale, dx=3, dy=-2)

    weight = found[..., 3] / 255
    at = np.arange(48) + 0.5
    assert weight.sum() == pytest.approx(np.pi * (32 * 0.3 * scale) ** 2, rel=0.06)
    assert (weight.sum(axis=0) @ at) / weight.sum() == pytest.approx(24 + 3, abs=0.1)
    assert (weight.sum(axis=1) @ at) / weight.sum() == pytest.approx(24 - 2, abs=0.1)
    # No dark fringe: the transparent black around the disc has no say.
    assert found[found[..., 3] > 20][:, 0].min() >= 218
