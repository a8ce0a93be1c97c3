"""AIST learns as CycleGAN does, keeps outlines, goes on to the bit, and says what went wrong."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.trainer.conftest import Quiet
from tests.trainer.datasets import make_dataset
from tests.trainer.test_cyclegan import PlainPool
from trainer import chance, checkpoint, cyclegan, measure, report, samples, start
from trainer.cutouts import shown
from trainer.data import Snapshot
from trainer.errors import DatasetRefused
from trainer.jobs import evaluate
from trainer.jobs.train import Job, resolve
from trainer.models import Moment, aist
from trainer.models.aist import AIST, Config
from trainer.run import Run
from trainer.session import make_tools

NARROW = {
    "size": 16, "filters": 4, "blocks": 1, "judge_filters": 4, "judge_layers": 1, "batch": 2,
    "features": "none", "pool": 3, "sample_steps": 3, "realism_steps": 4,
}  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the renders should look like: other shapes, one view, other pixels."""
    folder = tmp_path_factory.mktemp("real") / "photos"
    splits = {"train": 8, "val": 2, "test": 4}
    return make_dataset(
        folder, ("vans",), views=1, size=32, passes=("rgba",), points=0, splits=splits, seed=1
    )


@pytest.fixture
def job(blocks: Path, photos: Path, tmp_path: Path) -> Job:
    config = {**NARROW, "real": [str(photos)]}
    given = Job(
        model="aist", data=(str(blocks),), out="run", preset="tiny", steps=4, device="cpu",
        config=config,
    )  # fmt: skip
    return resolve(given, tmp_path)


def narrow(**more: Any) -> Config:
    return Config(steps=8, **{**NARROW, **more})


def pictures(count: int, seed: int, size: int = 16) -> Tensor:
    """uint8 [B, 4, S, S]: noise in a block on black."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(1, 256, (count, 4, size, size), generator=generator, dtype=torch.uint8)
    images[:, 3] = 0
    images[:, 3, 4:12, 3:14] = 255
    return images * (images[:, 3:] > 0)


# --- it is CycleGAN ---------------------------------------------------------------------------


def plain_step(
    network: AIST, optimizers: Any, x_image: Tensor, y_image: Tensor, pools: Any, choices: Any
) -> dict[str, float]:
    """CycleGAN's alternating step, pass by pass: both generators, then both discriminators."""
    config = network.config
    (x, a), (y, b) = shown(x_image), shown(y_image)
    g, f, d_x, d_y = network.g, network.f, network.d_x, network.d_y

    def before(made: Tensor, alpha: Tensor) -> Tensor:
        return alpha * (made + 1) - 1 if config.alpha == "composite" else made

    for judge in (d_x, d_y):
        judge.requires_grad_(False)
    fake_y, fake_x = before(g(x), a), before(f(y), b)
    back_x, back_y = before(f(fake_y), a), before(g(fake_x), b)
    adversarial = ((d_y(fake_y) - 1) ** 2).mean() + ((d_x(fake_x) - 1) ** 2).mean()
    cycle = 10 * (back_x - x).abs().mean() + 10 * (back_y - y).abs().mean()
    identity = (before(g(y), b) - y).abs().mean() + (before(f(x), a) - x).abs().mean()
    inside = [(a > 0).float(), (b > 0).float()]
    values = [(made.amax(1, keepdim=True) + 1) / 2 for made in (fake_y, fake_x)]
    alpha = sum(
        ((1 - m) * v + m * F.relu(4 / 255 - v) / (4 / 255)).mean()
        for m, v in zip(inside, values, strict=True)
    )
    told = {"adversarial": adversarial, "cycle": cycle, "identity": config.identity * 10 * identity}
    if config.alpha == "hinge":
        told["alpha"] = config.alpha_weight * alpha
    optimizers[0].zero_grad()
    sum(told.values()).backward()
    optimizers[0].step()

    for judge in (d_x, d_y):
        judge.requires_grad_(True)
    optimizers[1].zero_grad()
    for name, judge, real, fake, pool, chosen in zip(
        ("judge_x", "judge_y"), (d_x, d_y), (x, y), (fake_x, fake_y), pools, choices, strict=True
    ):
        old = pool.query(fake.detach(), chosen)
        loss = 0.5 * (((judge(real) - 1) ** 2).mean() + (judge(old) ** 2).mean())
        loss.backward()
        told[name] = loss
    optimizers[1].step()
    return {name: float(value.detach()) for name, value in told.items()}


@pytest.mark.parametrize("kind", ["composite", "hinge"])
def test_a_step_is_the_plain_alternating_one(kind):
    weight = 0.0 if kind == "composite" else 2.0
    config = narrow(alpha=kind, alpha_weight=weight, identity=0.5)
    torch.manual_seed(0)
    ours = AIST(config).double()
    plain = copy.deepcopy(ours)
    adam, _ = aist.optimizer(config, ours)
    sets = ([plain.g, plain.f], [plain.d_x, plain.d_y])
    adams = [
        torch.optim.Adam(cyclegan.parameters(some), lr=2e-4, betas=(0.5, 0.999)) for some in sets
    ]
    pools = [PlainPool(config.pool), PlainPool(config.pool)]

    for step in range(4):
        x, y = pictures(2, 10 + step), pictures(2, 20 + step)
        moment = Moment(step=step, steps=8, generator=chance.at(0, step, 0))
        torch.set_default_dtype(torch.float64)
        try:
            total, terms = aist.loss(config, ours, {"x": x, "y": y}, moment)
            total.backward()
            adam.step()
            adam.zero_grad()
            again = chance.at(0, step, 0)
            chosen = [cyclegan.choices(2, config.pool, again) for _ in range(2)]
            wanted = plain_step(plain, adams, x, y, pools, chosen)
        finally:
            torch.set_default_dtype(torch.float32)
        for name, value in wanted.items():
            assert float(terms[name].detach()) == pytest.approx(value, rel=1e-9), name
    for mine, theirs in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-9, rtol=1e-6)


TINY = {"halvings": 1, "norm": "none", "residual": True, "inside": True, "judged": 2}


def test_discriminators_learn_from_further_pictures_cut_to_what_both_show():
    config = narrow(**TINY)
    torch.manual_seed(0)
    network = AIST(config)
    batch = {"x": pictures(2, 0), "y": pictures(2, 1)}
    batch["y"][:, :, :6] = 0  # less is seen of these
    batch |= {
        "further_x": pictures(4, 2).unflatten(0, (2, 2)),
        "further_y": pictures(4, 3).unflatten(0, (2, 2)),
    }
    asked: list[Tensor] = []
    network.d_y.register_forward_hook(lambda module, given, scores: asked.append(given[0]))

    total, terms = aist.loss(
        config, network, batch, Moment(step=0, steps=8, generator=chance.at(0, 0, 0))
    )

    by_generator, by_judge = asked
    assert (len(by_generator), len(by_judge)) == (2, 12)
    real, made = by_judge.chunk(2)
    assert torch.equal(real > -1, (real > -1).any(1, keepdim=True).expand_as(real))
    for one, other in zip(real, made, strict=True):  # one outline, whatever lies inside
        assert torch.equal((one > -1).any(0), (other > -1).any(0))
    assert (real[:2, :, :6] == -1).all() and (real[:2, :, 6:12, 3:14] > -1).any()
    assert torch.equal(
        real[2:],
        network.judged(
            *shown(batch["further_y"].flatten(0, 1)),
            network.pool_y.images[:1, 3:].expand(4, -1, -1, -1),
        ),
    )
    assert terms["judge_y"].item() > 0 and torch.isfinite(total)


@pytest.mark.parametrize("weights", [{"r1": 5.0}, {"r2": 5.0}, {"r1": 1.0, "r2": 2.0}])
def test_steep_discriminators_cost_them_and_not_the_generators(weights: dict[str, float]):
    torch.manual_seed(0)
    moment = Moment(step=0, steps=8, generator=torch.Generator())
    network = AIST(narrow(**TINY, **weights))
    torch.nn.init.normal_(network.d_x.layers[-1].weight)

    _, terms = aist.loss(
        network.config, network, {"x": pictures(2, 0), "y": pictures(2, 1)}, moment
    )
    terms["steepness_x"].backward()

    assert terms["steepness_x"].item() > 0 and terms["steepness_y"].item() == 0
    assert network.d_x.layers[0].weight.grad.any()
    assert all(p.grad is None for part in (network.g, network.f, network.d_y)
               for p in part.parameters())  # fmt: skip


def test_r1_is_of_real_pictures_and_r2_of_made_ones():
    def steepness(**weights: float) -> float:
        torch.manual_seed(0)
        network = AIST(narrow(**TINY, **weights))
        torch.nn.init.normal_(network.d_y.layers[-1].weight)
        moment = Moment(step=0, steps=8, generator=torch.Generator())
        batch = {"x": pictures(2, 0), "y": pictures(2, 1)}
        return aist.loss(network.config, network, batch, moment)[1]["steepness_y"].item()

    real, made = steepness(r1=2.0), steepness(r2=2.0)

    assert real != made
    assert steepness(r1=1.0, r2=3.0) == pytest.approx(real / 2 + made * 3 / 2, rel=1e-5)


def test_a_fresh_residual_generator_begins_at_the_render_and_edges_are_mixed_once():
    config = narrow(**TINY)
    torch.manual_seed(0)
    network = AIST(config)
    image = pictures(1, 0)
    image[:, :, 4] //= 2  # an edge: colours times alpha, and alpha
    x, alpha = shown(image)

    made = network.paint(network.g, x, alpha)
    network.g.leave.bias.data.fill_(9.0)
    white = network.paint(network.g, x, alpha)

    torch.testing.assert_close(made, x)
    torch.testing.assert_close(white, (2 * alpha - 1).expand_as(white))


def test_pairs_bring_further_pictures_for_training_alone(blocks, photos):
    config = narrow(**TINY)
    snapshot = Snapshot.take([blocks], others={"real": [photos]})
    train = aist.examples(config, snapshot, "train", True)
    told = aist.examples(config, snapshot, "val", False)

    example = train.get(0, np.random.default_rng(0))

    assert example["further_x"].shape == example["further_y"].shape == (2, 4, 16, 16)
    assert example["further_x"].dtype == np.uint8
    assert "further_x" not in told.get(0, np.random.default_rng(0))


def test_the_sum_of_the_terms_is_the_loss_and_what_is_watched_is_not():
    config = narrow(features="none")
    torch.manual_seed(0)
    moment = Moment(step=0, steps=8, generator=torch.Generator())

    total, terms = aist.loss(
        config, AIST(config), {"x": pictures(2, 0), "y": pictures(2, 1)}, moment
    )

    added = sum(float(value.detach()) for name, value in terms.items() if name not in aist.WATCHED)
    assert float(total.detach()) == pytest.approx(added, rel=1e-6)
    assert {"mask_xor", "changed", "adversarial", "judge_x"} <= set(terms)


# models.md, 2.5: experiments 2 and 3; 3.3: CycleGAN's own
def test_presets_have_the_published_weights():
    two, three, own = (
        aist.PRESETS[name]() for name in ("constrained", "less_constrained", "stock")
    )

    assert (two.identity, two.alpha_weight, two.feature_weight) == (0.1, 2, 1.75)
    assert (three.identity, three.alpha_weight, three.feature_weight) == (0.1, 1, 1.25)
    assert (own.identity, own.alpha_weight, own.feature_weight) == (0.5, 0, 0)
    assert {(c.cycle_x, c.cycle_y, c.lr, c.pool) for c in (two, three, own)} == {(10, 10, 2e-4, 50)}
    assert (two.batch, two.fall, own.batch, own.fall) == (4, False, 1, True)
    assert own.phi == "none"


# --- examples ---------------------------------------------------------------------------------


def test_pairs_go_through_both_sides_and_mix_them(blocks, photos):
    snapshot = Snapshot.take([blocks], {"real": [photos]})
    pairs = aist.examples(narrow(), snapshot, "train", True)

    assert len(pairs) == 16 * 5
    seen = [pairs.get(3, np.random.default_rng(n)) for n in range(30)]
    assert {example["key"] for example in seen} == {seen[0]["key"]}
    assert len({example["y"].tobytes() for example in seen}) > 8
    assert seen[0]["x"].shape == seen[0]["y"].shape == (4, 16, 16)


def test_fewer_real_pictures_than_a_batch_are_told(blocks, photos):
    snapshot = Snapshot.take([blocks], {"real": [photos]})

    with pytest.raises(DatasetRefused, match=r"--real has 8 pictures .* fewer than --batch 9"):
        aist.examples(narrow(batch=9), snapshot, "train", True)
    with pytest.raises(DatasetRefused, match="aist wants --real too: cut-out photos"):
        aist.examples(narrow(), Snapshot.take([blocks]), "train", True)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"size": 18}, "--size 18: a multiple of 4, at least 16"),
        ({"size": 16, "judge_layers": 3}, "--judge-layers 3: nothing is left of 16 px"),
        ({"alpha_weight": -1.0}, "--alpha-weight -1.0: at least 0"),
        ({"filters": 0}, "--filters 0: at least 1"),
        ({"r1": 5.0}, "--r1 5: not with --norm instance"),
        ({"r2": 1.5}, "--r2 1.5: not with --norm instance"),
        ({"judge": "both"}, "--judge both: patches or pooled"),
    ],
)
def test_options_that_will_not_do_are_told_by_name(wrong, told):
    with pytest.raises(ValueError, match=told):
        Config(**wrong)


# --- runs -------------------------------------------------------------------------------------


def finals(folder: Path) -> dict[str, Tensor]:
    return checkpoint.find(folder / "checkpoints", "last").tensors()


@pytest.mark.parametrize("judge", [{}, {"judge": "pooled", "judged": 2, "r1": 5.0}])
def test_a_run_goes_on_to_the_bit_pools_and_all(judge, job, tmp_path, quiet):
    job = dataclasses.replace(job, config={**job.config, **judge})
    start.train(job, quiet)

    class Killed(Exception): ...

    class Lease(Quiet):
        def finish(self, item: str, **units: int) -> None:
            super().finish(item, **units)
            if self.steps >= 3:
                raise Killed

    other = dataclasses.replace(job, out=str(tmp_path / "other"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(start, "TELL_S", 0.0)
        with pytest.raises(Killed):
            start.train(other, Lease())
    start.train(other, quiet)

    assert len(Run(other.folder).about["starts"]) == 2
    wanted, found = finals(job.folder), finals(other.folder)
    assert wanted["pool_x.images"].any()
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    assert not any(name.startswith("beside") for name in wanted)


@pytest.mark.parametrize(
    "judge", [{}, {"judge": "pooled", "norm": "none", "judged": 2, "r1": 1.0, "r2": 2.0}]
)
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # asked for by torch itself
def test_a_compiled_step_is_the_plain_one(judge):
    config = narrow(alpha="composite", **judge)
    torch.manual_seed(0)
    plain = AIST(config)
    other = copy.deepcopy(plain)
    # Splits a step into forwards and backwards as inductor does, and spares the suite its C++.
    compiled = torch.compile(other, backend="aot_eager_decomp_partition")

    def step(network: AIST, called: Any, number: int) -> dict[str, Tensor]:
        batch = {"x": pictures(2, number), "y": pictures(2, 10 + number)}
        if config.judged:
            batch |= {f"further_{side}": pictures(4, 20).unflatten(0, (2, 2)) for side in "xy"}
        moment = Moment(step=number, steps=8, generator=chance.at(0, number, 0))
        total, terms = aist.loss(config, called, batch, moment)
        network.zero_grad()
        total.backward()
        return terms

    for number in range(2):
        wanted, found = step(plain, plain, number), step(other, compiled, number)
        for name in wanted:
            torch.testing.assert_close(found[name], wanted[name], atol=1e-5, rtol=1e-4)
        for mine, theirs in zip(other.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-5, rtol=1e-3)


def test_discriminators_have_a_rate_of_their_own():
    config = narrow(lr=1e-4, judge_lr=5e-4)
    network = AIST(config)

    adam, _ = aist.optimizer(config, network)

    rates = {id(p): group["lr"] for group in adam.param_groups for p in group["params"]}
    assert {rates[id(p)] for part in (network.g, network.f) for p in part.parameters()} == {1e-4}
    assert {rates[id(p)] for part in (network.d_x, network.d_y) for p in part.parameters()} == {
        5e-4
    }
    with pytest.raises(ValueError, match="--judge-lr -1"):
        narrow(judge_lr=-1.0)


def test_an_evaluation_says_what_changed_and_what_a_fresh_eye_tells(job, tmp_path, quiet):
    start.train(job, quiet)
    measured = evaluate.resolve(evaluate.Job(run=str(job.folder), device="cpu"), tmp_path)

    measure.evaluate(measured, quiet)

    (found,) = Run(job.folder).evaluations()
    assert {"mask_xor", "changed", "cycle", "plain_told", "stylized_told", "outlines_told"} <= set(
        found.metrics
    )
    assert found.metrics["mask_xor"] < 0.05 and 0 < found.metrics["changed"] < 1
    assert found.tables["feature_distance"] == {"of": "none: no feature distance"}
    plain = found.tables["fresh_classifiers"]["plain_told"]
    assert (plain["classifiers"], plain["trained_on"], plain["asked_about"]) == (5, 16, 8)
    assert plain["lowest"] <= plain["mean"] == found.metrics["plain_told"] <= plain["highest"]
    assert found.arrays["x"].shape[1:] == (3, 3, 16, 16)
    page = report.make(job.folder).read_text()
    assert "none: no feature distance" in page
    assert "Renders, as real pictures and back." in page and "After 4 steps." in page
    assert [sheet.step for sheet in samples.sheets(job.folder)] == [3, 4]


def test_real_pictures_without_a_split_are_measured_by_those_of_training(blocks, tmp_path):
    few = make_dataset(tmp_path / "few", ("vans",), views=1, points=0, splits={"train": 3})
    snapshot = Snapshot.take([blocks], {"real": [few]})
    tools = make_tools(torch.device("cpu"), 0, False, lambda said: None, "test")
    config = narrow()

    with torch.no_grad():
        found = aist.evaluate(config, AIST(config).eval(), snapshot, "test", tools)

    assert len(found.arrays["y"]) == 3 and "plain_told" not in found.metrics


def test_collapse_and_torn_outlines_are_told():
    good = {"mask_xor": 0.001, "real_mask_xor": 0.002, "changed": 0.1, "real_changed": 0.2}

    verdicts = [row["verdict"] for row in aist.watched(good)]
    bad = [row["verdict"] for row in aist.watched({**good, "mask_xor": 0.02, "changed": 0.004})]

    assert verdicts == ["kept", "kept", "painted anew", "painted anew"]
    assert bad == ["they deviate", "kept", "collapsed to the identity", "painted anew"]


# --- stylize ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["composite", "hinge"])
@pytest.mark.parametrize("size", [(16, 16), (24, 24), (8, 8)])
def test_a_style_stays_inside_the_shape_and_leaves_it_nowhere_black(kind, size):
    torch.manual_seed(0)
    config = narrow(alpha=kind)
    network = AIST(config).eval()
    images, alpha = torch.rand(2, 3, *size), torch.rand(2, 1, *size)
    alpha[:, :, :2] = 0
    alpha[:, :, -2:] = 1

    with torch.no_grad():
        found = aist.stylize(config, network, images, alpha)

    assert found.shape == images.shape and found.dtype == images.dtype
    assert not found[(alpha == 0).expand_as(found)].any()
    inside = found[(alpha > 0).expand_as(found)]
    assert inside.min() > 0 and inside.max() <= 1


def test_a_style_is_what_the_generator_makes_of_the_picture_on_black():
    torch.manual_seed(0)
    config = narrow()
    network = AIST(config).eval()
    image = pictures(1, 3)
    straight, alpha = image[:, :3] / 255, image[:, 3:] / 255

    with torch.no_grad():
        found = aist.stylize(config, network, straight, alpha)
        wanted = (network.g(shown(image)[0]) + 1) / 2

    inside = (alpha > 0).expand_as(found)
    torch.testing.assert_close(found[inside], wanted[inside])
