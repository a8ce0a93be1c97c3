"""Waiting for what another process does."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait(condition: Callable[[], object], timeout_s: float = 20) -> None:
    """Until it holds. Errors of the condition count as not yet."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            if condition():
                return
        except Exception:
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
