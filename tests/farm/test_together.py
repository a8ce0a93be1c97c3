"""Jobs whose tasks need each other, on real workers: gathered, replaced, ended together."""

from __future__ import annotations

import json

import psutil
import pytest

from farm import broker
from tests.farm.room import Room


@pytest.fixture
def room(server, store, tmp_path):
    room = Room(broker.url(server), tmp_path)
    room.environment["FARM_REGROUP_S"] = "60"
    room.start("controller")
    yield room
    room.close()


def rounds(room: Room, out: str) -> list[dict[str, object]]:
    return [
        json.loads(line) for line in (room.folder / out / "rounds.log").read_text().splitlines()
    ]


def test_two_runs_share_three_workers_and_one_of_them_is_killed(room, store, wait):
    for slot in "abc":
        room.start("worker", "count", "--slot", slot)
    wait(lambda: len(store.workers(5)) == 3, 60)
    first = room.start("submit", "gang", "--steps", "9", "--hold", "--out", "first", "--json")
    wait(lambda: len(rounds(room, "first")) == 2, 40)
    second = room.start("submit", "gang", "--out", "second", "--json")
    wait(lambda: "waits for 2 workers at once; 1 could begin now" in store.jobs()[-1].reason, 60)

    victim = next(worker for worker in store.workers() if worker.task == "gang-0")
    psutil.Process(victim.pid).kill()
    wait(lambda: rounds(room, "first")[-1]["round"] == 2, 60)
    (room.folder / "first" / "enough").touch()
    ends = [process.communicate(timeout=90) for process in (first, second)]

    assert [process.returncode for process in (first, second)] == [0, 0], ends
    assert [json.loads(out)["made"] for out, _ in ends] == [{"steps": 9}, {"steps": 20}]
    told = rounds(room, "first")
    assert {each["size"] for each in told} == {2}
    assert len({each["pid"] for each in told if each["task"] == "gang-0"}) == 2
    again = next(each for each in told if each["round"] == 2)
    assert int(str(again["at"])) >= 1  # it went on, and did not begin anew
    assert not any(record.reason for record in store.jobs())


def test_one_that_can_never_do_its_part_ends_the_job_for_all(room, store, wait):
    for slot in "ab":
        room.start("worker", "count", "--slot", slot)

    ended = room.run("submit", "gang", "--bad-at", "3", "--steps", "5000", "--out", "bad")

    assert ended.returncode == 1
    assert "this cannot be counted" in ended.stderr
    wait(lambda: not any(worker.job for worker in store.workers(5)), 40)
    wait(lambda: store.leased(store.jobs()[0].id) == 0)  # told right after
