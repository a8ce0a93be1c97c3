"""Masks of clouds, their errors, and how errors are spread."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import gaussian_kde

from renderer.camera import Viewpoint, intrinsics, project, world_to_camera
from trainer.geometry import quaternion_from_camera
from trainer.silhouette import (
    Spread,
    bandwidth,
    empirical_cumulative,
    kde_cumulative,
    mask_errors,
    mask_overlaps,
    scott_factor,
    silhouettes,
)

ERRORS = np.array([0.1, 0.2, 0.25, 0.4, 0.8])
SQUARE = torch.zeros(1, 8, 8, dtype=torch.bool)
SQUARE[:, 2:6, 2:6] = True


def slow_silhouette(points: np.ndarray, camera: Viewpoint, side: int, radius: float) -> np.ndarray:
    """The same by the renderer's own cameras, pixel by pixel."""
    matrix = world_to_camera(camera)
    intrinsic = intrinsics((side, side))
    pixels, depth = project(points, matrix, intrinsic)
    out = np.zeros((side, side), bool)
    for (x, y), away in zip(pixels, depth, strict=True):
        reach = intrinsic[0, 0] * radius / math.sqrt(away**2 - radius**2)
        for row in range(side):
            for column in range(side):
                if (column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2 <= reach**2:
                    out[row, column] = True
        if 0 <= x < side and 0 <= y < side:
            out[int(y), int(x)] = True
    return out


@pytest.mark.parametrize("radius", [0.01, 0.04])
def test_a_cloud_covers_what_balls_cover_in_the_renderers_own_camera(radius: float) -> None:
    rng = np.random.default_rng(0)
    cloud = rng.uniform(-0.3, 0.3, (40, 3)) * [1.5, 0.7, 1.0]
    places = [
        Viewpoint(azimuth_deg=20, elevation_deg=35),
        Viewpoint(azimuth_deg=200, elevation_deg=-15),
    ]
    cameras = torch.stack(
        [quaternion_from_camera(torch.from_numpy(world_to_camera(place))) for place in places]
    )

    found = silhouettes(torch.from_numpy(cloud).expand(2, -1, -1), cameras, 31, radius)

    for mask, place in zip(found.numpy(), places, strict=True):
        assert (mask == slow_silhouette(cloud, place, 31, radius)).all()
        assert 0 < mask.sum() < 31 * 31


def test_the_sign_and_length_of_a_camera_do_not_count() -> None:
    cloud = torch.rand(1, 50, 3) - 0.5
    camera = torch.tensor([[0.3, -0.5, 0.7, 0.2]])

    assert (silhouettes(cloud, camera, 24) == silhouettes(cloud, -3 * camera, 24)).all()


def test_what_lies_outside_of_the_picture_is_not_seen() -> None:
    cloud = torch.tensor([[[0.0, 40.0, 0.0], [0.0, 0.0, 40.0], [-9.0, 0.0, 0.0]]])

    assert not silhouettes(cloud, torch.tensor([[1.0, 0, 0, 0]]), 16).any()


def test_a_square_that_is_shifted_by_one_row_errs_by_a_half() -> None:
    """The vector of models.md, section 8."""
    shifted = SQUARE.roll(1, 1)

    assert mask_errors(SQUARE, shifted).tolist() == [0.5]
    assert mask_overlaps(SQUARE, shifted).tolist() == [pytest.approx(12 / 20)]


def test_the_same_mask_errs_by_nothing_and_none_by_all() -> None:
    nothing = torch.zeros_like(SQUARE)

    assert mask_errors(SQUARE, SQUARE).tolist() == [0]
    assert mask_errors(SQUARE, nothing).tolist() == [1]
    assert mask_overlaps(SQUARE, SQUARE).tolist() == [1]
    assert mask_overlaps(SQUARE, nothing).tolist() == [0]
    assert mask_overlaps(nothing, nothing).tolist() == [1]


def test_the_estimate_has_the_vectors_of_the_specification() -> None:
    """models.md, section 8."""
    assert scott_factor(5) == pytest.approx(0.724780, abs=1e-6)
    assert bandwidth(ERRORS) == pytest.approx(0.198489, abs=1e-6)
    assert kde_cumulative(ERRORS, [0.3, 1.0]) == pytest.approx([0.489701, 0.968364], abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(st.floats(0, 5), min_size=2, max_size=30, unique=True).filter(
        lambda v: np.std(v) > 1e-3
    ),
    place=st.floats(-1, 6),
)
def test_the_estimate_is_scipys(values: list[float], place: float) -> None:
    scipys = gaussian_kde(values).integrate_box_1d(-np.inf, place)

    assert float(kde_cumulative(values, [place])[0]) == pytest.approx(scipys, abs=1e-7)


def test_where_all_errors_are_one_the_estimate_is_a_step() -> None:
    assert kde_cumulative([0.2, 0.2], [0.1, 0.2, 0.3]).tolist() == [0, 1, 1]
    assert kde_cumulative([0.2], [0.1, 0.2]).tolist() == [0, 1]


def test_the_empirical_curve_counts() -> None:
    found = empirical_cumulative(ERRORS, [0, 0.1, 0.3, 0.8, 2])

    assert found.tolist() == [0, 0.2, 0.6, 1, 1]


def test_a_spread_tells_means_medians_and_curves() -> None:
    spread = Spread(errors=ERRORS, overlaps=1 - ERRORS / 2)

    assert spread.metrics() == {
        "mask_error": pytest.approx(0.35), "mask_error_median": pytest.approx(0.25),
        "mask_iou": pytest.approx(0.825), "mask_iou_median": pytest.approx(0.875),
    }  # fmt: skip
    curve = spread.tables()["mask_error_cumulative"]
    assert curve["error"][20] == 0.3
    assert curve["kde"][20] == pytest.approx(0.489701, abs=1e-6)
    assert curve["empirical"][20] == 0.6
