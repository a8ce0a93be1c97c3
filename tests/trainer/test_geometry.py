"""Vectors of models.md, section 8, unless a test says otherwise."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from renderer.camera import RIGS, Viewpoint, project, viewpoint_of, world_to_camera
from trainer import geometry
from trainer.geometry import (
    about,
    angle_deg,
    average,
    camera_from_quaternion,
    cloud_from_z_up,
    conjugate,
    matrix_from_quaternion,
    multiply,
    normalize,
    quaternion_from_camera,
    quaternion_from_campos,
    quaternion_from_matrix,
    rotate,
)

X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)

CAMERAS = [
    ((2, 0, 0), (0, 0, 1, 0)),
    ((-2, 0, 0), (-1, 0, 0, 0)),
    ((0, 2, 0), (-0.707107, 0, -0.707107, 0)),
    ((0, -2, 0), (-0.707107, 0, 0.707107, 0)),
    ((1, 1, 1), (-0.364705, 0.279848, -0.880476, -0.115917)),
    ((1, -2, 0.5), (-0.522554, -0.093378, 0.845510, -0.057711)),
]


def double(values: object) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def close(a: torch.Tensor, b: torch.Tensor, atol: float = 1e-12) -> bool:
    return torch.allclose(a, b.to(a), atol=atol, rtol=0)


@st.composite
def quaternions(draw: st.DrawFn) -> torch.Tensor:
    seed = draw(st.integers(0, 2**31))
    return normalize(torch.randn(4, generator=torch.Generator().manual_seed(seed)).double())


class TestProduct:
    def test_i_times_j_is_k(self) -> None:
        assert multiply(double([0, 1, 0, 0]), double([0, 0, 1, 0])).tolist() == [0, 0, 0, 1]

    @given(a=quaternions(), b=quaternions())
    def test_the_matrix_of_a_product_is_the_product_of_the_matrices(
        self, a: torch.Tensor, b: torch.Tensor
    ) -> None:
        product = matrix_from_quaternion(a) @ matrix_from_quaternion(b)

        assert close(matrix_from_quaternion(multiply(a, b)), product)

    @given(q=quaternions())
    def test_the_conjugate_is_the_way_back(self, q: torch.Tensor) -> None:
        assert close(multiply(q, conjugate(q)), double([1, 0, 0, 0]))

    def test_leading_dimensions_broadcast(self) -> None:
        a, b = torch.randn(3, 1, 4), torch.randn(5, 4)

        assert close(multiply(a, b)[2, 3], multiply(a[2, 0], b[3]), 1e-6)


class TestRotation:
    def test_90_degrees_about_z_takes_x_to_y(self) -> None:
        assert close(rotate(about(Z, 90), double([X])), double([Y]))

    def test_90_degrees_about_y_takes_z_to_x(self) -> None:
        assert close(rotate(about(Y, 90), double([Z])), double([X]))

    def test_the_matrix_of_a_published_quaternion(self) -> None:
        expected = double([[0, -1, 0], [0, 0, -1], [1, 0, 0]])

        assert close(matrix_from_quaternion(double([0.5, 0.5, -0.5, 0.5])), expected)

    def test_length_does_not_count(self) -> None:
        q = double([0.3, -0.2, 0.7, 0.1])

        assert close(matrix_from_quaternion(17 * q), matrix_from_quaternion(q))


class TestFromMatrix:
    @given(q=quaternions())
    def test_it_undoes_the_matrix_up_to_sign(self, q: torch.Tensor) -> None:
        again = quaternion_from_matrix(matrix_from_quaternion(q))

        assert again[0] >= 0
        assert close(again * torch.sign((again * q).sum()), q)

    @pytest.mark.parametrize("axis", [X, Y, Z, (1.0, 2.0, 2.0), (-1.0, 1e-5, 1.0)])
    @pytest.mark.parametrize("degrees", [179.0, 179.99999, 180.0])
    def test_it_is_exact_at_180_degrees_in_float32(
        self, axis: tuple[float, float, float], degrees: float
    ) -> None:
        """w = sqrt(1 + trace) / 2 is NaN or wrong there: what cost the original code its NaNs."""
        q = about(axis, degrees).float()

        assert angle_deg(quaternion_from_matrix(matrix_from_quaternion(q)), q) < 1e-4

    def test_many_at_once_are_as_one_by_one(self) -> None:
        q = torch.randn(3, 5, 4)
        matrices = matrix_from_quaternion(q)

        assert torch.equal(
            quaternion_from_matrix(matrices)[1, 4], quaternion_from_matrix(matrices[1, 4])
        )


class TestAngle:
    def test_the_pose_error_of_the_published_case(self) -> None:
        gt = quaternion_from_campos(double([1, 1, 1]))
        reference = about((1, 2, 2), 40)
        predicted = multiply(gt, reference)

        def error(predicted: torch.Tensor) -> float:
            return float(angle_deg(multiply(predicted, conjugate(reference)), gt))

        assert error(predicted) == pytest.approx(0, abs=1e-6)
        assert error(-predicted) == pytest.approx(0, abs=1e-6)
        assert error(multiply(about(Y, 10), predicted)) == pytest.approx(10.0, abs=1e-9)

    @pytest.mark.parametrize("degrees", [0.0, 0.001, 30.0, 90.0, 179.999, 180.0])
    def test_it_is_the_angle_that_was_turned(self, degrees: float) -> None:
        q = quaternion_from_campos(double([1, -2, 0.5]))

        assert float(angle_deg(multiply(q, about((3, -1, 2), degrees)), q)) == pytest.approx(
            degrees, abs=1e-9
        )

    @given(a=quaternions(), b=quaternions(), turn=quaternions())
    def test_turning_both_changes_nothing(
        self, a: torch.Tensor, b: torch.Tensor, turn: torch.Tensor
    ) -> None:
        assert close(angle_deg(multiply(turn, a), multiply(turn, b)), angle_deg(a, b), 1e-6)
        assert close(angle_deg(a, b), angle_deg(b, -3 * a), 1e-6)


class TestAverage:
    def test_of_10_20_30_degrees_and_minus_20_it_is_20(self) -> None:
        q = torch.stack([about(Z, 10), about(Z, 20), about(Z, 30), -about(Z, 20)])

        assert close(average(q), double([0.984808, 0, 0, 0.173648]), 1e-6)
        assert close(average(q), about(Z, 20))

    @given(q=quaternions())
    def test_of_one_rotation_in_any_signs_it_is_that_one(self, q: torch.Tensor) -> None:
        mean = average(torch.stack([q, -2 * q, q]))

        assert mean[0] >= 0
        assert float(angle_deg(mean, q)) < 1e-5


class TestCameras:
    @pytest.mark.parametrize(("position", "quaternion"), CAMERAS)
    def test_the_quaternion_of_a_position(
        self, position: tuple[float, ...], quaternion: tuple[float, ...]
    ) -> None:
        assert close(quaternion_from_campos(double(position)), double(quaternion), 1e-6)

    def test_the_rows_of_its_matrix_are_the_viewing_direction_up_and_right(self) -> None:
        rows = double(
            [
                [-0.436436, -0.218218, -0.872872],
                [-0.097590, 0.975900, -0.195180],
                [0.894427, 0, -0.447214],
            ]
        )
        matrix = matrix_from_quaternion(quaternion_from_campos(double([1, -2, 0.5])))

        assert close(matrix, rows, 1e-6)
        assert float(torch.linalg.det(matrix)) == pytest.approx(1)

    @pytest.mark.parametrize(("position", "quaternion"), CAMERAS)
    def test_the_camera_stands_before_the_origin_in_the_clouds_frame(
        self, position: tuple[float, ...], quaternion: tuple[float, ...]
    ) -> None:
        towards = cloud_from_z_up(normalize(double(position)))

        assert close(rotate(double(quaternion), towards[None]), double([[-1, 0, 0]]), 1e-6)

    @pytest.mark.parametrize(("position", "quaternion"), CAMERAS)
    def test_our_camera_at_that_position_has_that_rotation(
        self, position: tuple[float, ...], quaternion: tuple[float, ...]
    ) -> None:
        ours = world_to_camera(viewpoint_of(cloud_from_z_up(double(position)).numpy()))

        assert float(angle_deg(quaternion_from_camera(double(ours)), double(quaternion))) < 1e-3

    @given(azimuth=st.floats(0, 360), elevation=st.floats(-89, 89), seed=st.integers(0, 2**31))
    def test_a_cloud_turned_by_it_lies_as_our_camera_sees_it(
        self, azimuth: float, elevation: float, seed: int
    ) -> None:
        """From the renderer's pixels: right and up and depth agree, in sign and size."""
        viewpoint = Viewpoint(azimuth_deg=azimuth, elevation_deg=elevation)
        matrix = world_to_camera(viewpoint)
        points = torch.rand(20, 3, generator=torch.Generator().manual_seed(seed)).double() - 0.5
        pixels, seen = project(points.numpy(), matrix, [[1, 0, 0], [0, 1, 0], [0, 0, 1]])

        depth, up, right = rotate(quaternion_from_camera(double(matrix)), points).T

        assert close(double(seen), depth + viewpoint.distance, 1e-9)
        assert close(double(pixels), torch.stack([right, -up], 1) / double(seen)[:, None], 1e-9)

    def test_a_camera_is_had_back_from_its_quaternion(self) -> None:
        matrices = double(
            [
                world_to_camera(Viewpoint(azimuth_deg=azimuth, elevation_deg=elevation)).tolist()
                for azimuth, elevation in ((0, 0), (123, 35), (300, -19))
            ]
        )

        assert close(camera_from_quaternion(3 * quaternion_from_camera(matrices)), matrices)

    @pytest.mark.parametrize("rig", ["dpc", "circle", "dodecahedron", "hammersley"])
    def test_both_ways_to_a_quaternion_agree_on_every_rig(self, rig: str) -> None:
        rng = np.random.default_rng(0)
        views = RIGS[rig].count or 8
        for view in range(views):
            viewpoint = RIGS[rig].place(view, views, rng)
            x, y, z = viewpoint.position
            a = quaternion_from_campos(double([x, -z, y]))
            b = quaternion_from_camera(double(world_to_camera(viewpoint)))
            assert float(angle_deg(a, b)) < 1e-5


def test_the_frame_map_takes_z_up_to_y_up_and_keeps_hands() -> None:
    matrix = double(geometry.Z_UP_TO_CLOUD)

    assert cloud_from_z_up(double([1, 2, 3])).tolist() == [1, 3, -2]
    assert float(torch.linalg.det(matrix)) == 1
    assert math.isclose(float((matrix @ matrix.T - torch.eye(3)).abs().max()), 0)
