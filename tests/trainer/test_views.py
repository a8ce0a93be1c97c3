from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from tests.trainer.datasets import make_dataset
from trainer.data import Item, Reader, Snapshot
from trainer.errors import DatasetRefused
from trainer.geometry import DISTANCE, rotate
from trainer.loader import stack
from trainer.projection import view
from trainer.views import Views, jittered, look, mirrored, onto_grid

SIZE = 48


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    folder = make_dataset(
        tmp_path_factory.mktemp("views"), ("cars", "chairs"), size=SIZE, views=5, points=600,
        splits={"train": 2, "val": 1},
    )  # fmt: skip
    return Snapshot.take([folder])


def views_of(snapshot: Snapshot, chosen: int = 0, depth: float | None = None) -> Views:
    return Views(reader=Reader(snapshot), items=snapshot.items("train"), chosen=chosen, depth=depth)


class TestFrame:
    """What proves the frame map: true points and pictures of one dataset, by the models' path."""

    def test_true_points_land_on_the_shape_in_every_view(self, snapshot: Snapshot) -> None:
        views = views_of(snapshot)
        for number, item in enumerate(views.items):
            points = torch.from_numpy(views.reader.points(item))
            cameras = torch.from_numpy(views.cameras(number))
            for v, camera in enumerate(cameras):
                _, up, right = view(points[None], camera[None])[0].T
                column = ((right + 0.5) * SIZE).long()
                row = ((0.5 - up) * SIZE).long()
                alpha = views.reader.image(item, v)[..., 3]
                assert (alpha[row, column] > 0).mean() > 0.99

    @pytest.mark.parametrize("axis", [0, 1, 2])
    def test_mirrored_points_do_not(self, snapshot: Snapshot, axis: int) -> None:
        """The shapes have no symmetry: a wrong sign or hand would be noticed."""
        views, missed = views_of(snapshot), []
        for number, item in enumerate(views.items):
            points = torch.from_numpy(views.reader.points(item))
            points[:, axis] *= -1
            for v, camera in enumerate(torch.from_numpy(views.cameras(number))):
                _, up, right = view(points[None], camera[None])[0].T
                column, row = ((right + 0.5) * SIZE).long(), ((0.5 - up) * SIZE).long()
                missed.append(1 - (views.reader.image(item, v)[row, column, 3] > 0).mean())

        assert np.mean(missed) > 0.03

    def test_depths_of_true_points_reach_the_depth_map_and_not_before_it(
        self, snapshot: Snapshot
    ) -> None:
        views = views_of(snapshot, depth=10.0)
        example = views.get(0, np.random.default_rng(0))
        points = torch.from_numpy(views.reader.points(views.items[0]))
        for camera, depth in zip(example["camera"], example["depth"], strict=True):
            far, up, right = view(points[None], torch.from_numpy(camera)[None])[0].T
            stored = depth[((0.5 - up) * SIZE).long(), ((right + 0.5) * SIZE).long()]
            behind = far.numpy() + DISTANCE - stored
            assert (behind[stored < 10] > -0.05).mean() > 0.97
            assert (np.abs(behind) < 0.06).mean() > 0.25  # the front side


class TestExamples:
    def test_views_are_drawn_without_replacement_in_random_order(self, snapshot: Snapshot) -> None:
        views = views_of(snapshot, chosen=4)
        every = views.cameras(0)
        firsts = set()
        for seed in range(40):
            example = views.get(0, np.random.default_rng(seed))
            assert example["rgba"].shape == (4, SIZE, SIZE, 4)
            places = [int((every == one).all(1).argmax()) for one in example["camera"]]
            assert len(set(places)) == 4
            for place, picture in zip(places, example["rgba"], strict=True):
                assert (picture == views.reader.image(views.items[0], place)).all()
            firsts.add(places[0])
        assert firsts == {0, 1, 2, 3, 4}

    def test_for_an_evaluation_all_come_in_their_own_order(self, snapshot: Snapshot) -> None:
        views = views_of(snapshot)

        example = views.get(1, np.random.default_rng(0))

        assert example["key"] == views.items[1].key
        assert (example["camera"] == views.cameras(1)).all()
        assert len(example["rgba"]) == 5

    def test_depth_is_in_diagonals_and_the_given_one_where_nothing_is(
        self, snapshot: Snapshot
    ) -> None:
        example = views_of(snapshot, depth=10.0).get(0, np.random.default_rng(0))
        there = example["rgba"][..., 3] > 0

        assert example["depth"].dtype == np.float32
        assert (example["depth"][~there] == 10).all()
        assert 1.4 < example["depth"][there].min() < example["depth"][there].max() < 2.6

    def test_a_camera_that_the_projection_does_not_know_is_refused(
        self, snapshot: Snapshot
    ) -> None:
        class Nearer(Reader):
            def meta(self, item: Item) -> dict:  # type: ignore[override]
                meta = dict(super().meta(item))
                return meta | {"views": [dict(view, distance=1.5) for view in meta["views"]]}

        views = dataclasses.replace(views_of(snapshot), reader=Nearer(snapshot))

        with pytest.raises(DatasetRefused, match=r"view 0 of .* is taken from 1\.5 diagonals"):
            views.get(0, np.random.default_rng(0))


class TestLook:
    def test_pictures_are_before_white_and_outlines_are_alpha(self, snapshot: Snapshot) -> None:
        example = views_of(snapshot).get(0, np.random.default_rng(0))
        seen = look(stack([example]), SIZE, SIZE)
        alpha = example["rgba"][0, ..., 3]

        assert seen.pictures.shape == (1, 5, 3, SIZE, SIZE)
        assert (seen.pictures[0, 0].permute(1, 2, 0)[alpha == 0] == 1).all()
        colour = torch.from_numpy(example["rgba"][0, ..., :3])[alpha == 255] / 255
        assert torch.allclose(seen.pictures[0, 0].permute(1, 2, 0)[alpha == 255], colour)
        assert seen.depth is None
        coverage = float(seen.silhouette[0, 0].mean())
        assert coverage == pytest.approx((alpha / 255).mean(), rel=0.06)  # the border counts half

    def test_smaller_pictures_are_means_of_blocks(self) -> None:
        batch = {"rgba": torch.randint(0, 256, (1, 1, 8, 8, 4), dtype=torch.uint8)}
        batch["rgba"][..., 3] = 255

        seen = look(batch, 4, 8)

        blocks = batch["rgba"][0, 0, ..., 0].float().view(4, 2, 4, 2).mean((1, 3)) / 255
        assert torch.allclose(seen.pictures[0, 0, 0], blocks)


class TestOntoGrid:
    @pytest.mark.parametrize(("side", "voxels"), [(64, 32), (128, 64), (50, 32), (32, 32)])
    def test_a_ramp_over_the_picture_is_its_value_at_the_nodes(
        self, side: int, voxels: int
    ) -> None:
        """Nodes lie on the edges: node k at k / (V - 1) of the picture's width."""
        middle = (torch.arange(side, dtype=torch.float64) + 0.5) / side
        found = onto_grid(middle.expand(side, side), voxels)
        expected = torch.arange(voxels, dtype=torch.float64) / (voxels - 1)

        inside = slice(1, -1)  # the border's cells are halves
        assert torch.allclose(found[0, inside], expected[inside], atol=0.15 / side)
        assert torch.allclose(found, found[:1].expand_as(found))

    def test_an_even_picture_stays_as_it_is(self) -> None:
        assert torch.allclose(onto_grid(torch.full((3, 20, 20), 0.7), 11), torch.tensor(0.7))

    def test_up_is_up_and_right_is_right(self) -> None:
        image = torch.zeros(16, 16)
        image[2, 11] = 1

        row, column = divmod(int(onto_grid(image, 8).argmax()), 8)

        assert (row, column) == (1, 5)


@pytest.mark.parametrize(("axis", "signs"), [("x", [-1.0, 1, 1]), ("z", [1.0, 1, -1])])
def test_a_mirrored_example_shows_the_mirrored_shape(
    snapshot: Snapshot, axis: str, signs: list[float]
) -> None:
    plain = dataclasses.replace(views_of(snapshot), depth=2.6)
    before = plain.get(0, np.random.default_rng(0))
    cloud = torch.randn(1, 50, 3, generator=torch.Generator().manual_seed(0)) * 0.2
    flipped = cloud * torch.tensor(signs)

    after = mirrored(before, axis)

    for one, other in zip(before["camera"], after["camera"], strict=True):
        seen = rotate(torch.from_numpy(one), cloud)  # depth, up, right
        again = rotate(torch.from_numpy(np.asarray(other, np.float32)), flipped)
        assert torch.allclose(again, seen * torch.tensor([1.0, 1.0, -1.0]), atol=1e-5)
    assert np.array_equal(after["rgba"], before["rgba"][:, :, ::-1])
    assert np.array_equal(after["depth"], before["depth"][:, :, ::-1])


def test_about_half_of_the_examples_are_mirrored_and_all_views_of_one_alike(
    snapshot: Snapshot,
) -> None:
    plain = views_of(snapshot)
    turned = dataclasses.replace(plain, mirror="z")

    def is_mirrored(seed: int) -> bool:
        before = plain.get(0, np.random.default_rng(seed))["rgba"]
        after = turned.get(0, np.random.default_rng(seed))["rgba"]
        whole = np.array_equal(after, before[:, :, ::-1])
        assert whole or np.array_equal(after, before)
        return whole

    assert 20 < sum(is_mirrored(seed) for seed in range(64)) < 44


class TestJitter:
    SIDE = 64

    def disks(self, count: int) -> torch.Tensor:
        """Black, a quarter of the side wide, in the middle, before white: [count, 1, 3, S, S]."""
        place = (torch.arange(self.SIDE) + 0.5) / self.SIDE - 0.5
        inside = place[:, None].hypot(place) < 0.125
        return (~inside).float().expand(count, 1, 3, -1, -1)

    def test_disks_are_moved_and_resized_within_what_is_allowed(self) -> None:
        amount = 0.2
        torch.manual_seed(0)

        dark = 1 - jittered(self.disks(200), amount)[:, 0, 0]

        area = dark.sum((1, 2))
        place = (torch.arange(self.SIDE) + 0.5) / self.SIDE - 0.5
        moved = torch.stack([(dark.sum(1) @ place) / area, (dark.sum(2) @ place) / area])
        sizes = (area / (1 - self.disks(1)[0, 0, 0]).sum()).log() / 2
        bound = math.exp(amount) * amount / 2  # what is seen larger is moved farther
        assert 0.8 * amount < sizes.max() < 1.1 * amount
        assert -1.1 * amount < sizes.min() < -0.8 * amount
        assert 0.8 * amount / 2 < moved.abs().max() < 1.5 * bound

    def test_bars_are_turned_within_what_is_allowed(self) -> None:
        bars = torch.ones(200, 1, 3, self.SIDE, self.SIDE)
        bars[..., 30:34, 12:52] = 0
        torch.manual_seed(0)

        dark = 1 - jittered(bars, 0.2)[:, 0, 0]

        place = torch.arange(self.SIDE, dtype=torch.float32)
        down, right = torch.meshgrid(place, place, indexing="ij")
        weight = dark / dark.sum((1, 2), keepdim=True)
        down = down - (weight * down).sum((1, 2), keepdim=True)
        right = right - (weight * right).sum((1, 2), keepdim=True)
        slope = (weight * down * right).sum((1, 2)) / (weight * right.square()).sum((1, 2))
        assert 0.16 < slope.atan().max() < 0.21
        assert -0.21 < slope.atan().min() < -0.16

    def test_white_stays_white_and_nothing_is_left_of_no_jitter(self) -> None:
        white = torch.ones(2, 1, 3, self.SIDE, self.SIDE)

        assert (jittered(white, 0.3) == 1).all()
        torch.testing.assert_close(jittered(self.disks(2), 0.0), self.disks(2))
