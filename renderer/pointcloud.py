"""Ground-truth point clouds: uniform by area on the surface of the normalized mesh."""

from __future__ import annotations

import numpy as np
import trimesh
from numpy.typing import NDArray

from renderer.errors import BadInput

Array = NDArray[np.float32]


def sample_surface(
    triangles: NDArray[np.float64], points: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Points and normals [points, 3] float32 on triangles [T, 3, 3], uniform by area.

    A normal is that of the point's face, by its winding in the file.
    Raises BadInput when no triangle has an area.
    """
    mesh = trimesh.Trimesh(
        vertices=triangles.reshape(-1, 3),
        faces=np.arange(3 * len(triangles)).reshape(-1, 3),
        process=False,
        validate=False,
    )
    cross = _cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    twice_area = np.sqrt(np.einsum("ij,ij->i", cross, cross))
    total = float(twice_area.sum())
    if not np.isfinite(total) or total <= 0:
        raise BadInput("its faces have no area")
    cloud, face = trimesh.sample.sample_surface(
        mesh, points, face_weight=twice_area / total, seed=rng
    )
    normals = cross[face] / twice_area[face][:, None]
    return np.asarray(cloud, np.float32), np.asarray(normals, np.float32)


def _cross(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N, 3] cross products; numpy's own takes four times as long."""
    (ax, ay, az), (bx, by, bz) = a.T, b.T
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=1)
