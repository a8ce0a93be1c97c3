"""Small charts as SVG: plain values in, text out. Colours come from the page's style, by class.

All text is escaped here; a page puts what these functions return in as it is.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart as it stands on a page."""

    title: str
    picture: str
    note: str = ""
    splits: tuple[str, ...] = ()


DOTS = 1500
"""Viewpoints in one picture."""


# --- axes -----------------------------------------------------------------------------------------


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """At most so many round numbers within [low, high], evenly apart."""
    if not high > low:
        return [low]
    rough = (high - low) / max(1, most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * round_ for round_ in (1, 2, 2.5, 5, 10) if power * round_ >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def short(value: float) -> str:
    """1.2k, 0.05, 3e-06: as few letters as tell it."""
    size = abs(value)
    for power, letter in ((9, "G"), (6, "M"), (3, "k")):
        if size >= 10**power:
            return f"{value / 10**power:.3g}{letter}"
    if size and size < 1e-3:
        return f"{value:.0e}".replace("e-0", "e-")
    return f"{value:.3g}"


# --- lines ----------------------------------------------------------------------------------------

LEFT, RIGHT, TOP, BOTTOM = 40, 12, 10, 22


def lines(
    splits: Mapping[str, Sequence[Point]], *, label: str, width: int = 320, height: int = 168
) -> str:
    """A number over steps, a line for each split; logarithmic where it falls by a hundred times.

    splits  "train" -> [(step, value)]; what is not finite leaves a gap
    """
    every = [p for points in splits.values() for p in points if math.isfinite(p[1])]
    if not every:
        return ""
    values = [value for _, value in every]
    log = min(values) > 0 and max(values) > 100 * min(values)
    scale = math.log10 if log else float
    low, high = scale(min(values)), scale(max(values))
    if high - low < 1e-12:
        low, high = low - abs(low) * 0.1 - 1e-9, high + abs(high) * 0.1 + 1e-9
    first, last = min(step for step, _ in every), max(step for step, _ in every)
    last = last if last > first else first + 1

    def x(step: float) -> float:
        return LEFT + (step - first) / (last - first) * (width - LEFT - RIGHT)

    def y(value: float) -> float:
        return height - BOTTOM - (scale(value) - low) / (high - low) * (height - TOP - BOTTOM)

    parts = []
    if log:
        powers = range(math.ceil(low), math.floor(high) + 1)
        levels = [10.0**power for power in powers] or [min(values), max(values)]
        levels = levels[:: max(1, -(-len(levels) // 5))]
    else:
        levels = ticks(low, high)
    for level in levels:
        at = y(level)
        parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{width - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 3.5:.1f}" class="end">{short(level)}</text>')
    for step in ticks(first, last, 4):
        parts.append(
            f'<text x="{x(step):.1f}" y="{height - 6}" class="middle">{short(step)}</text>'
        )
    for split, points in splits.items():
        kind = split if split in ("train", "val", "test") else "other"
        parts.append(f'<path class="line {kind}" d="{_line(points, x, y)}"/>')
        ends = [p for p in points if math.isfinite(p[1])]
        if ends:
            cx, cy = x(ends[-1][0]), y(ends[-1][1])
            parts.append(f'<circle class="{kind}" cx="{cx:.1f}" cy="{cy:.1f}" r="2.5"/>')
    return _svg(width, height, "chart", parts, label)


def _line(points: Sequence[Point], x: object, y: object) -> str:
    """The path of a line that is broken where there is no number."""
    assert callable(x) and callable(y)
    path, pen = [], "M"
    for step, value in points:
        if not math.isfinite(value):
            pen = "M"
            continue
        path.append(f"{pen}{x(step):.1f} {y(value):.1f}")
        pen = "L"
    return "".join(path)


def spark(points: Sequence[Point], *, label: str, width: int = 240, height: int = 48) -> str:
    """A line without axes, for a list: how a number went."""
    finite = [p for p in points if math.isfinite(p[1])]
    if len(finite) < 4:
        return ""
    log = min(v for _, v in finite) > 0
    scale = math.log if log else float
    low, high = (scale(end(v for _, v in finite)) for end in (min, max))
    first, last = finite[0][0], finite[-1][0]

    def x(step: float) -> float:
        return 3 + (step - first) / max(1e-9, last - first) * (width - 6)

    def y(value: float) -> float:
        return height - 4 - (scale(value) - low) / max(1e-12, high - low) * (height - 8)

    end = f'<circle class="train" cx="{x(last):.1f}" cy="{y(finite[-1][1]):.1f}" r="2.5"/>'
    return _svg(
        width,
        height,
        "spark",
        [f'<path class="line train" d="{_line(finite, x, y)}"/>', end],
        label,
    )


# --- histograms -----------------------------------------------------------------------------------


def histogram(
    values: Iterable[float],
    *,
    label: str,
    low: float,
    high: float,
    bins: int,
    unit: str = "",
    marks: Sequence[float] | None = None,
    width: int = 320,
    height: int = 168,
) -> str:
    """How often values fall into each of `bins` equal parts of [low, high].

    marks  values below the axis; round ones without it
    """
    counts = binned(values, low, high, bins)
    most = max(counts, default=0)
    total = sum(counts)
    if not most:
        return ""
    left, bottom = 12, height - BOTTOM
    room, tall = width - left - RIGHT, bottom - TOP
    step = room / bins
    parts = [f'<path class="axis" d="M{left} {bottom + 0.5}H{width - RIGHT}"/>']
    for number, count in enumerate(counts):
        if not count:
            continue
        share = max(1.0, count / most * tall)
        begins, ends = (low + n * (high - low) / bins for n in (number, number + 1))
        told = f"{short(begins)} to {short(ends)}{unit}: {count / total:.1%}"
        parts.append(
            f'<rect class="bar" x="{left + number * step + 0.5:.1f}" y="{bottom - share:.1f}" '
            f'width="{max(0.5, step - 1):.1f}" height="{share:.1f}" rx="1">'
            f"<title>{escape(told)}</title></rect>"
        )
    for value in ticks(low, high, 5) if marks is None else marks:
        at = left + (value - low) / (high - low) * room
        told = escape(short(value) + unit)
        parts.append(f'<text x="{at:.1f}" y="{height - 6}" class="middle">{told}</text>')
    return _svg(width, height, "chart", parts, label)


def binned(values: Iterable[float], low: float, high: float, bins: int) -> list[int]:
    """Counts; the highest value belongs to the last bin, what lies outside to none."""
    counts = [0] * bins
    for value in values:
        if low <= value <= high:
            counts[min(bins - 1, int((value - low) / (high - low) * bins))] += 1
    return counts


# --- where the cameras are ------------------------------------------------------------------------


def sky(views: Sequence[tuple[float, float]], *, label: str, side: int = 236) -> str:
    """Viewpoints (azimuth, elevation in degrees) seen from above: the zenith in the middle.

    The rim is the horizon, or the nadir where there are viewpoints below the horizon; distances
    from the middle are proportional to the angle.  Of many, DOTS are drawn, chosen by chance: every
    n-th would be the same few cameras of each shape.
    """
    if not views:
        return ""
    views = list(dict.fromkeys(views))  # a fixed rig has the same ones for each shape
    if len(views) > DOTS:
        views = random.Random(0).sample(views, DOTS)
    below = min(elevation for _, elevation in views) < -1
    lowest = -90.0 if below else 0.0
    middle, radius = side / 2, side / 2 - 20

    def at(azimuth: float, elevation: float) -> Point:
        far = (90 - elevation) / (90 - lowest) * radius
        angle = math.radians(azimuth)
        return middle + far * math.cos(angle), middle - far * math.sin(angle)

    parts = [f'<circle class="ground" cx="{middle}" cy="{middle}" r="{radius}"/>']
    for ring in (60, 30, 0, -30, -60):
        if ring > lowest:
            far = (90 - ring) / (90 - lowest) * radius
            kind = "axis" if ring == 0 else "grid"
            parts.append(f'<circle class="{kind}" cx="{middle}" cy="{middle}" r="{far:.1f}"/>')
    for azimuth in range(0, 180, 45):
        (x0, y0), (x1, y1) = at(azimuth, lowest), at(azimuth + 180, lowest)
        parts.append(f'<path class="grid" d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}"/>')
    for azimuth, x, y in (
        (0, side - 2, middle + 3.5), (90, middle, 12), (180, 2, middle + 3.5),
        (270, middle, side - 4),
    ):  # fmt: skip
        how = {0: "end", 180: "start"}.get(azimuth, "middle")
        parts.append(f'<text class="{how}" x="{x}" y="{y}">{azimuth}°</text>')
    dots = "".join("M{:.1f} {:.1f}h0".format(*at(*view)) for view in views)
    parts.append(f'<path class="dots{" many" if len(views) > 400 else ""}" d="{dots}"/>')
    return _svg(side, side, "chart sky", parts, label)


def _svg(width: int, height: int, kind: str, parts: Sequence[str], label: str) -> str:
    return (
        f'<svg class="{kind}" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )
