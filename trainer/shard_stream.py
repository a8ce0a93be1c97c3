"""A shard that is written while its samples are still being made.

A thread writes them in their order, as far as they have come, so that little is left to do when the
last one is made, and what makes them need not wait for the disk.  The shard appears, log and
side-car and all, only once `finish` says that it may.
"""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING

from renderer import shards, storage
from renderer.storage import Place
from trainer import output

if TYPE_CHECKING:
    from renderer.shards import Record

WAITING = 16
"""Samples that may wait for a slow disk before whoever makes them has to."""


class Abandoned(Exception):
    """The shard is not to be."""


class ShardStream:
    """A shard on its way to storage.

    keys    its samples, in their order
    staged  those of them that an earlier try has staged; the others are `put`

    Left by an exception, nothing of the shard appears.
    """

    def __init__(self, folder: Place, name: str, keys: Sequence[str], staged: set[str]):
        self._folder, self._name, self._keys, self._staged = folder, name, keys, staged
        self._failed: list[output.Failed] = []
        self._given_up: Sequence[output.Failed] = ()
        self._seconds = 0.0
        self._coming: queue.Queue[Record | output.Failed | Abandoned | None] = queue.Queue()
        self._early: dict[str, Record | None] = {}
        """What came before its turn"""
        left = storage.names(folder, f".{name}.tar.*.part")  # of a try that was killed
        storage.remove(*(folder / part for part in left))

    def __enter__(self) -> ShardStream:
        self._pool = ThreadPoolExecutor(1)
        self._future: Future[output.Shard] = self._pool.submit(self._write)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._coming.put(Abandoned())  # nobody reads it after the end
        with contextlib.suppress(Exception):
            self._future.result()
        self._pool.shutdown()

    def put(self, made: Record | output.Failed) -> None:
        """A sample, or why there is none. Raises what went wrong with writing."""
        while self._coming.qsize() >= WAITING and not self._future.done():
            with contextlib.suppress(TimeoutError):
                self._future.result(0.01)
        if self._future.done():
            self._future.result()
        self._coming.put(made)

    def finish(self, failed: Sequence[output.Failed], seconds: float) -> output.Shard:
        """Let the shard appear. failed: those that were given up before."""
        self._given_up, self._seconds = failed, seconds
        self._coming.put(None)
        return self._future.result()

    def _write(self) -> output.Shard:
        return output.write_records(
            self._folder, self._name, self._records(), self._failed, lambda: self._seconds
        )

    def _records(self) -> Iterator[Record]:
        waiting = output.staging(self._folder, self._name)
        for key in self._keys:
            record = shards.staged(waiting, key) if key in self._staged else self._next(key)
            if record is not None:
                yield record
        if self._get() is not None:
            raise TypeError(f"{self._name} was given more samples than it has keys")
        self._failed += self._given_up

    def _next(self, key: str) -> Record | None:
        """The sample of a key once it has come; None of one that failed."""
        while key not in self._early:
            came = self._get()
            if isinstance(came, output.Failed):
                self._failed.append(came)
                self._early[came.id] = None
            elif came is None:
                raise TypeError(f"{self._name} is finished without {key}")
            else:
                self._early[came.key] = came
        return self._early.pop(key)

    def _get(self) -> Record | output.Failed | None:
        coming = self._coming.get()
        if isinstance(coming, Abandoned):
            raise coming
        return coming
