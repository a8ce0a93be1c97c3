"""The content rules: true renders pass each of them, and each notices what it is there for."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from renderer import content, shards
from renderer.camera import Viewpoint, world_to_camera
from renderer.members import PASSES
from renderer.pointcloud import sample_surface
from renderer.shards import Dataset

Images = dict[str, np.ndarray]
Meta = dict[str, Any]


class Shape:
    """A rendered sample in memory, to be spoilt."""

    def __init__(self, sample: Any):
        self.meta: Meta = copy.deepcopy(sample.meta)
        self.arrays: Images = {name: array.copy() for name, array in sample.arrays().items()}
        self.points = sample.points

    def images(self, view: int = 0) -> Images:
        return {kind: self.arrays[f"{view:02d}.{kind}.png"] for kind in PASSES}

    def problems(self, view: int = 0) -> list[str]:
        return content.problems_of_view(self.images(view), self.meta["views"][view], self.points)

    def all_problems(self) -> list[str]:
        points = len(self.arrays["points.npy"])
        return content.problems_of_sample(self.meta, self.arrays, PASSES, points)


@pytest.fixture
def shape(rendered: Path) -> Shape:
    return Shape(Dataset(rendered)[0])


def solid(shape: Shape) -> tuple[int, int]:
    rows, columns = np.nonzero(shape.images()["rgba"][..., 3] == 255)
    return int(rows[len(rows) // 2]), int(columns[len(rows) // 2])


class TestTrueRenders:
    def test_of_every_sample_have_no_problem(self, rendered: Path) -> None:
        for sample in Dataset(rendered):
            assert Shape(sample).all_problems() == []

    def test_need_no_point_cloud(self, shape: Shape) -> None:
        shape.points = None
        assert shape.problems() == []

    @pytest.mark.parametrize("kept", [("rgba",), ("rgba", "depth"), ("rgba", "mask", "normal")])
    def test_need_no_other_pass_than_rgba(self, shape: Shape, kept: tuple[str, ...]) -> None:
        images = {kind: shape.images()[kind] for kind in kept}
        assert content.problems_of_view(images, shape.meta["views"][0], shape.points) == []


def empty_row(images: Images, _: Meta) -> None:
    images["rgba"][0, 20] = 255
    images["depth"][0, 20] = 40000
    images["normal"][0, 20] = (65535, 32768, 32768)
    images["mask"][0, 20] = 1


def wrong_bbox(images: Images, meta: Meta) -> None:
    meta["bbox"][2] += 1


def wrong_coverage(images: Images, meta: Meta) -> None:
    meta["coverage"] += 1e-6


def hole(images: Images, _: Meta) -> None:
    images["depth"][images["rgba"][..., 3] == 255] *= np.uint16(0)


def ghost(images: Images, _: Meta) -> None:
    images["depth"][images["rgba"][..., 3] == 0] = 7


def halo(images: Images, _: Meta) -> None:
    images["normal"][images["rgba"][..., 3] == 0] = 32768


def short(images: Images, _: Meta) -> None:
    inside = images["rgba"][..., 3] == 255
    images["normal"][inside] = (50000, 32768, 32768)


def nowhere(images: Images, _: Meta) -> None:
    images["mask"][images["rgba"][..., 3] == 255] = 0


def spilled(images: Images, _: Meta) -> None:
    images["mask"][0, 0] = 1


class TestEachRule:
    @pytest.mark.parametrize(
        ("spoil", "told"),
        [
            (empty_row, "clipped"),
            (wrong_bbox, "bbox or coverage"),
            (wrong_coverage, "bbox or coverage"),
            (hole, "opaque pixels have no depth"),
            (ghost, "transparent pixels have a depth"),
            (halo, "transparent pixels have a normal"),
            (short, "not of unit length"),
            (nowhere, "belong to no part"),
            (spilled, "transparent pixels belong to a part"),
        ],
    )
    def test_notices_what_it_is_for(
        self, shape: Shape, spoil: Callable[[Images, Meta], None], told: str
    ) -> None:
        spoil(shape.images(), shape.meta["views"][0])

        assert any(told in problem for problem in shape.problems())
        assert any(problem.startswith("view 0: ") for problem in shape.all_problems())

    @pytest.mark.parametrize("pass_", ["depth", "normal", "mask"])
    def test_notices_a_single_pixel(self, shape: Shape, pass_: str) -> None:
        row, column = solid(shape)
        shape.images()[pass_][row, column] = 0
        assert len(shape.problems()) == 1

    def test_a_partly_covered_pixel_may_or_may_not_have_a_depth(self, shape: Shape) -> None:
        images = shape.images()
        partly = (images["rgba"][..., 3] > 0) & (images["rgba"][..., 3] < 255)
        assert partly.any()
        for depth in (0, 40000):
            images["depth"][partly] = depth
            assert shape.problems() == []

    def test_blank_is_less_than_2_in_1000_pixels(self) -> None:
        rgba = np.zeros((100, 100, 4), np.uint8)
        assert content.blank(rgba) == "blank: 0.00% of the pixels are covered"
        rgba[50, 40:59, 3] = 1
        assert "blank: 0.19%" in str(content.blank(rgba))
        rgba[50, 59, 3] = 1
        assert content.blank(rgba) is None

    def test_a_blank_view_is_told_and_nothing_else(self, shape: Shape) -> None:
        for image in shape.images().values():
            image[:] = 0
        (problem,) = shape.problems()
        assert problem.startswith("blank")

    @pytest.mark.parametrize("where", [np.s_[0, 9], np.s_[-1, 9], np.s_[9, 0], np.s_[9, -1]])
    def test_clipped_is_any_alpha_at_any_border(self, shape: Shape, where: Any) -> None:
        shape.images()["rgba"][..., 3][where] = 1
        assert any("clipped" in problem for problem in shape.problems())

    def test_the_passes_swapped_between_views_are_noticed(self, shape: Shape) -> None:
        for kind in ("depth", "normal", "mask"):
            swapped = shape.images() | {kind: shape.images(1)[kind]}
            found = content.problems_of_view(swapped, shape.meta["views"][0], shape.points)
            assert found, kind


class TestPointsAndPixels:
    def test_two_views_that_changed_places_are_noticed(self, shape: Shape) -> None:
        for kind in PASSES:
            one, two = f"00.{kind}.png", f"01.{kind}.png"
            shape.arrays[one], shape.arrays[two] = shape.arrays[two], shape.arrays[one]
        for view in range(2):  # as an honest mistake would do it: the pictures' own figures fit
            shape.meta["views"][view] |= content.describe_view(shape.images(view)["rgba"])

        assert any("points" in p for p in shape.all_problems())

    @pytest.mark.parametrize(("by", "share"), [(5, 0.3), (10, 0.9), (20, 0.9), (45, 0.95)])
    def test_most_wrong_azimuths_are_noticed_at_the_usual_size(
        self, blender: Any, shapes_folder: Path, by: float, share: float
    ) -> None:
        views = [{"azimuth": 25.0 + 60 * n, "elevation": 8.0 * n - 10} for n in range(6)]
        path = shapes_folder / "chair" / "high.obj"
        rendered = blender.render(path, views, size=(128, 128), spp=4)
        points, _ = sample_surface(rendered.triangles, 16384, np.random.default_rng(0))
        noticed = []
        for view, images in zip(views, rendered.views, strict=True):
            meta = {"intrinsics": rendered.intrinsics, **content.describe_view(images["rgba"])}
            for error in (0, by, -by):
                camera = Viewpoint(
                    azimuth_deg=view["azimuth"] + error, elevation_deg=view["elevation"]
                )
                meta["world_to_camera"] = world_to_camera(camera)
                found = content.problems_of_view(images, meta, points, shards.DEPTH_SCALE)
                if error:
                    noticed.append(bool(found))
                else:
                    assert found == []

        assert np.mean(noticed) >= share

    @pytest.mark.parametrize("by", [30, 90, 180])
    def test_an_azimuth_that_is_quite_wrong_is_noticed(self, shape: Shape, by: float) -> None:
        view = shape.meta["views"][0]
        wrong = Viewpoint(azimuth_deg=view["azimuth_deg"] + by, elevation_deg=view["elevation_deg"])
        view["world_to_camera"] = world_to_camera(wrong).tolist()
        assert any("points" in problem for problem in shape.problems())

    @pytest.mark.parametrize(
        "change",
        [
            lambda points: points[:, [2, 1, 0]],
            lambda points: points * [-1, 1, 1],
            lambda points: points[:, [0, 2, 1]] * [1, 1, -1],
            lambda points: points * 1.1,
            lambda points: points * 0.8,
            lambda points: points + [0.05, 0.05, 0.05],
        ],
        ids=["axes swapped", "mirrored", "z up", "too large", "too small", "moved"],
    )
    def test_points_in_another_frame_are_noticed(
        self, shape: Shape, change: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        shape.arrays["points.npy"] = np.asarray(change(shape.points), np.float32)
        assert any("points" in problem for problem in shape.all_problems())

    def test_a_part_that_the_points_lack_is_noticed(self, shape: Shape) -> None:
        half = shape.points[shape.points[:, 0] < 0]
        shape.arrays["points.npy"] = half[np.arange(len(shape.points)) % len(half)]
        assert any("cover only" in problem for problem in shape.all_problems())

    def test_points_behind_the_camera_are_noticed(self, shape: Shape) -> None:
        shape.points = shape.points - np.array([2, 0, 0])
        shape.meta["views"][0]["world_to_camera"] = world_to_camera(
            Viewpoint(azimuth_deg=180, elevation_deg=0, distance=0.1)  # it looks along +x
        ).tolist()
        assert any("behind the camera" in problem for problem in shape.problems())

    @given(size=st.integers(8, 4096), points=st.integers(1, 10_000_000))
    def test_the_radius_of_a_point_is_2_pixels_and_more_where_points_are_few(
        self, size: int, points: int
    ) -> None:
        radius = content.cover_radius(size, points)
        assert radius >= 2 and radius >= content.cover_radius(size, points + 1)
        assert content.cover_radius(128, 16384) == 2 == content.cover_radius(64, 16384)


class TestClouds:
    @pytest.mark.parametrize("name", ["points.npy", "normals.npy"])
    @pytest.mark.parametrize(
        "spoil",
        [
            lambda a: a.astype(np.float64),
            lambda a: a[:-1],
            lambda a: a[:, :2],
            lambda a: np.where(np.arange(len(a))[:, None] == 5, np.nan, a).astype(np.float32),
        ],
        ids=["double precision", "one too few", "two columns", "not a number"],
    )
    def test_of_another_type_or_shape_or_not_finite_are_told(
        self, shape: Shape, name: str, spoil: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        count = len(shape.points)
        shape.arrays[name] = spoil(shape.arrays[name])
        found = content.problems_of_sample(shape.meta, shape.arrays, PASSES, count)
        assert len(found) == 1 and found[0].startswith(name)

    def test_images_of_another_size_are_told(self, shape: Shape) -> None:
        shape.arrays["01.depth.png"] = shape.arrays["01.depth.png"][:-1]
        assert any(p.startswith("view 1: images of") for p in shape.all_problems())


class TestDescribeView:
    def test_box_and_coverage_are_those_of_alpha_above_nought(self) -> None:
        rgba = np.zeros((6, 10, 4), np.uint8)
        rgba[2:4, 3:8, 3] = 255
        rgba[4, 7, 3] = 1

        assert content.describe_view(rgba) == {"bbox": [3, 2, 8, 5], "coverage": 11 / 60}

    def test_an_empty_picture_has_an_empty_box(self) -> None:
        rgba = np.zeros((6, 10, 4), np.uint8)
        assert content.describe_view(rgba) == {"bbox": [0, 0, 0, 0], "coverage": 0}
