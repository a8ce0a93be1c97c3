"""Render one view, and turn what Cycles writes into the passes of a sample.

One render call gives everything.  There are no pixels to read in background mode, so Cycles writes
a multilayer EXR to memory-backed storage, and it is read from there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import OpenEXR
from numpy.typing import NDArray

from renderer.layout import Light
from renderer.members import PASSES
from renderer.shards import DEPTH_SCALE

Array = NDArray[Any]

# OpenCV's camera looks along +z with y down, Blender's along -z with y up.
_FLIP = np.diag([1.0, -1.0, -1.0, 1.0])
# Cycles' pixel filter reaches 0.75 px past a pixel; two more are for safety.
_BORDER_PX = 3
# Cycles' names for the passes that are wanted, and ours.
_LAYERS = {"Combined": "Combined", "Depth": "Depth", "Normal": "Normal", "albedo": "albedo"}
_LAYERS |= {"Object Index": "Object Index", "IndexOB": "Object Index"}  # before Blender 5.0
_CHANNELS = {
    "Combined": "RGBA",
    "Depth": "VZ",
    "Normal": "XYZ",
    "Object Index": "VX",
    "albedo": "RGB",
}


def place_camera(world_to_camera: Array, intrinsics: Array, size: tuple[int, int]) -> None:
    import mathutils

    camera = bpy.context.scene.camera
    matrix = np.linalg.inv(world_to_camera) @ _FLIP
    camera.matrix_world = mathutils.Matrix(matrix.tolist())
    camera.data.lens = camera.data.sensor_width * intrinsics[0, 0] / size[0]


def place_lights(lights: Sequence[Light]) -> None:
    """Exactly these lights: those of the last view are used again or hidden."""
    scene = bpy.context.scene
    pool = [o for o in scene.collection.objects if o.type == "LIGHT" and o.name.startswith("farm")]
    while len(pool) < len(lights):
        light = bpy.data.objects.new("farm", bpy.data.lights.new("farm", "POINT"))
        light.data.shadow_soft_size = 0  # a point: less noise than a small ball, and 5 % cheaper
        scene.collection.objects.link(light)
        pool.append(light)
    for obj, light in zip(pool, lights, strict=False):
        obj.location, obj.data.energy, obj.data.color = light.position, light.watts, light.color
        obj.hide_render = False
    for obj in pool[len(lights) :]:
        obj.hide_render = True


@dataclass(frozen=True, kw_only=True)
class Border:
    """The pixels that are traced: the projected shape and a little more; ends exclusive."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the whole image."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)


def border_of(pixels: Array, size: tuple[int, int]) -> Border:
    """The border round projected vertices [V, 2], y down, within an image of (width, height)."""
    width, height = size
    x, y = pixels.T
    return Border(
        x0=min(width - 1, max(0, math.floor(x.min()) - _BORDER_PX)),
        y0=min(height - 1, max(0, math.floor(y.min()) - _BORDER_PX)),
        x1=max(1, min(width, math.ceil(x.max()) + _BORDER_PX)),
        y1=max(1, min(height, math.ceil(y.max()) + _BORDER_PX)),
    )


def trace(border: Border, size: tuple[int, int], path: Path) -> dict[str, Array]:
    """Trace the scene as it stands; the raw float passes, [h, w, C] of the border's size.

    path  where Cycles may write, best in memory
    """
    width, height = size
    render = bpy.context.scene.render
    # Blender cuts border * size to whole pixels: a quarter more keeps it from losing one.
    render.border_min_x = (border.x0 + 0.25) / width
    render.border_max_x = (border.x1 + 0.25) / width
    render.border_min_y = (height - border.y1 + 0.25) / height
    render.border_max_y = (height - border.y0 + 0.25) / height
    render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    raw = read_exr(path)
    expected = (border.y1 - border.y0, border.x1 - border.x0)
    assert raw["Depth"].shape[:2] == expected, (raw["Depth"].shape, expected)
    return raw


def read_exr(path: Path) -> dict[str, Array]:
    """Pass -> [h, w, C] float32: Combined RGBA, Depth, Normal XYZ, Object Index, albedo RGB."""
    passes: dict[str, dict[str, Array]] = {}
    with OpenEXR.File(str(path), separate_channels=True) as file:
        for part in file.parts:
            for name, channel in part.channels.items():
                layer, _, letter = name.rpartition(".")
                passes.setdefault(_LAYERS.get(layer.split(".")[-1], ""), {})[letter] = (
                    channel.pixels
                )
    return {
        name: np.dstack([channels[c] for c in _CHANNELS[name] if c in channels])
        for name, channels in passes.items()
        if name
    }


def encode(raw: Mapping[str, Array], rotation: Array) -> dict[str, Array]:
    """The stored form of all passes.

    raw       as from `trace`
    rotation  [3, 3] world to camera
    """
    combined = raw["Combined"]
    alpha = combined[..., 3]
    inside = alpha > 0
    # 0 and 255 mean exactly none and all of the samples: the content rules stand on that.
    alpha8 = np.clip(np.rint(alpha * 255), 1, 254).astype(np.uint8)
    alpha8[alpha >= 1 - 1e-6] = 255
    alpha8[~inside] = 0
    share = np.where(inside, alpha, 1)[..., None]

    depth = raw["Depth"][..., 0]
    hit = (depth > 0) & (depth < 1e9) & inside
    depth16 = np.where(hit, np.clip(np.rint(np.where(hit, depth, 0) / DEPTH_SCALE), 1, 65535), 0)
    # An opaque pixel whose first sample missed (possible only far past 255 samples) is not opaque.
    alpha8[(alpha8 == 255) & ~hit] = 254

    normal = raw["Normal"]
    length = np.sqrt((normal * normal).sum(axis=-1, keepdims=True))
    # Averaged over samples a normal is shorter than 1, or nothing where opposite ones met: then
    # the one that faces the camera stands.
    unit = np.where(length > 1e-3, normal / np.maximum(length, 1e-3), -rotation[2])
    normal16 = np.clip(np.rint((unit + 1) * 32767.5), 0, 65535).astype(np.uint16)
    normal16[~inside] = 0

    part = np.rint(raw["Object Index"][..., 0]).astype(np.uint8)
    part[~inside] = 0

    rgba = np.dstack([srgb(combined[..., :3] / share), alpha8])
    rgba[~inside] = 0
    albedo = srgb(raw["albedo"] / share)
    albedo[~inside] = 0
    made = (rgba, depth16.astype(np.uint16), normal16, albedo, part)
    return dict(zip(PASSES, made, strict=True))


def framed(images: Mapping[str, Array], border: Border, size: tuple[int, int]) -> dict[str, Array]:
    """The passes at the image's whole size, empty outside of the border."""
    width, height = size
    whole = {}
    for name, image in images.items():
        whole[name] = np.zeros((height, width, *image.shape[2:]), image.dtype)
        whole[name][border.window] = image
    return whole


def srgb(linear: Array) -> NDArray[np.uint8]:
    """Linear light to 8-bit sRGB (IEC 61966-2-1): Blender's view transform Standard."""
    light = np.clip(linear, 0, 1)
    encoded = np.where(
        light <= 0.0031308,
        12.92 * light,
        1.055 * np.power(light, 1 / 2.4, dtype=np.float32) - 0.055,
    )
    return np.asarray(np.rint(encoded * 255), np.uint8)
