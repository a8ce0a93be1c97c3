"""RotNet: what it sees, how it learns, and what its evaluation says."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from tests.trainer.datasets import make_dataset
from trainer import chance, loader, rotations
from trainer.data import Snapshot
from trainer.errors import DatasetRefused
from trainer.models import Moment, Tools, load, rotnet

SMALL = rotnet.Config(
    steps=60, batch=16, size=16, network="nin3", width=12, lr=0.05, probe_copies=1
)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    folder = tmp_path_factory.mktemp("data") / "blocks"
    make_dataset(
        folder,
        categories=("cars", "chairs", "mugs"),
        views=5,
        size=24,
        points=0,
        passes=("rgba",),
        splits={"train": 4, "val": 1, "test": 2},
    )
    return Snapshot.take([folder])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of pictures with a bright sky; 9 x 13 or 13 x 9 pixels."""
    rng = np.random.default_rng(0)
    for name, colour in (("red", (40, 40, 220)), ("blue", (220, 40, 40))):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(20):
            size = (9, 13, 3) if number % 2 else (13, 9, 3)
            picture = rng.integers(0, 30, size) + np.array(colour)
            picture[: size[0] // 2] = 250
            cv2.imwrite(str(tmp_path / "photos" / name / f"{number}.png"), picture.astype(np.uint8))
    return tmp_path / "photos"


def changed(**values: Any) -> rotnet.Config:
    return dataclasses.replace(SMALL, **values)


def moment(step: int = 0, steps: int = 1) -> Moment:
    return Moment(step=step, steps=steps, generator=torch.Generator())


def tools() -> Tools:
    def batches(examples: Any, batch: int) -> Iterator[dict[str, Any]]:
        return loader.ordered(examples, batch=batch)

    return Tools(device=torch.device("cpu"), batches=batches, progress=lambda **_: None)


def fresh(config: rotnet.Config, snapshot: Snapshot, seed: int = 0) -> torch.nn.Module:
    chance.begin(seed)
    return rotnet.build(config, snapshot.facts)


def trained(config: rotnet.Config, snapshot: Snapshot) -> tuple[torch.nn.Module, list[float]]:
    """A network after all steps, and its losses; as the loop does it."""
    network = fresh(config, snapshot).train()
    optimizer, schedule = rotnet.optimizer(config, network)
    source = loader.Loader(
        rotnet.examples(config, snapshot, "train", True), batch=config.batch, seed=0
    )
    losses = []
    for step, batch in enumerate(source.batches(0, config.steps)):
        for group in optimizer.param_groups:
            group["lr"] = config.lr * schedule(step / config.steps)
        optimizer.zero_grad()
        value, _ = rotnet.loss(config, network, batch, moment(step, config.steps))
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return network.eval(), losses


# --- the model file --------------------------------------------------------------------------


def test_it_is_found_by_its_name() -> None:
    assert load("rotnet").Config is rotnet.Config


@pytest.mark.parametrize("name", list(rotnet.PRESETS))
def test_a_preset_makes_a_network_for_its_angles(name: str, snapshot: Snapshot) -> None:
    config = rotnet.PRESETS[name]()
    config = dataclasses.replace(config, size=min(config.size, 64))

    network = rotnet.build(config, snapshot.facts).eval()

    assert network(torch.rand(1, 3, config.size, config.size)).shape == (1, 4)
    assert config.probed in network.blocks


def test_the_papers_network_has_its_number_of_parameters(snapshot: Snapshot) -> None:
    network = rotnet.build(rotnet.paper(), snapshot.facts)

    assert sum(p.numel() for p in network.parameters()) == 1_411_140


@pytest.mark.parametrize(
    ("preset", "epochs", "rates"),
    [
        (
            "paper",
            200,
            {0: 0.1, 59: 0.1, 60: 0.02, 119: 0.02, 120: 0.004, 160: 0.0008, 199: 0.0008},
        ),
        (
            "paper_imagenet",
            50,
            {0: 0.01, 14: 0.01, 15: 0.001, 29: 0.001, 30: 1e-4, 45: 1e-5, 49: 1e-5},
        ),
    ],
)
def test_learning_rates_are_the_papers(
    preset: str, epochs: int, rates: dict[int, float], snapshot: Snapshot
) -> None:
    config = rotnet.PRESETS[preset]()
    network = torch.nn.Linear(2, 2)

    optimizer, schedule = rotnet.optimizer(config, network)

    per_epoch = config.steps // epochs
    assert config.steps == per_epoch * epochs
    found = {epoch: config.lr * schedule(epoch * per_epoch / config.steps) for epoch in rates}
    assert found == pytest.approx(rates)
    (group,) = optimizer.param_groups
    assert (group["momentum"], group["nesterov"], group["weight_decay"]) == (0.9, True, 5e-4)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"angles": (0,)}, "at least two"),
        ({"angles": (0, 30)}, "angle 30"),
        ({"network": "vgg"}, "no network 'vgg'; there are nin3"),
        ({"width": 50}, "multiple of 6"),
        ({"batch": 0}, "batch is 0"),
        ({"drops": (0.5, 1.5)}, "shares of the run"),
        ({"std": (0.0, 1.0, 1.0)}, "std"),
        ({"labels_per_class": (0,)}, "labels_per_class"),
        ({"probe_block": "conv9"}, "no block 'conv9'; there are conv1, conv2, conv3"),
    ],
)
def test_a_config_that_cannot_be_is_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        changed(**values)


def test_folders_of_a_config_are_the_same_from_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    config = changed(images="CIFAR10:data", backgrounds="photos")

    assert config.images == f"CIFAR10:{tmp_path / 'data'}"
    assert config.backgrounds == str(tmp_path / "photos")
    assert dataclasses.replace(config, batch=3).images == config.images


def test_a_dataset_without_pictures_is_refused_by_name(tmp_path: Path) -> None:
    make_dataset(tmp_path / "depth", shapes=3, size=16, points=0, passes=("depth",))
    facts = Snapshot.take([tmp_path / "depth"]).facts

    with pytest.raises(DatasetRefused, match=r"depth.*rotnet needs rgba"):
        rotnet.check(SMALL, facts)
    rotnet.check(changed(images=str(tmp_path)), facts)  # then nothing is asked of the shards


# --- what it sees ----------------------------------------------------------------------------


def test_every_view_of_every_shape_is_an_example(snapshot: Snapshot) -> None:
    found = rotnet.examples(SMALL, snapshot, "train", True)

    keys = [found.get(n, np.random.default_rng(n))["key"] for n in range(len(found))]

    assert len(found) == len(set(keys)) == 12 * 5
    assert len(found.targets) == len(found.groups) == 60
    one = found.get(7, np.random.default_rng(0))
    assert one["image"].shape == (3, 16, 16) and one["image"].dtype == np.uint8
    assert one["category"] == found.targets[7]


def test_training_examples_change_and_evaluation_examples_do_not(snapshot: Snapshot) -> None:
    for train in (True, False):
        found = rotnet.examples(SMALL, snapshot, "test", train)
        first, again, other = (found.get(0, np.random.default_rng(n)) for n in (1, 1, 2))

        np.testing.assert_array_equal(first["image"], again["image"])
        assert (first["image"] != other["image"]).any() == train


def test_an_evaluated_shape_fills_the_picture(snapshot: Snapshot) -> None:
    # The same views before two backgrounds: what does not change is the shape.
    rgba = snapshot_view(snapshot)

    cut = rotnet.cut_out(rgba)

    seen = rgba[..., 3] > 0
    height, width = np.ptp(np.flatnonzero(seen.any(1))) + 1, np.ptp(np.flatnonzero(seen.any(0))) + 1
    assert cut.shape[0] - height in (1, 2) and cut.shape[1] - width in (1, 2)
    assert cut[..., 3].sum() == rgba[..., 3].sum()


def snapshot_view(snapshot: Snapshot) -> np.ndarray:
    from trainer.data import Reader

    return Reader(snapshot).image(snapshot.items("test")[0], 2)


@pytest.mark.parametrize(
    "angles", [(0, 180), (90, 270), (0, 90, 180, 270), tuple(range(0, 360, 45))]
)
def test_a_step_sees_every_picture_at_every_angle(
    angles: tuple[int, ...], snapshot: Snapshot
) -> None:
    config = changed(angles=angles)
    batch = next(loader.ordered(rotnet.examples(config, snapshot, "train", True), batch=4))
    seen: list[torch.Tensor] = []
    network = fresh(config, snapshot)
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))

    value, told = rotnet.loss(config, network, batch, moment())

    (images,) = seen  # one forward pass
    assert images.shape == (4 * len(angles), 3, 16, 16)
    assert batch["image"].shape[-1] == rotations.source_side(16, angles)
    if rotations.exact(angles):
        first = (batch["image"][0].float() / 255 - 0.5) / 0.25
        for angle, image in zip(angles, images, strict=False):
            torch.testing.assert_close(image, torch.rot90(first, angle // 90, (1, 2)))
    assert value.shape == () and told["rotation_accuracy"].shape == ()


def test_the_loss_is_the_mean_over_pictures_and_angles(snapshot: Snapshot) -> None:
    batch = next(loader.ordered(rotnet.examples(SMALL, snapshot, "train", True), batch=3))
    network = fresh(SMALL, snapshot).eval()

    value, _ = rotnet.loss(SMALL, network, batch, moment())

    total = 0.0
    for image in batch["image"]:
        for k in range(4):
            turned = torch.rot90((image[None].float() / 255 - 0.5) / 0.25, k, (2, 3))
            total -= network(turned).log_softmax(1)[0, k].item()
    assert value.item() == pytest.approx(total / 12, rel=1e-5)


def test_no_eighth_turn_shows_what_is_beyond_the_picture(photos: Path, snapshot: Snapshot) -> None:
    for file in photos.rglob("*.png"):  # all of one colour: anything else was filled in
        cv2.imwrite(str(file), np.full((13, 9, 3), 200, np.uint8))
    for crop in ("pad", "resized"):
        config = changed(images=str(photos), angles=tuple(range(0, 360, 45)), crop=crop)
        source = rotnet.examples(config, snapshot, "train", True)
        batch = next(loader.ordered(source, batch=28))

        images, _ = rotnet.turned(config, batch)

        torch.testing.assert_close(images, torch.full_like(images, 200 / 255), rtol=0, atol=1e-4)


def test_pictures_are_cut_square_and_stay_upright(photos: Path, snapshot: Snapshot) -> None:
    for crop in ("pad", "resized"):
        for train in (True, False):
            config = changed(images=str(photos), crop=crop)
            found = rotnet.examples(config, snapshot, "train", train)
            assert len(found) == 28 and found.classes == ("blue", "red")

            images = [found.get(n, np.random.default_rng(n))["image"] for n in range(len(found))]

            above = [image[:, :8].mean() - image[:, 8:].mean() for image in images]
            assert all(image.shape == (3, 16, 16) for image in images)
            assert np.mean(above) > 20  # the sky


def test_a_folder_of_photos_can_stand_behind_the_shapes(photos: Path, snapshot: Snapshot) -> None:
    plain, before_photos = (
        rotnet.examples(changed(backgrounds=folder), snapshot, "test", False)
        for folder in ("", str(photos))
    )

    chance_of = np.random.default_rng
    different = [
        (plain.get(n, chance_of(0))["image"] != before_photos.get(n, chance_of(0))["image"]).any(0)
        for n in range(len(plain))
    ]

    # Opaque pixels of the shape are the same before both, in every view.
    share = np.mean(different)
    assert 0.2 < share < 0.95


# --- learning --------------------------------------------------------------------------------


@pytest.mark.slow
def test_it_learns_to_tell_the_angle_of_unseen_shapes(snapshot: Snapshot) -> None:
    config = changed(steps=150, width=24, drops=(0.7, 0.9))

    network, losses = trained(config, snapshot)
    found = rotnet.evaluate(config, network, snapshot, "test", tools())

    assert losses[0] == pytest.approx(np.log(4), abs=0.3)
    assert found.metrics["rotation_accuracy"] > 0.45  # chance is 0.25


def test_the_same_seed_learns_the_same(snapshot: Snapshot) -> None:
    config = changed(steps=3)

    (first, losses), (again, same) = trained(config, snapshot), trained(config, snapshot)

    assert losses == same
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True)
    )


# --- evaluation ------------------------------------------------------------------------------


def test_an_evaluation_repeats_to_the_bit_and_changes_nothing(snapshot: Snapshot) -> None:
    network = fresh(SMALL, snapshot, seed=3).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}

    torch.manual_seed(1)
    first = rotnet.evaluate(SMALL, network, snapshot, "test", tools())
    torch.manual_seed(2)
    rotnet._UNTRAINED.clear()
    again = rotnet.evaluate(SMALL, network, snapshot, "test", tools())

    assert first.metrics == again.metrics and first.tables == again.tables
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_it_counts_every_view_at_every_angle(snapshot: Snapshot) -> None:
    network = fresh(SMALL, snapshot).eval()

    found = rotnet.evaluate(changed(probe="none"), network, snapshot, "test", tools())

    matrix = np.array(found.tables["rotations"]["matrix"])
    assert matrix.sum(axis=1).tolist() == [6 * 5] * 4
    assert set(found.metrics) == {"rotation_accuracy"}
    assert found.metrics["rotation_accuracy"] == pytest.approx(np.trace(matrix) / matrix.sum())
    by_category = found.tables["rotation_accuracy_by_category"]
    assert list(by_category) == ["cars", "chairs", "mugs"]
    assert np.mean(list(by_category.values())) == pytest.approx(found.metrics["rotation_accuracy"])
    assert found.arrays["turned"].shape == (8, 4, 16, 16, 3)
    assert found.arrays["answers"].shape == (8, 4)
    first = found.arrays["turned"][0]
    np.testing.assert_array_equal(first[1], np.rot90(first[0]))


def test_a_network_that_was_never_trained_is_not_better_than_itself(snapshot: Snapshot) -> None:
    found = rotnet.evaluate(SMALL, fresh(SMALL, snapshot).eval(), snapshot, "test", tools())

    assert found.metrics["linear_probe"] == found.metrics["linear_probe_random"]
    assert found.metrics["linear_probe_difference"] == 0


@pytest.mark.parametrize("probe", ["nonlinear", "conv"])
def test_other_probes_give_figures_of_their_own(probe: str, snapshot: Snapshot) -> None:
    config = changed(probe=probe, probe_block="conv1")

    found = rotnet.evaluate(config, fresh(config, snapshot, 1).eval(), snapshot, "val", tools())

    wanted = {f"{probe}_probe", f"{probe}_probe_random", f"{probe}_probe_difference"}
    assert set(found.metrics) == {"rotation_accuracy", *wanted}


def test_a_resnet_is_probed_by_the_rest_of_itself(snapshot: Snapshot) -> None:
    config = changed(network="resnet18", probe="nonlinear", probe_block="layer4", probe_copies=1)
    some = rotnet.features(
        config, fresh(config, snapshot).eval(), rotnet.examples(config, snapshot, "val", False),
        tools(),
    )  # fmt: skip

    accuracy = rotnet.learned(config, some, some, 3, tools())

    assert some.shape == (512, 2, 2)
    assert accuracy == 1.0  # of the 15 examples that it learned from


def test_the_table_of_labels_counts_shapes_not_views(snapshot: Snapshot) -> None:
    config = changed(labels_per_class=(1, 3), probe="linear", size=8)

    found = rotnet.evaluate(config, fresh(config, snapshot).eval(), snapshot, "test", tools())

    rows = found.tables["labels_per_class"]
    assert [row["labels"] for row in rows] == [1, 3]
    assert [row["examples"] for row in rows] == [3 * 1 * 5, 3 * 3 * 5]
    assert all(0 <= row[name] <= 1 for row in rows for name in ("rotnet", "supervised"))


def test_pictures_of_a_folder_are_evaluated_with_what_they_are(
    photos: Path, snapshot: Snapshot
) -> None:
    config = changed(images=str(photos))

    found = rotnet.evaluate(config, fresh(config, snapshot).eval(), snapshot, "test", tools())

    assert found.metrics["linear_probe"] > 0.9  # red and blue
    assert found.tables["pictures"]["count"] == 8
    assert list(found.tables["rotation_accuracy_by_category"]) == ["blue", "red"]


def test_pictures_without_classes_are_not_probed(photos: Path, snapshot: Snapshot) -> None:
    config = changed(images=str(photos / "red"))

    found = rotnet.evaluate(config, fresh(config, snapshot).eval(), snapshot, "test", tools())

    assert set(found.metrics) == {"rotation_accuracy"}


def test_a_report_shows_what_was_taken_for_what(tmp_path: Path, snapshot: Snapshot) -> None:
    found = rotnet.evaluate(
        changed(probe="none"), fresh(SMALL, snapshot).eval(), snapshot, "test", tools()
    )
    rows = [{"labels": 1.0, "rotnet": 0.5, "supervised": 0.3}]
    found = dataclasses.replace(found, tables={**found.tables, "labels_per_class": rows * 2})

    made = rotnet.report(SMALL, found, tmp_path)

    assert [name for name, _ in made] == ["turned.png", "labels.png"]
    for name, caption in made:
        assert cv2.imread(str(tmp_path / name)).std() > 1 and caption
