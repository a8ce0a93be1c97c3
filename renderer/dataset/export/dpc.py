"""The layout that the public code of Insafutdinov and Dosovitskiy (NeurIPS 2018) reads.

Blender's world has z up: our (x, y, z) is (x, -z, y) there, so that the code's
`quaternion_from_campos` of `pos` turns the clouds, which stay in our frame, to the camera.

Source: github.com/eldar/differentiable-point-clouds, dpc/run/create_tf_records.py, util/camera.py.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renderer import storage
from renderer.dataset.export._frames import TO_Z_UP, homogeneous
from renderer.members import encode_image, view_name
from renderer.shards import Dataset, Sample
from renderer.split import SPLITS

Array = NDArray[Any]

MAX_DEPTH = 10.0
VOXEL = 0.01
"""Edge of the cells in which the ground-truth clouds are averaged, as the original ones are."""

README = """\
# Renders for Differentiable Point Clouds

    renders/<synset>/<model>/render_<i>.png     RGBA, straight alpha
    renders/<synset>/<model>/camera_<i>.mat     pos [1, 3], extrinsic [4, 4]
    renders/<synset>/<model>/depth_<i>.png      16 bits, depth = value * 10 / 65535; 10: no hit
    gt/downsampled/<synset>/<model>.mat         points [N, 3]
    splits/<synset>_{train,val,test}.txt        one model per line

`pos` is the camera in Blender's world, z up: (x, -z, y) of the dataset's. `extrinsic` takes points
of that world to the camera's frame (x right, y down, z forward).
The ground-truth clouds are in the dataset's frame, y up as ShapeNet's; each is the uniform sample
of the dataset averaged in cells of 0.01. The original ones come from splitting edges before that.
Shapes are normalized to a bounding-box diagonal of 1; with the cameras of `--cameras dpc`, a
distance of 2 and a lens of 60 mm on a sensor of 32 mm, they are seen as the code assumes.
Where a shape has no synset, its category's name takes the place.
"""


def check(dataset: Dataset) -> None:
    sample = dataset[0]
    if "world_to_camera" not in sample.meta["views"][0]:
        raise ValueError(f"{dataset.folder} has no cameras, which dpc needs; try --format folder")
    if "points.npy" not in sample.members:
        raise ValueError(f"{dataset.folder} has no point clouds, which dpc needs")


def place(sample: Sample, split: str, shape: Mapping[str, Any]) -> str:
    return f"renders/{shape['group']}/{shape['id']}"


def write(sample: Sample, split: str, folder: Path, shape: Mapping[str, Any]) -> None:
    for number, view in enumerate(sample.views):
        name = view_name(number, len(sample.views))
        (folder / f"render_{number}.png").write_bytes(sample.read(f"{name}.rgba.png"))
        extrinsic = view.world_to_camera @ homogeneous(TO_Z_UP).T
        camera = {"extrinsic": extrinsic, "pos": position(view.world_to_camera)[None]}
        (folder / f"camera_{number}.mat").write_bytes(mat(camera))
        if view.has("depth"):
            depth = np.where(view.depth > 0, view.depth, MAX_DEPTH)
            stored = np.rint(depth / MAX_DEPTH * 65535).clip(0, 65535).astype(np.uint16)
            (folder / f"depth_{number}.png").write_bytes(encode_image("depth", stored))
    # The cloud lies outside of the sample's folder, which is renamed last and makes it count.
    out = folder.parents[2]
    cloud = out / "gt" / "downsampled" / shape["group"] / f"{shape['id']}.mat"
    storage.write(cloud, mat({"points": averaged(sample.points)}))


def finish(out: Path, listed: Mapping[str, Sequence[tuple[str, Mapping[str, Any]]]]) -> None:
    groups = sorted({shape["group"] for samples in listed.values() for _, shape in samples})
    splits = [*SPLITS, *(split for split in listed if split not in SPLITS)]
    models: dict[str, list[str]] = {f"{g}_{split}": [] for g in groups for split in splits}
    for split, samples in listed.items():
        for _, shape in samples:
            models[f"{shape['group']}_{split}"].append(shape["id"])
    for name, ids in models.items():
        text = "".join(f"{model}\n" for model in sorted(ids))
        storage.write(out / "splits" / f"{name}.txt", text.encode())


def position(world_to_camera: Array) -> Array:
    """[3] the camera's place in Blender's world."""
    return np.asarray(TO_Z_UP @ -(world_to_camera[:3, :3].T @ world_to_camera[:3, 3]))


def averaged(points: Array) -> Array:
    """[M, 3] float32: the mean of the points in each cell of VOXEL."""
    cells = np.floor((points - points.min(axis=0)) / VOXEL + 0.5).astype(np.int64)
    _, cell, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    sums = [np.bincount(cell.reshape(-1), column, len(counts)) for column in points.T]
    return np.asarray(np.stack(sums, axis=1) / counts[:, None], np.float32)


def mat(arrays: Mapping[str, Array]) -> bytes:
    """A MATLAB 5 file, the same bytes whenever it is written."""
    from scipy.io import savemat

    buffer = io.BytesIO()
    savemat(buffer, dict(arrays), do_compression=True)
    data = buffer.getvalue()
    # The header's first 116 bytes are free text, in which SciPy puts the time.
    return b"MATLAB 5.0 MAT-file".ljust(116) + data[116:]
