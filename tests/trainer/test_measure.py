"""An evaluation is a folder of figures and predictions, the same whenever it is made."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.trainer.datasets import make_dataset
from trainer import start
from trainer.jobs import evaluate, train
from trainer.measure import evaluate as measure
from trainer.run import Run
from trainer.start import Refused


@pytest.fixture
def run(blocks, tmp_path, doubles, quiet) -> Run:
    job = train.Job(model="double", data=(str(blocks),), out="run", steps=12)
    start.train(train.resolve(job, tmp_path), quiet)
    return Run(tmp_path / "run")


def job(run: Run, **options: object) -> evaluate.Job:
    return evaluate.resolve(evaluate.Job(run=str(run.folder), **options), Path())


def test_an_evaluation_is_kept_in_the_run_s_folder_with_all_that_it_rests_on(run, quiet):
    came = measure(job(run), quiet)

    (found,) = run.evaluations()
    assert str(found.folder) == came["folder"]
    assert found.folder.name == f"test-{run.snapshot().id[:8]}"
    assert found.metrics == came["metrics"]
    assert (found.split, found.snapshot) == ("test", run.snapshot().id)
    assert found.step == run.checkpoint("best").step
    assert found.tables["right"] and found.arrays["scores"].dtype == np.float32
    assert quiet.said[-1] == "test 4/4"


def test_an_evaluation_repeats_to_the_bit(run, quiet):
    before = (measure(job(run), quiet), run.evaluations()[0].arrays["scores"])

    again = measure(job(run), quiet)

    assert again == before[0]
    assert np.array_equal(run.evaluations()[0].arrays["scores"], before[1])


def test_validation_during_training_and_an_evaluation_of_that_checkpoint_agree(run, quiet):
    values = {line["step"]: line["accuracy"] for line in run.metrics() if line["split"] == "val"}

    for step in (11, 12):
        came = measure(job(run, split="val", checkpoint=str(step)), quiet)
        assert came["metrics"]["accuracy"] == values[step]


def test_what_is_measured_already_is_found_on_storage_until_the_checkpoint_is_another(run, quiet):
    wanted = job(run)
    scanned = evaluate.scan(wanted)
    (task,) = evaluate.plan(wanted, scanned)
    assert evaluate.done(wanted, task) is None

    made = evaluate.run(wanted, task, quiet)

    assert evaluate.done(wanted, task) == made
    assert evaluate.done(wanted, replace(task, step=999)) is None
    lines = evaluate.summary(wanted, [made]).splitlines()
    assert lines[1].split()[0] == "accuracy"
    assert evaluate.result(wanted, [made])["metrics"] == made.metrics


def test_a_dataset_that_will_not_do_is_refused_by_name(run, tmp_path, quiet):
    data = make_dataset(tmp_path / "one", views=1, points=0, shapes=5)

    with pytest.raises(Refused, match=r"double needs at least 2 views, .*/one has 1"):
        measure(job(run, data=(str(data),)), quiet)

    assert run.evaluations() == []


def test_a_split_that_is_not_there_is_refused_with_those_that_are(run, quiet):
    with pytest.raises(
        ValueError, match=r"no shapes in split 'tset' of .*; there are train \(16\)"
    ):
        evaluate.scan(job(run, split="tset"))


def test_arrays_are_read_without_pickles(run, quiet):
    measure(job(run), quiet)
    folder = run.evaluations()[0].folder
    np.savez(folder / "evaluation.npz", trap=np.array([{"a": 1}], dtype=object))

    with pytest.raises(ValueError, match="allow_pickle=False"):
        run.evaluations()[0].arrays  # noqa: B018


def test_arrays_that_would_unpack_to_gigabytes_are_not_read(run, quiet):
    measure(job(run), quiet)
    path = run.evaluations()[0].folder / "evaluation.npz"
    np.savez(path, scores=np.zeros(3))
    data = path.read_bytes()
    at = data.index(b"PK\x01\x02") + 24  # of the directory: the file's size once it is unpacked
    path.write_bytes(data[:at] + struct.pack("<I", 2**32 - 2) + data[at + 4 :])

    with pytest.raises(ValueError, match=r"evaluation\.npz would unpack to 4294967294 bytes"):
        run.evaluations()[0].arrays  # noqa: B018


def test_the_file_is_json_that_anything_reads(run, quiet):
    measure(job(run), quiet)
    (found,) = run.evaluations()

    value = json.loads((found.folder / "evaluation.json").read_text())

    assert value["version"] == 1 and value["model"] == "double"
    assert value["facts"]["categories"] == ["cars", "chairs"]
