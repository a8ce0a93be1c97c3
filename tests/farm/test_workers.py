"""Workers that are refused, paused, drained, or whose machine is wanted: nothing is lost by it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading

import psutil
import pytest

from farm import broker
from farm.attempt import Runner
from farm.records import DRAIN, PAUSE
from farm.settings import load
from tests.farm.conftest import DOUBLES
from tests.farm.room import Room

LINE = ("--things", "n:24", "--seconds", "0.1", "--json")


@pytest.fixture
def room(server, store, tmp_path):
    room = Room(broker.url(server), tmp_path)
    yield room
    room.close()


@pytest.fixture
def next_version(tmp_path):
    """PYTHONPATH of an installation whose version is another."""
    facts = tmp_path / "next" / "shapefarm-9.9.9.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: shapefarm\nVersion: 9.9.9\n")
    return f"{facts.parent}:{DOUBLES}"


def children(store, name: str) -> list[psutil.Process]:
    worker = next(worker for worker in store.workers() if worker.name.startswith(name))
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(worker.pid).children()
    return []


def record(store, name: str):
    return next(worker for worker in store.workers(5) if worker.name.startswith(name))


def test_an_upgrade_amid_a_job_loses_nothing_and_old_workers_go_on_when_versions_agree(
    room, store, wait, next_version
):
    controller = room.start("controller")
    job = room.start("submit", "count", *LINE, "--out", "out")
    wait(lambda: "waits for a worker that takes count tasks" in store.jobs()[0].reason, 40)
    room.start("worker", "count", "--slot", "old")
    wait(lambda: len(room.works("out")) >= 3, 40)
    assert store.jobs()[0].reason == ""

    controller.kill()
    controller.wait()
    upgraded = room.start("controller", PYTHONPATH=next_version)
    wait(lambda: record(store, "count-old").refused.endswith("the controller 9.9.9"), 40)
    wait(lambda: not record(store, "count-old").job)
    assert len(room.works("out")) < 24
    room.start("worker", "count", "--slot", "new", PYTHONPATH=next_version)
    _, error = job.communicate(timeout=60)

    assert job.returncode == 0, error
    assert sorted(room.works("out")) == sorted(f"good-{i:05d}" for i in range(24))
    wait(lambda: record(store, "count-old").tasks + record(store, "count-new").tasks == 6)
    assert record(store, "count-new").version == "9.9.9"

    upgraded.kill()
    upgraded.wait()
    room.start("controller")
    wait(lambda: record(store, "count-new").refused and not record(store, "count-old").refused, 40)
    before = record(store, "count-old").tasks
    again = room.run("submit", "count", "--things", "n:4", "--out", "again")
    assert again.returncode == 0, again.stderr
    wait(lambda: record(store, "count-old").tasks == before + 1)


def test_pause_hands_the_task_to_another_and_drain_finishes_it(room, store, wait):
    room.start("controller")
    for slot in "ab":
        room.start("worker", "count", "--slot", slot)
    wait(lambda: len(store.workers(5)) == 2, 40)
    job = room.start("submit", "count", *LINE, "--out", "out")
    wait(lambda: record(store, "count-a").task and record(store, "count-b").task)

    assert room.run("workers", "--pause", "count-a", "--drain", "count-b").returncode == 0
    wait(lambda: record(store, "count-a").paused == "paused by hand", 40)
    wait(lambda: not record(store, "count-a").job and not children(store, "count-a"), 40)
    wait(
        lambda: record(store, "count-b").paused == "drained" and not record(store, "count-b").job,
        40,
    )
    drained = record(store, "count-b").tasks
    told = room.run("workers")
    assert "rests: paused by hand" in told.stdout and "rests: drained" in told.stdout
    assert store.view(next(r.id for r in store.jobs())).tasks["queued"] <= 4

    assert room.run("workers", "--resume", "all").returncode == 0
    _, error = job.communicate(timeout=60)

    assert job.returncode == 0, error
    assert drained >= 1
    works = room.works("out")
    assert set(works) == {f"good-{i:05d}" for i in range(24)}
    assert len(works) - len(set(works)) <= 1  # what the paused one had in hand


def test_a_gpu_that_another_program_takes_is_freed_and_the_task_goes_on_when_it_leaves(
    room, store, wait, tmp_path
):
    stranger = subprocess.Popen(["sleep", "300"])
    apps = tmp_path / "apps"
    apps.write_text("")
    (tmp_path / "bin").mkdir()
    smi = tmp_path / "bin" / "nvidia-smi"
    smi.write_text(
        f"#!/bin/sh\ncase $1 in *compute-apps*) cat {apps};;\n"
        "*) echo 0, GPU-aa, NVIDIA H100; echo 1, GPU-bb, NVIDIA H200;; esac\n"
    )
    smi.chmod(0o755)
    room.start("controller")
    room.start(
        "worker", "count", "--gpu", "GPU-bb", FARM_YIELD_TO_GPU="true", FARM_RETURN_AFTER_S="1",
        FARM_FINISH_WITHIN_S="0.5",
        PATH=f"{smi.parent}:{os.environ['PATH']}",
    )  # fmt: skip
    items = ("--things", "n:40", "--per-task", "40", "--seconds", "0.1")
    job = room.start("submit", "count", *items, "--out", "out")
    wait(lambda: len(room.works("out")) >= 3, 40)
    assert record(store, "count-1").gpu == "NVIDIA H200"
    (child,) = children(store, "count-1")
    assert child.environ()["CUDA_VISIBLE_DEVICES"] == "1"
    assert child.environ()["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"

    apps.write_text(f"GPU-bb, {stranger.pid}, /opt/matlab\n")
    # 2 s until it looks, 0.5 s to finish, a moment; the rest is for machines that are busy.
    wait(lambda: not child.is_running(), 30)
    made = len(room.works("out"))
    wait(lambda: record(store, "count-1").paused == f"matlab ({stranger.pid}) has the GPU")
    assert store.leased(next(r.id for r in store.jobs())) == 0
    assert made < 40

    apps.write_text("")
    _, error = job.communicate(timeout=60)
    stranger.kill()
    stranger.wait()

    assert job.returncode == 0, error
    assert not record(store, "count-1").paused
    works = room.works("out")
    assert len(works) - len(set(works)) <= 1 and len(set(works)) == 40


def test_one_child_at_a_time_whatever_the_package(room, store, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(DOUBLES))
    settings = load(room.environment, cwd=room.folder)
    runner = Runner(settings, store, "both-0@h", "both", threading.Event())
    first = runner.program("farmdouble")

    second = runner.program("json.tool")  # any other that reads its stdin

    assert not first.alive() and second.alive()
    runner.drop()


def test_a_worker_that_does_not_exist_is_refused_with_those_that_do(room, store, wait):
    room.start("worker", "count")
    wait(lambda: store.workers(5), 40)

    refused = room.run("workers", "--pause", "count-0", "--drain", "lab-99")

    assert refused.returncode == 2
    assert "no worker or machine 'lab-99'; there are count-0@" in refused.stderr
    name = store.workers(5)[0].name
    assert store.held(name) == ""
    store.pause(name)
    assert store.held(name) == PAUSE
    store.drain(name)
    assert store.held(name) == DRAIN


def test_a_gpu_that_is_not_there_is_refused_in_one_line(room, tmp_path):
    (tmp_path / "bin").mkdir()
    smi = tmp_path / "bin" / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 0, GPU-aa, NVIDIA H200\n")
    smi.chmod(0o755)
    for gpu, role, why in [
        ("3", "render", "--gpu 3: there are 0 (NVIDIA H200)"),
        ("0", "cpu", "--gpu 0: a cpu worker has none"),
    ]:
        process = subprocess.run(
            [sys.executable, "-m", "farm.cli", "worker", role, "--gpu", gpu],
            env={**room.environment, "PATH": f"{smi.parent}:{os.environ['PATH']}"},
            capture_output=True, text=True,
        )  # fmt: skip
        assert process.returncode == 2
        assert why in process.stderr and len(process.stderr.splitlines()) == 1
