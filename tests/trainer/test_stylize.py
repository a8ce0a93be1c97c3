"""A stylized dataset is its parent in other colours: nothing else changes, and all is proven."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from renderer import shards, storage
from renderer.dataset.info import info, told
from renderer.dataset.preview import _chosen, _columns, preview
from renderer.dataset.verify import verify
from renderer.members import PASSES
from renderer.shards import Dataset
from tests.object_store import stored
from tests.trainer.conftest import DOUBLES, Quiet
from tests.trainer.datasets import make_dataset
from tests.trainer.test_output import make, publish
from trainer import atomic, output, start, stylize_task
from trainer.data import Snapshot
from trainer.jobs import stylize, train
from trainer.jobs.stylize import Job


class Lease:
    """What the farm lends a task; it remembers what it was told."""

    def __init__(self, **failed: Any) -> None:
        self.failed: Mapping[str, Any] = failed
        self.made: Counter[str] = Counter()
        self.before: Counter[str] = Counter()
        self.reasons: dict[str, str] = {}

    def finish(self, item: str, **units: int) -> None:
        self.made.update(units)

    def found(self, item: str, **units: int) -> None:
        self.before.update(units)

    def fail(self, item: str, cls: str, reason: str) -> None:
        self.reasons[item] = f"{cls}: {reason}"

    def progress(self, at: str = "") -> None: ...

    def commit(self) -> None: ...


@pytest.fixture(scope="module")
def cars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two categories, 7 shapes of each, 3 views of all passes, with clouds."""
    folder = tmp_path_factory.mktemp("data") / "cars"
    return make_dataset(
        folder, shapes=7, views=3, passes=PASSES, splits={"train": 4, "val": 1, "test": 2}
    )


@pytest.fixture(scope="module")
def one_run(cars: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in DOUBLES.items():
            patch.setenv(name, value)
        return trained(cars, tmp_path_factory.mktemp("runs") / "painter", Quiet())


@pytest.fixture
def run(one_run: Path, doubles: Mapping[str, str]) -> Path:
    """A run of a model that can stylize."""
    return one_run


def trained(data: Path, out: Path, quiet: Any, model: str = "painter", **config: Any) -> Path:
    job = train.Job(
        model=model, data=(str(data),), out=str(out), steps=1, device="cpu", config=config
    )
    start.train(job, quiet)
    return out


def job_of(cars: Path, run: Path, tmp_path: Path, **options: Any) -> Job:
    job = Job(data=str(cars), run=str(run), out="styled", device="cpu", **options)
    return stylize.resolve(job, tmp_path)


def whole(job: Job, lease: Lease | None = None) -> Dataset:
    """The job from its beginning to its end, as the farm goes through it."""
    scanned = stylize.scan(job)
    stylize.prepare(job, scanned)
    dones = [stylize.run(job, task, lease or Lease()) for task in stylize.plan(job, scanned)]
    stylize.publish(job, scanned, dones, True)
    return Dataset(job.folder)


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Every file of a dataset that may not differ between two makings of it."""
    return {p.name: p.read_bytes() for p in folder.iterdir() if ".log." not in p.name}


def test_every_annotation_is_the_same_bytes_as_in_the_parent(cars, run, tmp_path):
    made = whole(job_of(cars, run, tmp_path))

    parents = {sample.key: sample for sample in Dataset(cars)}
    assert {sample.key for sample in made} == parents.keys()
    for sample in made:
        parent = parents[sample.key]
        assert list(sample.members) == list(parent.members)
        for name, (_, _, sha256) in sample.members.items():
            assert (sha256 == parent.members[name][2]) == (not name.endswith("rgba.png")), name
            if not name.endswith("rgba.png"):
                assert sample.read(name) == parent.read(name)


def test_in_an_object_store_it_is_the_same_dataset(cars, run, tmp_path, bucket):
    here = whole(job_of(cars, run, tmp_path))
    there = stored(cars, f"{bucket}/cars")
    job = job_of(cars, run, tmp_path)
    job = dataclasses.replace(job, data=str(there), out=f"{bucket}/styled")

    made = whole(stylize.resolve(job, tmp_path))

    assert [shard["sha256"] for shard in made.shards] == [s["sha256"] for s in here.shards]
    assert not storage.in_use(made.folder / shards.STAGING)
    report = verify(made.folder)
    assert report.problems == [] and any(str(there) in note for note in report.notes)


def test_colours_are_the_model_s_and_alpha_is_the_original(cars, run, tmp_path):
    made = whole(job_of(cars, run, tmp_path))

    parents = {sample.key: sample for sample in Dataset(cars)}
    for sample in made:
        for before, after in zip(parents[sample.key].views, sample.views, strict=True):
            inside = before.rgba[..., 3] > 0
            np.testing.assert_array_equal(after.rgba[..., 3], before.rgba[..., 3])
            assert not after.rgba[~inside].any()
            # the painter makes red of green, green of blue, blue of red, and fills in what is 0
            wanted = before.rgba[..., [1, 2, 0]] / 255 + 0.25 * (before.rgba[..., :3] == 0)
            found = after.rgba[..., :3][inside]
            np.testing.assert_array_equal(found, np.rint(255 * wanted.clip(0, 1))[inside])


def test_it_names_its_parent_and_keeps_its_shards_splits_and_conventions(cars, run, tmp_path):
    made, parent = whole(job_of(cars, run, tmp_path)), Dataset(cars)

    named = made.index["parent"]
    assert named["id"] == parent.id and named["folder"] == "cars" and named["samples"] == 14
    assert (named["run"], named["model"], named["step"]) == ("painter", "painter", 1)
    for same in ("splits", "members", "conventions", "sources"):
        assert made.index[same] == parent.index[same]
    assert made.complete and made.id != parent.id
    assert made.index["created_with"]["precision"] == "fp32"


def test_it_can_be_trained_on_at_once(cars, run, tmp_path):
    made = whole(job_of(cars, run, tmp_path))

    facts, parent = Snapshot.take([made.folder]).facts, Snapshot.take([cars]).facts
    assert dataclasses.replace(facts, folders=parent.folders) == parent


def test_verify_info_and_preview_know_it(cars, run, tmp_path):
    made = whole(job_of(cars, run, tmp_path))

    report = verify(made.folder, processes=1)
    facts = info(made.folder)
    width, height = preview(made.folder, tmp_path / "sheet.png", samples=3)

    assert report.problems == []
    assert report.notes == [f"compared with {cars}, which it was stylized from"]
    assert facts["kind"] == "stylize" and facts["samples"] == facts["planned"] == 14
    assert "cars " in told(facts) and "colours by painter, run painter, step 1" in told(facts)
    assert width > 1000 and height > 500


def test_without_its_parent_it_is_still_proven_but_for_the_comparison(cars, run, tmp_path):
    parent = Path(shutil.copytree(cars, tmp_path / "moved"))
    made = whole(job_of(parent, run, tmp_path))
    elsewhere = parent.rename(tmp_path / "away")

    alone, told_where = verify(made.folder, 1), verify(made.folder, 1, parent=elsewhere)

    assert alone.problems == told_where.problems == []
    assert "not compared with moved" in alone.notes[0] and "--parent DIR" in alone.notes[0]
    assert told_where.notes[0].startswith(f"compared with {elsewhere}")


def test_verify_refuses_a_parent_that_is_another(cars, run, tmp_path, blocks):
    made = whole(job_of(cars, run, tmp_path))

    with pytest.raises(ValueError, match="is not the parent of"):
        verify(made.folder, 1, parent=blocks)
    with pytest.raises(ValueError, match="was not stylized"):
        verify(cars, 1, parent=blocks)


def test_verify_finds_what_is_not_the_parent_s(cars, run, tmp_path):
    """A shard whose hashes are all right, and which is not what was made of the parent."""
    made = whole(job_of(cars, run, tmp_path))
    name = made.shards[0]["name"]
    first, second, *rest = made[: made.shards[0]["samples"]]
    forged = forge(first, "00.rgba.png", lambda rgba: rgba[..., 3].__setitem__((0, 0), 7))
    painted = forge(second, "01.rgba.png", lambda rgba: rgba[0, 0].__setitem__(1, 9))
    deeper = forge(rest[0], "02.depth.png", lambda depth: depth.__setitem__(depth > 0, 5000))
    records = [forged, painted, deeper, *(forge(sample) for sample in rest[1:])]
    sidecar = shards.write_shard(made.folder, Path(name).stem, iter(records), [])
    index = {**made.index, "shards": [dict(shard) for shard in made.index["shards"]]}
    index["shards"][0] |= {
        "sha256": sidecar["sha256"], "bytes": (made.folder / name).stat().st_size,
    }  # fmt: skip
    del index["id"]
    shards.write_index(made.folder, index)

    found = [(p.sample, p.rule, p.member) for p in verify(made.folder, 1).problems]

    assert (first.key, "parent", "00.rgba.png") in found
    assert (second.key, "content", "01.rgba.png") in found
    assert (rest[0].key, "parent", "02.depth.png") in found
    assert {key for key, _, _ in found} == {first.key, second.key, rest[0].key}


def forge(sample: shards.Sample, member: str = "", change: Any = None) -> shards.Record:
    """The sample again, with one of its arrays changed."""
    members = {name: sample.read(name) for name in sample.members}
    if member:
        array = sample.decode(member)
        change(array)
        members[member] = shards.encode_image(member.split(".")[1], array)
    arrays = {n: shards.decode_member(n, data) for n, data in members.items() if n != "json"}
    return shards.make_record(sample.key, members, shards.pixels_hash(arrays))


def test_a_sheet_shows_every_view_beside_its_parent_s(cars, run, tmp_path):
    made = whole(job_of(cars, run, tmp_path))
    (shown,) = _chosen(made, 1, 0)

    assert shown.original is not None and shown.original.key == shown.sample.key
    assert shown.original.tar.parent == cars
    assert _columns(shown) == [f"{what} {n}" for n in range(3) for what in ("original", "view")]


def test_photos_without_cameras_are_stylized_too(run, tmp_path):
    photos = tmp_path / "photos"
    publish(photos, make(photos))

    made = whole(job_of(photos, run, tmp_path))

    assert verify(made.folder, 1).problems == []
    assert made[0].views[0].rgba[3, 4].tolist() == [200, 90, 10, 255]
    assert info(made.folder)["splits"] == info(photos)["splits"]
    assert preview(made.folder, tmp_path / "sheet.png")[1] > 600  # rows, not a wall


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_the_size_of_a_batch_changes_nothing(cars, run, tmp_path, batch):
    usual = whole(job_of(cars, run, tmp_path))
    other = stylize.resolve(
        Job(data=str(cars), run=str(run), out="other", device="cpu", batch=batch), tmp_path
    )

    assert bytes_of(whole(other).folder) == bytes_of(usual.folder)


def test_finished_samples_are_not_made_again(cars, run, tmp_path):
    job = job_of(cars, run, tmp_path, batch=3)
    undisturbed = bytes_of(whole(dataclasses.replace(job, out=str(tmp_path / "plain"))).folder)

    class Killed(Exception): ...

    class Dying(Lease):
        def commit(self) -> None:
            raise Killed

    scanned = stylize.scan(job)
    stylize.prepare(job, scanned)
    first = next(stylize.plan(job, scanned))
    with pytest.raises(Killed):
        stylize.run(job, first, Dying())
    lost = output.staging(job.folder, first.name) / f"{first.items[1]}.json"
    lost.write_text(lost.read_text()[:40])  # one that was being written
    lease = Lease()
    whole(job, lease)

    assert lease.before == {"shapes": 3, "images": 9}
    assert lease.made == {"shapes": 11, "images": 33}
    assert bytes_of(job.folder) == undisturbed
    again = Lease()
    whole(job, again)
    assert not again.made and not again.before


def test_a_picture_that_becomes_no_numbers_costs_its_shape_alone(cars, tmp_path, doubles, quiet):
    means = {s.key: max(v.rgba[..., :3].mean() / 255 for v in s.views) for s in Dataset(cars)}
    brightest = max(means, key=lambda key: means[key])
    second = sorted(means.values())[-2]
    run = trained(cars, tmp_path / "r", quiet, spoil_above=(means[brightest] + second) / 2)
    lease = Lease()

    made = whole(job_of(cars, run, tmp_path), lease)

    assert {s.key for s in made} == means.keys() - {brightest}
    (failure,) = made.failed()
    assert failure["id"] == brightest and failure["class"] == "bad_input"
    assert lease.reasons == {brightest: "bad_input: the network's picture of it is no numbers"}
    assert verify(made.folder, 1).problems == []


def test_a_sample_whose_bytes_are_not_its_hash_s_costs_itself_alone(run, cars, tmp_path):
    own = Path(shutil.copytree(cars, tmp_path / "own"))
    broken = Dataset(own)[1]
    offset, size, _ = broken.members["01.depth.png"]
    with broken.tar.open("r+b") as file:
        file.seek(offset + size // 2)
        file.write(b"\xff\x00\xff")
    lease = Lease()

    made = whole(job_of(own, run, tmp_path), lease)

    assert len(made) == 13 and [f["id"] for f in made.failed()] == [broken.key]
    assert "01.depth.png is not what its side-car says" in lease.reasons[broken.key]
    assert f"farm dataset verify {own}" in lease.reasons[broken.key]


def test_a_shard_that_changed_meanwhile_is_refused_by_name(run, cars, tmp_path):
    own = Path(shutil.copytree(cars, tmp_path / "own"))
    job = job_of(own, run, tmp_path)
    scanned = stylize.scan(job)
    stylize.prepare(job, scanned)
    first = next(stylize.plan(job, scanned))
    path = own / f"{first.name}.json"
    atomic.write_json(path, {**json.loads(path.read_text()), "sha256": "0" * 64})

    with pytest.raises(stylize_task.Changed, match=f"{first.name}.tar is not what it was"):
        stylize.run(job, first, Lease())


def test_other_weights_since_are_refused_by_name(run, cars, tmp_path):
    run = Path(shutil.copytree(run, tmp_path / "run"))
    job = job_of(cars, run, tmp_path)
    stylize.prepare(job, stylize.scan(job))
    weights = next((run / "checkpoints").glob("*/network.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\7")

    with pytest.raises(ValueError, match=r"begun with has changed since \(network .*, now "):
        stylize.prepare(job, stylize.scan(job))


def test_what_cannot_be_stylized_is_refused_in_a_line(run, cars, tmp_path, quiet):
    other = trained(cars, tmp_path / "double", quiet, model="double")
    half = make_dataset(tmp_path / "half", complete=False)
    for options, told_ in (
        ({"run": str(other)}, r"is a run of double, which cannot stylize; give one of .*painter"),
        ({"run": str(tmp_path)}, "no run in"),
        ({"checkpoint": "7"}, "no checkpoint 7 in"),
        ({"data": str(half)}, "half is not finished"),
        ({"data": str(tmp_path)}, "no dataset in"),
        ({"out": str(cars)}, "is the dataset itself"),
    ):
        job = dataclasses.replace(job_of(cars, run, tmp_path), **options)
        with pytest.raises((ValueError, FileNotFoundError), match=told_):
            stylize.scan(job)


def test_the_network_is_loaded_once_for_all_shards(cars, tmp_path, doubles, quiet):
    ledger = tmp_path / "ledger"
    run = trained(cars, tmp_path / "r", quiet, ledger=str(ledger))
    ledger.unlink()

    whole(job_of(cars, run, tmp_path, batch=5))

    words = [line.split()[1] for line in ledger.read_text().splitlines()]
    # train has 8 shapes in two shards, val 2, test 4: 12 + 12 + 6 + 12 views
    assert words == ["built", *"552", *"552", *"51", *"552"]
