"""Datasets that a model has beside --data, and the sheets of samples that it makes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tests.trainer.datasets import make_dataset
from trainer import report, samples, start
from trainer.catalogue import entry
from trainer.data import Reader, Snapshot
from trainer.errors import DatasetRefused
from trainer.jobs.train import Job, resolve
from trainer.run import Run, snapshot_for


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second dataset: other shapes, one view."""
    folder = tmp_path_factory.mktemp("real") / "photos"
    return make_dataset(folder, ("vans",), shapes=10, views=1, passes=("rgba",), points=0, seed=1)


@pytest.fixture
def job(blocks: Path, photos: Path, tmp_path: Path, doubles) -> Job:
    (tmp_path / "photos").symlink_to(photos)
    config = {"real": ["photos"]}
    given = Job(model="paired", data=(str(blocks),), out="run", preset="tiny", config=config)
    return resolve(given, tmp_path)


def test_folders_are_found_from_where_the_job_was_given(job, tmp_path):
    assert job.config == {"real": [str(tmp_path / "photos")]}
    assert resolve(dataclasses.replace(job, config={"real": "photos"}), tmp_path) == job


def test_one_that_is_not_given_is_asked_for_by_name(job, tmp_path):
    with pytest.raises(ValueError, match=r"^--model paired wants --real too: photos that look"):
        resolve(dataclasses.replace(job, config={}), tmp_path)


def test_the_catalogue_tells_what_they_hold(doubles):
    assert entry("paired").datasets == {"real": "photos that look as the pictures should"}
    assert entry("double").datasets == {}


def test_a_preset_that_is_not_is_refused_with_those_that_are(job, tmp_path):
    with pytest.raises(ValueError, match="--preset paper: paired has tiny, small, large"):
        resolve(dataclasses.replace(job, preset="paper", steps=None), tmp_path)


def test_a_run_freezes_them_with_its_own(job, photos, quiet):
    start.train(job, quiet)

    run = Run(job.folder)
    theirs = Snapshot.take([photos])
    assert run.snapshot().others["real"].id == theirs.id
    assert run.snapshot().id == Snapshot.take(job.data).id
    assert list(run.about["others"]["real"].values()) == [theirs.id]
    assert run.result()["metrics"] == {"real": len(theirs.items("val"))}


def test_one_that_has_changed_since_is_refused(job, photos, tmp_path):
    own = make_dataset(tmp_path / "own", ("vans",), shapes=10, views=1, points=0)
    value = Snapshot.take(job.data, {"real": [own]}).to_json()
    (own / "train-000000.tar").unlink()

    with pytest.raises(DatasetRefused, match=r"own/train-000000\.tar is gone"):
        Snapshot.from_json(json.loads(json.dumps(value)))


def test_other_data_are_measured_beside_the_same_further_datasets(job, photos, quiet, tmp_path):
    start.train(job, quiet)
    other = make_dataset(tmp_path / "other", shapes=6, points=0, seed=7)

    found = snapshot_for(Run(job.folder), [str(other)])

    assert found.facts.folders == (str(other),)
    assert found.others["real"].id == Snapshot.take([photos]).id


def test_sheets_of_samples_are_kept_every_so_many_steps_and_at_the_end(job, quiet):
    start.train(job, quiet)

    kept = samples.sheets(job.folder)
    assert [sheet.step for sheet in kept] == [8, 16, 20]
    own, real = (Snapshot.take(job.data), Run(job.folder).snapshot().others["real"])
    read = kept[0].read()
    assert read.columns == ("render", "real")
    wanted = [Reader(of).image(of.items("train")[0], 0)[..., :3] for of in (own, real)]
    np.testing.assert_array_equal(read.rows[0][0], wanted[0])
    np.testing.assert_array_equal(read.rows[1][0], wanted[1])


def test_the_report_shows_the_sheets_and_names_the_datasets(job, quiet, photos):
    start.train(job, quiet)

    page = report.make(job.folder).read_text()

    assert "After 20 steps." in page and "On the way: 2 more" in page
    assert (job.folder / "report/samples/00000020.png").is_file()
    assert Snapshot.take([photos]).id[:16] in page and f"--real {photos.parent}" not in page


def test_of_many_sheets_some_are_shown_and_the_last():
    many = [samples.Sheet(step=step, path=Path("x")) for step in range(100)]

    assert [sheet.step for sheet in samples.some(many, 4)] == [0, 33, 66, 99]
    assert samples.some([], 4) == []
