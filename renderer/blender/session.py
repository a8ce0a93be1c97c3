"""A warm Blender: one shape after another, and memory that does not grow."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from renderer.blender import engine, load, passes
from renderer.blender.mend import attribute
from renderer.camera import filter_width, project, world_to_camera
from renderer.errors import BadInput
from renderer.layout import ViewLayout
from renderer.shapes.references import references

Array = NDArray[Any]

# Turning a file's z up to the world's y up: (x, y, z) -> (x, z, -y).
_Z_UP = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0))
_Y_UP = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """world = rotation (file - center) * scale: y up, centred, bounding-box diagonal 1."""

    rotation: tuple[tuple[float, float, float], ...]
    center: tuple[float, float, float]
    scale: float

    def apply(self, points: Array) -> Array:
        """[..., 3] of the file to [..., 3] of the world."""
        return np.asarray((points - np.array(self.center)) * self.scale @ np.array(self.rotation).T)

    @property
    def matrix(self) -> Array:
        """[4, 4]"""
        matrix = np.eye(4)
        matrix[:3, :3] = np.array(self.rotation) * self.scale
        matrix[:3, 3] = -matrix[:3, :3] @ np.array(self.center)
        return matrix


def normalization_of(vertices: Array, up: str) -> Normalization:
    """What centres vertices [V, 3] and makes their bounding box's diagonal 1.

    Raises BadInput when that is impossible.
    """
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    with np.errstate(over="ignore"):
        diagonal = float(np.linalg.norm(high - low))
    if not np.isfinite(diagonal) or diagonal <= 0:
        raise BadInput("its bounding box has no finite size")
    return Normalization(
        rotation=_Z_UP if up == "z" else _Y_UP,
        center=tuple(float(c) for c in (low + high) / 2),  # type: ignore[arg-type]
        scale=1 / diagonal,
    )


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A shape in Blender, normalized."""

    triangles: Array
    """[T, 3, 3] float64, world"""
    vertices: Array
    """[V, 3] float64, world, each once"""
    normalization: Normalization


class Session:
    """Blender in this process. There is one."""

    def __init__(self, threads: int | None = None):
        self.device = engine.start(threads)
        self._warm_up()
        # Whoever starts this program gives it a folder in memory (TMPDIR) and removes it after.
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self._memory = tempfile.TemporaryDirectory(
            prefix="shapefarm-", dir=os.environ.get("TMPDIR", memory)
        )

    @property
    def version(self) -> str:
        return str(bpy.app.version_string)

    @property
    def memory(self) -> Path:
        """A folder in memory, for what Cycles writes."""
        return Path(self._memory.name)

    @contextmanager
    def shape(self, path: Path, up: str, texture_roots: Sequence[Path]) -> Iterator[Loaded]:
        """The shape of a file, loaded for as long as the block lasts.

        Raises BadInput.
        """
        kept = set(_all_data())
        try:
            parts = load.load(path, references(path, tuple(texture_roots)))
            vertices, faces = load.geometry(parts)
            normalization = normalization_of(vertices, up)
            _transform(normalization, kept)
            _use_twice(parts)
            world = normalization.apply(vertices)
            yield Loaded(triangles=world[faces], vertices=world, normalization=normalization)
        finally:
            bpy.data.batch_remove([data for data in _all_data() if data not in kept])
            bpy.data.orphans_purge(do_local_ids=True, do_linked_ids=True, do_recursive=True)

    def render(
        self, loaded: Loaded, view: ViewLayout, intrinsics: Array, size: tuple[int, int], spp: int
    ) -> dict[str, Array]:
        """The stored passes of one view of the loaded shape."""
        scene = bpy.context.scene
        scene.render.resolution_x, scene.render.resolution_y = size
        scene.cycles.samples = spp
        scene.cycles.seed = view.sampling_seed
        scene.cycles.filter_width = filter_width(size[0])
        matrix = world_to_camera(view.viewpoint)
        passes.place_camera(matrix, intrinsics, size)
        passes.place_lights(view.lights)
        border = passes.border_of(project(loaded.vertices, matrix, intrinsics)[0], size)
        raw = passes.trace(border, size, Path(self._memory.name) / "view.exr")
        return passes.framed(passes.encode(raw, matrix[:3, :3]), border, size)

    def _warm_up(self) -> None:
        scene = bpy.context.scene
        scene.render.resolution_x = scene.render.resolution_y = 8
        scene.cycles.samples = 1
        bpy.ops.render.render()


def _all_data() -> Iterator[Any]:
    data = bpy.data
    for collection in (
        data.objects, data.meshes, data.materials, data.images, data.textures, data.armatures,
        data.actions, data.cameras, data.lights, data.curves, data.collections, data.node_groups,
        data.shape_keys, data.scenes, data.worlds,
    ):  # fmt: skip
        yield from collection


def _transform(normalization: Normalization, kept: set[Any]) -> None:
    """Bring the shape into the world.

    Where nothing stands in the way the vertices themselves are moved, in double precision: Cycles
    reckons in single precision, in which a shape at 1e20 or far from the origin comes to nothing.
    """
    import mathutils

    for obj in bpy.data.objects:
        if obj in kept or obj.parent is not None:
            continue
        matrix = np.array(obj.matrix_world)
        if _is_plain(obj) and np.array_equal(matrix, np.eye(4)):
            places = attribute(obj.data, "position")
            moved = normalization.apply(places.astype(np.float64)).astype(np.float32)
            obj.data.attributes["position"].data.foreach_set("vector", moved.ravel())
            obj.data.update()
        else:
            obj.matrix_world = mathutils.Matrix((normalization.matrix @ matrix).tolist())
    bpy.context.view_layer.update()


def _is_plain(obj: Any) -> bool:
    """Whether its mesh is its own and nothing is computed from it."""
    if obj.type != "MESH" or obj.data.users != 1 or obj.children:
        return False
    return not obj.modifiers and obj.data.shape_keys is None


def _use_twice(parts: Sequence[load.Part]) -> None:
    """Give every mesh a second user, which no ray of ours can see.

    Cycles bakes the place of a mesh with one user into its vertices, and builds its search tree
    anew whenever a light moves: a view of 320k triangles at 1 sample took 163 ms of CPU, and takes
    24 ms with a second user.  It must be visible to some kind of ray, else Cycles leaves it out:
    so it is to those that scatter in volumes, of which there are none.  It changes the last bits,
    so it is always done.
    """
    for part in parts:
        second = bpy.data.objects.new("second user", part.object.data)
        second.location = (0, 0, -50)
        for ray in ("camera", "diffuse", "glossy", "transmission", "shadow"):
            setattr(second, f"visible_{ray}", False)
        bpy.context.scene.collection.objects.link(second)
