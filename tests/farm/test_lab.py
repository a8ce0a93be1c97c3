"""The lab's farm: a Redis at an address, a controller, and workers that come and go."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from farm import broker
from farm.store import Store, connect

DOUBLES = Path(__file__).parent / "doubles"


@pytest.fixture
def lab(tmp_path, wait):
    """Start `farm` commands against a Redis on a TCP port; all end with the test."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [
        subprocess.Popen(
            [broker.server(), "--port", str(port), "--bind", "127.0.0.1", "--save", "",
             "--dir", str(tmp_path)],
            stdout=subprocess.DEVNULL,
        )
    ]  # fmt: skip
    environment = {
        **os.environ, "FARM_HOME": str(tmp_path / "home"), "PYTHONPATH": str(DOUBLES),
        "FARM_BROKER_URL": f"redis://127.0.0.1:{port}/0", "FARM_KIND_PACKAGES": "farmdouble.jobs",
        "FARM_LEASE_S": "3", "FARM_RENEW_S": "0.5", "FARM_WORKER_DEAD_S": "5",
    }  # fmt: skip

    def start(*words):
        process = subprocess.Popen(
            [sys.executable, "-m", "farm.cli", *words],
            env=environment, cwd=tmp_path, text=True,
            stdout=subprocess.PIPE if words[0] == "submit" else subprocess.DEVNULL,
            stderr=subprocess.PIPE if words[0] == "submit" else subprocess.DEVNULL,
        )  # fmt: skip
        processes.append(process)
        return process

    start.redis = processes[0]
    start.store = Store(connect(environment["FARM_BROKER_URL"]))
    wait(start.store.client.ping)
    yield start
    start.store.client.close()
    for process in reversed(processes):
        process.kill()
        process.communicate()


def test_a_worker_told_to_stop_hands_its_task_to_another_at_once(lab, wait, tmp_path):
    lab("controller")
    first = lab("worker", "count", "--slot", "a")
    job = lab(
        *("submit", "count", "--things", "n:16", "--seconds", "0.4", "--per-task", "8"),
        *("--out", "out", "--json"),
    )
    work = tmp_path / "out" / "work.log"
    wait(lambda: len(work.read_text().splitlines()) >= 2)

    first.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert first.wait(10) == 0
    stopped = time.monotonic() - began
    assert [worker.name for worker in lab.store.workers()] == []
    lab("worker", "count", "--slot", "b")
    out, error = job.communicate(timeout=60)

    assert stopped < 5
    assert job.returncode == 0, error
    assert json.loads(out)["made"]["shapes"] == 16
    done = [line.split()[0] for line in work.read_text().splitlines()]
    assert len(done) - len(set(done)) <= 1


def test_a_worker_told_to_stop_ends_though_redis_is_away(lab, wait, tmp_path):
    lab("controller")
    worker = lab("worker", "count", "--slot", "a")
    lab("submit", "count", "--things", "n:60", "--seconds", "0.4", "--out", "out", "--no-wait")
    wait(lambda: len((tmp_path / "out" / "work.log").read_text().splitlines()) >= 2)

    lab.redis.kill()
    worker.send_signal(signal.SIGTERM)

    assert worker.wait(40) == 0  # by itself it would wait for Redis for ever


def test_a_second_controller_waits_and_takes_over(lab, wait):
    first = lab("controller")
    wait(lambda: lab.store.holder())
    second = lab("controller")
    time.sleep(1.5)
    assert lab.store.holder().split()[1] == str(first.pid)

    first.kill()
    first.wait()

    wait(lambda: lab.store.holder().split()[1] == str(second.pid))


def test_a_controller_looks_for_shapes_where_its_farm_toml_says(lab, wait, tmp_path):
    (tmp_path / "farm.toml").write_text('samples_root = "shapes"\n')
    lab("controller")

    lab("submit", "render", "--shapes", "samples/mugs", "--limit", "1", "--no-wait")

    wait(lambda: list((tmp_path / "shapes").rglob("*.obj")))
