"""What surrounds a shape in a photo-like picture: the ground, and what stands on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import bpy
import numpy as np

from renderer.photo_scene import Ground, Prop


def lay_ground(ground: Ground, floor: float) -> None:
    far = 60.0
    corners = [(-far, floor, -far), (-far, floor, far), (far, floor, far), (far, floor, -far)]
    material, tree, surface = _material(ground.light, ground.roughness)
    place = tree.nodes.new("ShaderNodeTexCoord")
    if ground.kind == "paving":
        pattern = tree.nodes.new("ShaderNodeTexBrick")
        pattern.inputs["Scale"].default_value = ground.scale / 6
        pattern.inputs["Color1"].default_value = (*ground.light, 1)
        pattern.inputs["Color2"].default_value = (*ground.dark, 1)
        pattern.inputs["Mortar"].default_value = (*(0.5 * c for c in ground.dark), 1)
        turned = tree.nodes.new("ShaderNodeMapping")
        turned.inputs["Rotation"].default_value = (math.pi / 2, 0, 0)
        tree.links.new(place.outputs["Object"], turned.inputs["Vector"])
        tree.links.new(turned.outputs["Vector"], pattern.inputs["Vector"])
        color = pattern.outputs["Color"]
    else:
        fine = _noise(tree, place, ground.scale * 4, 4)
        coarse = _noise(tree, place, 1.3, 1)
        both = tree.nodes.new("ShaderNodeMath")
        both.operation = "MULTIPLY_ADD"
        both.inputs[1].default_value = 0.6
        tree.links.new(fine.outputs["Fac"], both.inputs[0])
        tree.links.new(_scaled(tree, coarse.outputs["Fac"], 0.4), both.inputs[2])
        ramp = tree.nodes.new("ShaderNodeValToRGB")
        ramp.color_ramp.elements[0].position, ramp.color_ramp.elements[1].position = 0.35, 0.65
        ramp.color_ramp.elements[0].color = (*ground.dark, 1)
        ramp.color_ramp.elements[1].color = (*ground.light, 1)
        tree.links.new(both.outputs[0], ramp.inputs["Fac"])
        color = ramp.outputs["Color"]
    tree.links.new(color, surface.inputs["Base Color"])
    _mesh("ground", corners, [(0, 1, 2, 3)], material)


def put(prop: Prop, floor: float) -> None:
    material, tree, surface = _material(prop.color, 0.75)
    parts: list[tuple[list[tuple[float, float, float]], list[tuple[int, ...]]]] = []
    if prop.kind in ("box", "building"):
        parts = [_lathe(4, [(0.7071, 0.0), (0.7071, 1.0)])]
        if prop.kind == "building":
            _windows(tree, surface, prop)
    elif prop.kind == "cylinder":
        parts = [_lathe(14, [(0.5, 0.0), (0.5, 1.0)])]
    elif prop.kind == "cone":
        parts = [_lathe(14, [(0.6, 0.0), (0.6, 0.06), (0.36, 0.06), (0.06, 1.0)])]
    elif prop.kind == "ball":
        rings = [math.pi * k / 8 for k in range(9)]
        parts = [_lathe(14, [(0.5 * math.sin(a), 0.5 - 0.5 * math.cos(a)) for a in rings])]
    else:
        bark, *_ = _material((0.06, 0.04, 0.025), 0.9)
        trunk = _lathe(7, [(0.07, 0.0), (0.05, 0.45)])
        _mesh("trunk", _standing(trunk[0], prop, floor), trunk[1], bark)
        crown = np.random.default_rng(int(1e6 * abs(prop.place[0])))  # lumps: the same each time
        rings = [math.pi * k / 10 for k in range(11)]
        profile = [(0.5 * math.sin(a) ** 0.7, 0.62 - 0.38 * math.cos(a)) for a in rings]
        points, faces = _lathe(13, profile)
        points = [
            (x * (r := crown.uniform(0.7, 1.15)), y + crown.normal(0, 0.015), z * r)
            for x, y, z in points
        ]
        parts = [(points, faces)]
        place = tree.nodes.new("ShaderNodeTexCoord")
        leaves = _noise(tree, place, 9.0, 6)
        ramp = tree.nodes.new("ShaderNodeValToRGB")
        ramp.color_ramp.elements[0].position, ramp.color_ramp.elements[1].position = 0.4, 0.62
        ramp.color_ramp.elements[0].color = (*(0.25 * c for c in prop.color), 1)
        ramp.color_ramp.elements[1].color = (*(1.5 * c for c in prop.color), 1)
        tree.links.new(leaves.outputs["Fac"], ramp.inputs["Fac"])
        tree.links.new(ramp.outputs["Color"], surface.inputs["Base Color"])
    for points, faces in parts:
        _mesh(prop.kind, _standing(points, prop, floor), faces, material)


def _windows(tree: Any, surface: Any, prop: Prop) -> None:
    """Rows of dark panes on a wall."""
    place = tree.nodes.new("ShaderNodeTexCoord")
    panes = tree.nodes.new("ShaderNodeTexBrick")
    panes.offset = 0.0
    panes.inputs["Scale"].default_value = 1.4
    panes.inputs["Mortar Size"].default_value = 0.09
    panes.inputs["Color1"].default_value = panes.inputs["Color2"].default_value = (
        0.03, 0.04, 0.05, 1,
    )  # fmt: skip
    panes.inputs["Mortar"].default_value = (*prop.color, 1)
    tree.links.new(place.outputs["Object"], panes.inputs["Vector"])
    tree.links.new(panes.outputs["Color"], surface.inputs["Base Color"])
    surface.inputs["Roughness"].default_value = 0.5


def _lathe(
    sides: int, profile: Sequence[tuple[float, float]]
) -> tuple[list[tuple[float, float, float]], list[tuple[int, ...]]]:
    """Vertices and faces of a profile of (radius, height) turned round the y axis, with lids."""
    first = math.pi / sides
    points = [
        (r * math.cos(first + 2 * math.pi * k / sides), y,
         r * math.sin(first + 2 * math.pi * k / sides))
        for r, y in profile for k in range(sides)
    ]  # fmt: skip
    faces: list[tuple[int, ...]] = [
        (ring * sides + k, (ring + 1) * sides + k, (ring + 1) * sides + (k + 1) % sides,
         ring * sides + (k + 1) % sides)
        for ring in range(len(profile) - 1) for k in range(sides)
    ]  # fmt: skip
    faces.append(tuple(range(sides)))
    faces.append(tuple(reversed(range(len(points) - sides, len(points)))))
    return points, faces


def _standing(
    points: Sequence[tuple[float, float, float]], prop: Prop, floor: float
) -> list[tuple[float, float, float]]:
    width, height, depth = prop.size
    cos, sin = math.cos(math.radians(prop.turn_deg)), math.sin(math.radians(prop.turn_deg))
    found = []
    for x, y, z in points:
        x, z = x * width, z * depth
        found.append(
            (
                x * cos - z * sin + prop.place[0],
                y * height + floor,
                x * sin + z * cos + prop.place[1],
            )
        )
    return found


def _mesh(name: str, points: Any, faces: Any, material: Any) -> None:
    mesh: Any = bpy.data.meshes.new(name)
    mesh.from_pydata(points, [], faces)
    mesh.materials.append(material)
    bpy.context.scene.collection.objects.link(bpy.data.objects.new(name, mesh))


def _material(color: Sequence[float], roughness: float) -> tuple[Any, Any, Any]:
    """A material, its nodes, and the one that is its surface."""
    material: Any = bpy.data.materials.new("photo")
    material.use_nodes = True
    tree = material.node_tree
    surface = next(n for n in tree.nodes if n.type == "BSDF_PRINCIPLED")
    surface.inputs["Base Color"].default_value = (*color, 1)
    surface.inputs["Roughness"].default_value = roughness
    return material, tree, surface


def _noise(tree: Any, place: Any, scale: float, detail: float) -> Any:
    noise = tree.nodes.new("ShaderNodeTexNoise")
    noise.inputs["Scale"].default_value = scale
    noise.inputs["Detail"].default_value = detail
    noise.inputs["Roughness"].default_value = 0.65
    tree.links.new(place.outputs["Object"], noise.inputs["Vector"])
    return noise


def _scaled(tree: Any, value: Any, factor: float) -> Any:
    node = tree.nodes.new("ShaderNodeMath")
    node.operation = "MULTIPLY"
    node.inputs[1].default_value = factor
    tree.links.new(value, node.inputs[0])
    return node.outputs[0]
