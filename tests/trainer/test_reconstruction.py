from __future__ import annotations

import numpy as np
import pytest
import torch

from trainer.geometry import about, angle_deg, multiply, quaternion_from_campos
from trainer.reconstruction import Row, chance, compare, guessed, summary, tables


def row(
    category: int, precision: float, coverage: float, *errors: float, winners: tuple[int, ...] = ()
) -> Row:
    error_deg = np.array(errors, np.float32) if errors else None
    return Row(
        category=category, precision=precision, coverage=coverage, error_deg=error_deg,
        winners=winners,
    )  # fmt: skip


ROWS = [
    row(0, 1.0, 2.0, 5, 10, 175, winners=(0, 3, 3)),
    row(0, 3.0, 4.0, 29.9, 30.0, 31, winners=(3, 3, 0)),
    row(2, 5.0, 0.0, 1, 2, 3, winners=(3, 3, 3)),
]


def test_of_clouds_from_several_views_the_mean_counts() -> None:
    """The vector of models.md, section 8: precision .5 and coverage 1.333333."""
    a = torch.tensor([[0.0, 0, 0], [1, 0, 0]])
    b = torch.tensor([[0.0, 0, 0], [0, 0, 1], [0, 3, 0]])

    assert compare(torch.stack([a]), b) == pytest.approx((50, 400 / 3))
    assert compare(torch.stack([a, b[:2]]), b) == pytest.approx((25, (400 / 3 + 100) / 2))


def test_shapes_count_alike_and_poses_view_by_view() -> None:
    told = summary(ROWS)

    assert told["precision"] == 3 and told["coverage"] == 2 and told["chamfer"] == 5
    assert told["accuracy"] == pytest.approx(6 / 9)  # below 30, not at it
    assert told["median_deg"] == 10


def test_where_poses_are_told_there_is_nothing_about_them() -> None:
    assert set(summary([row(0, 1, 1)])) == {"chamfer", "precision", "coverage"}
    assert set(tables([row(0, 1, 1)], ["cars"])) == {"categories"}


def test_tables_have_each_category_the_errors_and_the_winners() -> None:
    found = tables(ROWS, ["cars", "chairs", "lamps"])

    assert list(found["categories"]) == ["cars", "lamps"]
    assert found["categories"]["cars"]["shapes"] == 2
    assert found["categories"]["cars"]["chamfer"] == 5
    assert found["categories"]["lamps"]["accuracy"] == 1
    assert found["pose_error_deg"]["edges"][:3] == [0, 10, 20]
    assert found["pose_error_deg"]["counts"][0] == 4 and found["pose_error_deg"]["counts"][-1] == 1
    assert sum(found["pose_error_deg"]["counts"]) == 9
    assert found["winners"] == {"candidate": [0, 1, 2, 3], "views": [2, 0, 0, 7]}


def test_chance_is_what_poses_of_other_views_reach() -> None:
    one = quaternion_from_campos(torch.tensor([1.0, -2, 0.5], dtype=torch.float64))
    turned = [multiply(one, about((0, 1, 0), degrees)) for degrees in (0, 20, 90)]

    assert chance(torch.stack(turned)) == pytest.approx(1 / 3)  # one pair of three is near
    assert chance(torch.stack([one, -one, one])) == 1


def test_guessed_poses_are_as_far_off_as_rotations_dealt_evenly() -> None:
    edges = np.linspace(0, 180, 19)
    quaternions = torch.randn(200_000, 4, generator=torch.Generator().manual_seed(0))
    angles = angle_deg(quaternions, torch.tensor([[1.0, 0, 0, 0]])).numpy()

    share = np.histogram(angles, edges)[0] / len(angles)

    np.testing.assert_allclose(guessed(edges), share, atol=2e-3)
    assert guessed(np.array([0.0, 180.0])) == pytest.approx([1.0])
