"""Pipelines run: real Redis, real controller, real children."""

from __future__ import annotations

import functools
import json
import signal
import time

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def wait(wait):
    """With patience for a machine that is busy."""
    return functools.partial(wait, timeout_s=60)


DIAMOND = """
name = "{name}"
[stages.top]
kind = "count"
things = "n:4"
[stages.left]
kind = "join"
data = "@top"
seconds = {seconds}
[stages.right]
kind = "join"
data = "@top"
seconds = {seconds}
each = {{ seed = [0, 1] }}
[stages.bottom]
kind = "join"
data = ["@left", "@right"]
"""
BRANCHES = """
name = "{name}"
[stages.top]
kind = "count"
things = "n:2"
[stages.broken]
kind = "join"
data = "@top"
fail = true
[stages.hopeless]
kind = "join"
data = "@broken"
[stages.lost]
kind = "join"
data = "@hopeless"
[stages.good]
kind = "join"
data = "@top"
seconds = 1.0
[stages.better]
kind = "join"
data = "@good"
"""


def write(farm, text, name, seconds=0.0):
    (farm.folder / f"{name}.toml").write_text(text.format(name=name, seconds=seconds))
    return ("submit", "pipeline", f"{name}.toml")


def told(farm, name):
    return json.loads((farm.folder / "runs" / name / "pipeline.json").read_text())


def states(farm, name):
    return {stage: facts["state"] for stage, facts in told(farm, name)["stages"].items()}


def times_worked(farm, name):
    return {
        stage: sum(farm.works(f"runs/{name}/{stage}").values())
        for stage in ("left", "right.0", "right.1", "bottom")
    }


def test_a_diamond_goes_from_one_command_line_to_storage(farm):
    result = farm.run(*write(farm, DIAMOND, "diamond"))

    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("runs/diamond: 5 stages done in ")
    joined = (farm.folder / "runs/diamond/bottom/count-joined.txt").read_text().split()
    assert joined == 3 * [f"good-{i:05d}" for i in range(4)]
    assert set(states(farm, "diamond").values()) == {"done"}
    assert told(farm, "diamond")["state"] == "done"
    lines = result.stderr.splitlines()
    # A short stage may be done when it is first looked at.
    first = {name: min(n for n, line in enumerate(lines) if line.startswith(f"stage {name} "))
             for name in ("left", "bottom")}  # fmt: skip
    assert lines.index("stage top done") < first["left"]
    assert lines.index("stage right.1 done") < first["bottom"]


def test_the_same_file_again_makes_nothing_again_and_what_is_missing_anew(farm):
    line = write(farm, DIAMOND, "again")
    farm.run(*line)
    (farm.folder / "runs/again/left/count-joined.txt").unlink()

    result = farm.run(*line, "--json")

    assert result.returncode == 0, result.stderr
    facts = json.loads(result.stdout)
    assert (facts["state"], facts["done"]) == ("done", 5)
    assert times_worked(farm, "again") == {"left": 2, "right.0": 1, "right.1": 1, "bottom": 1}


def test_a_failed_branch_stops_only_what_needs_it_and_is_tried_again(farm):
    line = write(farm, BRANCHES, "branches")
    result = farm.run(*line)

    assert result.returncode == 1
    assert states(farm, "branches") == {
        "top": "done",
        "broken": "failed",
        "hopeless": "blocked",
        "lost": "blocked",
        "good": "done",
        "better": "done",
    }
    lines = result.stderr.splitlines()
    assert lines[-3].startswith("farm: stage broken failed: ")
    assert lines[-2] == "farm: not started for want of what they need: hopeless, lost"
    assert lines[-1] == (
        "farm: pipeline branches failed, 3 of 6 stages done; `farm retry branches` goes on"
    )
    assert "RuntimeError: this cannot be joined" in farm.run("logs", "branches").stdout
    (logs,) = json.loads(farm.run("logs", "branches", "--json").stdout)["stages"]
    assert [failure["task"] for failure in logs["failures"]] == ["join"]

    (farm.folder / "runs/branches/broken/mended").touch()
    again = farm.run("retry", "branches")
    watched = farm.run("watch", "branches")

    assert again.stdout == "pipeline branches: broken tried again; `farm watch branches`\n"
    assert watched.returncode == 0, watched.stderr
    assert set(states(farm, "branches").values()) == {"done"}
    assert sum(farm.works("runs/branches/good").values()) == 1


def test_a_stage_mended_by_its_own_id_lets_the_pipeline_go_on(farm, wait):
    farm.run(*write(farm, BRANCHES, "byid"))
    (farm.folder / "runs/byid/broken/mended").touch()

    farm.run("retry", told(farm, "byid")["stages"]["broken"]["id"])

    wait(lambda: told(farm, "byid")["state"] == "done")


@pytest.mark.parametrize("who", ["controller", "redis"])
def test_a_pipeline_survives_the_death_of(who, farm, wait):
    process = farm.start(*write(farm, DIAMOND, f"killed-{who}", seconds=1.0))
    wait(lambda: "running" in {states(farm, f"killed-{who}")[s] for s in ("left", "right.0")})

    getattr(farm, who)().kill()
    result = farm.end(process, 60)

    assert result.returncode == 0, result.stderr
    wait(lambda: told(farm, f"killed-{who}")["state"] == "done")
    works = times_worked(farm, f"killed-{who}")
    assert all(1 <= times <= 2 for times in works.values()), works


def test_a_pipeline_whose_controller_died_with_the_command_goes_on_from_the_file(own_farm, wait):
    farm, line = own_farm, write(own_farm, DIAMOND, "both", seconds=0.7)
    process = farm.start(*line)
    wait(lambda: states(farm, "both")["left"] == "running")
    process.kill()
    process.communicate()
    farm.supervisor().kill()
    time.sleep(0.5)

    result = farm.run(*line)

    assert result.returncode == 0, result.stderr
    assert set(states(farm, "both").values()) == {"done"}


def test_ctrl_c_stops_every_stage_and_the_same_line_goes_on(own_farm, wait):
    farm, line = own_farm, write(own_farm, DIAMOND, "stopped", seconds=5.0)
    process = farm.start(*line)
    wait(lambda: states(farm, "stopped")["left"] == "running")
    children = [farm.redis(), farm.controller(), *farm.workers(), *farm.children()]

    process.send_signal(signal.SIGINT)
    result = farm.end(process, 20)

    assert result.returncode == 130
    assert not [child for child in children if child.is_running()]
    assert states(farm, "stopped")["left"] == "interrupted"
    assert told(farm, "stopped")["state"] == "interrupted"
    started = farm.run(*line, "--no-wait")
    assert started.returncode == 0, started.stderr
    wait(lambda: states(farm, "stopped")["left"] == "running")
    assert farm.run("cancel", "stopped").stdout == "pipeline stopped is cancelled\n"


def test_a_pipeline_is_held_resumed_and_cancelled_as_a_whole(farm, wait):
    line = write(farm, DIAMOND, "held", seconds=3.0)
    farm.run(*line, "--no-wait")
    wait(lambda: "running" in (states(farm, "held")["left"], states(farm, "held")["right.0"]))

    paused = farm.run("pause", "held")

    assert paused.stdout == "pipeline held is paused\n"
    wait(lambda: told(farm, "held")["state"] == "paused")
    assert "running" not in states(farm, "held").values()
    assert states(farm, "held")["bottom"] == "waiting"
    assert farm.run("resume", "held").stdout == "pipeline held is running again\n"
    wait(lambda: "running" in (states(farm, "held")["left"], states(farm, "held")["right.0"]))
    assert farm.run("cancel", "held").returncode == 0
    wait(lambda: told(farm, "held")["state"] == "cancelled")
    assert "cancelled" in states(farm, "held").values()

    result = farm.run(*line)

    assert result.returncode == 0, result.stderr


def test_status_shows_the_graph(farm):
    farm.run(*write(farm, DIAMOND, "shown"))

    shown = farm.run("status", "shown").stdout

    lines = shown.splitlines()
    assert lines[0].startswith("pipeline shown  done  ")
    assert "5/5 stages" in lines[0]
    assert [line.split()[1:4] for line in lines[1:6]] == [
        ["top", "count", "done"],
        ["left", "join", "done"],
        ["right.0", "join", "done"],
        ["right.1", "join", "done"],
        ["bottom", "join", "done"],
    ]
    assert lines[5].rstrip().endswith("needs left, right.0, right.1")
    facts = json.loads(farm.run("status", "shown", "--json").stdout)
    assert facts["stages"]["bottom"]["needs"] == ["left", "right.0", "right.1"]
    everything = json.loads(farm.run("status", "--json").stdout)
    assert "shown" in [pipeline["name"] for pipeline in everything["pipelines"]]
    assert facts["stages"]["top"]["job"] in [job["job"] for job in everything["jobs"]]


def test_what_a_first_stage_refuses_is_told_before_anything_starts(farm):
    line = write(farm, DIAMOND.replace("n:4", "missing"), "refused")

    result = farm.run(*line)

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "farm: refused.toml: stage top: no things named 'missing'; there are good-0, good-1, ...\n"
    )
    assert not (farm.folder / "runs/refused").exists()


def test_a_folder_of_another_pipeline_is_refused(farm):
    farm.run(*write(farm, DIAMOND, "mine"))
    text = DIAMOND.replace('name = "{name}"', 'name = "{name}"\nout = "runs/mine"')

    result = farm.run(*write(farm, text, "theirs"))

    assert result.returncode == 2
    assert "holds pipeline 'mine'; choose another out" in result.stderr


def test_a_dry_run_tells_the_plan_and_makes_nothing(farm):
    result = farm.run(*write(farm, DIAMOND, "dry"), "--dry-run")

    assert result.returncode == 0, result.stderr
    assert [line.split() for line in result.stdout.splitlines()[1:3]] == [
        ["top", "count", "4", "shapes,", "12", "images,", "1000", "bytes"],
        ["left", "join", "needs", "top"],
    ]
    assert not (farm.folder / "runs/dry").exists()
    facts = json.loads(farm.run("submit", "pipeline", "dry.toml", "--dry-run", "--json").stdout)
    assert facts["stages"]["right.1"]["job"]["seed"] == 1
