"""How long whoever guesses a password must wait: longer with every failure, from one address and
from all of them together."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass

FREE = 5
"""Failures from one address that cost nothing: people mistype."""
FREE_OVERALL = 50
FIRST_S, LONGEST_S = 2.0, 900.0
LONGEST_OVERALL_S = 30.0
"""Short, so that somebody who guesses from many addresses does not lock everyone out."""
FORGOTTEN_S = 3600.0
MOST_ADDRESSES = 10_000


@dataclass(frozen=True)
class Count:
    """Failures of one address, or of all."""

    failures: int = 0
    last: float = 0.0
    """When the last one was, on the clock that is handed in."""

    def more(self, now: float) -> Count:
        return Count(1 + (self.failures if now - self.last < FORGOTTEN_S else 0), now)

    def wait_s(self, now: float, free: int, longest_s: float) -> float:
        """Seconds from now until the next attempt is heard."""
        if self.failures < free:
            return 0.0
        delay_s = min(longest_s, FIRST_S * 2.0 ** min(30, self.failures - free))
        return max(0.0, self.last + delay_s - now)


class Attempts:
    """The failed ones of one process."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, Count] = OrderedDict()
        self._all = Count()

    def wait_s(self, address: str, now: float) -> float:
        """Seconds until an attempt from this address is heard; 0: at once."""
        own = self._of.get(_network(address), Count())
        return max(
            own.wait_s(now, FREE, LONGEST_S),
            self._all.wait_s(now, FREE_OVERALL, LONGEST_OVERALL_S),
        )

    def failed(self, address: str, now: float) -> None:
        name = _network(address)
        self._of[name] = self._of.pop(name, Count()).more(now)
        self._all = self._all.more(now)
        while len(self._of) > MOST_ADDRESSES:
            self._of.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Somebody knew the password: what he mistyped before is forgotten."""
        self._of.pop(_network(address), None)


def _network(address: str) -> str:
    """The address; of IPv6 its /64, for one machine has that many."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if found.version == 6:
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
