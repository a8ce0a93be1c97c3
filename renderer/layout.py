"""From a seed to a scene: a frozen description of everything random, which Blender only prints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from renderer.camera import RIGS, Viewpoint

# What a stream of random numbers is for. A number is never reused for something else.
CAMERAS, LIGHTS, POINTS, SAMPLING = 1, 2, 3, 4

AMBIENT = 0.35
"""Radiance of the world's even, white light."""


@dataclass(frozen=True, kw_only=True)
class Light:
    """A point light."""

    position: tuple[float, float, float]
    watts: float
    color: tuple[float, float, float]
    """Linear RGB."""


@dataclass(frozen=True, kw_only=True)
class ViewLayout:
    viewpoint: Viewpoint
    lights: tuple[Light, ...]
    sampling_seed: int
    """Of the path tracer."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The scene of one shape: one entry per view."""

    views: tuple[ViewLayout, ...]


def generator(seed: int, shape_sha256: str, stream: int, view: int = 0) -> np.random.Generator:
    """The generator of one shape, purpose and view; the order of work plays no part."""
    return np.random.default_rng([seed, int(shape_sha256, 16), stream, view])


def lay_out(*, seed: int, shape_sha256: str, cameras: str, views: int) -> Layout:
    """The scene of one shape.

    seed          the job's
    shape_sha256  hex
    cameras       a name in `renderer.camera.RIGS`
    """
    return Layout(
        views=tuple(
            ViewLayout(
                viewpoint=RIGS[cameras].place(
                    view, views, generator(seed, shape_sha256, CAMERAS, view)
                ),
                lights=_lights(generator(seed, shape_sha256, LIGHTS, view)),
                sampling_seed=int(generator(seed, shape_sha256, SAMPLING, view).integers(2**31)),
            )
            for view in range(views)
        )
    )


def _lights(rng: np.random.Generator) -> tuple[Light, ...]:
    """Two to six point lights, anywhere above -10 degrees, at distances 1.5 to 3.

    Together 120 to 240 W, unevenly shared, slightly warm or cold: a white matte surface facing
    one such light from 2 units away has radiance watts / (4 pi^2 2^2), so exposure stays near 1.
    """
    count = int(rng.integers(2, 7))
    shares = rng.dirichlet(np.full(count, 2.0)) * rng.uniform(120, 240)
    lights = []
    for watts in shares:
        azimuth = rng.uniform(0, 2 * np.pi)
        height = rng.uniform(np.sin(np.radians(-10)), 1)
        radius = rng.uniform(1.5, 3)
        level = np.sqrt(1 - height**2)
        warmth = rng.uniform(-1, 1)
        lights.append(
            Light(
                position=(
                    float(radius * level * np.cos(azimuth)),
                    float(radius * height),
                    float(radius * level * np.sin(azimuth)),
                ),
                watts=float(watts),
                color=(
                    float(1 + 0.12 * min(warmth, 0)),
                    float(1 - 0.04 * abs(warmth)),
                    float(1 - 0.12 * max(warmth, 0)),
                ),
            )
        )
    return tuple(lights)
