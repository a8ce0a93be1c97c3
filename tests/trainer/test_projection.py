"""The lean projection against the direct one, and both against models.md, sections 1.5 and 8."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from renderer import camera
from tests.trainer import direct_projection as direct
from trainer import geometry, projection
from trainer.geometry import quaternion_from_camera, quaternion_from_campos, rotate
from trainer.projection import band, kernel, perspective, project, view

SIGMAS = [3.0, 1.0, 0.64, 0.2]


def double(values: object) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def cloud(n: int, count: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    """[n, count, 3] points, some outside of the grid, some in a lump that fills voxels."""
    generator = torch.Generator().manual_seed(seed)
    points = (torch.rand(n, count, 3, generator=generator, dtype=torch.float64) - 0.5) * 1.1
    points[:, : count // 3] = points[:, : count // 3] * 0.1 + 0.2
    return points.to(dtype)


class TestCamera:
    def test_perspective_of_a_point_from_the_front(self) -> None:
        seen = view(double([[[0.1, -0.2, 0.3]]]), double([[1, 0, 0, 0]]))

        assert torch.allclose(seen, double([0.1, -0.178571, 0.267857]), atol=1e-6)

    def test_a_camera_at_1_1_1_turns_and_projects_it_there(self) -> None:
        q = quaternion_from_campos(double([1, 1, 1]))
        point = double([[0.1, -0.2, 0.3]])

        turned = rotate(q, point)

        assert torch.allclose(turned, double([0.230940, -0.081650, -0.282843]), atol=1e-6)
        assert torch.allclose(
            perspective(turned[None]), double([0.230940, -0.068623, -0.237716]), atol=1e-6
        )

    def test_it_is_the_renderers_own_camera(self) -> None:
        assert camera.DISTANCE == geometry.DISTANCE
        assert camera.FOCAL_MM / camera.SENSOR_MM == projection.FOCAL


class TestKernel:
    @pytest.mark.parametrize(
        ("taps", "sigma", "places", "values"),
        [
            (21, 3.0, (10, 11, 20), (0.133039, 0.125850, 0.000514318)),
            (21, 0.2, (10,), (0.99999255,)),
            (11, 1.0, (5, 6, 10), (0.398942, 0.241971, 1.4867e-6)),
        ],
    )
    def test_its_published_values(
        self, taps: int, sigma: float, places: tuple[int, ...], values: tuple[float, ...]
    ) -> None:
        weights = kernel(sigma, taps)

        assert weights[list(places)].tolist() == pytest.approx(values, rel=2e-5)
        assert float(weights.sum()) == pytest.approx(1)

    @pytest.mark.parametrize("sigma", SIGMAS)
    @pytest.mark.parametrize("voxels", [7, 32])
    def test_the_band_matrix_is_a_convolution_that_sees_nothing_outside(
        self, sigma: float, voxels: int
    ) -> None:
        line = torch.rand(voxels, dtype=torch.float64)
        weights = kernel(sigma).view(1, 1, -1)
        expected = torch.nn.functional.conv1d(line[None, None], weights, padding=10)[0, 0]

        assert torch.allclose(band(sigma, voxels) @ line, expected, atol=1e-15)
        assert torch.equal(band(sigma, voxels), band(sigma, voxels).T)


class TestSplat:
    def test_a_point_shares_itself_among_its_eight_neighbours(self) -> None:
        """Grid (37.8, 18.9, 50.4): floors (37, 18, 50), fractions (.8, .9, .4)."""
        corners, weights, _, _ = projection._splat_weights(double([[[0.1, -0.2, 0.3]]]), 64)
        expected = {
            ((37 + z) * 64 + 18 + y) * 64 + 50 + x: (0.8 if z else 0.2)
            * (0.9 if y else 0.1)
            * (0.4 if x else 0.6)
            for z, y, x in itertools.product((0, 1), repeat=3)
        }

        shares = dict(zip(corners.tolist(), weights.flatten().tolist(), strict=True))

        assert shares == pytest.approx(expected)

    def test_points_on_the_border_count_and_points_behind_it_do_not(self) -> None:
        ends = [-0.5, 0.5]
        on = double(list(itertools.product(ends, repeat=3)))
        off = double(list(itertools.product([-0.5000001, 0.5000001], repeat=3)))
        for points, total in ((on, 8.0), (off, 0.0)):
            corners, weights, _, _ = projection._splat_weights(points[None], 5)
            grid = torch.zeros(125, dtype=torch.float64).index_add(0, corners, weights.flatten())
            assert float(grid.sum()) == pytest.approx(total)
            assert torch.equal(grid.view(1, 5, 5, 5), direct.splat(points[None], 5, total and ONES))

    def test_a_point_that_is_no_number_is_not_seen(self) -> None:
        points = cloud(1, 9)
        points[0, 4] = float("nan")

        seen = project(points, double([1]), 1.0, 8).silhouette

        assert torch.equal(
            seen, project(points[:, [0, 1, 2, 3, 5, 6, 7, 8]], double([1]), 1.0, 8).silhouette
        )


ONES = torch.ones(1, 8, dtype=torch.float64)


class TestRays:
    """o = (.1, .5, 0, .9) along one ray."""

    occupancy = double([0.1, 0.5, 0.0, 0.9]).view(1, 4, 1, 1)

    def grids(self) -> projection._Grids:
        grids = projection._Grids.__new__(projection._Grids)
        grids.occupancy = self.occupancy.clamp(1e-5, 1 - 1e-5)
        grids.colour = None
        return grids

    def test_where_they_end_in_the_direct_form(self) -> None:
        ends = direct.terminate(self.occupancy).flatten()

        assert ends.tolist() == pytest.approx([0.100001, 0.45, 4.5e-6, 0.404996, 0.045], abs=2e-6)

    def test_silhouette_and_depth(self) -> None:
        silhouette, depth = projection._look(self.grids(), 10.0).flatten().tolist()

        # The authors' first layer is exp(1e-5) times too bright, which makes it 0.95500145.
        assert silhouette == pytest.approx(0.95500045, abs=1e-8)
        assert depth == pytest.approx(2.29875, abs=2e-5)  # the clip moves it by 1.2e-5

    def test_the_layers_of_four_voxels(self) -> None:
        assert projection.depths(4) == [1.5, 1.75, 2, 2.25]


class TestAgainstTheDirectForm:
    @pytest.mark.parametrize("sigma", SIGMAS)
    @pytest.mark.parametrize("depth", [None, 10.0, 2.6])
    @pytest.mark.parametrize("colour", [False, True])
    def test_values_and_gradients_are_the_same(
        self, sigma: float, depth: float | None, colour: bool
    ) -> None:
        voxels, n, count = 11, 3, 60
        results = []
        for form in (project, direct.project):
            torch.manual_seed(1)
            points = cloud(n, count).requires_grad_()
            scale = double([0.4, 1.0, 1.7]).requires_grad_()
            colours = torch.rand(n, count, 3, dtype=torch.float64, requires_grad=True)
            paint = colours if colour else None
            pictures = form(points, scale, sigma, voxels, depth=depth, colours=paint)
            pictures = [picture for picture in pictures if picture is not None]
            loss = sum((picture * torch.randn_like(picture)).sum() for picture in pictures)
            torch.autograd.backward(loss)
            found = [points.grad, scale.grad, *([colours.grad] if colour else [])]
            results.append([*(picture.detach() for picture in pictures), *found])

        for ours, theirs in zip(*results, strict=True):
            assert torch.allclose(ours, theirs, atol=1e-10, rtol=1e-10)

    @pytest.mark.parametrize("sigma", SIGMAS)
    def test_of_64_cubed_and_8000_points_in_float32_to_1e_5(self, sigma: float) -> None:
        points = torch.nn.functional.normalize(cloud(1, 8000, torch.float32), dim=-1) * 0.4
        ours = project(points, torch.ones(1), sigma, 64, depth=10.0)
        silhouette, depth, _ = direct.project(points, torch.ones(1), sigma, 64, depth=10.0)

        assert float((ours.silhouette - silhouette).abs().max()) < 1e-5
        assert ours.depth is not None and depth is not None
        assert float((ours.depth - depth).abs().max()) < 1e-4  # metres, up to 10: 1e-5 of them


class TestGradients:
    @pytest.mark.parametrize("depth", [None, 3.0])
    def test_they_are_those_of_finite_differences(self, depth: float | None) -> None:
        points = (cloud(2, 6) * 0.8).requires_grad_()
        scale = double([0.5, 0.9]).requires_grad_()
        colours = torch.rand(2, 6, 3, dtype=torch.float64, requires_grad=True)

        def look(points: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
            pictures = project(points, scale, 1.0, 6, depth=depth)
            return pictures.silhouette if depth is None else pictures.depth  # type: ignore[return-value]

        def paint(colours: torch.Tensor) -> torch.Tensor:
            pictures = project(points.detach(), scale.detach(), 1.0, 6, colours=colours)
            return pictures.colour  # type: ignore[return-value]

        assert torch.autograd.gradcheck(look, (points, scale))
        assert torch.autograd.gradcheck(paint, (colours,))

    def test_points_outside_and_saturated_voxels_get_none(self) -> None:
        outside = double([[[0.0, 0.0, 0.6]]]).requires_grad_()
        heap = double([[[0.06, 0.05, 0.07]]]).repeat(1, 99, 1).requires_grad_()
        for points in (outside, heap):
            project(points, double([0.5]), 1.0, 9).silhouette.sum().backward()
            assert points.grad is not None and not points.grad.any()

    def test_a_picture_without_a_gradient_costs_its_cloud_nothing(self) -> None:
        points = cloud(4, 30).requires_grad_()
        pictures = project(points, torch.ones(4).double(), 1.0, 8).silhouette
        counted: list[int] = []
        whole = projection._Grids.__init__

        def count(self: projection._Grids, points: torch.Tensor, *more: torch.Tensor) -> None:
            counted.append(len(points))
            whole(self, points, *more)

        projection._Grids.__init__ = count  # type: ignore[method-assign]
        try:
            pictures[2].sum().backward()
        finally:
            projection._Grids.__init__ = whole  # type: ignore[method-assign]

        assert counted == [1]
        assert points.grad is not None
        assert [bool(one.any()) for one in points.grad] == [False, False, True, False]

    def test_clouds_in_several_chunks_are_as_in_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def run() -> list[torch.Tensor]:
            points = cloud(5, 40).requires_grad_()
            seen = project(points, torch.ones(5).double(), 1.0, 8).silhouette
            seen.square().sum().backward()
            assert points.grad is not None
            return [seen.detach(), points.grad]

        whole = run()
        monkeypatch.setattr(projection, "CPU_VOXELS", 2 * 8**3)
        parts = run()

        for one, other in zip(whole, parts, strict=True):
            assert torch.allclose(one, other, atol=1e-14)


class TestPrecision:
    def test_under_autocast_it_is_computed_in_float32_both_ways(self) -> None:
        results = []
        for enabled in (False, True):
            points = cloud(2, 50, torch.float32).requires_grad_()
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                seen = project(points, torch.ones(2), 1.0, 16).silhouette
                assert seen.dtype == torch.float32
                seen.square().sum().backward()
            assert points.grad is not None
            results.append((seen.detach(), points.grad))

        assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_a_cloud_lands_where_our_renderer_sees_it() -> None:
    """From points and camera matrices alone: a pixel of the picture per voxel of the grid."""
    rng = np.random.default_rng(3)
    points = rng.uniform(-0.2, 0.2, (1, 3)) + [[0.1, 0.15, -0.05]]
    voxels = 64
    for azimuth, elevation in ((0, 0), (35, 20), (130, -15), (250, 39)):
        matrix = camera.world_to_camera(
            camera.Viewpoint(azimuth_deg=azimuth, elevation_deg=elevation)
        )
        pixels, _ = camera.project(points, matrix, camera.intrinsics((voxels, voxels)))
        seen = view(double(points)[None], quaternion_from_camera(double(matrix))[None])

        silhouette = project(seen, double([1.0]), 0.6, voxels).silhouette[0]

        nodes = torch.arange(voxels).double() / (voxels - 1) * voxels  # from edge to edge
        light = silhouette - silhouette.min()
        row = float((light.sum(1) * nodes).sum() / light.sum())
        column = float((light.sum(0) * nodes).sum() / light.sum())
        assert (column, row) == pytest.approx(tuple(pixels[0]), abs=0.05)


def test_no_grid_outlives_the_forward_pass() -> None:
    """What is kept for the backward pass are the clouds: 24 kB here, where a grid has 8 MB."""
    points = cloud(8, 1000, torch.float32).requires_grad_()

    kept = project(points, torch.ones(8), 1.0, 64).silhouette.grad_fn

    assert kept is not None
    sizes = [t.numel() for t in kept.next_functions[0][0].saved_tensors if t is not None]
    assert sum(sizes) < 64**3
