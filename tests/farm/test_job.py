"""Jobs, from the command line through Redis, Celery and child programs to storage."""

from __future__ import annotations

import json
import shutil


def test_a_job_goes_from_one_command_line_to_storage(farm):
    result = farm.run("submit", "count", "--things", "n:9", "--out", "plain")

    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == f"{farm.folder / 'plain'}: 9 things counted"
    assert list(farm.products("plain")) == [f"count-00000{i}.txt" for i in range(3)]
    index = json.loads((farm.folder / "plain" / "index.json").read_text())
    assert index == {"complete": True, "names": [f"count-00000{i}" for i in range(3)]}


def test_a_finished_job_again_makes_nothing_again(farm):
    line = ("submit", "count", "--things", "n:6", "--out", "twice")
    farm.run(*line)

    result = farm.run(*line)

    assert result.returncode == 0, result.stderr
    assert "finished before" in result.stderr
    assert set(farm.works("twice").values()) == {1}


def test_what_is_missing_of_a_finished_job_is_made_again(farm):
    line = ("submit", "count", "--things", "n:6", "--out", "gap")
    farm.run(*line)
    before = farm.products("gap")
    (farm.folder / "gap" / "count-000001.txt").unlink()
    (farm.folder / "gap" / "count-000001.json").unlink()
    shutil.rmtree(farm.folder / "gap" / ".staging")

    result = farm.run(*line)

    assert result.returncode == 0, result.stderr
    assert farm.products("gap") == before
    assert {item for item, times in farm.works("gap").items() if times == 2} == {
        "good-00004",
        "good-00005",
    }


def test_two_commands_with_the_same_job_are_one_job(farm):
    line = ("submit", "count", "--things", "n:12", "--seconds", "0.1", "--out", "both")
    processes = [farm.start(*line), farm.start(*line)]

    results = [farm.end(process) for process in processes]

    assert [result.returncode for result in results] == [0, 0], results
    assert set(farm.works("both").values()) == {1}


def test_each_bad_item_costs_itself_alone_and_is_told_with_its_class(farm):
    bad = ["abort-1", "bad-1", "blank-1", "exit-1", "raise-1", "sleep-1", "flaky-1"]
    result = farm.run(
        *("submit", "count", "--things", *bad, "n:8", "--per-task", "3", "--out", "bad", "--json")
    )

    facts = json.loads(result.stdout)
    assert result.returncode == 0, result.stderr
    assert facts["state"] == "done"
    assert {f["item"]: (f["class"], f["tries"]) for f in facts["failed"]} == {
        "abort-1": ("crash", 3),
        "bad-1": ("bad_input", 1),
        "blank-1": ("blank", 3),
        "exit-1": ("crash", 3),
        "raise-1": ("crash", 3),
        "sleep-1": ("timeout", 3),
    }
    counted = "".join(text.decode() for text in farm.products("bad").values()).split()
    assert sorted(counted) == sorted(["flaky-1", *(f"good-{i:05d}" for i in range(8))])

    logs = farm.run("logs", facts["job"][:6])

    assert "abort-1  crash  killed by SIGABRT  (3 tries, count-000000" in logs.stdout
    assert "RuntimeError: this thing cannot be counted" in logs.stdout


def test_a_retry_tries_what_failed_and_only_that(farm):
    farm.run("submit", "count", "--things", "n:4", "raise-2", "bad-2", "--out", "again")
    with farm.store() as store:
        job = store.jobs()[-1].id
    (farm.folder / "again" / ".staging" / "raise-2").write_text("raise-2\n")  # repaired

    result = farm.run("retry", job)
    watched = farm.run("watch", job)

    assert "1 task is tried again" in result.stdout
    assert watched.returncode == 0, watched.stderr
    status = json.loads(farm.run("status", job, "--json").stdout)
    assert (status["state"], status["made"]["shapes"], status["failures"]) == ("done", 5, 1)


def test_too_many_failures_stop_the_job(farm):
    result = farm.run(
        *("submit", "count", "--things", "bad-1", "bad-2", "bad-3", "n:200", "--per-task", "1"),
        *("--seconds", "0.3", "--max-failures", "2", "--out", "toomany"),
    )

    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        "farm: 3 of 203 shapes failed, more than --max-failures 2; "
        "bad_input: as its name says (3 times)"
    )


def test_a_full_disk_stops_the_job_with_one_line(farm):
    result = farm.run("submit", "count", "--things", "full-1", "--out", "full")

    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        f"farm: {farm.folder / 'full'}: No space left on device; "
        "free some space, the same line goes on"
    )


def test_what_the_scan_refuses_is_wrong_use_in_one_line(farm):
    result = farm.run("submit", "count", "--things", "missing")

    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == "farm: no things named 'missing'; there are good-0, good-1, ...\n"


def test_a_folder_with_another_job_is_refused(farm):
    farm.run("submit", "count", "--things", "n:1", "--out", "mine")

    result = farm.run("submit", "count", "--things", "n:2", "--out", "mine")

    assert result.returncode == 2
    assert "holds another count; give another --out" in result.stderr
    assert "holds another count" not in farm.run("status").stdout, "it was told"
    assert "holds another count" in farm.run("status", "--json").stdout


def test_a_refused_resubmission_tells_its_reason_once(farm):
    line = ("submit", "count", "--things", "n:3", "--out", "once")
    farm.run(*line)
    (farm.folder / "once" / "job.json").write_text('{"things": []}')  # somebody else's, by now

    result = farm.run(*line)

    assert result.returncode == 2
    assert result.stderr.count("holds another count") == 1


def test_a_paused_job_rests_and_goes_on(farm, wait):
    farm.run(
        *("submit", "count", "--things", "n:100", "--seconds", "0.1", "--no-wait"),
        *("--out", "paused"),
    )
    with farm.store() as store:
        job = store.jobs()[-1].id
        wait(lambda: store.view(job).made.get("shapes", 0) >= 4)

        assert farm.run("pause", job).returncode == 0
        wait(lambda: store.leased(job) == 0, 5)
        made = store.view(job).made["shapes"]
        assert farm.run("status", job).returncode == 0
        assert store.view(job).made["shapes"] == made < 100

        assert farm.run("resume", job).returncode == 0
    assert farm.run("watch", job).returncode == 0
    assert set(farm.works("paused").values()) == {1}


def test_a_cancelled_job_stops_at_once_and_can_be_taken_up(farm, wait):
    line = ("submit", "count", "--things", "n:60", "--seconds", "0.1", "--out", "cancelled")
    process = farm.start(*line)
    with farm.store() as store:
        wait(lambda: (farm.folder / "cancelled" / "work.log").exists())
        job = store.jobs()[-1].id

        assert farm.run("cancel", job).returncode == 0
        result = farm.end(process, 10)
        wait(lambda: store.leased(job) == 0, 5)

    assert result.returncode == 1
    assert "cancelled" in result.stderr
    assert farm.run(*line, "--json").returncode == 0
    assert set(farm.works("cancelled").values()) == {1}


def test_a_job_can_be_read_from_a_file(farm):
    (farm.folder / "job.json").write_text('{"things": ["n:3"], "out": "filed"}')

    result = farm.run("submit", "count", "--job", "job.json")

    assert result.returncode == 0, result.stderr
    assert list(farm.products("filed")) == ["count-000000.txt"]


def test_a_job_file_with_an_unknown_field_is_refused_by_name(farm):
    (farm.folder / "typo.json").write_text('{"things": ["n:3"], "pertask": 4}')

    result = farm.run("submit", "count", "--job", "typo.json")

    assert result.returncode == 2
    assert result.stderr == "farm: typo.json: unknown field 'pertask'\n"


def test_a_dry_run_makes_nothing(farm):
    result = farm.run("submit", "count", "--things", "n:5", "--out", "dry", "--dry-run", "--json")

    assert json.loads(result.stdout)["images"] == 15
    assert not (farm.folder / "dry").exists()


def test_a_workers_parent_stays_small_and_imports_nothing_heavy(farm):
    farm.run("submit", "count", "--things", "n:4", "--out", "small")

    for worker in farm.workers():
        assert worker.memory_info().rss < 150e6
        mapped = {entry.path for entry in worker.memory_maps()}
        assert not [p for p in mapped if "/numpy/" in p or "/bpy/" in p or "/torch/" in p]
