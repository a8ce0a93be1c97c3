"""A farm on three hosts loses nothing, also when things happen to it (docs/faults.md)."""

from __future__ import annotations

import json

import pytest

from tests.lab.chaos import run
from tests.lab.hosts import Lab
from tests.lab.jobs import Ledger, counting, rendering
from tests.lab.room import SHORT, Room

KINDS = ("cut", "power", "redis", "controller", "disk", "stop worker")


@pytest.mark.slow
def test_pictures_of_three_hosts_are_those_of_one_to_the_byte(lab_possible):
    broken = []
    with Lab(hosts=3) as lab:
        with Room(lab, "render", workers=1, more=SHORT) as room:
            alone = Ledger(room, rendering(6), broken.append)
            room.man(lab.hosts[:1])
            alone.submit()
            alone.finish(120)
        with Room(lab, "render", workers=1, more=SHORT) as room:
            together = Ledger(room, rendering(6), broken.append, expected=alone.expected)
            together.submit(lab.storage / "together")
            room.man(lab.hosts)  # a job waits already: all load Blender at once
            together.finish(120)
        told = [json.loads(path.read_text()) for path in lab.storage.glob("together/*.log.json")]

    assert not broken
    assert (alone.ended, together.ended) == (1, 1)
    assert len([name for name in alone.expected if name.endswith(".tar")]) == 6
    assert len({each["host"] for each in told}) > 1


@pytest.mark.slow
def test_nothing_is_lost_whatever_happens(lab_possible):
    report = run(
        0,
        counting(32, 0.1),
        kinds=KINDS,
        rounds=1,
        short=True,
        workers=1,
        promise_s=90.0,  # what is promised is 30 s, and that this machine is busy is no bug
    )

    assert not report.broken
    assert sorted(waits.kind for waits in report.waits) == sorted(KINDS)
    assert report.jobs >= 3
