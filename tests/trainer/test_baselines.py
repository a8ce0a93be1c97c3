from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.trainer.datasets import make_dataset
from trainer.baselines import baselines, most_central, picture_features
from trainer.data import Reader, Snapshot
from trainer.metrics import chamfer, thin


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    folder = make_dataset(
        tmp_path_factory.mktemp("baselines"), ("cars", "chairs"), views=3, points=400,
        splits={"train": 4, "test": 2},
    )  # fmt: skip
    return Snapshot.take([folder])


def test_the_most_central_cloud_is_the_one_in_the_middle() -> None:
    cloud = torch.rand(50, 3)

    assert most_central([cloud + step * 0.1 for step in (0, 5, 2, 1, 9)]) == 2


def test_pictures_differ_by_their_pixels_before_white() -> None:
    blank = torch.zeros(1, 32, 32, 4, dtype=torch.uint8)
    full = torch.full((1, 32, 32, 4), 255, dtype=torch.uint8)
    hidden = blank.clone()
    hidden[..., 0] = 200  # a colour under alpha 0 is not seen

    assert torch.equal(picture_features(blank), picture_features(hidden))
    # White before white differs in alpha alone: 16 x 16 ones.
    assert float((picture_features(full) - picture_features(blank)).norm()) == pytest.approx(16)


def test_they_are_what_the_slow_way_gives(snapshot: Snapshot) -> None:
    reader = Reader(snapshot)
    train, test = snapshot.items("train"), snapshot.items("test")
    clouds = {item.key: torch.from_numpy(reader.points(item)) for item in (*train, *test)}
    central = train[most_central([clouds[item.key] for item in train])]

    def picture(item: object, view: int) -> torch.Tensor:
        return picture_features(torch.from_numpy(np.array(reader.image(item, view)))[None])[0]  # type: ignore[arg-type]

    constant, nearest = [], []
    for item in test:
        truth = thin(clouds[item.key])
        constant.append(sum(chamfer(thin(clouds[central.key]), truth)))
        for view in range(3):
            apart = {
                min(float((picture(item, view) - picture(one, v)).norm()) for v in range(3)): one
                for one in train
            }
            nearest.append(sum(chamfer(thin(clouds[apart[min(apart)].key]), truth)))

    found = baselines(snapshot, "test", torch.device("cpu"))

    assert found["chamfer_constant"] == pytest.approx(100 * np.mean(constant))
    assert found["chamfer_nearest"] == pytest.approx(100 * np.mean(nearest), rel=1e-4)


def test_a_training_shape_is_not_its_own_nearest(snapshot: Snapshot) -> None:
    assert baselines(snapshot, "train", torch.device("cpu"))["chamfer_nearest"] > 1


def test_without_training_shapes_there_is_nothing_to_beat(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = make_dataset(
        tmp_path_factory.mktemp("only"), ("cars",), views=2, points=50, splits={"test": 1}
    )

    assert baselines(Snapshot.take([folder]), "test", torch.device("cpu")) == {}
