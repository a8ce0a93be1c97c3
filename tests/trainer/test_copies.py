"""Training out of an object store: shards are fetched once, bounded, and proven."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from renderer import shards, storage
from tests.object_store import Server
from tests.object_store import stored as put
from tests.trainer.datasets import make_dataset
from trainer import cache
from trainer.copies import Copies
from trainer.data import Reader, Snapshot
from trainer.errors import DatasetRefused
from trainer.loader import ordered


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("blocks") / "blocks", shapes=4, views=2, size=16)


@pytest.fixture
def stored(local: Path, bucket: str) -> storage.Place:
    """The same dataset in a store."""
    return put(local, f"{bucket}/blocks")


def copied() -> list[Path]:
    found = (cache.folder().parent / "shards").glob("*/*")
    return sorted(path for path in found if not path.name.startswith("."))


def bytes_of(reader: Reader) -> list[bytes]:
    return [
        reader.image(item, view).tobytes() + reader.points(item).tobytes()
        for split in reader.snapshot.facts.samples
        for item in reader.snapshot.items(split)
        for view in range(2)
    ]


def test_a_snapshot_reads_the_same_there_and_fetches_every_shard_once(
    local: Path, stored: storage.Place
) -> None:
    here, there = Snapshot.take([local]), Snapshot.take([str(stored)])
    assert there.id == here.id and there.facts.folders == (str(stored),)
    again = Snapshot.from_json(there.to_json())

    assert bytes_of(Reader(again, cache=False)) == bytes_of(Reader(here, cache=False))
    assert {path.name for path in copied()} == {s["sha256"] for s in shards.Dataset(local).shards}
    before = [path.stat().st_mtime_ns for path in copied()]
    assert bytes_of(Reader(again, cache=False)) == bytes_of(Reader(here, cache=False))
    assert [path.stat().st_mtime_ns for path in copied()] == before


class Pictures:
    """Examples: the first view of every shape of training."""

    def __init__(self, snapshot: Snapshot):
        self.reader, self.items = Reader(snapshot, cache=False), snapshot.items("train")

    def __len__(self) -> int:
        return len(self.items)

    def get(self, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"image": self.reader.image(self.items[index], 0)}


def test_loader_processes_that_were_forked_reach_the_store_themselves(
    local: Path, stored: storage.Place
) -> None:
    there, here = (Pictures(Snapshot.take([str(folder)])) for folder in (stored, local))
    there.reader.image(there.items[0], 0)  # this process has its connections already

    found = [batch["image"] for batch in ordered(there, batch=2, workers=2)]

    for one, other in zip(found, ordered(here, batch=2, workers=0), strict=True):
        np.testing.assert_array_equal(one, other["image"])


@pytest.mark.parametrize("share", [0, 0.7])
def test_what_has_no_room_is_read_where_it_lies(
    local: Path, stored: storage.Place, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    sizes = [shard["bytes"] for shard in shards.Dataset(local).shards]
    monkeypatch.setenv("FARM_CACHE_GB", str(share * sum(sizes) / 1e9))
    here, there = Snapshot.take([local]), Snapshot.take([str(stored)])

    assert bytes_of(Reader(there, cache=False)) == bytes_of(Reader(here, cache=False))
    assert sum(path.stat().st_size for path in copied()) <= share * sum(sizes)
    assert (len(copied()) > 0) == (share > 0) and len(copied()) < len(sizes)


def test_a_dataset_that_nobody_reads_makes_room_and_one_that_is_read_does_not(
    stored: storage.Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = shards.Dataset(stored).shards
    tar = shards.tar_path(stored, first["name"], first["sha256"])
    monkeypatch.setenv("FARM_CACHE_GB", str(1.5 * first["bytes"] / 1e9))
    old = Copies("a" * 64)
    assert old.path(tar, first["sha256"], first["bytes"])

    assert Copies("b" * 64).path(tar, first["sha256"], first["bytes"]) is None
    del old
    assert Copies("b" * 64).path(tar, first["sha256"], first["bytes"])
    assert [path.parent.name for path in copied()] == ["b" * 64]


@pytest.mark.parametrize("wrong", ["../../x", "/tmp/x", "short", ""])
def test_a_hash_that_is_none_is_no_name_of_a_file(stored: storage.Place, wrong: str) -> None:
    shard = shards.Dataset(stored).shards[0]
    tar = shards.tar_path(stored, shard["name"], shard["sha256"])

    assert Copies(wrong).path(tar, shard["sha256"], shard["bytes"]) is None
    assert Copies("a" * 64).path(tar, wrong, shard["bytes"]) is None


def test_a_shard_that_is_not_what_it_was_is_refused_by_name(
    stored: storage.Place, s3_server: Server
) -> None:
    snapshot = Snapshot.take([str(stored)])
    item = snapshot.items("train")[0]
    shard = shards.Dataset(stored).shards[item.shard]
    tar = shards.tar_path(stored, shard["name"], shard["sha256"])
    data = storage.read(tar)
    storage.write(tar, data[:-1] + b"x")

    with pytest.raises(DatasetRefused, match=r"train-000000.* is not what its side-car says"):
        Reader(snapshot, cache=False).image(item, 0)
    assert copied() == []
    storage.remove(tar)
    with pytest.raises(DatasetRefused, match="is gone, which the run was begun with"):
        Reader(snapshot, cache=False).image(item, 0)


def test_an_address_of_no_dataset_is_refused_in_one_line(bucket: str) -> None:
    with pytest.raises(FileNotFoundError, match=f"no dataset in {bucket}/none"):
        Snapshot.take([f"{bucket}/none"])
