"""Exports mean the same to the programs that read them as the dataset does to us."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import loadmat

from farm.commands.dataset import Export
from renderer.camera import project
from renderer.dataset.export import dpc, export, formats
from renderer.dataset.subset import Choice, subset
from renderer.shards import Dataset, Sample

Array = NDArray[Any]


def samples(folder: Path) -> list[tuple[str, Sample]]:
    index = Dataset(folder).index
    return [(split, sample) for split in index["splits"] for sample in Dataset(folder, split)]


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def agreement(row: Array, column: Array, alpha: Array) -> tuple[float, float]:
    """Share of the points on the shape within a pixel; share of opaque pixels near a point."""
    height, width = alpha.shape
    row, column = np.floor(row).astype(int), np.floor(column).astype(int)
    within = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    near = cv2.dilate((alpha > 0).astype(np.uint8), np.ones((3, 3), np.uint8))
    inside = near[row[within], column[within]].sum() / len(row)
    empty = np.ones(alpha.shape, np.uint8)
    empty[row[within], column[within]] = 0
    distance = cv2.distanceTransform(empty, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return float(inside), float((distance[alpha == 255] <= 2).mean())


# --- nerf --------------------------------------------------------------------------------------


def read_ply(path: Path) -> Array:
    header, _, body = path.read_bytes().partition(b"end_header\n")
    lines = header.decode().splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    types = {"float": "<f4", "uchar": "u1"}
    fields = [line.split()[1:] for line in lines if line.startswith("property")]
    return np.frombuffer(body, [(name, types[kind]) for kind, name in fields])


def opengl_pixels(points: Array, frame: dict[str, Any], lens: dict[str, Any]) -> Array:
    """[N, 3] column, row and depth, as nerfstudio understands a frame: camera to world, the camera
    looks along -z, y is up."""
    matrix = np.array(frame["transform_matrix"])
    x, y, z = ((points - matrix[:3, 3]) @ matrix[:3, :3]).T
    column = lens["cx"] + lens["fl_x"] * x / -z
    row = lens["cy"] - lens["fl_y"] * y / -z
    return np.stack([column, row, -z], axis=1)


@pytest.fixture(scope="module")
def nerf(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("nerf") / "out"
    assert export(rendered, "nerf", out) == 5
    return out


def test_nerf_cameras_see_the_cloud_where_the_pictures_show_the_shape(
    rendered: Path, nerf: Path
) -> None:
    for split, sample in samples(rendered):
        folder = nerf / split / sample.key
        transforms = json.loads((folder / "transforms.json").read_text())
        assert (transforms["w"], transforms["h"]) == (48, 48)
        table = read_ply(folder / transforms["ply_file_path"])
        cloud = np.stack([table[axis] for axis in "xyz"], axis=1)
        assert len(transforms["frames"]) == 3
        for number, frame in enumerate(transforms["frames"]):
            image = cv2.imread(str(folder / frame["file_path"]), cv2.IMREAD_UNCHANGED)
            seen = opengl_pixels(cloud, frame, transforms)
            inside, covered = agreement(seen[:, 1], seen[:, 0], image[..., 3])
            assert inside >= 0.99 and covered >= 0.95
            view = sample.views[number]
            ours, depth = project(sample.points, view.world_to_camera, view.intrinsics)
            assert np.allclose(seen, np.c_[ours, depth], atol=1e-4)


def test_nerf_depth_is_right_with_nerfstudio_s_own_factor(rendered: Path, nerf: Path) -> None:
    split, sample = samples(rendered)[0]
    folder = nerf / split / sample.key
    transforms = json.loads((folder / "transforms.json").read_text())
    for frame, view in zip(transforms["frames"], sample.views, strict=True):
        stored = cv2.imread(str(folder / frame["depth_file_path"]), cv2.IMREAD_ANYDEPTH)
        assert stored.dtype == np.uint16
        assert np.abs(stored * 0.001 - view.depth).max() <= 0.0005 + 1e-6
        assert transforms["depth_unit_scale_factor"] == 0.001


def test_nerf_scenes_stand_upright_with_z_up(nerf: Path, rendered: Path) -> None:
    split, sample = samples(rendered)[0]
    transforms = json.loads((nerf / split / sample.key / "transforms.json").read_text())
    applied = np.array(transforms["applied_transform"])
    assert np.array_equal(applied @ [0, 1, 0, 1], [0, 0, 1])
    assert np.linalg.det(applied[:, :3]) == 1
    table = read_ply(nerf / split / sample.key / "points.ply")
    cloud = np.stack([table[axis] for axis in "xyz"], axis=1)
    assert np.array_equal(cloud, (sample.points @ applied[:, :3].T).astype(np.float32))
    for frame, view in zip(transforms["frames"], sample.views, strict=True):
        matrix = np.array(frame["transform_matrix"])
        elevation = np.degrees(np.arcsin(matrix[2, 3] / np.linalg.norm(matrix[:3, 3])))
        assert np.isclose(elevation, view.elevation_deg)
        assert matrix[2, 1] > 0  # the picture's up is the world's


def test_nerf_clouds_have_the_colours_of_the_views(nerf: Path, rendered: Path) -> None:
    """The first car is red; points that no view saw are grey."""
    split, sample = next((s, x) for s, x in samples(rendered) if x.key.endswith("-" + "0" * 32))
    table = read_ply(nerf / split / sample.key / "points.ply")
    colours = np.stack([table[c] for c in ("red", "green", "blue")], axis=1).astype(int)
    red = (colours[:, 0] > 2 * colours[:, 1]) & (colours[:, 0] > 2 * colours[:, 2])
    grey = np.ptp(colours, axis=1) < 40
    assert red.mean() > 0.3 and (red | grey).mean() > 0.9


def test_nerf_holds_out_a_view_and_lists_all_three_splits(nerf: Path, rendered: Path) -> None:
    split, sample = samples(rendered)[0]
    transforms = json.loads((nerf / split / sample.key / "transforms.json").read_text())
    paths = [frame["file_path"] for frame in transforms["frames"]]
    assert transforms["train_filenames"] == paths[:2]
    assert transforms["val_filenames"] == transforms["test_filenames"] == paths[2:]


# --- dpc ---------------------------------------------------------------------------------------


def hamilton(p: Array, q: Array) -> Array:
    """(w, x, y, z), i j = k."""
    (a, b, c, d), (e, f, g, h) = p, q
    return np.array(
        [
            a * e - b * f - c * g - d * h,
            a * f + b * e + c * h - d * g,
            a * g - b * h + c * e + d * f,
            a * h + b * g - c * f + d * e,
        ]
    )


def quaternion_from_campos(position: Array) -> Array:
    """As the public code turns a camera's place in Blender's world into the pose of the cloud
    (specs/models.md, 1.4)."""
    x, y, z = np.asarray(position) / np.linalg.norm(position)
    level = np.hypot(x, y)
    yaw = np.arccos(x / level)
    yaw = (2 * np.pi - yaw if y > 0 else yaw) + np.pi
    pitch = np.arcsin(z)

    def about(axis: int, angle: float) -> Array:
        quaternion = np.zeros(4)
        quaternion[0], quaternion[1 + axis] = np.cos(angle / 2), np.sin(angle / 2)
        return quaternion

    return hamilton(about(2, pitch), about(1, yaw))  # roll is 0


def rotated(points: Array, quaternion: Array) -> Array:
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    matrix = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    return np.asarray(points @ matrix.T)


@pytest.mark.parametrize(
    ("position", "quaternion"),
    [
        ((2, 0, 0), (0, 0, 1, 0)),
        ((-2, 0, 0), (-1, 0, 0, 0)),
        ((0, 2, 0), (-0.707107, 0, -0.707107, 0)),
        ((0, -2, 0), (-0.707107, 0, 0.707107, 0)),
        ((1, 1, 1), (-0.364705, 0.279848, -0.880476, -0.115917)),
        ((1, -2, 0.5), (-0.522554, -0.093378, 0.845510, -0.057711)),
    ],
)
def test_the_quaternion_here_is_that_of_the_public_code(
    position: tuple[float, ...], quaternion: tuple[float, ...]
) -> None:
    found = quaternion_from_campos(np.array(position, float))
    assert np.allclose(found, quaternion, atol=1e-6)


@pytest.fixture(scope="module")
def dpc_out(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dpc") / "out"
    assert export(rendered, "dpc", out) == 5
    return out


def place(out: Path, sample: Sample) -> tuple[Path, Path]:
    """A sample's renders and its cloud."""
    shape = sample.meta["shape"]
    group = shape["synset"] or shape["category"]
    name = sample.key.removeprefix(f"{group}-")
    return out / "renders" / group / name, out / "gt" / "downsampled" / group / f"{name}.mat"


def test_dpc_poses_turn_the_clouds_to_where_the_pictures_show_the_shape(
    rendered: Path, dpc_out: Path
) -> None:
    """The whole chain of the public code: place, quaternion, rotation, projection, silhouette."""
    for _, sample in samples(rendered):
        folder, cloud = place(dpc_out, sample)
        points = loadmat(cloud)["points"]
        assert points.dtype == np.float32 and points.shape[1] == 3
        for number in range(3):
            position = loadmat(folder / f"camera_{number}.mat")["pos"].reshape(3)
            assert np.isclose(np.linalg.norm(position), 2)
            turned = rotated(points, quaternion_from_campos(position))
            z, up, right = turned.T  # depth, up, right
            x = 1.875 * right / (z + 2)
            y = 1.875 * up / (z + 2)
            image = cv2.imread(str(folder / f"render_{number}.png"), cv2.IMREAD_UNCHANGED)
            inside, covered = agreement((0.5 - y) * 48, (x + 0.5) * 48, image[..., 3])
            assert inside >= 0.99 and covered >= 0.95


def test_dpc_extrinsics_belong_to_the_same_camera(rendered: Path, dpc_out: Path) -> None:
    _, sample = samples(rendered)[0]
    folder, _ = place(dpc_out, sample)
    for number, view in enumerate(sample.views):
        camera = loadmat(folder / f"camera_{number}.mat")
        matrix, position = camera["extrinsic"], camera["pos"].reshape(3)
        assert matrix.shape == (4, 4) and np.allclose(matrix @ [*position, 1], [0, 0, 0, 1])
        x, y, z = sample.points.T
        blender = np.stack([x, -z, y], axis=1)
        pixels, depth = project(blender, matrix, view.intrinsics)
        ours, near = project(sample.points, view.world_to_camera, view.intrinsics)
        assert np.allclose(pixels, ours) and np.allclose(depth, near)


def test_dpc_depth_spans_ten_metres_and_its_background_is_the_farthest(
    rendered: Path, dpc_out: Path
) -> None:
    _, sample = samples(rendered)[0]
    folder, _ = place(dpc_out, sample)
    for number, view in enumerate(sample.views):
        stored = cv2.imread(str(folder / f"depth_{number}.png"), cv2.IMREAD_UNCHANGED)
        assert stored.dtype == np.uint16 and stored.ndim == 2
        depth = stored.astype(np.float32) * 10 / (2**16 - 1)  # the public code's loadDepth
        hit = view.depth > 0
        assert np.abs(depth - view.depth)[hit].max() < 1e-4
        assert (depth[~hit] == 10).all()


def test_dpc_lists_every_model_in_one_split_of_its_synset(rendered: Path, dpc_out: Path) -> None:
    listed: dict[tuple[str, str], list[str]] = {}
    for path in (dpc_out / "splits").iterdir():
        group, _, split = path.stem.rpartition("_")
        listed[group, split] = path.read_text().split()
    assert {group for group, _ in listed} == {"02958343", "chair"}
    assert {split for _, split in listed} == {"train", "val", "test"}
    found = sorted(
        (split, group, model) for (group, split), models in listed.items() for model in models
    )
    expected = sorted(
        (split, place(dpc_out, s)[0].parent.name, place(dpc_out, s)[0].name)
        for split, s in samples(rendered)
    )
    assert found == expected
    assert all((dpc_out / "renders" / group / model).is_dir() for _, group, model in found)


def test_dpc_clouds_are_the_means_of_their_cells(rendered: Path) -> None:
    points = samples(rendered)[0][1].points
    mean = dpc.averaged(points)
    assert 100 < len(mean) < len(points)
    cells = {tuple(c) for c in np.floor((points - points.min(axis=0)) / 0.01 + 0.5).astype(int)}
    assert len(mean) == len(cells)
    nearest = np.abs(points[:, None] - mean[None, :200]).max(axis=2).min(axis=0)
    assert nearest.max() < 0.01


# --- folder, and what all have in common -------------------------------------------------------


def test_folder_has_the_shards_own_bytes(rendered: Path, tmp_path: Path) -> None:
    assert export(rendered, "folder", tmp_path / "out") == 5
    for split, sample in samples(rendered):
        folder = tmp_path / "out" / split / sample.key
        names = {path.name for path in folder.iterdir()}
        assert names == {*sample.members, "sample.json"} - {"json"}
        for name in names - {"sample.json"}:
            assert (folder / name).read_bytes() == sample.read(name)
        assert json.loads((folder / "sample.json").read_text()) == sample.meta


def test_there_are_three_formats() -> None:
    assert list(formats()) == ["dpc", "folder", "nerf"]


@pytest.mark.parametrize("name", ["dpc", "folder", "nerf"])
def test_an_export_that_was_interrupted_goes_on(rendered: Path, tmp_path: Path, name: str) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    export(rendered, name, whole)

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(rendered, name, broken, stop)
    before = {path: path.stat().st_mtime_ns for path in broken.rglob("*.png")}
    assert before
    export(rendered, name, broken)
    assert files(broken) == files(whole)
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert not list(broken.rglob("*.part"))


def test_a_folder_in_use_is_refused(rendered: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("keep me")
    with pytest.raises(ValueError, match="is in use; choose another --out"):
        export(rendered, "nerf", tmp_path / "mine")
    subset(rendered, tmp_path / "cars", Choice(categories=("car",)))
    export(tmp_path / "cars", "folder", tmp_path / "out")
    with pytest.raises(ValueError, match="holds another export"):
        export(rendered, "folder", tmp_path / "out")
    with pytest.raises(ValueError, match="holds another export"):
        export(tmp_path / "cars", "nerf", tmp_path / "out")


def test_what_a_format_needs_and_lacks_is_named(photos: Path, tmp_path: Path) -> None:
    for name in ("nerf", "dpc"):
        with pytest.raises(ValueError, match=f"has no cameras, which {name} needs"):
            export(photos, name, tmp_path / name)
        assert not (tmp_path / name).exists()
    assert export(photos, "folder", tmp_path / "folder") == 3
    with pytest.raises(ValueError, match="no format 'coco'; there are dpc, folder, nerf"):
        export(photos, "coco", tmp_path / "coco")


def test_the_command_says_where_it_is(
    rendered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Export(dir=str(rendered), format="dpc", out=str(tmp_path / "out"))() == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'out'}: 5 samples")
    assert "renders/<synset>/<model>/render_<i>.png" in (tmp_path / "out" / "README.md").read_text()
