"""The content rules: what must be true of a sample before it is committed, and ever after.

Pure functions over decoded arrays.  The renderer asks them before it commits, `farm dataset verify`
asks them again of what lies on storage.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from renderer.camera import project
from renderer.members import view_name

Array = NDArray[Any]

MIN_COVERAGE = 0.002
"""Share of pixels with alpha > 0 below which a view is blank."""
POINTS_INSIDE = 0.99
"""Share of points that must fall within 1 px of alpha > 0."""
PIXELS_COVERED = 0.95
"""Share of opaque pixels that must have a point within `cover_radius`.  The rule above alone lets
87 % of wrong azimuths through; this one catches them."""

SURFACE_COVERED = 0.90
"""The same, counting only points that lie on the surface that is seen: of 168 views the rule above
notices two thirds of cameras that are 10 degrees off, this one 93 %, and no true view had less than
95.5 %."""
SURFACE_DEPTH = 0.02
"""How far from the depth map a point may lie and still be on the surface that is seen."""


def cover_radius(size: int, points: int) -> float:
    """Pixels: 2 for 16384 points at 128 px, growing where points lie less densely on the image."""
    return 2.0 * max(1.0, size / 128 * math.sqrt(16384 / points))


def describe_view(rgba: Array) -> dict[str, Any]:
    """`bbox` [x0, y0, x1, y1] of alpha > 0, ends exclusive, and `coverage`, its share of pixels."""
    inside = rgba[..., 3] > 0
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    box = [0, 0, 0, 0]
    if len(rows):
        box = [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]
    return {"bbox": box, "coverage": float(inside.mean())}


def blank(rgba: Array) -> str | None:
    coverage = describe_view(rgba)["coverage"]
    if coverage < MIN_COVERAGE:
        return f"blank: {coverage:.2%} of the pixels are covered"
    return None


def problems_of_view(
    images: Mapping[str, Array],
    meta: Mapping[str, Any],
    points: Array | None,
    depth_scale: float | None = None,
) -> list[str]:
    """What is wrong with one view; empty when nothing is.

    images  pass -> decoded array
    meta    the view's entry in the sample's JSON
    points  [N, 3] world, or None where there are none
    depth_scale  units per step of the depth image; None leaves out the rule that needs it
    """
    rgba = images["rgba"]
    alpha = rgba[..., 3]
    inside, opaque = alpha > 0, alpha == 255
    found = []
    if reason := blank(rgba):
        return [reason]
    if inside[[0, -1]].any() or inside[:, [0, -1]].any():
        found.append("clipped: the shape touches the border; a larger --size leaves more room")
    if {k: meta.get(k) for k in ("bbox", "coverage")} != describe_view(rgba):
        found.append("bbox or coverage differ from the alpha channel")
    if "depth" in images:
        depth = images["depth"]
        if (depth[opaque] == 0).any():
            found.append(f"{int((depth[opaque] == 0).sum())} opaque pixels have no depth")
        if (depth[~inside] != 0).any():
            found.append(f"{int((depth[~inside] != 0).sum())} transparent pixels have a depth")
    if "normal" in images:
        stored = images["normal"]
        outside = stored[~inside]
        if outside.any():
            found.append("transparent pixels have a normal")
        length = np.linalg.norm(stored[opaque] / 32767.5 - 1, axis=1)
        if (np.abs(length - 1) > 1e-3).any():
            found.append("a normal is not of unit length")
    if "mask" in images:
        if (images["mask"][opaque] == 0).any():
            found.append("opaque pixels belong to no part")
        if images["mask"][~inside].any():
            found.append("transparent pixels belong to a part")
    if points is not None and len(points):
        scaled = images["depth"] * depth_scale if "depth" in images and depth_scale else None
        found += _disagreement(points, meta, inside, opaque, scaled)
    return found


def _disagreement(
    points: Array, meta: Mapping[str, Any], inside: Array, opaque: Array, surface: Array | None
) -> list[str]:
    """Points and pixels must tell of the same shape from the same camera."""
    height, width = inside.shape
    pixels, depth = project(points, meta["world_to_camera"], meta["intrinsics"])
    if (depth <= 0).any():
        return ["points lie behind the camera"]
    column, row = np.floor(pixels).astype(np.int64).T
    within = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    column, row, depth = column[within], row[within], depth[within]
    near = cv2.dilate(inside.astype(np.uint8), np.ones((3, 3), np.uint8))
    found = []
    share = near[row, column].sum() / len(points)
    if share < POINTS_INSIDE:
        found.append(f"only {share:.1%} of the points fall on the shape's pixels")
    if not opaque.any():
        return found
    radius = cover_radius(width, len(points))
    covered = _covered(row, column, opaque, radius)
    if covered < PIXELS_COVERED:
        found.append(f"the points cover only {covered:.1%} of the shape's pixels")
    if surface is not None:
        seen = np.abs(surface[row, column] - depth) < SURFACE_DEPTH
        # Where most of a shape's surface is inside, the points that are seen lie less densely: the
        # radius in which 98 % of the pixels would have one, were they spread at random.
        radius = max(radius, math.sqrt(4 * opaque.sum() / (math.pi * max(1, seen.sum()))))
        covered = _covered(row[seen], column[seen], opaque, radius)
        if covered < SURFACE_COVERED:
            found.append(f"the points on the surface cover only {covered:.1%} of its pixels")
    return found


def _covered(row: Array, column: Array, opaque: Array, radius: float) -> float:
    """Share of opaque pixels that have one of some pixels within a radius."""
    empty = np.ones(opaque.shape, np.uint8)
    empty[row, column] = 0
    distance = cv2.distanceTransform(empty, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return float((distance[opaque] <= radius).mean())


def problems_of_sample(
    meta: Mapping[str, Any], arrays: Mapping[str, Array], passes: Sequence[str], points: int
) -> list[str]:
    """What is wrong with a rendered sample; empty when nothing is.

    meta    the sample's JSON
    arrays  member -> decoded array
    """
    found = []
    width, height = meta["size"]
    cloud = None
    if points:
        for name in ("points.npy", "normals.npy"):
            array = arrays[name]
            if array.dtype != np.float32 or array.shape != (points, 3):
                found.append(f"{name} is {array.dtype} of {array.shape}")
            elif not np.isfinite(array).all():
                found.append(f"{name} is not finite")
        cloud = arrays["points.npy"]
    if found:
        return found
    views = len(meta["views"])
    for number, view in enumerate(meta["views"]):
        name = view_name(number, views)
        images = {kind: arrays[f"{name}.{kind}.png"] for kind in passes}
        sizes = {image.shape[:2] for image in images.values()}
        if sizes != {(height, width)}:
            found.append(f"view {number}: images of {sizes}, expected {(height, width)}")
            continue
        found += [
            f"view {number}: {p}"
            for p in problems_of_view(images, view, cloud, meta["depth_scale"])
        ]
    return found
