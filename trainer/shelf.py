"""How batches come from loader processes: through memory that both have, used over and over.

Torch sends each tensor in a new piece of shared memory, whose pages the system must clear and map
in both processes: 140 us for 64 kB, twenty times what copying takes.  (It also needs room in
/dev/shm, of which a container has 64 MB.)
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

Batch = dict[str, Any]

_LINE = 64
"""Bytes: every array begins at a multiple."""


@dataclass(frozen=True)
class OnShelf:
    """An array of a batch that lies on the shelf: so many examples."""

    count: int


class Shelf:
    """Room for `places` batches; to be made before the processes are forked that fill it.

    example  gives names, shapes and types of the arrays; what is otherwise goes by the usual way
    """

    def __init__(self, example: Mapping[str, Any], batch: int, places: int):
        arrays = {
            name: np.asarray(value) for name, value in example.items() if not isinstance(value, str)
        }
        shapes = {name: (batch, *array.shape) for name, array in arrays.items()}
        sizes = {
            name: -(-math.prod(shapes[name]) * array.itemsize // _LINE) * _LINE
            for name, array in arrays.items()
        }
        memory = mmap.mmap(-1, max(1, sum(sizes.values())) * places)
        self._arrays: list[dict[str, np.ndarray[Any, Any]]] = []
        offset = 0
        for _ in range(places):
            self._arrays.append({})
            for name, array in arrays.items():
                self._arrays[-1][name] = np.ndarray(shapes[name], array.dtype, memory, offset)
                offset += sizes[name]

    def put(self, place: int, examples: Sequence[Mapping[str, Any]]) -> Batch:
        """Lay examples down; what comes back is small and to be sent to who calls `take`."""
        arrays = self._arrays[place]
        return {
            name: self._lay(arrays.get(name), name, [one[name] for one in examples])
            for name in examples[0]
        }

    def take(self, place: int, batch: Batch) -> Batch:
        """The batch, in memory of its own."""
        arrays = self._arrays[place]
        return {
            name: torch.from_numpy(arrays[name][: value.count]).clone()
            if isinstance(value, OnShelf)
            else value
            for name, value in batch.items()
        }

    def _lay(self, room: np.ndarray[Any, Any] | None, name: str, values: list[Any]) -> Any:
        if room is None or len(values) > len(room):
            return stack_values(name, values)
        first = np.asarray(values[0])
        if first.dtype != room.dtype or first.shape != room.shape[1:]:
            return stack_values(name, values)
        try:
            np.stack(values, out=room[: len(values)], casting="equiv")
        except (TypeError, ValueError):
            return stack_values(name, values)  # it tells what is wrong
        return OnShelf(len(values))


def stack(examples: Sequence[Mapping[str, Any]]) -> Batch:
    """A batch of examples: tensors of arrays and numbers, lists of strings."""
    return {name: stack_values(name, [one[name] for one in examples]) for name in examples[0]}


def stack_values(name: str, values: list[Any]) -> Any:
    """Raises ValueError that names what does not stack."""
    if isinstance(values[0], str):
        return values
    try:
        first = np.asarray(values[0])
        # Row by row in memory whatever the examples are: sums must not depend on it.
        whole = np.empty((len(values), *first.shape), np.result_type(*map(np.asarray, values)))
        return torch.from_numpy(np.stack(values, out=whole))
    except (ValueError, TypeError) as error:
        shapes = sorted({str(np.shape(value)) for value in values})
        raise ValueError(
            f"{name!r} of the examples does not stack ({', '.join(shapes)}): {error}"
        ) from error
