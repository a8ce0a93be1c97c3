"""One view of a sample as a picture for people: what of it is shown, and in which colours."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from renderer.camera import project
from renderer.shards import Sample, View

Array = NDArray[Any]
Window = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels of the image: what of it is shown."""

# Twelve hues that are told apart side by side, also by most people who are colour-blind.
PARTS = np.array(
    [
        (0x4C, 0x78, 0xC8), (0xF2, 0x9E, 0x4C), (0x54, 0xA8, 0x7B), (0xD9, 0x5F, 0x5F),
        (0x8C, 0x6B, 0xB8), (0xE8, 0xC5, 0x4A), (0x4F, 0xB3, 0xBF), (0xE0, 0x82, 0xA8),
        (0x9A, 0x7B, 0x5B), (0x9B, 0xC5, 0x53), (0x6B, 0x7A, 0x99), (0xB5, 0x4A, 0x8F),
    ],
    np.uint8,
)  # fmt: skip


def window_of(sample: Sample, views: int) -> Window:
    """A square that holds the shape in all the views shown, with a margin; it may reach past the
    image. A photograph that goes to its borders is shown whole.
    """
    width, height = sample.meta["size"]
    boxes = [view.meta["bbox"] for view in sample.views[:views]]
    cx, cy = width / 2, height / 2
    reach = max(max(cx - x0, x1 - cx, cy - y0, y1 - cy) for x0, y0, x1, y1 in boxes)
    half = max(reach * 1.12, 0.1 * max(width, height))
    if reach >= max(width, height) / 2:
        half = reach
    return cx - half, cy - half, cx + half, cy + half


def picture_of(view: View, kind: str, window: Window, side: int) -> Array:
    """[side, side, 4] straight alpha: what the window holds of one pass of a view.

    kind  rgba, depth, normal, albedo or mask; a view has() it or not
    """
    if kind == "rgba":
        return fit(view.rgba, window, side)
    colours = {"depth": _depth, "normal": _normal, "albedo": _albedo, "mask": _mask}[kind](view)
    return fit(np.dstack([colours, view.rgba[..., 3]]), window, side)


def fit(image: Array, window: Window, side: int) -> Array:
    """The window of an RGBA image [H, W, 4] at side x side; colours do not bleed at the edges."""
    x0, y0, x1, _ = window
    scale = side / (x1 - x0)
    alpha = image[..., 3:].astype(np.float32) / 255
    whole = np.concatenate([image[..., :3] * alpha, image[..., 3:]], axis=2).astype(np.float32)
    if scale < 1:  # warpAffine takes single pixels only
        smaller = (max(1, round(whole.shape[1] * scale)), max(1, round(whole.shape[0] * scale)))
        sx, sy = smaller[0] / whole.shape[1], smaller[1] / whole.shape[0]
        whole = cv2.resize(whole, smaller, interpolation=cv2.INTER_AREA)
        x0, y0, scale = x0 * sx, y0 * sy, 1.0
    # Few large pixels are shown as they are, not as a blur.
    how = cv2.INTER_NEAREST if scale > 8 else cv2.INTER_CUBIC
    # Pixel centres are at half-integers, warpAffine's at integers.
    shift = [0.5 * scale - 0.5 - x0 * scale, 0.5 * scale - 0.5 - y0 * scale]
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    fitted = cv2.warpAffine(whole, matrix, (side, side), flags=how)
    # Cubic kernels overshoot, alpha and colours alike: divided first, and only then cut off.
    colour = fitted[..., :3] * 255 / np.maximum(fitted[..., 3:], 1)
    fitted = np.concatenate([colour, fitted[..., 3:]], axis=2)
    return np.asarray(np.rint(fitted.clip(0, 255)), np.uint8)


def depth_colours(far: Array) -> Array:
    """[H, W, 3] of [H, W] from 0 (near) to 1 (far): light to dark, evenly to the eye."""
    # The ends of the map are cut off: nearly white and nearly black are lost on a page.
    level = np.rint((0.90 - 0.78 * far) * 255).clip(0, 255).astype(np.uint8)
    mapped = cv2.applyColorMap(level, cv2.COLORMAP_MAGMA)
    return np.asarray(cv2.cvtColor(mapped, cv2.COLOR_BGR2RGB))


def _depth(view: View) -> Array:
    depth = view.depth
    hit = depth > 0
    if not hit.any():
        return depth_colours(np.zeros_like(depth))
    near, far = np.percentile(depth[hit], [0.5, 99.5])
    return depth_colours(((depth - near) / max(far - near, 1e-6)).clip(0, 1))


def _normal(view: View) -> Array:
    return np.asarray(np.rint((view.normal + 1) * 127.5), np.uint8)


def _albedo(view: View) -> Array:
    return view.albedo


def _mask(view: View) -> Array:
    """Parts in distinct colours, shaded a little where there are normals."""
    colours = PARTS[(view.mask.astype(np.int64) - 1) % len(PARTS)]
    if not view.has("normal") or "world_to_camera" not in view.meta:
        return np.asarray(colours)
    facing = np.abs(view.normal @ view.world_to_camera[2, :3])[..., None]
    shaded = colours * (0.72 + 0.28 * facing) + 12 * facing
    return np.asarray(np.rint(shaded).clip(0, 255), np.uint8)


FILL = 2.2
"""Times the shape's area that the balls have together: dense, and single ones are still seen."""


def draw_points(sample: Sample, window: Window, side: int) -> Array:
    """[side, side, 4] the cloud from the first view's camera, as little shaded balls.

    Points behind the surface, where depth tells of it, are left out.
    """
    view = sample.views[0]
    radius = max(1.5, side / 140)
    scale = side / (window[2] - window[0])
    pixels, depth = project(sample.points, view.world_to_camera, view.intrinsics)
    seen = np.arange(len(depth))
    if view.has("depth"):
        seen = np.flatnonzero(~_behind(view, pixels, depth))
    area = float((view.rgba[..., 3] > 0).sum()) * scale**2
    # Points are in random order, so the first ones are uniform too.
    seen = seen[: max(1, round(FILL * area / (np.pi * radius**2)))]
    if not len(seen):
        return np.zeros((side, side, 4), np.uint8)
    cloud, pixels, depth = sample.points[seen], pixels[seen], depth[seen]
    at = (pixels - window[:2]) * scale
    height = (cloud[:, 1:2] - cloud[:, 1].min()) / max(float(np.ptp(cloud[:, 1])), 1e-6)
    colours = np.array((36, 62, 128)) * (1 - height) + np.array((88, 196, 190)) * height
    if "normals.npy" in sample.members:
        eye = -view.world_to_camera[:3, :3].T @ view.world_to_camera[:3, 3]
        towards = eye - cloud
        towards /= np.linalg.norm(towards, axis=1, keepdims=True)
        facing = np.abs((sample.normals[seen] * towards).sum(axis=1))[:, None]
        colours = colours * (0.58 + 0.5 * facing)
    return _balls(at, depth, colours, side, radius)


def _behind(view: View, pixels: Array, depth: Array) -> Array:
    """[N] whether points lie behind what the view's depth shows."""
    # The farthest of the neighbours: at an edge a point is not behind what it lies beside.
    surface = cv2.dilate(view.depth, np.ones((3, 3), np.uint8))
    rows, columns = surface.shape
    column, row = np.floor(pixels).astype(np.int64).T
    near = surface[row.clip(0, rows - 1), column.clip(0, columns - 1)]
    return np.asarray(depth > near + 0.02)


def _balls(at: Array, depth: Array, colours: Array, side: int, radius: float) -> Array:
    """Shaded balls of colours [N, 3] at pixels [N, 2], nearer ones before farther ones."""
    reach = math.ceil(radius)
    grid = np.arange(-reach, reach + 1)
    dy, dx = (axis.ravel() for axis in np.meshgrid(grid, grid, indexing="ij"))
    squared = (dx**2 + dy**2) / radius**2
    disc = squared <= 1
    dy, dx, bulge = dy[disc], dx[disc], np.sqrt(1 - squared[disc])
    # Lit from the upper left, as a ball is.
    light = 0.70 + 0.34 * bulge - 0.14 * (dx + dy) / radius
    column = (np.floor(at[:, :1]) + dx).astype(np.int64).ravel()
    row = (np.floor(at[:, 1:]) + dy).astype(np.int64).ravel()
    shade = (colours[:, None, :] * light[None, :, None]).reshape(-1, 3)
    distance = (depth[:, None] - 1e-4 * bulge[None]).ravel()
    inside = (column >= 0) & (column < side) & (row >= 0) & (row < side) & (distance > 0)
    order = np.flatnonzero(inside)[np.argsort(-distance[inside], kind="stable")]
    image = np.zeros((side, side, 4), np.uint8)
    # Of several values for one pixel the last stands: the nearest.
    image[row[order], column[order], :3] = np.rint(shade[order]).clip(0, 255)
    image[row[order], column[order], 3] = 255
    return image
