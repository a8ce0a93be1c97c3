"""Pictures on black."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.trainer.datasets import make_dataset
from trainer.cutouts import Views, centred, on_black
from trainer.data import Snapshot


def test_a_picture_lies_on_black_and_its_shape_is_nowhere_black():
    rgba = np.zeros((6, 6, 4), np.uint8)
    rgba[1:5, 1:5] = (200, 100, 0, 255)
    rgba[2, 2] = (0, 0, 0, 255)
    rgba[3, 3] = (200, 100, 50, 128)
    rgba[0, 0] = (90, 90, 90, 0)

    image = on_black(rgba, 6)

    assert image[0, 0].tolist() == [0, 0, 0, 0]
    assert image[2, 2].tolist() == [1, 1, 1, 255]
    assert image[3, 3].tolist() == [100, 50, 25, 128]
    for size in (3, 12):  # after resampling too
        other = on_black(rgba, size)
        assert ((other[..., 3] > 0) == other[..., :3].any(axis=2)).all()


@pytest.mark.parametrize("corner", [(0, 0), (0, 5), (2, 3), (4, 6)])
def test_a_shape_is_moved_whole_to_the_middle(corner):
    image = np.zeros((8, 8, 4), np.uint8)
    top, left = corner
    shape = np.random.default_rng(0).integers(1, 255, (4, 2, 4))
    image[top : top + 4, left : left + 2] = shape

    found = centred(image)

    assert (found[2:6, 3:5] == shape).all()
    assert np.count_nonzero(found[..., 3]) == 8


def test_a_picture_of_nothing_stays_and_one_that_is_full_too():
    full = np.full((4, 4, 4), 9, np.uint8)

    assert (centred(full) == full).all()
    assert not centred(np.zeros((4, 4, 4), np.uint8)).any()


def test_views_of_a_dataset_have_their_shapes_in_the_middle(tmp_path: Path):
    folder = make_dataset(tmp_path / "vans", ("vans",), views=2, size=32, points=0)
    views = Views(Snapshot.take([folder]), "train", 16)

    for number in range(len(views)):
        seen = views.get(number, np.random.default_rng(0))["image"][3] > 0
        for lines in (seen.any(axis=0), seen.any(axis=1)):
            inside = np.flatnonzero(lines)
            assert 15 - int(inside[-1]) - int(inside[0]) in (0, 1)
