"""Whether a worker takes tasks now, and if not, why.

Another version than the controller's, `farm workers --drain` and a full disk let the task in hand
end. `farm workers --pause`, and whatever the worker yields to (farm.presence), ask for the
machine: the task ends within `finish_within_s`, or is handed back.
"""

from __future__ import annotations

import time

from farm.records import DRAIN, PAUSE, Orders

BY_HAND = {PAUSE: "paused by hand", DRAIN: "drained"}


class Gate:
    """Told by threads that listen and look; asked by the one that works."""

    def __init__(self, version: str, finish_within_s: float):
        self.version, self.finish_within_s = version, finish_within_s
        self.refused = ""
        """Why the controller gives it nothing."""
        self._orders = Orders()
        self._yields = ""
        self._lacks = ""
        self._wanted_at: float | None = None

    @property
    def paused(self) -> str:
        """Why it rests; "" when it does not."""
        return BY_HAND.get(self._orders.hold, self._yields or self._lacks)

    @property
    def closed(self) -> str:
        """Why it takes no task; "" when it does."""
        return self.refused or self.paused

    def order(self, orders: Orders) -> None:
        """What Redis says, at every heartbeat."""
        theirs = orders.version
        other = theirs and theirs != self.version
        self.refused = f"is {self.version}, the controller {theirs}" if other else ""
        self._orders = orders
        self._mind()

    def yield_to(self, reason: str) -> None:
        """Who or what has the machine now; "" when nobody does."""
        self._yields = reason
        self._mind()

    def lack(self, what: str) -> None:
        """What the machine has too little of for another task; "" when it has all."""
        self._lacks = what

    def must_drop(self, left_s: float | None) -> bool:
        """Whether the task in hand is to be handed back, which needs so many seconds more."""
        since = self._wanted_at
        if since is None:
            return False
        return left_s is None or time.monotonic() - since + left_s > self.finish_within_s

    def _mind(self) -> None:
        """Note when the machine was asked for."""
        wanted = self._orders.hold == PAUSE or bool(self._yields)
        if wanted and self._wanted_at is None:
            self._wanted_at = time.monotonic()
        elif not wanted:
            self._wanted_at = None
