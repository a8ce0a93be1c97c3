"""The live view: nothing wraps in a narrow terminal, and nothing jumps."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from farm.records import JobRecord, View, WorkerRecord
from farm.watch import picture


def view() -> View:
    record = JobRecord(
        id="3f2a1b4c5d6e", kind="render", role="render", job="{}", state="running",
        label="shapenet/chair shapenet/car shapenet/sofa → /data/a/long/way/to/everything",
        rates={"shapes": 12.5, "images": 312.5},
    )  # fmt: skip
    return View(
        record=record, total={"shapes": 30_000, "images": 720_000},
        made={"shapes": 12_345, "images": 296_280},
        tasks={"total": 1000, "done": 411, "leased": 8, "queued": 8, "waiting": 573, "dead": 0},
        failures=12, retried=34,
    )  # fmt: skip


def worker(name: str, **facts: object) -> WorkerRecord:
    return WorkerRecord(
        name=name, role="render", host="h", pid=1, version="1",
        **facts,  # type: ignore[arg-type]
    )  # fmt: skip


WAITS = worker("render-0@lab")
WORKS = worker(
    "render-3@a-machine-with-a-very-long-name.lab.example",
    job="3f2a1b4c5d6e", task="train-000411", item="03001627-1a6f615e8b1b5ae4dbbc9b1a",
    rss_mb=12345.0, rates={"shapes": 1.0, "images": 123.4},
)  # fmt: skip


def lines(columns: int, *workers: WorkerRecord) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=columns).print(picture([view()], workers))
    return file.getvalue().splitlines()


@pytest.mark.parametrize("columns", [60, 80, 140])
def test_nothing_wraps(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))

    drawn = lines(columns, WAITS, WORKS)

    # head, two bars, foot, an empty line, the workers' header and two workers
    assert len(drawn) == 8, drawn
    assert max(map(len, drawn)) <= columns
    assert "running" in drawn[0] and "3f2a1b4c5d6e" in drawn[0]
    assert "296280/720000" in drawn[2]
    assert "12 failed" in drawn[3]
    assert "123.4 images/s" in drawn[7]


def test_columns_stay_where_they_are_whatever_the_workers_do(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")

    quiet, busy = lines(100, WAITS)[5], lines(100, WORKS)[5]

    assert quiet == busy
