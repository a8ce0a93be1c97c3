"""Candidates: the ways in which a shape may be turned so that its views stay those of the rig.

A rotation that takes the set of cameras onto itself only renumbers the views.  These rotations are
a group; RotationNet (Kanezaki et al. 2018) looks for the one in which a shape was shown.
They are found from where the cameras stand, so any order of the views will do.

R candidates, V views.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from renderer.camera import RIGS, rig_views

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]

UP = (0.0, 1.0, 0.0)
TURNED = ("circle", "orbit", "miro")
"""Rigs of upright shapes: candidates turn about the vertical only."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """The rotations of a rig; the first changes nothing."""

    table: Numbers
    """[R, V] the view that fills slot k of candidate r: rotation r takes camera k to this one"""
    rotations: Array
    """[R, 3, 3] world frame, about the origin"""

    @functools.cached_property
    def slots(self) -> Numbers:
        """[R, V] the slot that view i fills under candidate r: undoes `table`."""
        return np.argsort(self.table, axis=1)

    @functools.cached_property
    def apart_deg(self) -> Array:
        """[R, R] angle of the rotation from one candidate to another, 0 to 180."""
        traces = np.einsum("aij,bij->ab", self.rotations, self.rotations)
        return np.asarray(np.degrees(np.arccos(np.clip((traces - 1) / 2, -1, 1))))

    @functools.cached_property
    def near(self) -> NDArray[np.bool_]:
        """[R, R] whether two candidates are the same or one smallest step apart."""
        steps = self.apart_deg[0, 1:]
        return np.asarray(self.apart_deg <= min(steps, default=0.0) + 1e-3)


def turn(axis: ArrayLike, angle_deg: float) -> Array:
    """[3, 3] rotation about an axis [3] through the origin, anticlockwise seen from its tip."""
    x, y, z = np.asarray(axis, np.float64) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(angle_deg)
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def permutation(rotation: Array, positions: Array) -> Numbers | None:
    """[V] the camera that each camera is taken to; None where one is taken to no camera."""
    turned = positions @ rotation.T
    distances = np.linalg.norm(turned[:, None] - positions, axis=-1)
    taken = distances.argmin(axis=1)
    exact = distances.min(axis=1).max() < 1e-3 * np.linalg.norm(positions, axis=1).max()
    return taken if exact and len(set(taken.tolist())) == len(taken) else None


def about_up(positions: ArrayLike) -> Candidates:
    """The turns about the vertical of cameras on rings round it, by growing azimuth.

    positions  [V, 3] world frame, y up
    """
    positions = np.asarray(positions, np.float64)
    azimuths = np.degrees(np.arctan2(-positions[:, 2], positions[:, 0]))
    angles = (azimuths - azimuths[0]) % 360
    _, first = np.unique(np.round(angles, 6) % 360, return_index=True)
    found = []
    for angle in angles[first]:
        taken = permutation(turn(UP, angle), positions)
        if taken is not None:
            found.append((taken, turn(UP, angle)))
    return _candidates(found)


def dodecahedral(positions: ArrayLike) -> Candidates:
    """The 60 rotations of a dodecahedron with a camera at each vertex.

    First none, then 20 thirds of a turn about each vertex in order, then 15 half turns
    about edges, then 24 turns about faces by 72 and by 144 degrees.  With the vertices in the order
    of renderer.camera these numbers are those of the RotationNet authors' table as far as the
    test vectors tell: 3 (vertex), 21 and 27 (edges); nothing depends on them.

    positions  [20, 3] world frame
    Raises ValueError where they are not the vertices of a regular dodecahedron about the origin.
    """
    positions = np.asarray(positions, np.float64)
    apart = np.linalg.norm(positions[:, None] - positions, axis=-1)
    edge = apart[apart > 1e-6].min(initial=np.inf)
    beside = [np.flatnonzero(np.abs(row - edge) < 1e-3 * edge) for row in apart]
    rotations = [np.eye(3)]
    rotations += [turn(vertex, 120) for vertex in positions]
    middles = [positions[a] + positions[b] for a in range(len(beside)) for b in beside[a] if a < b]
    rotations += [turn(axis, 180) for axis in _distinct(middles, opposite=True)]
    corners = [
        np.cross(positions[b] - positions[a], positions[c] - positions[a])
        for a in range(len(beside))
        for b, c in itertools.combinations(beside[a], 2)
    ]
    # A corner's normal may point inwards; both faces of an axis are wanted, so take both.
    faces = _distinct([sign * normal for normal in corners for sign in (1, -1)])
    rotations += [turn(axis, angle) for axis in faces for angle in (72, 144)]
    found = [(permutation(rotation, positions), rotation) for rotation in rotations]
    if len(positions) != 20 or len(found) != 60 or any(taken is None for taken, _ in found):
        raise ValueError(f"these {len(positions)} cameras are not the vertices of a dodecahedron")
    return _candidates([(taken, rotation) for taken, rotation in found if taken is not None])


def rig_positions(cameras: str, views: int | None = None) -> Array:
    """[V, 3] where the cameras of a rig stand that is the same for every shape."""
    views = rig_views(cameras, views)
    chance = np.random.default_rng(0)  # these rigs ask nothing of it
    return np.stack([RIGS[cameras].place(view, views, chance).position for view in range(views)])


def rig_candidates(cameras: str, views: int | None = None) -> Candidates:
    """The candidates of a rig by name.

    Raises ValueError for a rig whose cameras no rotation takes onto each other.
    """
    if cameras == "dodecahedron":
        return dodecahedral(rig_positions(cameras, views))
    if cameras in TURNED:
        return about_up(rig_positions(cameras, views))
    raise ValueError(
        f"no rotation takes the cameras of {cameras or 'an unknown rig'} onto each other; "
        f"use --cameras {', '.join(TURNED)} or dodecahedron"
    )


def _candidates(found: list[tuple[Numbers, Array]]) -> Candidates:
    tables, rotations = zip(*found, strict=True)
    return Candidates(np.stack(tables).astype(np.int64), np.stack(rotations))


def _distinct(axes: list[Array], opposite: bool = False) -> list[Array]:
    """Unit axes in order of first appearance; `opposite`: an axis is also its reverse."""
    kept: list[Array] = []
    for axis in axes:
        unit = axis / np.linalg.norm(axis)
        likeness = [float(unit @ other) for other in kept]
        if all((abs(like) if opposite else like) < 1 - 1e-6 for like in likeness):
            kept.append(unit)
    return kept
