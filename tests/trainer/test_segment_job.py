"""The segment job: photos in, a dataset out; what was rejected is listed, and nothing is lost."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from renderer.dataset import info, preview, verify
from renderer.shards import Dataset
from tests.trainer.datasets import make_dataset
from trainer import hub, output, padding, ratios, rejections
from trainer.jobs import segment
from trainer.jobs.segment import Job, Photo
from trainer.survey import survey


class Lease:
    """A lease that always holds, and remembers."""

    def __init__(self, until: int | None = None) -> None:
        self.failed: dict[str, Any] = {}
        self.started: list[str] = []
        self._until = until

    def start(self, item: str) -> None:
        if len(self.started) == self._until:
            raise KeyboardInterrupt
        self.started.append(item)

    def finish(self, item: str, **units: int) -> None: ...
    def commit(self) -> None: ...


def work(lease: Lease | None = None, **options: Any) -> tuple[Job, list[Any]]:
    """A whole job, without the farm, and without pictures, which take seconds."""
    job = segment.resolve(Job(**options), Path.cwd())
    scanned = segment.scan(job)
    segment.prepare(job, scanned)
    dones = [segment.run(job, task, lease or Lease()) for task in segment.plan(job, scanned)]
    segment.write_index(job, dones, complete=True)
    segment.conclude(job, scanned, dones)
    return job, dones


def thing(seed: int, width: int = 200, height: int = 150) -> tuple[np.ndarray, np.ndarray]:
    """A photo [300, 400, 3] of noise, and the mask [300, 400] of a bright ellipse in it."""
    rng = np.random.default_rng(seed)
    rgb = rng.integers(0, 120, (300, 400, 3), np.uint8)
    mask = np.zeros((300, 400), np.uint8)
    cv2.ellipse(mask, (200, 150), (width // 2, height // 2), 0, 0, 360, 255, -1)
    rgb[mask > 0] += np.array([120, 20 * (seed % 5), 60], np.uint8)
    return rgb, mask


def cut_out(path: Path, seed: int, **more: Any) -> None:
    rgb, mask = thing(seed, **more)
    Image.fromarray(np.dstack([rgb, mask])).save(path)


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Ten photos whose transparency says what is in them."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(10):
        cut_out(folder / f"car {number}.png", number)
    return folder


@pytest.fixture(scope="session")
def match(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("match") / "cars", ("cars",), 20, 3, points=0)


def listed(job: Job) -> list[dict[str, str]]:
    return list(csv.DictReader((job.folder / "rejected.csv").read_text().splitlines()))


def photo_of(sample: Any) -> dict[str, Any]:
    return sample.meta["photo"]


# --- what comes out ------------------------------------------------------------------------------


def test_cut_out_photos_become_a_dataset_that_is_proven(album, match, tmp_path):
    job, dones = work(photos=str(album), match=str(match), out=str(tmp_path / "real"))

    assert verify.verify(job.folder).problems == []
    dataset = Dataset(job.folder)
    assert len(dataset) == sum(done.segments for done in dones) == 10
    assert {split: len(Dataset(job.folder, split)) for split in ("train", "val", "test")} == {
        "train": 7, "val": 1, "test": 2,
    }  # fmt: skip
    for sample in dataset:
        assert list(sample.members) == ["json", "00.rgba.png"]
        rgba, photo = sample.views[0].rgba, photo_of(sample)
        assert rgba.shape == (32, 32, 4)  # as large as those of --match
        assert not rgba[rgba[..., 3] == 0].any() and rgba[rgba[..., 3] > 0][:, :3].any(axis=1).all()
        assert (photo["source"], photo["box"], photo["size"]) == (
            "alpha", [100, 75, 301, 226], [400, 300],
        )  # fmt: skip
        came = padding.of_coverage(sample.views[0].meta["coverage"])
        assert came == pytest.approx(photo["ratio"], rel=0.15)
    assert listed(job) == []


def test_other_parts_of_the_program_know_such_a_dataset(album, match, tmp_path):
    job, _ = work(photos=str(album), match=str(match), out=str(tmp_path / "real"))

    facts = info.info(job.folder)
    assert (facts["kind"], facts["samples"], facts["complete"]) == ("segment", 10, True)
    assert facts["splits"]["train"] == {"segment": 7}
    assert survey(job.folder).size == (32, 32)
    preview.preview(job.folder, tmp_path / "sheet.png")
    assert np.asarray(Image.open(tmp_path / "sheet.png")).std() > 10


def test_a_damaged_dataset_of_photos_is_found_out(album, tmp_path):
    job, _ = work(photos=str(album), out=str(tmp_path / "real"))
    tar = job.folder / "train-000000.tar"
    data = bytearray(tar.read_bytes())
    data[700] ^= 1
    tar.write_bytes(data)

    assert {p.rule for p in verify.verify(job.folder).problems} >= {"sha256"}


def test_the_same_job_elsewhere_gives_the_same_bytes(album, match, tmp_path):
    first, _ = work(photos=str(album), match=str(match), out=str(tmp_path / "one"))
    second, _ = work(photos=str(album), match=str(match), out=str(tmp_path / "two"))

    for tar in first.folder.glob("*.tar"):
        assert tar.read_bytes() == (second.folder / tar.name).read_bytes()
    assert Dataset(first.folder).id == Dataset(second.folder).id


def test_an_interrupted_task_looks_at_no_photo_twice(album, match, tmp_path):
    options = {"photos": str(album), "match": str(match), "shard_size": 10, "split": "100/0/0"}
    whole, _ = work(**options, out=str(tmp_path / "whole"))
    first, second = Lease(until=4), Lease()
    with pytest.raises(KeyboardInterrupt):
        work(first, **options, out=str(tmp_path / "cut"))

    job, _ = work(second, **options, out=str(tmp_path / "cut"))

    assert len(first.started) == 4 and len(second.started) == 6
    assert set(first.started) | set(second.started) == {f"car {n}.png" for n in range(10)}
    name = "train-000000.tar"
    assert (job.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    third = Lease()
    work(third, **options, out=str(tmp_path / "cut"))
    assert third.started == []


def test_a_photo_that_kills_its_process_is_listed_as_failed_and_the_rest_is_there(album, tmp_path):
    lease = Lease()
    lease.failed = {
        "car 3.png": type(
            "Failure",
            (),
            {"item": "car 3.png", "cls": "crash", "reason": "signal 9", "tries": 3},
        )
    }

    job, dones = work(lease, photos=str(album), out=str(tmp_path / "real"))

    assert [f.id for done in dones for f in done.failed] == ["car 3.png"]
    assert len(Dataset(job.folder)) == 9
    assert verify.verify(job.folder).problems == []


# --- bad input -----------------------------------------------------------------------------------


def test_every_bad_photo_is_listed_and_nothing_else_is_lost(album, tmp_path):
    good = (album / "car 0.png").read_bytes()
    (album / "cut off.png").write_bytes(good[: len(good) // 2])
    (album / "empty.jpg").touch()
    (album / "notes.txt").write_text("not a photo")
    (album / "same again.png").write_bytes(good)
    rgb, mask = thing(20)
    gray = np.repeat(rgb[..., :1], 3, axis=2)
    Image.fromarray(np.dstack([gray, mask])).save(album / "gray.png")
    frames = [Image.fromarray(np.roll(rgb, n, axis=1)) for n in range(2)]
    frames[0].save(album / "moving.gif", save_all=True, append_images=frames[1:])
    cut_out(album / "small.png", 21, width=60, height=40)
    Image.fromarray(np.dstack([rgb, mask * 0])).save(album / "nothing.png")
    header = Image.new("L", (1, 1))
    header.save(album / "huge.png")
    data = bytearray((album / "huge.png").read_bytes())
    data[16:24] = (20000).to_bytes(4, "big") + (10000).to_bytes(4, "big")
    import zlib

    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    (album / "huge.png").write_bytes(data)
    (album / ".DS_Store").write_text("hidden")
    (album / "masks").mkdir()
    Image.fromarray(mask).save(album / "masks" / "car 0.png")

    job, _ = work(photos=str(album), out=str(tmp_path / "real"))

    why = {row["photo"]: (row["filter"], row["reason"]) for row in listed(job)}
    assert len(Dataset(job.folder)) == 10
    assert {photo: name for photo, (name, _) in why.items()} == {
        "cut off.png": "photo", "empty.jpg": "photo", "notes.txt": "photo", "huge.png": "photo",
        "same again.png": "photo", "moving.gif": "photo", "nothing.png": "mask",
        "gray.png": "grayscale", "small.png": "side",
    }  # fmt: skip
    assert "car 0.png" in why["same again.png"][1]
    assert "20000 x 10000 are 200 megapixels" in why["huge.png"][1]
    assert "2 pictures" in why["moving.gif"][1]
    facts = json.loads((job.folder / "segments.json").read_text())
    assert facts["rejected"] == Counter(name for name, _ in why.values())
    assert facts["found"] == facts["accepted"] + 2


def test_no_segment_at_all_is_told_in_one_line_and_listed(album, tmp_path):
    with pytest.raises(ValueError) as refused:
        work(photos=str(album), out=str(tmp_path / "real"), side=10_000)

    assert "no segment was accepted (10 photos, 10 segments found; rejected 10 by side)" in str(
        refused.value
    )
    assert "\n" not in str(refused.value)
    rows = listed(Job(photos="x", out=str(tmp_path / "real")))
    assert [row["filter"] for row in rows] == ["side"] * 10


def test_a_ratio_that_cannot_be_reached_is_a_rejection(album, tmp_path):
    rng = np.random.default_rng(0)
    for number in range(2):  # a rod across its square: r is 0.05
        mask = np.zeros((300, 400), np.uint8)
        cv2.line(mask, (60, 20), (340, 280), 255, 9)
        rgb = rng.integers(0, 255, (300, 400, 3), np.uint8)
        Image.fromarray(np.dstack([rgb, mask])).save(album / f"rod {number}.png")
    full = make_dataset(tmp_path / "full", ("cars",), 6, 2, points=0)
    options = {"photos": str(album), "match": str(full), "fill": 0.0, "border": 1.0}

    job, _ = work(**options, out=str(tmp_path / "redraw"))
    clamped, _ = work(**options, out=str(tmp_path / "clamp"), too_full="clamp")

    rows = listed(job)
    assert {(row["photo"], row["filter"]) for row in rows} == {
        ("rod 0.png", "ratio"), ("rod 1.png", "ratio"),
    }  # fmt: skip
    assert "was drawn in 100 tries" in rows[0]["reason"]
    assert (len(Dataset(job.folder)), len(Dataset(clamped.folder))) == (10, 12)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"photos": "nowhere"}, "nowhere: no such folder"),
        ({"photos": "void"}, "void: there are no photos in it"),
        ({"photos": "texts"}, "texts: none of its 1 files is a picture of a known format"),
        ({"photos": "photos", "masks": "nowhere"}, "--masks .*nowhere: no such folder"),
        ({"photos": "photos", "masks": "texts"}, "none of its 1 files is named after a photo"),
        ({"photos": "photos", "match": "void"}, "--match .*void: no dataset in"),
        ({"photos": "photos", "weights": "nowhere.pth"}, "--weights nowhere.pth: no such file"),
    ],
)
def test_what_will_not_do_is_refused_by_name(album, tmp_path, monkeypatch, options, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "void").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("a")

    with pytest.raises(ValueError, match=told):
        work(**options)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"photos": ""}, "--photos is empty"),
        ({"size": 4}, "--size 4: from 8 to 4096"),
        ({"fill": 1.2}, "--fill 1.2: from 0 to 1"),
        ({"score": float("nan")}, "--score nan: from 0 to 1"),
        ({"device": "gpu"}, "--device gpu: auto, cpu or cuda"),
        ({"labels": "car,trukc"}, "--labels: 'trukc' is none of COCO's words; did you mean truck?"),
        ({"split": "50/50"}, "three shares that add up to 100"),
        ({"split": "50/40/20"}, "three shares that add up to 100"),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(options, told):
    with pytest.raises(ValueError, match=told):
        Job(**{"photos": "photos", **options})


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_without_the_detectors_weights_it_is_told_before_anything_runs(
    tmp_path, monkeypatch, album, mode
):
    rgb, _ = thing(1)
    Image.fromarray(rgb).convert(mode).save(album / "opaque.png")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(hub, "SITE", "localhost.invalid")

    with pytest.raises(ValueError, match="no weights of maskrcnn_resnet50_fpn_v2: put ") as refused:
        work(photos=str(album), out=str(tmp_path / "real"))

    assert str(tmp_path / "torch" / "hub" / "checkpoints") in str(refused.value)


def test_a_folder_of_something_else_is_not_taken(album, match, tmp_path):
    with pytest.raises(ValueError, match=r"is in use|holds another"):
        work(photos=str(album), out=str(match))
    work(photos=str(album), out=str(tmp_path / "real"))
    with pytest.raises(ValueError, match=r"holds another job's dataset \(side 128"):
        work(photos=str(album), out=str(tmp_path / "real"), side=90)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda album: cut_out(album / "car 1.png", 99), "changed: car 1.png"),
        (lambda album: (album / "car 1.png").unlink(), "gone: car 1.png"),
        (lambda album: cut_out(album / "new.png", 99), "new: new.png"),
    ],
)
def test_photos_that_have_changed_since_are_refused_by_name(album, tmp_path, change, told):
    work(photos=str(album), out=str(tmp_path / "real"))
    change(album)

    with pytest.raises(ValueError, match=told):
        work(photos=str(album), out=str(tmp_path / "real"))


def test_a_photo_that_changes_while_the_job_runs_is_rejected(album, tmp_path):
    job = segment.resolve(Job(photos=str(album), out=str(tmp_path / "real")), Path.cwd())
    scanned = segment.scan(job)
    segment.prepare(job, scanned)
    cut_out(album / "car 1.png", 99)
    (album / "car 2.png").unlink()

    dones = [segment.run(job, task, Lease()) for task in segment.plan(job, scanned)]

    segment.conclude(job, scanned, dones)
    assert {row["photo"]: row["reason"] for row in listed(job)} == {
        "car 1.png": "it has changed since the job began",
        "car 2.png": "it cannot be read: No such file or directory",
    }


# --- masks ---------------------------------------------------------------------------------------


def test_each_mask_of_a_photo_is_a_segment(tmp_path):
    photos, masks = tmp_path / "photos" / "day", tmp_path / "masks" / "day"
    photos.mkdir(parents=True)
    masks.mkdir(parents=True)
    rgb, _ = thing(0)
    for name in ("one", "two", "none"):
        Image.fromarray(rgb).save(photos / f"{name}.jpg", quality=60 + len(name))
        rgb = np.roll(rgb, 7, axis=0)
    left, right = np.zeros((2, 300, 400), np.uint8)
    cv2.ellipse(left, (80, 150), (70, 70), 0, 0, 360, 255, -1)
    cv2.ellipse(right, (300, 150), (90, 70), 0, 0, 360, 255, -1)
    Image.fromarray(left).save(masks / "one.png")
    Image.fromarray(left).save(masks / "two.a.png")
    Image.fromarray(right).save(masks / "two.b.png")
    Image.fromarray(right[:200]).save(masks / "two.c.png")

    job, _ = work(
        photos=str(tmp_path / "photos"), masks=str(tmp_path / "masks"), out=str(tmp_path / "real")
    )

    found = sorted((photo_of(s)["file"], tuple(photo_of(s)["box"])) for s in Dataset(job.folder))
    assert found == [
        ("day/one.jpg", (10, 80, 151, 221)),
        ("day/two.jpg", (10, 80, 151, 221)),
        ("day/two.jpg", (210, 80, 391, 221)),
    ]
    assert {(row["photo"], row["reason"]) for row in listed(job)} == {
        ("day/none.jpg", "there is no mask of it"),
        ("day/two.jpg", "two.c.png: 400 x 200, the photo is 400 x 300"),
    }
    splits = {
        photo_of(sample)["file"]: split
        for split in Dataset(job.folder).index["splits"]
        for sample in Dataset(job.folder, split)
    }
    assert len(splits) == 2  # both segments of a photo are in one split


def test_a_mask_of_a_photo_that_is_reduced_is_reduced_with_it(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "masks").mkdir()
    rgb, mask = thing(0)
    Image.fromarray(rgb).save(tmp_path / "photos" / "a.jpg")
    Image.fromarray(mask).save(tmp_path / "masks" / "a.png")

    job, _ = work(
        photos=str(tmp_path / "photos"), masks=str(tmp_path / "masks"),
        out=str(tmp_path / "real"), max_megapixels=0.04, side=0,
    )  # fmt: skip

    (sample,) = Dataset(job.folder)
    photo = photo_of(sample)
    assert (photo["size"], photo["decoded"]) == ([400, 300], [200, 150])
    assert np.abs(np.array(photo["box"]) - [50, 37, 151, 113]).max() <= 1


def test_what_the_photos_job_made_is_taken_as_it_is(tmp_path):
    folder = tmp_path / "photos"
    (folder / "photos").mkdir(parents=True)
    (folder / "masks").mkdir()
    (folder / "job.json").write_text('{"version": 1, "kind": "photos"}')
    (folder / "README.md").write_text("renders")
    rgb, mask = thing(0)
    Image.fromarray(rgb).save(folder / "photos" / "photo-00017.png")
    Image.fromarray(mask).save(folder / "masks" / "photo-00017.png")

    job, _ = work(photos=str(folder), masks=str(folder / "masks"), out=str(tmp_path / "real"))

    assert [photo_of(s)["file"] for s in Dataset(job.folder)] == ["photos/photo-00017.png"]
    assert listed(job) == []


# --- plain parts ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "wanted"),
    [(1, (1, 0, 0)), (2, (1, 1, 0)), (3, (1, 1, 1)), (10, (7, 1, 2)), (6, (4, 1, 1))],
)
def test_splits_are_cut_so_that_from_three_photos_on_none_is_empty(n, wanted):
    photos = [Photo(file=str(i), sha256=f"{i:064x}") for i in range(n)]

    assert tuple(map(len, segment.cut(photos, (0.7, 0.1, 0.2)))) == wanted


def test_what_task_a_photo_is_in_depends_on_neither_names_nor_order(album, tmp_path):
    job = segment.resolve(Job(photos=str(album)), tmp_path)
    scanned = segment.scan(job)
    turned = dataclasses.replace(scanned, photos=scanned.photos[::-1])

    assert list(segment.plan(job, scanned)) == list(segment.plan(job, turned))


def test_tasks_are_batches_of_photos():
    job = Job(photos="x")
    assert [segment.shard_size(job, n) for n in (1, 40, 640, 10_000)] == [1, 1, 20, 64]
    assert segment.shard_size(dataclasses.replace(job, shard_size=5), 10_000) == 5


def test_the_ratios_of_a_dataset_are_those_of_its_training_pictures(match):
    found, size = ratios.of_dataset(match)
    shares = [v.rgba[..., 3] > 0 for s in Dataset(match, "train") for v in s.views]
    values = np.array([s.sum() / (~s).sum() for s in shares])

    assert (size, found.pictures, sum(found.counts)) == (32, 42, 42)
    assert found.mean == pytest.approx(values.mean(), rel=1e-12)
    assert found.deviation == pytest.approx(values.std(), rel=1e-12)
    np.testing.assert_array_equal(
        found.counts, np.histogram(values.clip(0, 0.999), np.array(ratios.EDGES))[0]
    )


def test_an_unfinished_dataset_is_not_matched(tmp_path):
    folder = make_dataset(tmp_path / "half", ("cars",), 3, 2, points=0, complete=False)

    with pytest.raises(ValueError, match="is not finished"):
        ratios.of_dataset(folder)


def test_the_pictures_tell_of_what_was_accepted_and_rejected(album, match, tmp_path):
    cut_out(album / "small.png", 21, width=60, height=40)
    job, dones = work(photos=str(album), match=str(match), out=str(tmp_path / "real"))

    segment.publish(job, segment.scan(job), dones, complete=True)

    for name in ("funnel", "ratios", "accepted", "rejected"):
        for paper in ("", ".dark"):
            image = np.asarray(Image.open(job.folder / "pictures" / f"{name}{paper}.png"))
            assert image[..., :3].std() > 5, name
    note = rejections.read(job.folder, "train-000000")
    assert note is not None and set(note) == {"version", "photos", "ratios", "rejected"}


def test_done_is_what_storage_says(album, tmp_path):
    job, dones = work(photos=str(album), out=str(tmp_path / "real"))
    tasks = list(segment.plan(job, segment.scan(job)))

    assert [segment.done(job, task) for task in tasks] == dones
    os.truncate(job.folder / "train-000000.rejected.json", 5)
    assert segment.done(job, tasks[0]) is None
    assert output.written(job.folder, tasks[0].name) is not None


def test_the_job_file_is_plain():
    program = "import trainer.jobs.segment, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert not {"numpy", "torch", "PIL", "cv2"} & set(done.stdout.split())
