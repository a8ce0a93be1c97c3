"""Which workers of a farm get on, as their heartbeats tell."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import redis

from farm.store import Store

Answer = TypeVar("Answer")


def ask(question: Callable[[], Answer]) -> Answer | None:
    """What Redis says; None while it is away."""
    try:
        return question()
    except redis.RedisError:
        return None


class Progress:
    """Of every worker since a moment: whether it has finished something that it had not then.

    Heartbeats come every two seconds. What the first one after the moment tells of may have been
    finished before it; only what a later one adds counts.
    """

    def __init__(self, store: Store):
        self.store = store
        self.begin()

    def begin(self) -> None:
        """The moment is now."""
        self.began = self.last = time.monotonic()
        """`last`: when somebody was last seen to have finished something."""
        self.moved: set[str] = set()
        self._first: dict[str, tuple[int, int]] = {}
        self._latest: dict[str, tuple[int, int]] = {}

    def look(self) -> None:
        """Take in what the heartbeats say; nothing while Redis is away."""
        for worker in ask(self.store.workers) or []:
            now = time.monotonic()
            if worker.age_s > now - self.began:
                continue
            told = worker.pid, sum(worker.made.values())
            if _more(told, self._first.setdefault(worker.name, told)):
                self.moved.add(worker.name)
            if _more(told, self._latest.get(worker.name, told)):
                self.last = now
            self._latest[worker.name] = told


def _more(told: tuple[int, int], before: tuple[int, int]) -> bool:
    """Whether a process id and its count say more than another, also of one that died."""
    return told[1] > (before[1] if told[0] == before[0] else 0)
