"""Point clouds: uniform by area, on the surface, with the faces' normals."""

from __future__ import annotations

import numpy as np
import pytest

from renderer.errors import BadInput
from renderer.pointcloud import sample_surface


def triangles(*corners: list[list[float]]) -> np.ndarray:
    return np.array(corners, np.float64)


SMALL = [[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]  # area 1/2, normal +z
LARGE = [[0.0, 0, 1], [0, 3, 1], [3, 0, 1]]  # area 9/2, normal -z


def sample(shape: np.ndarray, points: int = 20_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    return sample_surface(shape, points, np.random.default_rng(seed))


def test_points_lie_on_the_faces() -> None:
    rng = np.random.default_rng(3)
    shape = rng.normal(size=(30, 3, 3))
    points, _ = sample(shape, 500)

    # In the plane of some face, and within it: barycentric coordinates of every pair.
    edges = np.stack([shape[:, 1] - shape[:, 0], shape[:, 2] - shape[:, 0]], axis=2)
    inverse = np.linalg.pinv(edges)
    offset = points[:, None] - shape[:, 0]
    weights = np.einsum("tij,ntj->nti", inverse, offset)
    away = np.linalg.norm(np.einsum("tij,ntj->nti", edges, weights) - offset, axis=2)
    within = (weights > -1e-4).all(axis=2) & (weights.sum(axis=2) < 1 + 1e-4)
    assert ((away < 1e-5) & within).any(axis=1).all()


def test_faces_get_points_by_their_area_however_they_are_cut() -> None:
    points, _ = sample(triangles(SMALL, LARGE))
    share = (points[:, 2] < 0.5).mean()
    assert share == pytest.approx(0.1, abs=0.01)

    low, middle = SMALL, [0.5, 0.5, 0]
    halves = triangles([low[0], low[1], middle], [low[0], middle, low[2]], LARGE)
    points, _ = sample(halves)
    assert (points[:, 2] < 0.5).mean() == pytest.approx(0.1, abs=0.01)


def test_within_a_face_points_are_uniform() -> None:
    points, _ = sample(triangles(SMALL))
    x, y = points[:, 0], points[:, 1]

    for inside in (x + y < 0.5, x > 0.5, y > 0.5, (x < 0.5) & (y < 0.5) & (x + y > 0.5)):
        assert inside.mean() == pytest.approx(0.25, abs=0.015)


def test_normals_are_unit_and_those_of_the_winding() -> None:
    points, normals = sample(triangles(SMALL, LARGE), 200)

    assert np.allclose(np.linalg.norm(normals, axis=1), 1)
    assert (normals[:, 2] == np.where(points[:, 2] < 0.5, 1, -1)).all()


def test_both_are_single_precision_of_the_asked_number() -> None:
    for array in sample(triangles(SMALL), 7):
        assert array.dtype == np.float32 and array.shape == (7, 3)


def test_the_same_generator_gives_the_same_points_and_another_others() -> None:
    shape = triangles(SMALL, LARGE)

    assert (sample(shape, 50)[0] == sample(shape, 50)[0]).all()
    assert (sample(shape, 50)[0] != sample(shape, 50, seed=1)[0]).any()


def test_a_face_without_area_among_others_gets_no_points_and_spoils_no_normal() -> None:
    flat = [[5.0, 5, 5], [6, 6, 6], [7, 7, 7]]
    points, normals = sample(triangles(flat, SMALL, flat), 500)

    assert points.max() <= 1 and np.isfinite(normals).all()


@pytest.mark.parametrize(
    "shape",
    [
        np.zeros((4, 3, 3)),
        triangles([[0.0, 0, 0], [1, 1, 1], [2, 2, 2]]),
        np.full((1, 3, 3), np.nan),
        np.empty((0, 3, 3)),
    ],
)
def test_faces_that_have_no_area_at_all_are_bad_input(shape: np.ndarray) -> None:
    with pytest.raises(BadInput, match="no area"):
        sample(shape, 10)


def test_a_tiny_shape_far_from_nothing_is_sampled_as_well() -> None:
    points, normals = sample(triangles(SMALL) * 1e-12, 100)

    assert np.isfinite(points).all() and np.allclose(np.linalg.norm(normals, axis=1), 1)
