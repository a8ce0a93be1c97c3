"""From a seed and a number to the scene of a photo-like picture: a frozen description.

Ground, sky, sun, paint, things that stand about, camera, lens and sensor are all drawn here, and
nothing else about a picture is random.  World: y up, the shape centred, its diagonal 1, so a car's
metre is about 0.22.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from renderer.camera import (
    SENSOR_MM,
    STREET_ELEVATION_DEG,
    Viewpoint,
    intrinsics,
    project,
    world_to_camera,
)

Array = NDArray[np.float64]
Color = tuple[float, float, float]
"""Linear RGB."""

# What a stream of random numbers is for; 1 to 4 are renderer.layout's.
SCENE, SENSOR = 5, 6

NEAREST, FARTHEST = 0.8, 20.0  # of a camera; a diagonal is 1
GROUNDS = ("asphalt", "concrete", "gravel", "grass", "sand", "paving")
PAINTS: tuple[tuple[float, Color], ...] = (  # shares of new cars' colours, roughly
    (0.22, (0.80, 0.80, 0.78)), (0.17, (0.02, 0.02, 0.022)), (0.15, (0.20, 0.21, 0.22)),
    (0.12, (0.55, 0.56, 0.58)), (0.13, (0.02, 0.07, 0.28)), (0.11, (0.45, 0.015, 0.015)),
)  # fmt: skip
"""Share and colour; the rest have any hue."""


@dataclass(frozen=True, kw_only=True)
class Paint:
    """Of the shape's largest material."""

    color: Color
    metallic: float
    roughness: float


@dataclass(frozen=True, kw_only=True)
class Ground:
    kind: str
    light: Color
    dark: Color
    scale: float
    """Of its grain: the larger, the finer."""
    roughness: float


@dataclass(frozen=True, kw_only=True)
class Sky:
    zenith: Color
    horizon: Color
    clouds: float
    """0: none, 1: all covered."""
    drift: float
    """Where the clouds are."""
    sun_azimuth_deg: float
    sun_elevation_deg: float
    sun_strength: float
    """W/m^2 facing it; an overcast sky has next to none."""
    sun_angle_deg: float
    """Its width: how soft shadows are."""
    sun_color: Color


@dataclass(frozen=True, kw_only=True)
class Prop:
    """Something that stands on the ground."""

    kind: Literal["box", "cylinder", "cone", "ball", "tree", "building"]
    place: tuple[float, float]
    """x, z of its middle."""
    size: tuple[float, float, float]
    """Width, height, depth."""
    turn_deg: float
    color: Color


@dataclass(frozen=True, kw_only=True)
class Camera:
    azimuth_deg: float
    elevation_deg: float
    roll_deg: float
    focal_mm: float
    """On a sensor of 32 mm."""
    fill: float
    """Share of the picture's side that the shape's longer side takes."""
    offset: tuple[float, float]
    """Of the shape's middle, in shares of the free room: -1 and 1 touch the border."""


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """What lens and sensor do to the light: see renderer.darkroom."""

    exposure_ev: float
    warmth: float
    """White balance: above 0 too warm."""
    tint: float
    """Above 0 towards magenta."""
    blur_px: float
    vignette: float
    aberration: float
    """Red is so much larger than green, blue so much smaller."""
    noise: float
    """Of a pixel that is half lit."""
    contrast: float


@dataclass(frozen=True, kw_only=True)
class PhotoScene:
    paint: Paint
    ground: Ground
    sky: Sky
    props: tuple[Prop, ...]
    camera: Camera
    sensor: Sensor
    sampling_seed: int


def generator(seed: int, number: int, stream: int) -> np.random.Generator:
    """The generator of one picture and purpose; the order of work plays no part."""
    return np.random.default_rng([seed, number, stream])


def draw_scene(seed: int, number: int) -> PhotoScene:
    """The scene of picture `number`."""
    rng = generator(seed, number, SCENE)
    camera = _camera(rng)
    return PhotoScene(
        paint=_paint(rng),
        ground=_ground(rng),
        sky=_sky(rng),
        camera=camera,
        props=_props(rng, camera),
        sensor=_sensor(rng),
        sampling_seed=int(rng.integers(2**31)),
    )


def frame(vertices: Array, camera: Camera, size: int) -> tuple[Array, Array]:
    """World to camera [4, 4] and intrinsics [3, 3] that show vertices [V, 3] as the camera wants.

    The distance follows from how much of the picture the shape is to fill, but is never below
    NEAREST: closer, a wide lens shows more of its own perspective than of the shape.
    """
    intrinsic = intrinsics((size, size), camera.focal_mm, SENSOR_MM)

    def excess(distance: float) -> float:  # grows with the distance, nearly along a line
        low, high = _box(vertices, _aimed(vertices, camera, distance, intrinsic, size), intrinsic)
        return size / float((high - low).max()) - 1 / camera.fill

    distance = NEAREST
    if excess(NEAREST) < 0:
        distance = float(brentq(excess, NEAREST, FARTHEST, xtol=1e-4))
    return _aimed(vertices, camera, distance, intrinsic, size), intrinsic


def _aimed(vertices: Array, camera: Camera, distance: float, intrinsic: Array, size: int) -> Array:
    """World to camera [4, 4] from a distance, turned until the shape lies where it was drawn."""
    matrix = _seen_from(camera, distance)
    for _ in range(3):  # a turn changes the perspective a little, and so where the middle is
        low, high = _box(vertices, matrix, intrinsic)
        free = np.maximum(0.0, size - (high - low)) / 2
        shift = (low + high) / 2 - (size / 2 + np.array(camera.offset) * free)
        matrix = _turned(*np.arctan(shift / intrinsic[0, 0])) @ matrix
    return matrix


def _seen_from(camera: Camera, distance: float) -> Array:
    place = Viewpoint(
        azimuth_deg=camera.azimuth_deg, elevation_deg=camera.elevation_deg, distance=distance
    )
    roll = np.radians(camera.roll_deg)
    rolled = np.eye(4)
    rolled[:2, :2] = [[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]]
    return np.asarray(rolled @ world_to_camera(place))


def _turned(right: float, down: float) -> Array:
    """[4, 4] a camera turned by so much to the right and down."""
    yaw, pitch = np.eye(4), np.eye(4)
    yaw[np.ix_([0, 2], [0, 2])] = [[np.cos(right), -np.sin(right)], [np.sin(right), np.cos(right)]]
    pitch[1:3, 1:3] = [[np.cos(down), -np.sin(down)], [np.sin(down), np.cos(down)]]
    return np.asarray(pitch @ yaw)


def _box(vertices: Array, matrix: Array, intrinsic: Array) -> tuple[Array, Array]:
    pixels, _ = project(vertices, matrix, intrinsic)
    return pixels.min(axis=0), pixels.max(axis=0)


# --- what is drawn -------------------------------------------------------------------------------


def _paint(rng: np.random.Generator) -> Paint:
    shares = [share for share, _ in PAINTS]
    which = int(rng.choice(len(PAINTS) + 1, p=[*shares, 1 - sum(shares)]))
    if which < len(PAINTS):
        color = tuple(float(c) for c in np.array(PAINTS[which][1]) * rng.uniform(0.7, 1.2))
    else:
        color = _hue(rng.uniform(), rng.uniform(0.5, 0.95), rng.uniform(0.15, 0.7))
    shiny = rng.uniform() < 0.6
    return Paint(
        color=color,  # type: ignore[arg-type]
        metallic=float(rng.uniform(0.3, 0.8)) if shiny else 0.0,
        roughness=float(rng.uniform(0.15, 0.4)),
    )


def _ground(rng: np.random.Generator) -> Ground:
    kind = str(rng.choice(GROUNDS, p=[0.38, 0.18, 0.12, 0.12, 0.06, 0.14]))
    middle: dict[str, Color] = {
        "asphalt": (0.075, 0.076, 0.08), "concrete": (0.34, 0.33, 0.31),
        "gravel": (0.25, 0.23, 0.2), "grass": (0.07, 0.13, 0.03), "sand": (0.45, 0.36, 0.24),
        "paving": (0.3, 0.26, 0.23),
    }  # fmt: skip
    base = np.array(middle[kind]) * rng.uniform(0.6, 1.5) * rng.uniform(0.92, 1.08, 3)
    spread = rng.uniform(1.25, 1.7)
    return Ground(
        kind=kind,
        light=tuple((base * spread).tolist()),
        dark=tuple((base / spread).tolist()),
        scale=float(rng.uniform(25, 60)) if kind == "grass" else float(rng.uniform(12, 45)),
        roughness=float(rng.uniform(0.55, 0.95)),
    )


def _sky(rng: np.random.Generator) -> Sky:
    clouds = float(rng.choice([rng.uniform(0, 0.3), rng.uniform(0.3, 0.7), rng.uniform(0.85, 1)]))
    high = float(rng.uniform(12, 65))
    low = np.clip((30 - high) / 20, 0, 1)  # a low sun is warm and weak
    clear = (1 - clouds) ** 1.5
    blue, grey = np.array([0.16, 0.32, 0.72]), np.array([0.62, 0.65, 0.7])
    haze, warm = np.array([0.62, 0.74, 0.9]), np.array([0.95, 0.78, 0.58])
    cover = min(1.0, clouds * 1.1)
    zenith = blue * (1 - cover) + grey * cover
    horizon = (haze * (1 - low * 0.6) + warm * low * 0.6) * (1 - cover) + grey * 1.1 * cover
    bright = rng.uniform(0.75, 1.15)
    return Sky(
        zenith=tuple((zenith * bright).tolist()),
        horizon=tuple((horizon * bright).tolist()),
        clouds=clouds,
        drift=float(rng.uniform(0, 100)),
        sun_azimuth_deg=float(rng.uniform(0, 360)),
        sun_elevation_deg=high,
        sun_strength=float(rng.uniform(6, 11) * clear * (1 - 0.35 * low)),
        sun_angle_deg=float(0.6 + 8 * clouds),
        sun_color=(1.0, float(0.95 - 0.15 * low), float(0.87 - 0.35 * low)),
    )


def _camera(rng: np.random.Generator) -> Camera:
    x, y = rng.uniform(-0.9, 0.9), rng.uniform(-0.6, 0.9)
    if rng.uniform() < 0.06:  # cut by the border, as photos are
        x = float(np.sign(x)) * rng.uniform(1.2, 1.9)
    return Camera(
        azimuth_deg=float(rng.uniform(0, 360)),
        elevation_deg=float(rng.triangular(*STREET_ELEVATION_DEG)),
        roll_deg=float(rng.normal(0, 1.6)),
        focal_mm=float(np.exp(rng.uniform(np.log(24), np.log(90)))),
        fill=float(rng.uniform(0.55, 0.95)),
        offset=(float(x), float(y)),
    )


def _props(rng: np.random.Generator, camera: Camera) -> tuple[Prop, ...]:
    """Small things near the shape, trees and buildings behind it."""
    away = np.radians(camera.azimuth_deg + 180)  # of what stands behind, seen from the camera
    found = []
    for _ in range(int(rng.integers(0, 7))):
        kind = str(rng.choice(["box", "cylinder", "cone", "ball"], p=[0.4, 0.3, 0.2, 0.1]))
        angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.75, 2.2)
        if abs((angle - away + 3 * np.pi) % (2 * np.pi) - np.pi) > 2.2:
            far = rng.uniform(1.6, 2.4)  # towards the camera: farther, so that little is hidden
        post = kind == "cylinder" and rng.uniform() < 0.6
        wide = rng.uniform(0.015, 0.035) if post else rng.uniform(0.06, 0.22)
        high = rng.uniform(0.25, 0.9) if post else rng.uniform(0.08, 0.28)
        if abs((angle - away + 3 * np.pi) % (2 * np.pi) - np.pi) > 2.2:
            high = min(high, 0.14)
        deep = wide * (rng.uniform(0.6, 1.8) if kind == "box" else 1.0)
        bright = 0.05 + 0.7 * rng.uniform() ** 2
        color = _hue(rng.uniform(), 0.85 * rng.uniform() ** 1.2, bright)
        found.append(_prop(rng, kind, angle, far, (wide, high, deep), color))
    for _ in range(int(rng.integers(0, 8))):
        angle, far = away + rng.normal(0, 0.55), rng.uniform(2.2, 7.5)
        high = rng.uniform(0.7, 2.2)
        color = _hue(rng.uniform(0.17, 0.36), rng.uniform(0.45, 0.8), rng.uniform(0.05, 0.2))
        found.append(_prop(rng, "tree", angle, far, (high * 0.55, high, high * 0.55), color))
    for _ in range(int(rng.integers(0, 5))):
        angle, far = away + rng.normal(0, 0.6), rng.uniform(3.5, 9)
        size = (rng.uniform(1.2, 4), rng.uniform(0.8, 3), rng.uniform(1, 2.5))
        color = _hue(rng.uniform(0.02, 0.14), 0.5 * rng.uniform(), rng.uniform(0.15, 0.6))
        found.append(_prop(rng, "building", angle, far, size, color))
    return tuple(found)


def _prop(
    rng: np.random.Generator, kind: str, angle: float, far: float,
    size: tuple[float, float, float], color: Color,
) -> Prop:  # fmt: skip
    return Prop(
        kind=kind,  # type: ignore[arg-type]
        place=(float(far * np.cos(angle)), float(-far * np.sin(angle))),
        size=tuple(float(s) for s in size),  # type: ignore[arg-type]
        turn_deg=float(rng.uniform(0, 360)),
        color=color,
    )


def _sensor(rng: np.random.Generator) -> Sensor:
    return Sensor(
        exposure_ev=float(rng.normal(0.0, 0.28)),
        warmth=float(rng.normal(0, 0.07)),
        tint=float(rng.normal(0, 0.02)),
        blur_px=float(rng.uniform(0.3, 0.85)),
        vignette=float(rng.uniform(0, 0.4)),
        aberration=float(rng.uniform(0, 0.0025)),
        noise=float(np.exp(rng.uniform(np.log(0.006), np.log(0.035)))),
        contrast=float(rng.uniform(0.85, 1.25)),
    )


def _hue(hue: float, saturation: float, value: float) -> Color:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return float(red), float(green), float(blue)
