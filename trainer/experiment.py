"""An experiment: what a pipeline's stages came to, gathered for its report.

runs/aist-experiment/
  pipeline.json     its stages, their products and states, and the table [experiment]: farm.pipeline
  ...               products that lie in there: runs, datasets

    [experiment]
    rows = [{ name = "original", runs = "@dpc" }, { name = "exp 2", runs = "@dpc2" }]
    tests = [{ name = "original", data = "@render" }, { name = "stylized 2", data = "@styled2" }]
    real = "@real"
    stylized = [{ name = "exp 2", parent = "@render", data = "@styled2" }]

A row is trained with several seeds, one run each; a test is a dataset they are evaluated on.  Where
a test's dataset has seeds of its own, a run is asked about that of its own seed.
A row's or a test's `published` names the row of trainer.published that it is to be compared with.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renderer.shards import Dataset
from renderer.storage import short
from trainer import atomic
from trainer.run import Evaluated, Run, evaluated

FILE, VERSION = "pipeline.json", 1
SHAPE = ("precision", "coverage", "chamfer", "accuracy", "median_deg")
"""What the table of experiments and test sets has ..."""
MASK = ("mask_error", "mask_error_median", "mask_iou")
"""... and that of masks."""
STYLE = (
    "plain_told", "stylized_told", "outlines_told", "plain_cut_told", "stylized_cut_told",
    "mask_xor", "changed",
)  # fmt: skip
"""What is told of a style's run: trainer.models.aist."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One job of the pipeline."""

    name: str
    kind: str
    product: Path
    keys: Mapping[str, str]
    """Which values of `each` it has: {"seed": "0"}."""
    state: str
    reason: str
    job: Mapping[str, Any]

    @property
    def base(self) -> str:
        return self.name.partition(".")[0]

    def fits(self, other: Stage) -> bool:
        """Whether the keys that both have are the same."""
        return all(other.keys.get(word, key) == key for word, key in self.keys.items())

    @functools.cached_property
    def dataset(self) -> str | None:
        """The id of the dataset that it made; None where there is none yet."""
        try:
            return Dataset(self.product).id
        except (OSError, ValueError, LookupError):
            return None

    @functools.cached_property
    def evaluations(self) -> tuple[Evaluated, ...]:
        """Of the run that it made, in order of name."""
        found = []
        for path in sorted(self.product.glob("evaluations/*/evaluation.json")):
            try:
                found.append(evaluated(path.parent))
            except (ValueError, KeyError, TypeError):
                continue  # another version's, or cut off: it is told as missing
        return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Part:
    """A row of runs, or a test's datasets."""

    name: str
    stages: tuple[Stage, ...]
    published: str
    """The published row, or test, of the same meaning."""


@dataclass(frozen=True, kw_only=True)
class Style:
    """A dataset and what a style made of it."""

    name: str
    parent: Path
    data: Path


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One run on one test's dataset."""

    row: str
    test: str
    run: Stage
    found: Evaluated

    @property
    def metrics(self) -> Mapping[str, float]:
        return self.found.metrics

    @functools.cached_property
    def errors(self) -> NDArray[np.float64]:
        """[n] mask errors of single pictures; none where the evaluation has none."""
        return self._array("mask_error")

    @functools.cached_property
    def overlaps(self) -> NDArray[np.float64]:
        """[n] intersections over unions of their masks."""
        return self._array("mask_iou")

    def _array(self, name: str) -> NDArray[np.float64]:
        return np.asarray(self.found.arrays.get(name, np.zeros(0)), float).ravel()


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number over the seeds."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @property
    def spread(self) -> float | None:
        """Deviation over the seeds (n - 1); None of a single one."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A row on a test: everything measured, run by run."""

    row: Part
    test: Part
    measured: tuple[Measured, ...]

    def figure(self, name: str) -> Figure | None:
        values = [one.metrics.get(name) for one in self.measured]
        found = tuple(float(value) for value in values if value is not None)
        return Figure(values=found) if found else None


@dataclass(frozen=True, kw_only=True)
class StyleRun:
    """A run of a model of style, and its figures."""

    stage: Stage
    split: str
    metrics: Mapping[str, float]
    config: Mapping[str, Any]
    features: str
    """Where its feature distance looks."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What a pipeline's folder says."""

    folder: Path
    name: str
    file: str
    stages: Mapping[str, Stage]
    rows: tuple[Part, ...]
    tests: tuple[Part, ...]
    real: Part | None
    styles: tuple[Style, ...]
    unclear: tuple[str, ...] = field(default=())
    """What of its table [experiment] could not be followed: a line each."""

    def cell(self, row: Part, test: Part) -> Cell:
        """What was measured of a row on a test. A run that was not measured there is left out."""
        found = [
            Measured(row=row.name, test=test.name, run=run, found=one)
            for run in row.stages
            for one in _evaluations(run, test)
        ]
        return Cell(row=row, test=test, measured=tuple(found))

    @functools.cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Every row on every test; on what is real last."""
        tests = (*self.tests, *((self.real,) if self.real else ()))
        return tuple(self.cell(row, test) for row in self.rows for test in tests)

    def missing(self) -> Iterator[str]:
        """Evaluations that are not there: a line each."""
        for cell in self.cells:
            lacking = [
                run.name for run in cell.row.stages
                if not any(one.run is run for one in cell.measured)
            ]  # fmt: skip
            if lacking:
                yield f"{cell.row.name} on {cell.test.name}: no evaluation of {', '.join(lacking)}"

    @functools.cached_property
    def style_runs(self) -> tuple[StyleRun, ...]:
        """Of every stage that trains a model of style, as far as it came."""
        found: list[StyleRun] = []
        for stage in self.stages.values():
            if stage.kind == "train" and stage.job.get("model") == "aist":
                found += _style_run(stage)
        return tuple(found)

    @functools.cached_property
    def stand_in(self) -> bool:
        """Whether its real pictures are renders that stand in for photos: renderer.jobs.photos."""
        if any(stage.kind == "photos" for stage in self.stages.values()):
            return True
        folders = [
            Path(str(stage.job.get("photos", "")))
            for stage in self.stages.values() if stage.kind == "segment"
        ]  # fmt: skip
        places = [place for folder in folders for place in (folder, folder.parent)]
        return any((place / "truth.json").is_file() for place in places)


def is_one(folder: Path) -> bool:
    """Whether a folder is a pipeline's."""
    return (folder / FILE).is_file()


def read(folder: str | Path) -> Experiment:
    """The experiment of a pipeline's folder, finished or not.

    Raises FileNotFoundError where there is none; ValueError for a file that cannot be read, or has
    no runs to tell of.
    """
    folder = Path(folder).absolute()
    try:
        note = atomic.read_json(folder / FILE, VERSION)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(
            f"no pipeline in {folder}: it has no {FILE}; `farm submit pipeline` makes one"
        ) from None
    try:
        stages = {name: _stage(name, value) for name, value in note["stages"].items()}
        table = note.get("experiment") or {}
        return _experiment(folder, note, stages, table)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder / FILE} is not as a pipeline leaves it: {error!r}") from None


def _experiment(
    folder: Path, note: Mapping[str, Any], stages: Mapping[str, Stage], table: Mapping[str, Any]
) -> Experiment:
    unclear: list[str] = []
    follow = functools.partial(_meant, stages, note.get("references") or {}, unclear)
    rows = [
        Part(
            name=str(row["name"]),
            stages=follow(row["runs"]),
            published=str(row.get("published", row["name"])),
        )
        for row in table.get("rows", ())
    ]
    tests = [
        Part(
            name=str(test["name"]),
            stages=follow(test["data"]),
            published=str(test.get("published", test["name"])),
        )
        for test in table.get("tests", ())
    ]
    if not rows:
        rows, tests = _guessed(stages)
    if not rows:
        raise ValueError(
            f"{folder / FILE} has no runs to tell of; give it a table [experiment] with rows"
        )
    real = table.get("real")
    styles = [
        Style(name=str(one["name"]), parent=parent.product, data=data.product)
        for one in table.get("stylized", ())
        for data in follow(one["data"])[:1]
        for parent in follow(one["parent"])[:1]
    ]
    return Experiment(
        folder=folder,
        name=str(note.get("name", folder.name)),
        file=str(note.get("file", "")),
        stages=stages,
        rows=tuple(rows),
        tests=tuple(tests),
        real=Part(name="real", stages=follow(real), published="") if real else None,
        styles=tuple(styles),
        unclear=tuple(dict.fromkeys(unclear)),
    )


def _stage(name: str, value: Mapping[str, Any]) -> Stage:
    return Stage(
        name=name,
        kind=value["kind"],
        product=Path(value["product"]),
        keys=value.get("keys") or dict(enumerate_keys(name)),
        state=str(value.get("state", "")),
        reason=str(value.get("reason", "") or ""),
        job=value["job"],
    )


def enumerate_keys(name: str) -> Iterator[tuple[str, str]]:
    """Of a stage dpc.0.hinge without keys of its own: its places, ("0", "0"), ("1", "hinge")."""
    for place, key in enumerate(name.split(".")[1:]):
        yield str(place), key


def _meant(
    stages: Mapping[str, Stage],
    references: Mapping[str, Sequence[str]],
    unclear: list[str],
    text: str | Sequence[str],
) -> tuple[Stage, ...]:
    """The stages of references, or of plain folders; what means nothing is told in `unclear`."""
    if not isinstance(text, str):
        found = [_meant(stages, references, unclear, each) for each in text]
        return tuple(stage for each in found for stage in each)
    if not text.startswith("@"):
        path = Path(text).absolute()
        return (Stage(name=path.name, kind="", product=path, keys={}, state="", reason="", job={}),)
    names = references.get(text) or [
        name for name in stages if name == text[1:] or name.startswith(f"{text[1:]}.")
    ]
    if not names:
        unclear.append(f"{text}: the pipeline has no such stage")
    return tuple(stages[name] for name in names if name in stages)


def _guessed(stages: Mapping[str, Stage]) -> tuple[list[Part], list[Part]]:
    """Without a table: every group of runs that is no style, on every dataset they were trained or
    measured on."""
    groups: dict[str, list[Stage]] = {}
    made = {str(stage.product): stage for stage in stages.values() if stage.kind != "evaluate"}
    used: dict[str, Stage] = {}
    for stage in stages.values():
        if stage.kind == "train" and stage.job.get("model") != "aist":
            groups.setdefault(stage.base, []).append(stage)
        if stage.kind == "evaluate":
            used |= {path: made[path] for path in stage.job.get("data", ()) if path in made}
    rows = [Part(name=k, stages=tuple(v), published=k) for k, v in groups.items()]
    tests = [Part(name=s.name, stages=(s,), published=s.name) for s in used.values()]
    return rows, tests


# --- what was measured -------------------------------------------------------------------------


def _evaluations(run: Stage, test: Part) -> Iterator[Evaluated]:
    """The evaluation of a run on a test's dataset, that of its own seed: at most one."""
    wanted = [stage for stage in test.stages if stage.fits(run)] or list(test.stages)
    ids = {stage.dataset for stage in wanted} - {None}
    folders = {str(stage.product) for stage in wanted}
    found = []
    for each in run.evaluations:
        if each.snapshot in ids or (not ids and set(each.data) <= folders):
            found.append(each)
    # The test split, if it was asked about; of others the last in order of name.
    found.sort(key=lambda each: (each.split == "test", each.folder.name))
    yield from found[-1:]


def _style_run(stage: Stage) -> Iterator[StyleRun]:
    try:
        run = Run(stage.product)
        about = run.about
    except (FileNotFoundError, ValueError):
        return
    each = sorted(stage.evaluations, key=lambda one: one.split == "test")
    if each:
        split, metrics, tables = each[-1].split, each[-1].metrics, each[-1].tables
    else:
        split, metrics, tables = "val", (run.result() or {}).get("metrics", {}), {}
    told = tables.get("feature_distance", {})
    yield StyleRun(
        stage=stage,
        split=split,
        metrics=metrics,
        config=about.get("config", {}),
        features=", ".join(str(value) for value in told.values()) if told else "",
    )


# --- as JSON and as rows -----------------------------------------------------------------------


def differences(experiment: Experiment) -> list[dict[str, Any]]:
    """Every row less the first one, on the same test, beside what seeds alone do.

    `spread` is the deviation of such a difference of two means over seeds.
    """
    found = []
    for test in experiment.tests:
        base = experiment.cell(experiment.rows[0], test)
        for row in experiment.rows[1:]:
            cell = experiment.cell(row, test)
            for name in SHAPE[2:]:
                ours, theirs = cell.figure(name), base.figure(name)
                if ours is None or theirs is None:
                    continue
                spread = None
                if ours.spread is not None and theirs.spread is not None:
                    parts = (ours, theirs)
                    spread = float(
                        np.sqrt(sum((p.spread or 0.0) ** 2 / len(p.values) for p in parts))
                    )
                found.append(
                    {
                        "row": row.name,
                        "less": base.row.name,
                        "test": test.name,
                        "metric": name,
                        "difference": ours.mean - theirs.mean,
                        "spread": spread,
                    }
                )
    return found


def flat(experiment: Experiment) -> Iterator[dict[str, Any]]:
    """A row for each run on each test: what figures.csv has."""
    for cell in experiment.cells:
        for one in cell.measured:
            yield {
                "trained_on": cell.row.name,
                "tested_on": cell.test.name,
                "source": "ours",
                "stage": one.run.name,
                "run": short(one.run.product),
                "split": one.found.split,
                "step": one.found.step,
                "dataset": one.found.snapshot,
                **{name: one.metrics.get(name) for name in (*SHAPE, *MASK)},
            }
