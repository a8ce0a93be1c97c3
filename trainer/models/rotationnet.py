"""RotationNet: what a shape is and how it is turned, from views whose viewpoints nobody labelled.

A network tells for every image, for each of the rig's V viewpoint slots, which category this would
be if it had been taken from there, or that it was not ("incorrect view", the last class).  The
candidates say which assignments of images to slots a rigid rig allows.  In training the assignment
that suits the known category best becomes the label of all V x V rows; at test the best pair of
assignment and category is the answer, for all views or any of them.

N shapes, V views of the rig, M of them seen, C categories, R candidates.
Image i of N comes in the rig's order; row (i, k) of the outputs is image i at slot k.

Turning the images of a shape by a candidate only renumbers the candidates: loss and accuracy stay
the same, so this is no augmentation.  Mirroring would break the order of the views.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from trainer.backbones import MEAN, STD, check_backbone, head_name, make_backbone
from trainer.candidates import Candidates, rig_candidates
from trainer.errors import DatasetRefused
from trainer.metrics import confusion
from trainer.models import Evaluation, Examples, Moment, Tools
from trainer.multiview import WHITE, Shapes, background_named
from trainer.outlines import alike, overlaps, symmetric
from trainer.viewpoints import (
    Rule,
    best_pair,
    placed,
    placements,
    ratios,
    scores,
    targets,
)

if TYPE_CHECKING:
    from trainer.data import Facts, Item, Snapshot

PAPER = (
    "Kanezaki, Matsushita, Nishida: RotationNet: Joint Object Categorization and Pose Estimation "
    "Using Multiviews from Unsupervised Viewpoints. CVPR 2018"
)
NEEDS = "rgba of two or more categories from --cameras circle, orbit, dodecahedron or miro"
# No BEST: small validation sets are soon all right, and the last checkpoint is the better one then.


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is learned, from what, and how fast."""

    steps: int
    """Optimizer steps."""
    batch: int
    """Shapes in a step, each with all its views."""
    objective: Literal["rotationnet", "voting"] = "rotationnet"
    """voting: the baseline, the same backbone classifies every view alone and the log-probabilities
    of the views given are averaged."""
    backbone: str = "resnet18"
    """alexnet, vgg16 or any ResNet of torchvision."""
    score: Rule = "log"
    """How much a category speaks for a slot: log P(c) - log P(incorrect), or without the logs as in
    the fast.ai article."""
    image_px: int = 0
    """Side to which images are made smaller; 0: as they are."""
    background: str = WHITE
    """Behind the shapes: white, random (textures made by rule), or a folder of photos."""
    lr: float = 0.01
    """Learning rate of SGD."""
    momentum: float = 0.9
    """Of SGD."""
    weight_decay: float = 1e-4
    """Of SGD, on every parameter."""
    head_lr: float = 1.0
    """Factor on the learning rate of the last layer."""
    warmup: float = 0.0
    """Share of the run in which the learning rate rises from zero."""
    drops: tuple[float, ...] = ()
    """Shares of the run after which the learning rate falls to a tenth; none: a cosine to zero."""
    subsets: int = 20
    """Random choices of views for each number of views in an evaluation."""
    references: int = 10
    """Training shapes of each category that say which candidate its upright pose goes by."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "subsets", "references"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        check_backbone(self.backbone)


def tiny() -> Config:
    """Two cores, minutes: images of 64 px.

    A high rate, because shapes of a category must agree on a candidate before each is known by
    heart: six categories of samples came to a pose accuracy of 0.94, and of 0.72 at a third of it.
    """
    return Config(steps=400, batch=8, lr=0.06, warmup=0.05)


def small() -> Config:
    """One GPU, within the hour: images of 128 px or so."""
    return Config(steps=6000, batch=32, lr=0.06, warmup=0.05, weight_decay=5e-4)


def paper() -> Config:
    """The authors' PyTorch settings for ModelNet40: 9843 shapes, 1500 epochs, images of 224 px.

    Learning rate 0.01, to a tenth every 200 epochs, batch 240 images; AlexNet, from ImageNet's
    weights (--weights imagenet).
    """
    return Config(
        steps=1500 * (9843 // 20),
        batch=20,
        backbone="alexnet",
        drops=tuple(round(200 * k / 1500, 6) for k in range(1, 8)),
    )


PRESETS: Mapping[str, Callable[[], Config]] = {"tiny": tiny, "small": small, "paper": paper}


# --- the network ---------------------------------------------------------------------------------


class Network(nn.Module):
    """Images uint8 [N, M, 3, H, W] -> logits [N, M, V, C + 1], or [N, M, C] for voting."""

    mean: Tensor
    std: Tensor
    table: Tensor
    slots: Tensor

    def __init__(self, backbone: nn.Module, outputs: Sequence[int], candidates: Candidates | None):
        super().__init__()
        self.backbone, self.outputs = backbone, tuple(outputs)
        self.candidates = candidates
        self._constant("mean", 255 * torch.tensor(MEAN)[:, None, None])
        self._constant("std", 255 * torch.tensor(STD)[:, None, None])
        if candidates is not None:
            self._constant("table", torch.from_numpy(candidates.table))
            self._constant("slots", torch.from_numpy(candidates.slots))

    def _constant(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        pixels = (images.flatten(0, 1) - self.mean) / self.std
        logits: Tensor = self.backbone(pixels)
        return logits.view(*images.shape[:2], *self.outputs)


def check(config: Config, facts: Facts) -> None:
    if "rgba" not in facts.passes:
        raise ValueError(f"rotationnet needs the pass rgba; there are {', '.join(facts.passes)}")
    if len(facts.categories) < 2:
        raise ValueError(
            f"rotationnet tells categories apart, and there is only {', '.join(facts.categories)}; "
            "name the dataset of another one"
        )
    if config.objective == "rotationnet":
        if facts.views < 2:
            raise ValueError("rotationnet needs 2 views or more; render with --cameras circle")
        rig_candidates(facts.cameras, facts.views)
    side = config.image_px
    check_backbone(config.backbone, (side, side) if side else facts.size)


def examples(config: Config, snapshot: Snapshot, split: str, train: bool) -> Examples:
    return _shapes(config, snapshot, snapshot.items(split), train)


def _shapes(config: Config, snapshot: Snapshot, items: Sequence[Item], train: bool) -> Shapes:
    from trainer.data import Reader

    return Shapes(
        reader=Reader(snapshot),
        items=tuple(items),
        views=snapshot.facts.views,
        image_px=config.image_px,
        background=background_named(config.background),
        outlines=not train,
    )


def build(config: Config, facts: Facts) -> Network:
    views, categories = facts.views, len(facts.categories)
    if config.objective == "voting":
        return Network(make_backbone(config.backbone, categories), (categories,), None)
    return Network(
        make_backbone(config.backbone, views * (categories + 1)),
        (views, categories + 1),
        rig_candidates(facts.cameras, views),
    )


def backbone(config: Config, network: Network) -> tuple[str, nn.Module]:
    return config.backbone, network.backbone


def optimizer(
    config: Config, network: Network
) -> tuple[torch.optim.Optimizer, Callable[[float], float]]:
    head = list(network.backbone.get_submodule(head_name(config.backbone)).parameters())
    in_head = {id(parameter) for parameter in head}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in in_head]
    groups: list[dict[str, Any]] = [
        {"params": rest},
        {"params": head, "lr": config.lr * config.head_lr},
    ]
    sgd = torch.optim.SGD(
        groups,
        lr=config.lr,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
    )
    return sgd, lambda t: _rate(config, t)


def _rate(config: Config, t: float) -> float:
    """Factor on the learning rate at share t of the run."""
    if t < config.warmup:
        return (t * config.steps + 1) / (config.warmup * config.steps + 1)
    if config.drops:
        return float(0.1 ** sum(t >= drop for drop in config.drops))
    after = (t - config.warmup) / (1 - config.warmup)
    return float(0.5 * (1 + np.cos(np.pi * after)))


def loss(
    config: Config, network: nn.Module, batch: Mapping[str, Any], moment: Moment
) -> tuple[Tensor, dict[str, Tensor]]:
    logits, labels = network(batch["images"]), batch["category"]
    value = _loss(config, network, logits, labels, "mean")
    with torch.no_grad():
        if config.objective == "voting":
            told = logits.float().log_softmax(-1).mean(1).argmax(1)
        else:
            single = ratios(logits.float(), config.score)
            _, told = best_pair(scores(single, _table(network)))
    return value, {"accuracy": (told == labels).float().mean()}


def _loss(
    config: Config, network: nn.Module, logits: Tensor, labels: Tensor, reduction: str
) -> Tensor:
    """Cross-entropy, the mean over all rows; or, with "none", over those of each shape [N]."""
    if config.objective == "voting":
        wanted = labels[:, None].expand(logits.shape[:2])
    else:
        wanted, _ = targets(logits, _table(network), labels, config.score)
    rows = F.cross_entropy(logits.flatten(0, -2).float(), wanted.flatten(), reduction=reduction)
    return rows if reduction == "mean" else rows.view(len(logits), -1).mean(1)


def _table(network: nn.Module) -> Tensor:
    """The candidates, also of a network that several processes share."""
    inside: Any = getattr(network, "module", network)
    table: Tensor = inside.table
    return table


# --- answers -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Guess:
    """What is said of N shapes from M views."""

    category: Tensor
    """[N]"""
    slots: Tensor
    """[N, M] where each view was taken from; of no meaning when voting"""


def guess(config: Config, network: Network, logits: Tensor, seen: Tensor) -> Guess:
    """The answer from some of the views, or one.

    logits  [N, M, ...] of the seen images
    seen    [M] their numbers in the rig: how they lie to each other, not how the shape is turned
    """
    if config.objective == "voting":
        told = logits.float().log_softmax(-1).mean(1).argmax(1)
        return Guess(told, torch.zeros_like(logits[..., 0], dtype=torch.long))
    places = placements(network.slots, seen)
    place, category = best_pair(placed(ratios(logits.float(), config.score), places))
    return Guess(category, places[place])


def choices(views: int, draws: int) -> dict[int, list[list[int]]]:
    """Views to be seen, for each number of them: every choice where there are few, else random.

    Of single views always all; of more than 24 only powers of two and the whole.
    """
    found = {}
    for size in range(1, views + 1):
        if views > 24 and size < views and size & (size - 1):
            continue
        if size == 1 or math.comb(views, size) <= draws:
            found[size] = [list(seen) for seen in itertools.combinations(range(views), size)]
        else:
            rng = np.random.default_rng([views, size])
            found[size] = [
                sorted(rng.choice(views, size, replace=False).tolist()) for _ in range(draws)
            ]
    return found


# --- how good it is ------------------------------------------------------------------------------


def evaluate(
    config: Config, network: Network, snapshot: Snapshot, split: str, tools: Tools
) -> Evaluation:
    """Categories from all views and from some; poses against those of training shapes.

    Nobody tells the network which way the shapes of a category stand: it settles on a candidate,
    which is read from training shapes.  A pose is right when it is that one.

    pose_accuracy, pose_within_step   over categories that have a front: at most half of their
                                      training shapes look the same when turned; of these, the
                                      shapes that do not
    pose_alike                        over all shapes: the pose looks like the right one
    """
    shapes = _shapes(config, snapshot, snapshot.items(split), train=False)
    if network.candidates is not None and shapes.views != network.table.shape[1]:
        raise DatasetRefused(
            f"{', '.join(snapshot.facts.folders)} has {shapes.views} views of each shape, and the "
            f"run learned from {network.table.shape[1]}; render it with the run's --cameras"
        )
    reference = _reference(config, network, snapshot, split, tools)
    subsets = {
        number: [torch.tensor(seen, device=tools.device) for seen in some]
        for number, some in choices(shapes.views, config.subsets).items()
    }
    rows: list[dict[str, Any]] = []
    for batch in tools.batches(shapes, config.batch):
        logits, labels = network(batch["images"]), batch["category"]
        row = {
            "key": batch["key"],
            "category": labels,
            "loss": _loss(config, network, logits, labels, "none"),
        }
        for number, some in subsets.items():
            guesses = [guess(config, network, logits[:, seen], seen) for seen in some]
            row[f"right{number}"] = torch.stack([g.category == labels for g in guesses], 1)
            if reference is not None:
                slots = network.slots[reference.candidates[labels]]  # [N, V]
                hits = [
                    (g.slots == slots[:, seen]).all(1)
                    for g, seen in zip(guesses, some, strict=True)
                ]
                row[f"posed{number}"] = torch.stack(hits, 1)
        row["predicted"] = guesses[0].category  # the last number of views is all of them
        if reference is not None:
            row |= _poses(config, network, logits, reference, labels, batch["outlines"])
        rows.append(row)
        tools.progress(done=sum(len(each["category"]) for each in rows), total=len(shapes))
    found = {name: _joined([row[name] for row in rows]) for name in rows[0]}
    arrays = {name: value for name, value in found.items() if not name[-1].isdigit()}
    if reference is not None:
        arrays |= _shown(shapes, found, reference)
    names = snapshot.facts.categories
    every = np.ones(len(found["key"]), bool)
    return Evaluation(
        metrics={**_figures(found, every), "loss": float(found["loss"].mean())},
        tables={
            "categories": list(names),
            "confusion": confusion(found["category"], found["predicted"], len(names)).tolist(),
            "by_views": _by_views(found, tuple(subsets)),
            "by_category": {
                name: {
                    "shapes": int(own.sum()),
                    **_figures(found, own),
                    **({} if reference is None else {"references_agree": reference.agreed[number]}),
                }
                for number, name in enumerate(names)
                if (own := found["category"] == number).any()
            },
        },
        arrays=arrays,
    )


@dataclass(frozen=True)
class Reference:
    """Training shapes that say which way each category was learnt."""

    candidates: Tensor
    """[C] the commonest of each category"""
    agreed: tuple[float, ...]
    """[C] the share of them that have it; where it is low, poses were not learnt"""
    fronted: Tensor
    """bool [C] at most half of them look the same when turned"""
    table: NDArray[np.int64]
    """[R, V] of the candidates"""
    examples: tuple[Mapping[str, Any] | None, ...]
    """[C] a shape that has it"""


def _reference(
    config: Config, network: Network, snapshot: Snapshot, split: str, tools: Tools
) -> Reference | None:
    """From the training split, or, of a dataset without one, from the shapes themselves."""
    if network.candidates is None:
        return None
    categories = range(len(snapshot.facts.categories))
    source = snapshot.items("train" if snapshot.facts.samples.get("train") else split)
    items = [
        item
        for category in categories
        for item in [i for i in source if i.category == category][: config.references]
    ]
    shapes = _shapes(config, snapshot, items, train=False)
    best, turned = [], []
    for batch in tools.batches(shapes, config.batch):
        logits = network(batch["images"])
        best.append(targets(logits, network.table, batch["category"], config.score)[1])
        turned.append(symmetric(overlaps(batch["outlines"]), network.table))
    found, symmetries = _joined(best), _joined(turned)
    candidates, agreed, fronted, examples = [], [], [], []
    for category in categories:
        own = np.array([item.category == category for item in items])
        fronted.append(bool(symmetries[own].mean() <= 0.5) if own.any() else False)
        told = own & ~symmetries if fronted[-1] else own
        candidates.append(int(np.bincount(found[told], minlength=1).argmax()))
        fits = np.flatnonzero(told & (found == candidates[-1]))
        agreed.append(len(fits) / max(1, int(told.sum())))
        rng = np.random.default_rng(0)
        examples.append(shapes.get(int(fits[0]), rng) if len(fits) else None)
    return Reference(
        torch.tensor(candidates, device=tools.device),
        tuple(agreed),
        torch.tensor(fronted, device=tools.device),
        network.candidates.table,
        tuple(examples),
    )


def _poses(
    config: Config,
    network: Network,
    logits: Tensor,
    reference: Reference,
    labels: Tensor,
    outlines: Tensor,
) -> dict[str, Tensor]:
    """What all views say of the pose, and how right that is: by shape [N], slots by view [N, V]."""
    assert network.candidates is not None
    true = reference.candidates[labels]
    candidate, _ = best_pair(scores(ratios(logits.float(), config.score), network.table))
    near = torch.from_numpy(network.candidates.near).to(true.device)
    overlap = overlaps(outlines)
    return {
        "candidate": candidate,
        "slots": network.slots[candidate],
        "posed": candidate == true,
        "near": near[candidate, true],
        "alike": (candidate == true) | alike(overlap, network.table, candidate, true),
        "fronted": reference.fronted[labels] & ~symmetric(overlap, network.table),
    }


def _joined(parts: Sequence[Any]) -> NDArray[Any]:
    """The rows of all batches: of tensors, or of lists of strings."""
    if isinstance(parts[0], Tensor):
        return torch.cat(list(parts)).cpu().numpy()
    return np.array(list(itertools.chain.from_iterable(parts)))


def _figures(found: Mapping[str, NDArray[Any]], own: NDArray[np.bool_]) -> dict[str, float]:
    """Of some of the shapes [N]."""
    told = {
        "category_accuracy": (found["predicted"] == found["category"])[own],
        "single_view_accuracy": found["right1"][own],
    }
    if "fronted" in found:
        fronted = own & found["fronted"]
        if fronted.any():
            told["pose_accuracy"] = found["posed"][fronted]
            told["pose_within_step"] = found["near"][fronted]
        told["pose_alike"] = found["alike"][own]
    return {name: float(values.mean()) for name, values in told.items()}


def _by_views(found: Mapping[str, NDArray[Any]], sizes: Sequence[int]) -> dict[str, list[float]]:
    """Accuracy for each number of views."""
    table: dict[str, list[float]] = {
        "views": list(sizes),
        "category_accuracy": [float(found[f"right{size}"].mean()) for size in sizes],
    }
    if "fronted" in found and found["fronted"].any():
        hits = [found[f"posed{size}"][found["fronted"]] for size in sizes]
        table["pose_accuracy"] = [float(each.mean()) for each in hits]
    return table


# --- pictures ------------------------------------------------------------------------------------

SHOWN_SHAPES, SHOWN_VIEWS = 10, 6


def _shown(
    shapes: Shapes, found: Mapping[str, NDArray[Any]], reference: Reference
) -> dict[str, NDArray[Any]]:
    """A shape of each category and some that went wrong, with the training views they matched.

    shown          [S] number of the shape among those evaluated
    shown_views    [W] which of the views
    shown_inputs   uint8 [S, W, H, W, 3]
    shown_matches  the same: a training shape of the predicted category, from the slot of the view
    """
    first = np.unique(found["category"], return_index=True)[1]
    bad = np.flatnonzero((found["predicted"] != found["category"]) | ~found["alike"])
    shown = np.concatenate([first, np.setdiff1d(bad, first)])[:SHOWN_SHAPES]
    views = np.linspace(0, shapes.views, min(SHOWN_VIEWS, shapes.views), endpoint=False).astype(int)
    inputs, matches = [], []
    for number in shown:
        images = shapes.get(int(number), np.random.default_rng(0))["images"][views]
        category = found["predicted"][number]
        example = reference.examples[category]
        there = reference.table[int(reference.candidates[category])][found["slots"][number, views]]
        inputs.append(images)
        matches.append(np.full_like(images, 255) if example is None else example["images"][there])
    return {
        "shown": shown,
        "shown_views": views,
        "shown_inputs": np.stack(inputs).transpose(0, 1, 3, 4, 2),
        "shown_matches": np.stack(matches).transpose(0, 1, 3, 4, 2),
    }


def report(config: Config, evaluation: Evaluation, folder: Path) -> list[tuple[str, str]]:
    from trainer import plots

    tables, arrays = evaluation.tables, evaluation.arrays
    names = tables["categories"]
    made = []
    if "shown" in arrays:
        _draw_matches(folder / "matches.png", names, arrays)
        told = "Views of unseen shapes, above the training views that they were matched with"
        made.append(("matches.png", f"{told}; red: wrong category or pose"))
    by_views = {name.replace("_", " "): values for name, values in tables["by_views"].items()}
    plots.lines(
        folder / "by_views.png",
        by_views.pop("views"),
        by_views,
        x_name="views given",
        y_name="accuracy",
        chance=1 / len(names),
        percent=True,
    )
    made.append(("by_views.png", "Accuracy from some of the views; chance is that of categories"))
    return made


def _draw_matches(path: Path, names: Sequence[str], arrays: Mapping[str, NDArray[Any]]) -> None:
    from trainer import plots

    rows, row_names, wrong = [], [], []
    for place, number in enumerate(arrays["shown"]):
        true, told = int(arrays["category"][number]), int(arrays["predicted"][number])
        right = told == true and bool(arrays["alike"][number])
        rows += [list(arrays["shown_inputs"][place]), list(arrays["shown_matches"][place])]
        row_names += [names[true], f"as {names[told]}"]
        wrong += [[False] * len(rows[0]), [not right] * len(rows[0])]
    columns = [f"view {view}" for view in arrays["shown_views"]]
    plots.image_grid(
        path, rows, row_names=row_names, column_names=columns, wrong=wrong, group=2, tile=72
    )
