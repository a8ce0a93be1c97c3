"""Vertex normals: smooth where a surface bends gently, sharp across its creases."""

from __future__ import annotations

import numpy as np

from renderer.shapes.rules.solid import Floats, Indices


def corner_normals(points: Floats, triangles: Indices, crease_deg: Floats) -> Floats:
    """The normal at each triangle's corner.

    points      [N, 3]
    triangles   [M, 3]
    crease_deg  [M]        a neighbour joins in where the two differ by less than this
    returns     [M, 3, 3]  unit

    A corner takes the sum, by area, of all triangles at its point that lie within the crease angle
    of its own. By area, so that a bevelled box keeps flat sides.
    """
    a, b, c = np.moveaxis(points[triangles], 1, 0)
    weighted = np.cross(b - a, c - a)  # [M, 3], twice the area long
    unit = weighted / np.linalg.norm(weighted, axis=1, keepdims=True)
    limit = np.cos(np.radians(crease_deg))

    # Every pair of corners at one point: [P] corner numbers each.
    at = triangles.ravel()
    order = np.argsort(at, kind="stable")
    count = np.bincount(at, minlength=len(points))
    start = np.cumsum(count) - count
    partners = count[at]  # [3M]
    mine = np.repeat(np.arange(len(at)), partners)
    turn = np.arange(len(mine)) - np.repeat(np.cumsum(partners) - partners, partners)
    theirs = order[start[at[mine]] + turn]

    near = np.einsum("ij,ij->i", unit[mine // 3], unit[theirs // 3]) >= limit[mine // 3]
    near |= mine == theirs
    total: Floats = np.stack(
        [
            np.bincount(mine[near], weighted[theirs[near] // 3, axis], minlength=len(at))
            for axis in range(3)
        ],
        axis=1,
    )
    total /= np.linalg.norm(total, axis=1, keepdims=True)
    return total.reshape(-1, 3, 3)
