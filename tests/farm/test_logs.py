"""What tasks and workers say is found and followed from any machine, and floods nobody."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import redis

from farm import broker, task_log
from farm.log_line import LogLine, level_of, read_line
from farm.log_reader import LiveLogs, follow
from farm.own_log import AsJson, Recent
from farm.records import JobRecord
from farm.store import LOG_S, MOST_LOGS, WORKER_LOGS, Store, connect
from farm.task_log import LIVE_BYTES, LIVE_LINES, TaskLog

"""A machine that has none of the files."""


class Sink(list):
    """What would go to Redis."""

    def __call__(self, lines, keep):
        self.extend(lines)
        self.keep = keep


@pytest.fixture
def server_in():
    """Start a Redis in a folder; what comes back stops it."""
    processes = []

    def start(folder):
        process = subprocess.Popen(
            broker.command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        processes.append(process)
        with contextlib.closing(connect(broker.url(folder), patience_s=10)) as client:
            client.ping()

        def stop():
            process.kill()
            process.wait()

        return stop

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def sink():
    return Sink()


@pytest.fixture
def log(tmp_path, sink):
    log = TaskLog(tmp_path / "job" / "task.log", "w1", sink)
    yield log
    log.close()


def texts(path):
    return [read_line(text).line for text in path.read_bytes().splitlines()]


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("Saved: '/tmp/x.exr'", "info"),
        ("ValueError: no such shape", "error"),
        ("Traceback (most recent call last):", "error"),
        ("ERROR (bke.image): cannot open", "error"),
        ("an Errorless day", "info"),
        ("UserWarning: this is old", "warning"),
        ("WARN  texture missing", "warning"),
    ],
)
def test_a_lines_own_words_tell_its_level(text, level):
    assert level_of(text) == level


def test_a_line_survives_its_json():
    line = LogLine(
        time=1.5, level="error", worker="w", item="i", line="a\t'b' ü", job="j", task="t"
    )

    assert read_line(line.as_json()) == line
    assert read_line(line.as_json()[:-3]) is None


def test_what_a_child_says_cannot_steer_the_terminal_of_who_reads_it():
    line = LogLine(time=0, level="info", worker="w", item="", line="\x1b[2Ja\rb\x9b31m\x07 end")

    shown = line.for_people("w")

    assert shown.isprintable()
    assert shown.endswith("[2Jab31m end")


def test_every_line_goes_to_the_file_with_the_item_it_was_about(log, sink):
    log.add("loading")
    log.item = "car-1"
    log.add("RuntimeError: no wheels")
    log.flush(at_once=True)

    found = [read_line(text) for text in log.path.read_bytes().splitlines()]
    assert [(line.item, line.level, line.line) for line in found] == [
        ("", "info", "loading"),
        ("car-1", "error", "RuntimeError: no wheels"),
    ]
    assert [read_line(text) for text in sink] == found


def test_a_task_that_is_over_at_once_sends_nothing(log, sink):
    log.add("quick")
    log.flush()
    log.close(tell=False)

    assert sink == []
    assert texts(log.path) == ["quick"]


def test_chatter_is_thinned_and_says_by_how_much(log, sink):
    for number in range(5000):
        log.add(f"line {number}")
    log.flush(at_once=True)
    burst = [read_line(text).line for text in sink]
    sink.clear()
    for number in range(5000):
        log.add(f"more {number}")
    log.flush(at_once=True)

    assert burst[0] == f"... 4800 lines left out; all are in {log.path} on the worker's machine"
    assert burst[1:] == [f"line {number}" for number in range(4800, 5000)]
    # The allowance is used up, and grows by task_log.RATE lines a second.
    assert len(sink) < LIVE_LINES / 2
    assert len(texts(log.path)) == 10_000


def test_long_lines_leave_room_for_fewer(log, sink):
    for _ in range(LIVE_LINES):
        log.add("x" * 10_000)
    log.flush(at_once=True)

    assert sum(len(text) for text in sink[-sink.keep :]) <= LIVE_BYTES
    assert sink.keep > 40
    assert read_line(sink[-1]).line.endswith("…")


def test_a_child_that_chatters_for_days_does_not_fill_the_disk(log, monkeypatch):
    monkeypatch.setattr(task_log, "LOG_BYTES", 10_000)
    for _ in range(1000):
        log.add("y" * 100)

    assert log.path.stat().st_size < 11_000
    assert texts(log.path)[-1] == "the log is full: no more of this task is kept here"


def test_a_full_disk_costs_a_task_its_log_and_not_its_work(sink, caplog):
    log = TaskLog(Path("/dev/full"), "w1", sink)

    log.add("what is said")
    log.add("and said again")
    log.flush(at_once=True)
    log.close()

    assert [record.message for record in caplog.records] == [
        "/dev/full is not kept: No space left on device"
    ]
    assert [json.loads(line)["line"] for line in sink] == ["what is said", "and said again"]


def test_a_line_costs_less_than_a_fifth_of_a_millisecond(store, tmp_path):
    log = TaskLog(tmp_path / "task.log", "w1", lambda lines, keep: store.log("j", "t", lines, keep))
    began = time.process_time()
    for number in range(4000):
        log.add(f"Fra:{number} Mem:130.2M (Peak 131.9M) | Time:00:00.31 | Rendering")
        if number % 20 == 0:
            log.flush(at_once=True)
    each = (time.process_time() - began) / 4000
    log.close()

    assert each < 0.2e-3


def planned(store, *tasks):
    store.submit(JobRecord(id="j", kind="count", role="count", job="{}", state=""))
    store.plan("j", [(task, b"{}", {"shapes": 1}, None, {}) for task in tasks])
    store.turn("j", "running", "submitted")


def test_redis_keeps_the_logs_of_running_and_failed_tasks_alone(store):
    planned(store, "good", "bad")
    for task in ("good", "bad"):
        store.claim("j", task, "w", "tok", kind="count", lease_s=9, alone=True)
        store.log("j", task, ["{}"], 200)
    store.client.hset("farm:j:final", "bad", '["item"]')

    for task in ("good", "bad"):
        assert store.commit("j", task, "w", "tok", b"{}", {"shapes": 1})

    assert list(store.logs("j")) == ["bad"]
    assert store.client.ttl("farm:j:log:good") <= 30  # whoever follows it sees its end
    assert LOG_S - 60 < store.client.ttl("farm:j:log:bad") <= LOG_S


def test_a_hundred_thousand_failing_tasks_leave_a_thousand_logs(store):
    for number in range(MOST_LOGS + 50):
        store.log("j", f"t{number}", ["{}"], 200)

    assert len(store.logs("j")) == MOST_LOGS
    assert len(store.client.keys("farm:j:log:*")) == MOST_LOGS
    assert "t49" not in store.logs("j")


def test_live_logs_are_read_on_from_where_the_last_look_ended(store):
    def line(text):
        return LogLine(time=1.0, level="info", worker="w", item="", line=text).as_json()

    live = LiveLogs(store)
    store.log("j", "t", [line("one"), line("two")], 200)
    first = live.look("j")
    store.log("j", "t", [line("three")], 200)
    second = live.look("j")

    assert [(found.job, found.task, found.line) for found in first] == [
        ("j", "t", "one"),
        ("j", "t", "two"),
    ]
    assert [found.line for found in second] == ["three"]
    assert live.look("j") == []


def test_a_log_that_ends_between_two_looks_is_read_to_its_end(store):
    text = LogLine(time=1.0, level="info", worker="w", item="", line="done").as_json()
    planned(store, "t")
    store.claim("j", "t", "w", "tok", kind="count", lease_s=9, alone=True)
    live = LiveLogs(store)
    store.log("j", "t", [text], 200)
    live.look("j")
    store.log("j", "t", [text], 200)
    store.commit("j", "t", "w", "tok", b"{}", {})

    assert [line.line for line in live.look("j")] == ["done"]
    assert live.look("j") == []


def test_following_outlives_a_redis_that_is_started_anew(tmp_path, wait, server_in):
    stop = server_in(tmp_path)
    store = Store(connect(broker.url(tmp_path), patience_s=-4))
    text = LogLine(time=1.0, level="info", worker="w", item="", line="one").as_json()
    live = LiveLogs(store)
    store.log("j", "t", [text], 200)
    lines = follow(lambda: live.look("j"), lambda: True)
    assert next(lines).line == "one"

    stop()
    threading.Timer(1.0, lambda: (server_in(tmp_path), store.log("j", "t2", [text], 200))).start()

    assert next(lines).task == "t2"
    store.client.close()


def test_a_process_logs_one_object_a_line():
    record = logging.LogRecord("farm.worker", logging.WARNING, "f", 1, "no %s", ("heart",), None)
    record.job, record.task = "j", "t"

    line = read_line(AsJson("w@host").format(record))

    assert (line.level, line.worker, line.line) == ("warning", "w@host", "farm.worker: no heart")
    assert (line.job, line.task) == ("j", "t")


def test_a_controller_logs_json_where_it_is_asked_to(store, server, tmp_path):
    store.lock("elsewhere/pid 1 x", 60)
    process = subprocess.Popen(
        [sys.executable, "-m", "farm.cli", "controller"],
        env={
            **os.environ,
            "FARM_HOME": str(tmp_path),
            "FARM_BROKER_URL": broker.url(server),
            "FARM_LOG_FORMAT": "json",
        },
        stderr=subprocess.PIPE,
    )
    said = process.stderr.readline()
    process.kill()
    process.communicate()

    line = read_line(said)
    assert (line.level, line.worker.partition("@")[0]) == ("warning", "controller")
    assert "already held by elsewhere/pid 1 x" in line.line


def test_what_could_not_be_sent_is_sent_the_next_time(sink):
    recent = Recent("w")
    record = logging.LogRecord("farm.worker", logging.ERROR, "f", 1, "first", (), None)
    recent.handle(record)

    def away(lines, keep):
        raise ConnectionError

    with pytest.raises(ConnectionError):
        recent.send(away)
    recent.send(sink)
    recent.send(sink)

    assert [read_line(text).line for text in sink] == ["farm.worker: first"]


def elsewhere(farm):
    """The same farm, from a machine that has none of its files."""
    return type(farm)(farm.home, farm.folder, {"FARM_LOGS_ROOT": str(farm.home / "elsewhere")})


def test_the_lines_of_a_failed_task_are_found_from_any_machine(farm):
    done = farm.run("submit", "count", "--things", "talk-5", "bad-1", "--out", "failed-log")
    job = next(iter(json.loads(farm.run("status", "--json").stdout)["jobs"][::-1]))["job"]
    assert done.returncode == 0, done.stderr

    here = farm.run("logs", job, "--task", "count-000000")
    there = elsewhere(farm).run("logs", job, "--task", "count-000000", "--json")

    assert "line 4 of what it says" in here.stdout
    lines = [json.loads(text) for text in there.stdout.splitlines()]
    assert "line 4 of what it says" in [line["line"] for line in lines]
    (error, *_) = [line for line in lines if line["level"] == "error"]
    assert (error["item"], error["task"], error["job"]) == ("bad-1", "count-000000", job)
    assert error["worker"].startswith("count-")


def test_a_try_here_and_one_elsewhere_are_told_together(store, server, tmp_path):
    planned(store, "t")
    here = TaskLog(tmp_path / "logs" / "j" / "t.log", "w@here")
    here.add("first try")
    here.close()
    later = LogLine(time=2e9, level="info", worker="w@far", item="", line="again").as_json()
    store.log("j", "t", [later], 200)

    told = subprocess.run(
        [sys.executable, "-m", "farm.cli", "logs", "j", "--task", "t"],
        env={**os.environ, "FARM_HOME": str(tmp_path), "FARM_BROKER_URL": broker.url(server)},
        capture_output=True,
        text=True,
    )

    lines = told.stdout.splitlines()
    assert [line.split("  ", 1)[1] for line in lines] == ["first try", "again"], told.stderr
    assert told.stderr == (
        "farm: the last lines of w@far; all are there, in $FARM_HOME/logs/j/t.log\n"
    )


def test_a_job_is_followed_to_its_end(farm):
    # What fails in it keeps its log for a follower that this machine is slow to start.
    running = farm.start(
        *("submit", "count", "--things", "talk-40", "n:4", "bad-1", "--seconds", "0.6"),
        *("--out", "followed", "--per-task", "6", "--json"),
    )
    with farm.store() as store:
        job = _new(store)
    followed = elsewhere(farm).run("logs", job, "--follow")
    done = farm.end(running)

    assert done.returncode == 0, done.stderr
    assert followed.returncode == 0, followed.stderr
    said = [line for line in followed.stdout.splitlines() if "what it says" in line]
    assert len(said) == 40
    assert "count-000000 count-" in said[0]
    assert followed.stdout.rstrip().endswith("done")


def test_a_worker_tells_what_it_did(farm, wait):
    running = farm.start(
        *("submit", "count", "--things", "n:400", "--seconds", "0.2", "--out", "workers-log"),
        *("--per-task", "1"),
    )
    found = []
    with farm.store() as store:
        job = _new(store)
        live = LiveLogs(store)
        wait(lambda: found.extend(live.look(WORKER_LOGS)) or job in {line.job for line in found})
    line = next(line for line in found if line.job == job)

    told = elsewhere(farm).run("logs", "--worker", line.worker)
    unknown = farm.run("logs", "--worker", "nobody")
    farm.run("cancel", job)
    farm.end(running)

    assert f"{job} {line.task} done" in told.stdout
    assert unknown.returncode == 2
    assert line.worker in unknown.stderr


def _new(store, patience_s=30):
    """The id of a job that has just begun to run."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        with contextlib.suppress(redis.RedisError):  # the farm may just be starting
            for record in store.jobs():
                if record.state == "running":
                    return record.id
        time.sleep(0.02)
    raise AssertionError("no job began")
