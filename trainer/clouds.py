"""Point clouds as pictures and films, by numpy and Pillow alone. World: y up. N points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from renderer.camera import FOCAL_MM, SENSOR_MM, Viewpoint, intrinsics, project, world_to_camera
from trainer import atomic

Array: TypeAlias = NDArray[Any]

DENSITY = 2
"""Pixels of a file for one of the page."""
FOCAL = FOCAL_MM / SENSOR_MM  # in widths of the picture
DEEP, DARKER = 0.06, 0.075  # a step of 0.06 of the world is as dark as any
BLUE = np.array([0x6F, 0x93, 0xD2])


def point_cloud(
    points: ArrayLike,
    colors: ArrayLike | None = None,
    *,
    size: int = 256,
    azimuth_deg: float = 50.0,
    elevation_deg: float = 20.0,
    distance: float = 2.0,
    camera: ArrayLike | None = None,
    radius: float | None = None,
) -> Array:
    """A picture of a cloud on transparent ground, uint8 [size, size, 4], straight alpha.

    points   [N, 3] world, y up; a shape of diagonal 1 about the origin fills the picture
    colors   [N, 3] uint8 or floats in [0, 1]; blue, lighter towards the top, without
    camera   [4, 4] world to camera, as a sample's JSON has it; else one from azimuth and elevation
    radius   of a point as a share of the picture; by their number without

    A pixel is darkened by how far it lies behind those around it (eye-dome lighting, Boucheny
    2009): that shows form and needs no normals.
    """
    where = np.asarray(points, float).reshape(-1, 3)
    if camera is None:
        place = Viewpoint(azimuth_deg=azimuth_deg, elevation_deg=elevation_deg, distance=distance)
        camera = world_to_camera(place)
    side = size * DENSITY  # halved at the end, for smooth edges
    pixels, depth = project(where, camera, intrinsics((side, side)))
    shades = _tints(where, colors)
    seen = np.isfinite(pixels).all(axis=1) & (depth > 0)
    pixels, depth, shades = pixels[seen], depth[seen], shades[seen]

    share = radius or float(np.clip(0.5 / math.sqrt(max(1, len(where))), 0.004, 0.02))
    reach = max(1, round(share * side))
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    ball = (reach + 0.3) ** 2 - dx**2 - dy**2  # a point is a ball: a disc whose middle is nearer
    disc = ball >= 0
    column = np.floor(pixels[:, :1]).astype(np.int64) + dx[disc]  # [N, pixels of a disc]
    row = np.floor(pixels[:, 1:]).astype(np.int64) + dy[disc]
    near = depth[:, None] * (1 - np.sqrt(ball[disc]) / FOCAL / side)
    inside = (column >= 0) & (column < side) & (row >= 0) & (row < side)
    owner = np.broadcast_to(np.arange(len(depth))[:, None], inside.shape)

    at, near, owner = (row * side + column)[inside], near[inside], owner[inside]
    order = np.argsort(-near, kind="stable")  # of equal places numpy keeps the last: the nearest
    canvas, buffer = np.zeros((side * side, 3)), np.full(side * side, np.inf)
    canvas[at[order]] = shades[owner[order]]
    buffer[at[order]] = near[order]
    canvas, buffer = canvas.reshape(side, side, 3), buffer.reshape(side, side)
    canvas *= _eye_dome(buffer, max(1, round(side / 180)))[..., None]
    return _halved(canvas, np.isfinite(buffer))


def orbit_gif(
    path: str | Path,
    clouds: Sequence[ArrayLike],
    colors: Sequence[ArrayLike | None] = (),
    *,
    frames: int = 36,
    size: int = 224,
    seconds: float = 4.0,
    elevation_deg: float = 20.0,
) -> Path:
    """A film of one turn round one cloud, or of several side by side; a GIF on clear ground.

    clouds  each [N, 3] world, y up
    colors  one for each cloud, or None
    """
    path = Path(path)
    tints = [*colors, *[None] * (len(clouds) - len(colors))]
    turns = []
    for azimuth_deg in np.arange(frames) * 360 / frames:
        stills = [
            point_cloud(cloud, tint, size=size, azimuth_deg=float(azimuth_deg),
                        elevation_deg=elevation_deg)
            for cloud, tint in zip(clouds, tints, strict=True)
        ]  # fmt: skip
        turns.append(np.concatenate(stills, axis=1))
    # One palette for all frames, so that colours stand still; its last place is clear ground.
    every = np.concatenate([turn[turn[..., 3] > 127][:, :3] for turn in turns])
    palette = Image.fromarray(every[None] if len(every) else np.zeros((1, 1, 3), np.uint8))
    palette = palette.quantize(255, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    pages = []
    for turn in turns:
        page = Image.fromarray(turn[..., :3]).quantize(palette=palette, dither=Image.Dither.NONE)
        indices = np.where(turn[..., 3] > 127, np.asarray(page), 255).astype(np.uint8)
        page = Image.fromarray(indices, "P")
        page.putpalette(palette.getpalette() or [])
        pages.append(page)
    film = {"save_all": True, "append_images": pages[1:], "loop": 0, "disposal": 2}
    pause = round(1000 * seconds / frames)
    with atomic.replacing(path) as file:
        pages[0].save(file, "GIF", duration=pause, transparency=255, **film)
    return path


def _tints(points: Array, colors: ArrayLike | None) -> Array:
    """[N, 3] floats, 0 to 255."""
    if colors is not None:
        given = np.asarray(colors)
        scale = 1.0 if given.dtype == np.uint8 else 255.0
        return np.clip(given.astype(float).reshape(-1, 3) * scale, 0, 255)
    height = np.clip(points[:, 1:2] + 0.5, 0, 1)
    return np.asarray(BLUE * (0.82 + 0.36 * height)).clip(0, 255)


def _eye_dome(depth: Array, reach: int) -> Array:
    """[H, W] factors in (0, 1]: less where those around a pixel are nearer than it.

    depth  [H, W], inf where nothing is
    """
    far = np.where(np.isfinite(depth), depth, 1e9)
    height, width = far.shape
    behind = np.zeros(far.shape)
    for step in (reach, 2 * reach):
        padded = np.pad(far, step, constant_values=1e9)
        for y, x in np.ndindex(3, 3):
            around = padded[y * step : y * step + height, x * step : x * step + width]
            behind += np.clip(far - around, 0, DEEP) / step * reach
    return np.asarray(np.exp(-DARKER * behind / DEEP))


def _halved(colour: Array, covered: Array) -> Array:
    """uint8 [H/2, W/2, 4] from floats [H, W, 3]: colours are averaged where something is."""
    height, width = covered.shape
    blocks = (height // DENSITY, DENSITY, width // DENSITY, DENSITY)
    weight = covered.reshape(blocks).sum(axis=(1, 3))
    total = (colour * covered[..., None]).reshape(*blocks, 3).sum(axis=(1, 3))
    mean = total / np.maximum(1, weight)[..., None]
    alpha = weight / DENSITY**2 * 255
    out: Array = np.round(np.concatenate([mean, alpha[..., None]], axis=2)).astype(np.uint8)
    return out
