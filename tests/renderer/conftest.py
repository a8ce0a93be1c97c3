"""One small dataset, really rendered, once per session: what the tests of datasets work on."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from renderer import shards, storage
from renderer.members import decode_member, pixels_hash
from renderer.shards import Dataset, make_record

REPO = Path(__file__).parents[2]
SIZE, VIEWS, POINTS = 48, 3, 4096

# A child renders: Blender exists once per process, and keeps what it was given.
RENDER = """
import json, os, sys
os.dup2(2, 1)
from pathlib import Path
from renderer.jobs import render

class Lease:
    Retry, failed = RuntimeError, {}
    start = finish = fail = progress = commit = lambda self, *args, **values: None

for options in json.loads(sys.argv[1]):
    job = render.resolve(render.Job(**{**options, "shapes": tuple(options["shapes"])}), Path.cwd())
    scanned = render.scan(job)
    render.prepare(job, scanned)
    dones = [render.run(job, task, Lease()) for task in render.plan(job, scanned)]
    render.publish(job, scanned, dones, complete=True)
"""


def box(low: tuple[float, float, float], high: tuple[float, float, float], first: int) -> str:
    """OBJ lines of a closed box whose first vertex has this number; faces wind outwards."""
    corners = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
    lines = [
        "v " + " ".join(str((low, high)[bit][axis]) for axis, bit in enumerate(corner))
        for corner in corners
    ]
    for face in ("1 2 4 3", "5 7 8 6", "1 5 6 2", "3 4 8 7", "1 3 7 5", "2 6 8 4"):
        lines.append("f " + " ".join(str(first - 1 + int(corner)) for corner in face.split()))
    return "\n".join(lines)


def figure(path: Path, tall: float, colour: tuple[float, float, float]) -> None:
    """A figure without any symmetry: a coloured block, and a grey arm at one corner of its top."""
    path.parent.mkdir(parents=True, exist_ok=True)
    body = "\n".join(["o body", "usemtl body", box((0, 0, 0), (3.0, 1.0, 1.4), 1)])
    arm = "\n".join(["o arm", "usemtl arm", box((2.1, 1, 0.9), (2.9, 1 + tall, 1.3), 9)])
    path.write_text(f"mtllib {path.stem}.mtl\n{body}\n{arm}\n")
    path.with_suffix(".mtl").write_text(
        f"newmtl body\nKd {colour[0]} {colour[1]} {colour[2]}\nnewmtl arm\nKd 0.5 0.5 0.5\n"
    )


@pytest.fixture(scope="session")
def shapes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three cars in ShapeNet's layout, two chairs in a plain folder, and one without faces."""
    folder = tmp_path_factory.mktemp("shapes")
    for number, tall in enumerate((0.7, 1.1, 1.6)):
        model = folder / "02958343" / f"{number:032x}" / "models" / "model_normalized.obj"
        figure(model, tall, (0.8, 0.1 + 0.3 * number, 0.1))
    figure(folder / "chair" / "high.obj", 2.5, (0.1, 0.4, 0.8))
    figure(folder / "chair" / "low.obj", 0.4, (0.2, 0.7, 0.3))
    (folder / "chair" / "empty.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\n")
    return folder


@pytest.fixture(scope="session")
def rendered(shapes_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`figures`: 5 samples of 3 views of 48 px in 2-shape shards, 1 failure.

    Beside it `more`: one other figure, and one failure in a shard of its own; `larger`: the same at
    56 px.  All are only to be read.
    """
    if importlib.util.find_spec("bpy") is None:
        pytest.skip("bpy is not installed: nothing can be rendered")
    out = tmp_path_factory.mktemp("datasets")
    others = tmp_path_factory.mktemp("others") / "other"
    figure(others / "another.obj", 1.3, (0.6, 0.2, 0.6))
    (others / "empty.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\n")
    common = {"views": VIEWS, "spp": 2, "points": POINTS}
    jobs = [
        {"shapes": [str(folder)], "out": str(out / name), "size": size, "split": split}
        | {"shard_size": shard_size, **common}
        for folder, name, size, split, shard_size in (
            (shapes_folder, "figures", SIZE, "auto", 2),
            (others, "more", SIZE, "100/0/0", 1),
            (others, "larger", 56, "100/0/0", 1),
        )
    ]
    done = subprocess.run(
        [sys.executable, "-c", RENDER, json.dumps(jobs)], cwd=REPO, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return out / "figures"


@pytest.fixture
def dataset(rendered: Path, tmp_path: Path) -> Path:
    """A copy of `rendered` that a test may break."""
    return Path(shutil.copytree(rendered, tmp_path / "figures"))


Members = dict[str, bytes]
Change = Callable[[str, Members], Members | None]


@pytest.fixture
def rewrite() -> Callable[[Path, Change], None]:
    """Write a dataset anew with other members, and every hash made to fit.

    What is then still found wrong is found by what the members say, not by a hash.
    """

    def write(folder: Path, change: Change) -> None:
        dataset = Dataset(folder)
        entries = []
        for number, shard in enumerate(dataset.shards):
            failed = dataset.sidecar(number)["failed"]
            records = []
            for sample in dataset._samples(number):
                names = sorted(sample.members, key=lambda n, of=sample: of.members[n][0])
                members = change(sample.key, {name: sample.read(name) for name in names})
                if members is None:
                    continue
                arrays = {n: decode_member(n, d) for n, d in members.items() if n != "json"}
                records.append(make_record(sample.key, members, pixels_hash(arrays)))
            name = shard["name"].removesuffix(".tar")
            sidecar = shards.write_shard(folder, name, iter(records), failed)
            size = (folder / shard["name"]).stat().st_size
            new = {"samples": len(records), "bytes": size, "sha256": sidecar["sha256"]}
            entries.append({**shard, **new})
        index: dict[str, Any] = {**dataset.index, "shards": entries}
        del index["id"]
        shards.write_index(folder, index)

    return write


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A dataset made of pictures alone: no cameras, depth or points."""
    import numpy as np

    from renderer import content
    from renderer.members import encode_image

    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    records, shapes = [], []
    for number in range(3):
        rgba = rng.integers(0, 256, (20, 30, 4), np.uint8)
        rgba[..., 3] = 255
        key = f"road-{number}"
        meta = {"version": 1, "key": key, "seed": 0, "size": [30, 20]}
        meta["views"] = [content.describe_view(rgba)]
        members = {"json": storage.canonical_json(meta), "00.rgba.png": encode_image("rgba", rgba)}
        records.append(make_record(key, members, pixels_hash({"00.rgba.png": rgba})))
        shapes.append({"key": key, "category": "road"})
    name = "train-000000"
    sidecar = shards.write_shard(folder, name, iter(records), [])
    job = {"photos": "roads"}
    note = {"version": 1, "kind": "photos", "job": job, "shapes": shapes}
    storage.write(folder / "job.json", storage.readable_json(note))
    entry = {"name": f"{name}.tar", "split": "train", "samples": 3, "sha256": sidecar["sha256"]}
    entry["bytes"] = (folder / f"{name}.tar").stat().st_size
    index = {"version": 1, "complete": True, "job": job, "parent": None, "created_with": {}}
    index |= {"conventions": {}, "members": ["json", "00.rgba.png"], "sources": []}
    shards.write_index(folder, {**index, "splits": {"train": [f"{name}.tar"]}, "shards": [entry]})
    return folder


# --- child programs ------------------------------------------------------------------------------


def _children() -> Any:
    """children.py, which no path leads to: pytest imports test files by themselves."""
    if "farm_test_children" not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            "farm_test_children", Path(__file__).with_name("children.py")
        )
        assert spec and spec.loader
        sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[spec.name])
    return sys.modules["farm_test_children"]


@pytest.fixture(scope="session")
def children() -> Any:
    """The module children.py."""
    if importlib.util.find_spec("bpy") is None:
        pytest.skip("bpy is not installed: nothing can be rendered")
    return _children()


@pytest.fixture(scope="session")
def blender(children: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A warm Blender for all tests."""
    blender = children.Blender(tmp_path_factory.mktemp("blender"))
    yield blender
    blender.close()


@pytest.fixture(scope="session")
def farm(children: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A warm child program that runs jobs, for all tests."""
    farm = children.Farm(tmp_path_factory.mktemp("farm") / "child.log")
    yield farm
    farm.close()
