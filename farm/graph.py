"""Pipelines for people: the graph with the state of every stage, or one plain line."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from farm.pipelines import BLOCKED, WAITING, PipelineView, StageView
from farm.records import ACTIVE, CANCELLED, DONE, FAILED, INTERRUPTED, PAUSED, RUNNING, SUBMITTED
from farm.watch import COLOURS, duration
from farm.words import count

if TYPE_CHECKING:
    from rich.console import RenderableType

MARKS = {
    DONE: "✓",
    RUNNING: "▶",
    SUBMITTED: "▷",
    WAITING: "·",
    PAUSED: "‖",
    INTERRUPTED: "‖",
    CANCELLED: "✗",
    FAILED: "✗",
    BLOCKED: "-",
}
STYLES = {**COLOURS, WAITING: "dim", BLOCKED: "red"}


def graph(view: PipelineView, lines: int | None = None) -> RenderableType:
    """One line for each stage: indented under what it needs, with its state and how far it is.

    lines  where there are more stages than that, those of one name and state share a line
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    record = view.record
    head = Text(no_wrap=True, overflow="ellipsis")
    head.append("pipeline ", style="bold")
    head.append(record.name, style="bold cyan")
    head.append(f"  {record.state}", style=COLOURS.get(record.state, ""))
    now = time.time() if record.active else record.changed
    head.append(f"  {duration(max(0.0, now - record.submitted))}")
    head.append(f"  {view.done}/{count(len(view.stages), 'stage')}")
    head.append(f"  {record.id}", style="dim")
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    for _ in range(3):
        table.add_column(no_wrap=True)
    table.add_column(overflow="ellipsis", no_wrap=True, ratio=1)  # what is cut, if anything
    depths = depth(view)
    for each, others in folded(view, lines):
        style = STYLES.get(each.state, "")
        name, told = each.stage.name, facts(each)
        if others:
            name, told = name.partition(".")[0], count(others + 1, "stage")
        mark = Text(f"  {MARKS.get(each.state, '?')} ", style=style)
        mark.append("  " * depths[each.stage.name] + name, style="bold")
        table.add_row(mark, each.stage.kind, Text(each.state, style=style), Text(told, style="dim"))
    parts: list[RenderableType] = [head, table]
    if record.reason:
        parts.append(Text(f"  {record.reason}", style="red"))
    return Group(*parts)


def folded(view: PipelineView, lines: int | None) -> list[tuple[StageView, int]]:
    """The stages to show, each with how many others of its name and state stand in for it."""
    if lines is None or len(view.stages) <= lines:
        return [(each, 0) for each in view.stages]
    groups: dict[tuple[str, str], list[StageView]] = {}
    for each in view.stages:
        alone = each.state in (RUNNING, FAILED)
        base = each.stage.name if alone else each.stage.name.partition(".")[0]
        groups.setdefault((base, each.state), []).append(each)
    return [(group[0], len(group) - 1) for group in groups.values()]


def depth(view: PipelineView) -> dict[str, int]:
    """Stage -> how many stages lie before it, on the longest way."""
    found: dict[str, int] = {}
    for each in view.stages:
        before = [found[need] for need in each.stage.needs]
        found[each.stage.name] = 1 + max(before, default=-1)
    return found


def facts(each: StageView) -> str:
    """What is worth telling of one stage: what it needs, how far it is, why it stopped."""
    if each.state in (WAITING, BLOCKED, FAILED):
        return each.reason
    view, told = each.view, []
    if view is None:
        return f"needs {', '.join(each.stage.needs)}" if each.stage.needs else ""
    told += [f"{view.made.get(unit, 0)}/{number} {unit}" for unit, number in view.total.items()]
    if each.state in ACTIVE and view.eta_s is not None:
        told.append(f"ETA {duration(view.eta_s)}")
    if view.failures:
        told.append(f"{view.failures} failed")
    if each.stage.needs:
        told.append(f"needs {', '.join(each.stage.needs)}")
    return ", ".join(told)


def plain(view: PipelineView) -> str:
    """A pipeline at this moment in one line."""
    record, at_work = view.record, []
    for each in view.stages:
        if each.state in ACTIVE:
            total, made = (each.view.total, each.view.made) if each.view else ({}, {})
            counts = [f"{made.get(unit, 0)}/{number} {unit}" for unit, number in total.items()]
            at_work.append(" ".join([each.stage.name, *counts]))
    parts = [f"pipeline {record.name} {record.state}"]
    parts.append(f"{view.done}/{count(len(view.stages), 'stage')}")
    parts += at_work
    if failed := view.named(FAILED):
        parts.append(f"{len(failed)} failed")
    return ", ".join(parts)


def changes(before: PipelineView | None, now: PipelineView) -> Sequence[str]:
    """A line for every stage whose state is another than before."""
    then = {each.stage.name: each.state for each in before.stages} if before else {}
    return [
        f"stage {each.stage.name} {each.state}"
        + (f": {each.reason}" if each.state == FAILED and each.reason else "")
        for each in now.stages
        if each.state not in (WAITING, SUBMITTED) and each.state != then.get(each.stage.name)
    ]
