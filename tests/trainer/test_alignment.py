from __future__ import annotations

import math

import pytest
import torch

from trainer.alignment import canonical_rotation, icp
from trainer.geometry import (
    about,
    angle_deg,
    average,
    conjugate,
    multiply,
    quaternion_from_campos,
    rotate,
)

ONE = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64)
TURN = about((1, -2, 0.5), 70)


def lumps(count: int, seed: int = 0) -> torch.Tensor:
    """[N, 3] a cloud without symmetry: three boxes of different sizes."""
    generator = torch.Generator().manual_seed(seed)
    parts = torch.rand(3, count // 3, 3, generator=generator, dtype=torch.float64)
    sizes = torch.tensor([[0.8, 0.15, 0.3], [0.2, 0.5, 0.1], [0.1, 0.2, 0.4]]).double()
    places = torch.tensor([[-0.4, -0.2, -0.1], [0.2, -0.2, 0.1], [-0.4, -0.1, -0.3]]).double()
    return (parts * sizes[:, None] + places[:, None]).flatten(0, 1)


class TestIcp:
    @pytest.mark.parametrize("off_deg", [0, 5, 20])
    def test_it_finds_the_rotation_from_near_it(self, off_deg: float) -> None:
        """Two samples of the same surface; the start is off by so many degrees."""
        source, target = lumps(900, 1), rotate(TURN, lumps(900, 2))
        start = multiply(about((0, 1, 1), off_deg), TURN)

        rotation, rmse = icp(source, target, start)

        assert float(angle_deg(rotation, TURN)) < 3
        assert rmse < 0.05

    def test_of_the_same_points_it_leaves_nothing(self) -> None:
        source = lumps(600)

        rotation, rmse = icp(source, rotate(TURN, source), multiply(about((0, 0, 1), 5), TURN))

        assert float(angle_deg(rotation, TURN)) < 1e-4
        assert rmse < 1e-6

    def test_a_translation_is_found_and_forgotten(self) -> None:
        source = lumps(600)
        target = rotate(TURN, source) + torch.tensor([0.05, -0.03, 0.02])

        rotation, rmse = icp(source, target, TURN)

        assert float(angle_deg(rotation, TURN)) < 1e-3
        assert rmse < 1e-6

    def test_a_wrong_start_leaves_more(self) -> None:
        source = lumps(600)
        right = icp(source, source, ONE)[1]
        wrong = icp(source, source, about((0, 1, 0), 180))[1]

        assert wrong > right + 0.02

    def test_clouds_with_nothing_in_common_leave_an_infinite_distance(self) -> None:
        assert icp(lumps(30), lumps(30) + 5, ONE)[1] == math.inf


class TestCanonicalRotation:
    def test_of_one_rotation_everywhere_it_is_that_one_whatever_its_sign(self) -> None:
        rotations = TURN.repeat(4, 5, 1)
        rotations[1, 2] *= -1

        assert float(angle_deg(canonical_rotation(rotations, torch.rand(4, 5)), TURN)) < 1e-5

    def test_only_the_two_best_views_of_the_fifteen_best_shapes_count(self) -> None:
        generator = torch.Generator().manual_seed(0)
        rotations = torch.randn(20, 5, 4, generator=generator, dtype=torch.float64)
        rmse = torch.rand(20, 5, generator=generator, dtype=torch.float64) + 1
        good = [about((0, 1, 0), 20 + shape / 10) for shape in range(15)]
        for shape, q in enumerate(good):
            rotations[shape, shape % 4 : shape % 4 + 2] = q
            rmse[shape, shape % 4 : shape % 4 + 2] = 0.01 + shape / 1000

        found = canonical_rotation(rotations, rmse)

        assert torch.allclose(found, average(torch.stack(good)), atol=1e-9)

    def test_what_failed_is_left_out(self) -> None:
        rotations = TURN.repeat(3, 2, 1)
        rotations[1, 0] = float("nan")
        rotations[2] = about((0, 0, 1), 180)
        rmse = torch.full((3, 2), 0.1)
        rmse[2] = math.inf

        assert float(angle_deg(canonical_rotation(rotations, rmse), TURN)) < 1e-5

    def test_when_all_failed_nothing_is_turned(self) -> None:
        found = canonical_rotation(torch.full((2, 5, 4), float("nan")), torch.ones(2, 5))

        assert found.tolist() == [1, 0, 0, 0]


def test_a_network_that_turned_everything_by_one_rotation_is_found_out() -> None:
    """models.md 1.8: from conj(q_gt) q_pred, ICP and the average give the frame; poses then fit."""
    generator = torch.Generator().manual_seed(1)
    positions = torch.randn(6, 3, 3, generator=generator, dtype=torch.float64)
    gt = quaternion_from_campos(positions)
    noise = torch.randn(6, 3, 4, generator=generator, dtype=torch.float64) * 0.03
    predicted = multiply(gt, TURN) + noise  # sees the cloud conj(TURN) x as gt sees x
    clouds = [lumps(300, seed) for seed in range(6)]
    found = [
        [
            icp(rotate(conjugate(TURN), clouds[s]), clouds[s], start)
            for start in multiply(conjugate(gt[s]), predicted[s])
        ]
        for s in range(6)
    ]
    rotations = torch.stack([torch.stack([one[0] for one in shape]) for shape in found])
    rmse = torch.tensor([[one[1] for one in shape] for shape in found])

    reference = canonical_rotation(rotations, rmse)

    assert float(angle_deg(reference, TURN)) < 0.1
    aligned = multiply(predicted, conjugate(reference))
    assert float(angle_deg(aligned, gt).max()) < 15
