"""Datasets become one, and parts of one become datasets; nothing of a sample changes."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import numpy as np
import pytest

from farm.commands.dataset import Merge, Subset
from renderer import shards, storage
from renderer.dataset.merge import merge
from renderer.dataset.subset import Choice, read_keys, subset, view_numbers
from renderer.dataset.verify import verify
from renderer.members import decode_member
from renderer.shards import Dataset, Sample


def samples(folder: Path) -> dict[str, Sample]:
    return {sample.key: sample for sample in Dataset(folder)}


def content(sample: Sample) -> dict[str, bytes]:
    return {name: sample.read(name) for name in sample.members}


def split_of(folder: Path) -> dict[str, str]:
    index = storage.read_json(folder / "dataset.json")
    return {sample.key: split for split in index["splits"] for sample in Dataset(folder, split)}


def rename(folder: Path, old: str, new: str) -> None:
    """Give the one sample of a dataset another key, wherever it is written."""
    sample = samples(folder)[old]
    names = sorted(sample.members, key=lambda name: sample.members[name][0])
    members = {name: sample.read(name) for name in names}
    members["json"] = members["json"].replace(old.encode(), new.encode())
    index = storage.read_json(folder / "dataset.json")
    (entry,) = index["shards"]
    record = shards.make_record(new, members, sample.pixels)
    name = entry["name"].removesuffix(".tar")
    sidecar = shards.write_shard(folder, name, iter([record]), [])
    size = (folder / entry["name"]).stat().st_size
    index["shards"] = [{**entry, "bytes": size, "sha256": sidecar["sha256"]}]
    del index["id"]
    shards.write_index(folder, index)
    job = folder / "job.json"
    job.write_text(job.read_text().replace(f'"{old}"', f'"{new}"'))


@pytest.fixture
def cars(rendered: Path, tmp_path: Path) -> Path:
    subset(rendered, tmp_path / "cars", Choice(categories=("car",)))
    return tmp_path / "cars"


@pytest.fixture
def chairs(rendered: Path, tmp_path: Path) -> Path:
    subset(rendered, tmp_path / "chairs", Choice(categories=("chair",)))
    return tmp_path / "chairs"


def tree(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_subset_of_a_category_is_a_sound_dataset_with_the_same_bytes(
    rendered: Path, cars: Path
) -> None:
    assert verify(cars).problems == []
    found, whole = samples(cars), samples(rendered)
    assert set(found) == {key for key in whole if whole[key].category == "car"}
    assert len(found) == 3
    for key, sample in found.items():
        assert content(sample) == content(whole[key])
    assert {key: split_of(rendered)[key] for key in found} == split_of(cars)
    index = Dataset(cars).index
    assert index["parent"] == {"id": Dataset(rendered).id, "samples": 5}
    assert index["conventions"] == Dataset(rendered).index["conventions"]


def test_members_of_a_subset_lie_in_the_same_order(rendered: Path, cars: Path) -> None:
    def order(sample: Sample) -> list[str]:
        return sorted(sample.members, key=lambda name: sample.members[name][0])

    assert {tuple(order(s)) for s in Dataset(cars)} == {tuple(order(Dataset(rendered)[0]))}


def test_a_category_is_named_by_its_synset_too(rendered: Path, cars: Path, tmp_path: Path) -> None:
    subset(rendered, tmp_path / "again", Choice(categories=("02958343",)))
    assert set(samples(tmp_path / "again")) == set(samples(cars))


def test_a_subset_of_views_keeps_cameras_and_pictures_together(
    rendered: Path, tmp_path: Path
) -> None:
    subset(rendered, tmp_path / "two", Choice(views="2,0"))
    assert verify(tmp_path / "two").problems == []
    whole = samples(rendered)
    for key, sample in samples(tmp_path / "two").items():
        assert len(sample.views) == 2
        for number, old in enumerate((2, 0)):
            before = whole[key].views[old]
            assert sample.views[number].meta == before.meta
            for kind in ("rgba", "depth", "normal", "albedo", "mask"):
                assert sample.read(f"0{number}.{kind}.png") == whole[key].read(f"0{old}.{kind}.png")
        assert sample.read("points.npy") == whole[key].read("points.npy")


def test_a_subset_of_a_subset_s_views_still_knows_its_seed(rendered: Path, tmp_path: Path) -> None:
    subset(rendered, tmp_path / "a", Choice(views="2,0"))
    subset(tmp_path / "a", tmp_path / "b", Choice(views="1,"))
    assert verify(tmp_path / "b").problems == []
    note = storage.read_json(tmp_path / "b" / "job.json")
    assert [origin["views"] for origin in note["origins"]] == [[0]]
    assert note["kind"] == "subset" and note["origins"][0]["kind"] == "render"


def test_a_subset_of_a_split_and_of_keys(rendered: Path, tmp_path: Path) -> None:
    subset(rendered, tmp_path / "train", Choice(splits=("train",)))
    assert set(split_of(tmp_path / "train").values()) == {"train"}
    keys = sorted(samples(rendered))[1:3]
    (tmp_path / "keys.txt").write_text(f"# two of them\n{keys[0]}\n\n{keys[1]}\n")
    subset(rendered, tmp_path / "keyed", Choice(keys=read_keys(tmp_path / "keys.txt")))
    assert sorted(samples(tmp_path / "keyed")) == keys
    assert verify(tmp_path / "keyed").problems == verify(tmp_path / "train").problems == []


def test_a_limit_takes_evenly_and_always_the_same(rendered: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        subset(rendered, tmp_path / name, Choice(limit=2))
    assert len(samples(tmp_path / "one")) == 2
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    subset(rendered, tmp_path / "more", Choice(limit=4))
    assert set(samples(tmp_path / "one")) < set(samples(tmp_path / "more"))


@pytest.mark.parametrize(
    ("text", "views"), [("2", [0, 1]), ("0,2,4", [0, 2, 4]), ("3,", [3]), ("4,1", [4, 1])]
)
def test_views_are_a_count_or_numbers(text: str, views: list[int]) -> None:
    assert view_numbers(text, 5) == views


@pytest.mark.parametrize("text", ["0", "6", "5,", "-1,", "1,1", "x", "1-3", ","])
def test_other_views_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"--views {text}"):
        view_numbers(text, 5)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (Choice(categories=("boat",)), "no category 'boat' in .*; there are car, chair"),
        (Choice(splits=("dev",)), "no split 'dev' in .*; there are "),
        (Choice(keys=("car-7",)), "car-7 is not among the chosen samples"),
        (Choice(views="4"), "--views 4: the dataset has 3 views"),
        (Choice(keys=()), "no sample of .* fits the choice"),
    ],
    ids=["category", "split", "key", "views", "nothing"],
)
def test_what_a_dataset_does_not_have_is_refused_by_name(
    rendered: Path, tmp_path: Path, choice: Choice, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        subset(rendered, tmp_path / "out", choice)
    assert not (tmp_path / "out").exists()


def test_parts_merged_hold_what_the_whole_held(
    rendered: Path, cars: Path, chairs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "both"
    index = merge([cars, chairs], out)
    assert verify(out).problems == []
    whole, merged = samples(rendered), samples(out)
    assert set(merged) == set(whole)
    for key in whole:
        assert content(merged[key]) == content(whole[key])
        assert merged[key].pixels == whole[key].pixels
    assert split_of(out) == split_of(rendered)
    assert [parent["id"] for parent in index["parent"]] == [Dataset(cars).id, Dataset(chairs).id]
    sources = sorted(s["sha256"] for part in (cars, chairs) for s in Dataset(part).index["shards"])
    assert sorted(shard["sha256"] for shard in index["shards"]) == sources
    for split, names in index["splits"].items():
        assert names == [f"{split}-{number:06d}.tar" for number in range(len(names))]


def test_failures_are_carried_along(rendered: Path, tmp_path: Path) -> None:
    more = rendered.parent / "more"
    merge([rendered, more], tmp_path / "all")
    assert verify(tmp_path / "all").problems == []
    failed = [failure for folder in (rendered, more) for failure in Dataset(folder).failed()]
    found = list(Dataset(tmp_path / "all").failed())
    assert sorted(f["id"] for f in found) == ["chair-empty", "other-empty"]
    assert all(failure in found for failure in failed)


def test_a_shape_that_failed_here_and_was_made_there_counts_as_made(
    rendered: Path, tmp_path: Path
) -> None:
    """`more` lists `other-empty` as failed; here the other dataset has it."""
    made = tmp_path / "made"
    subset(rendered, made, Choice(categories=("chair",), limit=1))
    (old,) = samples(made)
    rename(made, old, "other-empty")
    assert verify(made).problems == []
    for order in ([made, rendered.parent / "more"], [rendered.parent / "more", made]):
        out = tmp_path / f"out-{order[0].name}"
        merge(order, out)
        assert verify(out).problems == []
        assert set(samples(out)) == {"other-empty", "other-another"}
        assert list(Dataset(out).failed()) == []


def test_a_sample_of_two_datasets_is_refused_by_name(
    rendered: Path, cars: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=f"is in {cars} and in {rendered}"):
        merge([cars, rendered], tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_a_merge_that_was_interrupted_goes_on(cars: Path, chairs: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    merge([cars, chairs], whole)

    class Interrupted(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done > total / 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        merge([cars, chairs], broken, stop)
    assert not (broken / "dataset.json").exists()
    merge([cars, chairs], broken)
    assert tree(broken) == tree(whole)


def test_a_subset_that_was_interrupted_goes_on(rendered: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subset(rendered, whole, Choice(views="1"))

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        subset(rendered, broken, Choice(views="1"), stop)
    assert not (broken / "dataset.json").exists() and list(broken.glob("*.tar"))
    subset(rendered, broken, Choice(views="1"))
    assert tree(broken) == tree(whole)


def test_a_folder_of_something_else_is_refused(rendered: Path, cars: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds another job's dataset; choose another --out"):
        subset(rendered, cars, Choice(limit=1))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("keep me")
    with pytest.raises(ValueError, match="is in use and is not a dataset"):
        subset(rendered, tmp_path / "mine", Choice(limit=1))
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "keep me"


def test_other_image_sizes_are_refused_by_name(rendered: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be merged: size is 48 x 48 and 56 x 56"):
        merge([rendered, rendered.parent / "larger"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_members_and_conventions_are_refused_by_name(
    cars: Path, chairs: Path, tmp_path: Path
) -> None:
    subset(chairs, tmp_path / "fewer", Choice(views="2"))
    with pytest.raises(ValueError, match=r"fewer has no 02\.albedo\.png \(of 5 such\)"):
        merge([cars, tmp_path / "fewer"], tmp_path / "out")
    index = storage.read_json(chairs / "dataset.json")
    index["conventions"]["cameras"] = "circle"
    storage.write(chairs / "dataset.json", storage.readable_json(index))
    with pytest.raises(ValueError, match="convention 'cameras' is 'dpc' and 'circle'"):
        merge([cars, chairs], tmp_path / "out")


def test_a_damaged_shard_is_not_merged_and_not_copied(
    cars: Path, chairs: Path, tmp_path: Path
) -> None:
    tar = chairs / Dataset(chairs).shards[0]["name"]
    data = bytearray(tar.read_bytes())
    data[3000] ^= 1
    tar.write_bytes(data)
    with pytest.raises(ValueError, match=f"{tar.name} is not what its index says"):
        merge([cars, chairs], tmp_path / "out")
    assert not (tmp_path / "out" / "dataset.json").exists()
    assert not list((tmp_path / "out").glob(".*.part"))
    sample = Dataset(cars)[0]
    data = bytearray(sample.tar.read_bytes())
    data[sample.members["points.npy"][0] + 500] ^= 1
    sample.tar.write_bytes(data)
    with pytest.raises(ValueError, match=r"points\.npy is not what its side-car says"):
        subset(cars, tmp_path / "part", Choice())


def test_a_dataset_that_is_not_complete_is_refused(dataset: Path, tmp_path: Path) -> None:
    index = storage.read_json(dataset / "dataset.json")
    storage.write(dataset / "dataset.json", storage.readable_json({**index, "complete": False}))
    with pytest.raises(ValueError, match="is not complete; let its job finish first"):
        subset(dataset, tmp_path / "out", Choice())


def test_pictures_without_cameras_can_be_cut_down(photos: Path, tmp_path: Path) -> None:
    subset(photos, tmp_path / "two", Choice(limit=2))
    assert verify(tmp_path / "two").problems == []
    assert len(Dataset(tmp_path / "two")) == 2


def test_the_commands_make_sound_datasets(
    rendered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b, both = (str(tmp_path / name) for name in ("a", "b", "both"))
    assert Subset(dir=str(rendered), out=a, category=("car",), views="2")() == 0
    assert Subset(dir=str(rendered), out=b, category=("chair",), views="2")() == 0
    assert Merge(dirs=(a, b), out=both)() == 0
    assert f"{both}: 5 samples, " in capsys.readouterr().out
    assert verify(Path(both)).problems == []
    assert json.loads((tmp_path / "both" / "job.json").read_text())["kind"] == "merge"


# webdataset leaves its files to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_reads_a_merged_dataset_unchanged(
    rendered: Path, cars: Path, chairs: Path, tmp_path: Path
) -> None:
    webdataset = pytest.importorskip("webdataset", reason="the train extra is not installed")
    index = merge([cars, chairs], tmp_path / "both")
    whole, found = samples(rendered), {}
    for names in index["splits"].values():
        for name in names:
            shard = webdataset.WebDataset(str(tmp_path / "both" / name), shardshuffle=False)
            found |= {sample["__key__"]: sample for sample in shard.decode(decode_member)}
            del shard
    gc.collect()  # now, while its warnings are passed over
    assert set(found) == set(whole)
    for key, sample in found.items():
        depth = sample["01.depth.png"]
        assert depth.dtype == np.uint16 and (depth == whole[key].decode("01.depth.png")).all()
        assert sample["json"] == whole[key].meta
