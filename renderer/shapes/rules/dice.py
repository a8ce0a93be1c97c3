"""Chance, the same on every machine: one generator per shape and purpose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from renderer.shapes.rules.solid import Floats

T = TypeVar("T")


class Dice:
    """Draws from `default_rng([category, index, stream])`, by its plain `random()` alone.

    numpy promises no stream between versions for what is built on that (integers, choices).
    """

    def __init__(self, category: int, index: int, stream: int):
        self.index = index
        self._generator = np.random.default_rng([category, index, stream])

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * float(self._generator.random())

    def chance(self, share: float) -> bool:
        return float(self._generator.random()) < share

    def whole(self, low: int, high: int) -> int:
        """A whole number, both ends among them."""
        return low + int(float(self._generator.random()) * (high + 1 - low))

    def pick(self, options: Sequence[T]) -> T:
        return options[self.whole(0, len(options) - 1)]

    def turn(self, options: Sequence[T]) -> T:
        """One after the other by the shape's index, so that a few shapes show every kind."""
        return options[self.index % len(options)]

    def noise(self, *shape: int) -> Floats:
        """Numbers in [0, 1)."""
        return self._generator.random(shape)
