"""Without systemd small processes keep the parts running: real ones, and nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import psutil
import pytest

from deploy import variables
from deploy.keeping import PROCESSES, SYSTEMD, State
from deploy.place import Place
from tests.lab.hosts import wait

SHOWN = """\
1000.50
Id=farm-controller.service
ActiveState=active
NRestarts=2
ExecMainStartTimestampMonotonic=990500000

Id=farm-worker@render-0.service
ActiveState=activating
NRestarts=7
ExecMainStartTimestampMonotonic=0
"""
PART = """\
#!/bin/sh
# A part of the farm that writes what it was given and stays.
echo "$$ $* $COLOUR" >> {file}
trap 'echo asked >> {file}; exit 0' TERM
while :; do sleep 0.05; done
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A farm's folder whose program is a stand-in."""
    for name in ("units", "run", "logs", "versions/1/bin"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "current").symlink_to("versions/1")
    program = tmp_path / "current" / "bin" / "farm"
    program.write_text(PART.format(file=tmp_path / "told"))
    program.chmod(0o755)
    # A symbolic link would lose the packages of the environment.
    python = program.with_name("python")
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (tmp_path / "environment").write_text(variables.text({"COLOUR": "blue"}))
    for name in ("farm-controller", "farm-worker@render-0"):
        what = {"UNIT_PROGRAM": str(program), "UNIT_WORDS": f"run {name}"}
        file = tmp_path / "units" / f"{name}.env"
        file.write_text(variables.text({**what, "COLOUR": "red"}))
    place = Place(PurePosixPath(tmp_path))
    yield place
    sh(PROCESSES.stop(place, NAMES, True))


NAMES = ["farm-controller", "farm-worker@render-0"]


def sh(command: str) -> str:
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def states(place: Place) -> dict[str, State]:
    found = PROCESSES.states(sh(PROCESSES.look(place, NAMES)))
    return {state.name: state for state in found}


def told(place: Place) -> list[str]:
    return Path(place.root / "told").read_text().splitlines()


def pid(place: Place, name: str) -> int:
    return int(json.loads(Path(place.root / "run" / f"{name}.json").read_text())["pid"])


def test_what_is_started_runs_with_its_own_words_and_variables(place: Place) -> None:
    sh(PROCESSES.start(place, NAMES))

    wait(lambda: len(told(place)) == 2)
    assert sorted(line.split(maxsplit=1)[1] for line in told(place)) == [
        "run farm-controller red",
        "run farm-worker@render-0 red",
    ]
    assert all(state.up and state.restarts == 0 for state in states(place).values())


def test_starting_twice_is_starting_once(place: Place) -> None:
    sh(PROCESSES.start(place, NAMES))
    before = pid(place, NAMES[0])

    sh(PROCESSES.start(place, NAMES))

    assert pid(place, NAMES[0]) == before


def test_what_dies_is_started_again_and_that_is_told(place: Place) -> None:
    sh(PROCESSES.start(place, NAMES[:1]))
    first = pid(place, NAMES[0])

    os.kill(first, signal.SIGKILL)

    wait(lambda: pid(place, NAMES[0]) != first)
    assert states(place)[NAMES[0]].restarts == 1


def test_stopping_asks_and_now_does_not(place: Place) -> None:
    sh(PROCESSES.start(place, NAMES))
    wait(lambda: len(told(place)) == 2)

    sh(PROCESSES.stop(place, NAMES[:1], False))
    assert told(place)[2:] == ["asked"]
    killed = pid(place, NAMES[1])
    sh(PROCESSES.stop(place, NAMES[1:], True))

    wait(lambda: not psutil.pid_exists(killed))
    assert told(place)[2:] == ["asked"]
    assert not any(state.up for state in states(place).values())


def test_nothing_outlives_its_keeper(place: Place) -> None:
    sh(PROCESSES.start(place, NAMES[:1]))
    part = pid(place, NAMES[0])
    keeper = psutil.Process(part).parent()
    assert keeper

    keeper.kill()

    wait(lambda: not psutil.pid_exists(part))


def test_what_a_part_says_is_in_its_log(place: Place) -> None:
    Path(place.root / "current" / "bin" / "farm").write_text("#!/bin/sh\necho too bad; exit 3\n")

    sh(PROCESSES.start(place, NAMES[:1]))

    wait(lambda: "too bad" in sh(PROCESSES.logs(place, "controller", 20, False)))
    wait(lambda: states(place)[NAMES[0]].restarts > 0)
    assert "ended with 3" in sh(PROCESSES.logs(place, "", 20, False))


def test_what_systemd_shows_is_read() -> None:
    assert SYSTEMD.states(SHOWN) == [
        State("farm-controller", up=True, up_s=10.0, restarts=2),
        State("farm-worker@render-0", up=False, up_s=0.0, restarts=7),
    ]


def test_systemd_is_told_to_start_with_the_machine_and_to_stop_for_good() -> None:
    place = Place(PurePosixPath("/farm"))

    start, stop, kill = (
        SYSTEMD.start(place, ["farm-worker@render-0"]),
        SYSTEMD.stop(place, ["farm-worker@render-0"], False),
        SYSTEMD.stop(place, ["farm-worker@render-0"], True),
    )

    assert "daemon-reload" in start
    assert "enable --quiet --now farm-worker@render-0.service" in start
    assert "disable --quiet farm-worker@render-0.service; systemctl --user stop" in stop
    assert "--signal=KILL" in kill
    assert "--signal=KILL" not in stop
