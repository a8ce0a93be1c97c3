"""A run's folder is one job's, and says what was trained on what."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest

from farm import machine
from tests.trainer.datasets import make_dataset
from trainer import models, start
from trainer.data import Snapshot
from trainer.errors import UnknownModel
from trainer.jobs.train import JOB_FIELDS, Job, resolve
from trainer.run import InUse, Run, claim, configure, differing, options, snapshot_for


@pytest.fixture
def job(blocks, tmp_path, doubles) -> Job:
    return resolve(Job(model="double", data=(str(blocks),), out="run", preset="tiny"), tmp_path)


@pytest.fixture
def snapshot(blocks) -> dict[str, object]:
    return Snapshot.take([blocks]).to_json()


def test_a_job_is_resolved_to_full_paths_a_folder_and_the_preset_s_steps(blocks, tmp_path, doubles):
    found = resolve(Job(model="double", data=("blocks",), preset="tiny"), blocks.parent)

    assert found.data == (str(blocks),)
    assert found.folder == blocks.parent / "runs" / "double-blocks"
    assert found.steps == 20


def test_the_same_job_finds_its_folder_again_whatever_it_is_computed_with(job, snapshot):
    claim(job, snapshot)

    elsewhere = replace(job, device="cpu", devices=2, fused="on", loaders=3)
    again = claim(elsewhere, snapshot)

    assert again.job == elsewhere
    assert Run(job.folder).job == replace(job, out=None)
    assert again.snapshot().id == snapshot["id"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seed": 3}, "holds another run (seed 0, here 3); choose another --out"),
        ({"config": {"width": 9}}, "holds another run (width not given, here 9); choose another"),
        (
            {"steps": 40},
            "holds another run (steps 20, here 40); a run's schedule depends on its length, "
            "so it cannot be made longer; choose another --out",
        ),
    ],
)
def test_another_job_is_refused_by_what_differs(job, snapshot, change, told):
    claim(job, snapshot)

    with pytest.raises(ValueError) as refused:
        claim(replace(job, **change), snapshot)

    assert told in str(refused.value)


def test_a_folder_with_anything_else_in_it_is_left_alone(job, snapshot):
    job.folder.mkdir()
    (job.folder / "thesis.tex").touch()

    with pytest.raises(ValueError, match="is in use and is not a run; choose another --out"):
        claim(job, snapshot)

    assert [path.name for path in job.folder.iterdir()] == ["thesis.tex"]


def test_what_a_claim_that_was_killed_left_is_no_obstacle(job, snapshot):
    job.folder.mkdir()
    (job.folder / ".job.json.x1y2.part").write_text('{"ver')

    assert claim(job, snapshot).job.model == "double"


def test_no_resume_refuses_a_folder_that_holds_a_run(job, snapshot, tmp_path):
    claim(job, snapshot)

    with pytest.raises(ValueError, match="holds a run already; give another --out, or remove it"):
        resolve(replace(job, resume=False), tmp_path)


def test_two_processes_do_not_write_into_one_run(job, snapshot):
    run = claim(job, snapshot)
    context = multiprocessing.get_context("fork")
    told = context.SimpleQueue()

    def second() -> None:
        try:
            with run.lock():
                told.put("both")
        except InUse as refused:
            told.put(str(refused))

    with run.lock():
        process = context.Process(target=second)
        process.start()
        process.join()

    assert "is in use by process" in told.get()
    with run.lock():
        pass


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"preset": "small", "config": {"widht": 3}}, "--model double: unknown field 'widht'"),
        ({"config": {"width": "3"}}, "--model double: field 'width' ('3')"),
        ({"config": {"width": 0}}, "--width 0: at least 1"),
    ],
)
def test_an_option_that_will_not_do_is_refused_by_name(job, change, told):
    with pytest.raises(ValueError) as refused:
        configure(replace(job, **change))

    assert told in str(refused.value)


def test_what_the_job_has_itself_is_no_option_of_the_model():
    with pytest.raises(ValueError, match="config has 'steps', which is an option of the job"):
        Job(model="double", data=("a",), config={"steps": 3})


def test_options_are_the_preset_s_and_only_what_differs_is_kept(job):
    made = options("double", "tiny")

    chosen = made(width=12, kernels=(5,), dropout=0.1)

    assert made().steps == 20
    assert differing(job, chosen) == {"width": 12, "kernels": [5]}
    assert configure(replace(job, config=differing(job, chosen))).kernels == (5,)


@pytest.mark.parametrize("name", sorted(models.find()))
def test_no_model_s_option_hides_one_of_the_job(name):
    fields = models.load(name).Config.__dataclass_fields__

    assert set(fields) & JOB_FIELDS == {"steps"}


@pytest.mark.parametrize("name", sorted(models.find()))
def test_every_preset_survives_its_json(name):
    for preset, make in models.load(name).PRESETS.items():
        assert configure(Job(model=name, data=("a",), preset=preset)) == make()


def test_an_unknown_model_is_told_with_the_nearest(tmp_path, doubles):
    with pytest.raises(UnknownModel, match="no model 'dubble'; did you mean double"):
        resolve(Job(model="dubble", data=("a",)), tmp_path)


def test_a_dataset_that_will_not_do_is_refused_and_no_folder_is_made(tmp_path, doubles, quiet):
    data = make_dataset(tmp_path / "one", views=1, points=0)
    job = resolve(Job(model="double", data=(str(data),), out=str(tmp_path / "run")), tmp_path)

    with pytest.raises(start.Refused) as refused:
        start.train(job, quiet)

    assert str(refused.value) == (
        f"double needs at least 2 views, {data} has 1; render it with --views 2"
    )
    assert refused.value.failure_class == "bad_input"
    assert not (tmp_path / "run").exists()


def test_a_run_says_what_was_trained_with_what(job, snapshot, quiet):
    start.train(replace(job, steps=2), quiet)

    about = Run(job.folder).about

    assert about["config"]["width"] == 8 and about["config"]["steps"] == 2
    assert about["snapshot"] == snapshot["id"]
    assert about["facts"]["categories"] == ["cars", "chairs"]
    assert about["parameters"] > 900
    (begun,) = about["starts"]
    assert begun["device"] == machine.processor()
    assert begun["threads"] == 1 and begun["precision"] == "fp32"
    assert {"torch", "torchvision", "numpy", "python"} <= set(begun["versions"])


def test_a_run_keeps_its_config_when_the_preset_changes(job, quiet, monkeypatch):
    job = replace(job, steps=2)
    start.train(job, quiet)
    module = models.load("double")
    monkeypatch.setitem(module.PRESETS, "tiny", lambda: module.Config(width=99))

    assert Run(job.folder).config.width == 8


def test_a_run_goes_on_with_its_snapshot_when_the_dataset_has_grown(job, tmp_path, quiet):
    data = make_dataset(tmp_path / "data", splits={"train": 4, "val": 1}, points=0)
    job = replace(job, data=(str(data),), steps=4)
    claim(job, Snapshot.take([data]).to_json())
    index = json.loads((data / "dataset.json").read_text())
    (data / "dataset.json").write_text(json.dumps({**index, "id": "f" * 64}))

    start.train(job, quiet)

    assert Run(job.folder).about["snapshot"] == index["id"]


def test_a_folder_without_a_run_says_what_makes_one(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"no run in .*: it has no job.json; `farm submit t"
    ):
        Run(tmp_path)


def test_class_numbers_are_the_run_s_also_on_a_dataset_with_fewer_classes(job, tmp_path, snapshot):
    run = claim(job, snapshot)
    chairs = make_dataset(tmp_path / "chairs", categories=["chairs"], shapes=5, points=0)

    found = snapshot_for(run, [str(chairs)])

    assert found.facts.categories == ("cars", "chairs")
    assert {item.category for item in found.items("test")} == {1}
    assert found.id == Snapshot.take([chairs]).id


def test_a_category_that_the_run_never_saw_is_refused(job, tmp_path, snapshot):
    run = claim(job, snapshot)
    lamps = make_dataset(tmp_path / "lamps", categories=["lamps"], shapes=5, points=0)

    with pytest.raises(ValueError, match=r"has lamps, which .* was not trained on; it knows cars"):
        snapshot_for(run, [str(lamps)])


def test_the_paths_of_a_run_do_not_matter_to_it(job, snapshot, tmp_path):
    run = claim(job, snapshot)
    moved = run.folder.rename(tmp_path / "moved")

    assert claim(replace(job, out=str(moved)), snapshot).folder == Path(moved)


def test_a_run_goes_on_without_a_machine_that_was_cut_off_and_keeps_the_lock(
    job, snapshot, monkeypatch
):
    monkeypatch.setattr("trainer.run.CUT_OFF_S", 0.3)
    of_two = claim(replace(job, nodes=2), snapshot)

    with of_two.lock(), Run(job.folder, replace(job, nodes=2)).lock():
        assert (job.folder / ".lock").read_text().endswith(", one of several machines")

    with (
        claim(job, snapshot).lock(),  # of one machine, such as `python -m trainer train`
        pytest.raises(InUse, match=r"is in use by process \d+ on \S+$"),
        of_two.lock(),
    ):
        pass
