"""The farm's figures as Prometheus reads them."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

pytest.importorskip("prometheus_client", reason="the extra `monitor` is not installed")

from prometheus_client.parser import text_string_to_metric_families

from farm.metrics import FAMILIES, Disk, Metrics, Seen, families, roots
from farm.records import Census, ItemFailure, JobRecord, WorkerRecord
from farm.settings import Settings
from farm.store import Store, connect

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "monitor.md").read_text()
WORKER = WorkerRecord(
    name="render-0@gpu3",
    role="render",
    host="gpu3",
    pid=1,
    version="0.1.0",
    gpu="L4",
    job="j",
    task="t",
    made={"images": 12},
    rates={"images": 2.5},
    tasks=3,
    rss_mb=100,
    age_s=2,
)


def parsed(text):
    """Name -> labels in alphabetical order -> value."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


@pytest.fixture
def told(store, tmp_path):
    """Look at the farm's figures."""
    metrics = Metrics(Settings(home=tmp_path, storage_roots=(str(tmp_path),)), store)
    yield lambda: parsed(metrics.page()[0].decode())
    metrics.close()


def running(store, job="j", tasks=4, out="/data/out"):
    store.submit(
        JobRecord(
            id=job, kind="count", role="count", job=f'{{"out": "{out}"}}', state="", label="things"
        )
    )
    store.plan(job, [(f"t{n}", b"{}", {"images": 10}, None, {}) for n in range(tasks)])
    store.turn(job, "running", "submitted")


def done(store, task, images=10, token="tok"):
    assert store.dispatch("j", 1) == [task]
    store.claim("j", task, "w", token, kind="count", lease_s=9, alone=True)
    assert store.commit("j", task, "w", token, b"{}", {"images": images})


def test_what_is_made_is_counted_once_and_survives_a_new_plan(store, told):
    running(store)
    done(store, "t0", images=9)
    done(store, "t1")
    first = told()
    running(store, job="j2")
    store.turn("j", "failed", "running")
    running(store)  # the same job again, planned anew

    assert first["farm_units_total"] == {"unit=images": 19}
    assert first["farm_tasks_done_total"] == {"": 2}
    assert told()["farm_units_total"] == {"unit=images": 19}


def test_what_storage_was_found_to_have_is_not_made(store, told):
    running(store)
    assert store.commit("j", "t0", "", "", b"{}", {"images": 10})

    assert "farm_units_total" not in told()
    assert told()["farm_job_units"] == {"job=j,kind=count,unit=images": 10}


def test_a_job_tells_how_far_it_is(store, told):
    running(store)
    done(store, "t0", images=8)
    store.dispatch("j", 1)
    store.claim("j", "t1", "w", "tok", kind="count", lease_s=9, alone=True)
    store.renew("j", "t1", "w", "tok", 9, {"images": 4})
    store.note("j", rates={"images": 2.0})

    seen = told()

    assert seen["farm_job_progress_ratio"] == {"job=j,kind=count,label=things": 0.3}
    assert seen["farm_job_planned_units"] == {"job=j,kind=count,unit=images": 40}
    assert seen["farm_job_remaining_seconds"] == {"job=j,kind=count": 14}
    assert seen["farm_tasks"] == {
        "state=done": 1,
        "state=leased": 1,
        "state=queued": 0,
        "state=waiting": 2,
        "state=dead": 0,
    }
    assert seen["farm_jobs"] == {"state=running": 1}


def test_failures_are_counted_by_class_and_retries_apart(store, told):
    running(store)
    for item, cls, times in (("a", "crash", 3), ("b", "bad_input", 1)):
        for _ in range(times):
            failure = ItemFailure(item=item, cls=cls, reason="r", tries=0, task="t0", worker="w")
            store.failed("j", failure, kind="count", most=3)

    seen = told()

    assert seen["farm_failures_total"] == {"class=crash": 3, "class=bad_input": 1}
    assert seen["farm_given_up_total"] == {"class=crash": 1, "class=bad_input": 1}
    assert seen["farm_retries_total"] == {"": 2}
    assert seen["farm_job_failed_items"] == {"job=j,kind=count": 2}


def test_leases_that_run_out_and_messages_that_vanish_are_counted(store, told):
    running(store)
    store.dispatch("j", 1)
    store.claim("j", "t0", "w", "tok", kind="count", lease_s=0, alone=True)
    assert store.expire("j", "t0") == 1
    store.dispatch("j", 2)
    assert len(store.vanished("j", -1, ["t0", "t1"])) == 2

    assert told()["farm_leases_expired_total"] == {"": 1}
    assert told()["farm_messages_lost_total"] == {"": 2}


def test_queues_are_told_by_name(store, told):
    running(store)
    store.client.rpush("count", "a", "b")

    assert told()["farm_queue_messages"] == {
        "queue=count": 2,
        "queue=cpu": 0,
        "queue=render": 0,
        "queue=train": 0,
    }


def test_a_controller_tells_when_it_last_looked(store, told):
    before = told()
    store.lock("me", 8)
    after = told()
    store.unlock("me")

    assert before["farm_controller_up"] == {"": 0}
    assert "farm_controller_last_tick_timestamp_seconds" not in before
    assert after["farm_controller_up"] == {"": 1}
    assert abs(after["farm_controller_last_tick_timestamp_seconds"][""] - time.time()) < 30
    assert told()["farm_controller_up"] == {"": 0}


def test_a_worker_tells_what_it_makes_on_which_card(store, told):
    store.beat(WORKER)

    seen = told()

    who = "gpu=L4,host=gpu3"
    assert seen["farm_worker_units_per_second"] == {f"{who},unit=images,worker={WORKER.name}": 2.5}
    assert seen["farm_worker_units_total"] == {f"{who},unit=images,worker={WORKER.name}": 12}
    assert seen["farm_worker_memory_bytes"] == {f"{who},worker={WORKER.name}": 1e8}
    assert seen["farm_workers"] == {"role=render,state=works": 1}


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ({}, "waits"),
        ({"paused": "somebody is at the keyboard"}, "paused"),
        ({"refused": "version 0.1.0, and the controller's is 0.2.0"}, "refused"),
    ],
)
def test_workers_are_counted_by_what_they_are(store, told, facts, state):
    store.beat(dataclasses.replace(WORKER, job="", task="", off={"render": "3 failed"}, **facts))

    seen = told()

    assert seen["farm_workers"] == {f"role=render,state={state}": 1}
    assert list(seen["farm_worker_kinds_off"].values()) == [1]


def test_storage_tells_its_room(told, tmp_path):
    seen = told()

    free, size = (
        seen[f"farm_storage_{part}_bytes"][f"root={tmp_path}"] for part in ("free", "size")
    )
    assert 0 < free <= size


def test_without_storage_roots_the_file_systems_of_the_jobs_are_told(tmp_path):
    jobs = [
        JobRecord(id=name, kind="k", role="r", state="running", job=f'{{"out": "{out}"}}')
        for name, out in (("a", "/proc/sys/x"), ("b", "/proc/y/z"), ("c", "s3://bucket/x"))
    ]

    assert roots(Settings(home=tmp_path), jobs) == [Path("/proc")]
    chosen = Settings(home=tmp_path, storage_roots=("/data", "s3://bucket/x"))
    assert roots(chosen, jobs) == [Path("/data")]


def test_a_redis_that_is_away_is_told_and_nothing_else(tmp_path):
    metrics = Metrics(Settings(home=tmp_path), Store(connect("redis://127.0.0.1:1/0", -4)))

    assert parsed(metrics.page()[0].decode()) == {"farm_redis_up": {"": 0}}
    metrics.close()


def test_its_round_trips_do_not_grow_with_jobs_and_tasks(store, tmp_path):
    metrics = Metrics(Settings(home=tmp_path), store)

    def trips():
        before = store.client.info("stats")["total_reads_processed"]
        metrics.page()
        return store.client.info("stats")["total_reads_processed"] - before

    running(store, "j", tasks=1)
    few = trips()
    for number in range(20):
        running(store, f"j{number}", tasks=50)

    assert trips() <= few + 2
    assert few < 12
    metrics.close()


def test_it_comes_in_both_of_prometheus_forms(store, tmp_path):
    metrics = Metrics(Settings(home=tmp_path), store)

    plain, plain_kind = metrics.page()
    open_, open_kind = metrics.page("application/openmetrics-text; version=1.0.0")

    assert plain_kind.startswith("text/plain")
    assert open_kind.startswith("application/openmetrics-text")
    assert open_.endswith(b"# EOF\n")
    assert b"# TYPE farm_tasks_done_total counter" in plain
    metrics.close()


def test_every_family_is_told_of_with_its_type_and_labels():
    census = Census(holder="me", ticked=1.0, counts={}, queues={})
    seen = Seen(
        now=1.0,
        census=census,
        jobs={},
        views=(),
        workers=(WORKER,),
        disks={"/": Disk(free=1, size=2)},
    )

    found = {family.name for family in families(seen, 10)}

    assert found == {name.removesuffix("_total") for name in FAMILIES}


def test_the_page_has_every_metric_and_no_other():
    rows = re.findall(r"^\| `(farm_\w+)` \| (\w+) \| (.*?) ?\| (.*?) \|$", PAGE, re.M)

    assert rows == [
        (name, family.kind, ", ".join(f"`{label}`" for label in family.labels), family.help + ".")
        for name, family in FAMILIES.items()
    ]


def test_the_alerts_speak_of_metrics_that_there_are():
    text = (ROOT / "docs" / "examples" / "alerts.yml").read_text()
    used = set(re.findall(r"\bfarm_\w+", text))

    assert used
    assert used <= set(FAMILIES)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on the PATH")
@pytest.mark.parametrize(
    "words", [("rules", "alerts.yml"), ("config", "--syntax-only", "prometheus.yml")]
)
def test_prometheus_takes_the_examples(words):
    done = subprocess.run(
        ["promtool", "check", *words],
        cwd=ROOT / "docs" / "examples",
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
