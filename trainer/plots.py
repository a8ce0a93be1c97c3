"""Pictures for reports, in one quiet style: plain numpy in, a PNG's path out.

The path comes first.  Every picture is written twice: NAME.png on white, and NAME.dark.png beside
it, which a report shows on a dark screen.  Pixels are double (DENSITY): a picture is shown at half
its size, or sharp on a dense screen.  The same values give the same bytes.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import matplotlib  # noqa: TID251  this is the one place
import numpy as np
from matplotlib.axes import Axes  # noqa: TID251
from matplotlib.axis import Axis  # noqa: TID251
from matplotlib.colors import LinearSegmentedColormap, to_rgb  # noqa: TID251
from matplotlib.figure import Figure  # noqa: TID251
from matplotlib.layout_engine import ConstrainedLayoutEngine  # noqa: TID251
from matplotlib.ticker import MaxNLocator, PercentFormatter  # noqa: TID251
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from trainer import atomic
from trainer.clouds import DENSITY, orbit_gif, point_cloud

__all__ = [
    "bars",
    "clouds_grid",
    "confusion",
    "curves",
    "histogram",
    "image_grid",
    "lines",
    "orbit_gif",
    "point_cloud",
]

Array: TypeAlias = NDArray[Any]
Caption: TypeAlias = str | None

DPI = 100
COLOURS = ("#4c78c8", "#e08a3c", "#3f9d74", "#d05a5a", "#8c6bb8", "#b8942a", "#3a9dac", "#c76a92")
"""Told apart side by side, also by most people who are colour-blind; readable on both papers."""
SPLITS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class Paper:
    """What is drawn on. The report's cards have the same colours."""

    suffix: str
    page: str
    tile: str
    """Behind a picture that is transparent."""
    ink: str
    soft: str
    line: str


LIGHT = Paper(
    suffix="", page="#ffffff", tile="#eef1f5", ink="#1c212b", soft="#69717f", line="#e4e8ee"
)
DARK = Paper(
    suffix=".dark", page="#181c22", tile="#252b34", ink="#e4e7ec", soft="#9aa3b1", line="#2c323c"
)


# --- numbers -------------------------------------------------------------------------------------


def curves(
    path: str | Path,
    splits: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    name: str,
    percent: bool = False,
    log: bool = False,
    beside: Mapping[str, float] | None = None,
) -> Path:
    """A metric over the steps of a run, a line for each split.

    splits   "train" -> (steps [n], values [n]); values that are no numbers leave a gap.
             Where there are many, they are drawn pale, under their running mean
             A split has the same colour in all pictures
    percent  values are shares, shown as %
    log      a logarithmic axis
    beside   "chance" -> a value that does not change: a dashed line
    """

    def draw(figure: Figure, paper: Paper) -> None:
        axes = figure.add_subplot()
        dashes = iter(((4, 3), (1, 2), (6, 2, 1, 2)))
        for label, value in (beside or {}).items():
            line = (0, next(dashes, (4, 3)))
            axes.axhline(value, color=paper.soft, linestyle=line, label=label, zorder=1)
        others = iter(_colours(len(SPLITS)))
        for split, (steps, values) in splits.items():
            x, y = np.asarray(steps, float), np.asarray(values, float)
            colour = COLOURS[SPLITS.index(split)] if split in SPLITS else next(others)
            if len(x) > 60:
                axes.plot(x, y, color=colour, alpha=0.25, linewidth=0.8)
                axes.plot(x, _running_mean(y, len(y) // 30), color=colour, label=split)
            else:
                marker = "o" if len(x) <= 30 else None
                axes.plot(x, y, color=colour, label=split, marker=marker)
        if log:
            axes.set_yscale("log")
        more = set(splits) != {"train"} or bool(beside)
        _finish(axes, x_name="step", y_name=name, percent=percent, legend=more)

    return _save(path, (300, 200), draw)


def lines(
    path: str | Path,
    x: ArrayLike,
    ys: Mapping[str, ArrayLike],
    *,
    x_name: str,
    y_name: str,
    chance: float | None = None,
    percent: bool = False,
) -> Path:
    """Some values against another, a line with its points for each; accuracy against views, say.

    x       [n]
    ys      "category accuracy" -> [n]
    chance  what guessing reaches: a dashed line
    """

    def draw(figure: Figure, paper: Paper) -> None:
        axes = figure.add_subplot()
        at = np.asarray(x, float)
        for (label, values), colour in zip(ys.items(), _colours(), strict=False):
            marker = "o" if len(at) <= 40 else None
            axes.plot(at, np.asarray(values, float), color=colour, label=label, marker=marker)
        if chance is not None:
            axes.axhline(chance, color=paper.soft, linestyle=(0, (4, 3)), label="chance", zorder=1)
        if len(at) and np.all(at == np.round(at)):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        more = len(ys) > 1 or chance is not None
        _finish(axes, x_name=x_name, y_name=y_name, percent=percent, legend=more)

    return _save(path, (460, 280), draw)


def histogram(
    path: str | Path,
    values: ArrayLike,
    bins: int | ArrayLike = 36,
    *,
    name: str,
    limits: tuple[float, float] | None = None,
    chance: ArrayLike | None = None,
    marks: Mapping[str, float] | None = None,
) -> Path:
    """How values are spread: the share of them in each bin.

    values  [n]; those that are no numbers are left out
    bins    how many, or their edges [b + 1]
    limits  of the bins where only their number is given
    chance  the share that guessing puts into a bin, or into each [b]: a dashed line
    marks   "median" -> a value: an upright line
    """

    def draw(figure: Figure, paper: Paper) -> None:
        axes = figure.add_subplot()
        kept = np.asarray(values, float).ravel()
        kept = kept[np.isfinite(kept)]
        counts, edges = np.histogram(kept, bins if np.ndim(bins) else int(bins), limits)  # type: ignore[arg-type]
        share = counts / max(1, len(kept))
        axes.bar(edges[:-1], share, np.diff(edges), align="edge", color=COLOURS[0], linewidth=0.6)
        axes.patches[0].set_label("share")
        if chance is not None:
            level = np.broadcast_to(np.asarray(chance, float), share.shape)
            axes.stairs(level, edges, color=paper.ink, linestyle=(0, (4, 3)), label="chance")
        for (label, at), colour in zip((marks or {}).items(), _colours(1), strict=False):
            axes.axvline(at, color=colour, label=label)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(bottom=0)
        more = chance is not None or bool(marks)
        _finish(axes, x_name=name, y_name="share", percent=True, legend=more)

    return _save(path, (460, 280), draw)


def bars(
    path: str | Path,
    names: Sequence[str],
    values: Mapping[str, ArrayLike],
    *,
    axis: str,
    chance: float | None = None,
    percent: bool = False,
) -> Path:
    """One number, or a few, for each name: accuracy of each category, say.

    names   [n]
    values  "test" -> [n]
    """
    count, groups = len(names), max(1, len(values))
    row = max(22, 9 * groups + 8)

    def draw(figure: Figure, paper: Paper) -> None:
        axes = figure.add_subplot()
        thick = 0.72 / groups
        for number, ((label, each), colour) in enumerate(
            zip(values.items(), _colours(), strict=False)
        ):
            at = np.arange(count) + (number - (groups - 1) / 2) * thick
            axes.barh(at, np.asarray(each, float), thick * 0.94, color=colour, label=label)
        if chance is not None:
            axes.axvline(chance, color=paper.soft, linestyle=(0, (4, 3)), label="chance")
        axes.set_yticks(np.arange(count), [_short(name) for name in names])
        axes.set_ylim(count - 0.5, -0.5)
        axes.grid(False, axis="y")
        axes.tick_params(axis="y", length=0, labelcolor=paper.ink)
        more = len(values) > 1 or chance is not None
        _finish(axes, x_name=axis, y_name="", legend=more)
        if percent:
            _in_percent(axes.xaxis)

    return _save(path, (460, 70 + row * count), draw)


def confusion(path: str | Path, matrix: ArrayLike, names: Sequence[str]) -> Path:
    """What was taken for what.

    matrix  [C, C] counts (or shares): rows are the truth, columns the prediction
    names   [C]

    Colour is the share of a row; where there is room, the numbers stand in the cells.
    """
    counts = np.asarray(matrix, float)
    if counts.shape != (len(names), len(names)):
        raise ValueError(f"matrix {counts.shape} does not fit {len(names)} names")
    cell = 44 if len(names) <= 12 else max(14, 560 // len(names))
    side = cell * len(names)
    told = [_short(name) for name in names]
    edge = 14 + 6.4 * max(map(len, told), default=0)  # room for the longest name
    turned = edge > cell
    left, foot, head = edge + 22, 44, edge if turned else 30

    def draw(figure: Figure, paper: Paper) -> None:
        width, height = figure.get_size_inches() * DPI
        axes = figure.add_axes((left / width, foot / height, side / width, side / height))
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12)
        ramp = LinearSegmentedColormap.from_list("share", [paper.tile, COLOURS[0]])
        axes.imshow(share, cmap=ramp, vmin=0, vmax=1)
        if cell >= 30:
            digits = 0 if np.all(counts == np.round(counts)) else 2
            for (row, column), value in np.ndenumerate(counts):
                if value:
                    ink = "#ffffff" if share[row, column] > 0.55 else paper.ink
                    number = f"{value:.{digits}f}"
                    axes.text(column, row, number, color=ink, ha="center", va="center")
        axes.set_yticks(range(len(names)), told)
        axes.set_xticks(range(len(names)), told, rotation=90 if turned else 0)
        axes.xaxis.tick_top()
        axes.tick_params(length=0, labelcolor=paper.ink)
        axes.grid(False)
        for spine in axes.spines.values():
            spine.set_visible(False)
        for at in np.arange(0.5, len(names) - 1):  # gaps between cells
            axes.axhline(at, color=paper.page, linewidth=1.5)
            axes.axvline(at, color=paper.page, linewidth=1.5)
        words: dict[str, Any] = {"color": paper.soft, "ha": "center", "va": "center"}
        figure.text((left + side / 2) / width, 20 / height, "predicted", **words)
        figure.text(12 / width, (foot + side / 2) / height, "true", rotation=90, **words)

    return _save(path, (left + side + 16, foot + side + head), draw, False)


# --- pictures ------------------------------------------------------------------------------------


def image_grid(
    path: str | Path,
    rows: Sequence[Sequence[Array | None]],
    *,
    captions: Sequence[Sequence[Caption]] = (),
    row_names: Sequence[str] = (),
    column_names: Sequence[str] = (),
    wrong: Sequence[Sequence[bool]] = (),
    group: int = 1,
    tile: int = 96,
) -> Path:
    """Pictures in rows: input views above the training views they were matched with, say.

    rows          of pictures [H, W], [H, W, 3] or [H, W, 4], uint8 or floats in [0, 1]; None: a gap
    captions      under each picture, in the same rows
    row_names     left of each row
    column_names  above the first row
    wrong         True: the picture has a red border and caption
    group         so many rows belong together and stand apart from the next; 2: pairs
    tile          size on the page in pixels; a picture keeps its proportions in it
    """
    gap, line = 8, 16
    columns = max((len(row) for row in rows), default=0)
    left = 12 + (12 + 7 * max(map(len, row_names)) if row_names else 0)
    heads = [textwrap.fill(name, max(4, int(tile / 5))) for name in column_names]
    top = 10 + max((13 * (head.count("\n") + 1) + 7 for head in heads), default=0)
    caption = line if any(any(row) for row in captions) else 0
    width = left + columns * (tile + gap) + 4
    apart = 16 if group > 1 else 0
    tops = [top + n * (tile + caption + gap) + n // group * apart for n in range(len(rows))]
    height = (tops[-1] if tops else top) + tile + caption + gap + 2

    def draw(figure: Figure, paper: Paper) -> None:
        def at(x: float, y: float, text: str, **more: Any) -> None:
            more.setdefault("color", paper.soft)
            figure.text(x / width, 1 - y / height, text, fontsize=8, **more)

        for column, text in enumerate(heads):
            middle = left + column * (tile + gap) + tile / 2
            at(middle, top - 10, text, ha="center", va="baseline", linespacing=1.15)
        for number, row in enumerate(rows):
            y = tops[number]
            if number < len(row_names):
                at(12, y + tile / 2, row_names[number], va="center", color=paper.ink)
            for column, picture in enumerate(row):
                if picture is None:
                    continue
                x = left + column * (tile + gap)
                bad = bool(_nested(wrong, number, column))
                axes = figure.add_axes(
                    (x / width, 1 - (y + tile) / height, tile / width, tile / height)
                )
                axes.imshow(_on_tile(picture, tile * DENSITY, paper.tile), interpolation="none")
                axes.set_xticks([])
                axes.set_yticks([])
                for spine in axes.spines.values():
                    spine.set(visible=bad, color=COLOURS[3], linewidth=1.6)
                if text := _nested(captions, number, column):
                    colour = COLOURS[3] if bad else paper.soft
                    most = max(4, int(tile / 5.4))
                    at(x + tile / 2, y + tile + 3, _short(str(text), most), ha="center", va="top",
                       color=colour)  # fmt: skip

    return _save(path, (width, height), draw, False)


def clouds_grid(
    path: str | Path,
    rows: Sequence[Sequence[Array | None]],
    *,
    azimuth_deg: float = 50.0,
    elevation_deg: float = 20.0,
    tile: int = 128,
    **more: Any,
) -> Path:
    """Point clouds in rows, beside pictures: input, predicted cloud, true cloud, say.

    rows  each a cloud [N, 3] (world, y up), a picture as in `image_grid`, or None
    more  captions, row_names, column_names, wrong, group of `image_grid`

    For clouds with colours or another camera, put what `point_cloud` returns.
    """

    def picture(thing: Array | None) -> Array | None:
        if thing is None or np.ndim(thing) == 3 or np.shape(thing)[-1] != 3:
            return thing
        return point_cloud(
            thing,
            size=tile * DENSITY,
            azimuth_deg=azimuth_deg,
            elevation_deg=elevation_deg,
        )

    pictures = [[picture(thing) for thing in row] for row in rows]
    return image_grid(path, pictures, tile=tile, **more)


# --- how it is done ------------------------------------------------------------------------------


def _save(
    path: str | Path,
    size: tuple[float, float],
    draw: Callable[[Figure, Paper], None],
    fitted: bool = True,
) -> Path:
    """Draw on both papers. size: pixels on the page; fitted: matplotlib makes room for the words"""
    path = Path(path)
    for paper in (LIGHT, DARK):
        with matplotlib.rc_context(_style(paper)):
            figure = Figure(
                figsize=(math.ceil(size[0]) / DPI, math.ceil(size[1]) / DPI),
                layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1) if fitted else None,
            )
            draw(figure, paper)
            target = path.with_name(f"{path.stem}{paper.suffix}{path.suffix}")
            with atomic.replacing(target) as file:
                # Without the software's name a file depends on what is drawn and nothing else.
                figure.savefig(file, dpi=DPI * DENSITY, format="png", metadata={"Software": None})
    return path


def _style(paper: Paper) -> Any:
    return {
        "backend": "agg",
        "figure.facecolor": paper.page,
        "axes.facecolor": paper.page,
        "savefig.facecolor": paper.page,
        "text.color": paper.ink,
        "axes.labelcolor": paper.soft,
        "axes.edgecolor": paper.line,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.labelsize": 9,
        "grid.color": paper.line,
        "grid.linewidth": 0.8,
        "xtick.color": paper.soft,
        "ytick.color": paper.soft,
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "font.family": "DejaVu Sans",  # comes with matplotlib
        "font.size": 8.5,
        "legend.frameon": False,
        "legend.fontsize": 8.5,
        "legend.handlelength": 1.4,
        "lines.linewidth": 1.7,
        "lines.markersize": 3.5,
        "lines.solid_capstyle": "round",
        "patch.edgecolor": paper.page,
    }


def _finish(
    axes: Axes, *, x_name: str, y_name: str, percent: bool = False, legend: bool = False
) -> None:
    axes.set_xlabel(x_name)
    axes.set_ylabel(y_name)
    if percent:
        _in_percent(axes.yaxis)
    if legend:
        # Above the axes: never on the data.
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=4, borderaxespad=0.2)


def _in_percent(axis: Axis) -> None:
    low, high = axis.get_view_interval()
    axis.set_major_formatter(PercentFormatter(1, decimals=0 if high - low >= 0.05 else 1))


def _colours(start: int = 0) -> list[str]:
    return [COLOURS[number % len(COLOURS)] for number in range(start, start + 64)]


def _short(text: str, most: int = 22) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _nested(rows: Sequence[Sequence[Any]], row: int, column: int) -> Any:
    return rows[row][column] if row < len(rows) and column < len(rows[row]) else None


def _running_mean(values: Array, reach: int) -> Array:
    """[n] mean over those at most `reach` before and after that are numbers."""
    there = np.isfinite(values)
    sums = np.concatenate([[0], np.cumsum(np.where(there, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(there)])
    first = np.maximum(0, np.arange(len(values)) - reach)
    last = np.minimum(len(values), np.arange(len(values)) + reach + 1)
    number = counts[last] - counts[first]
    mean = (sums[last] - sums[first]) / np.maximum(1, number)
    return np.where(number > 0, mean, np.nan)


def _on_tile(picture: Array, side: int, ground: str) -> Array:
    """uint8 [side, side, 3]: the picture in its proportions, in the middle of the ground."""
    image = np.asarray(picture)
    if image.dtype != np.uint8:
        image = np.clip(np.nan_to_num(image.astype(float)) * 255 + 0.5, 0, 255).astype(np.uint8)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    colour, alpha = image[..., :3].astype(float), np.full(image.shape[:2], 255.0)
    if image.shape[2] == 4:
        alpha = image[..., 3].astype(float)
    behind = np.array(to_rgb(ground)) * 255
    flat = behind + (colour - behind) * (alpha / 255)[..., None]
    whole = Image.fromarray(np.round(flat).astype(np.uint8))
    factor = side / max(whole.size)
    small = (max(1, round(whole.width * factor)), max(1, round(whole.height * factor)))
    # Whole multiples keep the pixels of tiny pictures square and sharp.
    grown = factor >= 3 and float(factor).is_integer()
    way = Image.Resampling.NEAREST if grown else Image.Resampling.LANCZOS
    out = Image.new("RGB", (side, side), tuple(round(c) for c in behind))
    out.paste(whole.resize(small, way), ((side - small[0]) // 2, (side - small[1]) // 2))
    return np.asarray(out)
