"""Bring one mesh file into Blender, in the file's own coordinates, with materials that render.

Blender's importers never raise for a bad file (an empty one gives no objects, NaN becomes 0.0), so
`renderer.shapes.health` looks at the file before, and what came out is checked here after.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from renderer.blender.mend import attribute, face_sizes, mend
from renderer.errors import BadInput
from renderer.shapes.off import read_off
from renderer.shapes.references import References

MAX_PART = 255


@dataclass(frozen=True, kw_only=True)
class Part:
    """One object of the shape."""

    object: Any
    number: int
    """1, 2, ... by first appearance in the file; 255 for all that follow."""


def load(path: Path, needs: References) -> tuple[Part, ...]:
    """Import the file's meshes; coordinates stay those of the file.

    needs  its other files: only these are shown, and a texture that Blender did not find because
           of a backslash or a letter's case is looked up there
    Raises BadInput when nothing with a face comes out.
    """
    before = set(bpy.data.objects)
    suffix = path.suffix.lower()
    try:
        _IMPORTERS[suffix](path)
    except KeyError:
        raise BadInput(f"no importer for {suffix or 'a file without a suffix'}") from None
    except RuntimeError as error:  # how Blender's operators report
        raise BadInput(f"Blender cannot read it: {_last_line(error)}") from error
    objects = [o for o in bpy.data.objects if o not in before]
    bpy.context.view_layer.update()
    meshes = [o for o in objects if o.type == "MESH" and len(o.data.polygons) and o.visible_get()]
    if not meshes:
        raise BadInput("it has no faces")
    for extra in objects:  # cameras and lights that came with the file; points and lines
        if extra.type in ("CAMERA", "LIGHT") or (extra.type == "MESH" and extra not in meshes):
            extra.hide_render = True
    meshes = _in_order(meshes, path)
    mend(meshes)
    meshes = [o for o in meshes if len(o.data.polygons)]
    parts = _numbered(meshes)
    for material in {slot.material for o in meshes for slot in o.material_slots if slot.material}:
        _make_renderable(material, needs)
    _fill_empty_slots(meshes)
    return parts


def geometry(parts: Sequence[Part]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Vertices [V, 3] and triangles [T, 3] of all parts, in the world of the file.

    Modifiers and skins are applied; vertices of no face are left out.
    """
    depsgraph = bpy.context.evaluated_depsgraph_get()
    vertices, faces, first = [], [], 0
    for part in parts:
        evaluated = part.object.evaluated_get(depsgraph)
        mesh: Any = evaluated.to_mesh()
        corners = _triangles(mesh)
        matrix = np.array(evaluated.matrix_world, np.float64)
        local = attribute(mesh, "position").astype(np.float64)
        used = np.zeros(len(local), bool)
        used[corners] = True
        vertices.append(local[used] @ matrix[:3, :3].T + matrix[:3, 3])
        faces.append((np.cumsum(used) - 1)[corners].reshape(-1, 3) + first)
        first += int(used.sum())
        evaluated.to_mesh_clear()
    return np.concatenate(vertices), np.concatenate(faces)


def _triangles(mesh: Any) -> NDArray[np.int32]:
    """Vertex indices [3 T] of a mesh cut into triangles."""
    mesh.calc_loop_triangles()
    if 3 * len(mesh.polygons) == len(mesh.loops) and (face_sizes(mesh) == 3).all():
        return attribute(mesh, ".corner_vert")
    corners = np.empty(3 * len(mesh.loop_triangles), np.int32)
    mesh.loop_triangles.foreach_get("vertices", corners)
    return corners


# --- importers -------------------------------------------------------------------------------


def _obj(path: Path) -> None:
    # These two axes are Blender's own, so nothing is turned.  Groups become parts.
    bpy.ops.wm.obj_import(
        filepath=str(path),
        forward_axis="Y",
        up_axis="Z",
        use_split_objects=True,
        use_split_groups=True,
        # It would drop either of two doubled faces and spoil what normals stay: see mend.py
        validate_meshes=False,
    )


def _gltf(path: Path) -> None:
    before = set(bpy.data.objects)
    # Packed, a picture from anywhere on the disk would look like one that came with the file.
    bpy.ops.import_scene.gltf(
        filepath=str(path), import_shading="NORMALS", import_pack_images=False
    )
    # The importer turns y up to z up; the file's own axes are wanted, the turn is ours to make.
    back = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]], float)
    for new in bpy.data.objects:
        if new not in before and new.parent is None:
            new.matrix_world = _matrix(back @ np.array(new.matrix_world))


def _ply(path: Path) -> None:
    bpy.ops.wm.ply_import(
        filepath=str(path), forward_axis="Y", up_axis="Z", merge_verts=False, import_colors="SRGB"
    )


def _stl(path: Path) -> None:
    bpy.ops.wm.stl_import(filepath=str(path), forward_axis="Y", up_axis="Z", use_mesh_validate=True)


def _off(path: Path) -> None:
    """Blender has no OFF importer."""
    try:
        off = read_off(path)
    except ValueError as error:
        raise BadInput(str(error)) from error
    starts = np.cumsum(off.corners) - off.corners
    mesh: Any = bpy.data.meshes.new(path.stem)
    mesh.vertices.add(len(off.vertices))
    mesh.loops.add(len(off.indices))
    mesh.polygons.add(len(off.corners))
    mesh.vertices.foreach_set("co", off.vertices.astype(np.float32).ravel())
    mesh.loops.foreach_set("vertex_index", off.indices.astype(np.int32))
    mesh.polygons.foreach_set("loop_start", starts.astype(np.int32))
    mesh.update(calc_edges=True)
    mesh.validate()
    bpy.context.scene.collection.objects.link(bpy.data.objects.new(path.stem, mesh))


_IMPORTERS = {
    ".obj": _obj,
    ".glb": _gltf,
    ".gltf": _gltf,
    ".ply": _ply,
    ".stl": _stl,
    ".off": _off,
}


# --- parts -----------------------------------------------------------------------------------


def _in_order(meshes: Sequence[Any], path: Path) -> list[Any]:
    """By first appearance; the OBJ importer sorts objects by name, so the file is asked."""
    order: dict[str, int] = {}
    if path.suffix.lower() == ".obj":
        # A line end to begin with is ten times faster than ^ in a file of 15 MB.
        for name in re.findall(rb"\n[og][ \t]+([^\r\n]*)", b"\n" + path.read_bytes()):
            order.setdefault(name.decode("utf-8", "replace").strip(), len(order))

    def rank(obj: Any) -> tuple[int, int]:
        plain = re.sub(r"\.\d{3,}$", "", obj.name)
        return order.get(obj.name, order.get(plain, len(order))), obj.session_uid

    return sorted(meshes, key=rank)


def _numbered(meshes: Sequence[Any]) -> tuple[Part, ...]:
    parts = tuple(Part(object=o, number=min(n, MAX_PART)) for n, o in enumerate(meshes, start=1))
    for part in parts:
        part.object.pass_index = part.number
    return parts


# --- materials -------------------------------------------------------------------------------


def _make_renderable(material: Any, needs: References) -> None:
    """Opaque, without missing or foreign textures, and with its base colour in the albedo pass."""
    tree = material.node_tree
    for node in [n for n in tree.nodes if n.type == "TEX_IMAGE"]:
        node.image = _readable(node.image, needs)
        if node.image is None:
            # Cycles would show magenta; without the link the material's plain colour stands.
            tree.nodes.remove(node)
        else:
            node.image.alpha_mode = "NONE"  # else a colour whose alpha is 0 becomes black
    surface = next((n for n in tree.nodes if n.type == "BSDF_PRINCIPLED"), None)
    if surface is not None:
        for name, value in (("Alpha", 1.0), ("Transmission Weight", 0.0)):
            socket = surface.inputs[name]
            for link in list(socket.links):
                tree.links.remove(link)
            socket.default_value = value
        color = surface.inputs["Base Color"]
    else:
        emission = next((n for n in tree.nodes if n.type in ("EMISSION", "BACKGROUND")), None)
        color = emission.inputs["Color"] if emission else None
        if emission:  # "unlit" glTF materials mix it with transparency by light path
            output = tree.get_output_node("CYCLES")
            tree.links.new(emission.outputs[0], output.inputs["Surface"])
    _show_albedo(tree, color)


def _readable(image: Any, needs: References) -> Any:
    """The image whose pixels are there and were hashed: itself, or its file by another spelling."""
    if image is not None and image.packed_file is None:
        file = Path(bpy.path.abspath(image.filepath)).resolve()
        if file not in {found.resolve() for found in needs.files}:
            by_name = {_last_part(name): found for name, found in needs.found}
            mended = by_name.get(_last_part(image.filepath))
            if mended is None:
                return None
            colors = image.colorspace_settings.name
            image = bpy.data.images.load(str(mended), check_existing=True)
            image.colorspace_settings.name = colors
    return image if image is not None and image.size[0] and image.size[1] else None


def _last_part(name: str) -> str:
    return name.replace("\\", "/").rsplit("/", 1)[-1]


def _show_albedo(tree: Any, color: Any) -> None:
    output = tree.nodes.new("ShaderNodeOutputAOV")
    output.aov_name = "albedo"
    if color is None:
        output.inputs["Color"].default_value = (0.8, 0.8, 0.8, 1)
    elif color.is_linked:
        tree.links.new(color.links[0].from_socket, output.inputs["Color"])
    else:
        output.inputs["Color"].default_value = color.default_value


def _fill_empty_slots(meshes: Sequence[Any]) -> None:
    """Give faces without a material one: the vertices' colours where there are some, or grey."""
    for obj in meshes:
        colored = next(iter(obj.data.color_attributes), None)
        missing = [slot for slot in obj.material_slots if slot.material is None]
        if obj.material_slots and not missing:
            continue
        material = bpy.data.materials.new("farm")
        tree = material.node_tree
        surface = next(n for n in tree.nodes if n.type == "BSDF_PRINCIPLED")
        if colored is not None:
            attribute = tree.nodes.new("ShaderNodeVertexColor")
            attribute.layer_name = colored.name
            tree.links.new(attribute.outputs["Color"], surface.inputs["Base Color"])
        _show_albedo(tree, surface.inputs["Base Color"])
        if not obj.material_slots:
            obj.data.materials.append(material)
        for slot in missing:
            slot.material = material


def _matrix(values: NDArray[np.float64]) -> Any:
    import mathutils

    return mathutils.Matrix(values.tolist())


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
