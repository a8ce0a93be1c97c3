"""The graph of a pipeline as SVG: from left to right what needs what, and how each stage stands."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from farm.graph import MARKS, facts, folded
from farm.pipelines import PipelineView, StageView
from farm.words import count

WIDTH, HEIGHT = 164, 46
"""Of a stage, in pixels."""
ACROSS, DOWN, MARGIN = 40, 12, 3
BEND = 10
"""Height of a line that passes a column."""
FEW = 24
SWEEPS, BEGINNINGS = 6, 12
LETTERS = 19


@dataclass(frozen=True, kw_only=True)
class Node:
    """One stage, or several of one name and state."""

    name: str
    """Of the stage, or of the first of several."""
    label: str
    state: str
    told: str
    """The second line."""
    title: str
    """What a pointer that rests on it is told."""
    share: float | None
    """Of what it makes, how much is made; None while that is unknown."""
    link: str
    needs: tuple[str, ...]


def nodes(view: PipelineView) -> list[Node]:
    """What is drawn of a pipeline: its stages; where there are many, those alike as one."""
    shown = folded(view, FEW)
    meant: dict[str, str] = {}
    for each, others in shown:
        meant[each.stage.name] = each.stage.name
        if others:
            base = each.stage.name.partition(".")[0]
            for other in view.stages:
                if other.stage.name.partition(".")[0] == base and other.state == each.state:
                    meant[other.stage.name] = each.stage.name
    return [_node(each, others, meant) for each, others in shown]


def _node(each: StageView, others: int, meant: Mapping[str, str]) -> Node:
    stage, view = each.stage, each.view
    name = stage.name if not others else stage.name.partition(".")[0]
    share = None
    if view and view.total:
        unit = list(view.total)[-1]
        share = min(1.0, view.made.get(unit, 0) / max(1, view.total[unit]))
    told = f"{stage.kind} · {each.state}"
    if others:
        told = f"{count(others + 1, 'stage')} · {each.state}"
    elif view and view.total and each.state == "running":
        unit = list(view.total)[-1]
        told = f"{view.made.get(unit, 0):,}/{view.total[unit]:,} {unit}"
    return Node(
        name=stage.name,
        label=name,
        state=each.state,
        told=told,
        title=f"{name}: {stage.kind}, {each.state}. {facts(each)}".rstrip(". ") + ".",
        share=share,
        link=f"/job/{stage.id}" if view else "",
        needs=tuple(sorted({meant.get(n, n) for n in stage.needs} - {stage.name})),
    )


def draw(view: PipelineView) -> str:
    """The whole graph."""
    return picture(nodes(view))


def picture(found: Sequence[Node]) -> str:
    """SVG of nodes, each of which comes after what it needs."""
    if not found:
        return ""
    by_name = {node.name: node for node in found}
    needs = reduced({n.name: [m for m in n.needs if m in by_name] for n in found})
    columns, pieces = layers(needs)
    places, height = placed(columns, by_name)
    width = len(columns) * (WIDTH + ACROSS) - ACROSS + 2 * MARGIN
    parts = [
        _edge(places[a], places[b], a in by_name, b in by_name, _state(by_name, b))
        for a, b in pieces
    ]
    parts += [_drawn(node, *places[node.name]) for node in found]
    return (
        f'<svg class="graph" width="{width}" height="{height:.0f}" '
        f'viewBox="0 0 {width} {height:.0f}" role="img" aria-label="graph of the stages">'
        f"{''.join(parts)}</svg>"
    )


def reduced(needs: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The needs that tell something: not what another need needs already."""
    before: dict[str, set[str]] = {}
    for name, own in needs.items():
        before[name] = set(own).union(*(before[need] for need in own))
    return {
        name: [n for n in own if not any(n in before[other] for other in own)]
        for name, own in needs.items()
    }


def layers(needs: Mapping[str, Sequence[str]]) -> tuple[list[list[str]], list[tuple[str, str]]]:
    """Columns of names, and the pieces of all lines; one that passes a column has a place there.

    Places of lines are named `>start>end`. In a column, names come in the order that has few lines
    cross: each near the middle of what it needs.
    """
    depth: dict[str, int] = {}
    for name, own in needs.items():
        depth[name] = 1 + max((depth[need] for need in own), default=-1)
    columns: list[list[str]] = [[] for _ in range(max(depth.values()) + 1)]
    pieces = []
    for name, own in needs.items():
        columns[depth[name]].append(name)
        for need in own:
            last = need
            for column in range(depth[need] + 1, depth[name]):
                bend = f">{need}>{name}>{column}"
                columns[column].append(bend)
                pieces.append((last, bend))
                last = bend
            pieces.append((last, name))
    return _untangled(columns, pieces), pieces


def _untangled(columns: list[list[str]], pieces: Sequence[tuple[str, str]]) -> list[list[str]]:
    """The columns in an order in which few lines cross: each name near the middle of those that it
    is joined to, looked at from the left and from the right in turn, from several beginnings.

    Source: Sugiyama, Tagawa, Toda, Methods for visual understanding of hierarchical systems, 1981.
    """
    before: dict[str, list[str]] = {}
    after: dict[str, list[str]] = {}
    for start, end in pieces:
        before.setdefault(end, []).append(start)
        after.setdefault(start, []).append(end)
    best, fewest = columns, crossings(columns, pieces)
    chance = random.Random(0)
    for beginning in range(BEGINNINGS):
        if not fewest:
            break
        now = [list(column) for column in columns]
        for column in now if beginning else ():
            chance.shuffle(column)
        for turn in range(SWEEPS):
            joined, step = (before, -1) if turn % 2 == 0 else (after, 1)
            order = range(len(now)) if step < 0 else reversed(range(len(now)))
            for number in order:
                if 0 <= number + step < len(now):
                    now[number] = _sorted(now[number], joined, now[number + step])
            crossed = crossings(now, pieces)
            if crossed < fewest:
                best, fewest = [list(column) for column in now], crossed
    return best


def _sorted(
    column: Sequence[str], joined: Mapping[str, Sequence[str]], beside: Sequence[str]
) -> list[str]:
    """Names in the order of the middle of what they are joined to in the column beside."""
    rank = {name: place for place, name in enumerate(beside)}
    middle = {
        name: sum(rank[o] for o in joined[name]) / len(joined[name]) if name in joined else place
        for place, name in enumerate(column)
    }
    return sorted(column, key=lambda name: middle[name])


def crossings(columns: Sequence[Sequence[str]], pieces: Sequence[tuple[str, str]]) -> int:
    """How often two lines between neighbouring columns cross."""
    rank = {name: place for column in columns for place, name in enumerate(column)}
    number = {name: at for at, column in enumerate(columns) for name in column}
    lines = [(number[a], rank[a], rank[b]) for a, b in pieces]
    return sum(
        column == other and (a - c) * (b - d) < 0
        for n, (column, a, b) in enumerate(lines)
        for other, c, d in lines[:n]
    )


def placed(
    columns: Sequence[Sequence[str]], nodes: Mapping[str, Node]
) -> tuple[dict[str, tuple[float, float]], float]:
    """Name -> its top left corner, and the height of all: columns are centred."""
    heights = [
        sum((HEIGHT if name in nodes else BEND) + DOWN for name in column) - DOWN
        for column in columns
    ]
    tallest = max(heights)
    places: dict[str, tuple[float, float]] = {}
    for number, (column, height) in enumerate(zip(columns, heights, strict=True)):
        y = MARGIN + (tallest - height) / 2
        for name in column:
            places[name] = (MARGIN + number * (WIDTH + ACROSS), y)
            y += (HEIGHT if name in nodes else BEND) + DOWN
    return places, tallest + 2 * MARGIN


def _state(nodes: Mapping[str, Node], end: str) -> str:
    name = end if end in nodes else re.sub(r">\d+$", "", end).rpartition(">")[2]
    return nodes[name].state if name in nodes else ""


def _edge(
    start: tuple[float, float],
    end: tuple[float, float],
    from_node: bool,
    to_node: bool,
    state: str,
) -> str:
    """A piece of a line; one that begins where another passes goes straight below that column."""
    y0 = start[1] + (HEIGHT if from_node else BEND) / 2
    y1 = end[1] + (HEIGHT if to_node else BEND) / 2
    x0, x1 = start[0] + WIDTH, end[0]
    half = (x0 + x1) / 2
    begin = f"M{x0:.1f} {y0:.1f}" if from_node else f"M{start[0]:.1f} {y0:.1f}H{x0:.1f}"
    return (
        f'<path class="edge {escape(state)}" '
        f'd="{begin}C{half:.1f} {y0:.1f} {half:.1f} {y1:.1f} {x1:.1f} {y1:.1f}"/>'
    )


def _drawn(node: Node, x: float, y: float) -> str:
    name = node.label if len(node.label) <= LETTERS else f"{node.label[: LETTERS - 1]}…"
    bar = ""
    if node.share is not None and node.state not in ("done", "waiting"):
        whole, y0 = WIDTH - 20, HEIGHT - 7
        for kind, long in (("track", whole), ("part", node.share * whole)):
            bar += f'<rect class="{kind}" x="10" y="{y0}" width="{long:.1f}" height="3" rx="1.5"/>'
    drawn = (
        f'<g class="node {escape(node.state)}" transform="translate({x:.1f} {y:.1f})">'
        f"<title>{escape(node.title)}</title>"
        f'<rect class="box" width="{WIDTH}" height="{HEIGHT}" rx="7"/>'
        f'<text class="mark" x="17" y="19">{MARKS.get(node.state, "?")}</text>'
        f'<text class="name" x="29" y="19">{escape(name)}</text>'
        f'<text class="told" x="29" y="34">{escape(node.told)}</text>'
        f"{bar}</g>"
    )
    return f'<a href="{escape(node.link)}">{drawn}</a>' if node.link else drawn
