"""How people see what happens on many machines: live, then as a table with what failed and why."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

from deploy.fleet import DONE, FAILED, Outcome

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

WIDE = 160
NARROW = ("", "host", "disk", "Python", "uv", "clock", "Redis")  # on one line, always

Row = Callable[[Outcome], Mapping[str, str]]
"""Column -> text, of a host that answered."""


class Lines:
    """Where no terminal is: a line for each step of each host."""

    def __init__(self, stream: IO[str] = sys.stderr):
        self._stream, self._lock = stream, threading.Lock()
        self._last: dict[str, str] = {}

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def step(self, host: str, what: str) -> None:
        with self._lock:
            if self._last.get(host) != what:
                self._last[host] = what
                print(f"{host}: {what}", file=self._stream, flush=True)


class Table:
    """On a terminal: a line for each host that says what it is at, and for how long."""

    def __init__(self, console: Console, hosts: Sequence[str]):
        from rich.live import Live

        self._steps = {host: ("waiting", time.monotonic()) for host in hosts}
        self._live = Live(
            console=console, get_renderable=self._picture, refresh_per_second=4, transient=True
        )

    def __enter__(self) -> Table:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def step(self, host: str, what: str) -> None:
        if self._steps[host][0] != what:
            self._steps[host] = (what, time.monotonic())

    def _picture(self) -> RenderableType:
        from rich.table import Table as Grid

        grid = Grid.grid(padding=(0, 2))
        now = time.monotonic()
        for host, (what, since) in self._steps.items():
            waits = "" if what.startswith((DONE, FAILED)) else f"{now - since:.0f} s"
            grid.add_row(host, what, f"[dim]{waits}[/]")
        return grid


def show(hosts: Sequence[str], plain: bool) -> Lines | Table:
    """What suits the terminal there is, or is not."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    return Lines() if plain or not console.is_terminal else Table(console, hosts)


def picture(outcomes: Sequence[Outcome], row: Row) -> RenderableType:
    """The hosts as a table: what answered has its row, what is wrong is marked where it is."""
    from rich.table import Table as Grid
    from rich.text import Text

    rows = {outcome.host: row(outcome) for outcome in outcomes if outcome.facts}
    columns = list(dict.fromkeys(column for cells in rows.values() for column in cells))
    grid = Grid(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for name in ("", "host", *columns):
        grid.add_column(name, no_wrap=name in NARROW, overflow="fold")
    for outcome in outcomes:
        wrong = {problem.about for problem in outcome.problems}
        cells = rows.get(outcome.host)
        if cells is None:
            about = ", ".join(sorted(wrong))
            first = [Text(f"✗ {about}", "red")] + [Text("")] * max(0, len(columns) - 1)
        else:
            first = [_cell(cells.get(column, ""), column in wrong) for column in columns]
        mark = Text("✓", "green") if outcome.ok else Text("✗", "red")
        grid.add_row(mark, outcome.host, *(first if columns else []))
    return grid


def tell(outcomes: Sequence[Outcome], row: Row) -> None:
    """Print the hosts, and a line for each thing that is wrong."""
    from rich.console import Console

    # A file or a pipe has no width: nothing is broken there.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
    console.print(picture(outcomes, row))
    for line in problems(outcomes):
        print(line)


def problems(outcomes: Sequence[Outcome]) -> list[str]:
    """A line for each thing that is wrong, with its remedy."""
    return [f"{outcome.host}: {problem}" for outcome in outcomes for problem in outcome.problems]


def facts(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """All of it, for programs."""
    return {
        "ok": all(outcome.ok for outcome in outcomes),
        "hosts": {
            outcome.host: {
                "ok": outcome.ok,
                **outcome.facts,
                "problems": [
                    {"about": p.about, "what": p.what, "remedy": p.remedy} for p in outcome.problems
                ],
            }
            for outcome in outcomes
        },
    }


def _cell(text: str, wrong: bool) -> Any:
    from rich.text import Text

    return Text(f"✗ {text}".rstrip(), "red") if wrong else Text(text)


# a row for each command


def checked(outcome: Outcome) -> dict[str, str]:
    found = outcome.facts
    gpus = [gpu["name"] for gpu in found["gpus"]]
    kinds = [f"{gpus.count(name)} x {name.removeprefix('NVIDIA ')}" for name in dict.fromkeys(gpus)]
    drivers = sorted({f"driver {gpu['driver']}" for gpu in found["gpus"]})
    folders = len(found["roots"])
    return {
        "disk": f"{found['free_mb'] / 1000:,.0f} GB free",
        "Python": "yes" if found["wanted_python"] else "fetched",
        "uv": "yes" if found["uv"] else "fetched",
        "GPU": ", ".join([*kinds, *drivers]) or "none",
        "clock": f"{found['clock_ahead_s']:+.2f} s",
        "storage": f"{folders} folder{'' if folders == 1 else 's'}",
        "Redis": "" if any(found["redis"].values()) else "yes",
        "keeping": "systemd" if found["systemd"] else "processes",
    }


def pushed(outcome: Outcome) -> dict[str, str]:
    was = outcome.facts["was"]
    same = was == outcome.facts["version"]
    return {
        "version": outcome.facts["version"],
        "before": "the same" if same else was or "nothing",
        **({"removed": ", ".join(gone)} if (gone := outcome.facts["removed"]) else {}),
    }


def started(outcome: Outcome) -> dict[str, str]:
    return {
        "version": outcome.facts["version"],
        **({"before": outcome.facts["was"]} if "was" in outcome.facts else {}),
        "units": _up(outcome.facts.get("units", [])),
        "keeping": outcome.facts.get("keeping", ""),
    }


def stopped(outcome: Outcome) -> dict[str, str]:
    return {"version": outcome.facts["version"], "stopped": _count(len(outcome.facts["stopped"]))}


def stands(outcome: Outcome) -> dict[str, str]:
    workers = outcome.facts["workers"].values()
    busy = sum(bool(worker["task"]) for worker in workers)
    resting = sum(bool(worker.get("paused")) for worker in workers)
    counts = (f"{len(workers)} seen", f"{busy} at work", f"{resting} rest")
    return {
        "version": outcome.facts["version"],
        "runs": ", ".join(sorted({worker["version"] for worker in workers})),
        "units": _up(outcome.facts["units"]),
        "workers": ", ".join(part for part in counts if part[0] != "0"),
        "disk": f"{outcome.facts['free_mb'] / 1000:,.0f} GB free",
        "keeping": outcome.facts["keeping"],
    }


def _up(units: Sequence[Mapping[str, Any]]) -> str:
    up = sum(1 for unit in units if unit["up"])
    return f"{up} of {_count(len(units))} up" if units else "none"


def _count(number: int) -> str:
    return f"{number} unit" if number == 1 else f"{number} units"
