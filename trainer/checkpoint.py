"""Checkpoints: tensors as safetensors, everything else as JSON. Nothing is ever unpickled.

    checkpoints/
      00000200/network.safetensors      the network's state_dict, without any wrapping
               optimizer.safetensors    "3.exp_avg": state of the optimizer's parameter 3
               state.json               step, parameter groups, numbers, best metric, seconds
      best.json                         which step was best on the validation split

A step is a function of the seed and its number alone (trainer.chance), and the schedule and the
place in the data are functions of the step: so generators, schedule and loader have no state that
would have to be kept.  A checkpoint is there whole or not at all: its folder is renamed.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer import atomic

if TYPE_CHECKING:  # whoever only looks what there is needs no torch
    from torch import Tensor, nn
    from torch.optim import Optimizer

VERSION = 1
KEEP = 3
SHOWN_S = 90.0  # NFS shows what another machine wrote a minute late, at most
NETWORK, OPTIMIZER, STATE, BEST = (
    "network.safetensors",
    "optimizer.safetensors",
    "state.json",
    "best.json",
)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint on storage."""

    folder: Path

    @property
    def step(self) -> int:
        """Steps that were done."""
        return int(self.folder.name)

    @property
    def state(self) -> dict[str, Any]:
        return atomic.read_json(self.folder / STATE, VERSION)

    def tensors(self) -> dict[str, Tensor]:
        """The network's state_dict, on the CPU."""
        from safetensors.torch import load_file

        return load_file(self.folder / NETWORK)

    def restore(self, network: nn.Module, optimizer: Optimizer | None = None) -> dict[str, Any]:
        """Put everything back where it was; what `save` was given as `state`."""
        network.load_state_dict(self.tensors())
        state = self.state
        if optimizer is not None:
            from safetensors.torch import load_file

            tensors = load_file(self.folder / OPTIMIZER)
            optimizer.load_state_dict(_unflatten(state["optimizer"], tensors))
        found: dict[str, Any] = state["state"]
        return found


def save(
    folder: Path,
    step: int,
    network: nn.Module,
    optimizer: Optimizer,
    state: Mapping[str, Any],
    *,
    best: int,
) -> Checkpoint:
    """Write a checkpoint, then forget old ones: the last three and the best are kept.

    folder  the run's checkpoints/
    state   whatever else is to be kept, as JSON
    best    step of the best one so far
    """
    from safetensors.torch import save_file

    checkpoint = at(folder, step)
    numbers, tensors = _flatten(optimizer)
    with atomic.whole_folder(checkpoint.folder) as temporary:
        save_file(_apart(network.state_dict()), temporary / NETWORK)
        save_file(tensors, temporary / OPTIMIZER)
        note = {"version": VERSION, "step": step, "state": dict(state), "optimizer": numbers}
        atomic.write_json(temporary / STATE, note)
    mark_best(folder, best)
    _prune(folder)
    return checkpoint


def at(folder: Path, step: int) -> Checkpoint:
    """The checkpoint of a step, whether it is there or not."""
    return Checkpoint(folder=folder / f"{step:08d}")


def mark_best(folder: Path, step: int) -> None:
    atomic.write_json(folder / BEST, {"version": VERSION, "step": step})


def find(folder: Path, which: str | int) -> Checkpoint:
    """The "best" or "last" checkpoint, or that of a step.

    Raises FileNotFoundError, with those there are.
    """
    steps = saved(folder)
    step: int | None = None
    if which == "last":
        step = steps[-1] if steps else None
    elif which == "best":
        step = _best(folder)
    elif str(which).isdecimal():
        step = int(which)
    if step not in steps:
        there = ", ".join(map(str, steps)) or "none yet"
        raise FileNotFoundError(
            f"no checkpoint {which} in {folder}; there are best, last and {there}"
            if steps
            else f"no checkpoint in {folder} yet"
        )
    return at(folder, step)


def last(folder: Path, tidy: bool) -> Checkpoint | None:
    """Where a run goes on from; None at its beginning.

    tidy  remove what was left half written
    """
    if tidy:
        atomic.remove_leftovers(folder)
    steps = saved(folder)
    return at(folder, steps[-1]) if steps else None


def shown(folder: Path, step: int) -> Checkpoint:
    """The checkpoint of a step that there is; waits until storage shows it here too.

    Raises FileNotFoundError when it does not.
    """
    deadline = time.monotonic() + SHOWN_S
    while step not in saved(folder):
        if time.monotonic() > deadline:
            raise FileNotFoundError(f"no checkpoint {step} in {folder}, which another machine sees")
        time.sleep(0.2)
    return at(folder, step)


def saved(folder: Path) -> list[int]:
    """The steps of the checkpoints there are, ascending."""
    return sorted(int(path.parent.name) for path in folder.glob(f"[0-9]*/{STATE}"))


def _best(folder: Path) -> int | None:
    try:
        return int(atomic.read_json(folder / BEST, VERSION)["step"])
    except FileNotFoundError:
        return None


def _prune(folder: Path) -> None:
    best = _best(folder)
    for step in saved(folder)[:-KEEP]:
        if step != best:
            shutil.rmtree(folder / f"{step:08d}", ignore_errors=True)


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors on the CPU that share no memory, which safetensors asks for."""
    return {
        name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()
    }


def _flatten(optimizer: Optimizer) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """An optimizer's state as JSON and tensors.

    Raises TypeError, naming it, for a state that is neither a number nor a tensor.
    """
    from torch import Tensor

    whole = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for parameter, state in whole["state"].items():
        for name, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"{parameter}.{name}"] = value
            elif value is None or isinstance(value, bool | int | float | str):
                numbers.setdefault(str(parameter), {})[name] = value
            else:
                raise TypeError(
                    f"{type(optimizer).__name__} keeps {name} as a {type(value).__name__}; "
                    "a checkpoint holds tensors and numbers"
                )
    groups = [
        {
            name: value.item() if isinstance(value, Tensor) else value
            for name, value in group.items()
        }
        for group in whole["param_groups"]
    ]
    return {"numbers": numbers, "groups": groups}, _apart(tensors)


def _unflatten(note: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    state: dict[int, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        parameter, _, name = key.partition(".")
        state.setdefault(int(parameter), {})[name] = tensor
    for parameter, values in note["numbers"].items():
        state.setdefault(int(parameter), {}).update(values)
    groups = [
        {
            name: tuple(value) if isinstance(value, list) and name != "params" else value
            for name, value in group.items()
        }
        for group in note["groups"]
    ]
    return {"state": state, "param_groups": groups}
