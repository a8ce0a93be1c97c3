"""A dataset that a trainer job makes is one like any other, and its folder is one job's."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from renderer import shards
from renderer.dataset.verify import verify
from trainer import output

MADE = {"torch": "2", "device": {"kind": "cpu"}}


@dataclass(frozen=True, kw_only=True)
class Job:
    data: tuple[str, ...] = ("photos",)
    out: str = "here"
    loud: bool = False


JOB = output.identity(Job(), {"loud"})


def record(key: str) -> shards.Record:
    """A sample as photos give it: one picture and its JSON."""
    rgba = np.zeros((7, 11, 4), np.uint8)
    rgba[2:5, 3:8] = (10, 200, 90, 255)
    meta = {
        "version": 1,
        "key": key,
        "seed": 0,
        "size": [11, 7],
        "views": [shards.describe_view(rgba)],
    }
    members = {
        "json": shards.canonical_json(meta),
        "00.rgba.png": shards.encode_image("rgba", rgba),
    }
    return shards.make_record(key, members, shards.pixels_hash({"00.rgba.png": rgba}))


def make(folder: Path) -> list[output.Shard]:
    keys = {"train-000000": ("a-1", "a-2"), "test-000000": ("a-3",)}
    output.claim(folder, "double", JOB, shapes=[{"key": k} for k in ("a-1", "a-2", "a-3", "a-4")])
    made = []
    for name, mine in keys.items():
        for key in mine:
            shards.stage(output.staging(folder, name), record(key), {"created_with": MADE})
        failed = output.Failed(id="a-4", failure_class="bad_input", reason="torn", tries=1)
        made.append(output.write(folder, name, mine, [failed] if name[1] == "r" else [], 1.5))
    return made


def publish(folder: Path, made: list[output.Shard], complete: bool = True) -> dict[str, object]:
    members = ["json", "00.rgba.png"]
    return output.publish(folder, made, complete, job=JOB, members=members, parent={"id": "x"})


def test_what_is_published_is_proven_by_verify_and_read_like_any_dataset(tmp_path: Path) -> None:
    made = make(tmp_path)

    publish(tmp_path, made)

    assert verify(tmp_path, processes=1).problems == []
    found = shards.Dataset(tmp_path, "train")
    assert [sample.key for sample in found] == ["a-1", "a-2"]
    assert found.index["created_with"] == MADE
    assert found.index["parent"] == {"id": "x"}
    assert not (tmp_path / ".staging").exists()


def test_a_shard_is_told_from_storage_alone(tmp_path: Path) -> None:
    made = make(tmp_path)

    assert [output.written(tmp_path, shard.name) for shard in made] == made
    assert made[0].images == 2
    assert made[0].failed[0].reason == "torn"


@pytest.mark.parametrize("suffix", [".tar", ".json", ".log.json"])
def test_a_shard_that_lacks_a_file_is_not_there(tmp_path: Path, suffix: str) -> None:
    make(tmp_path)

    (tmp_path / f"train-000000{suffix}").unlink()

    assert output.written(tmp_path, "train-000000") is None


def test_an_index_without_a_shard_is_no_finished_dataset(tmp_path: Path) -> None:
    made = make(tmp_path)

    index = publish(tmp_path, made[1:], complete=False)

    assert index["splits"] == {"test": ["test-000000.tar"]}
    assert not shards.Dataset(tmp_path).complete


def test_the_same_claim_again_finds_the_folder_ours(tmp_path: Path) -> None:
    for _ in range(2):
        output.claim(tmp_path / "new", "double", JOB, shapes=[{"key": "a"}], origins=[])

    note = json.loads((tmp_path / "new" / "job.json").read_text())
    assert (note["kind"], note["job"]) == ("double", {"data": ["photos"]})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"kind": "other"}, "another job's dataset .of a double job"),
        ({"job": {"data": ["else"]}}, "another job's dataset .data photos, not else"),
        ({"parent": {"id": "p2"}}, "changed since .id p1, now p2"),
        ({"shapes": [{"key": "a", "n": 2}]}, "changed since .changed: a"),
        ({"shapes": [{"key": "b"}, {"key": "c"}]}, "changed since .gone: a"),
    ],
)
def test_another_claim_is_refused_and_says_what_differs(
    tmp_path: Path, change: dict[str, object], told: str
) -> None:
    said = {"kind": "double", "job": JOB, "shapes": [{"key": "a"}], "parent": {"id": "p1"}}
    output.claim(tmp_path / "new", **said)  # type: ignore[arg-type]

    with pytest.raises(ValueError, match=told):
        output.claim(tmp_path / "new", **{**said, **change})  # type: ignore[arg-type]


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()

    with pytest.raises(ValueError, match="in use and is not a dataset"):
        output.claim(tmp_path, "double", JOB, shapes=[])


def test_a_disk_that_is_too_small_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"will need about .* are free there"):
        output.check_room(tmp_path / "new", 1e18)
