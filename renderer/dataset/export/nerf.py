"""nerfstudio's layout (its `nerfstudio-data` parser), one scene per sample.

Our world has y up, nerfstudio's z up: everything is turned by (x, y, z) -> (x, -z, y), cameras and
points alike, and nothing else is done to it; `applied_transform` records the turn in the way that
nerfstudio reads back.  Cameras are OpenGL's there: camera to world, looking along -z.

Source: nerfstudio, docs/quickstart/data_conventions.md and data/dataparsers/nerfstudio_dataparser.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renderer import storage
from renderer.camera import project
from renderer.dataset.export._frames import FROM_OPENGL, TO_Z_UP, homogeneous
from renderer.members import encode_image, view_name
from renderer.shards import Dataset, Sample

Array = NDArray[Any]

DEPTH_UNIT = 1e-3
"""What nerfstudio multiplies 16-bit depth with unless told otherwise (--depth-unit-scale-factor);
with ours, 20 times finer, every plain call would be wrong by as much."""
EVERY = 8
"""Each eighth view is held out, and the last one where there are fewer: left to itself, nerfstudio
would hold out none of five views, and fail."""
SEEN_WITHIN = 0.01
"""A point is seen in a pixel when it lies no further than this behind the pixel's depth."""

README = """\
# Scenes for nerfstudio

`<split>/<key>/` is one scene: `transforms.json`, `images/`, `depth/` (where the dataset has depth)
and `points.ply` (the ground-truth cloud with colours from the views).

    ns-train splatfacto --data train/<key> nerfstudio-data --center-method none
    ns-train depth-nerfacto --data train/<key> nerfstudio-data --center-method none

World: z up, the shape centred at the origin, its bounding box's diagonal 1. It is the dataset's
world (y up) turned by (x, y, z) -> (x, -z, y), which `applied_transform` says too; nothing else was
applied. `--center-method none` keeps nerfstudio from moving the origin to the cameras' mean.
Cameras: OpenGL's, camera to world. `cx`, `cy` in pixels from the top left corner.
Depth: 16 bits in thousandths of a unit (nerfstudio's default factor, 0.001), along the optical
axis; 0 where nothing was hit. `farm dataset export --format folder` keeps the full precision.
Images have straight alpha; nerfstudio puts its background colour behind it.
"""


def check(dataset: Dataset) -> None:
    if "world_to_camera" not in dataset[0].meta["views"][0]:
        raise ValueError(f"{dataset.folder} has no cameras, which nerf needs; try --format folder")


def place(sample: Sample, split: str, shape: Mapping[str, Any]) -> str:
    return f"{split}/{sample.key}"


def write(sample: Sample, split: str, folder: Path, shape: Mapping[str, Any]) -> None:
    width, height = sample.meta["size"]
    views = sample.views
    (fx, _, cx), (_, fy, cy), _ = views[0].intrinsics.tolist()
    depths = views[0].has("depth")
    (folder / "images").mkdir()
    if depths:
        (folder / "depth").mkdir()
    frames = []
    for number, view in enumerate(views):
        name = view_name(number, len(views))
        image = f"images/{name}.png"
        (folder / image).write_bytes(sample.read(f"{name}.rgba.png"))
        frame: dict[str, Any] = {
            "file_path": image,
            "transform_matrix": camera_to_world(view.world_to_camera).tolist(),
        }
        if not np.array_equal(view.intrinsics, views[0].intrinsics):
            (fl_x, _, c_x), (_, fl_y, c_y), _ = view.intrinsics.tolist()
            frame |= {"fl_x": fl_x, "fl_y": fl_y, "cx": c_x, "cy": c_y}
        if depths:
            frame["depth_file_path"] = f"depth/{name}.png"
            thousandths = np.rint(view.depth / DEPTH_UNIT).clip(0, 65535).astype(np.uint16)
            (folder / "depth" / f"{name}.png").write_bytes(encode_image("depth", thousandths))
        frames.append(frame)
    lens: dict[str, Any] = {"fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy}
    if any("fl_x" in frame for frame in frames):
        frames = [lens | frame for frame in frames]
        lens = {}
    transforms: dict[str, Any] = {
        "camera_model": "OPENCV",
        "w": width,
        "h": height,
        **lens,
        "k1": 0.0,
        "k2": 0.0,
        "p1": 0.0,
        "p2": 0.0,
        "orientation_override": "none",
        "applied_transform": homogeneous(TO_Z_UP)[:3].tolist(),
    }
    if depths:
        transforms["depth_unit_scale_factor"] = DEPTH_UNIT
    if "points.npy" in sample.members:
        transforms["ply_file_path"] = "points.ply"
        normals = sample.normals @ TO_Z_UP.T if "normals.npy" in sample.members else None
        (folder / "points.ply").write_bytes(ply(sample.points @ TO_Z_UP.T, normals, colors(sample)))
    held_out = list(range(EVERY - 1, len(views), EVERY)) or [len(views) - 1]
    training = [n for n in range(len(views)) if n not in held_out] or held_out
    paths = [frame["file_path"] for frame in frames]
    transforms |= {
        "train_filenames": [paths[n] for n in training],
        "val_filenames": [paths[n] for n in held_out],
        "test_filenames": [paths[n] for n in held_out],
        "frames": frames,
    }
    (folder / "transforms.json").write_bytes(storage.readable_json(transforms))


def camera_to_world(world_to_camera: Array) -> Array:
    """[4, 4] OpenGL camera to the z-up world, of OpenCV's [4, 4] from our world."""
    return np.asarray(homogeneous(TO_Z_UP) @ np.linalg.inv(world_to_camera) @ FROM_OPENGL)


def colors(sample: Sample) -> NDArray[np.uint8]:
    """[N, 3] sRGB of the cloud's points: the mean over the views that see them, else grey."""
    total = np.zeros((len(sample.points), 3))
    seen = np.zeros(len(sample.points))
    for view in sample.views:
        height, width = view.rgba.shape[:2]
        pixels, depth = project(sample.points, view.world_to_camera, view.intrinsics)
        column, row = np.floor(pixels).astype(np.int64).T
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (depth > 0)
        at = row[inside], column[inside]
        visible = view.rgba[at][:, 3] > 0
        if view.has("depth"):
            visible &= np.abs(depth[inside] - view.depth[at]) < SEEN_WITHIN
        points = np.flatnonzero(inside)[visible]
        total[points] += view.rgba[at][visible, :3]
        seen[points] += 1
    mean = np.full((len(total), 3), 128.0)
    mean[seen > 0] = total[seen > 0] / seen[seen > 0, None]
    return np.asarray(np.rint(mean), np.uint8)


def ply(points: Array, normals: Array | None, colors: Array) -> bytes:
    """Binary PLY of points [N, 3], normals [N, 3] or none, and 8-bit colours [N, 3]."""
    names = [("x", "<f4"), ("y", "<f4"), ("z", "<f4")]
    columns = [points]
    if normals is not None:
        names += [("nx", "<f4"), ("ny", "<f4"), ("nz", "<f4")]
        columns.append(normals)
    names += [("red", "u1"), ("green", "u1"), ("blue", "u1")]
    columns.append(colors)
    table = np.zeros(len(points), dtype=names)
    for (name, _), column in zip(names, np.concatenate(columns, axis=1).T, strict=True):
        table[name] = column
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(points)}"]
    header += [f"property {'uchar' if t == 'u1' else 'float'} {name}" for name, t in names]
    return "\n".join([*header, "end_header", ""]).encode() + table.tobytes()
