"""The controller's look at one job, step by step."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from farm import controller, kinds
from farm.controller import Controller, Life
from farm.errors import FarmBusy
from farm.records import DONE, RUNNING, JobRecord, WorkerRecord
from farm.settings import Settings, load
from farm.store import LOCK, Store
from farm.version import version


@dataclass(frozen=True)
class Counted:
    """A job of three tasks, and what controls it."""

    settings: Settings
    store: Store
    id: str
    out: Path

    @property
    def record(self) -> JobRecord:
        return self.store.job(self.id)


@pytest.fixture
def counted(store, server, tmp_path):
    settings = load(
        {
            "FARM_HOME": str(server),
            "FARM_KIND_PACKAGES": "farmdouble.jobs",
            "FARM_VANISHED_S": "0",
            "FARM_PUBLISH_S": "0",
        },
        cwd=tmp_path,
    )
    kind = kinds.load("count", settings.kind_packages)
    job = kind.module.Job(things=("n:9",), out=str(tmp_path / "counted"))
    text = kinds.canonical(job).decode()
    name = kind.job_id(job)
    store.submit(JobRecord(id=name, kind="count", role="count", job=text, state=""))
    return Counted(settings, store, name, tmp_path / "counted")


@pytest.fixture
def controllers(counted):
    """Make controllers; their threads end with the test."""
    made = []

    def make() -> Controller:
        made.append(Controller(counted.settings, counted.store))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_a_job_is_not_planned_twice_by_a_record_older_than_its_plan(counted, controllers, wait):
    before = counted.record
    life = Life(controllers(), before)

    life.tick(before, slots=0, able=0)
    wait(lambda: counted.record.state == "running" and life._slow.done())
    life.tick(before, slots=0, able=0)  # read before the plan was recorded

    assert life._slow is None
    assert counted.store.view(counted.id).tasks["waiting"] == 3


def test_a_message_that_is_lost_among_others_is_sent_again(counted, controllers, wait, monkeypatch):
    monkeypatch.setattr(controller, "QUEUE_S", 0.0)
    life = Life(controllers(), counted.record)
    life.tick(counted.record, slots=2, able=2)
    wait(lambda: counted.record.state == "running" and life._slow.done())
    life.tick(counted.record, slots=2, able=2)
    assert counted.store.queue_length("count") == 3

    counted.store.client.lpop("count")

    for _ in range(3):  # missed, missed again, sent
        life.tick(counted.record, slots=2, able=2)
    assert counted.store.queue_length("count") == 3
    assert counted.store.view(counted.id).tasks["queued"] == 3


def test_a_controller_that_was_away_forgets_what_it_knew(counted, controllers, wait):
    first, second = controllers(), controllers()
    first.tick()
    wait(lambda: counted.record.state == "running")
    life = first.lives[counted.id]

    counted.store.client.delete(LOCK)  # as when it was stopped for longer than the lock lasts
    second.tick()
    with pytest.raises(FarmBusy):
        first.tick()

    assert not first.lives
    assert life._closed.is_set()


def test_a_controller_that_was_slow_goes_on_unless_another_came(counted, controllers, wait):
    first, second = controllers(), controllers()
    first.tick()
    wait(lambda: counted.record.state == "running")
    life = first.lives[counted.id]

    counted.store.client.delete(LOCK)  # a look at a million shapes took longer than the lock lasts
    first.tick()
    assert first.lives[counted.id] is life

    counted.store.client.delete(LOCK)
    second.tick()
    second.close()
    first.tick()
    assert first.lives[counted.id] is not life


def test_a_plan_that_another_controller_overtook_is_not_recorded(counted, controllers):
    first, second = controllers(), controllers()
    life = Life(first, counted.record)
    counted.store.lock(second.holder, 9.0)

    with pytest.raises(InterruptedError):
        life._plan()

    assert counted.record.state == "submitted"
    assert counted.store.view(counted.id).tasks["waiting"] == 0


def test_an_index_that_comes_late_does_not_stay(counted, controllers, wait):
    late, now = controllers(), controllers()
    late.tick()
    life = late.lives[counted.id]
    wait(lambda: life._slow is None or life._slow.done())
    kind = life.kind.module
    counted.store.client.delete(LOCK)
    now.tick()
    for task in kind.plan(life.job, life.scanned):
        made = kinds.canonical(kind.Done(name=task.name, shapes=4, images=12))
        counted.store.commit(counted.id, task.name, "", "", made, {})

    def ends() -> bool:
        now.tick()
        return counted.record.state == DONE

    wait(ends)
    life._write_index([], complete=False)  # goes on where it was stopped
    assert not json.loads((counted.out / "index.json").read_text())["complete"]
    assert counted.record.state == RUNNING

    wait(ends)
    assert json.loads((counted.out / "index.json").read_text())["complete"]


def test_one_tick_sends_no_more_than_leaves_time_for_the_lock(
    counted, controllers, wait, monkeypatch
):
    monkeypatch.setattr(controller, "MOST_SENT", 2)
    for name in "wx":  # room for four tasks, and there are three
        record = WorkerRecord(name=name, role="count", host="h", pid=1, version=version())
        counted.store.beat(record)
    control = controllers()
    sent = [0]

    def all_are_sent() -> bool:
        control.tick()
        sent.append(control.sent)
        return control.sent == 3

    wait(all_are_sent)

    assert max(after - before for before, after in pairwise(sent)) == 2
