"""When a worker takes tasks, and what becomes of the one in hand when it may not."""

from __future__ import annotations

from farm.gate import Gate
from farm.records import DRAIN, PAUSE, Orders


def gate(finish_within_s: float = 5.0) -> Gate:
    return Gate("1.0+aa", finish_within_s)


def test_another_version_than_the_controllers_is_refused_until_they_agree():
    worker = gate()
    worker.order(Orders(version="1.1+bb"))
    assert worker.refused == worker.closed == "is 1.0+aa, the controller 1.1+bb"
    assert not worker.must_drop(None)  # what it has in hand is not lost by an upgrade

    worker.order(Orders(version="1.0+aa"))

    assert not worker.closed


def test_a_farm_without_a_controller_yet_refuses_nobody():
    worker = gate()

    worker.order(Orders())

    assert not worker.closed


def test_a_drained_worker_finishes_its_task_and_a_paused_one_hands_it_back():
    drained, paused = gate(), gate()

    drained.order(Orders(hold=DRAIN))
    paused.order(Orders(hold=PAUSE))

    assert (drained.closed, paused.closed) == ("drained", "paused by hand")
    assert not drained.must_drop(None)
    assert paused.must_drop(None)


def test_a_full_disk_keeps_the_task_in_hand_and_takes_no_other():
    worker = gate()

    worker.lack("3 MB free in /tmp")

    assert worker.paused == worker.closed == "3 MB free in /tmp"
    assert not worker.must_drop(None)
    worker.lack("")
    assert not worker.closed


def test_a_task_that_ends_within_the_time_is_finished_and_a_longer_one_handed_back():
    worker = gate(finish_within_s=5.0)

    worker.yield_to("ada at pts/3")

    assert not worker.must_drop(left_s=4.0)
    assert worker.must_drop(left_s=6.0)
    assert worker.must_drop(left_s=None)


def test_the_time_to_finish_runs_from_the_first_sign():
    worker = gate(finish_within_s=0.0)
    worker.yield_to("ada at pts/3")
    worker.yield_to("grace at pts/4")

    assert worker.must_drop(left_s=0.0)


def test_a_worker_that_may_work_again_keeps_what_it_has():
    worker = gate()
    worker.yield_to("ada at pts/3")

    worker.yield_to("")

    assert not worker.closed
    assert not worker.must_drop(None)
