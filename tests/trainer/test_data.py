"""A run reads what its snapshot names: at random, unchanged, and nothing else."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from renderer import shards
from renderer.members import PASSES
from renderer.shards import Dataset
from tests.trainer.datasets import make_dataset
from trainer.data import Item, Reader, Snapshot
from trainer.errors import DatasetRefused


@pytest.fixture(scope="module")
def cars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "cars"
    return make_dataset(folder, ("cars", "chairs"), views=3, passes=PASSES)


@pytest.fixture(scope="module")
def planes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "planes"
    return make_dataset(folder, ("planes",), shapes=10, views=3, points=128, passes=PASSES[:2])


@pytest.fixture
def own(cars: Path, tmp_path: Path) -> Path:
    """A dataset that a test may change."""
    return Path(shutil.copytree(cars, tmp_path / "own"))


def everything(snapshot: Snapshot) -> list[Item]:
    return [item for split in snapshot.facts.samples for item in snapshot.items(split)]


def sample_of(folder: Path, key: str) -> shards.Sample:
    return next(sample for sample in Dataset(folder) if sample.key == key)


class TestFacts:
    def test_tell_what_is_true_of_every_sample(self, cars: Path) -> None:
        facts = Snapshot.take([cars]).facts

        assert facts.categories == ("cars", "chairs")
        assert (facts.views, facts.cameras, facts.size) == (3, "dpc", (32, 32))
        assert facts.passes == PASSES and facts.points == 256
        assert facts.samples == {"train": 8, "val": 2, "test": 2}
        assert facts.folders == (str(cars),)

    def test_of_several_datasets_are_what_all_of_them_have(self, cars: Path, planes: Path) -> None:
        facts = Snapshot.take([planes, cars]).facts

        assert facts.categories == ("cars", "chairs", "planes")
        assert facts.passes == ("rgba", "depth") and facts.points == 128
        assert facts.samples == {"train": 15, "val": 3, "test": 4}

    def test_of_photos_leave_open_what_photos_do_not_have(self, tmp_path: Path) -> None:
        photos = write_photos(tmp_path)
        snapshot = Snapshot.take([photos])

        assert (snapshot.facts.categories, snapshot.facts.cameras) == (("",), "")
        assert (snapshot.facts.views, snapshot.facts.size) == (2, (9, 7))
        assert (snapshot.facts.passes, snapshot.facts.points) == (("rgba",), 0)
        image = Reader(snapshot).image(snapshot.items("train")[1], 1)
        assert image.shape == (7, 9, 4) and (image == 11).all()


class TestItems:
    def test_are_numbered_over_all_folders_in_the_order_of_their_shards(
        self, cars: Path, planes: Path
    ) -> None:
        items = Snapshot.take([cars, planes]).items("train")

        assert [item.number for item in items] == list(range(15))
        assert [item.key for item in items] == [
            sample.key for folder in (cars, planes) for sample in Dataset(folder, "train")
        ]
        assert [item.folder for item in items] == [0] * 8 + [1] * 7
        assert {(item.key.split("-")[0], item.category) for item in items} == {
            ("cars", 0), ("chairs", 1), ("planes", 2),
        }  # fmt: skip

    @pytest.mark.parametrize("split", ["dev", ""])
    def test_of_a_split_that_is_not_there_are_refused_with_those_that_are(
        self, cars: Path, split: str
    ) -> None:
        wanted = r"no shapes in split .* of .*/cars; there are train \(8\), val \(2\), test \(2\)"
        with pytest.raises(DatasetRefused, match=wanted):
            Snapshot.take([cars]).items(split)


class TestIdentity:
    def test_of_one_dataset_is_its_id_and_of_several_depends_on_all(
        self, cars: Path, planes: Path
    ) -> None:
        assert Snapshot.take([cars]).id == Dataset(cars).id
        ids = {Snapshot.take(f).id for f in ([cars], [planes], [cars, planes], [planes, cars])}
        assert len(ids) == 4 and all(len(found) == 64 for found in ids)

    def test_does_not_depend_on_where_the_dataset_lies(self, cars: Path, own: Path) -> None:
        assert Snapshot.take([cars]).id == Snapshot.take([own]).id


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"views": 4}, "views is 3 and 4"),
            ({"size": 48}, "size is 32 x 32 and 48 x 48"),
            ({"cameras": "orbit"}, "cameras is dpc and orbit"),
        ],
    )
    def test_datasets_that_are_not_alike_are_refused_with_both_values(
        self, cars: Path, tmp_path: Path, options: dict[str, Any], told: str
    ) -> None:
        other = make_dataset(tmp_path / "other", ("planes",), 1, **{"views": 3, **options})

        with pytest.raises(DatasetRefused, match=rf"/cars and .*/other cannot .*: {told}"):
            Snapshot.take([cars, other])

    def test_samples_that_are_not_alike_are_refused_by_key(self, tmp_path: Path) -> None:
        make_dataset(tmp_path / "more", ("planes",), 1, views=3)
        folder = make_dataset(tmp_path / "few", ("cars",), 1, views=2)
        join(folder, tmp_path / "more")

        with pytest.raises(DatasetRefused, match="views is 2 in cars-0000 and 3 in planes-0000"):
            Snapshot.take([folder])

    def test_a_shape_of_two_datasets_is_refused_by_key(self, cars: Path, own: Path) -> None:
        with pytest.raises(DatasetRefused, match=r"cars-0000 is in .*/cars and in .*/own"):
            Snapshot.take([cars, own])

    def test_a_dataset_that_is_not_finished_is_refused_with_the_remedy(
        self, tmp_path: Path
    ) -> None:
        make_dataset(tmp_path, ("cars",), 1, complete=False)

        with pytest.raises(DatasetRefused, match="not finished; the same `farm submit render`"):
            Snapshot.take([tmp_path])

    def test_an_empty_dataset_and_no_dataset_are_refused(self, tmp_path: Path) -> None:
        make_dataset(tmp_path / "empty", (), 3)

        with pytest.raises(DatasetRefused, match="empty has no shapes"):
            Snapshot.take([tmp_path / "empty"])
        with pytest.raises(DatasetRefused, match="--data"):
            Snapshot.take([])
        with pytest.raises(FileNotFoundError, match=r"no dataset in .*nowhere"):
            Snapshot.take([tmp_path / "nowhere"])

    @pytest.mark.parametrize("damage", ["gone", "no JSON", "another's", "longer"])
    def test_a_shard_that_is_not_what_the_index_names_is_told_by_name(
        self, own: Path, damage: str
    ) -> None:
        tar, note = own / "train-000001.tar", own / "train-000001.json"
        {
            "gone": tar.unlink,
            "no JSON": lambda: note.write_bytes(b"{"),
            "another's": lambda: shutil.copy(own / "train-000000.json", note),
            "longer": lambda: tar.write_bytes(tar.read_bytes() + b"\0" * 512),
        }[damage]()

        with pytest.raises(DatasetRefused, match=r"train-000001\.tar: .*farm dataset verify"):
            Snapshot.take([own])


class TestReader:
    def test_gives_every_member_as_it_is_stored(self, cars: Path, planes: Path) -> None:
        snapshot = Snapshot.take([cars, planes])
        reader = Reader(snapshot)
        for turn in range(2):  # decoded, then of the cache
            for item in reversed(everything(snapshot)):
                sample = sample_of((cars, planes)[item.folder], item.key)
                for view in (2, 0, 1):
                    for kind in ("rgba", "depth"):
                        ours, theirs = reader.image(item, view, kind), sample.views[view].raw(kind)
                        assert ours.dtype == theirs.dtype and (ours == theirs).all(), turn
                assert (reader.points(item) == sample.points[:128]).all()
                assert reader.meta(item) == sample.meta

    def test_keeps_16_bits(self, cars: Path) -> None:
        snapshot = Snapshot.take([cars])
        reader, item = Reader(snapshot), snapshot.items("val")[0]
        for _ in range(2):
            depth, normal = reader.image(item, 1, "depth"), reader.image(item, 1, "normal")

            assert depth.dtype == normal.dtype == np.uint16
            assert depth.max() > 256 and len(np.unique(depth % 256)) > 50
            assert normal.shape == (32, 32, 3) and set(np.unique(normal)) >= {0, 32768, 65535}

    @pytest.mark.parametrize("cache", [True, False])
    def test_pictures_cannot_be_written_to(self, cars: Path, cache: bool) -> None:
        snapshot = Snapshot.take([cars])
        reader = Reader(snapshot, cache)
        for _ in range(2):
            with pytest.raises(ValueError, match="read-only"):
                reader.image(snapshot.items("train")[0], 0)[0, 0] = 0

    def test_reads_one_range_of_a_shard(self, own: Path) -> None:
        snapshot = Snapshot.take([own])
        item = snapshot.items("train")[2]
        sample = sample_of(own, item.key)
        wanted = sample.views[1].rgba
        offset, size, _ = sample.members["01.rgba.png"]
        data = sample.tar.read_bytes()
        # Nothing of the shard is there but the member.
        sample.tar.write_bytes(
            b"\0" * offset + data[offset : offset + size] + b"\0" * (len(data) - offset - size)
        )

        assert (Reader(snapshot, cache=False).image(item, 1) == wanted).all()

    def test_a_pass_or_view_that_is_not_there_is_told(self, cars: Path, planes: Path) -> None:
        snapshot = Snapshot.take([cars, planes])
        reader, last = Reader(snapshot), snapshot.items("train")[-1]

        with pytest.raises(DatasetRefused, match=r"/planes has no mask; it has json, rgba, depth"):
            reader.image(last, 0, "mask")
        for view in (-1, 3):
            with pytest.raises(IndexError, match=f"view {view} of planes-0006, which has 3"):
                reader.image(last, view)

    def test_serves_threads_at_once(self, cars: Path) -> None:
        snapshot = Snapshot.take([cars])
        reader, alone = Reader(snapshot), Reader(snapshot, cache=False)
        tasks = [(item, view) for item in everything(snapshot) for view in range(3)]

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda task: reader.image(*task), tasks * 4))

        for image, (item, view) in zip(found, tasks * 4, strict=True):
            assert (image == alone.image(item, view)).all()

    @pytest.mark.parametrize("method", ["fork", "spawn"])
    def test_goes_to_other_processes(self, cars: Path, method: str) -> None:
        snapshot = Snapshot.take([cars])
        reader, items = Reader(snapshot), everything(snapshot)
        context = multiprocessing.get_context(method)
        here, there = context.Pipe()
        child = context.Process(target=send_sums, args=(reader, items, there))
        child.start()
        sums = here.recv()
        child.join()

        assert sums == [int(reader.image(item, 2).sum()) for item in items]


class TestFrozen:
    def test_a_dataset_that_grows_stays_what_it_was(self, own: Path, tmp_path: Path) -> None:
        before = Snapshot.take([own])
        kept = json.loads(json.dumps(before.to_json()))
        make_dataset(tmp_path / "more", ("planes",), 4, views=3, passes=PASSES, per_shard=1)
        join(own, tmp_path / "more")

        again = Snapshot.from_json(kept)
        assert again.id == before.id != Snapshot.take([own]).id
        assert again.facts == before.facts
        for split in ("train", "val", "test"):
            assert again.items(split) == before.items(split)
        assert len(Snapshot.take([own]).items("train")) == len(before.items("train")) + 3
        assert Reader(again, cache=False).image(again.items("train")[7], 2).any()

    def test_is_the_same_after_json(self, cars: Path, planes: Path) -> None:
        snapshot = Snapshot.take([cars, planes])
        again = Snapshot.from_json(json.loads(json.dumps(snapshot.to_json())))

        assert (again.id, again.facts) == (snapshot.id, snapshot.facts)
        assert again.items("test") == snapshot.items("test")

    def test_json_of_another_version_is_refused_with_both(self, cars: Path) -> None:
        kept = {**Snapshot.take([cars]).to_json(), "version": 7}
        with pytest.raises(DatasetRefused, match="has version 7; this program reads version 1"):
            Snapshot.from_json(kept)

    @pytest.mark.parametrize("damage", ["tar gone", "note gone", "shorter", "another note"])
    def test_a_shard_that_is_gone_or_changed_is_refused_by_name_when_it_is_opened_again(
        self, own: Path, damage: str
    ) -> None:
        kept = Snapshot.take([own]).to_json()
        break_shard(own, damage)

        with pytest.raises(DatasetRefused, match=r"own/train-000001\.\w+ (is gone|was changed)"):
            Snapshot.from_json(kept)

    @pytest.mark.parametrize("damage", ["tar gone", "note gone", "shorter", "another note"])
    def test_a_shard_that_is_gone_or_changed_is_refused_by_name_when_it_is_read(
        self, own: Path, damage: str
    ) -> None:
        snapshot = Snapshot.take([own])
        reader = Reader(snapshot, cache=False)
        break_shard(own, damage)

        assert reader.image(snapshot.items("train")[0], 0).any()
        with pytest.raises(DatasetRefused, match=r"own/train-000001\.\w+ (is gone|was changed)"):
            reader.image(snapshot.items("train")[5], 0)

    def test_one_changed_bit_is_found_when_it_is_read(self, own: Path) -> None:
        snapshot = Snapshot.take([own])
        reader, item = Reader(snapshot, cache=False), snapshot.items("train")[5]
        reader.image(item, 1)
        sample = sample_of(own, item.key)
        data = bytearray(sample.tar.read_bytes())
        data[sample.members["00.rgba.png"][0] + 60] ^= 1
        sample.tar.write_bytes(data)

        assert reader.image(item, 1).any()
        with pytest.raises(DatasetRefused, match=rf"was changed: {item.key}\.00\.rgba\.png"):
            reader.image(item, 0)


def test_reading_facts_takes_no_torch_and_no_queue() -> None:
    code = (
        "import sys, trainer.data;"
        "print([m for m in ('torch', 'celery', 'redis', 'bpy', 'pydantic') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout

    assert found.strip() == "[]"


# --- details -----------------------------------------------------------------------------------


def send_sums(reader: Reader, items: list[Item], pipe: Connection) -> None:
    pipe.send([int(reader.image(item, 2).sum()) for item in items])


def break_shard(folder: Path, damage: str) -> None:
    tar, note = folder / "train-000001.tar", folder / "train-000001.json"
    changed: dict[str, Callable[[], object]] = {
        "tar gone": tar.unlink,
        "note gone": note.unlink,
        "shorter": lambda: os.truncate(tar, tar.stat().st_size - 512),
        "another note": lambda: note.write_bytes(note.read_bytes().replace(b"[", b"[ ", 1)),
    }
    changed[damage]()


def join(folder: Path, other: Path) -> None:
    """Add the shards of another dataset, as --add does."""
    index, more = (json.loads((f / "dataset.json").read_text()) for f in (folder, other))
    for entry in more["shards"]:
        name = entry["name"].replace("-0", "-1")
        for end in (".tar", ".json"):
            source = (other / entry["name"]).with_suffix(end)
            shutil.copy(source, (folder / name).with_suffix(end))
        index["shards"].append({**entry, "name": name})
        index["splits"].setdefault(entry["split"], []).append(name)
    del index["id"]
    shards.write_index(folder, index)


def write_photos(folder: Path) -> Path:
    """Three samples of two pictures of 9 x 7, without cameras."""
    from renderer import storage
    from renderer.members import encode_image, pixels_hash

    records = []
    for number in range(3):
        arrays = {
            f"{v:02d}.rgba.png": np.full((7, 9, 4), number * 10 + v, np.uint8) for v in (0, 1)
        }
        members = {"json": storage.canonical_json({"version": 1, "key": f"photo-{number}"})}
        members |= {name: encode_image("rgba", image) for name, image in arrays.items()}
        records.append(shards.make_record(f"photo-{number}", members, pixels_hash(arrays)))
    sidecar = shards.write_shard(folder, "train-000000", iter(records), [])
    tar = folder / "train-000000.tar"
    entry = {
        "name": tar.name, "split": "train", "samples": 3, "bytes": tar.stat().st_size,
        "sha256": sidecar["sha256"],
    }  # fmt: skip
    index = {
        "version": 1, "complete": True, "job": {}, "parent": None, "created_with": {},
        "conventions": {}, "members": [], "splits": {"train": [tar.name]}, "shards": [entry],
        "sources": [],
    }  # fmt: skip
    shards.write_index(folder, index)
    return folder
