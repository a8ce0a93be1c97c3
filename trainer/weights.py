"""What a network starts from: torchvision's weights, or a file.

A model that has a part with pretrained weights says so in its file:

    def backbone(config, network) -> (name, module)
        name    as torchvision knows it: "resnet18"; module: the part with its layer names

torchvision's files are looked for in torch hub's folder ($TORCH_HOME/hub/checkpoints), and loaded
into it.  They are pickles, as is every .pth file: these alone are read by torch's weights-only
reader, which makes tensors and plain containers and runs nothing.  Our own are safetensors.
"""

from __future__ import annotations

import logging
import urllib.error
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from trainer.errors import NoWeights

log = logging.getLogger(__name__)

NONE, IMAGENET = "none", "imagenet"


def fill(network: nn.Module, source: str, model: ModuleType, config: Any) -> list[str]:
    """Give a fresh network its first weights; the names of the tensors that were given.

    source  "none", "imagenet", or a file of the whole network's tensors or of its backbone's.
            Tensors that fit by name and shape are taken: a last layer with another number of
            outputs keeps its own.

    Raises ValueError when nothing fits; NoWeights for a file that is not there and cannot be had.
    """
    if source == NONE:
        return []
    part = getattr(model, "backbone", None)
    name, module = part(config, network) if part else ("", network)
    if source == IMAGENET:
        if not name:
            raise ValueError(f"--weights imagenet: {model.__name__} has no part that they fit")
        found, targets = imagenet(name), [module]
    else:
        found, targets = read(Path(source)), [network, module]
    given = max((_fitting(target, found) for target in targets), key=len)
    if not given:
        raise ValueError(
            f"--weights {source}: none of its {len(found)} tensors fits "
            f"({_some(found)}; wanted are {_some(targets[0].state_dict())})"
        )
    target = next(t for t in targets if len(_fitting(t, found)) == len(given))
    target.load_state_dict(given, strict=False)
    log.info("weights %s: %d of %d tensors", source, len(given), len(target.state_dict()))
    return sorted(given)


def read(path: Path) -> Mapping[str, Tensor]:
    """Tensors by name, from a file of safetensors or a state_dict of torch's.

    Raises ValueError for anything else.
    """
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path} is not a file of safetensors: {error}") from None
    return _tensors(_weights_only(path), path)


def _weights_only(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # whatever is wrong with a pickle
        raise ValueError(
            f"{path} has more in it than tensors, or is no file of torch's "
            f"({str(error).splitlines()[0][:80]}); save its tensors as .safetensors"
        ) from None


def _tensors(value: Any, path: Path) -> Mapping[str, Tensor]:
    """The state_dict in it: itself, or what it calls state_dict or model."""
    for name in ("state_dict", "model"):
        if isinstance(value, Mapping) and isinstance(value.get(name), Mapping):
            value = value[name]
    if not isinstance(value, Mapping) or not all(isinstance(v, Tensor) for v in value.values()):
        raise ValueError(f"{path} holds no tensors by name; a state_dict is wanted")
    return value


def imagenet(name: str) -> Mapping[str, Tensor]:
    """torchvision's first ImageNet weights of an architecture: those that papers compare with."""
    import torchvision

    chosen = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
    file = Path(chosen.url).name
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    try:
        return _tensors(
            torch.hub.load_state_dict_from_url(
                chosen.url, progress=False, check_hash=True, weights_only=True, map_location="cpu"
            ),
            folder / file,
        )
    except (urllib.error.URLError, OSError):
        raise NoWeights(f"of {name} ({chosen.url})", file, str(folder)) from None


def _fitting(target: nn.Module, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    wanted = target.state_dict()
    return {
        name: tensor
        for name, tensor in found.items()
        if name in wanted and wanted[name].shape == tensor.shape
    }


def _some(names: Mapping[str, Any]) -> str:
    return ", ".join(list(names)[:3]) + (" ..." if len(names) > 3 else "")
