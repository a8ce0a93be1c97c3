"""Vectors of models.md, section 8, where a test names none else."""

from __future__ import annotations

import pytest
import torch

from trainer.metrics import chamfer, nearest, nearest_places, thin


def cloud(count: int, seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(seed), dtype=dtype) - 0.5


class TestChamfer:
    a = torch.tensor([[0.0, 0, 0], [1, 0, 0]])
    b = torch.tensor([[0.0, 0, 0], [0, 0, 1], [0, 3, 0]])

    def test_of_two_and_three_points(self) -> None:
        precision, coverage = chamfer(self.a, self.b)

        assert precision == pytest.approx(0.5)
        assert coverage == pytest.approx(4 / 3)
        assert 100 * (precision + coverage) == pytest.approx(183.3333, abs=1e-4)

    def test_the_other_way_round_the_two_are_exchanged(self) -> None:
        assert chamfer(self.b, self.a) == chamfer(self.a, self.b)[::-1]

    def test_of_a_cloud_with_itself_in_another_order_it_is_nothing(self) -> None:
        points = cloud(500, 0, torch.float32)

        assert chamfer(points, points.flip(0)) == (0, 0)

    @pytest.mark.parametrize(("n", "m"), [(1, 1), (7, 5000), (3000, 11), (700, 1300)])
    def test_nearest_is_what_all_distances_say(self, n: int, m: int) -> None:
        a, b = cloud(n, 1), cloud(m, 2)
        every = (a[:, None] - b).norm(dim=2)

        there, back = nearest(a, b)

        assert torch.allclose(there, every.amin(1), atol=1e-14)
        assert torch.allclose(back, every.amin(0), atol=1e-14)
        assert torch.equal(nearest_places(a, b)[0], there)
        assert torch.equal(nearest_places(a, b)[1], every.argmin(1))

    def test_small_distances_far_from_the_origin_are_not_lost_in_float32(self) -> None:
        a = cloud(200, 3, torch.float32)
        b = a + torch.tensor([1e-4, 0, 0])

        there, _ = nearest(a, b)

        assert there.tolist() == pytest.approx([1e-4] * 200, rel=1e-3)


class TestThin:
    def test_a_voxels_points_become_their_mean(self) -> None:
        points = torch.tensor([[0.0, 0, 0], [0.004, 0, 0], [0.3, 0.2, 0.1], [0.302, 0.2, 0.1]])

        thinned = thin(points, 0.01)

        assert thinned.shape == (2, 3)
        expected = torch.tensor([[0.002, 0, 0], [0.301, 0.2, 0.1]])
        assert torch.allclose(thinned, expected, atol=1e-6)

    def test_of_an_even_surface_about_a_point_for_each_voxel_is_left(self) -> None:
        """A square of 40 x 40 voxels, half a voxel beyond its edges, crowded."""
        points = cloud(200_000, 4) * 0.4 * torch.tensor([1, 1, 0])

        thinned = thin(points, 0.01)

        assert 40**2 <= len(thinned) <= 41**2
        assert chamfer(points[:2000], thinned)[0] < 0.005

    def test_no_point_lies_further_than_a_voxels_diagonal_from_what_is_left(self) -> None:
        points = cloud(3000, 5)

        there, back = nearest(points, thin(points, 0.1))

        assert float(there.max()) <= 0.1 * 3**0.5
        assert float(back.max()) <= 0.1 * 3**0.5
