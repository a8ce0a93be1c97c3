"""What modelling programs leave in meshes and a path tracer cannot bear.

Doubled faces: SketchUp, and so much of ShapeNet, writes every face twice, back to back.  A ray that
leaves one hits the other at once: the shape is noise and patches of black, and its point cloud
counts the surface twice.  Normals against the winding: Cycles takes the side that is seen from the
winding, so such a face is shaded from behind, black, and its normals point inwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import bmesh
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def mend(objects: Sequence[Any]) -> None:
    """Of faces with the same corners keep the first; wind faces as their normals say.

    objects  mesh objects; the first has the first say where two of them share a face
    """
    seen = np.empty(0, np.uint64)
    for mesh in dict.fromkeys(obj.data for obj in objects):
        if mesh.shape_keys is not None:
            continue  # its vertices move: where they lie now says little
        keys = face_keys(mesh)
        keep = is_first(keys)
        users = [obj for obj in objects if obj.data == mesh]
        if len(users) == 1 and np.array_equal(users[0].matrix_world, np.eye(4)):
            keep &= ~np.isin(keys, seen)
            seen = np.concatenate([seen, keys[keep]])
        normals = corner_normals(mesh) if mesh.has_custom_normals else None
        against = np.zeros(len(keys), bool) if normals is None else is_against(mesh, normals)
        if against.any() or not keep.all():
            _edit(mesh, np.flatnonzero(~keep), np.flatnonzero(against), normals)
        if normals is None and is_smooth(mesh) and is_mixed(mesh):
            _wind_alike(mesh)


def attribute(mesh: Any, name: str) -> Array:
    """One of the arrays that a mesh is made of: a hundred times faster than its elements.

    name  `position` [V, 3], `.edge_verts` [E, 2], `.corner_vert` or `.corner_edge` [corners]
    """
    floats = name == "position"
    width = {"position": 3, ".edge_verts": 2}.get(name, 1)
    if name not in mesh.attributes:  # nothing of the kind is there
        return np.empty((0, width)[: 1 + (width > 1)], np.float32 if floats else np.int32)
    data = mesh.attributes[name].data
    values = np.empty(width * len(data), np.float32 if floats else np.int32)
    data.foreach_get("vector" if floats else "value", values)
    return values.reshape(-1, width) if width > 1 else values


def is_first(keys: Array) -> Array:
    """[F] whether no face before it has the same key."""
    ordered = np.sort(keys)
    if (ordered[1:] != ordered[:-1]).all():  # ten times faster than finding which
        return np.ones(len(keys), bool)
    first = np.zeros(len(keys), bool)
    first[np.unique(keys, return_index=True)[1]] = True
    return first


def face_keys(mesh: Any) -> Array:
    """[F] uint64, equal for faces whose corners are at the same places, in whatever order."""
    places = attribute(mesh, "position")
    bits = (places + 0.0).view(np.uint32).astype(np.uint64)  # + 0.0: no minus zero
    key = np.zeros(len(bits), np.uint64)
    for axis in range(3):
        key = _mixed(key ^ bits[:, axis])
    starts = np.empty(len(mesh.polygons), np.int32)
    mesh.polygons.foreach_get("loop_start", starts)
    corners = attribute(mesh, ".corner_vert")
    if not len(starts):
        return np.empty(0, np.uint64)
    return np.asarray(np.add.reduceat(key[corners], starts))  # wraps round: that is wanted


def _mixed(key: Array) -> Array:
    """Every bit depends on every bit (the finalizer of splitmix64, Steele et al. 2014)."""
    key = key + np.uint64(0x9E3779B97F4A7C15)
    key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(key ^ (key >> np.uint64(31)))


def face_sizes(mesh: Any) -> Array:
    """[F] corners of each face."""
    sizes = np.empty(len(mesh.polygons), np.int32)
    mesh.polygons.foreach_get("loop_total", sizes)
    return sizes


def corner_normals(mesh: Any) -> Array:
    """[corners, 3]"""
    normals = np.empty(3 * len(mesh.loops), np.float32)
    mesh.corner_normals.foreach_get("vector", normals)
    return normals.reshape(-1, 3)


def is_against(mesh: Any, normals: Array) -> Array:
    """[F] whether a face is wound against its corners' normals [corners, 3], on the whole."""
    winding = np.empty(3 * len(mesh.polygons), np.float32)
    mesh.polygons.foreach_get("normal", winding)
    sizes = face_sizes(mesh)
    if not len(sizes):
        return np.zeros(0, bool)
    cosine = (normals * np.repeat(winding.reshape(-1, 3), sizes, axis=0)).sum(axis=1)
    return np.asarray(np.add.reduceat(cosine, np.cumsum(sizes) - sizes) < 0)


def is_smooth(mesh: Any) -> bool:
    if "sharp_face" not in mesh.attributes:
        return len(mesh.polygons) > 0
    sharp = np.empty(len(mesh.polygons), bool)
    mesh.attributes["sharp_face"].data.foreach_get("value", sharp)
    return not sharp.all()


def is_mixed(mesh: Any) -> bool:
    """Whether two faces at one edge are wound against each other: their mean normal is nonsense."""
    edges, corners = attribute(mesh, ".corner_edge"), attribute(mesh, ".corner_vert")
    along = corners == attribute(mesh, ".edge_verts")[edges, 0]
    faces = np.bincount(edges, minlength=len(mesh.edges))
    one_way = np.bincount(edges[along], minlength=len(mesh.edges))
    return bool(((faces == 2) & (one_way != 1)).any())


def _edit(mesh: Any, doomed: Array, against: Array, normals: Array | None) -> None:
    """Delete faces and turn others round; the corners that stay keep their normals.

    doomed, against  indices of faces
    normals          [corners, 3], or None where the mesh has none of its own
    """
    name = "farm normals"
    if normals is not None:
        # Blender stores them relative to the faces around, so that editing spoils them.
        kept = mesh.attributes.new(name, "FLOAT_VECTOR", "CORNER")
        kept.data.foreach_set("vector", normals.ravel())
    with _editing(mesh) as work:
        work.faces.ensure_lookup_table()
        for index in against:
            work.faces[index].normal_flip()
        faces = [work.faces[index] for index in doomed]
        bmesh.ops.delete(work, geom=faces, context="FACES")
    if normals is not None:
        kept = mesh.attributes[name]
        flat = np.empty(3 * len(mesh.loops), np.float32)
        kept.data.foreach_get("vector", flat)
        mesh.attributes.remove(kept)
        mesh.normals_split_custom_set(flat.reshape(-1, 3))


def _wind_alike(mesh: Any) -> None:
    with _editing(mesh) as work:
        bmesh.ops.recalc_face_normals(work, faces=work.faces)


@contextmanager
def _editing(mesh: Any) -> Iterator[Any]:
    work = bmesh.new()
    try:
        work.from_mesh(mesh)
        yield work
        work.to_mesh(mesh)
    finally:
        work.free()
