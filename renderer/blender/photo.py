"""The scene of a photo-like picture in Blender: the loaded shape on a ground, under a sky.

Everything that is added or changed here is taken back when the block ends: the same warm Blender
renders datasets too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from renderer.blender import passes
from renderer.blender.session import Loaded, Session
from renderer.blender.surroundings import lay_ground, put
from renderer.photo_scene import Paint, PhotoScene, Sky, frame

Array = NDArray[Any]

# Changed for a photo, and put back: (path from the scene, value).
_SETTINGS: tuple[tuple[str, Any], ...] = (
    ("render.film_transparent", False),
    ("cycles.use_denoising", True),
    ("cycles.denoiser", "OPENIMAGEDENOISE"),
    ("cycles.denoising_use_gpu", False),
    # The noise that is left is hidden in the sensor's; accurate took 0.6 s of a photo's 1.6.
    ("cycles.denoising_prefilter", "NONE"),
    ("cycles.denoising_quality", "FAST"),
    ("cycles.max_bounces", 4),
    ("cycles.filter_width", 1.5),
)


def photograph(
    session: Session, loaded: Loaded, scene: PhotoScene, size: int, spp: int
) -> tuple[Array, Array, Array, Array]:
    """Light [H, W, 3] float32 linear, share of each pixel that shows the shape [H, W],
    world to camera [4, 4] and intrinsics [3, 3] of the shape that the session has loaded."""
    matrix, intrinsic = frame(loaded.vertices, scene.camera, size)
    with _set_up(loaded, scene):
        bpy.context.scene.render.resolution_x = bpy.context.scene.render.resolution_y = size
        bpy.context.scene.cycles.samples = spp
        bpy.context.scene.cycles.seed = scene.sampling_seed
        passes.place_camera(matrix, intrinsic, (size, size))
        passes.place_lights(())
        border = passes.Border(x0=0, y0=0, x1=size, y1=size)
        raw = passes.trace(border, (size, size), session.memory / "photo.exr")
    return raw["Combined"][..., :3], raw["albedo"][..., 0], matrix, intrinsic


@contextmanager
def _set_up(loaded: Loaded, photo: PhotoScene) -> Iterator[None]:
    scene = bpy.context.scene
    before = [(path, _get(scene, path)) for path, _ in _SETTINGS]
    world, kept = scene.world, set(_things())
    try:
        for path, value in _SETTINGS:
            _set(scene, path, value)
        _repaint(photo.paint)
        floor = float(loaded.vertices[:, 1].min())
        lay_ground(photo.ground, floor)
        for prop in photo.props:
            put(prop, floor)
        scene.world = _sky(photo.sky)
        _sun(photo.sky)
        yield
    finally:
        scene.world = world
        for path, value in before:
            _set(scene, path, value)
        bpy.data.batch_remove([thing for thing in _things() if thing not in kept])


def _things() -> Iterator[Any]:
    data = bpy.data
    for collection in (data.objects, data.meshes, data.materials, data.lights, data.worlds):
        yield from collection


def _get(scene: Any, path: str) -> Any:
    for name in path.split("."):
        scene = getattr(scene, name)
    return scene


def _set(scene: Any, path: str, value: Any) -> None:
    owner, _, name = path.rpartition(".")
    setattr(_get(scene, owner), name, value)


# --- the shape -----------------------------------------------------------------------------------


def _repaint(paint: Paint) -> None:
    """Give the material of the largest area the paint, all a gloss, and the mask its white."""
    area: dict[Any, float] = {}
    for obj in bpy.context.scene.collection.all_objects:
        if obj.type != "MESH" or obj.name.startswith("second user"):
            continue
        mesh: Any = obj.data
        sizes, slots = np.empty(len(mesh.polygons)), np.empty(len(mesh.polygons), np.int32)
        mesh.polygons.foreach_get("area", sizes)
        mesh.polygons.foreach_get("material_index", slots)
        for number, slot in enumerate(obj.material_slots):
            area[slot.material] = area.get(slot.material, 0.0) + float(sizes[slots == number].sum())
    largest = max(area, key=lambda material: area[material], default=None)
    for material in area:
        tree = material.node_tree
        for node in tree.nodes:
            if node.type == "OUTPUT_AOV":
                for link in list(node.inputs["Color"].links):
                    tree.links.remove(link)
                node.inputs["Color"].default_value = (1, 1, 1, 1)
        surface = next((n for n in tree.nodes if n.type == "BSDF_PRINCIPLED"), None)
        if surface is None or material is not largest:
            continue
        color = surface.inputs["Base Color"]
        if not color.is_linked:  # what has a texture keeps it
            color.default_value = (*paint.color, 1)
            surface.inputs["Metallic"].default_value = paint.metallic
        surface.inputs["Roughness"].default_value = paint.roughness
        surface.inputs["Coat Weight"].default_value = 1.0
        surface.inputs["Coat Roughness"].default_value = 0.03


# --- light ---------------------------------------------------------------------------------------


def _sky(sky: Sky) -> Any:
    """Horizon to zenith, with clouds. A gradient: Blender's own sky texture would cost more to
    prepare than the picture to trace."""
    world: Any = bpy.data.worlds.new("photo")
    world.use_nodes = True
    # Even enough to be found by chance; its map for sampling would be made anew for each photo.
    world.cycles.sampling_method = "NONE"
    tree = world.node_tree
    background = tree.nodes["Background"]
    place = tree.nodes.new("ShaderNodeTexCoord")
    apart = tree.nodes.new("ShaderNodeSeparateXYZ")
    tree.links.new(place.outputs["Generated"], apart.inputs[0])
    height = tree.nodes.new("ShaderNodeMath")
    height.operation, height.use_clamp = "POWER", True
    height.inputs[1].default_value = 0.45
    above = tree.nodes.new("ShaderNodeMath")
    above.operation = "MAXIMUM"
    above.inputs[1].default_value = 0.0
    tree.links.new(apart.outputs["Y"], above.inputs[0])
    tree.links.new(above.outputs[0], height.inputs[0])
    blend = tree.nodes.new("ShaderNodeMix")
    blend.data_type = "RGBA"
    colors = [socket for socket in blend.inputs if socket.type == "RGBA"]
    colors[0].default_value, colors[1].default_value = (*sky.horizon, 1), (*sky.zenith, 1)
    tree.links.new(height.outputs[0], blend.inputs["Factor"])
    whole = next(socket for socket in blend.outputs if socket.type == "RGBA")

    shifted = tree.nodes.new("ShaderNodeMapping")
    shifted.inputs["Location"].default_value = (sky.drift, 0, 0)
    shifted.inputs["Scale"].default_value = (1, 2.6, 1)
    tree.links.new(place.outputs["Generated"], shifted.inputs["Vector"])
    clouds = tree.nodes.new("ShaderNodeTexNoise")
    clouds.inputs["Scale"].default_value = 2.2
    clouds.inputs["Detail"].default_value = 4.0
    tree.links.new(shifted.outputs["Vector"], clouds.inputs["Vector"])
    cover = tree.nodes.new("ShaderNodeMapRange")
    middle = 0.72 - 0.42 * sky.clouds
    cover.inputs["From Min"].default_value = middle - 0.06
    cover.inputs["From Max"].default_value = middle + 0.14
    tree.links.new(clouds.outputs["Fac"], cover.inputs["Value"])
    mixed = tree.nodes.new("ShaderNodeMix")
    mixed.data_type = "RGBA"
    colors = [socket for socket in mixed.inputs if socket.type == "RGBA"]
    tree.links.new(cover.outputs["Result"], mixed.inputs["Factor"])
    tree.links.new(whole, colors[0])
    grey = 0.85 + 0.25 * (1 - sky.clouds)
    colors[1].default_value = (grey, grey, grey * 1.02, 1)
    out = next(socket for socket in mixed.outputs if socket.type == "RGBA")
    tree.links.new(out, background.inputs["Color"])
    background.inputs["Strength"].default_value = 1.0
    return world


def _sun(sky: Sky) -> None:
    import mathutils

    light: Any = bpy.data.lights.new("photo sun", "SUN")
    light.energy, light.color = sky.sun_strength, sky.sun_color
    light.angle = math.radians(sky.sun_angle_deg)
    sun = bpy.data.objects.new("photo sun", light)
    a, e = math.radians(sky.sun_azimuth_deg), math.radians(sky.sun_elevation_deg)
    towards = mathutils.Vector((math.cos(e) * math.cos(a), math.sin(e), -math.cos(e) * math.sin(a)))
    sun.rotation_mode = "QUATERNION"
    sun.rotation_quaternion = towards.to_track_quat("Z", "Y")
    bpy.context.scene.collection.objects.link(sun)
