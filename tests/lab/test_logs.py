"""What a task says on one host is followed on another, which has no file of it and no way in."""

from __future__ import annotations

from tests.lab.room import SHORT, Room
from tests.waiting import wait


def test_a_task_is_followed_from_another_host(lab):
    here, there = lab.hosts[:2]
    with Room(lab, "count", workers=1, more=SHORT) as room:
        room.man([there])
        out = str(lab.storage / "followed")
        # The last of three tasks talks; a thing that fails in it keeps its log for who comes late.
        things = ("n:31", "talk-30", "bad-1")
        words = ("--things", *things, "--seconds", "0.2", "--per-task", "11", "--out", out)
        job = room.submit("count", *words)
        wait(lambda: room.store.logs(job))
        follower = here.run(
            here.farm("logs", job, "-f"), env=room.environment("submit"), timeout_s=120
        )
        told = follower.stdout.splitlines()

        said = [line for line in told if "what it says" in line]
        assert len(said) == 30
        assert all(f"count-000002 count-0@{there.name}  " in line for line in said)
        assert told[-1].endswith("done")
        assert not list((here.home / ".local").rglob("*.log"))
