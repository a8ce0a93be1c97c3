"""A client of Redis to which one that has no room to write is one that is away: both come back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import redis
import redis.client

AWAY = (redis.ConnectionError, redis.TimeoutError)
"""What a Redis that does not answer, or cannot write, raises here."""
# What it answers when its disk or its memory is full; within a script, in the middle of a line.
FULL = ("MISCONF", "OOM command", "command not allowed when used memory")


@contextlib.contextmanager
def _away_when_full() -> Iterator[None]:
    try:
        yield
    except redis.ResponseError as error:
        if any(answer in str(error) for answer in FULL):
            raise redis.BusyLoadingError(str(error)) from error
        raise


class Client(redis.Redis):
    def execute_command(self, *args: Any, **options: Any) -> Any:
        with _away_when_full():
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Any:
        return Batch(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class Batch(redis.client.Pipeline):
    """Commands of a Client that go together."""

    def execute(self, raise_on_error: bool = True) -> Any:
        with _away_when_full():
            return super().execute(raise_on_error)
