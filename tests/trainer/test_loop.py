"""A run repeats: whenever it is killed, it goes on as if nothing had happened."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from trainer import start
from trainer.errors import NotFinite
from trainer.jobs.train import Job, resolve
from trainer.loop import Rhythm, count_images
from trainer.run import Run

TIMED = {"seconds", "images_per_s"}


def job(blocks: Path, out: Path, **options: object) -> Job:
    config = {"norm": True, "dropout": 0.2, **options}
    steps = config.pop("steps", 24)
    return resolve(
        Job(model="double", data=(str(blocks),), out=str(out), steps=steps, config=config), Path()
    )


def curve(folder: Path) -> list[dict[str, object]]:
    """What was learnt, and not how fast."""
    return [
        {name: value for name, value in line.items() if name not in TIMED}
        for line in Run(folder).metrics()
    ]


def program(spec: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "trainer", "train", str(spec)],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_killed_in_mid_step_and_begun_again_a_run_is_the_undisturbed_one_to_the_bit(
    blocks, tmp_path, doubles
):
    folders, specs = [tmp_path / "undisturbed", tmp_path / "killed"], []
    for folder in folders:
        spec = {"model": "double", "data": [str(blocks)], "out": str(folder), "steps": 90}
        specs.append(tmp_path / f"{folder.name}.json")
        specs[-1].write_text(json.dumps({**spec, "config": {"dropout": 0.2, "seconds": 0.03}}))
    undisturbed = program(specs[0], doubles)

    for lines in (12, 40):  # in the middle between two checkpoints, which are 9 steps apart
        process = program(specs[1], doubles)
        wait_for(
            lambda lines=lines: (
                len((folders[1] / "metrics.jsonl").read_bytes().splitlines()) > lines
            )
        )
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        process.communicate()
    again = program(specs[1], doubles)
    said = again.communicate(timeout=120)
    assert (again.returncode, undisturbed.wait(120)) == (0, 0), said
    undisturbed.communicate()

    assert curve(folders[0]) == curve(folders[1])
    one, other = (Run(folder).checkpoint("last") for folder in folders)
    for name in ("network.safetensors", "optimizer.safetensors"):
        assert (one.folder / name).read_bytes() == (other.folder / name).read_bytes()
    steps = [begun["step"] for begun in Run(folders[1]).about["starts"]]
    assert steps[0] == 0 and 9 <= steps[1] < steps[2] < 90


def wait_for(condition, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except FileNotFoundError:
            pass
        time.sleep(0.02)
    raise AssertionError("waited in vain")


def test_a_run_learns_keeps_the_best_and_is_done_at_once_the_second_time(
    blocks, tmp_path, doubles, quiet
):
    wanted = job(blocks, tmp_path / "run", steps=40)

    came = start.train(wanted, quiet)

    run = Run(tmp_path / "run")
    values = {line["step"]: line["accuracy"] for line in run.metrics() if line["split"] == "val"}
    assert list(values) == [*range(4, 41, 4)]
    assert (
        came["metrics"]["accuracy"] == max(values.values()) == values[run.checkpoint("best").step]
    )
    losses = [line["loss"] for line in run.metrics() if line["split"] == "train"]
    assert sum(losses[-8:]) < 0.5 * sum(losses[:8])
    assert quiet.steps == 40 and "images/s" in quiet.said[-1]
    assert start.train(wanted, quiet) == came
    assert quiet.steps == 40


def test_the_seed_decides_the_whole_curve(blocks, tmp_path, doubles, quiet):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        start.train(replace(job(blocks, tmp_path / name, steps=6), seed=seed), quiet)

    assert curve(tmp_path / "a") == curve(tmp_path / "b")
    assert curve(tmp_path / "a") != curve(tmp_path / "c")


def test_loader_processes_change_nothing(blocks, tmp_path, doubles, quiet):
    for name, loaders in (("here", 0), ("there", 2)):
        start.train(replace(job(blocks, tmp_path / name, steps=6), loaders=loaders), quiet)

    assert curve(tmp_path / "here") == curve(tmp_path / "there")


def test_a_loss_that_is_no_number_stops_the_run_with_step_keys_and_checkpoint(
    blocks, tmp_path, doubles, quiet
):
    wanted = job(blocks, tmp_path / "run", steps=30, nan_at=17)

    with pytest.raises(NotFinite) as stopped:
        start.train(wanted, quiet)

    assert (stopped.value.step, stopped.value.failure_class) == (17, "bad_input")
    assert len(stopped.value.keys) == 4
    assert stopped.value.checkpoint.endswith("checkpoints/00000015")
    assert str(stopped.value).count("\n") == 0
    assert Run(tmp_path / "run").metrics()[-1]["step"] == 16


def test_weights_that_a_gradient_has_spoilt_are_never_a_checkpoint(
    blocks, tmp_path, doubles, quiet
):
    wanted = job(blocks, tmp_path / "run", steps=30, spoil_at=18)  # a checkpoint is due after it

    with pytest.raises(NotFinite) as stopped:
        start.train(wanted, quiet)

    assert stopped.value.step == 18 and len(stopped.value.keys) == 4
    kept = Run(tmp_path / "run").checkpoint("last")
    assert kept.step == 15
    assert all(bool(tensor.isfinite().all()) for tensor in kept.tensors().values())


def test_without_a_validation_split_the_last_checkpoint_is_the_best(tmp_path, doubles, quiet):
    from tests.trainer.datasets import make_dataset

    data = make_dataset(tmp_path / "data", splits={"train": 4}, points=0)

    came = start.train(job(data, tmp_path / "run", steps=8), quiet)

    assert came["metrics"] == {}
    assert Run(tmp_path / "run").checkpoint("best").step == 8


@pytest.mark.parametrize("steps", [1, 7, 60, 1999, 20_000, 1_000_000])
def test_a_run_has_about_ten_validations_each_after_a_line_and_one_at_its_end(steps):
    rhythm = Rhythm.of(steps)

    logs = [done for done in range(1, min(steps, 50_000) + 1) if rhythm.logs(done)]
    vals = [done for done in range(1, steps + 1) if rhythm.validates(done)]

    assert set(vals) <= set(logs) or steps > 50_000
    assert vals[-1] == steps and (steps < 10 or 9 <= len(vals) <= 12)


def test_pictures_are_counted_whatever_their_leading_dimensions():
    views = torch.zeros(3, 12, 4, 7, 11)

    assert count_images({"views": views, "key": ["a"], "label": torch.zeros(3)}) == 36
    assert count_images({"clouds": torch.zeros(5, 100, 3)}) == 5


def test_resuming_restores_every_tensor_of_network_and_optimizer(blocks, tmp_path, doubles, quiet):
    start.train(job(blocks, tmp_path / "run", steps=8), quiet)
    checkpoint = Run(tmp_path / "run").checkpoint("last")
    from trainer.distributed import World
    from trainer.session import Session

    session = Session(Run(tmp_path / "run"), World(), lambda said: None)
    step, kept, line = session.resume()

    assert step == 8 and kept.best and line["step"] == 8
    tensors = load_file(checkpoint.folder / "network.safetensors")
    for name, value in session.network.state_dict().items():
        assert torch.equal(value, tensors[name])
    moments = load_file(checkpoint.folder / "optimizer.safetensors")
    assert torch.equal(session.optimizer.state_dict()["state"][0]["exp_avg"], moments["0.exp_avg"])
    assert moments["0.step"] == 8
