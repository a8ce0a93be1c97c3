"""Whatever is wrong with a dataset on storage is found and named."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from farm.commands.dataset import Verify
from renderer import shards, storage
from renderer.camera import Viewpoint, world_to_camera
from renderer.content import describe_view
from renderer.dataset.problem import Problem
from renderer.dataset.verify import verify
from renderer.members import decode_member, encode_image
from renderer.shards import Dataset

Rewrite = Callable[[Path, Callable[[str, dict[str, bytes]], dict[str, bytes] | None]], None]


def only(folder: Path) -> Problem:
    """The one problem of a dataset."""
    problems = verify(folder).problems
    assert len(problems) == 1, [str(p) for p in problems]
    return problems[0]


def told(folder: Path) -> list[str]:
    return [str(problem) for problem in verify(folder).problems]


def rules(folder: Path) -> set[str]:
    return {problem.rule for problem in verify(folder).problems}


def first(folder: Path) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """The first shard's tar, its side-car, and its first sample's entry."""
    tar = folder / Dataset(folder).shards[0]["name"]
    sidecar = storage.read_json(shards.sidecar_path(tar))
    return tar, sidecar, sidecar["samples"][0]


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_bytes(storage.canonical_json(value))


def with_meta(
    key: str, change: Callable[[dict[str, Any]], object]
) -> Callable[[str, dict[str, bytes]], dict[str, bytes]]:
    """Changes the JSON of one sample."""

    def changed(at: str, members: dict[str, bytes]) -> dict[str, bytes]:
        if at != key:
            return members
        meta = json.loads(members["json"])
        change(meta)
        return {**members, "json": storage.canonical_json(meta)}

    return changed


def some_key(folder: Path) -> str:
    return str(Dataset(folder)[0].key)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def test_a_sound_dataset_has_no_problems(rendered: Path) -> None:
    report = verify(rendered)
    assert report.problems == [] and report.notes == []
    size = sum(tar.stat().st_size for tar in rendered.glob("*.tar"))
    assert (report.samples, report.images, report.bytes) == (5, 15, size)
    assert report.shards == len(list(rendered.glob("*.tar")))


def test_a_shard_of_failures_alone_is_sound(rendered: Path) -> None:
    more = rendered.parent / "more"
    assert 0 in {shard["samples"] for shard in Dataset(more).shards}
    assert verify(more).problems == []


@pytest.mark.parametrize("job", ["more views", "more shapes"])
def test_a_dataset_that_is_being_added_to_is_sound(dataset: Path, job: str) -> None:
    def planned(note: dict[str, Any]) -> None:
        if job == "more views":
            note["job"]["views"] += 2
        note["shapes"].append({**note["shapes"][0], "key": "car-new"})
        note["first"] = 1

    edit(dataset / "job.json", planned)
    report = verify(dataset)
    assert report.problems == []
    assert report.notes == ["shapes or views are being added; the new ones are not looked at"]


def test_several_processes_find_what_one_finds(dataset: Path) -> None:
    tar, _, sample = first(dataset)
    flip(tar, sample["members"]["01.depth.png"][0] + 60)
    assert verify(dataset, processes=2) == verify(dataset, processes=1)


def test_a_flipped_byte_is_found_in_its_member(dataset: Path) -> None:
    tar, _, sample = first(dataset)
    offset, size, _ = sample["members"]["01.normal.png"]
    flip(tar, offset + size // 2)
    problems = [p for p in verify(dataset).problems if p.sample]
    assert {p.sample for p in problems} == {sample["key"]}
    hashed = next(p for p in problems if p.rule == "sha256")
    assert (hashed.file, hashed.member) == (tar.name, "01.normal.png")
    assert any(p.rule == "sha256" and not p.sample for p in verify(dataset).problems)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.37, 0.5, 0.9, 0.9999])
def test_no_byte_of_a_tar_can_be_changed_unseen(dataset: Path, share: float) -> None:
    tar, _, _ = first(dataset)
    flip(tar, int(tar.stat().st_size * share))
    assert "sha256" in rules(dataset)


@pytest.mark.parametrize("seed", range(12))
def test_no_damage_stops_the_check(dataset: Path, seed: int) -> None:
    """Bytes turned to noise anywhere, hashes and headers and numbers of a size alike."""
    rng = np.random.default_rng(seed)
    for path in [*dataset.glob("*.tar"), *dataset.glob("t*-[0-9]*.json")]:
        data = bytearray(path.read_bytes())
        for at in rng.integers(0, len(data) - 64, 12):
            data[at : at + rng.integers(1, 64)] = rng.bytes(rng.integers(0, 64))
        path.write_bytes(data[: rng.integers(len(data) // 2, len(data))])
    assert "size" in rules(dataset)


def test_swapped_bytes_of_two_views_are_found(dataset: Path) -> None:
    tar, _, sample = first(dataset)
    data = bytearray(tar.read_bytes())
    (a, n, _), (b, m, _) = (sample["members"][f"0{v}.rgba.png"] for v in (0, 1))
    size = min(n, m)
    data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]
    tar.write_bytes(data)
    found = {(p.member, p.rule) for p in verify(dataset).problems if p.sample}
    assert {("00.rgba.png", "sha256"), ("01.rgba.png", "sha256")} <= found


@pytest.mark.parametrize("kinds", [("rgba",), ("rgba", "depth", "normal", "albedo", "mask")])
def test_swapped_views_are_found_when_every_hash_fits(
    dataset: Path, rewrite: Rewrite, kinds: tuple[str, ...]
) -> None:
    key = some_key(dataset)

    def swap(at: str, members: dict[str, bytes]) -> dict[str, bytes]:
        swapped = dict(members)
        for kind in kinds if at == key else ():
            one, other = f"00.{kind}.png", f"02.{kind}.png"
            swapped[one], swapped[other] = members[other], members[one]
        return swapped

    rewrite(dataset, swap)
    problems = verify(dataset).problems
    assert {p.sample for p in problems} == {key}
    assert {p.member for p in problems} == {"view 0", "view 2"}
    assert {p.rule for p in problems} == {"content"}


def test_swapped_views_with_their_boxes_are_found_by_the_points(
    dataset: Path, rewrite: Rewrite
) -> None:
    key = some_key(dataset)

    def swap(at: str, members: dict[str, bytes]) -> dict[str, bytes]:
        if at != key:
            return members
        swapped = dict(members)
        meta = json.loads(members["json"])
        for kind in ("rgba", "depth", "normal", "albedo", "mask"):
            one, other = f"00.{kind}.png", f"02.{kind}.png"
            swapped[one], swapped[other] = members[other], members[one]
        views = meta["views"]
        for name in ("bbox", "coverage"):
            views[0][name], views[2][name] = views[2][name], views[0][name]
        return {**swapped, "json": storage.canonical_json(meta)}

    rewrite(dataset, swap)
    assert any("points" in line for line in told(dataset))


def test_a_missing_member_is_named(dataset: Path, rewrite: Rewrite) -> None:
    key = some_key(dataset)

    def leave_out(at: str, members: dict[str, bytes]) -> dict[str, bytes]:
        return {n: d for n, d in members.items() if at != key or n != "01.mask.png"}

    rewrite(dataset, leave_out)
    found = [p for p in verify(dataset).problems if p.rule == "members"]
    assert [(p.sample, p.member) for p in found] == [(key, "01.mask.png")]


@pytest.mark.parametrize("cut", [1, 600, 5000, 40_000])
def test_a_truncated_tar_is_found(dataset: Path, cut: int) -> None:
    tar, _, _ = first(dataset)
    data = tar.read_bytes()
    tar.write_bytes(data[:-cut])
    problems = verify(dataset).problems
    expected = f"{len(data) - cut} bytes, {len(data)} expected"
    assert Problem(file=tar.name, rule="size", detail=expected) in problems
    assert "sha256" in {p.rule for p in problems}


def test_an_empty_tar_is_found(dataset: Path) -> None:
    tar, _, _ = first(dataset)
    tar.write_bytes(b"")
    assert only(dataset).detail.startswith("0 bytes")


def test_a_missing_shard_and_a_missing_side_car_are_named(dataset: Path) -> None:
    names = [shard["name"] for shard in Dataset(dataset).shards]
    (dataset / names[0]).unlink()
    shards.sidecar_path(dataset / names[1]).unlink()
    missing = {p.file for p in verify(dataset).problems if p.rule == "file"}
    assert missing == {names[0], names[1].replace(".tar", ".json")}


def test_a_member_that_no_side_car_knows_is_found(dataset: Path) -> None:
    tar, _, _ = first(dataset)
    with tarfile.open(tar, "a", format=tarfile.PAX_FORMAT) as file:
        info = tarfile.TarInfo("stranger.txt")
        info.size = 5
        file.addfile(info, io.BytesIO(b"hello"))
    detail = "the tar has it, the side-car does not"
    stranger = Problem(file=tar.name, sample="stranger", member="txt", rule="tar", detail=detail)
    assert stranger in verify(dataset).problems


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda i: i["job"].update(seed=7), "id"),
        (lambda i: i["conventions"].update(world="z up"), "id"),
        (lambda i: i["shards"][0].update(sha256="0" * 64), "id"),
        (lambda i: i["shards"][0].update(samples=9), "side-car"),
        (lambda i: i["shards"].pop(), "splits"),
        (lambda i: i["splits"]["train"].append(i["splits"]["test"][0]), "splits"),
        (lambda i: i["members"].remove("points.npy"), "members"),
        (lambda i: i.update(extra=1), "json"),
        (lambda i: i.pop("parent"), "json"),
        (lambda i: i.update(version="1"), "json"),
        (lambda i: i.update(complete=False), "complete"),
    ],
    ids=[
        "seed",
        "convention",
        "hash",
        "count",
        "shard-gone",
        "two-splits",
        "member-gone",
        "extra-field",
        "field-gone",
        "type",
        "growing",
    ],
)
def test_a_changed_index_is_found(
    dataset: Path, change: Callable[[dict[str, Any]], object], rule: str
) -> None:
    edit(dataset / "dataset.json", change)
    problems = verify(dataset).problems
    assert rule in {p.rule for p in problems}, [str(p) for p in problems]


def test_an_index_that_is_no_json_is_found(dataset: Path) -> None:
    path = dataset / "dataset.json"
    path.write_bytes(path.read_bytes()[:-30])
    assert only(dataset).rule == "json"


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda s: s["samples"][0]["members"]["00.rgba.png"].__setitem__(0, 512), "tar"),
        (lambda s: s["samples"][0]["members"]["00.rgba.png"].__setitem__(1, 40), "tar"),
        (lambda s: s["samples"][0]["members"]["json"].__setitem__(2, "0" * 64), "sha256"),
        (lambda s: s["samples"][0].update(pixels="0" * 64), "pixels"),
        (lambda s: s["samples"][0]["members"].pop("02.depth.png"), "tar"),
        (lambda s: s["samples"][0].update(key="else"), "tar"),
        (lambda s: s["samples"].pop(), "shapes"),
        (lambda s: s.update(sha256="0" * 64), "side-car"),
        (lambda s: s.update(shard="val-000009.tar"), "side-car"),
        (lambda s: s["failed"].append({"id": "x", "class": "tired", "reason": "", "tries": 1}),
         "json"),
        (lambda s: s["failed"].append({"id": "x", "class": "crash", "reason": "", "tries": 1}),
         "shapes"),
    ],
    ids=[
        "offset", "size", "hash", "pixels", "member-gone", "key", "sample-gone", "shard-hash",
        "shard-name", "class", "stranger",
    ],
)  # fmt: skip
def test_an_edited_side_car_is_found(
    dataset: Path, change: Callable[[dict[str, Any]], object], rule: str
) -> None:
    tar, _, _ = first(dataset)
    edit(shards.sidecar_path(tar), change)
    assert rule in rules(dataset)


def test_a_failure_that_was_taken_out_is_missed(dataset: Path) -> None:
    for path in dataset.glob("*-[0-9]*.json"):
        if not path.name.endswith(".log.json"):
            edit(path, lambda sidecar: sidecar.update(failed=[]))
    problem = only(dataset)
    assert (problem.file, problem.sample, problem.rule) == ("job.json", "chair-empty", "shapes")


def test_a_blank_image_is_found_when_every_hash_fits(dataset: Path, rewrite: Rewrite) -> None:
    key = some_key(dataset)

    def blank(at: str, members: dict[str, bytes]) -> dict[str, bytes]:
        if at != key:
            return members
        empty = np.zeros((48, 48, 4), np.uint8)
        meta = json.loads(members["json"])
        meta["views"][1] |= describe_view(empty)
        image = {"01.rgba.png": encode_image("rgba", empty)}
        return {**members, **image, "json": storage.canonical_json(meta)}

    rewrite(dataset, blank)
    problem = only(dataset)
    assert (problem.sample, problem.member, problem.rule) == (key, "view 1", "content")
    assert "blank" in problem.detail


def test_a_clipped_image_is_found_when_every_hash_fits(dataset: Path, rewrite: Rewrite) -> None:
    key = some_key(dataset)

    def shift(at: str, members: dict[str, bytes]) -> dict[str, bytes]:
        if at != key:
            return members
        image = decode_member("00.rgba.png", members["00.rgba.png"])
        columns = np.flatnonzero(image[..., 3].any(axis=0))
        image = np.roll(image, -int(columns[0]), axis=1)
        meta = json.loads(members["json"])
        meta["views"][0] |= describe_view(image)
        moved = {"00.rgba.png": encode_image("rgba", image)}
        return {**members, **moved, "json": storage.canonical_json(meta)}

    rewrite(dataset, shift)
    assert any("clipped" in line and key in line for line in told(dataset))


def test_an_azimuth_that_is_not_its_matrix_s_is_found(dataset: Path, rewrite: Rewrite) -> None:
    key = some_key(dataset)
    rewrite(dataset, with_meta(key, lambda m: m["views"][1].update(azimuth_deg=123.0)))
    found = [p for p in verify(dataset).problems if p.rule == "camera"]
    assert {(p.sample, p.member) for p in found} == {(key, "view 1")}
    assert any("world_to_camera is not that of azimuth 123" in p.detail for p in found)
    assert any("the seed gives" in p.detail for p in found)


@pytest.mark.parametrize("turn", [20, 90, 180])
def test_a_wrong_camera_that_agrees_with_itself_is_found(
    dataset: Path, rewrite: Rewrite, turn: int
) -> None:
    key = some_key(dataset)

    def turned(meta: dict[str, Any]) -> None:
        view = meta["views"][2]
        view["azimuth_deg"] = (view["azimuth_deg"] + turn) % 360
        names = ("azimuth_deg", "elevation_deg", "distance")
        viewpoint = Viewpoint(**{name: view[name] for name in names})
        view["world_to_camera"] = world_to_camera(viewpoint).tolist()

    rewrite(dataset, with_meta(key, turned))
    problems = verify(dataset).problems
    assert {(p.sample, p.member) for p in problems} == {(key, "view 2")}
    assert {p.rule for p in problems} == {"camera", "content"}


@pytest.mark.parametrize(
    ("change", "rule", "words"),
    [
        (lambda m: m.update(colour="red"), "json", "colour: Extra inputs"),
        (lambda m: m.pop("seed"), "json", "seed: Field required"),
        (lambda m: m["views"][0].pop("distance"), "json", "distance: Field required"),
        (lambda m: m["views"][0].pop("world_to_camera"), "json", "no camera"),
        (lambda m: m["views"].pop(), "members", "2 views"),
        (lambda m: m.pop("depth_scale"), "json", "depth_scale: Field required"),
        (lambda m: m.pop("normalization"), "json", "normalization: Field required"),
        (lambda m: m["views"][0].pop("lights"), "json", "lights: Field required"),
        (lambda m: m.update(seed=5), "job", "seed is 5, the job says 0"),
        (lambda m: m["shape"].update(sha256="0" * 64), "shapes", "job.json says"),
        (lambda m: m["shape"].update(category="boat"), "shapes", "boat"),
        (lambda m: m["normalization"].update(rotation=[[1, 0, 0], [0, 1, 0], [0, 0, -1]]),
         "json", "no rotation"),
        (lambda m: m["views"][0]["intrinsics"][0].__setitem__(0, 80.0), "camera", "lens"),
        (lambda m: m["views"][0]["bbox"].__setitem__(0, 0), "content", "bbox"),
        (lambda m: m.update(size=[48, 47]), "size", "48 x 48 pixels, not 48 x 47"),
        (lambda m: m.update(key="somebody"), "json", "key is somebody"),
    ],
    ids=[
        "extra", "seed-gone", "distance-gone", "camera-gone", "view-gone", "scale-gone",
        "normalization-gone", "lights-gone", "seed", "shape-hash",
        "category", "mirrored", "lens", "bbox", "size", "key",
    ],
)  # fmt: skip
def test_a_wrong_field_of_a_sample_is_named(
    dataset: Path,
    rewrite: Rewrite,
    change: Callable[[dict[str, Any]], object],
    rule: str,
    words: str,
) -> None:
    key = some_key(dataset)
    rewrite(dataset, with_meta(key, change))
    problems = verify(dataset).problems
    assert any(p.rule == rule and words in p.detail for p in problems), [str(p) for p in problems]
    assert {p.sample for p in problems} == {key}


def test_json_in_another_spelling_is_found(dataset: Path, rewrite: Rewrite) -> None:
    rewrite(dataset, lambda key, members: {**members, "json": members["json"] + b"\n"})
    assert {p.detail for p in verify(dataset).problems} == {"not in its canonical spelling"}


def test_an_image_of_other_depth_is_found(dataset: Path, rewrite: Rewrite) -> None:
    tar, _, sample = first(dataset)
    offset, size, _ = sample["members"]["00.normal.png"]
    data = bytearray(tar.read_bytes())
    eight = cv2.imencode(".png", np.zeros((48, 48, 3), np.uint8))[1].tobytes()
    assert len(eight) < size
    data[offset : offset + len(eight)] = eight
    tar.write_bytes(data)
    detail = "00.normal.png is uint8 x 3, expected uint16 x 3"
    assert any(p.rule == "decode" and p.detail == detail for p in verify(dataset).problems)


def test_moved_points_are_found_when_every_hash_fits(dataset: Path, rewrite: Rewrite) -> None:
    key = some_key(dataset)

    def mirrored(at: str, members: dict[str, bytes]) -> dict[str, bytes]:
        if at != key:
            return members
        points = decode_member("points.npy", members["points.npy"]) * np.float32([1, 1, -1])
        buffer = io.BytesIO()
        np.save(buffer, points)
        return {**members, "points.npy": buffer.getvalue()}

    rewrite(dataset, mirrored)
    problems = verify(dataset).problems
    assert problems and {(p.sample, p.rule) for p in problems} == {(key, "content")}


def test_a_sample_in_two_splits_is_found(dataset: Path) -> None:
    index = storage.read_json(dataset / "dataset.json")
    entry = next(e for e in index["shards"] if e["split"] == "train")
    for suffix in (".tar", ".json"):
        source = dataset / entry["name"].replace(".tar", suffix)
        shutil.copy(source, dataset / f"val-000007{suffix}")
    index["shards"].append({**entry, "name": "val-000007.tar", "split": "val"})
    index["splits"].setdefault("val", []).append("val-000007.tar")
    del index["id"]
    shards.write_index(dataset, index)
    twice = [p for p in verify(dataset).problems if p.rule == "twice"]
    assert {p.detail for p in twice} == {f"it is in {entry['name']} too"}
    assert len(twice) == entry["samples"]


def test_a_job_that_planned_more_is_found(dataset: Path) -> None:
    def planned(note: dict[str, Any]) -> None:
        note["shapes"].append({**note["shapes"][0], "key": "car-lost"})

    edit(dataset / "job.json", planned)
    problem = only(dataset)
    assert (problem.sample, problem.rule) == ("car-lost", "shapes")


def test_a_missing_job_is_found(dataset: Path) -> None:
    (dataset / "job.json").unlink()
    assert str(only(dataset)) == "job.json: file: missing"


def test_what_is_no_part_of_the_dataset_is_only_noted(dataset: Path) -> None:
    (dataset / "train-000099.tar").write_bytes(b"")
    report = verify(dataset)
    assert report.problems == []
    assert report.notes == ["train-000099.tar: on storage, and not in the index"]


def test_pictures_without_cameras_are_sound_and_checked(photos: Path, rewrite: Rewrite) -> None:
    assert verify(photos).problems == []

    def cut(key: str, members: dict[str, bytes]) -> dict[str, bytes]:
        image = decode_member("00.rgba.png", members["00.rgba.png"])[:, :-1]
        return {**members, "00.rgba.png": encode_image("rgba", np.ascontiguousarray(image))}

    rewrite(photos, cut)
    assert {p.detail for p in verify(photos).problems} == {"29 x 20 pixels, not 30 x 20"}


def test_the_command_exits_1_and_says_where(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Verify(dir=str(dataset))() == 0
    assert "all is as it should be: 5 samples, 15 images" in capsys.readouterr().out
    tar, _, sample = first(dataset)
    flip(tar, sample["members"]["points.npy"][0] + 200)
    assert Verify(dir=str(dataset))() == 1
    out = capsys.readouterr().out
    assert f"{tar.name} {sample['key']} points.npy: sha256: " in out
    assert Verify(dir=str(dataset), json=True)() == 1
    facts = json.loads(capsys.readouterr().out)
    assert facts["ok"] is False and facts["samples"] == 5
    assert {p["rule"] for p in facts["problems"]} >= {"sha256", "pixels"}


def test_a_folder_without_a_dataset_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no dataset in .*: it has no dataset\.json"):
        verify(tmp_path)
