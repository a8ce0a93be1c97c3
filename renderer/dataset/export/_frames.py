"""From our frames to those of other programs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

TO_Z_UP: Array = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""Our world, y up, to one with z up (Blender's, nerfstudio's): (x, y, z) -> (x, -z, y)."""

FROM_OPENGL: Array = np.diag([1.0, -1.0, -1.0, 1.0])
"""A camera's axes: OpenGL's (y up, looking along -z) to OpenCV's (y down, looking along z)."""


def homogeneous(rotation: Array) -> Array:
    """[4, 4] of [3, 3]."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    return matrix
