"""A dataset is made again and compared: bytes first, then pixels within the tolerances."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from farm.commands.dataset import Reproduce
from renderer import storage
from renderer.dataset.reproduce import compare, reproduce
from renderer.dataset.subset import Choice, subset
from renderer.members import decode_member, encode_array, encode_image
from renderer.shards import Dataset

Array = NDArray[Any]


def test_samples_of_a_subset_of_views_are_the_same_bytes_again(
    rendered: Path, tmp_path: Path
) -> None:
    """Which also says so of the whole dataset: the subset's bytes are its bytes."""
    subset(rendered, tmp_path / "part", Choice(views="2,0"))
    found = reproduce(tmp_path / "part", samples=2, seed=1)
    assert [outcome.verdict for outcome in found.outcomes] == ["identical", "identical"]
    assert found.good and found.differences == ()


def test_a_changed_pixel_another_version_and_a_changed_shape_are_told(
    dataset: Path,
    rewrite: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    keys = [sample.key for sample in Dataset(dataset)]
    colour, far, changed, gone = keys[:4]

    def paint(key: str, members: dict[str, bytes]) -> dict[str, bytes]:
        if key in (colour, far):
            image = decode_member("00.albedo.png", members["00.albedo.png"])
            image[24, 24] = np.clip(image[24, 24].astype(int) + (1 if key == colour else 9), 0, 255)
            members = {**members, "00.albedo.png": encode_image("albedo", image)}
        return members

    rewrite(dataset, paint)
    note = json.loads((dataset / "job.json").read_text())
    for shape in note["shapes"]:
        if shape["key"] in (changed, gone):
            copy = tmp_path / shape["key"] / "model.obj"
            copy.parent.mkdir()
            shutil.copy(shape["path"], copy)
            if shape["key"] == changed:
                copy.write_text(copy.read_text() + "v 9 9 9\n")
            else:
                copy.unlink()
            shape["path"] = str(copy)
    (dataset / "job.json").write_bytes(storage.canonical_json(note))
    for log in dataset.glob("*.log.json"):
        value = storage.read_json(log)
        for of_sample in value["samples"].values():
            of_sample["created_with"]["bpy"] = "4.2.0"
            of_sample["created_with"]["device"]["instruction_set"] = "sse4_2"
        log.write_bytes(storage.canonical_json(value))

    assert Reproduce(dir=str(dataset), samples=99)() == 1
    out = capsys.readouterr().out
    lines = {line.split(":")[0]: line for line in out.splitlines()}
    assert "within tolerance: 1 members have other bytes" in lines[colour]
    assert "DIFFERENT (00.albedo.png: colours differ by up to 9/255 in 1 pixels)" in lines[far]
    assert "CANNOT BE MADE AGAIN" in lines[changed] and "has changed: SHA-256" in lines[changed]
    assert "cannot be read: No such file or directory; put it back" in lines[gone]
    assert lines[keys[4]].endswith("identical: every byte")
    means = lines["made with other means"]
    assert "bpy 4.2.0, here " in means and "instruction set sse4_2, here " in means
    assert "2 of 5 samples were made again, 1 of them byte for byte" in out


def test_of_a_stylized_sample_all_but_the_colours_is_made_again(
    dataset: Path, rewrite: Callable[..., None]
) -> None:
    whole = json.loads((dataset / "dataset.json").read_text())
    cut = Dataset(dataset)[0].key

    def style(key: str, members: dict[str, bytes]) -> dict[str, bytes]:
        rgba = decode_member("00.rgba.png", members["00.rgba.png"])
        rgba[rgba[..., 3] > 0, :3] = (200, 30, 90)
        if key == cut:
            rgba[24, 24, 3] ^= 255
        return {**members, "00.rgba.png": encode_image("rgba", rgba)}

    rewrite(dataset, style)
    note = json.loads((dataset / "job.json").read_text())
    keys = [shape["key"] for shape in note["shapes"]]
    origin = {"id": whole["id"], "kind": "render", "job": whole["job"], "views": None}
    note["origins"] = [{**origin, "shapes": keys, "restyled": True}]
    (dataset / "job.json").write_bytes(storage.canonical_json(note))

    found = {one.key: one for one in reproduce(dataset, samples=99).outcomes}

    assert found.pop(cut).details == (
        "00.rgba.png: alpha differs in 1 pixels",
        "all but the colours",
    )
    for one in found.values():
        assert (one.verdict, one.details) == ("identical", ("all but the colours",))


def test_pictures_that_were_never_rendered_are_refused(photos: Path) -> None:
    found = reproduce(photos, samples=1)
    assert not found.good
    assert found.outcomes[0].details == ("it was made by a photos job, not rendered",)


def test_the_number_of_samples_is_checked(rendered: Path) -> None:
    with pytest.raises(ValueError, match="--samples 0: at least 1"):
        reproduce(rendered, samples=0)


# --- tolerances --------------------------------------------------------------------------------


def image(kind: str) -> Array:
    """A picture of one pass, 40 by 30, with a value in every pixel."""
    shape = {"depth": (), "mask": (), "rgba": (4,)}.get(kind, (3,))
    dtype = np.uint16 if kind in ("depth", "normal") else np.uint8
    return np.full((40, 30, *shape), 20000 if dtype == np.uint16 else 100, dtype)


def verdict(kind: str, before: Array, now: Array) -> str:
    first, second = ({f"00.{kind}.png": encode_image(kind, i)} for i in (before, now))
    return compare("x", first, second).verdict


@pytest.mark.parametrize(
    ("kind", "channel", "by", "expected"),
    [
        ("rgba", 0, 1, "similar"),
        ("rgba", 1, 2, "different"),
        ("rgba", 3, 1, "different"),
        ("albedo", 2, 1, "similar"),
        ("albedo", 2, 2, "different"),
        ("depth", ..., 2, "similar"),
        ("depth", ..., 3, "different"),
    ],
)
def test_one_pixel_may_differ_by_so_much(kind: str, channel: Any, by: int, expected: str) -> None:
    before = image(kind)
    for sign in (1, -1):
        now = before.copy()
        now[7, 11, channel] = int(before[7, 11, channel]) + sign * by
        assert verdict(kind, before, now) == expected
    assert verdict(kind, before, before.copy()) == "identical"


def stored(degrees: float) -> Array:
    """A stored normal that leans so far from straight up."""
    angle = np.radians(degrees)
    normal = np.array([np.sin(angle), np.cos(angle), 0])
    return np.rint((normal + 1) * 32767.5).astype(np.uint16)


@pytest.mark.parametrize(
    ("degrees", "pixels", "expected"),
    [
        (0.5, 1200, "similar"),
        (0.99, 1200, "similar"),
        (1.01, 1200, "different"),
        (40, 1, "similar"),
        (40, 2, "different"),
    ],
)
def test_999_of_1000_normals_lie_within_a_degree(
    degrees: float, pixels: int, expected: str
) -> None:
    before = np.broadcast_to(stored(0), (40, 30, 3)).copy()
    now = before.reshape(-1, 3).copy()
    now[:pixels] = stored(degrees)
    assert verdict("normal", before, now.reshape(40, 30, 3)) == expected


def test_points_and_json_may_differ_in_their_last_digits_alone() -> None:
    cloud = np.linspace(0, 1, 30, dtype=np.float32).reshape(10, 3)
    meta = {"a": [1.0, 2.5], "b": "x"}

    def members(points: Array, meta: dict[str, Any]) -> dict[str, bytes]:
        return {"points.npy": encode_array(points), "json": storage.canonical_json(meta)}

    first = members(cloud, meta)
    close = members(cloud + np.float32(1e-7), {"a": [1.0, 2.5 + 1e-12], "b": "x"})
    assert compare("x", first, close).verdict == "similar"
    assert compare("x", first, members(cloud + np.float32(1e-4), meta)).details == (
        "points.npy: up to 0.0001 apart",
    )
    assert compare("x", first, members(cloud, {**meta, "a": [1.0, 2.6]})).details == (
        "json: a.1 is 2.6, was 2.5",
    )
    assert compare("x", first, {"json": first["json"]}).details == (
        "points.npy is in only one of them",
    )


def test_members_that_do_not_decode_or_have_another_shape_are_different() -> None:
    good = {"points.npy": encode_array(np.zeros((4, 3), np.float32))}
    other = {"points.npy": encode_array(np.zeros((5, 3), np.float32))}
    assert compare("x", good, other).verdict == "different"
    assert compare("x", good, {"points.npy": io.BytesIO(b"no").getvalue()}).verdict == "different"
