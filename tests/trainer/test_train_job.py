"""Training through a real farm: Redis, Celery, a child program, and what a person sees of it."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.farm.conftest import Farm, _wait, new_farm
from tests.processes import command_line
from tests.trainer.conftest import DOUBLES
from trainer.run import Run

pytestmark = pytest.mark.slow

TIMED = {"seconds", "images_per_s"}
LINE = ("submit", "train", "--model", "double", "--steps", "40", "--seconds", "0.2")


@pytest.fixture(scope="module")
def farm(blocks: Path) -> Iterator[Farm]:
    """A farm whose models are the doubles, in a folder that has the dataset."""
    with new_farm() as made:
        (made.folder / "blocks").symlink_to(blocks)
        # torch takes longer to load on a busy machine than a shape to render.
        yield dataclasses.replace(made, more={**DOUBLES, "FARM_ITEM_TIMEOUT_S": "100"})


@pytest.fixture(scope="module")
def undisturbed(farm: Farm, blocks: Path) -> list[dict[str, object]]:
    """The curve of LINE, trained without a farm."""
    spec = farm.folder / "spec.json"
    job = {"model": "double", "data": [str(farm.folder / "blocks")], "out": "alone", "steps": 40}
    spec.write_text(json.dumps({**job, "config": {"seconds": 0.2}}))
    done = subprocess.run(
        [sys.executable, "-m", "trainer", "train", "spec.json"],
        cwd=farm.folder, env=farm.environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return curve(farm.folder / "alone")


def curve(folder: Path) -> list[dict[str, object]]:
    lines = Run(folder).metrics()
    return [{name: line[name] for name in line if name not in TIMED} for line in lines]


def trainers(farm: Farm) -> list[psutil.Process]:
    return [p for p in farm.children() if command_line(p)[1:] == ["-m", "trainer"]]


def steps(farm: Farm, out: str) -> int:
    return int(Run(farm.folder / out).metrics()[-1]["step"])


def test_a_line_trains_and_another_says_how_good_it_is(farm, undisturbed):
    line = (*LINE, "--data", "blocks", "--out", "runs/plain")
    process = farm.start(*line)
    with farm.store() as store:
        _wait(lambda: any("images/s" in worker.item for worker in store.workers(5)), 60)
        (job,) = (job.id for job in store.jobs())
        _wait(lambda: store.view(job).made.get("steps"), 60)
        view = store.view(job)
    trained = farm.end(process, 90)
    assert trained.returncode == 0, trained.stderr
    evaluated = farm.run("submit", "evaluate", "--run", "runs/plain", "--json", timeout_s=90)

    assert curve(farm.folder / "runs/plain") == undisturbed
    assert view.total == {"steps": 40} and 0 < view.made["steps"] < 40
    assert view.record.label == "double blocks → runs/plain"
    assert trained.stdout.startswith("runs/plain: 40 steps in ")
    assert "/40 steps, " in trained.stderr and "ETA 0:" in trained.stderr
    found = json.loads(evaluated.stdout)
    (evaluation,) = Run(farm.folder / "runs/plain").evaluations()
    assert found["metrics"] == evaluation.metrics and set(found["metrics"]) == {"accuracy"}
    assert evaluation.arrays["scores"].shape == (4, 2)
    again = farm.run(*line)
    assert again.returncode == 0 and "nothing was missing" in again.stderr


def test_kill_9_of_the_child_in_mid_step_changes_nothing(farm, undisturbed):
    process = farm.start(*LINE, "--data", "blocks", "--out", "runs/killed")
    _wait(lambda: steps(farm, "runs/killed") > 10, 60)

    (child,) = trainers(farm)
    child.kill()
    done = farm.end(process, 120)

    assert done.returncode == 0, done.stderr
    assert curve(farm.folder / "runs/killed") == undisturbed
    assert [begun["step"] for begun in Run(farm.folder / "runs/killed").about["starts"]][1] >= 8


def test_a_run_is_paused_and_resumed_and_counts_its_steps_once(farm, undisturbed):
    process = farm.start(*LINE, "--data", "blocks", "--out", "runs/paused")
    _wait(lambda: steps(farm, "runs/paused") > 10, 60)
    with farm.store() as store:
        job = store.jobs()[-1].id

    assert farm.run("pause", job).returncode == 0
    assert farm.end(process).returncode == 1
    _wait(lambda: not trainers(farm))
    assert farm.run("resume", job).returncode == 0
    assert farm.run("watch", job, timeout_s=90).returncode == 0

    assert curve(farm.folder / "runs/paused") == undisturbed
    with farm.store() as store:
        assert store.view(job).made == {"steps": 40}


def test_a_cancelled_run_stops_within_seconds(farm):
    process = farm.start(*LINE, "--data", "blocks", "--out", "runs/cancelled", "--seed", "5")
    _wait(lambda: steps(farm, "runs/cancelled") > 2, 60)
    with farm.store() as store:
        job = store.jobs()[-1].id

    assert farm.run("cancel", job).returncode == 0
    _wait(lambda: not trainers(farm), 10)

    assert farm.end(process).returncode == 1
    assert Run(farm.folder / "runs/cancelled").result() is None


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--data", "nothing"), 2, "farm: no dataset in "),
        (("--data", "blocks", "--widht", "3"), 2, "farm: unrecognized options: --widht, 3; per"),
        (("--data", "blocks", "--width", "0"), 2, "farm: --width 0: at least 1"),
        (("--data", "blocks", "--nan-at", "2"), 1, "farm: bad_input: the loss is nan at step 2; "),
    ],
)  # fmt: skip
def test_what_will_not_do_is_told_in_one_line(farm, words, code, told):
    done = farm.run("submit", "train", "--model", "double", *words, timeout_s=90)

    (line,) = (line for line in done.stderr.splitlines() if line.startswith("farm:"))
    assert told in line and "Traceback" not in done.stderr
    assert (done.returncode, done.stdout) == (code, "")


def test_two_workers_are_two_machines_of_one_run(farm, blocks):
    words = ("--data", "blocks", "--out", "runs/nodes", "--nodes", "2", "--workers", "2")
    calm = ("--no-norm", "--dropout", "0", "--noise", "0", "--steps", "6")

    done = farm.run("submit", "train", "--model", "double", *words, *calm, timeout_s=180)

    assert done.returncode == 0, done.stderr
    assert Run(farm.folder / "runs/nodes").about["starts"][0]["devices"] == 2
    assert steps(farm, "runs/nodes") == 6
