"""`farm workers`: all that is to be told of every worker fits a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from farm.records import WorkerRecord
from farm.roster import age, named, roster, state_of


def worker(name: str, host: str = "lab-01.example", **facts: object) -> WorkerRecord:
    facts = {"version": "0.1.0+3f2a9c1b", "gpu": "NVIDIA H100 80GB HBM3", "age_s": 1.0, **facts}
    return WorkerRecord(name=f"{name}@{host}", role="render", host=host, pid=1, **facts)


WORKS = worker(
    "render-0", task="train-000411", rss_mb=1234.0, rates={"shapes": 1.0, "images": 123.4}
)
RESTS = worker("render-1", paused="ada at pts/3")
OFF = worker("both-2", off={"render": "3 items failed here: crash, killed by SIGSEGV"})
OLD = worker(
    "render-0", "a-workstation-with-a-very-long-name.example", version="0.1.0+99aa01bc",
    gpu="4 x NVIDIA H200", refused="is 0.1.0+99aa01bc, the controller 0.1.0+3f2a9c1b",
)  # fmt: skip
GONE = worker("render-0", "lab-02", gpu="", age_s=1800.0)
ALL = (WORKS, RESTS, OFF, OLD, GONE)


def lines(columns: int, *workers: WorkerRecord) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=columns).print(roster(workers, 10.0, columns))
    return [line.rstrip() for line in file.getvalue().splitlines()]


@pytest.mark.parametrize("columns", [80, 120])
def test_every_worker_is_a_line_and_nothing_is_wider_than_the_terminal(columns):
    drawn = lines(columns, *ALL)

    assert max(map(len, drawn)) <= columns
    assert [line.split()[-1] for line in drawn[1:6]] == [
        "refused", "waits", "works", "paused", "gone",
    ]  # fmt: skip
    works = next(line for line in drawn if line.endswith("works"))
    assert all(word in works for word in ("H100 80GB", "train-000411", "123.4", "1234", "1 s"))
    assert "30 min" in next(line for line in drawn if line.endswith("gone"))
    assert "render-1@lab-01.example rests: ada at pts/3" in drawn
    assert "is taken off render: 3 items failed here: crash, killed by SIGSEGV" in " ".join(drawn)


def test_a_worker_that_has_yet_to_end_its_task_says_so():
    drained = worker("render-2", task="train-000412", paused="drained")

    assert "render-2@lab-01.example ends its task, then rests: drained" in lines(120, drained)
    assert lines(120, drained)[1].endswith("works")


def test_versions_are_told_in_a_narrow_terminal_too():
    assert lines(80, WORKS, RESTS)[-1] == "version 0.1.0+3f2a9c1b"
    assert lines(80, *ALL)[-2:] == [
        "version 0.1.0+3f2a9c1b: 4 workers",
        "version 0.1.0+99aa01bc: render-0@a-workstation-with-a-very-long-name.example",
    ]
    assert "0.1.0+99aa01bc" in next(line for line in lines(120, *ALL) if "refused" in line)


def test_a_machine_is_named_once_and_without_its_domain_where_that_is_clear():
    drawn = lines(120, WORKS, RESTS, worker("render-0", "lab-01.elsewhere"))

    assert [line.split()[0] for line in drawn[1:4]] == [
        "lab-01.elsewhere", "lab-01.example", "render-1",
    ]  # fmt: skip
    assert lines(120, WORKS)[1].startswith("lab-01 ")


@pytest.mark.parametrize(
    ("one", "state"),
    [(WORKS, "works"), (RESTS, "paused"), (OFF, "waits"), (OLD, "refused"), (GONE, "gone")],
)
def test_the_state_of_a_worker(one, state):
    assert state_of(one, dead_s=10.0) == state


def test_workers_are_meant_by_name_by_machine_or_all():
    assert named("render-1", ALL) == ["render-1@lab-01.example"]
    assert len(named("lab-01.example", ALL)) == 3
    assert len(named("all", ALL)) == 5
    with pytest.raises(ValueError, match="no worker or machine 'lab-9'; there are render-0@"):
        named("lab-9", ALL)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (119.0, "119 s"), (1800.0, "30 min"), (9000.0, "2 h")]
)
def test_an_age_is_short(seconds, text):
    assert age(seconds) == text
