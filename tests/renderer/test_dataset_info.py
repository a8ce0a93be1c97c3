"""What a dataset tells of itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from farm.commands.dataset import Info
from renderer import shards, storage
from renderer.dataset.info import info, told
from renderer.shards import Dataset


def test_it_counts_what_is_there(rendered: Path) -> None:
    facts = info(rendered)
    assert facts["samples"] == 5 and facts["images"] == 15 and facts["views"] == 3
    assert facts["complete"] is True and facts["planned"] == 6
    assert facts["size"] == [48, 48]
    totals: dict[str, int] = {}
    for by in facts["splits"].values():
        for category, count in by.items():
            totals[category] = totals.get(category, 0) + count
    assert totals == {"car": 3, "chair": 2}
    for split, by in facts["splits"].items():
        assert sum(by.values()) == len(Dataset(rendered, split))
    assert facts["bytes"] == sum(tar.stat().st_size for tar in rendered.glob("*.tar"))
    assert facts["id"] == Dataset(rendered).id


def test_it_names_what_failed_and_why(rendered: Path) -> None:
    (failure,) = info(rendered)["failed"]
    assert failure["id"] == "chair-empty" and failure["class"] == "bad_input"
    text = told(info(rendered))
    assert "1 failed:" in text and f"chair-empty: bad_input: {failure['reason']}" in text


def test_it_is_told_for_people(rendered: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert Info(dir=str(rendered))() == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0] == f"{rendered}: complete"
    assert "5, 3 views of 48x48 px each" in out
    assert "15 of each of albedo, depth, mask, normal, rgba" in out
    assert "bpy " in out and "seed 0" in out
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}
    assert rows["category"][-1] == "total" and rows["total"][-1] == "5"


def test_splits_are_told_in_the_order_of_their_use(rendered: Path) -> None:
    header = next(line for line in told(info(rendered)).splitlines() if "category" in line)
    assert header.split() == ["category", "train", "val", "test", "total"]


def test_it_works_while_the_dataset_grows(
    rendered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    growing = tmp_path / "growing"
    growing.mkdir()
    shutil.copy(rendered / "job.json", growing)
    index = storage.read_json(rendered / "dataset.json")
    shard = index["shards"][0]
    for path in (shard["name"], shard["name"].replace(".tar", ".json")):
        shutil.copy(rendered / path, growing)
    index |= {"complete": False, "shards": [shard], "splits": {shard["split"]: [shard["name"]]}}
    del index["id"]
    shards.write_index(growing, index)
    facts = info(growing)
    assert (facts["samples"], facts["planned"], facts["complete"]) == (shard["samples"], 6, False)
    assert Info(dir=str(growing))() == 0
    assert "NOT COMPLETE" in capsys.readouterr().out.splitlines()[0]


def test_json_is_one_object(rendered: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert Info(dir=str(rendered), json=True)() == 0
    assert json.loads(capsys.readouterr().out) == info(rendered)


def test_pictures_alone_are_told_too(photos: Path) -> None:
    facts = info(photos)
    assert facts["splits"] == {"train": {"road": 3}} and facts["size"] == [30, 20]
    assert "3 of each of rgba" in told(facts)


def test_a_folder_without_a_dataset_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no dataset in .*dataset\.json"):
        info(tmp_path / "nowhere")
