"""A live view of jobs in the terminal; plain lines where there is none."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from farm.records import RUNNING, SUBMITTED, View, WorkerRecord
from farm.roles import queues

if TYPE_CHECKING:
    from rich.console import RenderableType

PLAIN_S = 5.0  # between two lines where nobody watches live
QUIET_S = 15.0  # a start that is shorter than this is not worth a line
COLOURS = {
    "running": "green",
    "done": "green",
    "submitted": "cyan",
    "paused": "yellow",
    "interrupted": "yellow",
    "cancelled": "yellow",
    "failed": "red",
}
LABEL, BAR = 56, 40  # characters, at most
WIDEST = 110  # columns that the workers' table takes
LATE_S = 10.0
MAX_WORKERS = 12  # lines; more are counted


class Watch:
    """Shows what `show` is given, on stderr. A context manager."""

    def __init__(self) -> None:
        self._live: Any = None
        self._began = time.monotonic()
        self._told = 0.0
        self._last = ""

    def __enter__(self) -> Watch:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, views: Sequence[View], workers: Sequence[WorkerRecord]) -> None:
        if self._live:
            # Drawing costs milliseconds that rendering would use: only when asked, twice a second.
            self._live.update(picture(views, workers), refresh=True)
            return
        planning = all(view.record.state == SUBMITTED for view in views)
        if planning and time.monotonic() - self._began < QUIET_S:
            return
        self._tell("   ".join(plain(view) for view in views))

    def draw(self, made: Callable[[], RenderableType], line: str) -> None:
        """Show a picture, or a line where nobody watches live."""
        if self._live:
            self._live.update(made(), refresh=True)
        else:
            self._tell(line)

    def _tell(self, line: str) -> None:
        now = time.monotonic()
        if line != self._last and now - self._told >= PLAIN_S:
            self._told, self._last = now, line
            print(line, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the live view away."""
        if self._live:
            self._live.update("", refresh=True)

    def say(self, line: str) -> None:
        """A line above the live view."""
        if self._live:
            self._live.console.print(line, highlight=False)
        else:
            print(line, file=sys.stderr, flush=True)


def plain(view: View) -> str:
    """A job at this moment in one line."""
    record = view.record
    parts = [f"{record.kind} {record.id} {record.state}"]
    parts += [f"{view.made.get(unit, 0)}/{number} {unit}" for unit, number in view.total.items()]
    unit = _unit(view)
    if record.state == RUNNING and unit:
        parts.append(f"{record.rates[unit]:.1f} {unit}/s")
    if record.state == RUNNING and view.eta_s is not None:
        parts.append(f"ETA {duration(view.eta_s)}")
    if view.failures:
        parts.append(f"{view.failures} failed")
    if record.reason:
        parts.append(record.reason)
    return ", ".join(parts)


def picture(views: Sequence[View], workers: Sequence[WorkerRecord]) -> RenderableType:
    """Jobs and workers for people."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    for view in views:
        parts += [_head(view), _bars(view), _foot(view), Text()]
    mine = {view.record.role for view in views}
    shown = [worker for worker in workers if mine.intersection(queues(worker.role))]
    running = any(view.record.state in (RUNNING, SUBMITTED) for view in views)
    if shown and running:
        parts.append(worker_table(shown[:MAX_WORKERS]))
        if len(shown) > MAX_WORKERS:
            parts.append(Text(f"  and {len(shown) - MAX_WORKERS} more workers", style="dim"))
    elif parts:
        parts.pop()
    return Group(*parts)


def worker_table(workers: Sequence[WorkerRecord]) -> RenderableType:
    """Workers and what they do; `farm workers` tells more (farm.roster)."""
    from rich.table import Table

    # As wide as the terminal whatever is in it, so that nothing jumps while one watches.
    table = Table(
        box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False,
        width=min(WIDEST, _columns()),
    )  # fmt: skip
    for name, share in (("  worker", 5), ("task", 5), ("at", 3)):
        table.add_column(name, overflow="ellipsis", no_wrap=True, ratio=share)
    for name, width in (("rate", 14), ("MB", 5)):
        table.add_column(name, justify="right", no_wrap=True, width=width)
    for worker in workers:
        unit, rate = worker.rate
        rests = "" if worker.takes_tasks else "paused" if worker.paused else "refused"
        table.add_row(
            f"  {worker.name}",
            worker.task or f"[dim]{rests or 'waits'}[/]",
            worker.item or (worker.paused or worker.refused if not worker.task else ""),
            f"{rate:.1f} {unit}/s" if unit else "",
            f"{worker.rss_mb:.0f}" if worker.rss_mb else "",
            style="red" if worker.age_s > LATE_S else "",
        )
    return table


def _columns() -> int:
    return shutil.get_terminal_size().columns


def duration(seconds: float) -> str:
    """1:05, 2:03:04, 3 d 4 h."""
    seconds = int(seconds)
    if seconds >= 172800:
        return f"{seconds // 86400} d {seconds % 86400 // 3600} h"
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def _unit(view: View) -> str:
    """The unit that moves fastest: images, where there are any; "" while nothing moves."""
    rates = view.record.rates
    unit = max(rates, key=lambda unit: rates[unit]) if rates else ""
    return unit if unit and rates[unit] > 0 else ""


def _head(view: View) -> RenderableType:
    from rich.text import Text

    record = view.record
    now = time.time() if record.active else record.changed
    rest = Text()
    rest.append(f"  {_state(view)}", style=COLOURS.get(record.state, ""))
    rest.append(f"  {duration(max(0.0, now - record.started))}")
    rest.append(f"  {record.id}", style="dim")
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{record.kind} ", style="bold")
    # What it makes of what is cut, never its state or id.
    room = max(8, min(LABEL, _columns() - len(text) - len(rest)))
    label = record.label if len(record.label) <= room else f"{record.label[: room - 1]}…"
    return text.append(label, style="bold cyan").append_text(rest)


def _state(view: View) -> str:
    if view.record.state == SUBMITTED:
        return "looks at the shapes" if view.record.kind == "render" else "planning"
    return view.record.state


def _bars(view: View) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    counts = {unit: f"{view.made.get(unit, 0)}/{number}" for unit, number in view.total.items()}
    longest = max(map(len, counts.values()), default=0)
    bar = max(8, min(BAR, _columns() - 14 - longest))
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(min_width=8, no_wrap=True)
    table.add_column(width=bar)
    table.add_column(justify="right", no_wrap=True)
    for unit, number in view.total.items():
        made = view.made.get(unit, 0)
        table.add_row(
            f"  {unit}",
            ProgressBar(total=max(1, number), completed=made, width=bar),
            counts[unit],
        )
    return table


def _foot(view: View) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    record, unit, facts = view.record, _unit(view), []
    if record.state == RUNNING:
        facts.append(f"{record.rates[unit]:.1f} {unit}/s" if unit else "starting")
        if view.eta_s is not None:
            facts.append(f"ETA {duration(view.eta_s)}")
    if view.tasks["total"]:
        facts.append(f"{view.tasks['done']}/{view.tasks['total']} tasks")
    text = Text("  " + " · ".join(facts), style="dim", no_wrap=True, overflow="ellipsis")
    if view.failures:
        text.append(f" · {view.failures} failed", style="bold red")
    if view.retried:
        text.append(f" · {view.retried} tried again")
    style = "yellow" if record.active else "red"
    return Group(text, Text(f"  {record.reason}", style=style)) if record.reason else text
