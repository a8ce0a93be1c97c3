"""The controller's look at one job, step by step."""

from __future__ import annotations

from farm import kinds
from farm.controller import Controller, Life
from farm.records import JobRecord
from farm.settings import load


def test_a_job_is_not_planned_twice_by_a_record_older_than_its_plan(store, server, tmp_path, wait):
    settings = load(
        {"FARM_HOME": str(server), "FARM_KIND_PACKAGES": "farmdouble.jobs"}, cwd=tmp_path
    )
    kind = kinds.load("count", settings.kind_packages)
    job = kind.module.Job(things=("n:9",), out=str(tmp_path / "counted"))
    text = kinds.canonical(job).decode()
    name = kind.job_id(job)
    store.submit(JobRecord(id=name, kind="count", role="count", job=text, state=""))
    before = store.job(name)
    controller = Controller(settings, store)
    life = Life(controller, before)

    life.tick(before, slots=0)
    wait(lambda: store.job(name).state == "running" and life._slow.done())
    life.tick(before, slots=0)  # read before the plan was recorded

    assert life._slow is None
    assert store.view(name).tasks["waiting"] == 3
    controller.threads.shutdown()
    controller.planners.shutdown()
