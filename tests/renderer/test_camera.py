"""Cameras: projection, the rigs, and what other programs call the same directions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from renderer.camera import (
    RIGS,
    Viewpoint,
    dodecahedron_vertices,
    filter_width,
    intrinsics,
    project,
    rig_views,
    unproject,
    viewpoint_of,
    world_to_camera,
)

PHI = (1 + 5**0.5) / 2

viewpoints = st.builds(
    Viewpoint,
    azimuth_deg=st.floats(-720, 720),
    elevation_deg=st.floats(-89, 89),
    distance=st.floats(0.9, 50),
)
sizes = st.tuples(st.integers(8, 4096), st.integers(8, 4096))
inside_unit_ball = st.lists(st.tuples(*[st.floats(-0.28, 0.28)] * 3), min_size=1, max_size=20).map(
    np.array
)


def placed(rig: str, views: int | None = None) -> list[Viewpoint]:
    count = rig_views(rig, views)
    return [RIGS[rig].place(n, count, np.random.default_rng(n)) for n in range(count)]


def directions(rig: str, views: int | None = None) -> np.ndarray:
    return np.array([v.position / v.distance for v in placed(rig, views)])


class TestProjection:
    @given(viewpoint=viewpoints, size=sizes, points=inside_unit_ball)
    def test_unproject_undoes_project(
        self, viewpoint: Viewpoint, size: tuple[int, int], points: np.ndarray
    ) -> None:
        matrix, intrinsic = world_to_camera(viewpoint), intrinsics(size)

        pixels, depth = project(points, matrix, intrinsic)

        assert (depth > 0).all()
        assert np.allclose(unproject(pixels, depth, matrix, intrinsic), points, atol=1e-9)

    @given(viewpoint=viewpoints, size=sizes)
    def test_the_origin_falls_on_the_middle_of_the_image_at_the_cameras_distance(
        self, viewpoint: Viewpoint, size: tuple[int, int]
    ) -> None:
        pixels, depth = project([[0, 0, 0]], world_to_camera(viewpoint), intrinsics(size))

        assert np.allclose(pixels, [[size[0] / 2, size[1] / 2]], atol=1e-6)
        assert np.allclose(depth, viewpoint.distance)

    def test_a_point_above_the_origin_lies_higher_in_the_image_and_one_to_the_right_farther_right(
        self,
    ) -> None:
        # From azimuth 0 the camera is at +x; its right is -z.
        viewpoint = Viewpoint(azimuth_deg=0, elevation_deg=0)
        matrix, intrinsic = world_to_camera(viewpoint), intrinsics((100, 100))

        (above, right), _ = project([[0, 0.1, 0], [0, 0, -0.1]], matrix, intrinsic)

        assert above[1] < 50 and above[0] == pytest.approx(50)
        assert right[0] > 50 and right[1] == pytest.approx(50)

    def test_a_point_behind_the_camera_has_a_negative_depth(self) -> None:
        viewpoint = Viewpoint(azimuth_deg=90, elevation_deg=0)
        _, depth = project(
            2 * viewpoint.position[None], world_to_camera(viewpoint), intrinsics((8, 8))
        )
        assert depth[0] == pytest.approx(-2)

    def test_the_lens_is_60_mm_on_a_32_mm_sensor_as_wide_as_the_image(self) -> None:
        assert np.allclose(
            intrinsics((128, 96)), [[240, 0, 64], [0, 240, 48], [0, 0, 1]]
        )  # 1.875 image widths


class TestLookingAtTheOrigin:
    @given(viewpoint=viewpoints)
    def test_the_rotation_is_orthonormal_and_keeps_handedness(self, viewpoint: Viewpoint) -> None:
        matrix = world_to_camera(viewpoint)

        assert np.allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-12)
        assert np.linalg.det(matrix[:3, :3]) == pytest.approx(1)
        assert (matrix[3] == [0, 0, 0, 1]).all()

    @given(viewpoint=viewpoints)
    def test_the_camera_stands_at_the_viewpoints_position_upright(
        self, viewpoint: Viewpoint
    ) -> None:
        matrix = world_to_camera(viewpoint)
        a, e = np.radians(viewpoint.azimuth_deg), np.radians(viewpoint.elevation_deg)
        expected = viewpoint.distance * np.array(
            [np.cos(e) * np.cos(a), np.sin(e), -np.cos(e) * np.sin(a)]
        )

        assert np.allclose(viewpoint.position, expected)
        assert np.allclose(matrix @ [*expected, 1], [0, 0, 0, 1], atol=1e-9)
        assert abs(matrix[0, 1]) < 1e-12  # its right is level
        assert matrix[1, 1] < 0  # its down points down

    @pytest.mark.parametrize("elevation", [90, -90])
    def test_straight_above_is_refused_as_nothing_is_upright_there(self, elevation: float) -> None:
        with pytest.raises(ValueError, match="less than 90"):
            world_to_camera(Viewpoint(azimuth_deg=0, elevation_deg=elevation))

    @given(viewpoint=viewpoints)
    def test_the_viewpoint_of_a_position_is_that_viewpoint(self, viewpoint: Viewpoint) -> None:
        again = viewpoint_of(viewpoint.position, viewpoint.distance)

        assert np.allclose(again.position, viewpoint.position, atol=1e-9)
        assert 0 <= again.azimuth_deg <= 360 and -90 <= again.elevation_deg <= 90


class TestBlendersAxes:
    """models.md 1.4: Blender (x, y, z) is (x, z, -y) here."""

    @pytest.mark.parametrize(
        ("blender", "azimuth", "elevation"),
        [
            ((2, 0, 0), 0, 0),
            ((0, 2, 0), 90, 0),
            ((-2, 0, 0), 180, 0),
            ((0, -2, 0), 270, 0),
            ((1, 1, 1), 45, np.degrees(np.arcsin(1 / 3**0.5))),
            ((1, -2, 0.5), 360 - np.degrees(np.arctan2(2, 1)), np.degrees(np.arcsin(1 / 21**0.5))),
        ],
    )
    def test_azimuth_goes_from_x_to_y_in_blender_and_elevation_upwards(
        self, blender: tuple[float, ...], azimuth: float, elevation: float
    ) -> None:
        x, y, z = blender
        viewpoint = viewpoint_of((x, z, -y), float(np.linalg.norm(blender)))

        assert viewpoint.azimuth_deg % 360 == pytest.approx(azimuth % 360)
        assert viewpoint.elevation_deg == pytest.approx(elevation)
        assert np.allclose(viewpoint.position, (x, z, -y))

    @pytest.mark.parametrize(
        ("blender", "quaternion"),
        [
            ((2, 0, 0), (0, 0, 1, 0)),
            ((-2, 0, 0), (-1, 0, 0, 0)),
            ((0, 2, 0), (-0.707107, 0, -0.707107, 0)),
            ((0, -2, 0), (-0.707107, 0, 0.707107, 0)),
            ((1, 1, 1), (-0.364705, 0.279848, -0.880476, -0.115917)),
            ((1, -2, 0.5), (-0.522554, -0.093378, 0.845510, -0.057711)),
        ],
    )
    def test_our_matrix_is_the_rotation_of_the_published_quaternion(
        self, blender: tuple[float, ...], quaternion: tuple[float, ...]
    ) -> None:
        """The quaternion takes a point of the cloud to (viewing direction, up, right)."""
        x, y, z = blender
        matrix = world_to_camera(viewpoint_of((x, z, -y)))
        right, down, forward = matrix[:3, :3]

        assert np.allclose(rotation(quaternion), [forward, -down, right], atol=2e-6)


def rotation(quaternion: tuple[float, ...]) -> np.ndarray:
    w, x, y, z = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


class TestRigs:
    @pytest.mark.parametrize("rig", RIGS)
    def test_every_camera_of_every_rig_looks_at_the_origin_from_2_away_and_upright(
        self, rig: str
    ) -> None:
        for viewpoint in placed(rig):
            assert np.linalg.norm(viewpoint.position) == pytest.approx(2)
            world_to_camera(viewpoint)

    @pytest.mark.parametrize("rig", [name for name in RIGS if name not in ("dpc", "street")])
    def test_no_two_cameras_of_a_rig_that_is_not_random_stand_in_one_place(self, rig: str) -> None:
        positions = directions(rig)
        apart = np.linalg.norm(positions[:, None] - positions, axis=2)

        assert (apart + np.eye(len(positions)) > 1e-3).all()

    def test_circle_is_every_30_degrees_at_30_degrees_elevation(self) -> None:
        assert [(v.azimuth_deg, v.elevation_deg) for v in placed("circle")] == [
            (30 * n, 30) for n in range(12)
        ]

    @pytest.mark.parametrize("views", [1, 5, 7, 100])
    def test_orbit_is_evenly_round_the_shape(self, views: int) -> None:
        viewpoints = placed("orbit", views)

        assert np.allclose([v.azimuth_deg for v in viewpoints], np.arange(views) * 360 / views)
        assert {v.elevation_deg for v in viewpoints} == {20}

    def test_miro_is_10_elevations_of_16_azimuths_each_and_the_azimuth_changes_first(self) -> None:
        viewpoints = placed("miro")

        assert len(viewpoints) == 160
        for number, viewpoint in enumerate(viewpoints):
            elevation, azimuth = divmod(number, 16)
            assert viewpoint.azimuth_deg == 22.5 * azimuth
            assert viewpoint.elevation_deg == viewpoints[16 * elevation].elevation_deg
        assert len({v.elevation_deg for v in viewpoints}) == 10
        assert [v.elevation_deg for v in viewpoints] == sorted(v.elevation_deg for v in viewpoints)

    def test_dpc_is_any_azimuth_at_20_degrees_below_to_40_above(self) -> None:
        viewpoints = placed("dpc", 1000)
        azimuths = np.array([v.azimuth_deg for v in viewpoints])
        elevations = np.array([v.elevation_deg for v in viewpoints])

        assert azimuths.min() >= 0 and azimuths.max() < 360
        assert elevations.min() >= -20 and elevations.max() <= 40
        assert np.histogram(azimuths, 10, (0, 360))[0].min() > 60  # of 100 expected
        assert np.histogram(elevations, 10, (-20, 40))[0].min() > 60


class TestDodecahedron:
    def test_the_vertices_are_in_the_order_of_rotationnets_table(self) -> None:
        a, b = 1 / PHI, PHI
        signs = [(1, 1), (1, -1), (-1, 1), (-1, -1)]
        expected = [
            *itertools.product((1, -1), repeat=3),
            *[(0, s * a, t * b) for s, t in signs],
            *[(s * b, 0, t * a) for s, t in signs],
            *[(s * a, t * b, 0) for s, t in [(1, 1), (-1, 1), (1, -1), (-1, -1)]],
        ]

        assert np.allclose(dodecahedron_vertices(), expected)

    def test_all_20_lie_on_one_sphere_and_each_has_3_neighbours_at_the_edges_length(self) -> None:
        vertices = dodecahedron_vertices()
        apart = np.linalg.norm(vertices[:, None] - vertices, axis=2)

        assert np.allclose(np.linalg.norm(vertices, axis=1), 3**0.5)
        assert (np.isclose(apart, 2 / PHI).sum(axis=1) == 3).all()
        assert apart[apart > 1e-9].min() == pytest.approx(2 / PHI)

    def test_cameras_are_the_vertices_with_z_turned_up_to_y(self) -> None:
        x, y, z = dodecahedron_vertices().T / 3**0.5

        assert np.allclose(directions("dodecahedron"), np.stack([x, z, -y], axis=1))

    def test_exactly_60_rotations_permute_the_cameras(self) -> None:
        cameras = directions("dodecahedron")
        edges = np.isclose(np.linalg.norm(cameras[:, None] - cameras, axis=2), 2 / PHI / 3**0.5)
        frame = np.stack([cameras[0], *cameras[np.flatnonzero(edges[0])[:2]]])
        found = set()
        for first in range(20):
            for second, third in itertools.permutations(np.flatnonzero(edges[first]), 2):
                turn = np.linalg.solve(frame, cameras[[first, second, third]]).T
                if np.linalg.det(turn) < 0:
                    continue
                apart = np.linalg.norm((cameras @ turn.T)[:, None] - cameras, axis=2)
                assert np.isclose(apart.min(axis=1), 0, atol=1e-9).all()
                found.add(tuple(apart.argmin(axis=1)))

        assert len(found) == 60 and tuple(range(20)) in found
        assert all(sorted(permutation) == list(range(20)) for permutation in found)
        closed = {tuple(one[i] for i in other) for one in found for other in found}
        assert closed == found


class TestHammersley:
    @pytest.mark.parametrize("views", [20, 64, 150, 1000])
    def test_every_cap_of_the_sphere_has_its_share_of_the_cameras(self, views: int) -> None:
        cameras = directions("hammersley", views)
        rng = np.random.default_rng(0)
        centres = rng.normal(size=(300, 3))
        centres /= np.linalg.norm(centres, axis=1, keepdims=True)
        heights = rng.uniform(-1, 1, 300)

        share = (centres @ cameras.T >= heights[:, None]).mean(axis=1)
        worst = np.abs(share - (1 - heights) / 2).max()

        assert worst < 1.2 * views**-0.75 + 0.5 / views  # random places: about views ** -0.5

    def test_the_whole_sphere_is_covered_from_pole_to_pole(self) -> None:
        height = directions("hammersley", 100)[:, 1]

        assert height.max() > 0.98 and height.min() < -0.98
        assert np.allclose(directions("hammersley", 100).mean(axis=0), 0, atol=0.03)

    def test_one_camera_looks_from_the_side(self) -> None:
        assert placed("hammersley", 1)[0].elevation_deg == pytest.approx(0)


def test_street_cameras_stand_as_low_as_photographers_and_all_around() -> None:
    rng = np.random.default_rng(0)
    placed = [RIGS["street"].place(view, 500, rng) for view in range(500)]
    low = np.array([viewpoint.elevation_deg for viewpoint in placed])
    around = np.histogram([viewpoint.azimuth_deg for viewpoint in placed], 4, (0, 360))[0]

    assert low.min() >= 3 and low.max() <= 36
    assert low.mean() == pytest.approx((3 + 9 + 36) / 3, abs=1)
    assert around.min() > 90


class TestNumberOfViews:
    @pytest.mark.parametrize(
        ("rig", "views", "made"),
        [
            ("dpc", None, 5),
            ("dpc", 24, 24),
            ("circle", None, 12),
            ("circle", 12, 12),
            ("dodecahedron", None, 20),
            ("miro", None, 160),
            ("hammersley", 37, 37),
            ("orbit", None, 5),
            ("street", 7, 7),
        ],
    )
    def test_a_rig_makes_so_many(self, rig: str, views: int | None, made: int) -> None:
        assert rig_views(rig, views) == made

    def test_a_number_that_contradicts_a_fixed_rig_is_refused_with_both_numbers(self) -> None:
        with pytest.raises(
            ValueError, match="--views 5 contradicts --cameras circle, which has 12"
        ):
            rig_views("circle", 5)

    @pytest.mark.parametrize("views", [0, -1, 1001])
    def test_a_number_out_of_range_is_refused(self, views: int) -> None:
        with pytest.raises(ValueError, match=f"--views {views}"):
            rig_views("dpc", views)

    def test_an_unknown_rig_is_refused_and_the_known_ones_are_named(self) -> None:
        with pytest.raises(ValueError, match="'ring'; there are dpc, circle, dodecahedron, miro"):
            rig_views("ring", None)


@pytest.mark.parametrize("size", [33, 48, 64, 78, 79, 128])
def test_the_pixel_filter_of_the_border_does_not_reach_a_shape(size: int) -> None:
    intrinsic = intrinsics((size, size))
    # The point of the sphere of diameter 1 that a camera two units away sees furthest out.
    edge = np.array([[0.5 * np.cos(np.arcsin(0.25)), 0, 2 - 0.5 * 0.25]])
    pixels, _ = project(edge, np.eye(4), intrinsic)

    assert pixels[0, 0] <= size - 0.5 - filter_width(size) / 2 + 1e-9
