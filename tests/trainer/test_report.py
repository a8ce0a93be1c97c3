"""A report tells all that a run's folder holds, and needs nothing but its own folder."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from farm import cli
from farm.cli import main
from farm.commands import commands
from tests.trainer.datasets import make_dataset
from trainer import atomic, page, tables
from trainer.catalogue import entry
from trainer.jobs.train import Job, resolve, with_options
from trainer.report import command, make
from trainer.run import JOB, VERSION, Run, identity
from trainer.start import train

DOUBLES = Path(__file__).parent / "doubles"
# The double of the trainer's tests, with pictures of its own.
PICTURED = '''
"""A double that draws."""
import numpy as np
from trainer import plots
from trainerdouble.models.double import (
    Config, build, check, evaluate, examples, loss, optimizer, PRESETS,
)

PAPER = "A. Nobody & B. Someone: <Nothing>, 2018"
NEEDS = "pictures"

def report(config, evaluation, folder):
    scores = evaluation.arrays["scores"]
    if not len(scores):
        raise ArithmeticError("no scores")
    plots.image_grid(folder / "scores.png", [[scores.clip(0, 1)]])
    plots.confusion(folder / "drawn.png", evaluation.tables["drawn"], ["a", "b"])
    plots.orbit_gif(folder / "turn.gif", [scores], frames=2, size=16)
    return [("scores.png", "What it said"), ("drawn.png", "Drawn"), ("turn.gif", "A turn")]
'''
MATRIX = [[2, 1], [0, 3]]


class Lease:
    """Nobody is told."""

    def found(self, item: str, **units: int) -> None: ...
    def finish(self, item: str, **units: int) -> None: ...
    def progress(self, **words: Any) -> None: ...
    def commit(self) -> None: ...


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    package = tmp_path_factory.mktemp("doubles") / "drawingdouble"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "pictured.py").write_text(PICTURED)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOUBLES))
        patch.syspath_prepend(str(package.parent))
        patch.setenv("FARM_MODEL_PACKAGES", "drawingdouble")
        yield patch
    for name in [name for name in sys.modules if name.startswith(("drawingdouble", "trainerd"))]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def trained(models: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few steps, with an evaluation."""
    folder = tmp_path_factory.mktemp("trained")
    make_dataset(folder / "blocks", ["<b>cars", "chairs"], shapes=5, size=16, points=8)
    job = Job(
        model="pictured", data=(str(folder / "blocks"),), out=str(folder / "run"), preset="tiny",
        steps=6, seed=3, device="cpu", loaders=0, config={"kernels": [5, 3], "norm": False},
    )  # fmt: skip
    train(resolve(job, folder), Lease())
    evaluated(folder / "run", {"drawn": MATRIX, "confusion": MATRIX, "by_class": {"cars": 0.25}})
    return folder / "run"


@pytest.fixture(scope="module")
def made(trained: Path) -> Path:
    """Its report, for tests that only look."""
    return make(trained)


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """The same run, for a test to spoil."""
    ignored = shutil.ignore_patterns("report")
    return Path(shutil.copytree(trained, tmp_path / "run", ignore=ignored))


def evaluated(run: Path, found: dict[str, Any], split: str = "test", scores: int = 4) -> None:
    """What evaluate leaves."""
    it = Run(run)
    note = {
        "version": VERSION,
        "split": split,
        "snapshot": it.snapshot().id,
        "data": list(it.job.data),
        "step": 6,
        "metrics": {"accuracy": 0.625, "chamfer_x100": 12.5},
        "tables": found,
        "facts": dataclasses.asdict(it.snapshot().facts),
    }
    folder = run / "evaluations" / f"{split}-{it.snapshot().id[:8]}"
    atomic.write_json(folder / "evaluation.json", note)
    np.savez(folder / "evaluation.npz", scores=np.full((scores, 3), 0.5))


class Seen(HTMLParser):
    """The words of a page, and the files it shows."""

    def __init__(self, path: Path):
        super().__init__()
        self.files: list[str] = []
        self.tags: list[str] = []
        self._words: list[str] = []
        self.source = path.read_text()
        self.feed(self.source)
        self.words = " ".join(" ".join(self._words).split())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.files += [str(v) for k, v in attributes if k in ("src", "srcset", "href")]

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] != ["style"]:
            self._words.append(data)


# --- the page -------------------------------------------------------------------------------------


def test_a_report_tells_what_was_trained_on_what_by_which_command(
    trained: Path, made: Path
) -> None:
    seen, run = Seen(made), Run(trained)

    about = run.about
    (start,) = about["starts"]
    for told in (
        "pictured", "A. Nobody & B. Someone: <Nothing>, 2018",
        command(run), *run.job.data, about["snapshot"][:16],
        "8 train, 2 test; 2 categories; 5 views (dpc) of 16 x 16",
        "seed 3", f"{start['threads']} threads", f"torch {start['versions']['torch']}",
        "kernels 5 3", "norm no", "accuracy (test)", "0.625", "12.5",
    ):  # fmt: skip
        assert told in seen.words, told


def test_the_command_of_a_report_makes_the_same_job(trained: Path) -> None:
    run = Run(trained)
    told = shlex.split(command(run))

    assert told[:3] == ["farm", "submit", "train"]
    submit = commands()["submit"]["train"]
    parsed = cli._parse(submit.choose(told[3:]), told[:3], told[3:])
    job = resolve(with_options(parsed.job, parsed.more), Path.cwd())
    assert identity(job) == identity(run.job)


def test_a_page_shows_only_files_beside_it_and_needs_no_network(made: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(made.parent, tmp_path / "elsewhere")

    seen = Seen(moved / "index.html")

    assert {"curves/loss.png", "curves/loss.dark.png"} <= set(seen.files)
    assert all((moved / name).is_file() for name in seen.files)
    assert not {"script", "link", "iframe", "object", "base"} & set(seen.tags)
    assert not re.search(r"https?:|url\(|@import", seen.source)


def test_every_number_that_training_followed_has_its_curve(trained: Path, made: Path) -> None:
    followed = {name for line in Run(trained).metrics() for name in line}

    seen = Seen(made)

    wanted = followed - {"step", "split", "seconds"}
    assert {"loss", "lr", "images_per_s", "accuracy"} <= wanted
    assert wanted == {Path(f).stem for f in seen.files if f.startswith("curves/")} - {
        f"{name}.dark" for name in wanted
    }


def test_pictures_are_shown_at_the_size_they_were_drawn_for(made: Path) -> None:
    target = made.parent

    sizes = re.findall(
        r'src="([^"]+)" width="(\d+)" height="(\d+)"', Seen(target / "index.html").source
    )

    assert {Path(name).suffix for name, *_ in sizes} == {".png", ".gif"}
    for name, width, height in sizes:
        with Image.open(target / name) as image:
            density = 2 if name.endswith(".png") else 1
            assert image.size == (int(width) * density, int(height) * density)


def test_the_same_run_gives_the_same_page(trained: Path, made: Path) -> None:
    files = {path: path.read_bytes() for path in made.parent.rglob("*") if path.is_file()}

    make(trained)

    assert {path: path.read_bytes() for path in made.parent.rglob("*") if path.is_file()} == files


def test_a_run_that_has_not_begun_has_a_report(run: Path) -> None:
    for path in run.iterdir():
        if path.name not in (JOB, "data.json"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    seen = Seen(make(run))

    assert "No step of training is on record yet." in seen.words
    assert "of 6 steps" in seen.words


def test_a_number_that_was_none_leaves_a_gap(run: Path) -> None:
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 7, "split": "train", "seconds": 1.0, "loss": null, "never": null}\n')

    seen = Seen(make(run))

    assert "curves/never.png" in seen.files


# --- evaluations ----------------------------------------------------------------------------------


def test_what_a_number_is_compared_with_is_in_its_own_picture(run: Path) -> None:
    def measured(step: int, **values: float) -> str:
        return json.dumps({"step": step, "split": "val", **values}) + "\n"

    lines = [
        measured(1, accuracy=0.1, accuracy_chance=0.25, cover_nearest=1.0, loss_random=3.0),
        measured(2, accuracy=0.4, accuracy_chance=0.25, cover_nearest=1.0, loss=2.0),
        measured(3, loss=2.0, loss_random=4.0),
    ]
    (run / "metrics.jsonl").write_text("".join(lines))

    page = make(run).read_text()

    shown = set(re.findall(r"curves/(\w+)\.png", page))
    # What another is compared with does not change, and there is that other.
    assert shown == {"accuracy", "cover_nearest", "loss", "loss_random"}


def test_an_evaluation_s_tables_and_the_model_s_own_pictures_are_shown(made: Path) -> None:
    seen = Seen(made)

    (folder,) = {name.split("/")[0] for name in seen.files} - {"curves"}
    shown = [name.removeprefix(f"{folder}/") for name in seen.files if name.startswith(folder)]
    # `drawn` is shown as the model drew it, and not twice
    assert sorted(name for name in shown if "dark" not in name) == [
        "confusion.png", "drawn.png", "scores.png", "turn.gif",
    ]  # fmt: skip
    assert "By class" in seen.words and "cars 0.250" in seen.words and "What it said" in seen.words


def test_a_model_whose_pictures_fail_still_has_a_report(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    evaluated(run, {"confusion": MATRIX}, scores=0)

    seen = Seen(make(run))

    assert "pictures of pictured could not be made: ArithmeticError('no scores')" in seen.words
    assert "no pictures model=pictured" in caplog.text
    assert any(name.endswith("/confusion.png") for name in seen.files)


def test_names_from_data_are_told_literally(run: Path) -> None:
    evaluated(run, {"by_class": {"<b>cars": 0.5, "a & b": 1.0}, "<i>": {"x": 1}})

    seen = Seen(make(run))

    assert "<b>cars 0.500" in seen.words and "a & b 1.000" in seen.words and "<i>" in seen.words
    assert "i" not in seen.tags


@pytest.mark.parametrize(
    ("value", "rows"),
    [
        ({"car": 0.5, "lamp": None}, [{"": "car", "value": 0.5}, {"": "lamp", "value": None}]),
        ({"car": {"p": 1, "c": 2}, "lamp": {"c": 3}},
         [{"": "car", "p": 1, "c": 2}, {"": "lamp", "c": 3}]),
        ([{"a": 1}, {"b": 2}], [{"a": 1}, {"b": 2}]),
        ({"n": [1, 2], "x": [0.1, 0.2]}, [{"n": 1, "x": 0.1}, {"n": 2, "x": 0.2}]),
        (3, [{"value": 3}]),
        ({"n": [1, 2], "x": [0.1]}, []),
        ({"n": {"m": [1]}}, []),
        ({}, []),
        ([], []),
    ],
)  # fmt: skip
def test_a_table_is_told_by_its_form(value: Any, rows: list[dict[str, Any]]) -> None:
    assert tables.rows(value) == rows


@pytest.mark.parametrize(
    ("value", "beside", "names"),
    [
        (MATRIX, {}, ["cars", "chairs"]),
        (MATRIX, {"angles": [0, 180], "loss": 1.0}, ["0", "180"]),
        ({"matrix": MATRIX, "names": ["p", "q"]}, {"angles": [0, 180]}, ["p", "q"]),
        ([[1, 0, 0], [0, 1, 0], [0, 0, 1]], {"angles": [0, 180]}, ["0", "1", "2"]),
    ],
)
def test_a_confusion_has_the_names_that_fit_it(
    value: Any, beside: dict[str, Any], names: list[str]
) -> None:
    assert tables.picture(value) == "confusion"
    assert tables.names(value, beside, ["cars", "chairs"]) == names


@pytest.mark.parametrize("value", [[[1]], [[1, 2], [3]], [[1, None], [2, 3]], {"edges": [1, 2]}])
def test_what_is_no_picture_is_none(value: Any) -> None:
    assert tables.picture(value) == ""


def test_a_table_too_long_for_a_page_is_folded_away(run: Path) -> None:
    evaluated(run, {"every_shape": [{"key": f"car-{n}", "error": n} for n in range(500)]})

    seen = Seen(make(run))

    assert "as JSON" in seen.words and "car-0" in seen.words and "car-499" not in seen.words


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.1 + 0.2, "0.3"), (1234567, "1,234,567"), (12345.6, "12,346"), (0.000012345, "1.23e-05"),
        (0.0, "0"), (-1.0, "-1"), (float("nan"), "-"), (None, "-"), (True, "yes"), ("a", "a"),
    ],
)  # fmt: skip
def test_numbers_are_told_in_four_digits(value: object, told: str) -> None:
    assert page.number(value) == told


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (3725, "1 h 02 min")]
)
def test_durations_are_told_in_two_units(seconds: float, told: str) -> None:
    assert page.duration(seconds) == told


# --- the command ----------------------------------------------------------------------------------


def test_farm_report_prints_where_the_page_is(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(run), "--out", str(tmp_path / "there"), "--json"]) == 0

    told = json.loads(capsys.readouterr().out)
    assert told == {"run": str(run), "page": str(tmp_path / "there" / "index.html")}
    assert Path(told["page"]).is_file() and not (run / "report").exists()


def test_a_folder_that_is_no_run_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path)]) == 1

    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1
    assert f"no run in {tmp_path}" in told.err


def test_a_report_of_a_model_that_is_gone_is_told_in_one_line(
    run: Path, capsys: pytest.CaptureFixture[str], models: pytest.MonkeyPatch
) -> None:
    note = json.loads((run / JOB).read_text())
    note["job"]["model"] = "gone"
    (run / JOB).write_text(json.dumps(note))

    assert main(["report", str(run)]) == 2

    assert capsys.readouterr().err.startswith("farm: no model 'gone'; ")


def test_the_catalogue_knows_presets_that_come_from_elsewhere(models: pytest.MonkeyPatch) -> None:
    assert [preset.steps for preset in entry("pictured").presets] == [20, 40, 400]
