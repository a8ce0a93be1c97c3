"""Cameras: where they stand, what they see.

World: right-handed, y up.  Camera: OpenCV's, x right, y down, z forward.
Pixels: centres at half-integers, (0, 0) the top left corner of the image.
N points, V views.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

DISTANCE = 2.0
FOCAL_MM = 60.0
SENSOR_MM = 32.0


@dataclass(frozen=True, kw_only=True)
class Viewpoint:
    """Where a camera stands: it looks at the origin, upright."""

    azimuth_deg: float
    elevation_deg: float
    distance: float = DISTANCE

    @property
    def position(self) -> Array:
        """[3] distance * (cos e cos a, sin e, -cos e sin a)."""
        a, e = np.radians(self.azimuth_deg), np.radians(self.elevation_deg)
        return self.distance * np.array([np.cos(e) * np.cos(a), np.sin(e), -np.cos(e) * np.sin(a)])


def intrinsics(
    size: tuple[int, int], focal_mm: float = FOCAL_MM, sensor_mm: float = SENSOR_MM
) -> Array:
    """[3, 3] in pixels; the sensor's width spans the image's width.

    size  (width, height) in pixels
    """
    width, height = size
    focal = focal_mm / sensor_mm * width
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=np.float64)


def world_to_camera(viewpoint: Viewpoint) -> Array:
    """[4, 4] that takes world points to the camera's frame.

    Raises ValueError straight above or below the origin, where upright means nothing.
    """
    if abs(abs(viewpoint.elevation_deg) - 90) < 1e-6:
        raise ValueError(
            f"elevation {viewpoint.elevation_deg} has no upright camera; use less than 90 degrees"
        )
    position = viewpoint.position
    forward = -position / np.linalg.norm(position)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = -rotation @ position
    return matrix


def project(points: ArrayLike, matrix: ArrayLike, intrinsic: ArrayLike) -> tuple[Array, Array]:
    """Pixels [N, 2] and depths [N] (along the optical axis) of world points [N, 3].

    matrix     [4, 4] world to camera
    intrinsic  [3, 3] pixels
    A point with depth <= 0 is behind the camera; its pixel means nothing.
    """
    whole = np.asarray(intrinsic, np.float64) @ np.asarray(matrix, np.float64)[:3]
    # Coordinate by coordinate in memory: three times faster than point by point.
    x, y, depth = whole[:, :3] @ np.asarray(points, np.float64).T + whole[:, 3:]
    with np.errstate(divide="ignore", invalid="ignore"):
        pixels = np.stack([x / depth, y / depth])
    return pixels.T, depth


def unproject(
    pixels: ArrayLike, depth: ArrayLike, matrix: ArrayLike, intrinsic: ArrayLike
) -> Array:
    """World points [N, 3] of pixels [N, 2] at depths [N]: undoes `project`."""
    matrix, intrinsic = np.asarray(matrix, np.float64), np.asarray(intrinsic, np.float64)
    pixels, depth = np.asarray(pixels, np.float64), np.asarray(depth, np.float64)
    homogeneous = np.concatenate([pixels, np.ones((len(pixels), 1))], axis=1)
    camera = homogeneous @ np.linalg.inv(intrinsic).T * depth[:, None]
    return np.asarray((camera - matrix[:3, 3]) @ matrix[:3, :3])


def filter_width(size: int) -> float:
    """Width in pixels of the renderer's pixel filter: 1.5, less in images below 79 px.

    A shape of diagonal 1 at the usual distance comes as near to the border as 1.6 % of the image's
    size.  The filter of the outermost pixels reaches half its width past their centres, and must
    not reach the shape.
    """
    reach = np.tan(np.arcsin(0.5 / DISTANCE)) / (SENSOR_MM / 2 / FOCAL_MM)
    margin = float(1 - reach) * size / 2
    return min(1.5, max(0.01, 2 * (margin - 0.5)))


def viewpoint_of(direction: ArrayLike, distance: float = DISTANCE) -> Viewpoint:
    """The viewpoint on the ray from the origin along `direction` [3] (world, y up)."""
    x, y, z = np.asarray(direction, np.float64) / np.linalg.norm(direction)
    return Viewpoint(
        azimuth_deg=float(np.degrees(np.arctan2(-z, x)) % 360),
        elevation_deg=float(np.degrees(np.arcsin(np.clip(y, -1, 1)))),
        distance=distance,
    )


# --- rigs: how many cameras, and where -------------------------------------------------------


def _dpc(view: int, views: int, rng: np.random.Generator) -> Viewpoint:
    """Azimuth U[0, 360), elevation U[-20, 40] (Insafutdinov and Dosovitskiy 2018)."""
    azimuth, elevation = rng.uniform(0, 360), rng.uniform(-20, 40)
    return Viewpoint(azimuth_deg=float(azimuth), elevation_deg=float(elevation))


STREET_ELEVATION_DEG = (3.0, 9.0, 36.0)
"""Lowest, most frequent and highest of a photographer who stands on the ground."""


def _street(view: int, views: int, rng: np.random.Generator) -> Viewpoint:
    """As photos of things on the ground are taken: any azimuth, low elevations."""
    azimuth, elevation = rng.uniform(0, 360), rng.triangular(*STREET_ELEVATION_DEG)
    return Viewpoint(azimuth_deg=float(azimuth), elevation_deg=float(elevation))


def _circle(view: int, views: int, rng: np.random.Generator) -> Viewpoint:
    """Every 30 degrees at 30 degrees elevation (Su et al. 2015; case i of RotationNet)."""
    return Viewpoint(azimuth_deg=30.0 * view, elevation_deg=30.0)


def _orbit(view: int, views: int, rng: np.random.Generator) -> Viewpoint:
    """Evenly round the shape at 20 degrees elevation: for films and turntables."""
    return Viewpoint(azimuth_deg=360.0 * view / views, elevation_deg=20.0)


def dodecahedron_vertices() -> Array:
    """[20, 3] of length sqrt(3), z up, in the order of RotationNet's candidate table.

    Source: Kanezaki et al. 2018, case ii; the order is that of the authors' generator script.
    """
    phi = (1 + 5**0.5) / 2
    a, b = 1 / phi, phi
    cube = [(x, y, z) for x in (1, -1) for y in (1, -1) for z in (1, -1)]
    signs = [(1, 1), (1, -1), (-1, 1), (-1, -1)]
    yz = [(0, s * a, t * b) for s, t in signs]
    xz = [(s * b, 0, t * a) for s, t in signs]
    xy = [(s * a, t * b, 0) for s, t in [(1, 1), (-1, 1), (1, -1), (-1, -1)]]
    return np.array([*cube, *yz, *xz, *xy], dtype=np.float64)


def _dodecahedron(view: int, views: int, rng: np.random.Generator) -> Viewpoint:
    """The 20 vertices of a dodecahedron (case ii of RotationNet)."""
    x, y, z = dodecahedron_vertices()[view]
    return viewpoint_of((x, z, -y))  # z up to y up


MIRO_ELEVATIONS = 10
MIRO_AZIMUTHS = 16


def _miro(view: int, views: int, rng: np.random.Generator) -> Viewpoint:
    """10 elevations x 16 azimuths, index = elevation * 16 + azimuth (case iii of RotationNet).

    The elevations of the MIRO photographs are not published as figures; ours are every 15 degrees
    from -67.5 to 67.5.
    """
    elevation, azimuth = divmod(view, MIRO_AZIMUTHS)
    return Viewpoint(
        azimuth_deg=360.0 / MIRO_AZIMUTHS * azimuth, elevation_deg=-67.5 + 15.0 * elevation
    )


def _hammersley(view: int, views: int, rng: np.random.Generator) -> Viewpoint:
    """Point `view` of the Hammersley set on the whole sphere (van der Corput in base 2)."""
    inverse, fraction, index = 0.0, 0.5, view
    while index:
        inverse += fraction * (index & 1)
        index, fraction = index >> 1, fraction / 2
    height = 1 - (2 * view + 1) / views
    return Viewpoint(
        azimuth_deg=360.0 * inverse, elevation_deg=float(np.degrees(np.arcsin(height)))
    )


@dataclass(frozen=True)
class Rig:
    """Where the cameras of one shape stand."""

    place: Callable[[int, int, np.random.Generator], Viewpoint]
    """(view, views, generator of this shape and view) -> viewpoint"""
    count: int | None = None
    """Number of views where it is fixed."""
    nested: bool = False
    """Whether the first views stay the same when there are more: what lets a dataset grow."""


RIGS: Mapping[str, Rig] = {
    "dpc": Rig(_dpc, nested=True),
    "circle": Rig(_circle, count=12, nested=True),
    "dodecahedron": Rig(_dodecahedron, count=20, nested=True),
    "miro": Rig(_miro, count=MIRO_ELEVATIONS * MIRO_AZIMUTHS, nested=True),
    "hammersley": Rig(_hammersley),
    "orbit": Rig(_orbit),
    "street": Rig(_street, nested=True),
}
DEFAULT_VIEWS = 5


def rig_views(cameras: str, views: int | None) -> int:
    """How many views a rig makes.

    Raises ValueError for an unknown rig, a number below 1, or one that contradicts a fixed rig.
    """
    if cameras not in RIGS:
        raise ValueError(f"no camera rig {cameras!r}; there are {', '.join(RIGS)}")
    fixed = RIGS[cameras].count
    if views is not None and not 1 <= views <= 1000:
        raise ValueError(f"--views {views}: from 1 to 1000 views can be rendered")
    if fixed is not None and views not in (None, fixed):
        raise ValueError(
            f"--views {views} contradicts --cameras {cameras}, which has {fixed}; leave --views out"
        )
    return fixed or views or DEFAULT_VIEWS
