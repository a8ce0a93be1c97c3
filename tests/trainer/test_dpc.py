"""DPC as a model of the trainer; vectors are those of models.md, sections 1 and 8."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.trainer import direct_projection
from tests.trainer.datasets import make_dataset
from trainer import models
from trainer.data import Facts, Snapshot
from trainer.geometry import about, angle_deg, multiply, quaternion_from_campos
from trainer.loader import Loader, ordered, stack
from trainer.models import Evaluation, Moment, Tools
from trainer.models import dpc as model
from trainer.models.dpc import PRESETS, Config, Guess, Network, paper, student_loss
from trainer.projection import view
from trainer.views import look

FACTS = Facts(
    categories=("cars", "chairs"), views=5, cameras="dpc", size=(128, 128),
    passes=("rgba", "depth"), points=8192, samples={"train": 8, "val": 2}, folders=("data/x",),
)  # fmt: skip
TINY = Config(
    steps=120, batch=4, image=32, voxels=16, points=200, width=64, lr=1e-3, sigma_start=1.5,
    sigma_end=0.5, keep=0.5,
)  # fmt: skip
BLIND = dataclasses.replace(TINY, pose="unsupervised", steps=30)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    folder = make_dataset(
        tmp_path_factory.mktemp("dpc"), ("cars", "chairs"), size=32, views=5, points=300,
        splits={"train": 8, "val": 2, "test": 2},
    )  # fmt: skip
    return Snapshot.take([folder])


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def network_of(config: Config, seed: int = 0) -> Network:
    torch.manual_seed(seed)
    return model.build(config, FACTS)


def moment(step: int, config: Config) -> Moment:
    return Moment(step=step, steps=config.steps, generator=torch.Generator())


def first_batch(config: Config, snapshot: Snapshot) -> dict[str, Any]:
    examples = model.examples(config, snapshot, "train", train=True)
    return next(Loader(examples, batch=config.batch, seed=0).batches(0, 1))


def train(config: Config, snapshot: Snapshot) -> tuple[Network, list[dict[str, float]]]:
    """The trainer's loop without all that surrounds it."""
    network = network_of(config)
    optimizer, schedule = model.optimizer(config, network)
    examples = model.examples(config, snapshot, "train", train=True)
    lines = []
    for step, batch in enumerate(
        Loader(examples, batch=config.batch, seed=0).batches(0, config.steps)
    ):
        torch.manual_seed(step)
        for group in optimizer.param_groups:
            group["lr"] = config.lr * schedule(step / config.steps)
        loss, values = model.loss(config, network, batch, moment(step, config))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        lines.append({"loss": loss.item(), **{name: v.item() for name, v in values.items()}})
    return network, lines


def evaluate(config: Config, network: Network, snapshot: Snapshot, split: str) -> Evaluation:
    tools = Tools(
        device=torch.device("cpu"),
        batches=lambda examples, batch: ordered(examples, batch=batch),
        progress=lambda **_: None,
    )
    network.eval()
    with torch.no_grad():
        return model.evaluate(config, network, snapshot, split, tools)


@pytest.fixture
def frozen() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.mark.usefixtures("frozen")
class TestNetwork:
    def test_it_has_the_published_number_of_parameters(self) -> None:
        config = dataclasses.replace(paper(), pose="unsupervised")
        with torch.device("meta"):
            network = Network(config)

        assert count(network.convs) == 1_177_216
        assert len([m for m in network.convs.modules() if isinstance(m, nn.Conv2d)]) == 9
        assert count(network) == 33_292_309

    def test_of_64_px_it_has_seven_convolutions(self) -> None:
        network = network_of(dataclasses.replace(TINY, image=64))

        assert count(network.convs) == 291_968
        assert len([m for m in network.convs.modules() if isinstance(m, nn.Conv2d)]) == 7
        assert network.shared[0][0].in_features == 2048

    def test_the_naive_model_has_one_linear_camera_and_no_student(self) -> None:
        network = network_of(dataclasses.replace(BLIND, candidates=1))

        assert [type(camera) for camera in network.cameras] == [nn.Linear]
        assert network.student is None

    def test_where_cameras_are_told_nothing_guesses_them(self) -> None:
        network = network_of(TINY)

        assert network.trunk is None and not network.cameras and network.student is None

    def test_points_lie_in_the_cube_and_the_scale_begins_near_a_half(self) -> None:
        guess = network_of(dataclasses.replace(TINY, points=3000))(torch.rand(5, 1, 3, 32, 32))

        assert guess.points.shape == (5, 3000, 3)
        assert float(guess.points.abs().max()) <= 0.5
        assert 0.05 < float(guess.points.std()) < 0.4
        assert guess.scale.tolist() == pytest.approx([0.5] * 5, abs=0.35)

    def test_weights_begin_within_two_deviations_of_what_is_published(self) -> None:
        network = Network(dataclasses.replace(paper(), points=100))
        first, shared, points = network.convs[0][0], network.shared[1][0], network.points
        for layer, std in (
            (first, (2.6 / 75) ** 0.5),
            (shared, (2.6 / 1024) ** 0.5),
            (points, 0.025),
        ):
            assert float(layer.weight.abs().max()) <= 2 * std
            # A normal distribution that is cut off at two deviations has 0.88 of one.
            assert float(layer.weight.std()) == pytest.approx(0.8796 * std, rel=0.04)
            assert not layer.bias.any()

    def test_first_clouds_are_as_wide_as_they_are_asked_to_be(self) -> None:
        pictures = torch.rand(5, 1, 3, 32, 32)
        wide, narrow = (
            network_of(dataclasses.replace(TINY, points=3000, spread=spread))(pictures).points
            for spread in (1.0, 0.25)
        )

        ends = torch.atanh(2 * wide.detach()).std(), torch.atanh(2 * narrow.detach()).std()
        assert float(ends[1] / ends[0]) == pytest.approx(0.25, rel=1e-3)

    def test_the_shape_comes_from_the_first_view_and_a_camera_from_each(self) -> None:
        network = network_of(BLIND)
        pictures = torch.rand(2, 3, 3, 32, 32)
        changed = pictures.clone()
        changed[:, 1:] = torch.rand(2, 2, 3, 32, 32)

        one, other = network(pictures), network(changed)

        assert torch.allclose(one.points, other.points, atol=1e-6)
        assert torch.allclose(one.scale, other.scale, atol=1e-6)
        assert one.cameras.shape == (2, 3, 4, 4) and one.student.shape == (2, 3, 4)
        differ = (one.cameras - other.cameras).abs().amax((0, 2, 3))
        assert float(differ[0]) < 1e-5 and float(differ[1:].min()) > 1e-3

    def test_colours_are_there_when_they_are_to_be_learned(self) -> None:
        guess = network_of(dataclasses.replace(TINY, colour_weight=1.0))(
            torch.rand(2, 1, 3, 32, 32)
        )

        assert guess.colours is not None
        assert guess.colours.shape == (2, 200, 3)
        assert 0 <= float(guess.colours.min()) < float(guess.colours.max()) <= 1


class TestSchedules:
    @pytest.mark.parametrize(
        ("step", "sigma", "points"),
        [(0, 3, 560), (100_000, 2.533333, 1799), (300_000, 1.6, 4280), (600_000, 0.2, 8000)],
    )
    def test_blur_and_points_are_those_published(
        self, step: int, sigma: float, points: int
    ) -> None:
        config = paper()

        assert config.sigma(step / config.steps) == pytest.approx(sigma, abs=1e-6)
        assert config.kept(step / config.steps) == points

    def test_a_shorter_run_shrinks_them_both(self) -> None:
        short = dataclasses.replace(paper(), steps=600)

        assert short.sigma(300 / 600) == paper().sigma(0.5)

    def test_the_learning_rate_is_constant_or_falls_by_a_cosine(self) -> None:
        _, constant = model.optimizer(paper(), nn.Linear(1, 1))
        _, falling = model.optimizer(dataclasses.replace(TINY, final_lr=0.1), nn.Linear(1, 1))

        assert [constant(t) for t in (0, 0.5, 1)] == [1, 1, 1]
        assert [falling(t) for t in (0, 0.5, 1)] == pytest.approx([1, 0.55, 0.1])


class TestOptimizer:
    def test_weights_decay_through_the_gradient_and_biases_do_not(self) -> None:
        """0.001 * 0.5 * |W|^2 in the loss gives the same steps."""
        config = dataclasses.replace(TINY, weight_decay=0.1)
        layers = [nn.Linear(5, 3).double() for _ in range(2)]
        layers[1].load_state_dict(layers[0].state_dict())
        inputs = torch.randn(7, 5, dtype=torch.float64)
        ours, _ = model.optimizer(config, layers[0])
        plain = torch.optim.Adam(layers[1].parameters(), lr=config.lr)
        for _ in range(5):
            layers[0](inputs).square().sum().backward()
            penalty = 0.1 * 0.5 * layers[1].weight.square().sum()
            (layers[1](inputs).square().sum() + penalty).backward()
            for each in (ours, plain):
                each.step()
                each.zero_grad()

        assert torch.allclose(layers[0].weight, layers[1].weight, atol=1e-12)
        assert torch.allclose(layers[0].bias, layers[1].bias, atol=1e-12)


class TestStudentLoss:
    def test_of_60_and_100_degrees_it_is_the_squared_sine_of_20(self) -> None:
        found = float(student_loss(about((0, 1, 0), 60), about((0, 1, 0), 100)))

        assert found == pytest.approx(0.1169778, abs=1e-7)
        assert found == pytest.approx(math.sin(math.radians(20)) ** 2)

    def test_neither_sign_nor_length_counts(self) -> None:
        a, b = torch.randn(6, 4), torch.randn(6, 4)

        assert float(student_loss(-3 * a, b)) == pytest.approx(float(student_loss(a, b)), abs=1e-6)

    def test_the_teacher_learns_nothing_from_it(self) -> None:
        teacher, student = (
            torch.randn(2, 4, requires_grad=True),
            torch.randn(2, 4, requires_grad=True),
        )

        student_loss(teacher, student).backward()

        assert teacher.grad is None and student.grad is not None and student.grad.any()


class Fixed(nn.Module):
    """Says the same whatever it sees, and can learn what it says."""

    def __init__(self, points: Tensor, cameras: Tensor | None, student: Tensor | None):
        super().__init__()
        self.points = nn.Parameter(points)
        self.scale = nn.Parameter(torch.full((len(points),), 0.9))
        self.cameras = None if cameras is None else nn.Parameter(cameras)
        self.student = None if student is None else nn.Parameter(student)
        self.seen: list[tuple[int, ...]] = []

    def forward(self, pictures: Tensor) -> Guess:
        self.seen.append(tuple(pictures.shape))
        return Guess(self.points, self.scale, None, self.cameras, self.student)


class TestLoss:
    config = dataclasses.replace(TINY, keep=1.0, batch=2, points=50)

    def scene(self, snapshot: Snapshot) -> tuple[dict[str, Any], Tensor]:
        torch.manual_seed(0)
        return first_batch(self.config, snapshot), torch.rand(2, 50, 3) - 0.5

    def direct(self, points: Tensor, cameras: Tensor, truth: Tensor, sigma: float) -> Tensor:
        """[B, v] half the summed squares, by the direct projection, cloud by cloud."""
        rows = []
        for b, own in enumerate(cameras):
            seen = [view(points[b : b + 1], camera[None]) for camera in own]
            silhouettes = [
                direct_projection.project(one, torch.tensor([0.9]), sigma, self.config.voxels)[0]
                for one in seen
            ]
            rows.append(
                [0.5 * ((s[0] - t) ** 2).sum() for s, t in zip(silhouettes, truth[b], strict=True)]
            )
        return torch.tensor(rows)

    def test_with_cameras_told_it_is_the_direct_sum_of_squares(self, snapshot: Snapshot) -> None:
        batch, points = self.scene(snapshot)
        truth = look(batch, 32, self.config.voxels).silhouette
        network = Fixed(points, None, None)

        loss, values = model.loss(self.config, network, batch, moment(60, self.config))

        expected = self.direct(points, batch["camera"], truth, self.config.sigma(0.5))
        assert loss.item() == pytest.approx(float(expected.mean()), rel=1e-5)
        assert values["silhouette"].item() == pytest.approx(loss.item())
        assert network.seen == [(2, 1, 3, 32, 32)]  # only the first view is looked at

    @pytest.mark.parametrize("config", [TINY, BLIND], ids=["told", "guessed"])
    def test_pictures_jitter_where_cameras_are_told_and_nowhere_else(
        self, snapshot: Snapshot, config: Config
    ) -> None:
        still = dataclasses.replace(config, keep=1.0)
        losses = []
        for one in (still, dataclasses.replace(still, jitter=0.2)):
            network, batch = network_of(one), first_batch(one, snapshot)
            torch.manual_seed(0)
            losses.append(model.loss(one, network, batch, moment(0, one))[0].item())

        assert (losses[0] == losses[1]) == (config is BLIND)

    def test_in_hindsight_the_best_candidate_counts_and_it_alone_learns(
        self, snapshot: Snapshot
    ) -> None:
        config = dataclasses.replace(self.config, pose="unsupervised", candidates=3)
        batch, points = self.scene(snapshot)
        truth = look(batch, 32, config.voxels).silhouette
        cameras, student = torch.randn(2, 4, 3, 4), torch.randn(2, 4, 4)
        network = Fixed(points, cameras, student)

        loss, values = model.loss(config, network, batch, moment(0, config))
        loss.backward()

        every = torch.stack(
            [self.direct(points, cameras[:, :, k], truth, config.sigma(0)) for k in range(3)], 2
        )
        winner = every.argmin(2)
        teacher = cameras.gather(2, winner[:, :, None, None].expand(2, 4, 1, 4))[:, :, 0]
        expected = float(every.amin(2).mean()) + 20 * float(student_loss(teacher, student))
        assert loss.item() == pytest.approx(expected, rel=1e-5)
        shares = [values[f"winner_{k}"].item() for k in range(3)]
        assert shares == pytest.approx(
            torch.bincount(winner.flatten(), minlength=3).div(8).tolist()
        )
        assert network.cameras is not None and network.cameras.grad is not None
        learned = network.cameras.grad.abs().sum(3) > 0
        assert torch.equal(learned, nn.functional.one_hot(winner, 3).bool())

    def test_every_copy_of_a_cloud_has_its_own_points(self, snapshot: Snapshot) -> None:
        points = torch.rand(2, 50, 3)
        torch.manual_seed(3)
        chosen = model._chosen(points, copies=6, kept=20)

        assert chosen is not None and chosen.shape == (2, 6, 20)
        subsets = {tuple(sorted(one.tolist())) for one in chosen.flatten(0, 1)}
        assert len(subsets) == 12 and all(len(set(one)) == 20 for one in subsets)
        taken = model._taken(points, chosen, 6)
        assert torch.equal(taken[7], points[1, chosen[1, 1]])
        assert model._chosen(points, 6, kept=50) is None

    def test_depth_and_colour_count_with_their_weights(self, snapshot: Snapshot) -> None:
        config = dataclasses.replace(
            self.config, depth_weight=0.5, colour_weight=2.0, silhouette_weight=3.0
        )
        batch = first_batch(config, snapshot)
        torch.manual_seed(1)

        loss, values = model.loss(config, network_of(config), batch, moment(5, config))

        weighted = 3 * values["silhouette"] + 0.5 * values["depth"] + 2 * values["colour"]
        assert loss.item() == pytest.approx(weighted.item(), rel=1e-6)
        assert values["depth"] > values["silhouette"]  # the background is at ten diagonals

    def test_the_true_points_at_the_true_cameras_leave_little(self, snapshot: Snapshot) -> None:
        """Against the same points in a mirror: what proves frame, hand and up of the whole path."""
        config = dataclasses.replace(self.config, points=300)
        examples = model.examples(config, snapshot, "train", train=True)
        rng = np.random.default_rng(0)
        batch = stack([examples.get(n, rng) for n in range(2)])
        clouds = torch.stack(
            [torch.from_numpy(examples.reader.points(item)) for item in examples.items[:2]]
        )

        def left(points: Tensor) -> float:
            at = dataclasses.replace(config, sigma_start=0.8)
            return model.loss(at, Fixed(points, None, None), batch, moment(0, at))[0].item()

        mirrored = [left(clouds * torch.tensor(m)) for m in ([-1, 1, 1], [1, -1, 1], [1, 1, -1])]
        assert left(clouds) < 0.75 * min(mirrored)

    def test_in_bf16_it_is_nearly_the_same(self, snapshot: Snapshot) -> None:
        batch, network = first_batch(BLIND, snapshot), network_of(BLIND)
        losses = []
        for enabled in (False, True):
            torch.manual_seed(0)
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                losses.append(model.loss(BLIND, network, batch, moment(0, BLIND))[0])

        assert losses[1].dtype == torch.float32
        assert losses[1].item() == pytest.approx(losses[0].item(), rel=0.05)


class TestLearning:
    def test_with_cameras_it_beats_the_best_constant(
        self, snapshot: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(model, "ORBITS", 1)
        network, lines = train(TINY, snapshot)

        outlines = [line["silhouette"] for line in lines]
        assert np.mean(outlines[-10:]) < 0.35 * np.mean(outlines[:3])
        found = evaluate(TINY, network, snapshot, "test")
        assert found.metrics["chamfer_to_constant"] < 0.8
        assert found.metrics["chamfer"] == pytest.approx(
            found.metrics["precision"] + found.metrics["coverage"]
        )
        assert set(found.tables["categories"]) == {"cars", "chairs"}
        assert "accuracy" not in found.metrics
        json.dumps([dict(found.metrics), found.tables])

        shown = model.report(TINY, found, tmp_path)

        assert [name for name, _ in shown][:2] == ["predictions.png", "orbit-0.gif"]
        assert all((tmp_path / name).is_file() and caption for name, caption in shown)

    def test_without_cameras_poses_are_told_against_chance(
        self, snapshot: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(model, "ORBITS", 1)
        network, lines = train(BLIND, snapshot)

        assert np.mean([line["loss"] for line in lines[-5:]]) < lines[0]["loss"]
        assert sum(lines[0][f"winner_{k}"] for k in range(4)) == pytest.approx(1)
        found = evaluate(BLIND, network, snapshot, "test")
        assert 0 <= found.metrics["accuracy"] <= 1
        assert 0 < found.metrics["accuracy_chance"] < 0.5
        assert 0 <= found.metrics["median_deg"] <= 180
        assert (
            sum(found.tables["winners"]["views"])
            == sum(found.tables["pose_error_deg"]["counts"])
            == 4 * 5
        )
        assert found.arrays["error_deg"].shape == (4, 5)
        json.dumps([dict(found.metrics), found.tables])
        assert "pose_error_deg.png" in [name for name, _ in model.report(BLIND, found, tmp_path)]

    def test_an_evaluation_repeats_to_the_bit(self, snapshot: Snapshot) -> None:
        network = network_of(BLIND)
        one, other = (evaluate(BLIND, network, snapshot, "test") for _ in range(2))

        assert one.metrics == other.metrics


class Turned(nn.Module):
    """Knows every shape of the dataset, in a frame of its own: all is turned by one rotation."""

    def __init__(self, snapshot: Snapshot, turn: Tensor):
        super().__init__()
        self.known: dict[bytes, tuple[Tensor, Tensor]] = {}
        back = turn * torch.tensor([1.0, -1, -1, -1], dtype=turn.dtype)
        for split in ("val", "test"):
            views = model.examples(BLIND, snapshot, split, train=False)
            for number, item in enumerate(views.items):
                example = stack([views.get(number, np.random.default_rng(0))])
                cloud = torch.from_numpy(views.reader.points(item)).double()
                cloud = model.rotate(back, cloud).float()
                for picture, camera in zip(
                    look(example, 32, 16).pictures[0], example["camera"][0], strict=True
                ):
                    pose = -2 * multiply(camera.double(), turn).float()
                    self.known[picture.numpy().tobytes()] = cloud, pose

    def forward(self, pictures: Tensor) -> Guess:
        found = [self.known[one[0].numpy().tobytes()] for one in pictures]
        poses = torch.stack([pose for _, pose in found])[:, None]
        points = torch.stack([cloud for cloud, _ in found])
        return Guess(
            points, torch.ones(len(points)), None, poses[:, :, None].repeat(1, 1, 4, 1), poses
        )


def test_a_perfect_network_in_a_frame_of_its_own_makes_no_error(snapshot: Snapshot) -> None:
    """models.md 1.8: the frame is found on val, and test is judged in it; q and -q are one pose."""
    turn = about((1, 2, 2), 40)

    found = evaluate(BLIND, Turned(snapshot, turn), snapshot, "test")  # type: ignore[arg-type]

    reference = torch.tensor(found.tables["canonical_rotation"])
    assert float(angle_deg(reference, turn.float())) < 0.1
    assert found.metrics["accuracy"] == 1
    assert found.metrics["median_deg"] < 0.2
    assert found.metrics["precision"] < 0.3  # half a voxel of the thinned truth


class TestChecks:
    @pytest.mark.parametrize(
        ("config", "facts", "told"),
        [
            ({}, {"size": (128, 96)}, "square pictures; these are 128 x 96"),
            ({"image": 256}, {}, "--image 256 is more than the pictures' 128 px"),
            ({"voxels": 200}, {}, "--voxels 200 is more than the pictures' 128 px"),
            ({}, {"passes": ("depth",)}, "needs the pass rgba; there are depth"),
            ({"depth_weight": 1.0}, {"passes": ("rgba",)}, "needs the pass depth; there are rgba"),
            ({}, {"views": 3}, "needs 4 views of a shape, and there are 3; .*--views-per-step 3"),
            ({}, {"cameras": ""}, "needs the cameras"),
            ({}, {"points": 0}, "needs point clouds"),
            (
                {"pose": "unsupervised"},
                {"samples": {"train": 9}},
                "on the split val, which is empty",
            ),
        ],
    )
    def test_a_dataset_that_will_not_do_is_refused_by_name(
        self, config: dict[str, Any], facts: dict[str, Any], told: str
    ) -> None:
        with pytest.raises(ValueError, match=told):
            model.check(dataclasses.replace(TINY, **config), dataclasses.replace(FACTS, **facts))

    @pytest.mark.parametrize("preset", PRESETS)
    @pytest.mark.parametrize("pose", ["camera", "unsupervised"])
    def test_every_preset_takes_a_dataset_as_it_is_rendered_by_default(
        self, preset: str, pose: Any
    ) -> None:
        model.check(dataclasses.replace(PRESETS[preset](), pose=pose), FACTS)

    @pytest.mark.parametrize(
        ("config", "told"),
        [
            ({"image": 96}, "image is 96; it must be a power of two"),
            ({"points": 0}, "points is 0; it must be at least 1"),
            ({"voxels": 4}, "voxels is 4"),
            ({"jitter": 1.0}, r"jitter is 1\.0; it must be at least 0 and below 1"),
            ({"keep": 0.0}, r"keep is 0\.0; it is a share"),
            ({"sigma_end": 0.0}, "sigma goes from 1.5 to 0"),
            ({"silhouette_weight": 0.0}, "one must be above 0"),
        ],
    )
    def test_a_setting_that_means_nothing_is_refused_by_name(
        self, config: dict[str, Any], told: str
    ) -> None:
        with pytest.raises(ValueError, match=told):
            dataclasses.replace(TINY, **config)

    def test_it_is_found_by_its_name(self) -> None:
        assert models.load("dpc") is model


def test_the_constants_of_the_paper() -> None:
    config = paper()

    assert (config.image, config.voxels, config.points, config.candidates) == (128, 64, 8000, 4)
    assert (config.lr, config.weight_decay, config.student_weight) == (1e-4, 1e-3, 20)
    assert (config.steps, config.batch, config.views_per_step) == (600_000, 8, 4)
    assert (config.sigma_start, config.sigma_end, config.keep) == (3.0, 0.2, 0.07)


def test_our_quaternions_and_campos_name_one_camera(snapshot: Snapshot) -> None:
    """What a dataset stores leads to the published quaternion of that camera's position."""
    examples = model.examples(TINY, snapshot, "train", train=False)
    meta = examples.reader.meta(examples.items[0])["views"][1]
    a, e = np.radians(meta["azimuth_deg"]), np.radians(meta["elevation_deg"])
    z_up = torch.tensor([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])

    ours = torch.from_numpy(examples.cameras(0)[1]).double()

    assert float(angle_deg(ours, quaternion_from_campos(z_up))) < 1e-3
