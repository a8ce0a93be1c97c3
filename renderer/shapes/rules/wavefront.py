"""A shape as OBJ, MTL and PNG files in ShapeNet v2's layout.

Source: Wavefront's OBJ and MTL formats as Blender, trimesh and ShapeNet's own files use them.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import PurePosixPath

import numpy as np

from renderer.shapes.rules.material import Material
from renderer.shapes.rules.normals import corner_normals
from renderer.shapes.rules.part import Part
from renderer.shapes.rules.solid import Floats, Indices
from renderer.shapes.rules.texture import png

MESH = PurePosixPath("models/model_normalized.obj")
MATERIALS = PurePosixPath("models/model_normalized.mtl")
IMAGES = PurePosixPath("images")

ROUND = 1e4  # normals are told apart to this share; finer shows in no picture


def files(parts: list[Part]) -> dict[PurePosixPath, bytes]:
    """The files of a shape, by their names in the model's folder.

    parts   those of one name side by side

    The mesh is scaled to a bounding-box diagonal of 1 and centred.
    """
    materials = {part.material.name: part.material for part in parts}
    for part in parts:
        assert materials[part.material.name] == part.material, f"two {part.material.name}"
    textures = {name: m for name, m in materials.items() if m.texture is not None}
    pictures = {name: f"texture{i}.png" for i, name in enumerate(textures)}
    out = {MESH: _mesh(parts).encode(), MATERIALS: _library(materials, pictures).encode()}
    for name, material in textures.items():
        assert material.texture is not None
        out[IMAGES / pictures[name]] = png(material.texture.pixels)
    return out


def _mesh(parts: list[Part]) -> str:
    solids = [part.solid for part in parts]
    starts = np.cumsum([0, *(len(solid.points) for solid in solids)])
    points = np.concatenate([solid.points for solid in solids])
    triangles = np.concatenate([s.triangles + at for s, at in zip(solids, starts, strict=False)])
    low, high = points.min(axis=0), points.max(axis=0)
    points = (points - (low + high) / 2) / np.linalg.norm(high - low)
    points = np.round(points, 7) + 0.0  # no -0

    crease = np.concatenate([np.full(len(s.triangles), s.crease_deg) for s in solids])
    normals, normal_numbers = _distinct(corner_normals(points, triangles, crease), ROUND)
    text = [
        "# shapefarm sample, y up, front along +x\n",
        f"mtllib {MATERIALS.name}\n",
        _lines("v %.7f %.7f %.7f\n", points),
        _lines("vn %.4f %.4f %.4f\n", normals),
    ]
    at = vt = 0
    for name, same in groupby(parts, key=lambda part: part.name):
        text.append(f"o {name}\n")
        material = ""
        for part in same:
            count = len(part.solid.triangles)
            corner = triangles[at : at + count] + 1
            normal = normal_numbers[at : at + count] + 1
            at += count
            if part.material.name != material:
                material = part.material.name
                text.append(f"usemtl {material}\n")
            if part.material.texture is None:
                text.append(_lines("f %d//%d %d//%d %d//%d\n", np.stack([corner, normal], -1)))
                continue
            assert part.solid.uv is not None, f"{part.name}: a texture needs texture coordinates"
            uv, uv_numbers = _distinct(part.solid.uv, ROUND)
            text.append(_lines("vt %.4f %.4f\n", uv))
            numbers = np.stack([corner, uv_numbers + vt + 1, normal], axis=-1)
            text.append(_lines("f %d/%d/%d %d/%d/%d %d/%d/%d\n", numbers))
            vt += len(uv)
    return "".join(text)


def _distinct(corners: Floats, scale: float) -> tuple[Floats, Indices]:
    """Rows [K, D] that differ once rounded, and each corner's [M, 3] number among them."""
    rows = np.round(corners.reshape(-1, corners.shape[-1]) * scale).astype(np.int64)
    low = rows.min(axis=0)
    span = rows.max(axis=0) - low + 1
    key = np.zeros(len(rows), np.int64)
    for axis in range(rows.shape[1]):  # one number per row: sorting rows takes ten times as long
        key = key * span[axis] + (rows[:, axis] - low[axis])
    _, first, numbers = np.unique(key, return_index=True, return_inverse=True)
    return rows[first] / scale + 0.0, numbers.reshape(corners.shape[:2])


def _lines(form: str, values: Floats | Indices) -> str:
    """One formatted line for each entry of the first axis."""
    return (form * len(values)) % tuple(values.ravel().tolist())


def _library(materials: dict[str, Material], pictures: dict[str, str]) -> str:
    text = []
    for name, material in materials.items():
        color = (1.0, 1.0, 1.0) if material.texture else material.linear
        text += [
            f"newmtl {name}\n",
            f"Ns {material.shininess:.2f}\n",
            "Ka 0 0 0\n",
            f"Kd {color[0]:.4f} {color[1]:.4f} {color[2]:.4f}\n",
            f"Ks {material.specular:.4f} {material.specular:.4f} {material.specular:.4f}\n",
            "Ni 1.45\nd 1\nillum 2\n",
        ]
        if name in pictures:
            text.append(f"map_Kd ../{IMAGES}/{pictures[name]}\n")
        text.append("\n")
    return "".join(text)
