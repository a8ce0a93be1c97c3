"""Shapes as examples."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tests.trainer.datasets import make_dataset
from trainer.backgrounds import over
from trainer.data import Reader, Snapshot
from trainer.errors import DatasetRefused
from trainer.loader import Loader
from trainer.multiview import Shapes, background_named, before_white


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    folder = tmp_path_factory.mktemp("circle")
    return Snapshot.take(
        [make_dataset(folder, splits={"train": 3}, cameras="circle", size=24, points=0)]
    )


def shapes(snapshot: Snapshot, **more: object) -> Shapes:
    items = snapshot.items("train")
    return Shapes(reader=Reader(snapshot, cache=False), items=items, views=12, **more)  # type: ignore[arg-type]


def test_an_example_has_all_views_in_the_rig_s_order_before_white(snapshot: Snapshot) -> None:
    examples = shapes(snapshot)

    example = examples.get(4, np.random.default_rng(0))

    item = snapshot.items("train")[4]
    assert (example["key"], example["category"]) == (item.key, item.category)
    assert example["images"].shape == (12, 3, 24, 24)
    for view in range(12):
        rgba = examples.reader.image(item, view)
        empty, full = rgba[..., 3] == 0, rgba[..., 3] == 255
        image = example["images"][view].transpose(1, 2, 0)
        assert (image[empty] == 255).all()
        assert_array_equal(image[full], rgba[..., :3][full])


def test_before_white_is_over_white_for_every_colour_and_alpha() -> None:
    alpha, colour = (v.astype(np.uint8) for v in np.mgrid[:256, :256])
    rgba = np.stack([colour, 255 - colour, colour // 2, alpha], axis=-1)

    assert_array_equal(before_white(rgba), over(rgba, np.full((256, 256, 3), 255, np.uint8)))


def test_a_shuffle_keeps_the_views_of_a_shape_together(snapshot: Snapshot) -> None:
    examples = shapes(snapshot)
    straight = {
        each["key"]: each["images"]
        for each in (examples.get(n, np.random.default_rng(0)) for n in range(len(examples)))
    }

    keys = []
    for batch in Loader(examples, batch=2, seed=3).batches(0, 3):
        for key, images in zip(batch["key"], batch["images"], strict=True):
            assert_array_equal(images.numpy(), straight[key])
            keys.append(key)

    assert sorted(keys) == sorted(straight)
    assert keys != list(straight)


def test_random_backgrounds_differ_between_views_and_leave_the_shape(snapshot: Snapshot) -> None:
    examples = shapes(snapshot, background=background_named("random"), outlines=True)

    one, again, other = (examples.get(0, np.random.default_rng(seed)) for seed in (1, 1, 2))

    assert_array_equal(one["images"], again["images"])
    inside = np.broadcast_to(one["outlines"][:, None], one["images"].shape)
    assert_array_equal(one["images"][inside], other["images"][inside])
    corners = one["images"][:, :, 0, 0]
    assert len({tuple(corner) for corner in corners}) > 6


def test_outlines_are_what_the_shape_covers(snapshot: Snapshot) -> None:
    examples = shapes(snapshot, outlines=True)

    outlines = examples.get(1, np.random.default_rng(0))["outlines"]

    item = snapshot.items("train")[1]
    covered = [examples.reader.image(item, view)[..., 3] > 127 for view in range(12)]
    assert_array_equal(outlines, np.stack(covered))


def test_images_are_brought_to_the_size_asked_for(snapshot: Snapshot) -> None:
    example = shapes(snapshot, image_px=12, outlines=True).get(0, np.random.default_rng(0))

    assert example["images"].shape == (12, 3, 12, 12)
    assert example["outlines"].shape == (12, 12, 12)
    whole = shapes(snapshot).get(0, np.random.default_rng(0))["images"]
    quarters = whole.reshape(12, 3, 12, 2, 12, 2).mean((3, 5))
    assert np.abs(example["images"] - quarters).max() < 2


def test_a_folder_of_photos_may_stand_behind(snapshot: Snapshot, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "photo.png"), np.full((90, 90, 3), (10, 20, 30), np.uint8))

    images = shapes(snapshot, background=background_named(str(tmp_path))).get(
        0, np.random.default_rng(0)
    )["images"]

    assert images[:, :, 0, 0].tolist() == [[30, 20, 10]] * 12


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetRefused, match="no photos in"):
        background_named(str(tmp_path / "nothing"))


def test_loader_processes_give_the_same(snapshot: Snapshot) -> None:
    examples = shapes(snapshot, background=background_named("random"))

    here, there = (
        list(Loader(examples, batch=2, seed=1, workers=workers).batches(0, 2)) for workers in (0, 1)
    )

    for one, other in zip(here, there, strict=True):
        assert one["key"] == other["key"]
        assert_array_equal(one["images"], other["images"])
