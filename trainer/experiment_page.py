"""The report of an experiment: one HTML file with its pictures inside, CSV and JSON beside it.

runs/aist-experiment/report/
  index.html        needs no other file and no network
  figures.csv       a line for each run on each test, and for each published row
  experiment.json   all that the page has
"""

from __future__ import annotations

import base64
import csv
import io
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from renderer.shards import Dataset
from renderer.storage import short
from trainer import atomic, experiment, looks, plots, plots_experiment, published
from trainer.experiment import MASK, SHAPE, STYLE, Cell, Experiment, Figure, Part, Style
from trainer.page import (
    card,
    cards,
    definitions,
    document,
    figure,
    folded,
    number,
    table,
    text,
    tiles,
)
from trainer.run import Run

VERSION = 1
"""Of experiment.json."""
NAMES = {
    "precision": "precision", "coverage": "coverage", "chamfer": "Chamfer",
    "accuracy": "accuracy", "median_deg": "median, degrees", "mask_error": "XOR error",
    "mask_error_median": "XOR median", "mask_iou": "IoU", "plain_told": "told apart before",
    "stylized_told": "told apart after", "outlines_told": "by outlines alone",
    "plain_cut_told": "cut to one outline, before",
    "stylized_cut_told": "cut to one outline, after",
    "mask_xor": "mask XOR", "changed": "colours changed",
}  # fmt: skip
DIGITS = {"accuracy": 3, "mask_error": 3, "mask_error_median": 3, "mask_iou": 3, "mask_xor": 4}
LOOKED_AT = 400
"""Pictures of a stylized dataset that are ranked."""
LEARNT_FROM = 300
"""Pictures of each kind that the judge learns from."""
BEST, COLUMNS = 6, 6


def make(folder: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of a pipeline's folder, finished or not; its index.html.

    out  where to, instead of the folder's own report/

    Raises FileNotFoundError, ValueError as trainer.experiment.read.
    """
    it = experiment.read(folder)
    target = Path(out) if out is not None else it.folder / "report"
    with tempfile.TemporaryDirectory(prefix="shapefarm-report-") as name:
        drawn = Path(name)
        sheets = [found for style in it.styles if (found := _ranked(it, style)) is not None]
        body = [
            *_head(it),
            *_shapes(it),
            *_masks(it, drawn),
            *_styles(it, sheets, drawn),
            *_made_with(it),
            "<footer>Made by shapefarm from the pipeline's folder. Its numbers: figures.csv and "
            "experiment.json beside this page.</footer>",
        ]
        html = inlined(document(f"Experiment: {it.name}", body), drawn)
    atomic.write(target / "figures.csv", _csv(it).encode())
    atomic.write_json(target / "experiment.json", _json(it, sheets))
    atomic.write(target / "index.html", html.encode())
    return target / "index.html"


def inlined(html: str, folder: Path) -> str:
    """The page with every picture of the folder in it."""
    kinds = {".png": "image/png", ".gif": "image/gif"}

    def data(match: re.Match[str]) -> str:
        path = folder / match[1]
        encoded = base64.b64encode(path.read_bytes()).decode()
        return f'src="data:{kinds[path.suffix]};base64,{encoded}"'

    return re.sub(r'src="(?!data:)([^"]+)"', data, html)


# --- what it is ----------------------------------------------------------------------------------


def _head(it: Experiment) -> Iterator[str]:
    yield f"<h1>{text(it.name)}<small>experiment</small></h1>"
    done = sum(stage.state == "done" for stage in it.stages.values())
    seeds = max((len(row.stages) for row in it.rows), default=0)
    facts = [
        (f"of {len(it.stages)} stages done", number(done)),
        ("rows of the table" if len(it.rows) != 1 else "row of the table", number(len(it.rows))),
        ("runs of a row, a seed each" if seeds != 1 else "run of a row", number(seeds)),
    ]
    if it.real:
        count = max((len(one.errors) for row in it.rows for one in it.cell(row, it.real).measured),
                    default=0)  # fmt: skip
        facts.append(("real pictures to test on", number(count)))
    yield tiles(facts)
    if it.stand_in:
        yield (
            '<p class="note">The real pictures of this experiment are renders that stand in for '
            "photos. What is told of them here is no evidence about real photos.</p>"
        )
    for stage in it.stages.values():
        if stage.state == "failed":
            told = f"Stage {stage.name} failed: {stage.reason or 'farm status tells more'}"
            yield f'<p class="note">{text(told)}</p>'
    lacking = [*it.unclear, *it.missing()]
    if lacking:
        items = "".join(f"<li>{text(line)}</li>" for line in lacking)
        yield folded(f"{len(lacking)} things are not there yet", f"<ul>{items}</ul>")


# --- shapes and poses ----------------------------------------------------------------------------


def _shapes(it: Experiment) -> Iterator[str]:
    """The table of experiments and test sets."""
    yield "<h2>Shape and pose<small>on renders, where both are known</small></h2>"
    yield (
        '<p class="soft">Precision, coverage and Chamfer are distances x 100, in diagonals: lower '
        "is better. Accuracy is the share of poses within 30 degrees. Mean over seeds ± deviation. "
        f"Rows in grey are {text(published.SOURCE)}. {text(published.HOW)}</p>"
    )
    lines: list[str] = []
    told: set[tuple[str, str]] = set()
    for row in it.rows:
        for place, test in enumerate(it.tests):
            cell = it.cell(row, test)
            lines.append(_line(row.name, test.name, cell, SHAPE, place == 0))
            where = _published(row, test)
            if where in published.ROWS:
                told.add(where)
                lines.append(_theirs(row.name, test.name, published.ROWS[where]))
    rest = [where for where in published.ROWS if where not in told]
    for place, where in enumerate(rest):
        lines.append(_theirs(where[0], where[1], published.ROWS[where], first=place == 0))
    yield card("", _table(("trained on", "tested on", "runs"), SHAPE, lines), "wide")
    found = experiment.differences(it)
    if found:
        yield _differences(it, found)


def _published(row: Part, test: Part) -> tuple[str, str]:
    return published.canonical(row.published), published.canonical(test.published)


def _differences(it: Experiment, found: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for one in found:
        beyond = ""
        if one["spread"] is not None:
            beyond = "yes" if abs(one["difference"]) > 2 * one["spread"] else "no"
        rows.append(
            {
                "trained on": one["row"], "tested on": one["test"],
                "figure": NAMES[one["metric"]], "difference": f"{one['difference']:+.3g}",
                "deviation of it": "" if one["spread"] is None else f"{one['spread']:.2g}",
                "beyond two deviations": beyond or "one seed: unknown",
            }
        )  # fmt: skip
    title = f"Against {it.rows[0].name}: does it help, and is that more than seeds do?"
    return card(title, table(rows, "trained on", bars=False), "wide spaced")


# --- masks ---------------------------------------------------------------------------------------


def _masks(it: Experiment, folder: Path) -> Iterator[str]:
    """XOR errors and overlaps, on what is real and on as many renders."""
    if it.real is None:
        return
    rows = [(row, it.cell(row, it.real)) for row in it.rows]
    if not any(cell.measured for _, cell in rows):
        return
    yield "<h2>Masks<small>of predicted clouds at predicted poses</small></h2>"
    yield (
        '<p class="soft">The error is the area in which predicted and true mask differ, over the '
        "true one: 0 at best. Curves that rise earlier are better; dotted: as counted, "
        "without the kernel density estimate. A band spans the seeds.</p>"
    )
    lines = []
    gap: dict[str, list[Any]] = {}
    real: dict[str, list[Any]] = {}
    for row, cell in rows:
        count = max((len(one.errors) for one in cell.measured), default=0)
        lines.append(_line(row.name, f"real ({count:,})", cell, MASK, True))
        if errors := [one.errors for one in cell.measured if len(one.errors)]:
            real[row.name] = errors
        for test in it.tests[:1]:
            renders = it.cell(row, test)
            few = [sampled(one.errors, count) for one in renders.measured if len(one.errors)]
            if few:
                told = _cells(_mask_figures(renders, count), MASK)
                lines.append(_row(row.name, f"renders ({len(few[0]):,})", len(few), told))
                gap[row.name] = few
    yield card("", _table(("trained on", "on", "runs"), MASK, lines), "wide")
    pictures = []
    for name, groups, caption in (
        ("real.png", real, "On real pictures"),
        ("renders.png", gap, f"On as many test renders of {it.tests[0].name}" if it.tests else ""),
    ):
        if groups:
            plots_experiment.cumulative(folder / name, groups, name="XOR error")
            pictures.append(figure(folder, name, caption))
    yield cards(pictures)


def _mask_figures(cell: Cell, count: int) -> dict[str, Figure | None]:
    """What MASK names, of so many pictures of each run."""
    errors = [sampled(one.errors, count) for one in cell.measured if len(one.errors)]
    overlaps = [sampled(one.overlaps, count) for one in cell.measured if len(one.overlaps)]
    return {
        "mask_error": Figure(values=tuple(float(each.mean()) for each in errors)),
        "mask_error_median": Figure(values=tuple(float(np.median(each)) for each in errors)),
        "mask_iou": Figure(values=tuple(float(e.mean()) for e in overlaps)) if overlaps else None,
    }


def sampled(errors: Any, count: int) -> Any:
    """At most so many of them, drawn without replacement; always the same."""
    if len(errors) <= count:
        return errors
    return errors[np.random.default_rng(0).permutation(len(errors))[:count]]


# --- styles --------------------------------------------------------------------------------------


def _styles(it: Experiment, sheets: Sequence[Mapping[str, Any]], folder: Path) -> Iterator[str]:
    """What the runs of style came to, and what they made."""
    if not (it.style_runs or sheets):
        return
    yield "<h2>Style<small>plain renders, made to look real</small></h2>"
    rows = []
    for run in it.style_runs:
        row: dict[str, Any] = {"run": run.stage.name, "outlines by": run.config.get("alpha", "")}
        row |= {NAMES[name]: run.metrics.get(name) for name in STYLE}
        rows.append(row)
    if rows:
        kept = [c for c in rows[0] if any(row.get(c) not in (None, "") for row in rows)]
        shown = [{name: _style_value(name, row[name]) for name in kept} for row in rows]
        yield (
            '<p class="soft">Told apart: the share of pictures that a fresh classifier tells right '
            "from real ones, 0.5 being not at all; before the style and after it, and by the "
            "outlines alone, which no style may change. Mask XOR: the share of pixels in which "
            "the painted outline differs.</p>"
        )
        yield card("", table(shown, "run", bars=False), "wide")
        of = dict.fromkeys(run.features for run in it.style_runs if run.features)
        if of:
            yield f'<p class="soft">Features of the distance: {text("; ".join(of))}.</p>'
    for place, sheet in enumerate(sheets):
        yield f"<h2>{text(sheet['name'])}<small>{text(sheet['by'])}</small></h2>"
        pictures = []
        for kind, caption in (("good", "Good ones"), ("bad", "Bad ones")):
            chosen = sheet[kind]
            name = f"style-{place}-{kind}.png"
            plots.image_grid(
                folder / name,
                [[one["parent"] for one in chosen], [one["styled"] for one in chosen]],
                captions=[[], [f"{one['score']:.2f}" for one in chosen]],
                row_names=["render", "styled"],
                tile=138,
            )
            told = f"{caption}: {sheet['measure']} under each"
            pictures.append(figure(folder, name, told, "card wide"))
        yield cards(pictures)
        if sheet["mean_before"] is not None:
            yield (
                f'<p class="soft">Mean realness of {sheet["pictures"]:,} pictures to this judge: '
                f"{sheet['mean_before']:.2f} before, {sheet['mean']:.2f} in the new style. "
                "It only sorts pictures; what the classifiers above tell is the measure.</p>"
            )


def _style_value(name: str, value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.4f}" if name == NAMES["mask_xor"] else f"{value:.3f}"
    return value


def _ranked(it: Experiment, style: Style) -> dict[str, Any] | None:
    """The best and worst pictures of a stylized dataset beside their parents; None where there
    is nothing to show yet."""
    try:
        parent, data = Dataset(style.parent), Dataset(style.data)
        split = "test" if "test" in data.index["splits"] else next(iter(data.index["splits"]))
        pairs = _pairs(Dataset(style.parent, split), Dataset(style.data, split))
    except (OSError, ValueError, LookupError, StopIteration):
        return None
    if not pairs:
        return None
    judge = _judge(it, parent)
    if judge is None:
        measure, by = "change of colours", "by how much their colours changed"
        scores = np.array([looks.change(a, b) for _, a, b in pairs])
    else:
        measure, by = "realness", "by how real a small judge takes them"
        scores = judge.realness(b for _, _, b in pairs)
    order = np.argsort(-scores, kind="stable")
    few = min(BEST, max(1, len(order) // 2))
    before = None if judge is None else float(judge.realness(a for _, a, _ in pairs).mean())

    def told(chosen: Any) -> list[dict[str, Any]]:
        return [
            {"key": pairs[n][0], "parent": pairs[n][1], "styled": pairs[n][2],
             "score": float(scores[n])} for n in chosen
        ]  # fmt: skip

    return {
        "name": style.name, "by": by, "measure": measure, "parent": parent.id, "data": data.id,
        "pictures": len(pairs), "mean": float(scores.mean()), "mean_before": before,
        "good": told(order[:few]), "bad": told(order[::-1][:few]),
    }  # fmt: skip


def _pairs(parent: Dataset, data: Dataset) -> list[tuple[str, Any, Any]]:
    """key, render, styled of one view of every shape, of further ones where there are few."""
    originals = {sample.key: sample for sample in parent}
    samples = [sample for sample in data if sample.key in originals]
    if not samples:
        return []
    views = min(len(samples[0].views), max(1, LOOKED_AT // len(samples)))
    step = max(1, len(samples) * views // LOOKED_AT)
    return [
        (f"{sample.key}.{view:02d}", originals[sample.key].views[view].rgba,
         sample.views[view].rgba)
        for sample in samples[::step] for view in range(views)
    ]  # fmt: skip


def _judge(it: Experiment, parent: Dataset) -> looks.Judge | None:
    """A judge that knows the experiment's real pictures from plain renders."""
    if it.real is None or not it.real.stages:
        return None
    try:
        real = Dataset(it.real.stages[0].product)
        few, many = _some(real, 1), _some(parent, 5)
        return looks.learn((s.views[v].rgba for s, v in few), (s.views[v].rgba for s, v in many))
    except (OSError, ValueError, LookupError):
        return None


def _some(dataset: Dataset, views: int) -> list[tuple[Any, int]]:
    """Samples and views to learn from: of training where there is some."""
    split = "train" if "train" in dataset.index["splits"] else None
    samples = list(Dataset(dataset.folder, split))
    each = [(s, v) for s in samples for v in range(min(views, len(s.meta["views"])))]
    return each[:: max(1, len(each) // LEARNT_FROM)]


# --- what it was made with -----------------------------------------------------------------------


def _made_with(it: Experiment) -> Iterator[str]:
    yield "<h2>Made with</h2>"
    datasets = [
        {
            "stage": stage.name, "kind": stage.kind, "folder": short(stage.product),
            "dataset": (stage.dataset or "")[:16],
        }
        for stage in it.stages.values() if stage.dataset
    ]  # fmt: skip
    if datasets:
        yield card("Datasets", table(datasets, "stage"), "wide")
    runs, versions = [], set()
    for stage in it.stages.values():
        if stage.kind != "train":
            continue
        try:
            about = Run(stage.product).about
        except (FileNotFoundError, ValueError):
            continue
        last = (about.get("starts") or [{}])[-1]
        versions.add(", ".join(f"{k} {v}" for k, v in last.get("versions", {}).items()))
        runs.append(
            {
                "stage": stage.name, "model": str(stage.job.get("model", "")),
                "preset": str(stage.job.get("preset", "")),
                "steps": about.get("config", {}).get("steps"),
                "seed": str(about.get("seed", stage.job.get("seed", ""))),
                "device": str(last.get("device", "")),
                "trained on": str(about.get("snapshot", ""))[:16],
            }
        )  # fmt: skip
    if runs:
        yield card("Runs", table(runs, "stage"), "wide spaced")
    facts = [
        ("pipeline", f"<code>{text(short(Path(it.file)))}</code>" if it.file else ""),
        ("folder", f"<code>{text(short(it.folder))}</code>"),
        ("versions", "<br>".join(text(each) for each in sorted(filter(None, versions)))),
    ]
    yield card("", definitions(facts), "wide spaced")
    stages = [
        {"stage": s.name, "kind": s.kind, "state": s.state, "product": short(s.product),
         "why": s.reason} for s in it.stages.values()
    ]  # fmt: skip
    yield folded(f"All {len(stages)} stages", card("", table(stages, "stage"), "wide"))


# --- tables of figures ---------------------------------------------------------------------------


def _table(first: Sequence[str], names: Sequence[str], lines: Sequence[str]) -> str:
    head = "".join(f"<th>{text(name)}</th>" for name in first)
    head += "".join(f'<th class="number">{text(NAMES[name])}</th>' for name in names)
    return (
        f'<div class="scroll"><table class="figures"><tr>{head}</tr>{"".join(lines)}</table></div>'
    )


def _line(row: str, test: str, cell: Cell, names: Sequence[str], first: bool) -> str:
    figures = {name: cell.figure(name) for name in names}
    return _row(row, test, len(cell.measured), _cells(figures, names), first)


def _cells(figures: Mapping[str, Figure | None], names: Sequence[str]) -> str:
    return "".join(_cell(figures[name], DIGITS.get(name, 2)) for name in names)


def _row(row: str, test: str, runs: int, cells: str, first: bool = False) -> str:
    kind = ' class="first"' if first else ""
    return f"<tr{kind}><td>{text(row)}</td><td>{text(test)}</td><td>{runs or '-'}</td>{cells}</tr>"


def _cell(found: Figure | None, digits: int) -> str:
    if found is None:
        return '<td class="number">-</td>'
    spread = ""
    if found.spread is not None:
        spread = f' <span class="soft">± {found.spread:.{digits}f}</span>'
    return f'<td class="number">{found.mean:.{digits}f}{spread}</td>'


def _theirs(row: str, test: str, figures: Mapping[str, float], first: bool = False) -> str:
    cells = "".join(f'<td class="number">{figures[name]:.2f}</td>' for name in SHAPE)
    kind = "published first" if first else "published"
    return (
        f'<tr class="{kind}"><td>{text(row)} <i>published</i></td><td>{text(test)}</td>'
        f"<td>1</td>{cells}</tr>"
    )


# --- CSV and JSON --------------------------------------------------------------------------------


def _csv(it: Experiment) -> str:
    rows = list(experiment.flat(it))
    rows += [
        {"trained_on": row, "tested_on": test, "source": published.SOURCE, **figures}
        for (row, test), figures in published.ROWS.items()
    ]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: "" if v is None else v for k, v in row.items()} for row in rows)
    return out.getvalue()


def _json(it: Experiment, sheets: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    def told(found: Figure | None) -> dict[str, Any] | None:
        if found is None:
            return None
        return {"mean": found.mean, "spread": found.spread, "values": list(found.values)}

    return {
        "version": VERSION,
        "name": it.name,
        "real_is_stand_in": it.stand_in,
        "cells": [
            {
                "trained_on": cell.row.name, "tested_on": cell.test.name,
                "runs": [one.run.name for one in cell.measured],
                "figures": {name: told(cell.figure(name)) for name in (*SHAPE, *MASK)},
            }
            for cell in it.cells
        ],
        "differences": experiment.differences(it),
        "published": [
            {"trained_on": row, "tested_on": test, "source": published.SOURCE, **figures}
            for (row, test), figures in published.ROWS.items()
        ],
        "styles": [
            {"run": run.stage.name, "split": run.split, "metrics": dict(run.metrics)}
            for run in it.style_runs
        ],
        "ranked": [
            {
                **{k: v for k, v in sheet.items() if k not in ("good", "bad")},
                **{
                    kind: [{"key": one["key"], "score": one["score"]} for one in sheet[kind]]
                    for kind in ("good", "bad")
                },
            }
            for sheet in sheets
        ],
        "datasets": {s.name: s.dataset for s in it.stages.values() if s.dataset},
        "stages": {
            s.name: {"kind": s.kind, "state": s.state, "product": short(s.product)}
            for s in it.stages.values()
        },
        "missing": [*it.unclear, *it.missing()],
    }  # fmt: skip
