"""What people see: every host, what failed where, why, and what to do."""

from __future__ import annotations

import io
from dataclasses import asdict
from typing import Any

from rich.console import Console

from deploy import table
from deploy.check import lacking
from deploy.fleet import Outcome, Problem
from tests.deploy.machines import cards, host, machine

GONE = Outcome("h2", {}, (Problem("connection", "not reachable: timed out", "is it on?"),))


def lines(outcomes: list[Outcome], row: Any, width: int = 100) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, highlight=False).print(table.picture(outcomes, row))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def asked(name: str, **facts: Any) -> Outcome:
    found = machine(**facts)
    problems = tuple(lacking(host(name=name), found))
    return Outcome(name, {**asdict(found), "clock_ahead_s": 0.013}, problems)


def test_what_is_wrong_is_marked_in_its_column_and_told_with_its_remedy() -> None:
    outcomes = [asked("h1", gpus=cards(2)), GONE, asked("h3", free_mb=3)]

    told = lines(outcomes, table.checked, width=140)

    assert told[1].startswith("✓  h1    90 GB free  ")
    assert "2 x H200, driver 580.1" in told[1]
    assert told[2] == "✗  h2    ✗ connection"
    assert told[3].startswith("✗  h3    ✗ 0 GB free")
    assert table.problems(outcomes)[0] == "h2: connection: not reachable: timed out; is it on?"
    assert table.problems(outcomes)[1].startswith("h3: disk: 3 MB free")


def test_nothing_is_cut_off_on_a_narrow_terminal() -> None:
    told = " ".join(lines([asked("h1", gpus=cards(2))], table.checked, width=80))

    assert "…" not in told
    assert all(word in told for word in ("2 x H200,", "580.1", "systemd"))


def test_a_program_gets_all_of_it() -> None:
    told = table.facts([asked("h1"), GONE])

    assert not told["ok"]
    assert told["hosts"]["h1"]["cores"] == 8
    assert told["hosts"]["h2"] == {
        "ok": False,
        "problems": [
            {"about": "connection", "what": "not reachable: timed out", "remedy": "is it on?"}
        ],
    }


def test_where_no_terminal_is_each_step_is_a_line() -> None:
    out = io.StringIO()

    with table.Lines(out) as show:
        for step in ("connecting", "installing", "installing", "done"):
            show.step("h1", step)

    assert out.getvalue().splitlines() == ["h1: connecting", "h1: installing", "h1: done"]


def test_a_terminal_shows_all_hosts_while_they_work_and_nothing_of_it_stays() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80)

    with table.Table(console, ["h1", "h2"]) as show:
        show.step("h2", "installing render")
        show._live.refresh()

    assert "h1  waiting" in out.getvalue()
    assert "h2  installing render" in out.getvalue()
    assert out.getvalue().endswith("\x1b[2K")  # the last lines are taken away again
