"""What does not run, or runs and gets no tasks, is told by the name of its unit."""

from __future__ import annotations

from deploy.keeping import State
from deploy.running import refused, troubles

CONTROLLER, WORKER = "farm-controller", "farm-worker@render-0"


def up(name: str, restarts: int = 0) -> State:
    return State(name, up=True, up_s=9.0, restarts=restarts)


def test_what_runs_and_was_seen_is_no_trouble() -> None:
    states = [up(CONTROLLER), up(WORKER, restarts=3)]

    assert list(troubles([CONTROLLER, WORKER], states, {WORKER: {}}, "h1")) == []


def test_a_unit_that_is_down_or_unknown_is_told_with_where_to_look() -> None:
    states = [State(CONTROLLER, up=False, up_s=0.0, restarts=4)]

    told = [str(each) for each in troubles([CONTROLLER, WORKER], states, {}, "h1")]

    assert told == [
        "units: farm-controller does not run, started 5 times; "
        "`farm deploy logs --hosts h1` tells why",
        "units: farm-worker@render-0 does not run; `farm deploy logs --hosts h1` tells why",
    ]


def test_a_worker_that_runs_unseen_is_told() -> None:
    (told,) = troubles([WORKER], [up(WORKER)], {}, "h1")

    assert (told.about, told.what) == ("workers", f"{WORKER} runs, and Redis has not seen it")


def test_a_worker_of_another_version_is_told() -> None:
    workers = {WORKER: {"refused": "is 0.1.0+a, the controller 0.1.0+b"}, "other": {"refused": ""}}

    (told,) = refused(workers)

    assert f"{WORKER} is 0.1.0+a, the controller 0.1.0+b: it gets no tasks" in told.what
