"""RotationNet as a model of the trainer; its rule is in test_viewpoints."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch import Tensor, nn

from farm import kinds
from tests.trainer.datasets import make_dataset
from trainer import models
from trainer.data import Facts, Snapshot
from trainer.errors import DatasetRefused
from trainer.loader import Loader, ordered
from trainer.models import Evaluation, Moment, Tools
from trainer.models import rotationnet as model
from trainer.models.rotationnet import Config, Network, choices, guess

CIRCLE = Facts(
    categories=("cars", "chairs", "lamps"), views=12, cameras="circle", size=(32, 32),
    passes=("rgba",), points=0, samples={}, folders=("data/circle",),
)  # fmt: skip
TINY = Config(steps=45, batch=8, lr=0.02, warmup=0.1)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return Snapshot.take(
        [
            make_dataset(
                tmp_path_factory.mktemp("circle"), CIRCLE.categories, cameras="circle", size=32,
                splits={"train": 8, "test": 3}, points=0,
            )
        ]
    )  # fmt: skip


def train(config: Config, snapshot: Snapshot) -> tuple[Network, list[float]]:
    """The trainer's loop without all that surrounds it."""
    torch.manual_seed(0)
    network = model.build(config, snapshot.facts).train()
    optimizer, schedule = model.optimizer(config, network)
    rates = [group["lr"] for group in optimizer.param_groups]
    examples = model.examples(config, snapshot, "train", train=True)
    losses = []
    for step, batch in enumerate(
        Loader(examples, batch=config.batch, seed=0).batches(0, config.steps)
    ):
        moment = Moment(step=step, steps=config.steps, generator=torch.Generator())
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * schedule(moment.t)
        loss, _ = model.loss(config, network, batch, moment)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return network.eval(), losses


def measure(
    config: Config, network: Network, snapshot: Snapshot, split: str = "test"
) -> Evaluation:
    tools = Tools(
        device=torch.device("cpu"),
        batches=lambda examples, batch: ordered(examples, batch=batch),
        progress=lambda **_: None,
    )
    with torch.no_grad():
        return model.evaluate(config, network, snapshot, split, tools)


@pytest.fixture(scope="module")
def trained(snapshot: Snapshot) -> tuple[Network, list[float], Evaluation]:
    network, losses = train(TINY, snapshot)
    return network, losses, measure(TINY, network, snapshot)


# --- what it is ----------------------------------------------------------------------------------


def test_it_is_found_by_its_name() -> None:
    assert models.load("rotationnet") is model


@pytest.mark.parametrize("preset", model.PRESETS)
def test_a_preset_is_the_same_after_a_trip_through_json(preset: str) -> None:
    config = model.PRESETS[preset]()

    assert kinds.read(Config, json.dumps(dataclasses.asdict(config)), preset) == config


def test_the_paper_s_rate_falls_to_a_tenth_every_200_of_1500_epochs() -> None:
    config = model.paper()
    _, schedule = model.optimizer(config, model.build(dataclasses.replace(config), _sized(64)))

    epochs = np.array([0, 199.9, 200.1, 399.9, 400.1, 1399.9, 1400.1])
    rates = [0.01 * schedule(epoch / 1500) for epoch in epochs]

    assert rates == pytest.approx([1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-8, 1e-9])
    assert config.batch * 12 == 240
    assert config.steps == 1500 * 492  # 9843 shapes of ModelNet40, the incomplete batch dropped


def _sized(side: int, **more: Any) -> Facts:
    return dataclasses.replace(CIRCLE, size=(side, side), **more)


def test_the_rate_rises_then_falls_along_a_cosine_to_zero() -> None:
    config = Config(steps=100, batch=1, warmup=0.1)
    _, schedule = model.optimizer(config, model.build(config, CIRCLE))

    assert [schedule(t) for t in (0, 0.1, 0.55, 1)] == pytest.approx([1 / 11, 1, 0.5, 0])


@pytest.mark.parametrize(("name", "head"), [("resnet18", "fc"), ("alexnet", "classifier.6")])
def test_the_last_layer_learns_at_its_own_rate(name: str, head: str) -> None:
    config = Config(steps=1, batch=1, backbone=name, lr=0.01, head_lr=10)
    network = model.build(config, _sized(64))

    optimizer, _ = model.optimizer(config, network)

    rest, last = optimizer.param_groups
    assert (rest["lr"], last["lr"]) == pytest.approx((0.01, 0.1))
    own = network.backbone.get_submodule(head).parameters()
    assert [id(p) for p in last["params"]] == [id(p) for p in own]
    every = [id(p) for p in network.parameters()]
    assert sorted(id(p) for g in (rest, last) for p in g["params"]) == sorted(every)


# --- what it needs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "config", "told"),
    [
        (
            {"cameras": "dpc", "views": 5},
            {},
            "cameras of dpc onto each other; use --cameras circle",
        ),
        ({"passes": ("depth",)}, {}, "needs the pass rgba; there are depth"),
        ({"categories": ("cars",)}, {}, "there is only cars"),
        ({"cameras": "orbit", "views": 1}, {}, "needs 2 views or more"),
        ({}, {"backbone": "alexnet"}, "at least 63 px; these are 32 x 32"),
        ({"size": (99, 99)}, {"backbone": "vgg16", "image_px": 24}, "at least 32 px; these are 24"),
    ],
)
def test_a_dataset_that_will_not_do_is_refused(
    facts: dict[str, Any], config: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        model.check(Config(steps=1, batch=1, **config), dataclasses.replace(CIRCLE, **facts))


@pytest.mark.parametrize("rig", [("circle", 12), ("dodecahedron", 20), ("miro", 160), ("orbit", 7)])
def test_rigs_that_rotations_take_onto_themselves_will_do(rig: tuple[str, int]) -> None:
    model.check(TINY, dataclasses.replace(CIRCLE, cameras=rig[0], views=rig[1]))


def test_voting_takes_any_rig() -> None:
    config = dataclasses.replace(TINY, objective="voting")

    model.check(config, dataclasses.replace(CIRCLE, cameras="dpc", views=5))


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"steps": 0}, {"backbone": "resnet19"}])
def test_a_config_that_will_not_do_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        Config(**{"steps": 1, "batch": 1, **wrong})


# --- the network ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rig", "views", "outputs"), [("circle", 12, 48), ("dodecahedron", 20, 80)]
)
def test_outputs_are_categories_and_one_more_for_each_slot(
    rig: str, views: int, outputs: int
) -> None:
    network = model.build(TINY, dataclasses.replace(CIRCLE, cameras=rig, views=views))

    assert network.backbone.fc.out_features == outputs


@pytest.mark.parametrize("name", ["alexnet", "resnet50"])
def test_an_image_s_rows_are_its_outputs_slot_by_slot(name: str) -> None:
    network = model.build(Config(steps=1, batch=1, backbone=name), _sized(64)).eval()
    images = torch.randint(0, 256, (2, 3, 3, 64, 64), dtype=torch.uint8)

    with torch.inference_mode():
        logits = network(images)
        alone = network.backbone((images[1, 2:] - network.mean) / network.std)

    assert logits.shape == (2, 3, 12, 4)
    torch.testing.assert_close(logits[1, 2], alone.view(12, 4), atol=1e-4, rtol=1e-4)


def test_images_are_normalized_as_torchvision_s_weights_expect() -> None:
    network = model.build(TINY, CIRCLE)
    seen: list[Tensor] = []
    network.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))

    network(torch.full((1, 2, 3, 32, 32), 255, dtype=torch.uint8))

    expected = torch.tensor([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225])
    torch.testing.assert_close(seen[0][0, :, 5, 7], expected)


def test_checkpoints_hold_the_backbone_alone() -> None:
    assert {name.split(".")[0] for name in model.build(TINY, CIRCLE).state_dict()} == {"backbone"}


@pytest.mark.parametrize("objective", ["rotationnet", "voting"])
def test_a_loss_runs_the_network_once_and_reaches_every_parameter(objective: Any) -> None:
    config = dataclasses.replace(TINY, objective=objective)
    network = model.build(config, CIRCLE)
    calls: list[nn.Module] = []
    network.register_forward_hook(lambda module, *_: calls.append(module))
    batch = {
        "images": torch.randint(0, 256, (2, 12, 3, 32, 32), dtype=torch.uint8),
        "category": torch.tensor([2, 0]),
    }

    loss, values = model.loss(config, network, batch, _moment())
    loss.backward()

    assert len(calls) == 1
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    assert {name: value.ndim for name, value in values.items()} == {"accuracy": 0}


def _moment() -> Moment:
    return Moment(step=0, steps=1, generator=torch.Generator())


def test_a_turned_shape_has_the_same_loss() -> None:
    network = model.build(TINY, CIRCLE).eval()
    images = torch.randint(0, 256, (1, 12, 3, 32, 32), dtype=torch.uint8)
    labels = torch.tensor([1])

    with torch.no_grad():
        straight, turned = (
            model.loss(TINY, network, {"images": each, "category": labels}, _moment())[0]
            for each in (images, images.roll(5, 1))
        )

    torch.testing.assert_close(straight, turned)


# --- answers -------------------------------------------------------------------------------------


def test_one_view_is_answered_by_its_best_slot_and_category() -> None:
    network = model.build(TINY, CIRCLE)
    logits = torch.randn(4, 1, 12, 4, generator=torch.manual_seed(0))

    found = guess(TINY, network, logits, torch.tensor([7]))

    ratio = logits[:, 0, :, :3] - logits[:, 0, :, 3:]
    best = ratio.flatten(1).argmax(1)
    assert torch.equal(found.slots[:, 0], best // 3)
    assert torch.equal(found.category, best % 3)


def test_views_keep_their_places_to_each_other() -> None:
    network = model.build(TINY, CIRCLE)
    logits = torch.randn(50, 3, 12, 4, generator=torch.manual_seed(0))

    slots = guess(TINY, network, logits, torch.tensor([1, 2, 10])).slots

    assert torch.equal((slots - slots[:, :1]) % 12, torch.tensor([[0, 1, 9]]).expand(50, 3))


def test_voting_averages_log_probabilities() -> None:
    config = dataclasses.replace(TINY, objective="voting")
    network = model.build(config, CIRCLE)
    # Each of two views is sure of 0 or 1; both hold 2 for likely.
    logits = torch.tensor([[[9.0, 0, 7], [0, 9.0, 7]]])

    assert guess(config, network, logits, torch.tensor([0, 4])).category.tolist() == [2]


def test_choices_of_views_are_all_single_ones_then_random_ones_of_every_number() -> None:
    found = choices(12, 20)

    assert found[1] == [[view] for view in range(12)]
    assert found[12] == [list(range(12))]
    assert len(found[11]) == 12
    assert [len(found[number]) for number in range(2, 11)] == [20] * 9
    assert all(len(set(seen)) == number for number, some in found.items() for seen in some)
    assert choices(12, 20) == found


def test_of_large_rigs_not_every_number_of_views_is_tried() -> None:
    assert list(choices(160, 3)) == [1, 2, 4, 8, 16, 32, 64, 128, 160]


# --- learning ------------------------------------------------------------------------------------


def test_it_learns_category_and_pose_from_categories_alone(
    trained: tuple[Network, list[float], Evaluation],
) -> None:
    _, losses, evaluation = trained

    # A network that knows all but the pose could not be below that of one slot in twelve.
    blind = -(np.log(1 / 12) / 12 + np.log(11 / 12) * 11 / 12)
    assert np.mean(losses[-5:]) < 0.5 * blind < losses[0]
    assert evaluation.metrics["category_accuracy"] == 1
    assert evaluation.metrics["single_view_accuracy"] > 0.9
    assert evaluation.metrics["pose_within_step"] > 0.6


def test_the_voting_baseline_learns_categories(snapshot: Snapshot) -> None:
    config = dataclasses.replace(TINY, objective="voting", steps=12)

    network, losses = train(config, snapshot)
    evaluation = measure(config, network, snapshot)

    assert losses[-1] < 0.3 * losses[0]
    assert evaluation.metrics["category_accuracy"] > 0.8
    assert not any("pose" in name for name in evaluation.metrics)
    assert list(evaluation.tables["by_views"]) == ["views", "category_accuracy"]


def test_an_evaluation_repeats_and_is_json(
    trained: tuple[Network, list[float], Evaluation], snapshot: Snapshot
) -> None:
    network, _, evaluation = trained

    again = measure(TINY, network, snapshot)

    assert json.dumps([again.metrics, again.tables]) == json.dumps(
        [dict(evaluation.metrics), dict(evaluation.tables)]
    )
    for name, array in evaluation.arrays.items():
        assert array.dtype != object
        assert_array_equal(array, again.arrays[name])


def test_tables_agree_with_the_metrics(trained: tuple[Network, list[float], Evaluation]) -> None:
    metrics, tables = trained[2].metrics, trained[2].tables

    matrix = np.array(tables["confusion"])
    assert matrix.sum(1).tolist() == [3, 3, 3]
    assert matrix.trace() / 9 == metrics["category_accuracy"]
    by_views = tables["by_views"]
    assert by_views["views"] == list(range(1, 13))
    assert by_views["category_accuracy"][0] == metrics["single_view_accuracy"]
    assert by_views["category_accuracy"][-1] == metrics["category_accuracy"]
    assert by_views["pose_accuracy"][-1] == metrics["pose_accuracy"]
    own = [tables["by_category"][name] for name in tables["categories"]]
    assert np.mean([row["pose_accuracy"] for row in own]) == pytest.approx(metrics["pose_accuracy"])


def test_matches_are_the_training_views_at_the_slots_of_the_views(
    trained: tuple[Network, list[float], Evaluation],
) -> None:
    arrays = trained[2].arrays
    assert arrays["shown_inputs"].shape == arrays["shown_matches"].shape

    # The shapes stand alike, so a right pose shows views of the same camera: nearly one picture.
    right = arrays["posed"][arrays["shown"]] & (
        arrays["predicted"] == arrays["category"]
    )[arrays["shown"]]  # fmt: skip
    assert right.any()
    inputs = arrays["shown_inputs"][right].astype(float)
    matches = arrays["shown_matches"][right].astype(float)
    straight = np.abs(inputs - matches).mean()
    turned = np.abs(inputs - np.roll(matches, 1, axis=1)).mean()
    assert straight < 0.6 * turned


def test_poses_count_from_the_candidate_that_training_shapes_have(
    trained: tuple[Network, list[float], Evaluation], snapshot: Snapshot
) -> None:
    """The first view of every test shape is of the same azimuth: one candidate is right for all."""
    arrays = trained[2].arrays
    for category in range(3):
        own = arrays["category"] == category
        assert len(set(arrays["candidate"][own & arrays["posed"]].tolist())) <= 1
    assert (arrays["near"] | ~arrays["posed"]).all()
    assert arrays["fronted"].all()  # blocks with an arm have no symmetry


def test_a_split_without_training_shapes_counts_poses_from_itself(
    trained: tuple[Network, list[float], Evaluation], tmp_path: Path
) -> None:
    folder = make_dataset(
        tmp_path, CIRCLE.categories, splits={"test": 2}, cameras="circle", points=0
    )

    evaluation = measure(TINY, trained[0], Snapshot.take([folder]))

    assert evaluation.metrics["pose_accuracy"] >= 0.5


def test_a_rig_that_the_run_does_not_know_is_refused(
    trained: tuple[Network, list[float], Evaluation], tmp_path: Path
) -> None:
    folder = make_dataset(
        tmp_path, CIRCLE.categories, splits={"test": 1}, cameras="dodecahedron", points=0
    )

    with pytest.raises(DatasetRefused, match="20 views of each shape, and the run learned"):
        measure(TINY, trained[0], Snapshot.take([folder]))


def test_a_report_shows_matches_and_accuracy_by_views(
    trained: tuple[Network, list[float], Evaluation], tmp_path: Path
) -> None:
    made = model.report(TINY, trained[2], tmp_path)

    assert [name for name, _ in made] == ["matches.png", "by_views.png"]
    assert all((tmp_path / name).stat().st_size > 2000 for name, _ in made)


def test_imagenet_s_weights_go_into_the_backbone() -> None:
    network = model.build(Config(steps=1, batch=1, backbone="resnet50"), CIRCLE)

    assert model.backbone(Config(steps=1, batch=1, backbone="resnet50"), network) == (
        "resnet50",
        network.backbone,
    )
