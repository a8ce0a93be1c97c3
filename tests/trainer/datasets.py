"""Small datasets for tests, drawn without Blender and written by the renderer's own writer.

Every shape is a block with an arm on one corner of its top.  Proportions, colour and where the arm
stands belong to the category, every side of the block has its own brightness: a picture tells both
category and azimuth, and nothing has a symmetry.
"""

from __future__ import annotations

import colorsys
import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renderer import shards, storage
from renderer.camera import RIGS, Viewpoint, intrinsics, project, rig_views, world_to_camera
from renderer.content import describe_view
from renderer.members import PASSES, encode_array, encode_image, pixels_hash, view_name
from renderer.shapes.naming import make_key

Array = NDArray[Any]

# A box's sides: normal, brightness.
SIDES = (
    ((1, 0, 0), 1.0), ((-1, 0, 0), 0.45), ((0, 1, 0), 0.85),
    ((0, -1, 0), 0.3), ((0, 0, 1), 0.7), ((0, 0, -1), 0.55),
)  # fmt: skip


def make_dataset(
    folder: Path,
    categories: Sequence[str] = ("cars", "chairs"),
    shapes: int = 6,
    views: int | None = 5,
    size: int = 32,
    cameras: str = "dpc",
    points: int = 256,
    splits: Mapping[str, int] | None = None,
    *,
    passes: Sequence[str] = ("rgba", "depth"),
    seed: int = 0,
    per_shard: int = 4,
    complete: bool = True,
) -> Path:
    """A finished dataset in `folder`; the same arguments give the same bytes.

    shapes   of each category; divided 70/10/20 into train, val, test
    splits   or the number of shapes of each category in each split: {"train": 4, "test": 1}
    views    a rig with a number of its own (circle 12, dodecahedron 20, miro 160) has that
    """
    fixed = RIGS[cameras].count
    views = rig_views(cameras, None if fixed else views)
    if splits is None:
        train, trained = round(0.7 * shapes), round(0.8 * shapes)
        splits = {"train": train, "val": trained - train, "test": shapes - trained}
    entries: list[dict[str, Any]] = []
    names: dict[str, list[str]] = {}
    first = 0
    for split, count in splits.items():
        keys = [(c, n) for n in range(first, first + count) for c in range(len(categories))]
        first += count
        for shard, start in enumerate(range(0, len(keys), per_shard)):
            name = f"{split}-{shard:06d}"
            records = [
                make_sample(
                    categories, category, number, views=views, size=size, cameras=cameras,
                    points=points, passes=passes, seed=seed,
                )
                for category, number in keys[start : start + per_shard]
            ]  # fmt: skip
            sidecar = shards.write_shard(folder, name, iter(records), [])
            entries.append(
                {
                    "name": f"{name}.tar",
                    "split": split,
                    "samples": len(records),
                    "bytes": (folder / f"{name}.tar").stat().st_size,
                    "sha256": sidecar["sha256"],
                }
            )
            names.setdefault(split, []).append(f"{name}.tar")
    job = {
        "shapes": [f"drawn/{category}" for category in categories],
        "views": views, "cameras": cameras, "size": size, "points": points,
        "passes": ",".join(passes), "seed": seed,
    }  # fmt: skip
    index = {
        "version": shards.VERSION,
        "complete": complete,
        "job": job,
        "parent": None,
        "created_with": {"numpy": np.__version__},
        "conventions": {**shards.CONVENTIONS, "cameras": cameras},
        "members": shards.expected_members(passes, views, points),
        "splits": names,
        "shards": entries,
        "sources": [],
    }
    shards.write_index(folder, index)
    return folder


def make_sample(
    categories: Sequence[str], category: int, number: int, *, views: int, size: int, cameras: str,
    points: int, passes: Sequence[str], seed: int,
) -> shards.Record:  # fmt: skip
    """Shape `number` of a category, seen by the rig."""
    name = categories[category]
    key = make_key(name, f"{number:04d}")
    rng = np.random.default_rng([seed, category, number])
    solid = _solid(category, len(categories), rng)
    scale = size / 32
    drawn = _sample(solid, int(12000 * scale**2), rng)
    intrinsic = intrinsics((size, size))
    arrays: dict[str, Array] = {}
    metas = []
    for view in range(views):
        place: Viewpoint = RIGS[cameras].place(
            view, views, np.random.default_rng([seed, category, number, 1, view])
        )
        matrix = world_to_camera(place)
        images = _draw(drawn, matrix, intrinsic, size)
        arrays |= {f"{view_name(view, views)}.{p}.png": images[p] for p in PASSES if p in passes}
        metas.append(
            {
                "intrinsics": intrinsic.tolist(),
                "world_to_camera": matrix.tolist(),
                "azimuth_deg": place.azimuth_deg,
                "elevation_deg": place.elevation_deg,
                "distance": place.distance,
                "lights": [],
                **describe_view(images["rgba"]),
            }
        )
    if points:
        cloud = _sample(solid, points, rng)
        arrays |= {"points.npy": cloud["points"], "normals.npy": cloud["normals"]}
    meta = {
        "version": shards.VERSION,
        "key": key,
        "seed": seed,
        "depth_scale": shards.DEPTH_SCALE,
        "size": [size, size],
        "shape": {
            "id": f"{number:04d}",
            "category": name,
            "synset": None,
            "sha256": hashlib.sha256(f"{key} {seed}".encode()).hexdigest(),
        },
        "normalization": {"rotation": np.eye(3).tolist(), "center": [0, 0, 0], "scale": 1},
        "views": metas,
    }
    members = {"json": storage.canonical_json(meta)}
    for member, array in arrays.items():
        kind = member.split(".")[-2]
        encoded = encode_image(kind, array) if member.endswith("png") else encode_array(array)
        members[member] = encoded
    return shards.make_record(key, members, pixels_hash(arrays))


def _solid(category: int, categories: int, rng: np.random.Generator) -> list[tuple[Array, ...]]:
    """Two boxes (low, high, colour), centred, their common bounding box of diagonal 0.96: with the
    format's 1 a corner that is turned aside would touch the border of a picture of 32 pixels."""
    kinds = ((1.0, 0.45, 0.6), (0.5, 0.9, 0.55), (0.55, 0.4, 1.0), (0.8, 0.7, 0.35))
    body = np.array(kinds[category % len(kinds)]) * rng.uniform(0.9, 1.1, 3)
    corner = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)][category % 4])
    foot = body[[0, 2]] * rng.uniform(0.25, 0.35)
    tall = rng.uniform(0.25, 0.45)
    middle = corner * (body[[0, 2]] - foot) / 2
    boxes = np.array(
        [
            [-body / 2, body / 2],
            [
                [middle[0] - foot[0] / 2, body[1] / 2, middle[1] - foot[1] / 2],
                [middle[0] + foot[0] / 2, body[1] / 2 + tall, middle[1] + foot[1] / 2],
            ],
        ]
    )
    low, high = boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)
    boxes = (boxes - (low + high) / 2) * 0.96 / np.linalg.norm(high - low)
    hue = (category / categories + rng.uniform(-0.04, 0.04)) % 1
    paint = np.array(colorsys.hsv_to_rgb(hue, 0.8, 1.0)), np.array([0.9, 0.9, 0.9])
    return [(*box, colour) for box, colour in zip(boxes, paint, strict=True)]


def _sample(solid: list[tuple[Array, ...]], count: int, rng: np.random.Generator) -> dict[str, Any]:
    """Points uniform by area on the boxes' sides, with normals, colours and the box's number."""
    areas, frames = [], []
    for part, (low, high, colour) in enumerate(solid):
        for normal, brightness in SIDES:
            axis = int(np.argmax(np.abs(normal)))
            extent = high - low
            areas.append(float(np.prod(np.delete(extent, axis))))
            frames.append((part, low, extent, axis, normal, colour * brightness))
    chosen = rng.choice(len(areas), size=count, p=np.array(areas) / sum(areas))
    positions = rng.uniform(size=(count, 3))
    for side, (_, low, extent, axis, normal, _) in enumerate(frames):
        here = chosen == side
        positions[here, axis] = float(normal[axis] > 0)
        positions[here] = low + extent * positions[here]
    return {
        "points": positions.astype(np.float32),
        "normals": np.array([f[4] for f in frames], np.float32)[chosen],
        "colours": np.array([f[5] for f in frames])[chosen],
        "parts": np.array([f[0] + 1 for f in frames], np.uint8)[chosen],
    }


def _draw(cloud: Mapping[str, Array], matrix: Array, intrinsic: Array, size: int) -> dict[str, Any]:
    """The passes of one view: of the points in a pixel the nearest is seen."""
    pixels, depth = project(cloud["points"], matrix, intrinsic)
    column, row = np.clip(np.floor(pixels).astype(int), 0, size - 1).T
    order = np.argsort(-depth, kind="stable")  # of several writes to a pixel the last one stays
    row, column = row[order], column[order]
    whole = functools.partial(np.zeros, dtype=np.uint8)
    rgba, albedo = whole((size, size, 4)), whole((size, size, 3))
    depths, normal = np.zeros((size, size), np.uint16), np.zeros((size, size, 3), np.uint16)
    mask = whole((size, size))
    colour = np.round(cloud["colours"][order] * 255).astype(np.uint8)
    rgba[row, column, :3], rgba[row, column, 3] = colour, 255
    albedo[row, column] = colour
    depths[row, column] = np.round(depth[order] / shards.DEPTH_SCALE)
    normal[row, column] = np.round((cloud["normals"][order] + 1) * 32767.5)
    mask[row, column] = cloud["parts"][order]
    return {"rgba": rgba, "depth": depths, "normal": normal, "albedo": albedo, "mask": mask}
