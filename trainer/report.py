"""The report of a run: one page of HTML and its pictures, made from the run's folder alone.

runs/x/report/
  index.html                 needs no network, and no file but those beside it
  curves/loss.png            trainer.plots: each picture on white and on dark
  test-1a2b3c4d/...          an evaluation's, those the model's own report() makes among them
"""

from __future__ import annotations

import json
import logging
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from renderer.storage import Place, short
from trainer import atomic, plots, samples, tables
from trainer.catalogue import entry
from trainer.page import (
    card,
    cards,
    definitions,
    document,
    duration,
    figure,
    folded,
    number,
    table,
    text,
    tiles,
    words,
)
from trainer.run import Evaluated, Run

log = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")
FIRST = ("loss", "lr", "images_per_s")
SHEETS = 6
BESIDE = ("chance", "constant", "nearest", "random")
"""What a metric's name ends in that another one is compared with."""
UNITS = {"lr": "learning rate", "images_per_s": "images / s"}


def make(folder: str | Place, out: str | Path | None = None) -> Path:
    """Write the report of a run, finished or not; its index.html.

    out  where to, instead of the run's own report/

    Raises FileNotFoundError where there is no run.
    """
    run = Run(folder)
    if out is None and not isinstance(run.place, Path):
        raise ValueError(f"{folder} is in an object store; --out DIR says where its page goes")
    target = Path(out) if out is not None else run.folder / "report"
    lines = run.metrics()
    body = [
        *_head(run, lines),
        *_how(run),
        *_curves(target, lines),
        *_samples(run, target),
        *(piece for each in run.evaluations() for piece in _evaluation(run, each, target)),
        "<footer>Made by shapefarm from the run's folder. "
        f"Its numbers: {text(short(run.place))}/metrics.jsonl, evaluations/.</footer>",
    ]
    page = target / "index.html"
    atomic.write(page, document(f"{run.job.model}: {run.folder.name}", body).encode())
    return page


# --- what it is, and what it came to --------------------------------------------------------------


def _head(run: Run, lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield f"<h1>{text(run.job.model)}<small>{text(run.folder.name)}</small></h1>"
    yield f'<p class="soft">{text(entry(run.job.model).paper)}</p>'
    yield tiles(_figures(run, lines))


def _figures(run: Run, lines: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """How far it came, how fast, how good."""
    about = _about(run)
    steps = about.get("config", {}).get("steps") or run.job.steps
    done = max((line["step"] for line in lines), default=0)
    if steps:
        finished = run.result() is not None
        yield "steps" if finished else f"of {steps:,} steps", number(steps if finished else done)
    if seconds := _seconds(run, lines):
        yield "training", duration(seconds)
    speeds = [line["images_per_s"] for line in lines if line.get("images_per_s")]
    if speeds:
        yield "images / s (median)", number(round(float(np.median(speeds)), 1))
    if "parameters" in about:
        yield "parameters", _large(about["parameters"])
    evaluations = sorted(run.evaluations(), key=lambda each: each.split != "test")
    if evaluations:
        where, metrics = evaluations[0].split, evaluations[0].metrics
    else:
        where, metrics = "val", (run.result() or {}).get("metrics", {})
    for name, value in list(metrics.items())[:4]:
        yield f"{words(name)} ({where})", number(value)


def _seconds(run: Run, lines: Sequence[Mapping[str, Any]]) -> float:
    result = run.result()
    if result:
        return float(result["seconds"])
    return float(max((line.get("seconds") or 0.0 for line in lines), default=0.0))


def _large(count: int) -> str:
    """33.3 M"""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return str(count)


# --- how to have it again -------------------------------------------------------------------------


def _how(run: Run) -> Iterator[str]:
    """The command, the data, the machine, the configuration."""
    about, job = _about(run), run.job
    starts = about.get("starts", [])
    last = starts[-1] if starts else {}
    versions = ", ".join(f"{name} {value}" for name, value in last.get("versions", {}).items())
    datasets = about.get("datasets") or dict.fromkeys(job.data, "")
    machine = [
        str(last.get("device", "")),
        f"{last['devices']} processes" if last.get("devices", 1) > 1 else "",
        f"{last['threads']} threads" if "threads" in last else "",
        str(last.get("precision", "")),
    ]
    again = [f"{start['step']:,}" for start in starts[1:]]
    yield card(
        "",
        definitions(
            [
                ("command", f"<pre>{text(command(run))}</pre>"),
                ("datasets", "<br>".join(_dataset(path, id) for path, id in datasets.items())),
                *(
                    (name, "<br>".join(_dataset(path, id) for path, id in some.items()))
                    for name, some in about.get("others", {}).items()
                ),
                ("shapes", _shapes(about.get("facts", {}))),
                ("seed", text(about.get("seed", job.seed))),
                ("weights", text(about.get("weights", job.weights))),
                *((name, text(told)) for name, told in about.get("notes", {}).items()),
                ("machine", text(", ".join(filter(None, machine)))),
                ("versions", text(versions)),
                ("went on from", text(f"step {', '.join(again)}") if again else ""),
                ("folder", f"<code>{text(short(run.place))}</code>"),
            ]
        ),
        "wide",
    )
    config = about.get("config", {})
    if config:
        rows = [{"option": name, "value": _plain(value)} for name, value in config.items()]
        yield folded(
            f"Configuration: {len(config)} options, preset {job.preset}",
            card("", table(rows, "option"), "wide"),
        )


def command(run: Run) -> str:
    """The line that makes such a run."""
    job = run.job
    line = ["farm", "submit", "train", "--model", job.model]
    line += ["--data", *(short(folder) for folder in job.data)]
    line += ["--out", short(run.place), "--preset", job.preset]
    if job.steps is not None:
        line += ["--steps", str(job.steps)]
    line += ["--seed", str(job.seed)]
    if job.weights != "none":
        line += ["--weights", job.weights]
    if job.precision != "auto":
        line += ["--precision", job.precision]
    for name, value in job.config.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            line.append(f"--{option}" if value else f"--no-{option}")
        elif isinstance(value, list):
            line += [f"--{option}", *map(str, value)]
        else:
            line += [f"--{option}", str(value)]
    return shlex.join(line)


# --- how it went ----------------------------------------------------------------------------------


def _curves(target: Path, lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A picture of every number that metrics.jsonl follows: of training first."""
    found: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    for line in lines:
        for name, value in line.items():
            if name in ("step", "split", "seconds") or isinstance(value, str):
                continue
            steps, values = found.setdefault(name, {}).setdefault(line["split"], ([], []))
            steps.append(line["step"])
            values.append(math.nan if value is None else value)
    if not found:
        yield '<p class="soft">No step of training is on record yet.</p>'
        return
    yield "<h2>Training</h2>"
    beside = _beside(found)
    order = sorted(found, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))
    pictures = []
    for name in order:
        if any(name == f"{of}_{label}" for of, some in beside.items() for label in some):
            continue
        every = np.array([v for _, values in found[name].values() for v in values], float)
        finite = every[np.isfinite(every)]
        steep = len(finite) > 1 and finite.min() > 0 and finite.max() / finite.min() > 100
        path = plots.curves(
            target / "curves" / f"{_file(name)}.png",
            found[name],
            name=UNITS.get(name, words(name)),
            log=bool(steep) and name not in ("lr", "images_per_s"),
            beside=beside.get(name),
        )
        pictures.append(figure(target, str(path.relative_to(target))))
    yield cards(pictures)


def _beside(
    found: Mapping[str, Mapping[str, tuple[list[float], list[float]]]],
) -> dict[str, dict[str, float]]:
    """ "accuracy" -> {"chance": 0.1}: numbers that stay what they are, in another one's picture."""
    beside: dict[str, dict[str, float]] = {}
    for name, splits in found.items():
        of, _, label = name.rpartition("_")
        values = {value for _, series in splits.values() for value in series}
        if label in BESIDE and of in found and len(values) == 1:
            beside.setdefault(of, {})[label] = values.pop()
    return beside


def _samples(run: Run, target: Path) -> Iterator[str]:
    """What the network made on its way: the last sheet large, some before it folded."""
    kept = samples.some(samples.sheets(run.folder), SHEETS)
    if not kept:
        return
    pictures = []
    for sheet in kept:
        read = sheet.read()
        path = plots.image_grid(
            target / samples.FOLDER / sheet.path.name, read.rows, column_names=read.columns
        )
        caption = f"After {sheet.step:,} steps."
        pictures.append(figure(target, str(path.relative_to(target)), caption))
    yield "<h2>Samples</h2>"
    yield cards(pictures[-1:])
    if pictures[:-1]:
        yield folded(f"On the way: {len(pictures) - 1} more", cards(pictures[:-1]))


# --- how good it is -------------------------------------------------------------------------------


def _evaluation(run: Run, each: Evaluated, target: Path) -> Iterator[str]:
    folder = target / each.folder.name
    where = ", ".join(short(folder) for folder in each.data)
    shapes = each.facts.samples.get(each.split)
    told = [where, f"{shapes:,} shapes" if shapes else "", f"checkpoint of step {each.step:,}"]
    small = " · ".join(filter(None, told))
    yield f"<h2>{text(each.split.capitalize())}<small>{text(small)}</small></h2>"
    rows = [{"metric": words(name), "value": value} for name, value in each.metrics.items()]
    own, note = _own(run, each, folder)
    drawn = {Path(name).stem for name, _ in own}  # what a model draws itself is not drawn twice
    shown = [card("Metrics", table(rows, "metric", bars=False))] if rows else []
    shown += [
        _table(name, value, each, target, folder)
        for name, value in each.tables.items()
        if not tables.is_list(value) and not (name in drawn and tables.picture(value))
    ]
    yield cards(shown)
    yield note
    yield cards(figure(target, f"{folder.name}/{name}", caption) for name, caption in own)


def _own(run: Run, each: Evaluated, folder: Path) -> tuple[list[tuple[str, str]], str]:
    """The pictures that the model makes itself, with their captions; and what went wrong."""
    try:
        model = run.model
        if not hasattr(model, "report"):
            return [], ""
        folder.mkdir(parents=True, exist_ok=True)
        return list(model.report(run.config, each, folder)), ""
    except Exception as error:
        # One model's picture must not cost the rest of the report; it is told, here and there.
        log.warning("no pictures model=%s split=%s error=%r", run.job.model, each.split, error)
        told = f"The pictures of {run.job.model} could not be made: {error!r}"
        return [], f'<p class="note">{text(told)}</p>'


def _table(name: str, value: Any, each: Evaluated, target: Path, folder: Path) -> str:
    """A card for a table of an evaluation, by its form."""
    title = words(name).capitalize()
    picture = tables.picture(value)
    if picture == "confusion":
        matrix = value["matrix"] if isinstance(value, Mapping) else value
        names = tables.names(value, each.tables, each.facts.categories)
        path = plots.confusion(folder / f"{_file(name)}.png", matrix, names)
        return card(title, figure(target, str(path.relative_to(target)), kind=""))
    if picture == "histogram":
        edges, counts = np.asarray(value["edges"], float), np.asarray(value["counts"], int)
        middles = np.repeat((edges[:-1] + edges[1:]) / 2, counts)
        path = plots.histogram(folder / f"{_file(name)}.png", middles, edges, name=words(name))
        return card(title, figure(target, str(path.relative_to(target)), kind=""))
    rows = tables.rows(value)
    if rows and len(rows) <= tables.LONGEST:
        return card(title, table(rows, next(iter(rows[0]))))
    return card(title, folded("as JSON", f"<pre>{text(json.dumps(value)[:4000])}</pre>"))


# --- in words -------------------------------------------------------------------------------------


def _about(run: Run) -> dict[str, Any]:
    """What is in run.json; nothing of a run that has not begun."""
    try:
        return run.about
    except FileNotFoundError:
        return {}


def _dataset(path: str, id: str) -> str:
    told = f' <span class="soft"><code>{text(id[:16])}</code></span>' if id else ""
    return f"<code>{text(short(path))}</code>{told}"


def _shapes(facts: Mapping[str, Any]) -> str:
    if not facts:
        return ""
    samples = ", ".join(
        f"{facts['samples'][split]:,} {split}"
        for split in sorted(facts["samples"], key=lambda s: (SPLITS + (s,)).index(s))
    )
    width, height = facts["size"]
    many = len(facts["categories"])
    told = [
        samples,
        f"{many} {'categories' if many > 1 else 'category'}",
        f"{facts['views']} views ({facts['cameras'] or 'no rig'}) of {width} x {height}",
    ]
    return text("; ".join(told))


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_plain, value)) or "none"
    return number(value) if isinstance(value, bool) or value is None else str(value)


def _file(name: str) -> str:
    """A metric's name as that of a file."""
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name) or "_"
