"""Examples to batches: in the order that seed and epoch give, from any step on.

Step s of a run is fully determined by the seed and s, whatever the number of loader processes, and
whatever was read before: a resumed run reads what the undisturbed one would have.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

if TYPE_CHECKING:
    from trainer.models import Examples

Batch = dict[str, Any]
Place = tuple[int, int]
"""Epoch and index of an example."""


class Loader:
    """The batches of a run.

    batch   examples in a step, over all processes of the run; a multiple of `world`
    seed    of the order and of each example's own chance
    workers loader processes; 0: this one reads
    rank    which process of the run this is, of `world`

    Raises ValueError for a batch that is larger than the set, or not divisible by `world`.
    """

    def __init__(
        self, examples: Examples, *, batch: int, seed: int, workers: int = 0, rank: int = 0,
        world: int = 1,
    ):  # fmt: skip
        if batch < 1 or batch % world:
            raise ValueError(f"--batch {batch} cannot be divided by {world} processes")
        if len(examples) < batch:
            raise ValueError(
                f"--batch {batch} is more than the {len(examples)} examples there are; "
                f"try --batch {max(world, len(examples) // world * world)}"
            )
        self.examples, self.batch, self.seed, self.workers = examples, batch, seed, workers
        self.rank, self.world = rank, world
        self.steps_per_epoch = len(examples) // batch
        """The incomplete last batch is dropped."""

    def batches(self, start: int = 0, stop: int | None = None) -> Iterator[Batch]:
        """The batches of steps start to stop - 1, or without end: tensors, and lists of strings."""
        return _load(self.examples, self._places(start, stop), self.seed, self.workers)

    def _places(self, start: int, stop: int | None) -> Iterator[list[Place]]:
        share = self.batch // self.world
        step = start
        while stop is None or step < stop:
            epoch, number = divmod(step, self.steps_per_epoch)
            first = number * self.batch + self.rank * share
            order = self._order(epoch)[first : first + share]
            yield [(epoch, int(index)) for index in order]
            step += 1

    @functools.cached_property
    def _order(self) -> Any:
        return functools.lru_cache(maxsize=1)(self._shuffled)

    def _shuffled(self, epoch: int) -> np.ndarray[Any, Any]:
        # A generator of its own: examples have the numbers below.
        count = len(self.examples)
        return np.random.default_rng([self.seed, epoch, count]).permutation(count)


def ordered(examples: Examples, *, batch: int, workers: int = 0, seed: int = 0) -> Iterator[Batch]:
    """Every example once, in order; the last batch may be shorter."""
    count = len(examples)
    places = (
        [(0, index) for index in range(first, min(first + batch, count))]
        for first in range(0, count, batch)
    )
    return _load(examples, places, seed, workers)


class _Drawn(Dataset[Batch]):
    """Examples by epoch and index, a whole batch at once."""

    def __init__(self, examples: Examples, seed: int):
        self.examples, self.seed = examples, seed

    def __getitem__(self, places: Sequence[Place]) -> Batch:
        return stack(
            [
                self.examples.get(index, np.random.default_rng([self.seed, epoch, index]))
                for epoch, index in places
            ]
        )


def _load(
    examples: Examples, places: Iterator[list[Place]], seed: int, workers: int
) -> Iterator[Batch]:
    drawn = _Drawn(examples, seed)
    if not workers:
        return (drawn[some] for some in places)
    return iter(
        DataLoader(
            drawn,
            batch_size=None,
            sampler=places,
            num_workers=workers,
            # Else it would draw from the global generator, which belongs to the model.
            generator=torch.Generator(),
        )
    )


def stack(examples: Sequence[Mapping[str, Any]]) -> Batch:
    """A batch of examples: tensors of arrays and numbers, lists of strings."""
    return {name: _stack(name, [one[name] for one in examples]) for name in examples[0]}


def _stack(name: str, values: list[Any]) -> Any:
    if isinstance(values[0], str):
        return values
    if isinstance(values[0], torch.Tensor):
        return torch.stack(values)
    try:
        return torch.from_numpy(np.stack(values))
    except (ValueError, TypeError) as error:
        raise type(error)(f"{name!r} of the examples does not stack: {error}") from error
