"""A child program's end is told by class, whatever it was."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import threading
import time
from pathlib import Path

import psutil
import pytest

from farm import kinds
from farm.attempt import Runner
from farm.child import told
from farm.errors import ProgramFailed
from farm.program import Program
from farm.records import JobRecord
from farm.settings import Settings
from farm.task_log import TaskLog

DOUBLES = Path(__file__).parent / "doubles"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(DOUBLES)}


@pytest.fixture
def program(tmp_path):
    program = Program("farmdouble", ENVIRONMENT)
    log = TaskLog(tmp_path / "log")
    program.log_to(log)
    assert program.receive(20) == {"event": "ready", "pid": program.pid}
    yield program
    program.kill()
    log.close()


def start(program, tmp_path, *items, failed=()):
    kind = kinds.load("count", ["farmdouble.jobs"])
    job = kind.module.Job(things=items, out=str(tmp_path))
    task = kind.module.Task(name="t", items=items)
    program.send(
        {"run": {"kind": "count", "job": dataclasses.asdict(job),
                 "task": dataclasses.asdict(task), "failed": list(failed)}}
    )  # fmt: skip


def events(program, until):
    """Every event up to the first of that name."""
    found = []
    while not found or found[-1]["event"] != until:
        event = program.receive(20)
        assert event is not None
        if event["event"] == "commit":
            program.send({"commit": True})
        found.append(event)
    return found


def test_a_task_is_told_event_by_event(program, tmp_path):
    start(program, tmp_path, "a")

    assert events(program, "done") == [
        {"event": "start", "item": "a"},
        {"event": "finish", "item": "a", "units": {"shapes": 1, "images": 3}},
        {"event": "commit"},
        {"event": "done", "done": {"name": "t", "shapes": 1, "images": 3, "failed": []}},
    ]


def test_without_the_lease_nothing_is_committed(program, tmp_path):
    start(program, tmp_path, "a")
    while program.receive(20) != {"event": "commit"}:
        pass
    program.send({"commit": False})

    assert program.receive(20) == {"event": "lost"}
    assert not (tmp_path / "t.txt").exists()


@pytest.mark.parametrize(
    ("item", "cls", "reason"),
    [("abort-1", "crash", "killed by SIGABRT"), ("exit-1", "crash", "exited with 3")],
)
def test_a_death_is_told_by_class(program, tmp_path, item, cls, reason):
    start(program, tmp_path, item)

    with pytest.raises(ProgramFailed) as death:
        events(program, "done")

    assert (death.value.failure_class, death.value.reason) == (cls, reason)


def test_an_error_is_charged_to_its_item_and_its_traceback_kept(program, tmp_path):
    start(program, tmp_path, "raise-1")

    error = events(program, "error")[-1]
    program.receive(0.2)

    assert (error["item"], error["class"], error["stop"]) == ("raise-1", "crash", False)
    assert error["reason"] == "RuntimeError: this thing cannot be counted"
    assert "Traceback" in program.tail
    assert "Traceback" in (tmp_path / "log").read_text()


def test_a_full_disk_is_nobodys_item_and_stops(program, tmp_path):
    start(program, tmp_path, "full-1")

    error = events(program, "error")[-1]

    assert (error["item"], error["class"], error["stop"]) == (None, "environment", True)
    assert (
        error["reason"]
        == f"{tmp_path}: No space left on device; free some space, the same line goes on"
    )


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "/data/cars: No space left on device; free some space, the same line goes on",
        ),
        (
            OSError(errno.EACCES, "Permission denied", "/data/cars/.dataset.json.h2k_f4x9.part"),
            "/data/cars/dataset.json: Permission denied; make it writable, the same line goes on",
        ),
        (
            OSError(errno.ENOENT, "No such file or directory", "/mesh.obj"),
            "/mesh.obj: No such file or directory",
        ),
    ],
)
def test_what_storage_refused_is_told_with_the_folder_and_the_remedy(error, line):
    assert told(error, "/data/cars") == line


def test_chatter_on_stdout_is_no_event(program, tmp_path):
    start(program, tmp_path, "chatter-1")

    assert events(program, "done")[-1]["event"] == "done"
    assert "Blender chatters here" in (tmp_path / "log").read_text()


def test_end_of_file_ends_it(program):
    process = psutil.Process(program.pid)

    program.close()

    assert not process.is_running()


def test_a_child_that_hangs_or_grows_is_killed_with_its_class(store, tmp_path):
    kind = kinds.load("count", ["farmdouble.jobs"])
    job = kind.module.Job(things=("fat-1", "sleep-1", "a"), out=str(tmp_path / "out"))
    settings = Settings(
        home=tmp_path, kind_packages=("farmdouble.jobs",), item_timeout_s=1.5, memory_mb=200,
        tries=1,
    )  # fmt: skip
    kind.module.prepare(job, kind.module.scan(job))
    record = JobRecord(
        id="j", kind="count", role="count", job=kinds.canonical(job).decode(), state=""
    )
    store.submit(record)
    tasks = kind.module.plan(job, kind.module.scan(job))
    store.plan(
        "j",
        ((task.name, kinds.canonical(task), kind.module.units(job, task), None, {})
         for task in tasks),
    )  # fmt: skip
    store.turn("j", "running", "submitted")
    runner = Runner(settings, store, "w", "count", threading.Event())
    runner._environment["PYTHONPATH"] = str(DOUBLES)

    began = time.monotonic()
    assert runner.run("j", "count-000000") == "done"

    runner.close()
    assert time.monotonic() - began < 15
    assert {f.item: f.cls for f in store.failures("j")} == {
        "fat-1": "out_of_memory",
        "sleep-1": "timeout",
    }
    assert json.loads(store.dones("j")[0])["shapes"] == 1
