"""What a reader of one format finds, in words that all formats share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST = float(np.finfo(np.float32).max)  # Blender keeps coordinates in single precision
# Above its square root an area overflows, and with it every normal.
UNUSUAL = 1e18
# A mesh this many times its size away from the origin has steps of more than 1/1000 of its size.
FAR = 2**24 / 1000

# Some 10 GB in Blender. A small glTF can name one mesh in many nodes.
MOST_TRIANGLES = 50_000_000


class Findings:
    """Counts, problems and warnings of one file, as a reader meets them."""

    def __init__(self) -> None:
        self.vertices = self.faces = self.triangles = 0
        self.problems: list[str] = []
        self.warnings: list[str] = []
        self.low = np.full(3, np.inf)
        self.high = np.full(3, -np.inf)
        self.instances = False
        """The low and high corners are those of parts that are placed elsewhere (glTF nodes)."""

    def problem(self, reason: str) -> None:
        if reason not in self.problems:
            self.problems.append(reason)

    def warn(self, reason: str) -> None:
        if reason not in self.warnings:
            self.warnings.append(reason)

    def take(self, part: Findings) -> None:
        """The problems, warnings and extent of a part; not its counts."""
        for reason in part.problems:
            self.problem(reason)
        for reason in part.warnings:
            self.warn(reason)
        self.low, self.high = np.minimum(self.low, part.low), np.maximum(self.high, part.high)

    def add_faces(self, corners: NDArray[Any]) -> None:
        """Polygons by their numbers of corners [faces]; those below three are no faces."""
        real = corners[corners >= 3]
        self.faces += len(real)
        self.triangles += int(real.sum()) - 2 * len(real)
        if len(real) < len(corners):
            self.warn("some faces have fewer than 3 corners and are left out")

    def add_points(self, points: NDArray[Any]) -> NDArray[np.int64]:
        """Coordinates [n, 3] of the next vertices; gives the indices of those that are no numbers.

        Infinite in single precision counts as no number.
        """
        with np.errstate(invalid="ignore"):
            good = (np.abs(points) <= LARGEST).all(axis=1)
        fine = points if good.all() else points[good]
        if len(fine):
            self.low = np.minimum(self.low, fine.min(axis=0))
            self.high = np.maximum(self.high, fine.max(axis=0))
        bad = np.flatnonzero(~good) + self.vertices
        self.vertices += len(points)
        return bad

    def check_indices(self, indices: NDArray[Any], bad: NDArray[np.int64]) -> None:
        """Vertex indices of faces, counted from 0, against all vertices; `bad` from add_points."""
        if not len(indices):
            return
        low, high = int(indices.min()), int(indices.max())
        if low < 0 or high >= self.vertices:
            worst = low if low < 0 else high
            self.problem(f"a face has vertex {worst} of {self.vertices} (counted from 0)")
        self.check_used(indices, bad)

    def check_used(self, indices: NDArray[Any], bad: NDArray[np.int64]) -> None:
        if len(bad):
            if np.isin(indices, bad).any():
                self.problem("coordinates of a face are NaN, infinite or no number")
            else:
                self.warn(
                    "coordinates of vertices that no face uses are NaN, infinite or no number"
                )

    def conclude(self) -> None:
        """What only the whole file can tell."""
        if self.problems:
            return
        if not self.faces:
            self.problem(f"no faces ({self.vertices} vertices)" if self.vertices else "no faces")
            return
        if not (self.low <= self.high).all():
            return  # nothing is known of its coordinates (compressed)
        if self.triangles > MOST_TRIANGLES:
            self.problem(f"{self.triangles} triangles; at most {MOST_TRIANGLES}")
            return
        extent, reach = (
            float((self.high - self.low).max()),
            float(np.abs((self.low, self.high)).max()),
        )
        if extent == 0 and not self.instances:
            self.problem("all its vertices lie in one point")
        elif reach > UNUSUAL:
            self.warn(f"coordinates up to {reach:.0e}")
        elif reach > FAR * extent and not self.instances:
            self.warn(
                f"lies {reach / extent:.0e} times its size from the origin:"
                " single precision is coarse there"
            )


def floats(tokens: Iterable[bytes]) -> NDArray[np.float64]:
    """Numbers [n] from words. Raises ValueError for a word that is none; `1_0` is none.

    About 80 ns a number; numpy's own text reader warns, and then stops, at a bad word.
    """
    return np.fromiter(map(float, tokens), np.float64)
