"""Pictures on black."""

from __future__ import annotations

import numpy as np

from trainer.cutouts import on_black


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
