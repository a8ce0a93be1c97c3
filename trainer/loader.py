"""Examples to batches: in the order that seed and epoch give, from any step on.

Step s of a run is fully determined by the seed and s, whatever the number of loader processes, and
whatever was read before: a resumed run reads what the undisturbed one would have.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import warnings
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from trainer.errors import DatasetRefused
from trainer.shelf import Batch, Shelf, stack

if TYPE_CHECKING:
    from trainer.models import Examples

Place = tuple[int, int]
"""Epoch and index of an example."""

AHEAD = 2
"""Batches that every loader process is ahead."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


class Loader:
    """The batches of a run.

    batch    examples in a step, over all processes of the run; a multiple of `world`
    seed     of the order, and of each example's own chance
    workers  loader processes; 0: this one reads
    rank     which process of the run this is, of `world`

    Raises ValueError for a batch that is larger than the set, or cannot be shared among `world`.
    """

    def __init__(
        self,
        examples: Examples,
        *,
        batch: int,
        seed: int,
        workers: int = 0,
        rank: int = 0,
        world: int = 1,
    ):
        if batch < 1 or batch % world:
            raise ValueError(
                f"--batch {batch} cannot be shared by {world} processes; "
                f"try --batch {-(-max(1, batch) // world) * world}"
            )
        if len(examples) < batch:
            raise ValueError(
                f"--batch {batch} is more than the {len(examples)} examples of the set; "
                f"try --batch {max(1, len(examples) // world) * world}"
            )
        self.examples, self.batch, self.seed, self.workers = examples, batch, seed, workers
        self.rank, self.world = rank, world
        self.steps_per_epoch = len(examples) // batch
        """The incomplete last batch is left out."""
        self._order = functools.lru_cache(maxsize=1)(
            functools.partial(_shuffled, len(examples), seed)
        )

    def batches(self, start: int = 0, stop: int | None = None) -> Iterator[Batch]:
        """The batches of the steps from start to before stop, or without end.

        Arrays and numbers of the examples become tensors [B, ...], strings become lists.
        """
        steps = itertools.count(start) if stop is None else range(start, stop)
        share = self.batch // self.world
        return _load(self.examples, map(self._places, steps), self.seed, self.workers, share)

    def _places(self, step: int) -> list[Place]:
        epoch, number = divmod(step, self.steps_per_epoch)
        share = self.batch // self.world
        first = number * self.batch + self.rank * share
        return [(epoch, int(index)) for index in self._order(epoch)[first : first + share]]


def ordered(examples: Examples, *, batch: int, workers: int = 0, seed: int = 0) -> Iterator[Batch]:
    """Every example once, in order; the last batch may be shorter."""
    count = len(examples)
    places = (
        [(0, index) for index in range(first, min(first + batch, count))]
        for first in range(0, count, batch)
    )
    # No more processes than there are batches.
    return _load(examples, places, seed, min(workers, -(-count // batch)), batch)


def _shuffled(count: int, seed: int, epoch: int) -> np.ndarray[Any, Any]:
    # The examples' own generators have the numbers below; without one it would be number 0's.
    return np.random.default_rng([seed, epoch, count]).permutation(count)


def _load(
    examples: Examples, places: Iterable[list[Place]], seed: int, workers: int, batch: int
) -> Iterator[Batch]:
    if workers:
        yield from _load_aside(examples, iter(places), seed, workers, batch)
    for some in places:
        yield stack(_draw(examples, seed, some))


def _draw(examples: Examples, seed: int, places: list[Place]) -> list[Any]:
    return [
        examples.get(index, np.random.default_rng([seed, epoch, index])) for epoch, index in places
    ]


def _load_aside(
    examples: Examples, places: Iterator[list[Place]], seed: int, workers: int, batch: int
) -> Iterator[Batch]:
    """The same by loader processes."""
    first = next(places, None)
    if first is None:
        return
    # Torch asks for a batch's places when it gives a process the task, which it does before it
    # hands out a finished batch: one more than are under way is never written while it is read.
    room = workers * AHEAD + 1
    shelf = Shelf(_draw(examples, seed, first[:1])[0], batch, room)
    with warnings.catch_warnings():
        # Python 3.12 and later warn of forks beside threads: the children use none of theirs.
        warnings.filterwarnings("ignore", ".*fork.*", DeprecationWarning)
        warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
        batches = iter(
            DataLoader(
                _Aside(examples, seed, shelf),
                batch_size=None,
                sampler=zip(itertools.cycle(range(room)), itertools.chain([first], places)),
                num_workers=workers,
                prefetch_factor=AHEAD,
                # The shelf is shared by fork, and a fresh process takes seconds to import torch.
                multiprocessing_context="fork",
                worker_init_fn=_begin,
                # Else it would draw from the global generator, which belongs to the model.
                generator=torch.Generator(),
            )
        )
    try:
        for place, found in batches:
            if isinstance(found, Exception):
                raise found
            yield shelf.take(place, found)
    finally:
        del batches  # ends the processes, even where a traceback keeps this frame


class _Aside(Dataset[Any]):
    """What a loader process does."""

    def __init__(self, examples: Examples, seed: int, shelf: Shelf):
        self.examples, self.seed, self.shelf = examples, seed, shelf

    def __getitem__(self, task: tuple[int, list[Place]]) -> tuple[int, Batch | Exception]:
        place, places = task
        try:
            return place, self.shelf.put(place, _draw(self.examples, self.seed, places))
        except (DatasetRefused, OSError) as error:
            return place, error  # torch would wrap it in a page of traceback


def _begin(number: int) -> None:
    """Settle a loader process."""
    cv2.setNumThreads(0)  # its threads are not there after a fork
    # Large arrays keep their memory from example to example, instead of getting cleared pages from
    # the system each time: twelve views of 128 px before a background take 2.0 ms, not 5.2.
    with contextlib.suppress(OSError, AttributeError):  # other systems than GNU's
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, 32 << 20)
        library.mallopt(_M_TRIM_THRESHOLD, 256 << 20)
