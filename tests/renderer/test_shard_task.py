"""One task's shard, from staged samples to its name in the dataset."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from renderer import shard_task, shards
from renderer.jobs import render
from tests.renderer.conftest import POINTS, SIZE, VIEWS


class LeaseLost(Exception):
    """As farm.child has it."""


class Lease:
    """One that holds for so many questions."""

    def __init__(self, holds: int):
        self.holds, self.failed = holds, {}

    def finish(self, item, **units):
        pass

    def commit(self):
        self.holds -= 1
        if self.holds < 0:
            raise LeaseLost


@pytest.fixture
def staged(dataset, shapes_folder):
    """Job and task of a shard whose samples are all staged, and which is not there yet."""
    job = render.resolve(
        render.Job(
            shapes=(str(shapes_folder),), out=str(dataset), size=SIZE, views=VIEWS, spp=2,
            points=POINTS, shard_size=2,
        ),
        Path.cwd(),
    )  # fmt: skip
    tasks = {task.name: task for task in render.plan(job, render.scan(job))}
    done = {name: render.done(job, task) for name, task in tasks.items()}
    name = next(name for name, found in done.items() if found and not found.failed)
    shutil.rmtree(dataset / shards.STAGING, ignore_errors=True)
    shard_task._unpack(job, tasks[name], done[name], dataset / shards.STAGING / name)
    for path in dataset.glob(f"{name}.*"):
        path.unlink()
    return job, tasks[name]


def test_a_lease_that_is_lost_while_the_shard_is_written_leaves_no_shard(staged):
    job, task = staged

    with pytest.raises(LeaseLost):
        shard_task.make_shard(job, task, Lease(holds=1))

    assert not [path.name for path in job.folder.glob(f"*{task.name}*") if path.is_file()]
    assert shard_task.make_shard(job, task, Lease(holds=2)).name == task.name
