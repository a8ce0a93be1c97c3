"""AIST: renders of shapes take on the look of photos, and their annotations stay true.

CycleGAN between two sets of pictures on black, X renders and Y real ones, with two further losses
on both generators: the shape's outline stays (alpha), and so does what a ResNet-18 sees (features).
G paints X as Y, F paints Y as X.

B pictures, S side in pixels; colours in [-1, 1], black is -1.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from trainer import alpha as masks
from trainer import cyclegan, features
from trainer.cutouts import Views, shown
from trainer.cyclegan import Discriminator, Generator, Pool, distance, frozen, real_loss
from trainer.errors import DatasetRefused
from trainer.models import Evaluation, Moment, Samples, Tools
from trainer.pictures import absolute
from trainer.pooled import PooledDiscriminator
from trainer.translated import Translated, changed, told_apart, translated

if TYPE_CHECKING:
    from trainer.data import Facts, Snapshot

log = logging.getLogger(__name__)

PAPER = (
    "B. Jourdan: Annotation Invariant Style Transfer, University of Edinburgh, 2020; "
    "J.-Y. Zhu et al.: Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial "
    "Networks, ICCV 2017"
)
NEEDS = "the rgba pass, any rig; and pictures to look like, cut out: --real FOLDER"
DATASETS = {"real": "cut-out photos (`farm submit segment`), or renders that stand for them"}

COLLAPSED = 0.01
"""Mean change of a shape's colours, of 1, below which a generator does nothing."""
DEVIATES = 0.01
"""Share of a shape's pixels that may be painted wrongly."""
MOST = 1000
"""Views of each side that a test looks at, spread evenly."""
MOST_VAL = 128


@dataclass(frozen=True, kw_only=True)
class Config:
    """How renders come to look real."""

    steps: int = 288_585
    """Steps of a whole run; the thesis has 44 epochs of 26 235 renders."""
    batch: int = 4
    """Pairs in a step: a render and a real picture, by chance."""
    real: tuple[str, ...] = ()
    """Folders of the datasets to look like."""
    size: int = 256
    """Side of what the networks see, in pixels; halved by the generators without a rest."""
    flip: bool = True
    """Mirror half of the pictures."""
    filters: int = 64
    """First width of the generators."""
    blocks: int = 9
    """Residual blocks of the generators."""
    upsample: Literal["transposed", "nearest"] = "transposed"
    """The generators' way back up: as published, or without the checkerboard that it leaves."""
    halvings: int = 2
    """Halvings in the generators, 2 as published; fewer keep more of small pictures."""
    norm: cyclegan.Norm = "instance"
    """Of layers, instance as published; it hides how bright a picture is from all four networks.
    Pooled discriminators have norms of their own."""
    residual: bool = False
    """Generators add to the picture, and begin by changing nothing; as published they begin by
    learning to paint it."""
    judge: Literal["patches", "pooled"] = "patches"
    """What discriminators are: as published, every patch has a score; or classifiers with batch
    norms, which score whole pictures and learn much from few."""
    judge_filters: int = 64
    """First width of the discriminators."""
    judge_layers: int = 3
    """Halvings in the discriminators; of patches, 3: they are of 70 px."""
    pool: int = 50
    """Pictures kept for each discriminator; 0: none."""
    judged: int = 0
    """Further pictures of each kind, for every pair, that discriminators learn from: real ones from
    the datasets, made ones from the pools. They cost little, and batches of 4 teach little."""
    inside: bool = False
    """Discriminators see of a real and a made picture what shows a shape in both: outlines, which
    no style may change, tell them nothing."""
    r1: float = 0.0
    """Weight of R1, the squared gradient of the discriminators at real pictures, halved: it keeps
    them from learning few pictures by heart. Of patches it wants --norm none."""
    r2: float = 0.0
    """Likewise at made pictures, from where generators are sent on (R2)."""
    lr: float = 2e-4
    """Learning rate of Adam, for the generators."""
    judge_lr: float = 2e-4
    """Likewise for the discriminators: generators learn nothing from judges that cannot tell."""
    fall: bool = False
    """Let the rate fall to 0 over the second half."""
    cycle_x: float = 10.0
    """Weight of |x - F(G(x))|."""
    cycle_y: float = 10.0
    """Weight of |y - G(F(y))|."""
    identity: float = 0.1
    """Weight of |y - G(y)| and |x - F(x)|, times the cycle weights."""
    alpha: masks.Kind = "composite"
    """How outlines are kept: pictures put together with the input's alpha, or by a loss."""
    alpha_weight: float = 2.0
    """Weight of the alpha loss, of both generators."""
    reduction: masks.Reduction = "mean"
    """What the L1 inside the squared losses is."""
    features: str = features.AUTO
    """Where the feature distance looks: auto (ImageNet's ResNet-18), none, or the run of a rotnet
    with --network resnet18, or a file."""
    feature_weight: float = 1.75
    """Weight of the feature distance, of both generators; large ones hold them at the identity."""
    sample_steps: int = 2000
    """Keep a sheet of samples each time so many steps are done; 0: none."""
    realism_steps: int = 300
    """Of each fresh classifier that a test trains; 0: none."""

    def __post_init__(self) -> None:
        if self.features not in (features.AUTO, features.NONE):
            object.__setattr__(self, "features", absolute(self.features))
        for name in ("steps", "batch", "filters", "blocks", "judge_filters", "judge_layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{_option(name)} {getattr(self, name)}: at least 1")
        for name in WEIGHTS:
            if not getattr(self, name) >= 0:
                raise ValueError(f"--{_option(name)} {getattr(self, name)}: at least 0")
        if self.size < 16 or self.size % 2**self.halvings:
            raise ValueError(f"--size {self.size}: a multiple of {2**self.halvings}, at least 16")
        if self.judged and not self.pool:
            raise ValueError(f"--judged {self.judged}: these come from pools; give --pool too")
        patches = self.judge == "patches"
        if patches and cyclegan.side_of_scores(self.size, self.judge_layers) < 1:
            raise ValueError(
                f"--judge-layers {self.judge_layers}: nothing is left of {self.size} px; "
                f"try --judge-layers {max(1, self.judge_layers - 1)}"
            )
        if self.alpha not in masks.LOSSES:
            raise ValueError(f"--alpha {self.alpha}: one of {', '.join(masks.LOSSES)}")
        if self.norm not in ("instance", "none"):
            raise ValueError(f"--norm {self.norm}: instance or none")
        if self.judge not in ("patches", "pooled"):
            raise ValueError(f"--judge {self.judge}: patches or pooled")
        for name in ("r1", "r2"):
            weight = getattr(self, name)
            if weight and self.judge == "patches" and self.norm != "none":
                raise ValueError(
                    f"--{name} {weight:g}: not with --norm {self.norm}, which has no gradient of "
                    "its gradient; give --norm none too, or --judge pooled"
                )
        if self.reduction not in ("mean", "sum"):
            raise ValueError(f"--reduction {self.reduction}: mean or sum")

    @property
    def phi(self) -> str:
        """Features that are needed: none where they have no weight."""
        return self.features if self.feature_weight else features.NONE


WEIGHTS = (
    "cycle_x", "cycle_y", "identity", "alpha_weight", "feature_weight", "r1", "r2", "lr",
    "judge_lr", "pool", "judged", "halvings", "sample_steps", "realism_steps",
)  # fmt: skip


def _option(name: str) -> str:
    return name.replace("_", "-")


def tiny() -> Config:
    """Two CPU cores, 20 minutes, a few hundred pictures of 64 px.

    So few steps and pictures are too little for what was published: generators begin at the
    render, and discriminators see 32 pictures of each kind in a step.
    """
    return Config(
        steps=2500,
        batch=4,
        size=64,
        filters=16,
        blocks=3,
        upsample="nearest",
        halvings=1,
        norm="none",
        residual=True,
        judge="pooled",
        judge_filters=16,
        judge_layers=4,
        pool=64,
        judged=7,
        inside=True,
        r1=1.0,
        r2=1.0,
        lr=1e-4,
        judge_lr=1e-3,
        fall=True,
        cycle_x=2.0,
        cycle_y=2.0,
        identity=0.3,
        feature_weight=0.3,
        sample_steps=250,
    )


def small() -> Config:
    """One GPU, an hour: 128 px."""
    return Config(steps=20_000, batch=4, size=128, filters=64, blocks=6, sample_steps=1000)


def constrained() -> Config:
    """The thesis' experiment 2."""
    return Config(steps=288_585, batch=4)


def less_constrained() -> Config:
    """The thesis' experiment 3."""
    return Config(steps=288_585, batch=4, alpha_weight=1.0, feature_weight=1.25)


def stock() -> Config:
    """CycleGAN as it was published: 200 epochs of 1334 pictures, one at a time."""
    return Config(
        steps=200 * 1334,
        batch=1,
        fall=True,
        identity=0.5,
        alpha="literal",
        alpha_weight=0.0,
        features="none",
        feature_weight=0.0,
    )


PRESETS: Mapping[str, Callable[[], Config]] = {
    "tiny": tiny,
    "small": small,
    "paper": constrained,
    "stock": stock,
    "constrained": constrained,
    "less_constrained": less_constrained,
}


def check(config: Config, facts: Facts) -> None:
    if "rgba" not in facts.passes:
        raise DatasetRefused(
            f"{', '.join(facts.folders)} has the passes {', '.join(facts.passes) or 'none'}; "
            "aist needs rgba"
        )


# --- examples --------------------------------------------------------------------------------


class Pairs:
    """A render and a real picture that have nothing to do with each other: key, x and y, each
    [4, S, S] uint8; and as many `further` of both as a discriminator wants, [N, 4, S, S]."""

    def __init__(self, x: Views, y: Views, train: bool, further: int = 0):
        self.x, self.y, self.train, self.further = x, y, train, further

    def __len__(self) -> int:
        return max(len(self.x), len(self.y))

    def get(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        # Both are gone through; of the shorter side some come twice.
        mine = index % len(self.x)
        other = int(rng.integers(len(self.y))) if self.train else index % len(self.y)
        x, y = self.x.get(mine, rng), self.y.get(other, rng)
        found = {"key": x["key"], "x": x["image"], "y": y["image"]}
        if self.train and self.further:
            found |= {"further_x": self.drawn(self.x, rng), "further_y": self.drawn(self.y, rng)}
        return found

    def drawn(self, views: Views, rng: np.random.Generator) -> NDArray[np.uint8]:
        numbers = rng.integers(len(views), size=self.further)
        return np.stack([views.get(int(number), rng)["image"] for number in numbers])


def examples(config: Config, snapshot: Snapshot, split: str, train: bool) -> Pairs:
    x, y = (Views(of, split, config.size, config.flip and train) for of in sides(snapshot))
    if train:
        features.source(config.phi)  # told before a run begins, not at its first step
        few = min(("--data", x), ("--real", y), key=lambda side: len(side[1]))
        if len(few[1]) < config.batch:
            raise DatasetRefused(
                f"{few[0]} has {len(few[1])} pictures to train on, fewer than --batch "
                f"{config.batch}; give more of them, or --batch {len(few[1])}"
            )
    return Pairs(x, y, train, config.judged)


def sides(snapshot: Snapshot) -> tuple[Snapshot, Snapshot]:
    """X and Y. Raises DatasetRefused where there is no Y."""
    real = snapshot.others.get("real")
    if real is None:
        raise DatasetRefused(f"aist wants --real too: {DATASETS['real']}")
    return snapshot, real


# --- the networks ----------------------------------------------------------------------------


class AIST(nn.Module):
    """Two generators, two discriminators, two pools; Phi stands beside them."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.g, self.f = (
            Generator(
                config.filters,
                config.blocks,
                config.upsample,
                config.halvings,
                config.norm,
                config.residual,
            )
            for _ in range(2)
        )
        self.d_x, self.d_y = (discriminator(config) for _ in range(2))
        channels = 4 if config.inside else 3  # to cut pictures, their alpha is wanted
        self.pool_x, self.pool_y = (Pool(config.pool, config.size, channels) for _ in range(2))
        self.beside: dict[str, features.Features | None] = {}  # no part of a checkpoint
        self.told: dict[str, str] = {}

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def phi(self, device: torch.device) -> features.Features | None:
        """The frozen network of the feature distance; read when it is first needed."""
        if "phi" not in self.beside:
            source = features.source(self.config.phi)
            self.beside["phi"] = None if source is None else features.Features(source).to(device)
            self.told = features.told(source)
        return self.beside["phi"]

    def paint(self, generator: nn.Module, images: Tensor, alpha: Tensor) -> Tensor:
        """What a generator makes of pictures, put together where that is how outlines are kept."""
        return self.put(generator(images), images, alpha)

    def put(self, made: Tensor, images: Tensor, alpha: Tensor) -> Tensor:
        """The second half of it."""
        if self.config.alpha != "composite":
            return made
        if self.config.residual:
            return masks.on_top(made, images, alpha)
        return masks.composite(made, alpha)

    def judged(self, images: Tensor, alpha: Tensor, other: Tensor) -> Tensor:
        """What a discriminator sees of pictures; other: alpha of those beside them."""
        if not self.config.inside:
            return images
        return masks.cut(images, alpha, other)

    def forward(
        self,
        x_image: Tensor,
        y_image: Tensor,
        seen: int,
        chance: Sequence[Sequence[tuple[bool, int]]],
        further: Mapping[str, tuple[Tensor, Tensor]],
    ) -> dict[str, Tensor]:
        """The terms of the loss, weighted, and what is watched.

        seen     pictures that each pool was given before
        chance   of the pools: cyclegan.choices, for X and for Y
        further  of x and of y, for the discriminators: pictures [N, 4, S, S], and places in the
                 pools [N]; may be empty
        """
        config, (x, x_alpha), (y, y_alpha) = self.config, shown(x_image), shown(y_image)
        alphas = torch.cat([x_alpha, y_alpha])

        # Translations, identities and cycles in three passes: pictures do not meet in any layer.
        fake_y, same_y = self.paint(self.g, torch.cat([x, y]), alphas).chunk(2)
        inputs = torch.cat([fake_y, y, x])
        painted = self.paint(self.f, inputs, torch.cat([alphas, x_alpha]))
        back_x, fake_x, same_x = painted.chunk(3)
        back_y = self.paint(self.g, fake_x, y_alpha)

        terms = {
            "adversarial": real_loss(frozen(self.d_y, self.judged(fake_y, x_alpha, y_alpha)))
            + real_loss(frozen(self.d_x, self.judged(fake_x, y_alpha, x_alpha))),
            "cycle": config.cycle_x * distance(back_x, x) + config.cycle_y * distance(back_y, y),
            "identity": config.identity
            * (config.cycle_y * distance(same_y, y) + config.cycle_x * distance(same_x, x)),
        }
        if config.alpha_weight:
            terms["alpha"] = config.alpha_weight * (
                masks.loss(config.alpha, x, fake_y, x_alpha, config.reduction)
                + masks.loss(config.alpha, y, fake_x, y_alpha, config.reduction)
            )
        phi = self.phi(x.device)
        if phi is not None:
            with torch.no_grad():
                were = phi(torch.cat([x, y]))
            are = phi(torch.cat([fake_y, fake_x]))
            apart_x, apart_y = (were - are).chunk(2)
            terms["features"] = config.feature_weight * (
                masks.squared(apart_x, config.reduction) + masks.squared(apart_y, config.reduction)
            )
        for side, judge, pool, real, alpha, fake, fake_alpha, chosen in (
            ("x", self.d_x, self.pool_x, x, x_alpha, fake_x, y_alpha, chance[0]),
            ("y", self.d_y, self.pool_y, y, y_alpha, fake_y, x_alpha, chance[1]),
        ):
            old = pool.swap(torch.cat([fake, fake_alpha], dim=1)[:, : pool.channels], seen, chosen)
            if side in further:
                images, places = further[side]
                more, more_alpha = shown(images)
                real, alpha = torch.cat([real, more]), torch.cat([alpha, more_alpha])
                old = torch.cat([old, pool.drawn(seen + len(fake), places)])
            made, old_alpha = old[:, :3], old[:, 3:]
            real, made = self.judged(real, alpha, old_alpha), self.judged(made, old_alpha, alpha)
            terms[f"judge_{side}"] = cyclegan.told_apart(judge, real, made)
            steep = [
                weight / 2 * cyclegan.steepness(judge, some)
                for weight, some in ((config.r1, real), (config.r2, made))
                if weight
            ]
            if steep:
                terms[f"steepness_{side}"] = torch.stack(steep).sum()
        with torch.no_grad():
            watched = {
                "mask_xor": masks.mask_xor(fake_y, x_alpha).mean(),
                "changed": changed(x, fake_y, x_alpha).mean(),
            }
        return {**terms, **watched}


def discriminator(config: Config) -> nn.Module:
    if config.judge == "pooled":
        return PooledDiscriminator(config.judge_filters, config.judge_layers)
    return Discriminator(config.judge_filters, config.judge_layers, config.norm)


WATCHED = ("mask_xor", "changed")


def build(config: Config, facts: Facts) -> AIST:
    return AIST(config)


def optimizer(
    config: Config, network: AIST
) -> tuple[torch.optim.Optimizer, Callable[[float], float]]:
    """One Adam for all: generators and discriminators share no weights, so it is as two would be.

    The discriminators learn from pictures made before the generators' step, as in CycleGAN.
    """
    judges = cyclegan.parameters([network.d_x, network.d_y])
    groups: list[dict[str, Any]] = [
        {"params": cyclegan.parameters([network.g, network.f])},
        {"params": judges, "lr": config.judge_lr},
    ]
    adam = torch.optim.Adam(groups, lr=config.lr, betas=(0.5, 0.999))
    return adam, cyclegan.falling_at if config.fall else lambda t: 1.0


def loss(
    config: Config, network: nn.Module, batch: Mapping[str, Any], moment: Moment
) -> tuple[Tensor, dict[str, Tensor]]:
    """All terms together: each network has gradients of its own terms alone."""
    count = len(batch["x"])
    chance = [cyclegan.choices(count, config.pool, moment.generator) for _ in range(2)]
    further = {}
    for side in "xy":
        if f"further_{side}" in batch:
            images = batch[f"further_{side}"].flatten(0, 1)
            places = torch.rand(len(images), generator=moment.generator)
            further[side] = (images, places)
    terms = network(batch["x"], batch["y"], moment.step * count, chance, further)
    total = torch.stack([term for name, term in terms.items() if name not in WATCHED]).sum()
    return total, terms


# --- putting the style on ----------------------------------------------------------------------


def stylize(config: Config, network: AIST, images: Tensor, alpha: Tensor) -> Tensor:
    """What G makes of renders, straight colours; 0 where alpha is 0, never black where it is not.

    images [B, 3, H, W], straight, 0 to 1; alpha [B, 1, H, W], 0 to 1
    """
    height, width = images.shape[2:]
    whole = torch.cat([images * alpha, alpha], dim=1)
    whole = (resized(whole, config.size).clamp(0, 1) * 255).round().byte()
    seen = whole[:, 3:] > 0
    black = seen & ~(whole[:, :3] > 0).any(dim=1, keepdim=True)
    whole[:, :3] = torch.where(black, 1, whole[:, :3] * seen)
    x, x_alpha = shown(whole)
    made = (network.paint(network.g, x, x_alpha).float() + 1) / 2
    made = torch.cat([made, x_alpha], dim=1)
    if made.shape[2:] != (height, width):
        made = resized(made, (height, width))
    straight = made[:, :3] / made[:, 3:].clamp(min=0.5 / 255)
    return torch.where(alpha > 0, straight.clamp(1 / 255, 1), 0.0)


def resized(images: Tensor, size: int | tuple[int, int]) -> Tensor:
    """[B, C, H, W] to another size: by area where it gets smaller."""
    wanted = (size, size) if isinstance(size, int) else size
    if tuple(images.shape[2:]) == wanted:
        return images
    if wanted[0] < images.shape[2]:
        return F.interpolate(images, wanted, mode="area")
    return F.interpolate(images, wanted, mode="bicubic", align_corners=False)


# --- evaluation ------------------------------------------------------------------------------


def evaluate(
    config: Config, network: AIST, snapshot: Snapshot, split: str, tools: Tools
) -> Evaluation:
    """Of X and Y: mask_xor, changed, cycle; and how well fresh classifiers tell renders from real
    pictures, before and after."""
    validating = split == "val"
    most = MOST_VAL if validating else MOST
    real = sides(snapshot)[1]
    # A handful of photos may leave a split empty: then those of training are shown.
    there = bool(real.facts.samples.get(split))
    views = (
        Views(snapshot, split, config.size),
        Views(real, split if there else "train", config.size),
    )

    def looked(views: Views, side: str) -> Translated:
        return translated(network, views, side, most, config.batch, tools)

    x, y = looked(views[0], "x"), looked(views[1], "y")
    metrics = {
        "mask_xor": x.mean("mask_xor"),
        "changed": x.mean("changed"),
        "cycle": x.mean("cycle"),
        "mask_xor_painted": x.mean("painted"),
        "real_mask_xor": y.mean("mask_xor"),
        "real_changed": y.mean("changed"),
        "real_cycle": y.mean("cycle"),
        "judged_made": x.mean("judged"),
        "judged_real": y.mean("judged_real"),
    }
    tables: dict[str, Any] = {
        "watched": watched(metrics),
        "feature_distance": told_features(network),
    }
    if config.realism_steps and there and not validating:
        known = [Views(of, "train", config.size) for of in sides(snapshot)]
        learnt = looked(known[0], "x"), looked(known[1], "y")
        found = told_apart(learnt, (x, y), config.realism_steps, tools)
        metrics |= {name: row["mean"] for name, row in found.items()}
        tables["fresh_classifiers"] = found
    arrays = {name: torch.cat(of.first).numpy() for name, of in (("x", x), ("y", y))}
    return Evaluation(metrics=metrics, tables=tables, arrays=arrays)


def watched(metrics: Mapping[str, float]) -> list[dict[str, Any]]:
    """What goes wrong with such networks, and whether it did."""
    rows = []
    for what, name, limit, bad, good in (
        ("outlines of stylized renders", "mask_xor", DEVIATES, "they deviate", "kept"),
        ("outlines of real ones", "real_mask_xor", DEVIATES, "they deviate", "kept"),
        ("change of renders", "changed", -COLLAPSED, "collapsed to the identity", "painted anew"),
        ("change of real ones", "real_changed", -COLLAPSED, "collapsed to the identity",
         "painted anew"),
    ):  # fmt: skip
        value = metrics[name]
        wrong = value > limit if limit > 0 else value < -limit
        wanted = f"below {limit:g}" if limit > 0 else f"above {-limit:g}"
        rows.append(
            {"what": what, "value": value, "wanted": wanted, "verdict": bad if wrong else good}
        )
    return rows


def notes(config: Config, network: AIST) -> dict[str, str]:
    """For run.json and the report: which Phi it learns with."""
    return {"feature distance": told_features(network)["of"]}


def told_features(network: AIST) -> dict[str, str]:
    """Which Phi the distance is measured with."""
    if not network.told:
        try:
            network.told = features.told(features.source(network.config.phi))
        except ValueError as error:  # a network is measured without it
            return {"of": str(error)}
    return network.told


# --- pictures ----------------------------------------------------------------------------------

COLUMNS = ("render", "as real", "and back", "real", "as render", "and back")


def samples(config: Config, network: AIST, snapshot: Snapshot, tools: Tools) -> Samples:
    """Four renders and four real pictures, always the same, translated there and back."""
    split = "val" if all("val" in of.facts.samples for of in sides(snapshot)) else "train"
    parts = []
    for of, name in zip(sides(snapshot), "xy", strict=True):
        views = Views(of, split, config.size)
        seen = translated(network, views, name, 4, config.batch, tools)
        parts.append(torch.cat(seen.first))
    count = min(map(len, parts))
    rows = torch.cat([part[:count] for part in parts], dim=1).permute(0, 1, 3, 4, 2).numpy()
    return Samples(rows=[list(row) for row in rows], columns=COLUMNS)


def report(config: Config, evaluation: Evaluation, folder: Path) -> list[tuple[str, str]]:
    """Pictures of both sides, translated there and back, and where outlines are wrong."""
    from trainer import plots

    made = []
    for side, columns, told in (
        ("x", ("render", "as real", "and back"), "Renders, as real pictures and back."),
        ("y", ("real", "as render", "and back"), "Real pictures, as renders and back."),
    ):
        trios = np.asarray(evaluation.arrays[side]).transpose(0, 1, 3, 4, 2)
        plots.image_grid(
            folder / f"{side}.png", [list(trio) for trio in trios], column_names=columns
        )
        made.append((f"{side}.png", told))
    return made
