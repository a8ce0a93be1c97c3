"""RotNet: features learned by telling by which angle a picture was turned.

Every picture of a batch is seen at all K angles; the labels 0 to K - 1 are free.  What the network
learned is measured by a small classifier of categories on its frozen features, beside the same
classifier on a network that was never trained.

For shapes the way up is known and the same everywhere, so nothing else may tell it: backgrounds
are random and themselves turned by any angle, and cameras are left upright.

B pictures, K angles, S side in pixels.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from trainer import blocks, probes, rotations
from trainer.backgrounds import backgrounds, over, placed
from trainer.errors import DatasetRefused
from trainer.models import Evaluation, Examples, Moment, Tools
from trainer.pictures import absolute, fingerprint, pictures

if TYPE_CHECKING:
    from trainer.data import Facts, Snapshot

PAPER = (
    "S. Gidaris, P. Singh, N. Komodakis: Unsupervised Representation Learning by Predicting "
    "Image Rotations, ICLR 2018"
)
NEEDS = "the rgba pass, any rig and number of views; or pictures instead: --images FOLDER"

CIFAR = ((125.3 / 255, 123.0 / 255, 113.9 / 255), (63.0 / 255, 62.1 / 255, 66.7 / 255))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# How much of the side a shape takes, longer side of its bounding box: in evaluation, in training.
# In training it is up to an eighth of the side away from the middle, as pictures are.
FILLED, FILLED_TRAIN = 0.9, (0.7, 1.05)
SHIFT = 1 / 8
SHOWN = 8
PROBE_BATCH = 128

Triple = tuple[float, float, float]
Network = Literal[
    "nin3", "nin4", "nin5", "alexnet_bn",
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Config:
    """How a network learns from turned pictures."""

    steps: int = 40_000
    """Steps of a whole run."""
    batch: int = 128
    """Pictures in a step; each is seen at every angle."""
    images: str = ""
    """Pictures to learn from instead of the shards: a folder, flat or with a folder per class, or
    a name of torchvision.datasets and the folder of its files, as in CIFAR10:data."""
    backgrounds: str = ""
    """A folder of photos to put behind the shapes; "": colours and textures made by rule."""
    size: int = 64
    """Side of what the network sees, in pixels."""
    angles: tuple[int, ...] = (0, 90, 180, 270)
    """Degrees counter-clockwise, multiples of 45: 0 180, or 90 270, or all four, or all eight."""
    network: Network = "nin4"
    """Network in Network with 3, 4 or 5 blocks, AlexNet with batch norm, or a ResNet."""
    width: int = blocks.NIN_WIDTH
    """Channels of the nin networks; a multiple of 6."""
    avg_on_conv3: bool = False
    """Whether nin4 and nin5 halve their features after the third block too."""
    crop: Literal["pad", "resized"] = "pad"
    """How pictures are cut in training: shifted by up to an eighth of the side, or a random part
    of 8 to 100 % of the area. Shapes are shifted and scaled instead."""
    mean: Triple = (0.5, 0.5, 0.5)
    """Taken from the colours, which are 0 to 1."""
    std: Triple = (0.25, 0.25, 0.25)
    """What they are then divided by."""
    lr: float = 0.1
    """First learning rate of SGD with Nesterov momentum."""
    momentum: float = 0.9
    """Of SGD."""
    weight_decay: float = 5e-4
    """Of SGD, on every parameter."""
    drops: tuple[float, ...] = (0.3, 0.6, 0.8)
    """Shares of the run at which the learning rate falls."""
    drop_factor: float = 0.2
    """What it is multiplied by then."""
    probe: Literal["linear", "nonlinear", "conv", "none"] = "linear"
    """The classifier on frozen features that an evaluation trains; none: rotations alone."""
    probe_block: str = ""
    """The block whose features it gets; "": conv2 (nin), conv4 (alexnet_bn), layer3 (resnet)."""
    probe_copies: int = 4
    """How often it sees each training picture, each time before another background."""
    labels_per_class: tuple[int, ...] = ()
    """For a table of how few labels suffice, made on test: the probe learns from the first 20,
    100 ... shapes or pictures of each class, beside a nin3 that learns from those alone."""

    def __post_init__(self) -> None:
        for name in ("images", "backgrounds"):  # a worker starts elsewhere
            object.__setattr__(self, name, absolute(getattr(self, name)))
        rotations.check(self.angles)
        for name in ("steps", "batch", "size", "probe_copies"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.network not in blocks.NAMES:
            raise ValueError(f"no network {self.network!r}; there are {', '.join(blocks.NAMES)}")
        known = blocks.block_names(self.network)
        if self.probed not in known:
            raise ValueError(f"no block {self.probed!r}; there are {', '.join(known)}")
        if self.network == "alexnet_bn" and self.size < 63:
            raise ValueError(f"size is {self.size} px; alexnet_bn needs at least 63")
        if self.width % 6 or self.width < 6:
            raise ValueError(f"width is {self.width}; it must be a multiple of 6, such as 192")
        if not all(0 < drop < 1 for drop in self.drops):
            raise ValueError(f"drops are {self.drops}; they are shares of the run, such as 0.3")
        if min(self.std) <= 0:
            raise ValueError(f"std is {self.std}; its numbers must be above 0")
        if any(labels < 1 for labels in self.labels_per_class):
            raise ValueError(f"labels_per_class is {self.labels_per_class}; at least 1 each")

    @property
    def source_side(self) -> int:
        """Side of what an example holds: more than `size` where angles are not quarter turns."""
        return rotations.source_side(self.size, self.angles)

    @property
    def probed(self) -> str:
        if self.probe_block:
            return self.probe_block
        if self.network.startswith("resnet"):
            return "layer3"
        return "conv4" if self.network == "alexnet_bn" else "conv2"


def tiny() -> Config:
    """Two CPU cores, a quarter of an hour, a few hundred shapes."""
    # At the paper's rate of 0.1 so small a batch stays at chance for thousands of steps.
    return Config(
        steps=5000, batch=32, size=32, width=48, lr=0.03, weight_decay=1e-4, probe_copies=2
    )


def small() -> Config:
    """One GPU, an hour."""
    return Config(steps=40_000, batch=128, size=64)


def paper() -> Config:
    """The paper's CIFAR-10: 200 epochs of 50 000 pictures, as its code was released."""
    mean, std = CIFAR
    return Config(
        steps=200 * (50_000 // 128),
        batch=128,
        size=32,
        mean=mean,
        std=std,
        probe="nonlinear",
        probe_copies=1,
    )


def paper_imagenet() -> Config:
    """The paper's ImageNet: 50 epochs of 1 281 167 pictures, as its code was released."""
    mean, std = IMAGENET
    return Config(
        steps=50 * (1_281_167 // 192),
        batch=192,
        size=224,
        network="alexnet_bn",
        crop="resized",
        mean=mean,
        std=std,
        lr=0.01,
        drops=(0.3, 0.6, 0.9),
        drop_factor=0.1,
        probe="nonlinear",
        probe_copies=1,
    )


PRESETS: Mapping[str, Callable[[], Config]] = {
    "tiny": tiny,
    "small": small,
    "paper": paper,
    "paper_imagenet": paper_imagenet,
}


def check(config: Config, facts: Facts) -> None:
    if config.images:
        return  # the shards are not looked at
    if "rgba" not in facts.passes:
        raise DatasetRefused(
            f"{', '.join(facts.folders)} has the passes {', '.join(facts.passes) or 'none'}; "
            "rotnet needs rgba"
        )


# --- examples --------------------------------------------------------------------------------


class Labelled(Protocol):
    """Examples whose classes are known without looking at them."""

    classes: tuple[str, ...]
    targets: tuple[int, ...]
    """The class of every example."""
    groups: tuple[Any, ...]
    """What a label is given to: the views of a shape share theirs."""

    def __len__(self) -> int: ...

    def get(self, index: int, rng: np.random.Generator) -> Mapping[str, Any]: ...


def examples(config: Config, snapshot: Snapshot, split: str, train: bool) -> Labelled:
    """Every view of every shape, or every picture: key, image [3, M, M] uint8, category int64."""
    if config.images:
        return Photographs(config, split, train)
    return Renders(config, snapshot, split, train)


class Renders:
    """Views of shapes before random backgrounds."""

    def __init__(self, config: Config, snapshot: Snapshot, split: str, train: bool):
        from trainer.data import Reader

        self.config, self.train = config, train
        self.items, self.views = snapshot.items(split), snapshot.facts.views
        self.reader = Reader(snapshot)
        self.backgrounds = backgrounds(config.backgrounds)
        self.classes = tuple(snapshot.facts.categories)
        self.targets = tuple(item.category for item in self.items for _ in range(self.views))
        self.groups = tuple(item.number for item in self.items for _ in range(self.views))

    def __len__(self) -> int:
        return len(self.items) * self.views

    def get(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        item, view = self.items[index // self.views], index % self.views
        key = f"{item.key}/{view}"
        rgba = self.reader.image(item, view)
        rgba = cut_out(rgba)
        side, size = self.config.source_side, self.config.size
        filled, dx, dy = FILLED, 0.0, 0.0
        if self.train:
            rgba = mirrored(rgba, rng)
            filled = rng.uniform(*FILLED_TRAIN)
            dx, dy = rng.uniform(-SHIFT, SHIFT, 2) * size
        else:
            rng = own_rng(key)
        shape = placed(rgba, side, scale=filled * size / max(rgba.shape[:2]), dx=dx, dy=dy)
        image = over(shape, self.backgrounds.draw(rng, side))
        return example(key, image, item.category)


class Photographs:
    """Pictures of a folder or of torchvision."""

    def __init__(self, config: Config, split: str, train: bool):
        self.config, self.train = config, train
        self.pictures = pictures(config.images, split)
        self.backgrounds = backgrounds(config.backgrounds)
        self.classes, self.targets = self.pictures.classes, self.pictures.targets
        self.groups = tuple(range(len(self.pictures)))

    def __len__(self) -> int:
        return len(self.pictures)

    def get(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        key = self.pictures.key(index)
        image = self.pictures.image(index)
        side = self.config.source_side
        if not self.train:
            rng = own_rng(key)
        if image.shape[2] == 4:
            behind = self.backgrounds.draw(rng, max(image.shape[:2]))
            image = over(image, behind[: image.shape[0], : image.shape[1]])
        if self.config.crop == "resized":
            image = random_part(image, side, rng) if self.train else middle(image, side, 256 / 224)
        elif rotations.exact(self.config.angles):
            image = middle(image, side)
            if self.train:
                image = shifted(image, side // 8, rng)
        else:  # nothing may be filled in: its edge would show the angle
            room = side // 8
            image = middle(image, side + 2 * room)
            y, x = rng.integers(0, 2 * room + 1, 2) if self.train else (room, room)
            image = image[y : y + side, x : x + side]
        if self.train:
            image = mirrored(image, rng)
        return example(key, image, self.targets[index])


def example(key: str, image: NDArray[np.uint8], category: int) -> dict[str, Any]:
    return {
        "key": key,
        "image": np.ascontiguousarray(image.transpose(2, 0, 1)),
        "category": np.int64(category),
    }


def cut_out(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The bounding box of what is seen, and a pixel around it where there is one."""
    seen = rgba[..., 3] > 0
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    if not len(rows):
        return rgba
    top, left = max(0, rows[0] - 1), max(0, columns[0] - 1)
    return rgba[top : rows[-1] + 2, left : columns[-1] + 2]


def own_rng(key: str) -> np.random.Generator:
    """Chance of an example that is always looked at in the same way."""
    return np.random.default_rng(int(hashlib.sha256(key.encode()).hexdigest(), 16))


def mirrored(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Left to right, half of the time: that leaves the way up as it is."""
    return image[:, ::-1] if rng.random() < 0.5 else image


def shifted(image: NDArray[np.uint8], pad: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Moved by up to `pad` pixels; black comes in."""
    side = image.shape[0]
    padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)))
    y, x = rng.integers(0, 2 * pad + 1, 2)
    return padded[y : y + side, x : x + side]


def middle(image: NDArray[np.uint8], side: int, around: float = 1.0) -> NDArray[np.uint8]:
    """The middle S x S of an image whose shorter side was made S * around."""
    image = resized_to(image, round(side * around))
    y, x = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return image[y : y + side, x : x + side]


def resized_to(image: NDArray[np.uint8], shorter: int) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    scale = shorter / min(height, width)
    size = max(shorter, round(width * scale)), max(shorter, round(height * scale))
    return resize(image, size)


def resize(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """To (width, height)."""
    if image.shape[1::-1] == size:
        return image
    smaller = size[0] < image.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)


def random_part(image: NDArray[np.uint8], side: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A part of 8 to 100 % of the area and of 3:4 to 4:3, made S x S.

    Where ten tries do not fit into the image, its middle square.
    Source: Szegedy et al., Going Deeper with Convolutions, 2015, section 6.
    """
    height, width = image.shape[:2]
    for _ in range(10):
        area = height * width * rng.uniform(0.08, 1)
        aspect = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        w, h = round(float(np.sqrt(area * aspect))), round(float(np.sqrt(area / aspect)))
        if 0 < w <= width and 0 < h <= height:
            y, x = rng.integers(height - h + 1), rng.integers(width - w + 1)
            return resize(image[y : y + h, x : x + w], (side, side))
    return middle(image, side)


# --- learning --------------------------------------------------------------------------------


def build(config: Config, facts: Facts) -> blocks.Network:
    return make(config, len(config.angles))


def make(config: Config, outputs: int) -> blocks.Network:
    return blocks.make(
        config.network,
        outputs,
        size=config.size,
        width=config.width,
        avg_on_conv3=config.avg_on_conv3,
    )


def optimizer(
    config: Config, network: nn.Module
) -> tuple[torch.optim.Optimizer, Callable[[float], float]]:
    sgd = torch.optim.SGD(
        network.parameters(),
        lr=config.lr,
        momentum=config.momentum,
        nesterov=config.momentum > 0,
        weight_decay=config.weight_decay,
    )
    return sgd, lambda t: float(config.drop_factor ** sum(t >= drop for drop in config.drops))


def normalized(config: Config, images: Tensor) -> Tensor:
    """(colours - mean) / std, of colours 0 to 1."""
    mean, std = (images.new_tensor(v)[:, None, None] for v in (config.mean, config.std))
    # Channels last: convolutions are 1.7 times as fast on a CPU too (nin4, width 48, 32 px).
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


def turned(config: Config, batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Every picture of a batch at every angle [B * K, 3, S, S], colours 0 to 1; labels [B * K]."""
    images = batch["image"].float() / 255
    return (
        rotations.turned(images, config.angles, config.size),
        rotations.labels(len(images), config.angles, images.device),
    )


def upright(config: Config, batch: Mapping[str, Any]) -> Tensor:
    """[B, 3, S, S] what the network gets of unturned pictures."""
    images = batch["image"].float() / 255
    return normalized(config, rotations.upright(images, config.angles, config.size))


def loss(
    config: Config, network: nn.Module, batch: Mapping[str, Any], moment: Moment
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean cross-entropy over pictures and angles."""
    images, labels = turned(config, batch)
    logits = network(normalized(config, images)).float()  # [B * K, K]
    right = (logits.argmax(1) == labels).float().mean()
    return F.cross_entropy(logits, labels), {"rotation_accuracy": right}


# --- evaluation ------------------------------------------------------------------------------


def evaluate(
    config: Config, network: nn.Module, snapshot: Snapshot, split: str, tools: Tools
) -> Evaluation:
    """rotation_accuracy, and for a probe P: P_probe, P_probe_random, P_probe_difference.

    The probe learns categories from the features of `train`, and is tested on the split.
    """
    told = examples(config, snapshot, split, train=False)
    result = rotations_told(config, network, told, tools)
    metrics, tables = dict(result.metrics), dict(result.tables)
    if isinstance(told, Photographs):
        tables["pictures"] = {
            "address": config.images,
            "count": len(told),
            "sha256": fingerprint(told.pictures),
        }
    if config.probe != "none" and len(told.classes) > 1:
        metrics |= probed(config, network, snapshot, told, split, tools)
        if config.labels_per_class and split != "val":  # too long for every validation
            tables["labels_per_class"] = few_labels(config, network, snapshot, told, tools)
    return Evaluation(metrics=metrics, tables=tables, arrays=result.arrays)


def rotations_told(config: Config, network: nn.Module, told: Labelled, tools: Tools) -> Evaluation:
    """How often the angle is told: together, by angle and by category."""
    angles = len(config.angles)
    confusion = torch.zeros(angles, angles, dtype=torch.int64)
    categories = torch.zeros(max(1, len(told.classes)), 2, dtype=torch.int64)  # right, all
    shown = set(np.linspace(0, len(told) - 1, min(SHOWN, len(told)), dtype=int).tolist())
    pictures_shown, answers_shown, done = [], [], 0
    for batch in tools.batches(told, config.batch):
        with torch.no_grad():
            images, labels = turned(config, batch)
            answers = network(normalized(config, images)).argmax(1)
        cells = torch.bincount(labels * angles + answers, minlength=angles * angles)
        confusion += cells.view(angles, angles).cpu()
        right = (answers == labels).view(-1, angles).sum(1)
        counts = torch.stack([right, torch.full_like(right, angles)], dim=1).cpu()
        categories.index_add_(0, batch["category"].cpu(), counts)
        for number in sorted(shown & set(range(done, done + len(right)))):
            rows = slice((number - done) * angles, (number - done + 1) * angles)
            pictures_shown.append((images[rows] * 255).round().byte().cpu())
            answers_shown.append(answers[rows].cpu())
        done += len(right)
        tools.progress(done=done, total=len(told))
    names = [f"{angle}°" for angle in config.angles]
    tables: dict[str, Any] = {"rotations": {"names": names, "matrix": confusion.tolist()}}
    if told.classes:
        tables["rotation_accuracy_by_category"] = {
            name: right / count
            for name, (right, count) in zip(told.classes, categories.tolist(), strict=True)
            if count
        }
    return Evaluation(
        metrics={"rotation_accuracy": float(confusion.diag().sum() / confusion.sum())},
        tables=tables,
        arrays={
            "turned": torch.stack(pictures_shown).permute(0, 1, 3, 4, 2).numpy(),
            "answers": torch.stack(answers_shown).numpy(),
        },
    )


def probed(
    config: Config, network: nn.Module, snapshot: Snapshot, told: Labelled, split: str, tools: Tools
) -> dict[str, float]:
    """The probe on this network's features and on those of one that was never trained."""
    known = probes.Copies(examples(config, snapshot, "train", train=True), config.probe_copies)

    def of(frozen: nn.Module) -> float:
        train, test = (features(config, frozen, which, tools) for which in (known, told))
        return learned(config, train, test, len(told.classes), tools)

    case = (config, snapshot.id, split, tools.device)
    if case not in _UNTRAINED:
        with probes.seeded(0):
            fresh = make(config, len(config.angles))
        _UNTRAINED[case] = of(fresh.to(tools.device).eval())
    name, ours, random = f"{config.probe}_probe", of(network), _UNTRAINED[case]
    return {name: ours, f"{name}_random": random, f"{name}_difference": ours - random}


# All validations of a run compare with the same figure.
_UNTRAINED: dict[tuple[Config, str, str, torch.device], float] = {}


def few_labels(
    config: Config, network: nn.Module, snapshot: Snapshot, told: Labelled, tools: Tools
) -> list[dict[str, float]]:
    """The probe and a supervised nin3, both learning from the first labels of each class.

    Epochs are as long as with all labels, so that few labels do not mean few steps.
    """
    known = examples(config, snapshot, "train", train=True)
    epoch, classes = len(known) * config.probe_copies, len(told.classes)
    pixels = nn.Identity().eval()
    rows = []
    for labels in config.labels_per_class:
        chosen = probes.first_of_each(known.targets, known.groups, labels)
        some = probes.Copies(probes.Chosen(known, chosen), config.probe_copies)
        row = {"labels": float(labels), "examples": float(len(chosen))}
        row["rotnet"] = learned(
            config,
            features(config, network, some, tools),
            features(config, network, told, tools),
            classes,
            tools,
            epoch=epoch,
        )
        with probes.seeded(0):
            nin3 = blocks.nin(3, classes, width=config.width).to(tools.device)
        recipe = dataclasses.replace(probes.RECIPES["conv"], epoch=epoch)
        train = features(config, pixels, some, tools)
        probes.train(nin3, train, recipe, seed=0, progress=tools.progress)
        row["supervised"] = probes.accuracy(nin3, features(config, pixels, told, tools))
        rows.append(row)
    return rows


def features(config: Config, network: nn.Module, of: Examples, tools: Tools) -> probes.Features:
    return probes.Features(
        network,
        config.probed,
        of,
        tools.batches,
        lambda batch: upright(config, batch),
        batch=PROBE_BATCH,
        pooled=config.probe == "linear",
    )


def learned(
    config: Config,
    train: probes.Features,
    test: probes.Features,
    classes: int,
    tools: Tools,
    epoch: int = 0,
) -> float:
    """Accuracy of a probe on `test` that learned from `train`."""
    channels, side = train.shape[:2]
    with probes.seeded(0):
        if config.probe == "linear":
            probe = probes.linear(channels, side, classes)
        elif config.probe == "conv":
            probe = probes.convolutional(channels, classes)
        elif config.network in blocks.NIN:
            probe = probes.nonlinear(channels, side, classes)
        else:
            probe = probes.rest(make(config, classes), config.probed)
    recipe = dataclasses.replace(probes.RECIPES[config.probe], epoch=epoch)
    probes.train(probe.to(tools.device), train, recipe, seed=0, progress=tools.progress)
    return probes.accuracy(probe, test)


# --- pictures for a report ---------------------------------------------------------------------


def report(config: Config, evaluation: Evaluation, folder: Path) -> list[tuple[str, str]]:
    """Pictures at every angle with the angle they were taken for; accuracy against labels."""
    from trainer import plots

    angles = [f"{angle}°" for angle in config.angles]
    turned, answers = evaluation.arrays["turned"], evaluation.arrays["answers"]
    plots.image_grid(
        folder / "turned.png",
        [list(row) for row in turned],
        captions=[[angles[answer] for answer in row] for row in answers],
        column_names=angles,
        wrong=[[bool(answer != k) for k, answer in enumerate(row)] for row in answers],
    )
    made = [("turned.png", "Turned by the angle above; below, what the network took it for.")]
    rows = evaluation.tables.get("labels_per_class")
    if rows:
        ours = f"RotNet and a {config.probe} probe"
        plots.lines(
            folder / "labels.png",
            [row["labels"] for row in rows],
            {
                ours: [row["rotnet"] for row in rows],
                "supervised from these labels alone": [row["supervised"] for row in rows],
            },
            x_name="labels of each class",
            y_name="category accuracy",
            percent=True,
        )
        made.append(("labels.png", "How few labels suffice."))
    return made
