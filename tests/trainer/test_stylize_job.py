"""Stylizing through a real farm: Redis, Celery, a child program, and what a death costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.farm.conftest import Farm, _wait, new_farm
from tests.processes import command_line
from tests.trainer.conftest import DOUBLES, Quiet
from tests.trainer.datasets import make_dataset
from trainer import start
from trainer.jobs.train import Job

pytestmark = pytest.mark.slow

BATCH, PICTURES = 4, 2 * 12 * 3
LINE = ("submit", "stylize", "--data", "cars", "--run", "painter", "--batch", str(BATCH))


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    """A farm in a folder with a dataset, 2 shards of 12 shapes, and a slow run to stylize with."""
    with new_farm() as made, pytest.MonkeyPatch.context() as patch:
        for name, value in DOUBLES.items():
            patch.setenv(name, value)
        data = make_dataset(
            made.folder / "cars", splits={"train": 6, "test": 6}, views=3, points=0, per_shard=12
        )
        config = {"seconds": 0.08, "ledger": str(made.folder / "ledger")}
        job = Job(
            model="painter", data=(str(data),), out=str(made.folder / "painter"), steps=1,
            device="cpu", config=config,
        )  # fmt: skip
        start.train(job, Quiet())
        # torch takes longer to load on a busy machine than a shape to render.
        yield dataclasses.replace(made, more={**DOUBLES, "FARM_ITEM_TIMEOUT_S": "100"})


def tars(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.tar")}


def calls(farm: Farm) -> list[tuple[int, str]]:
    """Process and number of pictures (or "built"), for every call of the network."""
    lines = [line.split() for line in (farm.folder / "ledger").read_text().splitlines()]
    return [(int(process), what) for process, what in lines]


def trainers(farm: Farm) -> list[psutil.Process]:
    return [p for p in farm.children() if command_line(p)[1:] == ["-m", "trainer"]]


def test_kill_9_of_the_child_in_mid_shard_costs_at_most_one_batch(farm):
    (farm.folder / "ledger").write_text("")
    plain = farm.run(*LINE, "--out", "plain", timeout_s=100)
    assert plain.returncode == 0, plain.stderr
    undisturbed = calls(farm)
    (farm.folder / "ledger").write_text("")

    process = farm.start(*LINE, "--out", "killed")
    _wait(lambda: len(calls(farm)) > 6, 60)
    (child,) = trainers(farm)
    child.kill()
    done = farm.end(process, 100)

    assert done.returncode == 0, done.stderr
    made = sum(int(what) for _, what in calls(farm) if what != "built")
    assert sum(int(what) for _, what in undisturbed if what != "built") == PICTURES
    # a shape is staged whole: with the batch go the views it was to complete, at most two
    assert PICTURES < made <= PICTURES + BATCH + 2
    assert tars(farm.folder / "killed") == tars(farm.folder / "plain")
    assert [what for _, what in undisturbed].count("built") == 1  # a warm child: two shards
    assert farm.run("dataset", "verify", "killed").returncode == 0


def test_a_line_says_what_it_would_make_and_what_it_made(farm):
    would = farm.run(*LINE, "--dry-run")
    made = farm.run(*LINE, timeout_s=100)
    again = farm.run(*LINE, timeout_s=60)

    assert would.stdout.startswith(f"would make {farm.folder / 'data/cars-painter'}\n")
    assert "images       72" in would.stdout
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("data/cars-painter: 24 shapes, 72 images, ")
    assert "farm submit train --model dpc --data data/cars-painter" in made.stdout
    assert again.returncode == 0 and "nothing was missing" in again.stderr


def test_what_it_cannot_do_is_told_in_one_line(farm):
    refused = farm.run("submit", "stylize", "--data", "cars", "--run", "cars")

    assert refused.returncode != 0
    assert "no run in" in refused.stderr and "Traceback" not in refused.stderr
