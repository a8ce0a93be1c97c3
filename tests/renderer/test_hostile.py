"""Files that are made to read, to reach or to exhaust what they should not.

What a worker's kernel adds to this is in tests/farm/test_jail.py.
"""

from __future__ import annotations

import base64
import io
import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from farm import jail
from renderer import shapes, storage
from renderer.members import decode_member
from renderer.shapes.health import inspect
from renderer.shapes.references import references, roots_of
from renderer.shards import Dataset, Sample
from renderer.split import read_list
from tests.renderer.test_health import gltf as triangle

SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"
FACE = "f 1 2 3 4\n"


def png(width: int, height: int) -> bytes:
    """A picture of a few bytes that promises so many pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def jpeg(width: int, height: int) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG")
    data = bytearray(buffer.getvalue())
    at = data.index(b"\xff\xc0") + 5  # SOF0: marker, length, precision, then height and width
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def obj(folder: Path, mtl: str = "", library: str = "m.mtl") -> Path:
    path = folder / "m.obj"
    path.write_text(f"mtllib {library}\n{SQUARE}vt 0 0\nusemtl m\n{FACE}")
    (folder / "m.mtl").write_text(f"newmtl m\n{mtl}\n")
    return path


def gltf(folder: Path, **changes: Any) -> Path:
    """A triangle."""
    path = folder / "m.gltf"
    path.write_text(json.dumps(triangle(**changes)))
    return path


def embedded(data: bytes, kind: str = "application/octet-stream") -> str:
    return f"data:{kind};base64," + base64.b64encode(data).decode()


# pictures


@pytest.mark.parametrize(
    ("data", "megapixels"),
    [
        (png(20_000, 10_000), 200),
        (png(2**31 - 1, 2**31 - 1), 4611686014132),
        (jpeg(20_000, 10_000), 200),
    ],
    ids=["png", "absurd png", "jpeg"],
)
def test_a_texture_of_200_megapixels_makes_its_shape_bad_input(tmp_path, data, megapixels):
    (tmp_path / "t.png").write_bytes(data)

    problems = inspect(obj(tmp_path, "map_Kd t.png")).problems

    assert problems == (f"t.png has {megapixels} megapixels; at most 128",)


@pytest.mark.parametrize("within", ["uri", "buffer", "file"])
def test_so_does_one_that_lies_in_a_gltf_or_beside_it(tmp_path, within):
    bomb = png(20_000, 10_000)
    (tmp_path / "t.png").write_bytes(bomb)
    data = struct.pack("<9f3H", 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 2) + bomb
    image: dict[str, Any] = {
        "uri": {"uri": embedded(bomb, "image/png")},
        "buffer": {"bufferView": 2, "mimeType": "image/png"},
        "file": {"uri": "t.png"},
    }[within]
    views = [(0, 36), (36, 6), (42, len(bomb))]
    path = gltf(
        tmp_path,
        images=[image],
        bufferViews=[{"buffer": 0, "byteOffset": at, "byteLength": n} for at, n in views],
        buffers=[{"byteLength": len(data), "uri": embedded(data)}],
    )

    (problem,) = inspect(path).problems

    assert "has 200 megapixels; at most 128" in problem


def test_many_large_textures_are_too_many(tmp_path):
    for number in range(5):
        (tmp_path / f"{number}.png").write_bytes(png(11_000, 11_000))

    problems = inspect(obj(tmp_path, "\n".join(f"map_K{n} {n}.png" for n in range(5)))).problems

    assert problems == ("its textures have 605 megapixels; at most 512",)


@pytest.mark.parametrize("magic", [b"\x76\x2f\x31\x01", b"#?RADIANCE", b"SDPX"])
def test_a_format_whose_size_nobody_looked_at_is_not_decoded(tmp_path, magic):
    (tmp_path / "t.png").write_bytes(magic + bytes(100))

    assert "its size is not known" in inspect(obj(tmp_path, "map_Kd t.png")).problems[0]


def test_a_texture_that_is_reasonable_or_none_at_all_is_no_problem(tmp_path):
    (tmp_path / "t.png").write_bytes(png(8192, 8192))
    (tmp_path / "b.png").write_bytes(b"no picture")

    assert inspect(obj(tmp_path, "map_Kd t.png\nmap_Ks b.png")).problems == ()


# counts


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("m.ply", b"ply\nformat binary_little_endian 1.0\nelement vertex 4000000000\n"
                  b"property float x\nproperty float y\nproperty float z\n"
                  b"element face 4000000000\nproperty list uchar int vertex_indices\nend_header\n"),
        ("m.ply", b"ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\n"
                  b"property float z\nelement face 1\nproperty list int int vertex_indices\n"
                  b"end_header\n0 0 0\n1 0 0\n1 1 0\n2000000000 0 1 2\n"),
        ("m.off", b"OFF\n1000000000 1000000000 0\n0 0 0\n"),
        ("m.off", b"OFF\n3 1 0\n0 0 0\n1 0 0\n1 1 0\n1000000000 0 1 2\n"),
        ("m.stl", bytes(80) + struct.pack("<I", 2**32 - 1) + bytes(50)),
        ("m.obj", (SQUARE + "f 1 2 999999999999999999999\n").encode()),
    ],
    ids=["ply", "ply-list", "off", "off-face", "stl", "obj"],
)  # fmt: skip
def test_a_count_of_billions_costs_nothing(tmp_path, name, data, memory):
    (tmp_path / name).write_bytes(data)

    with memory():
        health = inspect(tmp_path / name)

    assert health.problems


@pytest.mark.parametrize("of", ["vertices", "indices", "animation", "sparse", "negative"])
def test_neither_does_an_accessor_of_billions(tmp_path, of, memory):
    many = -1 if of == "negative" else 10**10
    large: dict[str, Any] = {"componentType": 5126, "count": many, "type": "MAT4"}
    document = json.loads(gltf(tmp_path).read_text())
    accessors = document["accessors"]
    changes: dict[str, Any] = {}
    if of in ("vertices", "negative"):
        accessors[0]["count"] = many
    elif of == "indices":
        accessors[1]["count"] = 3 * many
    else:
        ends = {"bufferView": 0, "componentType": 5123}
        sparse = {"count": 1, "indices": ends, "values": {"bufferView": 0}}
        accessors.append(large | ({"sparse": sparse} if of == "sparse" else {}))
        changes["animations"] = [
            {"samplers": [{"input": 2, "output": 2}],
             "channels": [{"sampler": 0, "target": {"node": 0, "path": "translation"}}]}
        ]  # fmt: skip
    path = gltf(tmp_path, accessors=accessors, **changes)

    with memory():
        problems = inspect(path).problems

    assert problems and "MemoryError" not in problems[0]


@pytest.mark.parametrize("by", ["nodes", "instancing"])
def test_a_mesh_named_by_a_million_nodes_is_too_much(tmp_path, by):
    count = 20_000
    instancing = {"EXT_mesh_gpu_instancing": {"attributes": {"TRANSLATION": 2}}}
    nodes = [{"mesh": 0}] * count if by == "nodes" else [{"mesh": 0, "extensions": instancing}]
    data = struct.pack("<9f", 0, 0, 0, 1, 0, 0, 0, 1, 0) + struct.pack("<3H", 0, 1, 2) * 3000
    path = gltf(
        tmp_path,
        nodes=nodes,
        scenes=[{"nodes": list(range(len(nodes)))}],
        accessors=[
            {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5123, "count": 9000, "type": "SCALAR"},
            {"bufferView": 0, "componentType": 5126, "count": count, "type": "VEC3"},
        ],
        bufferViews=[
            {"buffer": 0, "byteLength": 36},
            {"buffer": 0, "byteOffset": 36, "byteLength": 18000},
        ],
        buffers=[{"byteLength": len(data), "uri": embedded(data)}],
    )

    assert inspect(path).problems == ("60000000 triangles; at most 50000000",)


def test_so_are_a_hundred_thousand_objects(tmp_path):
    nodes = [{"mesh": 0}] * 100_001

    problems = inspect(gltf(tmp_path, nodes=nodes, scenes=[{"nodes": [0]}])).problems

    assert problems == ("100001 objects; at most 100000",)


@pytest.mark.parametrize(
    "text",
    ["[" * 200_000, '{"asset": {"version": "2.0"}, "extras": ' + "[" * 99_999 + "]" * 99_999 + "}"],
)
def test_json_nested_without_end_is_no_gltf(tmp_path, text):
    (tmp_path / "m.gltf").write_text(text)

    assert inspect(tmp_path / "m.gltf").problems


# what it refers to


@pytest.mark.parametrize(
    "name",
    ["http://127.0.0.1:1/t.png", "https://example.org/t.png", "ftp://example.org/t.png",
     "\\\\server\\share\\t.png", "//server/share/t.png", "file:" + "///etc/passwd", "/etc/passwd",
     "..\\..\\t.png", "../" * 20 + "etc/passwd"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["obj", "gltf"])
def test_a_name_that_leads_elsewhere_is_read_by_nobody(tmp_path, name, kind):
    path = (
        obj(tmp_path, f"map_Kd {name}")
        if kind == "obj"
        else gltf(tmp_path, images=[{"uri": name}], buffers=[{"byteLength": 42, "uri": name}])
    )

    found = references(path, roots_of(path))

    assert {file.parent for file in found.files} <= {tmp_path}
    assert "passwd" not in {file.name for file in found.files}
    if kind == "gltf":
        assert inspect(path).problems  # its geometry is not there


@pytest.mark.parametrize("way", ["../{}", "absolute", "link"])
def test_a_material_library_elsewhere_makes_the_shape_bad_input(tmp_path, way):
    """Blender would read it, and nobody would have hashed it."""
    model = tmp_path / "model"
    model.mkdir()
    (tmp_path / "secret.mtl").write_text("newmtl m\nKd 1 0 0\n")
    name = way.replace("absolute", str(tmp_path / "secret.mtl")).format("secret.mtl")
    if way == "link":
        (model / "link").symlink_to("../secret.mtl")

    problems = inspect(obj(model, library=name)).problems

    assert problems == (f"a material library outside of its folder: {name}",)


def test_one_elsewhere_that_is_not_there_is_only_missing(tmp_path):
    assert inspect(obj(tmp_path, library="C:\\work\\gone.mtl")).problems == ()


def test_a_mesh_that_names_a_hundred_thousand_files_is_refused_soon(tmp_path):
    path = obj(tmp_path, "\n".join(f"map_Kd {number}.png" for number in range(100_000)))
    (candidate,) = shapes.find(str(path))

    assert shapes.identify(candidate).problem == "it names more than 10000 other files"
    assert "more than 10000" in inspect(path).problems[0]


def test_a_file_that_is_a_hole_without_end_is_not_hashed(tmp_path):
    path = obj(tmp_path, "map_Kd t.png")
    (tmp_path / "t.png").touch()
    os.truncate(tmp_path / "t.png", 1 << 42)
    (candidate,) = shapes.find(str(path))

    assert "t.png has 4398046511104 bytes" in str(shapes.identify(candidate).problem)


@pytest.mark.parametrize(
    "name", ["m.blend", "m.usd", "m.usda", "m.usdc", "m.usdz", "m.fbx", "m.abc", "m.dae", "m.py"]
)
def test_formats_that_run_code_or_fetch_others_are_no_shapes(tmp_path, name):
    (tmp_path / name).write_bytes(b"BLENDER-v500")

    with pytest.raises(ValueError, match="not one of"):
        list(shapes.find(str(tmp_path / name)))
    assert list(shapes.find(str(tmp_path))) == []
    assert "format" in inspect(tmp_path / name).problems[0]


@pytest.mark.parametrize("address", ["shapenet/02958343/../../x", "shapenet/02958343/.."])
def test_a_sources_address_leads_nowhere_else(tmp_path, monkeypatch, address):
    (tmp_path / "root" / "02958343" / "a" / "models").mkdir(parents=True)
    (tmp_path / "x").mkdir()
    monkeypatch.setenv("FARM_SHAPENET_ROOT", str(tmp_path / "root"))

    with pytest.raises(ValueError, match="no model"):
        list(shapes.find(address))


# datasets


def index(**changes: Any) -> dict[str, Any]:
    shard = {"name": "train-000000.tar", "split": "train", "samples": 1, "bytes": 1, "sha256": ""}
    return {
        "version": 1, "id": "0" * 64, "complete": True, "splits": {"train": ["train-000000.tar"]},
        "shards": [shard | changes],
    }  # fmt: skip


@pytest.mark.parametrize("name", ["../secret.tar", "/etc/passwd", "a/b.tar", "..", ""])
def test_an_index_names_no_file_elsewhere(tmp_path, name):
    (tmp_path / "dataset.json").write_text(json.dumps(index(name=name)))

    with pytest.raises(ValueError, match="is no name of a shard"):
        Dataset(tmp_path)


@pytest.mark.parametrize("id", ["../../etc", "", None, "0" * 63, "0" * 64 + "/.."])
def test_an_id_that_names_a_folder_elsewhere_is_refused(tmp_path, id):
    (tmp_path / "dataset.json").write_text(json.dumps(index() | {"id": id}))

    with pytest.raises(ValueError, match="is no id of a dataset"):
        Dataset(tmp_path)


@pytest.mark.parametrize(
    ("key", "member"),
    [
        ("../../x", "json"),
        ("/etc/x", "json"),
        ("car", "../00.rgba.png"),
        ("car", "/etc/passwd"),
        ("", "json"),
    ],
)
def test_a_side_car_names_no_file_elsewhere(tmp_path, key, member):
    entry = {"key": key, "pixels": "", "members": {member: [0, 1, ""]}}

    with pytest.raises(ValueError, match="is no name of a member"):
        Sample(tmp_path / "train-000000.tar", entry)


@pytest.mark.parametrize(("offset", "size"), [(0, 10**12), (-5, 3), (0, -1), (10**15, 1)])
def test_a_member_beyond_its_shard_is_told_and_takes_no_memory(tmp_path, offset, size, memory):
    tar = tmp_path / "a.tar"
    tar.write_bytes(b"0123456789")

    with memory(), pytest.raises(ValueError, match="ends before byte"):
        storage.read_range(tar, offset, size)


def test_a_picture_in_a_shard_that_promises_gigapixels_is_not_decoded(memory):
    with memory(), pytest.raises(ValueError, match=r"00.rgba.png has 20000 x 20000 pixels"):
        decode_member("00.rgba.png", png(20_000, 20_000))


def npy(header: str) -> bytes:
    text = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


@pytest.mark.parametrize(
    ("data", "told"),
    [(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (250000000000, 3)}"), "are not the"),
     (npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}") + b"cos\nsystem\n", "run code"),
     (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1, -3)}"), "are not the"),
     (npy("__import__('os').abort()"), "no array"), (b"\x93NUMPY", "no array"), (b"", "no array")],
    ids=["huge", "objects", "negative", "code", "cut", "empty"],
)  # fmt: skip
def test_an_array_in_a_shard_is_what_its_bytes_hold(data, told, memory):
    with memory(), pytest.raises(ValueError, match=told):
        decode_member("points.npy", data)


@pytest.mark.parametrize("name", ["dataset.json", "train-000000.json", "train-000000.tar"])
def test_a_pipe_where_a_file_should_be_keeps_nobody_waiting(tmp_path, name):
    (tmp_path / "dataset.json").write_text(json.dumps(index()))
    sidecar = {
        "sha256": "",
        "version": 1,
        "samples": [{"key": "a", "pixels": "", "members": {"json": [0, 1, ""]}}],
    }
    (tmp_path / "train-000000.json").write_text(json.dumps(sidecar))
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)

    with pytest.raises(ValueError, match=f"{name} is no ordinary file"):
        Dataset(tmp_path)[0].read("json")


def test_a_list_of_splits_that_is_a_pipe_keeps_nobody_waiting(tmp_path):
    os.mkfifo(tmp_path / "list")

    with pytest.raises(ValueError, match="list"):
        read_list(tmp_path / "list")


def test_json_nested_without_end_is_told_with_its_file(tmp_path):
    path = tmp_path / "dataset.json"
    path.write_text("[" * 100_000)

    with pytest.raises(ValueError, match=r"dataset\.json is not JSON of ours: nested too deeply"):
        storage.read_json(path)


@pytest.mark.slow
def test_blender_renders_in_a_confined_child_and_not_what_a_link_leads_out_to(children, tmp_path):
    """As if the link had been laid after the controller's and the worker's look at the paths."""
    if not jail.landlock():
        pytest.skip("this kernel has no Landlock")
    box = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nv 0 0 1\nv 1 0 1\nv 1 1 1\nv 0 1 1\n" + (
        "f 4 3 2 1\nf 5 6 7 8\nf 1 2 6 5\nf 2 3 7 6\nf 3 4 8 7\nf 4 1 5 8\n"
    )
    root = tmp_path / "root"
    (root / "shapes").mkdir(parents=True)
    (root / "shapes" / "fine.obj").write_text(box)
    (tmp_path / "secret.obj").write_text(box.replace("v 1 1 1", "v 2 2 2"))
    (root / "shapes" / "way-out.obj").symlink_to(tmp_path / "secret.obj")
    farm = children.Farm(tmp_path / "log", environment={"FARM_STORAGE_ROOTS": str(root)})
    job = farm.job(
        root / "shapes", out=root / "out", views=1, size=32, spp=1, points=512, split="100/0/0"
    )

    ran = farm.submit(job)
    farm.close()

    (sample,) = Dataset(root / "out")
    assert ran.errors == [] and sample.key.endswith("fine")
    ((key, (failure_class, reason)),) = ran.failed.items()
    assert key.endswith("way-out")
    assert (failure_class, reason) == ("environment", "cannot be read: Permission denied")


@pytest.fixture
def memory():
    """A block that may take 300 MB at its peak."""
    import contextlib
    import tracemalloc

    @contextlib.contextmanager
    def memory():
        tracemalloc.start()
        try:
            yield
            assert tracemalloc.get_traced_memory()[1] < 300e6
        finally:
            tracemalloc.stop()

    return memory
