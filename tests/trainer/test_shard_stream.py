"""A shard that is written while its samples are made is the one that is written afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from renderer import shards
from trainer import output
from trainer.output import Failed
from trainer.shard_stream import ShardStream

KEYS = ("a", "b", "c", "d")
LOG = {"created_with": {"torch": "2"}}
TORN = Failed(id="c", failure_class="bad_input", reason="torn", tries=1)


def record(key: str) -> shards.Record:
    made = shards.make_record(key, {"json": key.encode() * 700}, "0" * 64)
    return shards.Record(**{**vars(made), "log": LOG})


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.glob("train*") if ".log." not in p.name}


@pytest.mark.parametrize("order", ["abcd", "dcba", "cadb"])
@pytest.mark.parametrize("before", ["", "b", "ad"])
def test_it_is_the_same_shard_in_whatever_order_samples_come(tmp_path, order, before):
    one, two = tmp_path / "one", tmp_path / "two"
    for key in "abd":
        shards.stage(output.staging(one, "train-000000"), record(key), LOG)
    output.write(one, "train-000000", "abd", [TORN])
    for key in before:
        shards.stage(output.staging(two, "train-000000"), record(key), LOG)

    with ShardStream(two, "train-000000", KEYS, set(before)) as stream:
        for key in order:
            if key not in before:
                stream.put(TORN if key == "c" else record(key))
        assert files(two) == {}
        shard = stream.finish([], 1.0)

    assert files(two) == files(one)
    assert shard == output.written(one, "train-000000")


def test_what_was_given_up_before_is_listed(tmp_path):
    with ShardStream(tmp_path, "train-000000", ("a",), set()) as stream:
        stream.put(record("a"))
        shard = stream.finish([TORN], 0.0)

    assert shard.keys == ("a",) and shard.failed == (TORN,)


def test_left_by_an_exception_it_leaves_nothing(tmp_path):
    class LeaseLost(Exception): ...

    with (
        pytest.raises(LeaseLost),
        ShardStream(tmp_path, "train-000000", ("a", "b"), set()) as stream,
    ):
        stream.put(record("a"))
        raise LeaseLost

    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_try_was_writing_is_removed(tmp_path):
    (tmp_path / ".train-000000.tar.xyz.part").write_bytes(b"half")
    (tmp_path / ".train-000001.tar.xyz.part").write_bytes(b"another's")

    ShardStream(tmp_path, "train-000000", (), set())

    assert [path.name for path in tmp_path.iterdir()] == [".train-000001.tar.xyz.part"]


def test_a_disk_that_refuses_is_told_to_whoever_makes_the_samples(tmp_path):
    (tmp_path / "file").touch()

    with (
        pytest.raises(FileExistsError),
        ShardStream(tmp_path / "file", "train-000000", ("a",), set()) as stream,
    ):
        stream.put(record("a"))
        stream.finish([], 0.0)
