"""Workers come together all at once or not at all, and meet again without those that are lost."""

from __future__ import annotations

import json

import pytest

from farm.child import Meeting
from farm.meeting import Meetings, Waiting
from farm.records import JobRecord

LEASE_S = 30.0


class Run:
    """A job of some tasks side by side, and the workers that take them."""

    def __init__(self, store, job: str, nodes: int):
        self.store, self.job, self.nodes = store, job, nodes
        self.meetings = Meetings(store)
        store.submit(JobRecord(id=job, kind="train", role="train", job="{}", state=""))
        plan = [(f"train-{i}", b"{}", {}, None, {}) for i in range(nodes)]
        store.plan(job, plan)
        store.turn(job, "running", "submitted")
        store.dispatch(job, nodes)

    def claim(self, node: int, worker: str = "", lease_s: float = LEASE_S) -> bool:
        """As a worker does: may it gather, then the lease."""
        if not self.meetings.join(self.job, "train"):
            return False
        worker = worker or f"w{node}"
        return self.store.claim(
            self.job, f"train-{node}", worker, "t", kind="train", lease_s=lease_s, alone=False
        ) == "ok"  # fmt: skip

    def meet(self, node: int, worker: str = "", **more):
        options = {
            "queue": "train", "host": f"10.0.0.{node}", "port": 7000 + node, "nodes": self.nodes,
            "sizes": range(1, self.nodes + 1), "after": 0, "gather_s": 100.0, "regroup_s": 100.0,
            **more,
        }  # fmt: skip
        worker = worker or f"w{node}"
        return self.meetings.meet(self.job, f"train-{node}", f"t {worker}", **options)

    def lose(self, node: int) -> None:
        """Its worker is gone, and its lease has run out."""
        self.store.client.zadd(f"farm:{self.job}:leased", {f"train-{node}": 1})
        self.store.expire(self.job, f"train-{node}")


@pytest.fixture
def run(store):
    return Run(store, "a", 3)


def met(run: Run, nodes: int) -> list[Meeting]:
    for node in range(nodes):
        assert run.claim(node)
    for node in range(nodes):
        run.meet(node)
    return [run.meet(node) for node in range(nodes)]


def test_nobody_begins_before_all_are_there(run):
    assert run.claim(0) and run.claim(1)

    assert run.meet(0) == Waiting(1, 3, late=False)
    assert run.meet(1) == Waiting(2, 3, late=False)
    assert not run.meetings.begun("a")

    assert run.claim(2)
    first = Meeting(1, 2, 3, "10.0.0.0", 7000, address="10.0.0.2")
    assert run.meet(2) == first
    assert run.meet(2) == first  # asked again, the same
    assert [run.meet(node).place for node in range(3)] == [0, 1, 2]
    assert run.meetings.stands("a", 1, (1, 2, 3))


def test_two_runs_never_hold_half_of_the_workers_each(run, store):
    other = Run(store, "b", 3)

    assert run.claim(0)
    assert not other.claim(0)
    assert other.meetings.hinders("b", "train") == "waits for job a, which gathers its workers"
    assert run.claim(1) and run.claim(2)
    for node in range(3):
        run.meet(node)

    assert other.claim(0)  # its turn, once the first has begun


def test_workers_that_waited_in_vain_are_handed_back_all_at_once_and_others_gather(run, store):
    other = Run(store, "b", 3)
    assert run.claim(0) and run.claim(1)
    run.meet(0)

    assert run.meet(0, gather_s=0.0) == Waiting(1, 3, late=True)
    assert run.meet(1).late

    assert not run.claim(2)
    assert "too few workers came together; gathers again at " in run.meetings.hinders("a", "train")
    assert other.claim(0)


def test_a_lost_worker_ends_the_round_and_a_replacement_begins_the_next(run):
    met(run, 3)

    run.lose(1)

    assert not run.meetings.stands("a", 1, (1, 2, 3))
    assert run.meet(0, after=1) == Waiting(1, 3, late=False)
    assert run.meet(2, after=1) == Waiting(2, 3, late=False)
    assert run.claim(1, "w9")
    assert run.meet(1, "w9") == Meeting(2, 1, 3, "10.0.0.0", 7000, address="10.0.0.1")
    assert run.meet(2, after=1).place == 2


def test_without_a_replacement_it_goes_on_with_as_many_as_can_share_the_work(store):
    run = Run(store, "a", 4)
    met(run, 4)
    run.lose(0)
    can = {"sizes": (1, 2, 4), "after": 1}

    waiting = [run.meet(node, **can) for node in (1, 2, 3)]
    assert all(isinstance(each, Waiting) and not each.late for each in waiting)
    two = [run.meet(node, **can, regroup_s=0.0) for node in (1, 2, 3)]

    assert two[0] == Meeting(2, 0, 2, "10.0.0.1", 7001, address="10.0.0.1")
    assert isinstance(two[1], Meeting) and two[1].place == 1
    assert isinstance(two[2], Waiting)  # three cannot share this batch
    assert run.meetings.stands("a", 2, (1, 2, 4))


def test_more_machines_are_taken_in_when_they_can_share_the_work(store):
    run = Run(store, "a", 2)
    met(run, 2)
    run.lose(0)
    run.meet(1, after=1)
    alone = run.meet(1, after=1, regroup_s=0.0)
    assert (alone.round, alone.size) == (2, 1)
    assert run.meetings.stands("a", 2, (1, 2))

    assert run.claim(0, "w9")
    assert isinstance(run.meet(0, "w9"), Waiting)

    assert not run.meetings.stands("a", 2, (1, 2))
    run.meet(1, after=2)
    assert [run.meet(0, "w9").size, run.meet(1, after=2).size] == [2, 2]


def test_who_asks_to_meet_again_ends_the_round_for_all(run):
    met(run, 3)

    run.meet(2, after=1)

    assert not run.meetings.stands("a", 1, (1, 2, 3))


def test_the_last_of_a_run_that_is_over_need_not_wait_for_those_that_are_done(run):
    met(run, 3)
    for node in (1, 2):
        run.store.commit("a", f"train-{node}", f"w{node}", "t", b"{}", {})
    assert run.meetings.stands("a", 1, (1, 2, 3))

    assert run.meet(0, after=1).size == 1


def test_a_job_planned_anew_gathers_anew(run):
    met(run, 3)
    assert run.meetings.begun("a")

    run.store.plan("a", [("train-0", json.dumps({}).encode(), {}, None, {})])

    assert not run.meetings.begun("a")
