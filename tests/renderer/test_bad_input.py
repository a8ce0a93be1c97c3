"""Bad input: every file is rendered right or recorded with class and reason, and costs no other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from renderer.content import MIN_COVERAGE, problems_of_sample
from renderer.members import PASSES
from renderer.shards import Dataset

NASTY = Path(__file__).parents[2] / "../shared/data/nasty"
MESHES = {".obj", ".glb", ".gltf", ".ply", ".stl", ".off"}
OPTIONS: dict[str, Any] = {
    "size": 64, "spp": 4, "views": 2, "points": 2048, "split": "100/0/0", "max_failures": "100%",
}  # fmt: skip


class Outcome:
    """What became of each file of a folder."""

    def __init__(self, ran: Any, dataset: Dataset, stems: dict[str, str]):
        self.ran, self.dataset = ran, dataset
        samples = {s.key: s for s in dataset}
        failed = {f["id"]: f for f in dataset.failed()}
        self.samples = {stems[key]: sample for key, sample in samples.items()}
        self.failed = {stems[key]: (f["class"], f["reason"]) for key, f in failed.items()}


def submit(farm: Any, folder: Path, out: Path, **options: Any) -> Outcome:
    job = farm.job(folder, out=out, **OPTIONS | options)
    ran = farm.submit(job)
    assert ran.errors == []
    note = __import__("json").loads((out / "job.json").read_bytes())
    stems = {s["key"]: os.path.relpath(s["path"], os.path.abspath(folder)) for s in note["shapes"]}
    return Outcome(ran, Dataset(out), stems)


def is_true(sample: Any) -> bool:
    """Nothing blank, and nothing against the content rules."""
    covered = all(view.meta["coverage"] >= MIN_COVERAGE for view in sample.views)
    return covered and not problems_of_sample(
        sample.meta, sample.arrays(), PASSES, len(sample.points)
    )


@pytest.fixture(scope="module")
def nasty(farm: Any, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Every mesh of the parsers' test corpora, as one job."""
    if not NASTY.is_dir():
        pytest.skip("../shared/data/nasty is not here")
    return submit(farm, NASTY, tmp_path_factory.mktemp("nasty") / "out")


class TestTheCorpora:
    def test_every_mesh_is_rendered_or_recorded(self, nasty: Outcome) -> None:
        files = {
            os.path.relpath(path, NASTY)
            for path in NASTY.rglob("*")
            if path.suffix.lower() in MESHES and path.is_file()
        }
        assert files <= set(nasty.samples) | set(nasty.failed)
        assert not set(nasty.samples) & set(nasty.failed)

    def test_none_kills_or_hangs_the_child(self, nasty: Outcome) -> None:
        assert nasty.ran.deaths == 0
        assert not [f for f in nasty.failed.values() if f[0] in ("crash", "timeout")]

    def test_most_are_rendered_and_no_blank_or_false_picture_is_committed(
        self, nasty: Outcome
    ) -> None:
        assert len(nasty.samples) > 165
        assert [name for name, sample in nasty.samples.items() if not is_true(sample)] == []

    def test_every_reason_is_one_line_and_every_class_one_that_we_know(
        self, nasty: Outcome
    ) -> None:
        for class_, reason in nasty.failed.values():
            assert class_ in ("bad_input", "blank")
            assert reason and "\n" not in reason and len(reason) < 300
            assert "Traceback" not in reason and str(NASTY.resolve()) not in reason

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("assimp/invalid/OutOfMemory.off", "says 353535235358 vertices"),
            ("assimp/invalid/empty.obj", "0 bytes"),
            ("assimp/glTF2/RecursiveNodes/RecursiveNodes.gltf", "its own descendant"),
            ("assimp/glTF2/MissingBin/BoxTextured.gltf", "is missing: it holds the geometry"),
            ("assimp/OBJ/box_UTF16BE.obj", "UTF-16"),
            ("tinyobjloader/models/test-nan.obj", "NaN"),
            ("tinyobjloader/models/invalid-relative-vertex-index.obj", "vertex -4"),
            ("trimesh/points_bin.ply", "no faces"),
        ],
    )
    def test_what_is_broken_is_told_why(self, nasty: Outcome, name: str, told: str) -> None:
        class_, reason = nasty.failed[name]
        assert class_ == "bad_input" and told in reason

    @pytest.mark.parametrize(
        "name",
        [
            "trimesh/chair_model.obj",  # every face twice
            "trimesh/Duck.glb",
            "trimesh/fuze.obj",
            "trimesh/negative_indices.obj",
            "assimp/OBJ/box_longline.obj",
            "assimp/OFF/Cube.off",
            "assimp/PLY/cube_binary.ply",
            "assimp/STL/Spider_binary.stl",
            "tinyobjloader/models/missing_material_file.obj",
            "tinyobjloader/models/texture-filename-with-whitespace.obj",
        ],
    )
    def test_what_is_odd_but_whole_is_rendered(self, nasty: Outcome, name: str) -> None:
        assert name in nasty.samples

    def test_colours_are_those_of_the_files(self, nasty: Outcome) -> None:
        for name, color in {
            "trimesh/rabbit.obj": (255, 0, 255),
            "assimp/glTF2/BoxBadNormals-glTF-Binary/BoxBadNormals.glb": (231, 0, 0),
        }.items():
            view = nasty.samples[name].views[0]
            solid = view.rgba[..., 3] == 255
            assert np.abs(np.median(view.albedo[solid], axis=0) - color).max() <= 2, name


def triangle_obj(scale: str = "1", corner: str | None = None) -> str:
    corner = corner or f"{scale} {scale} {scale}"
    return (
        f"v 0 0 0\nv {scale} 0 0\nv 0 {scale} 0\nv {corner}\nf 1 2 3\nf 1 2 4\nf 2 3 4\nf 1 3 4\n"
    )


def binary_stl(triangles: np.ndarray) -> bytes:
    layout = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    data = np.zeros(len(triangles), layout)
    data["corners"] = triangles
    return b"\0" * 80 + np.uint32(len(triangles)).tobytes() + data.tobytes()


def binary_ply(vertices: int, faces: int, body: bytes) -> bytes:
    head = (
        f"ply\nformat binary_little_endian 1.0\nelement vertex {vertices}\nproperty float x\n"
        f"property float y\nproperty float z\nelement face {faces}\n"
        "property list uchar int vertex_indices\nend_header\n"
    )
    return head.encode() + body


def write_by_hand(folder: Path) -> Path:
    """Files that corpora lack; their names say what they are."""
    tetra = np.array([[[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 0, 0], [1, 0, 0], [0, 0, 1]]])
    whole = triangle_obj()
    texts = {
        "good.obj": whole,
        "one face.obj": "v 0 0 0\nv 1 0 0\nv 0 1 1\nf 1 2 3\n",
        "one quad.off": "OFF\n4 1 0\n0 0 0\n1 0 0\n1 1 1\n0 1 1\n4 0 1 2 3\n",
        "1e20.obj": triangle_obj("1e20"),
        "1e-20.obj": triangle_obj("1e-20"),
        "1e18.obj": triangle_obj("1e18"),
        "1e38.obj": triangle_obj("3e38"),
        "beyond single precision.obj": triangle_obj("1e39"),
        "not a number.obj": triangle_obj(corner="nan 0 0"),
        "infinite.obj": triangle_obj(corner="inf 0 0"),
        "far away.obj": "".join(
            f"v {1e7 + x} {1e7 + y} {1e7 + z}\n" for x, y, z in [(0, 0, 0), (1, 0, 0), (0, 1, 1)]
        )
        + "f 1 2 3\n",
        "one far vertex.obj": triangle_obj(corner="1e12 0 0"),
        "a point.obj": "v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n",
        "a line.obj": "v 0 0 0\nv 1 1 1\nv 2 2 2\nf 1 2 3\n",
        "no faces.obj": "v 0 0 0\nv 1 0 0\nv 0 1 0\n",
        "index out of range.obj": "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n",
        "repeated corner.obj": whole + "f 1 1 2\n",
        "truncated.obj": whole[: len(whole) - 4],
        "nothing we know.obj": "hello\n" * 1000,
        "0 bytes.obj": "",
        "0 bytes.glb": "",
        "0 bytes.ply": "",
        "0 bytes.stl": "",
        "0 bytes.off": "",
        "one byte.glb": "g",
        "windows.obj": whole.replace("\n", "\r\n"),
        "name\twith tab.obj": whole,
        "name with $HOME; rm -rf 'x' \"y\".obj": whole,
        "ünïcödé 汽车.obj": whole,
        "dots.in.the.name.obj": whole,
        "-dash.obj": whole,
        "%d %s {0}.obj": whole,
        "its own mtl.obj": "mtllib its own mtl.obj\n" + whole,
        "shouting.OBJ": whole,
        "text.stl": "solid x\nfacet normal 0 0 0\nouter loop\nvertex 0 0 0\nvertex 1 0 0\n"
        "vertex 0 1 1\nendloop\nendfacet\nendsolid x\n",
        "half a text.stl": "solid x\nfacet normal 0 0 0\nouter loop\nvertex 0 0 0\nvertex 1 0",
        "no json.gltf": "{",
        "json of another kind.gltf": "[1, 2]",
        "deep.gltf": "[" * 100_000,
    }
    binaries = {
        "good.stl": binary_stl(tetra),
        "truncated.stl": binary_stl(tetra)[:-7],
        "four billion.stl": b"\0" * 80 + b"\xff" * 4 + b"\0" * 50,
        "not a number.stl": binary_stl(np.where(tetra == 1, np.nan, tetra)),
        "four billion.ply": binary_ply(2**32 - 1, 2**32 - 1, b"\0" * 100),
        "huge list.ply": binary_ply(1, 1, b"\0" * 12 + b"\xff" + b"\0" * 8),
        "bad index.ply": binary_ply(1, 1, b"\0" * 12 + b"\x03" + b"\x7f" * 12),
        "noise.obj": np.random.default_rng(0).bytes(5000),
        "noise.glb": np.random.default_rng(1).bytes(5000),
        "noise.ply": np.random.default_rng(2).bytes(5000),
        "noise.off": b"OFF" + np.random.default_rng(3).bytes(5000),
        "header alone.glb": b"glTF\x02\0\0\0\x14\0\0\0\0\0\0\0JSON",
        "wrong length.glb": b"glTF\x02\0\0\0\xff\xff\xff\xff\xff\xff\xff\x7fJSON{}",
    }
    folder.mkdir(parents=True)
    for name, text in texts.items():
        (folder / name).write_text(text, newline="")
    for name, data in binaries.items():
        (folder / name).write_bytes(data)
    (folder / "empty folder").mkdir()
    (folder / "a folder.obj").mkdir()
    os.mkfifo(folder / "pipe.obj")
    (folder / "link to nothing.obj").symlink_to("nowhere.obj")
    (folder / "link to itself.obj").symlink_to("link to itself.obj")
    (folder / "link.obj").symlink_to("good.obj")
    (folder / "device.stl").symlink_to("/dev/zero")
    return folder


# Those that are whole shapes; everything else must be recorded as bad input.
RENDERED = {
    "good.obj", "one face.obj", "one quad.off", "windows.obj", "name\twith tab.obj",
    "name with $HOME; rm -rf 'x' \"y\".obj", "ünïcödé 汽车.obj", "dots.in.the.name.obj",
    "-dash.obj", "%d %s {0}.obj", "its own mtl.obj", "shouting.OBJ", "text.stl", "good.stl",
    "link.obj", "repeated corner.obj", "1e20.obj", "1e-20.obj", "1e18.obj",
}  # fmt: skip
# Whichever it is must be right.
EITHER = {
    "1e38.obj", "far away.obj", "truncated.obj", "one far vertex.obj",
}  # fmt: skip


@pytest.fixture(scope="module")
def by_hand(farm: Any, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    root = tmp_path_factory.mktemp("by hand")
    return submit(farm, write_by_hand(root / "files"), root / "out")


class TestMadeByHand:
    def test_no_file_kills_or_hangs_the_child(self, by_hand: Outcome) -> None:
        assert by_hand.ran.deaths == 0
        assert not [f for f in by_hand.failed.items() if f[1][0] in ("crash", "timeout")]

    def test_what_is_whole_is_rendered_and_true(self, by_hand: Outcome) -> None:
        lost = {n: by_hand.failed.get(n) for n in RENDERED - set(by_hand.samples)}
        assert lost == {}
        assert [n for n, sample in by_hand.samples.items() if not is_true(sample)] == []

    def test_what_is_not_is_recorded_as_bad_input_with_a_reason(self, by_hand: Outcome) -> None:
        assert set(by_hand.samples) <= RENDERED | EITHER
        wrong = {n: f for n, f in by_hand.failed.items() if f[0] != "bad_input"}
        assert {n: f[0] for n, f in wrong.items()} in ({}, {"one far vertex.obj": "blank"})
        assert all(reason and "\n" not in reason for _, reason in by_hand.failed.values())

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("empty folder", "empty folder"),
            ("a folder.obj", "folder"),
            ("pipe.obj", "ordinary file"),
            ("device.stl", "ordinary file"),
            ("0 bytes.glb", "0 bytes"),
            ("not a number.obj", "NaN"),
            ("infinite.obj", "infinite"),
            ("beyond single precision.obj", "infinite"),
            ("a point.obj", "one point"),
            ("a line.obj", "no area"),
            ("no faces.obj", "no faces"),
            ("index out of range.obj", "vertex 9"),
            ("four billion.stl", "has room for"),
            ("four billion.ply", "has room for"),
            ("truncated.stl", "has room for"),
            ("deep.gltf", "no valid JSON"),
        ],
    )
    def test_the_reason_is_the_true_one(self, by_hand: Outcome, name: str, told: str) -> None:
        assert told in by_hand.failed[name][1]

    def test_good_ones_look_the_same_beside_bad_ones(
        self, farm: Any, by_hand: Outcome, tmp_path: Path
    ) -> None:
        alone = tmp_path / "alone"
        alone.mkdir()
        (alone / "good.obj").write_text(triangle_obj())
        outcome = submit(farm, alone, tmp_path / "out")

        assert outcome.samples["good.obj"].pixels == by_hand.samples["good.obj"].pixels
        assert outcome.samples["good.obj"].pixels == by_hand.samples["link.obj"].pixels

    def test_coordinates_of_1e20_are_rendered_as_those_of_1(self, by_hand: Outcome) -> None:
        # Cameras hang on the file's hash, so the pictures differ, but not the cloud's extent.
        for name in ("1e20.obj", "1e-20.obj", "1e18.obj"):
            usual, other = (by_hand.samples[n].points for n in ("good.obj", name))
            assert np.allclose(np.ptp(other, axis=0), np.ptp(usual, axis=0), atol=0.02), name


@pytest.mark.slow
class TestFiveMillionFaces:
    @pytest.fixture(scope="class")
    @classmethod
    def large(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
        """A bumpy ball of five million triangles, as binary STL: 250 MB."""
        folder = tmp_path_factory.mktemp("large") / "files"
        folder.mkdir()
        n = 1581  # 2 n² = five million
        u, v = np.meshgrid(np.linspace(0, 2 * np.pi, n + 1), np.linspace(0.01, np.pi - 0.01, n + 1))
        radius = 1 + 0.05 * np.sin(20 * u) * np.sin(20 * v)
        ball = np.stack(
            [radius * np.sin(v) * np.cos(u), radius * np.sin(v) * np.sin(u), radius * np.cos(v)],
            axis=2,
        ).astype(np.float32)
        a, b, c, d = ball[:-1, :-1], ball[1:, :-1], ball[1:, 1:], ball[:-1, 1:]
        triangles = np.concatenate(
            [np.stack([a, b, c], axis=2), np.stack([a, c, d], axis=2)]
        ).reshape(-1, 3, 3)
        (folder / "large.stl").write_bytes(binary_stl(triangles))
        yield folder
        (folder / "large.stl").unlink()

    def test_are_rendered_by_the_job_and_cost_no_other_shape(
        self, children: Any, large: Path, tmp_path: Path
    ) -> None:
        (large / "good.obj").write_text(triangle_obj())
        farm = children.Farm(tmp_path / "log", timeout_s=180, environment={"FARM_THREADS": "2"})
        try:
            outcome = submit(farm, large, tmp_path / "out", views=1, spp=1)
        finally:
            farm.close()

        assert set(outcome.samples) == {"large.stl", "good.obj"}, outcome.failed
        assert is_true(outcome.samples["large.stl"])
