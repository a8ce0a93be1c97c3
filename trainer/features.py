"""Phi: what a frozen ResNet-18 sees in a picture, by which pictures of one thing are alike.

Where it comes from (`--features`):
    auto       torchvision's ImageNet weights, from torch hub's folder or the net
    none       no feature distance
    PATH       the run of a rotnet with --network resnet18, or a file with a ResNet-18's tensors

Its tensors are no part of the network that is trained, nor of its checkpoints.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer import backbones, blocks, weights
from trainer.errors import NoWeights

AUTO, NONE = "auto", "none"
NETWORK = "resnet18"
LAYERS = ("stem", "layer1", "layer2", "layer3", "layer4")
ELSE = (
    "or give --features PATH: the run of `farm submit train --model rotnet --network resnet18`, "
    "or a file of a ResNet-18; or --features none"
)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Whose features they are."""

    told: str
    """For people."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    tensors: Mapping[str, Tensor]
    """As torchvision names them, or trainer.blocks."""
    size: int = 0
    """Side in pixels of the pictures it learned from, to which larger ones are made; 0: any."""

    @property
    def sha256(self) -> str:
        """Of all tensors, in order of name."""
        whole = hashlib.sha256()
        for name in sorted(self.tensors):
            whole.update(name.encode() + self.tensors[name].contiguous().numpy().tobytes())
        return whole.hexdigest()


def source(wanted: str) -> Source | None:
    """The features that --features stands for; None for "none".

    Raises ValueError, with what to do, for those that are not there.
    """
    if wanted == NONE:
        return None
    if wanted == AUTO:
        try:
            found = weights.imagenet(NETWORK)
        except NoWeights as error:
            raise ValueError(
                f"no ImageNet weights of {NETWORK}: put {error.file} into {error.folder}; {ELSE}"
            ) from None
        return Source(
            told=f"ImageNet's {NETWORK}",
            mean=backbones.MEAN,
            std=backbones.STD,
            tensors=found,
        )
    path = Path(wanted)
    if path.is_dir():
        return _of_run(path)
    if not path.is_file():
        raise ValueError(f"--features {wanted}: no such run or file; auto and none are others")
    return Source(
        told=f"the file {path.name}",
        mean=backbones.MEAN,
        std=backbones.STD,
        tensors=weights.read(path),
    )


def told(of: Source | None) -> dict[str, str]:
    """Which features they are, for a report."""
    if of is None:
        return {"of": "none: no feature distance"}
    return {"of": of.told, "sha256": of.sha256[:16]}


def _of_run(folder: Path) -> Source:
    from trainer.run import Run

    try:
        run = Run(folder)
        checkpoint = run.checkpoint("best")
    except FileNotFoundError as error:
        raise ValueError(f"--features {folder}: {error}") from None
    network = getattr(run.config, "network", "another network")
    if run.job.model != "rotnet" or network != NETWORK:
        raise ValueError(
            f"--features {folder}: it is a run of {run.job.model} with {network}; "
            f"one of rotnet with --network {NETWORK} is wanted"
        )
    return Source(
        told=f"{NETWORK} of the rotnet run {folder.name}, step {checkpoint.step:,}",
        mean=run.config.mean,
        std=run.config.std,
        tensors=checkpoint.tensors(),
        size=run.config.size,
    )


class Features(nn.Module):
    """[B, 3, H, W] in [-1, 1] to [B, 512, H/32, W/32]; frozen, its batch norms use what they
    learned. Gradients go to the pictures.

    Raises ValueError for tensors of another network.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, of: Source):
        super().__init__()
        named = {_name(name): tensor for name, tensor in of.tensors.items()}
        self.size = of.size
        first = named.get("stem.0.weight")
        if first is None or first.ndim != 4:
            raise ValueError(f"{of.told} has no first convolution; a ResNet-18 is wanted")
        size = 224 if first.shape[-1] == 7 else 64
        with torch.random.fork_rng(devices=[]):  # its own first weights are for nobody
            network = blocks.resnet(NETWORK, 1, size=size)
        self.layers = nn.Sequential(*(network.blocks[name] for name in LAYERS))
        for name in LAYERS:
            _fill(network.blocks[name], name, named, of.told)
        self.register_buffer("mean", torch.tensor(of.mean)[:, None, None])
        self.register_buffer("std", torch.tensor(of.std)[:, None, None])
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Features:
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        if self.size and images.shape[-1] > self.size:
            images = F.interpolate(images, (self.size, self.size), mode="area")
        seen = ((images + 1) / 2 - self.mean) / self.std
        seen = seen.contiguous(memory_format=torch.channels_last)
        maps: Tensor = self.layers(seen)
        return maps.float()  # from bf16, where that is what a run computes in


def _fill(layer: nn.Module, name: str, named: Mapping[str, Tensor], told: str) -> None:
    """Give a layer its tensors. Counters of batch norms, which some files lack, are not used."""
    for inner, own in layer.state_dict().items():
        if inner.endswith("num_batches_tracked"):
            continue
        theirs = named.get(f"{name}.{inner}")
        if theirs is None or theirs.shape != own.shape:
            what = "is not in it" if theirs is None else "has another shape"
            raise ValueError(f"{told} is no ResNet-18: {name}.{inner} {what}")
        own.copy_(theirs)


def _name(name: str) -> str:
    """A tensor's name, of torchvision or of a rotnet, as ours."""
    name = name.removeprefix("blocks.")
    for theirs, ours in (("conv1.", "stem.0."), ("bn1.", "stem.1.")):
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name
