"""DPC: a point cloud and a camera from one picture, learned from silhouettes alone.

An encoder reads a picture; a decoder gives points, another the camera.  The cloud of one view,
projected by the camera of another, must give the outline of that other one.  Where cameras are
unknown, an ensemble guesses several for each picture; only the best guess learns from the outline,
and a student learns from the best guess.

B objects, v views of each, K candidate cameras, P points, V voxels along an edge of the grid.
Cameras are quaternions: trainer.geometry has the frame, trainer.projection the picture of a cloud.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from trainer import alignment, real, reconstruction
from trainer.baselines import baselines
from trainer.data import Item, Reader
from trainer.geometry import (
    angle_deg,
    camera_from_quaternion,
    conjugate,
    multiply,
    normalize,
    rotate,
)
from trainer.metrics import thin
from trainer.models import Evaluation, Examples, Moment, Tools
from trainer.projection import MAX_DEPTH, project, view
from trainer.reconstruction import ACCURATE_DEG, Row, compare
from trainer.views import Seen, Views, jittered, look

if TYPE_CHECKING:
    from trainer.data import Facts, Snapshot

PAPER = (
    "Insafutdinov, Dosovitskiy: Unsupervised Learning of Shape and Pose with Differentiable Point "
    "Clouds. NeurIPS 2018"
)
NEEDS = "rgba of at least --views-per-step views (4), their cameras, and point clouds to compare to"
BEST = "-chamfer"

SLOPE = 0.2
"""Of leaky ReLUs below 0."""
SHOWN = 12
"""Predictions that a report shows ..."""
ORBITS = 3
"""... and of how many it has a film."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is learned, from what, and how fast."""

    steps: int
    """Optimizer steps; the schedules of blur and points stretch with them."""
    batch: int
    """Objects in a step, each with --views-per-step views."""
    pose: Literal["camera", "unsupervised"] = "camera"
    """Whether the dataset's cameras are told in training, or guessed."""
    image: int = 128
    """Side to which pictures are brought for the encoder; a power of two, 16 or more."""
    voxels: int = 64
    """Along each edge of the grid, and pixels along each side of the outlines."""
    points: int = 8000
    """In a predicted cloud."""
    views_per_step: int = 4
    """Views of an object in a step; the first gives the shape, each its camera."""
    candidates: int = 4
    """Cameras guessed for each picture, when unsupervised; 1: no ensemble, no student."""
    sigma_start: float = 3.0
    """Blur of the grid at the beginning, voxels; linear to the end."""
    sigma_end: float = 0.2
    """Blur of the grid at the end, voxels."""
    keep: float = 0.07
    """Share of the points that are projected at the beginning; linear to all at the end."""
    silhouette_weight: float = 1.0
    """Of the loss of outlines."""
    depth_weight: float = 0.0
    """Of the loss of depth maps; needs the pass depth."""
    max_depth: float = MAX_DEPTH
    """Of the background in depth maps, diagonals; the nearer, the more the inside counts."""
    colour_weight: float = 0.0
    """Of the loss of coloured pictures; above 0 the points have colours."""
    mirror: Literal["none", "x", "z"] = "none"
    """Show every other training shape, by chance, with left for right, which lie along this axis:
    twice the pictures."""
    jitter: float = 0.0
    """How far pictures are turned (radians), resized (powers of e) and moved (halves of a side) by
    chance before the encoder sees them in training; where cameras are guessed not at all, as the
    camera of a turned picture is another one."""
    student_weight: float = 20.0
    """Of the loss of the student, which learns the winners' cameras."""
    lr: float = 1e-4
    """Learning rate of Adam."""
    final_lr: float = 1.0
    """Share of it at the end, by a cosine; 1: constant."""
    weight_decay: float = 1e-3
    """L2 on weights, not on biases, through Adam's gradient."""
    width: int = 1024
    """Of the fully connected layers."""
    spread: float = 1.0
    """Of the first clouds, of what was published: a point that begins far from the shape, where no
    gradient reaches it, stays there."""

    def __post_init__(self) -> None:
        positive = ("steps", "batch", "points", "views_per_step", "candidates", "width")
        for name in positive:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.image < 16 or self.image & (self.image - 1):
            raise ValueError(f"image is {self.image}; it must be a power of two, at least 16")
        if self.voxels < 8:
            raise ValueError(f"voxels is {self.voxels}; it must be at least 8")
        if not self.spread > 0:
            raise ValueError(f"spread is {self.spread}; it must be above 0")
        if not 0 <= self.jitter < 1:
            raise ValueError(f"jitter is {self.jitter}; it must be at least 0 and below 1")
        if not 0 < self.keep <= 1:
            raise ValueError(f"keep is {self.keep}; it is a share: above 0, at most 1")
        if min(self.sigma_start, self.sigma_end) <= 0:
            raise ValueError(
                f"sigma goes from {self.sigma_start} to {self.sigma_end}; both must be above 0"
            )
        weights = self.silhouette_weight, self.depth_weight, self.colour_weight
        if min(weights) < 0 or max(weights) == 0:
            raise ValueError(
                "the weights of silhouette, depth and colour are "
                f"{', '.join(f'{weight:g}' for weight in weights)}; one must be above 0, none below"
            )

    def sigma(self, t: float) -> float:
        """Blur at share t of the run, voxels."""
        return self.sigma_start + (self.sigma_end - self.sigma_start) * t

    def kept(self, t: float) -> int:
        """Points that are projected at share t of the run."""
        return max(1, math.floor(self.points * (1 - (1 - self.keep) * (1 - t))))

    @property
    def guesses(self) -> int:
        """Candidate cameras of a picture; 0 where cameras are told."""
        return self.candidates if self.pose == "unsupervised" else 0


def tiny() -> Config:
    """Two cores, half an hour: pictures of 64 px on a coarse grid, depth beside outlines.

    Blur begins wide: points that lie apart are drawn in by nothing else. Clouds begin small and
    with few points: others are pushed out of thin shapes, and no gradient brings them back. A few
    hundred shapes are soon known by heart, unless their pictures jitter.
    """
    return Config(
        steps=6000, batch=8, image=64, voxels=48, width=512, lr=5e-4, final_lr=0.05, jitter=0.12,
        sigma_start=4.0, sigma_end=0.4, keep=0.05, depth_weight=4.0, max_depth=2.6, spread=0.15,
    )  # fmt: skip


def small() -> Config:
    """One GPU, an hour or so: the reduced setting of models.md, section 9."""
    return Config(steps=60_000, batch=16, image=64, voxels=32, points=4000)


def paper() -> Config:
    """The authors' chair_unsupervised and chair_camera_supervision: 600 000 steps of 8 objects."""
    return Config(steps=600_000, batch=8)


PRESETS: Mapping[str, Callable[[], Config]] = {"tiny": tiny, "small": small, "paper": paper}


# --- the network ---------------------------------------------------------------------------------


class Guess(NamedTuple):
    """What is said of B objects."""

    points: Tensor
    """[B, P, 3] in [-0.5, 0.5]"""
    scale: Tensor
    """[B] factor on the occupancy of the grid"""
    colours: Tensor | None
    """[B, P, 3] in [0, 1]"""
    cameras: Tensor | None
    """[B, v, K, 4] quaternions of any length"""
    student: Tensor | None
    """[B, v, 4]"""

    def map(self, change: Callable[[Tensor], Tensor]) -> Guess:
        """The same with each of its tensors changed."""
        some = (None if part is None else change(part) for part in self[2:])
        return Guess(change(self.points), change(self.scale), *some)


class Network(nn.Module):
    """Pictures [B, v, 3, S, S] in [0, 1] -> Guess: the shape from the first view, cameras from all.

    Convolutions halve the picture down to 4 x 4; their number follows from its side.
    """

    def __init__(self, config: Config):
        super().__init__()
        width, self.count = config.width, config.points
        blocks = int(math.log2(config.image / 4)) - 1
        channels = [16 * 2**block for block in range(blocks + 1)]
        layers = [_conv(3, 16, 5, 2)]
        for before, after in itertools.pairwise(channels):
            layers += [_conv(before, after, 3, 2), _conv(after, after, 3, 1)]
        self.convs = nn.Sequential(*layers)
        self.shared = nn.Sequential(_full(channels[-1] * 16, width), _full(width, width))
        self.shape = _full(width, width)
        self.points = _head(width, 3 * config.points, config.spread)
        self.scale = _head(width, 1)
        self.colours = _head(width, 3 * config.points) if config.colour_weight else None
        self.trunk: nn.Module | None = None
        self.student: nn.Module | None = None
        self.cameras = nn.ModuleList()
        if config.guesses:
            self.trunk = nn.Sequential(_linear(width, width), nn.ReLU())
            ensemble = config.guesses > 1
            branch = _branch if ensemble else _linear
            self.cameras = nn.ModuleList(branch(width, 4) for _ in range(config.guesses))
            self.student = _branch(width, 4) if ensemble else None

    def forward(self, pictures: Tensor) -> Guess:
        objects, views = pictures.shape[:2]
        seen = self.shared(self.convs(2 * pictures.flatten(0, 1) - 1).flatten(1))
        seen = seen.view(objects, views, -1)
        shape = self.shape(seen[:, 0])
        points = torch.tanh(self.points(shape).float()).view(objects, self.count, 3) / 2
        colours = cameras = student = None
        if self.colours is not None:
            colours = torch.sigmoid(self.colours(shape).float()).view(objects, self.count, 3)
        if self.trunk is not None:
            trunk = self.trunk(seen)
            cameras = torch.stack([branch(trunk) for branch in self.cameras], 2).float()
            student = None if self.student is None else self.student(trunk).float()
        scale = torch.sigmoid(self.scale(shape).float())[:, 0]
        return Guess(points, scale, colours, cameras, student)


def _conv(inputs: int, outputs: int, side: int, stride: int) -> nn.Module:
    conv = nn.Conv2d(inputs, outputs, side, stride, padding=side // 2)
    return nn.Sequential(_started(conv, inputs * side * side), nn.LeakyReLU(SLOPE))


def _full(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(_linear(inputs, outputs), nn.LeakyReLU(SLOPE))


def _linear(inputs: int, outputs: int) -> nn.Module:
    return _started(nn.Linear(inputs, outputs), inputs)


def _branch(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(_full(inputs, 32), _full(32, 32), _linear(32, outputs))


def _head(inputs: int, outputs: int, spread: float = 1.0) -> nn.Module:
    """A layer that starts small: 0.025, as published for a width of 1024, times the spread."""
    return _drawn(nn.Linear(inputs, outputs), 0.025 * spread * math.sqrt(1024 / inputs))


def _started(layer: nn.Module, inputs: int) -> nn.Module:
    """Variance scaling by 2 over the inputs, as TensorFlow's slim has it."""
    return _drawn(layer, math.sqrt(1.3 * 2 / inputs))


def _drawn(layer: Any, std: float) -> nn.Module:
    """Weights from a normal distribution that is cut off at two deviations; no bias."""
    nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
    nn.init.zeros_(layer.bias)
    return layer  # type: ignore[no-any-return]


def check(config: Config, facts: Facts) -> None:
    width, height = facts.size
    if width != height:
        raise ValueError(f"dpc needs square pictures; these are {width} x {height}")
    for name in ("image", "voxels"):
        if getattr(config, name) > width:
            raise ValueError(
                f"--{name} {getattr(config, name)} is more than the pictures' {width} px"
            )
    for needed in ("rgba", *(["depth"] if config.depth_weight else [])):
        if needed not in facts.passes:
            raise ValueError(f"dpc needs the pass {needed}; there are {', '.join(facts.passes)}")
    if facts.views < config.views_per_step:
        raise ValueError(
            f"dpc needs {config.views_per_step} views of a shape, and there are {facts.views}; "
            f"render more, or --views-per-step {facts.views}"
        )
    if not facts.cameras:
        raise ValueError("dpc needs the cameras of the pictures; they are not known here")
    if not facts.points:
        raise ValueError("dpc needs point clouds to compare to; render with --points")
    if config.pose == "unsupervised" and not facts.samples.get("val"):
        raise ValueError("dpc --pose unsupervised finds its frame on the split val, which is empty")


def check_evaluation(config: Config, facts: Facts) -> None:
    """As check; but segments of photos, with neither cameras nor clouds, are judged by masks."""
    if facts.cameras or facts.points:
        check(config, facts)
        return
    width, height = facts.size
    if width != height or width < config.image:
        raise ValueError(
            f"dpc needs square pictures of at least its --image {config.image} px; these are "
            f"{width} x {height}"
        )
    if config.pose == "camera":
        raise ValueError(
            "this dpc was told its cameras (--pose camera), and photos have none: only one trained "
            "with --pose unsupervised guesses them"
        )


def build(config: Config, facts: Facts) -> Network:
    return Network(config)


def optimizer(
    config: Config, network: nn.Module
) -> tuple[torch.optim.Optimizer, Callable[[float], float]]:
    """Adam; its weight decay is the gradient of 0.5 * decay * |W|^2, and biases have none."""
    weights = [p for p in network.parameters() if p.ndim > 1]
    biases = [p for p in network.parameters() if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": config.weight_decay},
        {"params": biases, "weight_decay": 0.0},
    ]
    adam = torch.optim.Adam(groups, lr=config.lr, betas=(0.9, 0.999), eps=1e-8)
    low = config.final_lr
    return adam, lambda t: low + (1 - low) * 0.5 * (1 + math.cos(math.pi * t))


def examples(config: Config, snapshot: Snapshot, split: str, train: bool) -> Examples:
    return _views(config, snapshot, snapshot.items(split), train)


def _views(config: Config, snapshot: Snapshot, items: Sequence[Item], train: bool) -> Views:
    return Views(
        reader=Reader(snapshot),
        items=items,
        chosen=config.views_per_step if train else 0,
        depth=config.max_depth if config.depth_weight else None,
        mirror=config.mirror if train else "none",
    )


# --- losses --------------------------------------------------------------------------------------


def loss(
    config: Config, network: nn.Module, batch: Mapping[str, Tensor], moment: Moment
) -> tuple[Tensor, dict[str, Tensor]]:
    """Halves of squared differences, summed over a picture, averaged over objects and views."""
    seen = look(batch, config.image, config.voxels)
    told = config.pose == "camera"
    pictures = seen.pictures
    if told:
        pictures = pictures[:, :1]
        pictures = jittered(pictures, config.jitter) if config.jitter else pictures
    guess: Guess = network(pictures)
    cameras = batch["camera"][:, :, None] if told else guess.cameras
    assert cameras is not None
    parts = errors(config, guess, cameras, seen, config.sigma(moment.t), config.kept(moment.t))
    # Hindsight: of the candidates of a picture only the best one learns from it.
    whole = sum(weight * part for weight, part in parts.values())
    assert isinstance(whole, Tensor)
    winner = whole.detach().argmin(2, keepdim=True)  # [B, v, 1]
    total = whole.gather(2, winner).mean()
    values = {name: part.gather(2, winner).mean() for name, (_, part) in parts.items()}
    if guess.student is not None:
        best = cameras.gather(2, winner[..., None].expand(*winner.shape, 4))[:, :, 0]
        values["student"] = student_loss(best, guess.student)
        total = total + config.student_weight * values["student"]
    if cameras.shape[2] > 1:
        wins = F.one_hot(winner[..., 0], cameras.shape[2]).float().mean((0, 1))
        values |= {f"winner_{k}": share for k, share in enumerate(wins)}
    return total, {name: value.detach() for name, value in values.items()}


def errors(
    config: Config, guess: Guess, cameras: Tensor, seen: Seen, sigma: float, kept: int
) -> dict[str, tuple[float, Tensor]]:
    """Weight and error [B, v, K] of silhouette, depth and colour, for every camera [B, v, K, 4].

    kept  points, of each copy of the cloud its own choice
    """
    objects, views, k = cameras.shape[:3]
    copies = views * k
    chosen = _chosen(guess.points, copies, kept)
    clouds = view(_taken(guess.points, chosen, copies), cameras.reshape(-1, 4))
    colours = None if guess.colours is None else _taken(guess.colours, chosen, copies)
    depth = None if seen.depth is None else config.max_depth
    scale = guess.scale.repeat_interleave(copies)
    pictures = project(clouds, scale, sigma, config.voxels, depth=depth, colours=colours)

    def error(predicted: Tensor, truth: Tensor) -> Tensor:
        apart = predicted.view(objects, views, k, *predicted.shape[1:]) - truth[:, :, None]
        return 0.5 * apart.square().flatten(3).sum(3)

    found = {"silhouette": (config.silhouette_weight, error(pictures.silhouette, seen.silhouette))}
    if pictures.depth is not None and seen.depth is not None:
        found["depth"] = config.depth_weight, error(pictures.depth, seen.depth)
    if pictures.colour is not None:
        found["colour"] = config.colour_weight, error(pictures.colour, seen.colour)
    return found


def _chosen(points: Tensor, copies: int, kept: int) -> Tensor | None:
    """[B, copies, kept] numbers of points, without replacement; None: all."""
    objects, count, _ = points.shape
    if kept >= count:
        return None
    return torch.rand(objects, copies, count, device=points.device).topk(kept).indices


def _taken(points: Tensor, chosen: Tensor | None, copies: int) -> Tensor:
    """[B * copies, kept, 3]"""
    spread = points[:, None].expand(-1, copies, -1, -1)
    if chosen is not None:
        spread = spread.gather(2, chosen[..., None].expand(*chosen.shape, 3))
    return spread.flatten(0, 1)


def student_loss(teacher: Tensor, student: Tensor) -> Tensor:
    """Mean of sin^2 of half the angle between rotations [..., 4]; no gradient for the teacher.

    1 - w^2 of the rotation between them.  The paper prints 1 - w, for which q and -q differ.
    """
    between = multiply(normalize(teacher.detach()), conjugate(normalize(student)))
    return (1 - between[..., 0].square()).mean()


# --- how good it is ------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What was predicted of one shape, from each of its v views alone."""

    item: Item
    guess: Guess
    """Of v objects with one view each."""
    seen: Seen
    """Likewise: [v, 1, ...]."""
    rgba: Tensor
    """[v, H, W, 4]"""
    camera: Tensor
    """[v, 4] the true one"""

    @property
    def pose(self) -> Tensor:
        """[v, 4] the predicted camera: the student's, or the only one; where it is told, that."""
        if self.guess.student is not None:
            return self.guess.student[:, 0]
        if self.guess.cameras is not None:
            return self.guess.cameras[:, 0, 0]
        return self.camera


def _shapes(config: Config, network: nn.Module, views: Views, tools: Tools) -> Iterator[Shape]:
    items = iter(views.items)
    for batch in tools.batches(views, config.batch):
        seen = look(batch, config.image, config.voxels).map(
            lambda part: part.flatten(0, 1)[:, None]
        )
        guess: Guess = network(seen.pictures)
        for place, (rgba, camera) in enumerate(zip(batch["rgba"], batch["camera"], strict=True)):
            own = functools.partial(_rows, place * len(camera), len(camera))
            yield Shape(
                item=next(items),
                guess=guess.map(own),
                seen=seen.map(own),
                rgba=rgba,
                camera=camera,
            )


def _rows(first: int, count: int, part: Tensor) -> Tensor:
    return part[first : first + count]


def evaluate(
    config: Config, network: nn.Module, snapshot: Snapshot, split: str, tools: Tools
) -> Evaluation:
    """Clouds against the true ones, and poses, from every single view; two baselines beside it."""
    if not (snapshot.facts.cameras or snapshot.facts.points):
        predict = functools.partial(_from_pictures, config, network)
        return real.evaluate(predict, snapshot, split, tools, config.batch)
    told = config.pose == "camera"
    reference = None if told else canonical_rotation(config, network, snapshot, tools)
    items = snapshot.items(split)
    views = _views(config, snapshot, items, train=False)
    rows: list[Row] = []
    masks = real.Masks()
    shown: list[dict[str, NDArray[Any]]] = []
    shows = _spread(items, SHOWN)
    for shape in _shapes(config, network, views, tools):
        clouds, pose = shape.guess.points, shape.pose
        masks.add(shape.rgba, clouds, pose)
        if reference is not None:
            back = reference.to(clouds)
            clouds, pose = rotate(back, clouds), multiply(normalize(pose), conjugate(back))
        truth = torch.from_numpy(views.reader.points(shape.item)).to(clouds)
        precision, coverage = compare(clouds, thin(truth))
        rows.append(
            Row(
                category=shape.item.category,
                precision=precision,
                coverage=coverage,
                error_deg=None if told else angle_deg(pose, shape.camera).cpu().numpy(),
                winners=_winners(config, shape),
            )
        )
        if shape.item.number in shows:
            shown.append(_shown(config, shape, clouds[0], pose[0], truth))
        tools.progress(done=len(rows), total=len(items))

    metrics = reconstruction.summary(rows) | baselines(snapshot, split, tools.device)
    metrics |= masks.spread().metrics()
    if "chamfer_constant" in metrics:
        metrics["chamfer_to_constant"] = metrics["chamfer"] / metrics["chamfer_constant"]
    tables = reconstruction.tables(rows, snapshot.facts.categories)
    arrays = {name: np.stack([one[name] for one in shown]) for name in shown[0]}
    arrays |= reconstruction.arrays(rows) | masks.arrays()
    if reference is not None:
        cameras = np.concatenate([views.cameras(number) for number in range(min(100, len(items)))])
        metrics["accuracy_chance"] = reconstruction.chance(torch.from_numpy(cameras))
        tables["canonical_rotation"] = reference.tolist()
    return Evaluation(metrics=metrics, tables=tables, arrays=arrays)


def _from_pictures(config: Config, network: nn.Module, rgba: Tensor) -> tuple[Tensor, Tensor]:
    """Clouds [n, P, 3] and cameras [n, 4] of pictures uint8 [n, S, S, 4] of which no more is known.

    Both in the network's own frame: they are seen together, so the true one plays no part.
    """
    pictures = look({"rgba": rgba[:, None]}, config.image, config.voxels).pictures
    guess: Guess = network(pictures)
    camera = guess.student if guess.student is not None else guess.cameras
    assert camera is not None, "check_evaluation refuses a network that is told its cameras"
    return guess.points, camera.reshape(len(rgba), 4)


def canonical_rotation(
    config: Config, network: nn.Module, snapshot: Snapshot, tools: Tools
) -> Tensor:
    """[4] float64: what takes this network's clouds to the true ones, by the validation split."""
    items = snapshot.items("val")[: alignment.SHAPES]
    views = _views(config, snapshot, items, train=False)
    rotations, left = [], []
    for shape in _shapes(config, network, views, tools):
        truth = torch.from_numpy(views.reader.points(shape.item))[: alignment.POINTS]
        starts = multiply(conjugate(shape.camera), normalize(shape.pose)).cpu()
        found = [
            alignment.icp(cloud[: alignment.POINTS], truth, start)
            for cloud, start in zip(shape.guess.points.cpu(), starts, strict=True)
        ]
        rotations.append(torch.stack([rotation for rotation, _ in found]))
        left.append(torch.tensor([rmse for _, rmse in found]))
        tools.progress(done=len(left), total=len(items))
    return alignment.canonical_rotation(torch.stack(rotations), torch.stack(left))


def _winners(config: Config, shape: Shape) -> tuple[int, ...]:
    """For each view the candidate whose silhouette fits best, with all points, sharp."""
    cameras = shape.guess.cameras
    if cameras is None or cameras.shape[2] == 1:
        return ()
    found = errors(config, shape.guess, cameras, shape.seen, config.sigma_end, config.points)
    return tuple(found["silhouette"][1][:, 0].argmin(1).tolist())


def _spread(items: Sequence[Item], most: int) -> set[int]:
    """Numbers of so many shapes, the categories in turn."""
    groups: dict[int, list[int]] = {}
    for item in items:
        groups.setdefault(item.category, []).append(item.number)
    turns = [n for turn in itertools.zip_longest(*groups.values()) for n in turn if n is not None]
    return set(turns[:most])


# --- pictures for a report -----------------------------------------------------------------------


def _shown(
    config: Config, shape: Shape, cloud: Tensor, pose: Tensor, truth: Tensor
) -> dict[str, NDArray[Any]]:
    """The prediction from the first view, in the data's frame."""
    one = shape.guess.map(lambda part: part[:1])
    clouds = view(one.points, shape.pose[:1])
    pictures = project(clouds, one.scale, config.sigma_end, config.voxels)
    found = {
        "rgba": shape.rgba[0],
        "outline_true": shape.seen.silhouette[0, 0],
        "outline": pictures.silhouette[0],
        "cloud": cloud,
        "cloud_true": truth[: config.points],
        "pose": pose,
        "pose_true": shape.camera[0],
    }
    if one.colours is not None:
        found["colours"] = one.colours[0]
    return {name: value.cpu().numpy() for name, value in found.items()}


def report(config: Config, evaluation: Evaluation, folder: Path) -> list[tuple[str, str]]:
    """Predicted clouds at predicted poses beside the pictures, orbits, and errors of poses."""
    from trainer import clouds, plots

    arrays, found = evaluation.arrays, []
    if "cloud" in arrays:
        colours = arrays.get("colours", [None] * len(arrays["cloud"]))
        rows: list[list[NDArray[Any] | None]] = []
        for n, cloud in enumerate(arrays["cloud"]):
            camera = camera_from_quaternion(torch.from_numpy(arrays["pose"][n]).double()).numpy()
            rows.append(
                [
                    arrays["rgba"][n],
                    arrays["outline_true"][n],
                    arrays["outline"][n],
                    clouds.point_cloud(cloud, colours[n], camera=camera),
                    clouds.point_cloud(cloud, colours[n]),
                    clouds.point_cloud(arrays["cloud_true"][n]),
                ]
            )
        names = ["input", "its outline", "predicted outline", "cloud, predicted pose", "from aside",
                 "true cloud"]  # fmt: skip
        plots.image_grid(folder / "predictions.png", rows, column_names=names)
        found.append(
            ("predictions.png", "Clouds predicted from one view, at their predicted poses")
        )
        for n in range(min(ORBITS, len(arrays["cloud"]))):
            film = f"orbit-{n}.gif"
            pair = [arrays["cloud"][n], arrays["cloud_true"][n]]
            clouds.orbit_gif(folder / film, pair, [colours[n], None])
            found.append((film, "Predicted cloud and true one"))
    if "error_deg" in arrays:
        edges = np.linspace(0, 180, 37)
        plots.histogram(
            folder / "pose_error_deg.png", arrays["error_deg"].ravel(), edges,
            name="pose error (degrees)", chance=reconstruction.guessed(edges),
            marks={"30 degrees": ACCURATE_DEG},
        )  # fmt: skip
        found.append(
            ("pose_error_deg.png", "Errors of pose: symmetric shapes have a second peak at 180")
        )
    return found + real.pictures(arrays, folder)
