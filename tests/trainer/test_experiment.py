"""The report of an experiment tells what its pipeline's folder holds, in one file."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from farm.cli import main
from tests.trainer.experiments import evaluation, figures, make_experiment, warmer
from tests.trainer.segments import pictures_of
from trainer import experiment, looks, published
from trainer.experiment import Figure, Stage, read
from trainer.experiment_page import make, sampled


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment with its report. Only to be read."""
    folder = make_experiment(tmp_path_factory.mktemp("experiment") / "tiny")
    make(folder)
    return folder


@pytest.fixture(scope="module")
def page(made: Path) -> str:
    return (made / "report" / "index.html").read_text()


def pipeline(folder: Path, **changes: Any) -> dict[str, Any]:
    """pipeline.json, changed."""
    note: dict[str, Any] = json.loads((folder / "pipeline.json").read_text())
    note |= changes
    (folder / "pipeline.json").write_text(json.dumps(note))
    return note


class Rows(HTMLParser):
    """The texts of every table row."""

    def __init__(self, html: str):
        super().__init__()
        self.rows: list[list[str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th") and self.rows:
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip() and f"{data.strip()} "

    def find(self, *first: str) -> list[str]:
        rows = [[cell.strip() for cell in row] for row in self.rows]
        return next(row for row in rows if row[: len(first)] == list(first))


class TestReading:
    def test_a_run_is_asked_about_its_own_evaluations(self, made: Path) -> None:
        it = read(made)

        cell = it.cell(it.rows[1], it.tests[1])

        assert [one.run.name for one in cell.measured] == ["dpc2.0", "dpc2.1"]
        assert cell.figure("median_deg") == Figure(values=(8.0, 9.0))
        assert cell.figure("accuracy") == Figure(values=(0.8, 0.8))
        assert cell.figure("nothing") is None

    def test_a_mean_has_the_deviation_over_seeds(self) -> None:
        assert Figure(values=(1.0, 2.0, 3.0)).mean == 2
        assert Figure(values=(1.0, 2.0, 3.0)).spread == 1
        assert Figure(values=(1.0,)).spread is None

    def test_of_tests_with_seeds_a_run_has_that_of_its_own(self, tmp_path: Path) -> None:
        folder = make_experiment(tmp_path / "x")
        note = pipeline(folder)
        note["stages"]["styled.0"] = {**note["stages"].pop("styled"), "keys": {"seed": "0"}}
        note["stages"]["styled.1"] = {**note["stages"]["render"], "keys": {"seed": "1"}}
        pipeline(folder, stages=note["stages"])

        it = read(folder)

        cell = it.cell(it.rows[0], it.tests[1])
        assert [one.metrics["median_deg"] for one in cell.measured] == [9, 9]
        assert cell.measured[0].found.snapshot != cell.measured[1].found.snapshot

    def test_what_is_not_there_yet_is_told_and_the_rest_is_reported(self, tmp_path: Path) -> None:
        folder = make_experiment(tmp_path / "x")
        for path in (folder / "dpc2.1" / "evaluations").glob("*/evaluation.json"):
            path.write_text('{"version": 99}')
        note = pipeline(folder)
        note["experiment"]["tests"].append({"name": "exp 9", "data": "@nothing"})
        pipeline(folder, experiment=note["experiment"])

        html = make(folder).read_text()

        assert "exp 2 on original: no evaluation of dpc2.1" in html
        assert "@nothing: the pipeline has no such stage" in html
        assert Rows(html).find("exp 2", "original", "1")

    def test_a_stage_that_failed_is_told_with_its_reason(self, tmp_path: Path) -> None:
        folder = make_experiment(tmp_path / "x", seeds=1)
        note = pipeline(folder)
        note["stages"]["aist"] |= {"state": "failed", "reason": "no weights <here>"}
        pipeline(folder, stages=note["stages"])

        assert "Stage aist failed: no weights &lt;here&gt;" in make(folder).read_text()

    def test_a_pipeline_that_has_made_nothing_has_a_page(self, tmp_path: Path) -> None:
        folder = make_experiment(tmp_path / "x", seeds=1)
        note = pipeline(folder)
        for each in note["stages"].values():
            each |= {"product": str(tmp_path / "nowhere"), "state": "waiting"}
        pipeline(folder, stages=note["stages"])

        assert "of 8 stages done" in make(folder).read_text()

    def test_without_a_table_runs_are_grouped_by_stage(self, tmp_path: Path) -> None:
        folder = make_experiment(tmp_path / "x")
        note = pipeline(folder, experiment={})
        note["stages"]["judge-dpc.0"]["job"]["data"] = [note["stages"]["render"]["product"]]
        pipeline(folder, stages=note["stages"])

        it = read(folder)

        assert [(row.name, len(row.stages)) for row in it.rows] == [("dpc", 2), ("dpc2", 2)]
        assert [test.name for test in it.tests] == ["render"]

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("{", "pipeline.json is not JSON"),
            ('{"version": 7}', "has version 7; this program reads version 1"),
            ('{"version": 1}', "is not as a pipeline leaves it: KeyError\\('stages'\\)"),
            ('{"version": 1, "stages": {}}', "has no runs to tell of; give it a table"),
        ],
    )
    def test_a_broken_file_is_refused_in_one_line(
        self, tmp_path: Path, text: str, told: str
    ) -> None:
        (tmp_path / "pipeline.json").write_text(text)

        with pytest.raises(ValueError, match=told):
            read(tmp_path)

    def test_a_folder_without_a_pipeline_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"no pipeline in .*: it has no pipeline\.json"):
            read(tmp_path)

    def test_renders_that_stand_in_for_photos_are_known(self, made: Path, tmp_path: Path) -> None:
        it = read(made)
        photos = Stage(
            name="photos", kind="photos", product=tmp_path, keys={}, state="", reason="", job={}
        )

        assert not it.stand_in
        other = read(made)
        object.__setattr__(other, "stages", {**other.stages, "photos": photos})
        assert other.stand_in


class TestPage:
    def test_has_every_row_on_every_test_with_mean_and_spread(self, page: str) -> None:
        rows = Rows(page)

        assert rows.find("original", "original", "2")[3:] == [
            "1.50 ± 0.00", "1.25 ± 0.00", "2.75 ± 0.00", "0.800 ± 0.000", "8.50 ± 0.71",
        ]  # fmt: skip
        assert rows.find("exp 2", "original", "2")[-1] == "7.50 ± 0.71"

    def test_has_the_published_rows_marked_as_such(self, page: str) -> None:
        assert page.count('<tr class="published') == len(published.ROWS)
        assert Rows(page).find("original published", "original")[3:] == [
            "1.60", "1.35", "2.95", "0.82", "6.95",
        ]  # fmt: skip
        assert published.SOURCE in page

    def test_needs_no_other_file(self, page: str) -> None:
        sources = re.findall(r'(?:src|href)="([^"]+)"', page)

        assert sources and all(source.startswith("data:image/png;base64,") for source in sources)

    def test_tells_of_masks_styles_and_what_it_was_made_with(self, made: Path, page: str) -> None:
        it = read(made)

        assert "Masks" in page and "On as many test renders of original" in page
        assert Rows(page).find("aist", "composite", "0.950", "0.700", "0.600", "0.0004")
        assert "ImageNet&#x27;s ResNet-18" in page
        assert "Good ones: realness under each" in page and "Bad ones" in page
        for name in ("render", "styled", "real"):
            assert str(it.stages[name].dataset)[:16] in page
        assert "torch 2.15.0" in page

    def test_has_csv_and_json_beside_it(self, made: Path) -> None:
        folder = made / "report"
        rows = list(csv.DictReader((folder / "figures.csv").read_text().splitlines()))
        told = json.loads((folder / "experiment.json").read_text())

        assert sorted(path.name for path in folder.iterdir()) == [
            "experiment.json", "figures.csv", "index.html",
        ]  # fmt: skip
        assert [row["source"] for row in rows].count("ours") == 2 * 2 * 3
        assert [row["source"] for row in rows].count(published.SOURCE) == len(published.ROWS)
        cell = told["cells"][0]
        assert cell["figures"]["median_deg"] == {
            "mean": 8.5, "spread": pytest.approx(0.7071, abs=1e-4), "values": [8, 9],
        }  # fmt: skip
        assert told["published"][0]["chamfer"] == 2.95
        assert told["datasets"]["render"] == read(made).stages["render"].dataset

    def test_differences_stand_beside_what_seeds_do(self, made: Path) -> None:
        (median,) = [
            one for one in experiment.differences(read(made))
            if (one["test"], one["metric"]) == ("original", "median_deg")
        ]  # fmt: skip

        assert median["difference"] == pytest.approx(-1)
        assert median["spread"] == pytest.approx(np.sqrt(0.5 / 2 + 0.5 / 2))

    def test_the_command_knows_a_pipelines_folder(
        self, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["report", str(made), "--out", str(tmp_path / "page")]) == 0

        assert capsys.readouterr().out.strip() == str(tmp_path / "page" / "index.html")

    def test_names_cannot_break_it(self, tmp_path: Path) -> None:
        folder = make_experiment(tmp_path / "x", seeds=1)
        note = pipeline(folder)
        note["experiment"]["rows"][0]["name"] = "<script>alert(1)</script>"
        pipeline(folder, name="<b>", experiment=note["experiment"])

        html = make(folder).read_text()

        assert "<script" not in html and "<b>" not in html.partition("<h1>")[2][:40]


def test_published_rows_are_found_by_the_names_people_give() -> None:
    for name in ("exp 2", "Experiment 2", "constrained", "exp-2"):
        assert published.canonical(name) == "exp 2"
    for name in ("styled 2", "Stylised-2", "stylized_2"):
        assert published.canonical(name) == "stylized 2"
    for row in published.ROWS.values():
        assert row["precision"] + row["coverage"] == pytest.approx(row["chamfer"], abs=0.011)


def test_of_errors_as_many_are_taken_as_there_are_real_ones() -> None:
    errors = np.arange(100.0)

    assert len(sampled(errors, 20)) == 20 == len(set(sampled(errors, 20)))
    assert (sampled(errors, 20) == sampled(errors, 20)).all()
    assert sampled(errors, 500) is errors


def test_a_judge_tells_what_it_learnt_and_ranks_between(made: Path) -> None:
    plain = pictures_of(made / "render", "train") + pictures_of(made / "render", "val")
    judge = looks.learn([warmer(p) for p in plain], plain)
    new = pictures_of(made / "render", "test")

    means = [
        float(judge.realness([warmer(p, strength) for p in new]).mean())
        for strength in (0, 1 / 3, 2 / 3, 1)
    ]

    assert means == sorted(means)
    assert means[0] < 0.3 and means[-1] > 0.7


def test_a_judge_wants_both_kinds() -> None:
    with pytest.raises(ValueError, match="both kinds"):
        looks.learn([], [np.zeros((8, 8, 4), np.uint8)])


def test_a_change_of_colours_counts_inside_of_the_outline_alone() -> None:
    parent = np.zeros((8, 8, 4), np.uint8)
    parent[2:6, 2:6] = (100, 100, 100, 255)
    styled = parent.copy()
    styled[2:6, 2:6, 0] += 51
    styled[0, 0, :3] = 255

    assert looks.change(parent, parent) == 0
    assert looks.change(parent, styled) == pytest.approx(51 / 3 / 255)


def test_an_evaluation_of_another_split_does_not_stand_for_the_test(tmp_path: Path) -> None:
    folder = make_experiment(tmp_path / "x", seeds=1)
    old = evaluation(folder / "dpc.0", folder / "render", figures(99.0))
    note = json.loads((old / "evaluation.json").read_text())
    other = old.with_name("val-" + old.name.partition("-")[2])
    old.rename(other)
    (other / "evaluation.json").write_text(json.dumps({**note, "split": "val"}))
    evaluation(folder / "dpc.0", folder / "render", figures(3.0))

    it = read(folder)

    assert it.cell(it.rows[0], it.tests[0]).figure("median_deg") == Figure(values=(3.0,))


def test_figures_of_renders_are_of_as_many_as_are_real(made: Path, page: str) -> None:
    it = read(made)
    cell = it.cell(it.rows[0], it.tests[0])
    means = [float(sampled(one.errors, 4).mean()) for one in cell.measured]

    row = Rows(page).find("original", "renders (4)", "2")

    assert row[3] == f"{np.mean(means):.3f} ± {np.std(means, ddof=1):.3f}"
