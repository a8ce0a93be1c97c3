"""Leases, plans and failures on a real Redis."""

from __future__ import annotations

import dataclasses
import json
import time

import pytest

from farm.pipelines import Pipelines
from farm.records import PAUSE, ItemFailure, JobRecord, Orders, WorkerRecord

JOB = JobRecord(id="j", kind="count", role="count", job="{}", state="")
LEASE = {"kind": "count", "lease_s": 0.2, "alone": False}


def tasks(number, units=None):
    for i in range(number):
        yield f"t{i}", b"{}", units or {"shapes": 3, "images": 15}, None, {}


def failure(item, cls="crash", worker="w1"):
    return ItemFailure(item=item, cls=cls, reason="why", tries=0, task="t0", worker=worker)


@pytest.mark.parametrize(
    "facts", [{"state": "running"}, {"workers": "many"}, {"rates": "[[["}, {"rates": "7"}]
)
def test_a_record_that_is_none_brings_nobody_down(store, facts):
    store.submit(JOB)
    store.submit(dataclasses.replace(JOB, id="0123456789ab"))
    if "state" in facts:
        store.client.delete("farm:0123456789ab")
    store.client.hset("farm:0123456789ab", mapping=facts)
    store.client.hset("farm:pipeline:0123456789ab", mapping=facts)
    store.client.zadd("farm:pipelines", {"0123456789ab": 1})

    assert [record.id for record in store.jobs()] == ["j"]
    assert Pipelines(store).all() == []


def test_what_others_wrote_moves_nobodys_cursor(store):
    wipe = "\x1b[2J\x9b2J"
    store.submit(dataclasses.replace(JOB, label=f"a{wipe} b"))
    store.turn("j", "failed", "submitted", reason=f"no{wipe} {wipe}such shape")
    told = ItemFailure(
        item="x", cls="crash", reason=f"of {wipe}it", tail=f"one\n{wipe}two", tries=0, task="t0"
    )
    store.failed("j", told, kind="count", most=1)

    record, (failure,) = store.job("j"), store.failures("j")

    shown = (record.label, record.reason, failure.reason, failure.tail)
    assert shown == ("a[2J2J b", "no[2J2J [2J2Jsuch shape", "of [2J2Jit", "one\n[2J2Jtwo")


@pytest.fixture
def planned(store):
    """A job of five tasks that runs."""
    store.submit(JOB)
    store.plan("j", tasks(5))
    store.turn("j", "running", "submitted")
    return store


def test_a_plan_tells_its_totals(planned):
    view = planned.view("j")

    assert view.total == {"shapes": 15, "images": 75}
    assert view.tasks == {
        "total": 5, "done": 0, "leased": 0, "queued": 0, "waiting": 5, "dead": 0,
    }  # fmt: skip


def test_tasks_on_storage_are_planned_as_done(store):
    store.submit(JOB)
    store.plan("j", [("a", b"{}", {"shapes": 3}, '{"x": 1}', {"shapes": 2}), *tasks(1)])

    assert store.view("j").made["shapes"] == 2
    assert store.dones("j") == ['{"x": 1}']
    assert store.view("j").tasks["waiting"] == 1


def test_a_job_submitted_while_it_runs_is_joined(planned):
    assert planned.submit(JOB) == "joined"
    planned.turn("j", "done", "running")
    assert planned.submit(JOB) == "done"
    assert planned.job("j").state == "submitted"


def test_tasks_leave_in_the_order_of_the_plan(planned):
    assert planned.dispatch("j", 2) == ["t0", "t1"]
    assert planned.dispatch("j", 9) == ["t2", "t3", "t4"]
    assert planned.dispatch("j", 1) == []


def test_nothing_is_dispatched_for_a_paused_job(planned):
    planned.turn("j", "paused", "running")

    assert planned.dispatch("j", 2) == []


def test_one_worker_at_a_time_has_a_task(planned):
    assert planned.claim("j", "t0", "w1", "a", **LEASE) == "ok"
    assert planned.claim("j", "t0", "w2", "b", **LEASE) == "leased"
    assert planned.renew("j", "t0", "w2", "b", 0.2) == "lost"


def test_a_lease_that_ran_out_goes_to_another_and_the_late_one_cannot_commit(planned):
    planned.claim("j", "t0", "w1", "a", **LEASE)
    time.sleep(0.25)
    assert planned.expired("j") == ["t0"]
    assert planned.expire("j", "t0") == 1
    assert planned.claim("j", "t0", "w2", "b", **LEASE) == "ok"

    assert planned.renew("j", "t0", "w1", "a", 0.2) == "lost"
    assert not planned.commit("j", "t0", "w1", "a", b"late", {"shapes": 3})
    assert planned.commit("j", "t0", "w2", "b", b"{}", {"shapes": 3})
    assert planned.dones("j") == ["{}"]


def test_a_commit_counts_once(planned):
    planned.claim("j", "t0", "w1", "a", **LEASE)

    assert planned.commit("j", "t0", "w1", "a", b"{}", {"shapes": 3, "images": 15})
    assert not planned.commit("j", "t0", "w1", "a", b"{}", {"shapes": 3, "images": 15})
    assert planned.view("j").made == {"shapes": 3, "images": 15}
    assert planned.claim("j", "t0", "w2", "b", **LEASE) == "done"


def test_a_renewed_lease_does_not_run_out_and_shows_what_is_made(planned):
    planned.claim("j", "t0", "w1", "a", **LEASE)

    for _ in range(4):
        time.sleep(0.1)
        assert planned.renew("j", "t0", "w1", "a", 0.2, {"images": 7}) == "ok"

    assert planned.expired("j") == []
    assert planned.view("j").made["images"] == 7


def test_a_lease_that_redis_forgot_is_taken_up_again_by_its_owner(planned):
    planned.claim("j", "t0", "w1", "a", **LEASE)
    planned.client.delete("farm:j:leases", "farm:j:leased")

    assert planned.renew("j", "t0", "w1", "a", 0.2) == "ok"
    assert planned.claim("j", "t0", "w2", "b", **LEASE) == "leased"


def test_a_worker_of_a_job_that_rests_is_told_to_stop(planned):
    planned.claim("j", "t0", "w1", "a", **LEASE)
    planned.turn("j", "paused", "running")

    assert planned.renew("j", "t0", "w1", "a", 0.2) == "stop"
    assert planned.claim("j", "t1", "w1", "b", **LEASE) == "stop"


def test_a_task_handed_on_avoids_its_worker_unless_it_is_alone(planned):
    planned.dispatch("j", 1)
    planned.claim("j", "t0", "w1", "a", **LEASE)
    planned.release("j", "t0", "w1", "a", avoid=True)

    assert planned.dispatch("j", 1) == ["t0"]
    assert planned.claim("j", "t0", "w1", "b", **LEASE) == "avoid"
    assert planned.claim("j", "t0", "w1", "b", **{**LEASE, "alone": True}) == "ok"


def test_what_a_worker_held_before_it_was_started_anew_is_handed_back(planned):
    planned.claim("j", "t0", "w1", "a", **LEASE)
    planned.claim("j", "t1", "w2", "b", **LEASE)

    planned.release_all("w1")

    assert planned.claim("j", "t0", "w2", "c", **LEASE) == "ok"
    assert planned.claim("j", "t1", "w1", "d", **LEASE) == "leased"


def test_a_message_that_vanished_is_put_back(planned):
    planned.dispatch("j", 2)

    assert planned.queued("j", 5.0) == planned.vanished("j", 5.0, ["t0"]) == []
    assert planned.queued("j", 0.0) == ["t0", "t1"]
    assert planned.vanished("j", 0.0, ["t1", "t4"]) == ["t1"]
    assert planned.view("j").tasks["waiting"] == 4


def test_bad_input_is_final_at_once_and_a_crash_at_the_third_try(planned):
    assert planned.failed("j", failure("a", "bad_input"), kind="count", most=3).tries == 1
    for _ in range(2):
        planned.failed("j", failure("b"), kind="count", most=3)
    assert [f.item for f in planned.failures("j")] == ["a"]

    planned.failed("j", failure("b"), kind="count", most=3)

    assert {f.item: f.tries for f in planned.failures_of("j", "t0")} == {"a": 1, "b": 3}


def test_an_item_made_after_all_counts_against_no_worker(planned):
    for item in ("a", "b", "c"):
        planned.failed("j", failure(item), kind="count", most=9)
    assert planned.strikes("count", "w1") == 3

    planned.pardon("count", "w1", "j", ["a", "b"])

    assert planned.strikes("count", "w1") == 1


def test_three_distinct_items_take_a_worker_off_a_kind(planned):
    for item in ("a", "a", "b"):
        planned.failed("j", failure(item), kind="count", most=9)
    assert planned.claim("j", "t0", "w1", "x", **LEASE) == "ok"

    planned.failed("j", failure("c"), kind="count", most=9)

    assert planned.claim("j", "t1", "w1", "y", **LEASE) == "off"
    assert planned.claim("j", "t1", "w1", "y", **{**LEASE, "kind": "other"}) == "ok"


def test_an_item_that_fails_everywhere_is_no_workers_fault(planned):
    planned.beat(WorkerRecord(name="w1", role="count", host="h", pid=1, version="0"))
    for worker in ("w1", "w1", "w2"):
        planned.failed("j", failure("a", worker=worker), kind="count", most=3)

    assert planned.strikes("count", "w1") == 0


def test_one_controller_at_a_time(store):
    assert store.lock("a", 0.2)
    assert not store.lock("b", 0.2)
    assert store.lock("a", 0.2)
    time.sleep(0.25)
    assert store.lock("b", 0.2)
    assert store.holder() == "b"


def test_a_worker_not_seen_is_not_live(store):
    store.beat(WorkerRecord(name="w", role="count", host="h", pid=1, version="0"))

    assert [worker.name for worker in store.workers(5)] == ["w"]
    time.sleep(0.1)
    assert store.workers(0.05) == []


def test_a_worker_that_is_gone_for_good_is_forgotten(store):
    store.beat(WorkerRecord(name="w", role="count", host="h", pid=1, version="0"))

    assert store.forget_workers(60) == []
    assert store.forget_workers(0) == ["w"]
    assert store.workers() == []


def test_a_worker_of_another_version_claims_nothing_and_its_message_is_waited_for(planned):
    planned.lock("c", 5, version="2")
    planned.dispatch("j", 1)

    assert planned.claim("j", "t0", "w1", "x", **LEASE, version="1") == "version"
    assert planned.window("j") == 1
    assert planned.claim("j", "t0", "w1", "x", **LEASE, version="2") == "ok"


def test_a_worker_that_a_person_holds_claims_nothing(planned):
    planned.drain("w1")

    assert planned.claim("j", "t0", "w1", "x", **LEASE) == "held"
    assert planned.resume("w1") and not planned.resume("w1")
    assert planned.claim("j", "t0", "w1", "x", **LEASE) == "ok"


def test_a_beat_is_answered_with_the_controllers_version_and_what_a_person_asked(store):
    record = WorkerRecord(name="w", role="count", host="h", pid=1, version="0")
    assert store.beat(record) == Orders()

    store.lock("c", 5, version="2")
    store.pause("w")

    assert store.beat(record) == Orders(version="2", hold=PAUSE)


def test_why_a_worker_is_taken_off_a_kind_is_told(planned):
    for item in "abc":
        planned.failed("j", failure(item), kind="count", most=9)

    assert list(planned.off("w1", ["count", "other"])) == ["count"]
    assert planned.off("w1", ["count"])["count"].startswith("3 items failed here: crash, ")


def test_a_record_of_a_later_version_is_read(store):
    store.beat(WorkerRecord(name="w", role="count", host="h", pid=1, version="9"))
    text = json.loads(store.client.hget("farm:workers", "w"))
    store.client.hset("farm:workers", "w", json.dumps({**text, "mood": "sunny"}))

    assert store.workers()[0].version == "9"


def test_the_jobs_at_work_are_told_without_those_at_rest(planned):
    planned.submit(dataclasses.replace(JOB, id="later"))
    planned.submit(dataclasses.replace(JOB, id="over"))
    planned.turn("over", "failed", "submitted")

    assert [record.id for record in planned.active()] == ["j", "later"]
    assert planned.active() == [record for record in planned.jobs() if record.active]
