"""Charts and graphs: what is drawn, and that nothing that is written in them is more than text."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import pytest

from farm.web import dag, svg
from farm.web.curves import MOST_POINTS, Runs
from farm.web.dag import Node


def node(name: str, *needs: str, state: str = "done", share: float | None = None) -> Node:
    told = {"label": name, "title": name, "told": state, "link": ""}
    return Node(name=name, state=state, share=share, needs=needs, **told)


def parsed(text: str) -> ET.Element:
    return ET.fromstring(text)


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (0, 1, [0, 0.25, 0.5, 0.75, 1]),
        (0, 97, [0, 25, 50, 75]),
        (-0.3, 0.3, [-0.2, 0, 0.2]),
        (3, 3, [3]),
    ],
)
def test_marks_are_round_numbers_within_the_range(
    low: float, high: float, wanted: list[float]
) -> None:
    assert svg.ticks(low, high) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("value", "told"),
    [(1234567, "1.23M"), (1500, "1.5k"), (0.25, "0.25"), (3e-6, "3e-6"), (0, "0"), (-20.0, "-20")],
)
def test_numbers_are_told_in_few_letters(value: float, told: str) -> None:
    assert svg.short(value) == told


def test_a_value_falls_into_its_bin_and_the_highest_into_the_last() -> None:
    assert svg.binned([0, 0.9, 1, 9.99, 10, 11, -1], 0, 10, 10) == [2, 1, 0, 0, 0, 0, 0, 0, 0, 2]


def test_a_line_is_broken_where_there_is_no_number() -> None:
    picture = svg.lines({"train": [(1, 2.0), (2, math.nan), (3, 1.0), (4, 1.5)]}, label="loss")

    (line,) = parsed(picture).findall("./path[@class='line train']")
    assert line.get("d", "").count("M") == 2
    assert "nan" not in picture


def test_what_falls_by_a_hundred_times_is_drawn_by_powers_of_ten() -> None:
    picture = svg.lines({"train": [(n, 10.0 ** (3 - n)) for n in range(6)]}, label="loss")

    assert {"1k", "0.1", "0.01"} & {text.text for text in parsed(picture).iter("text")}


@pytest.mark.parametrize("values", [[], [math.nan], [1.0], [5.0, 5.0], [0.0, -1.0]])
def test_few_or_strange_numbers_break_no_chart(values: list[float]) -> None:
    points = list(enumerate(values))
    for picture in (
        svg.lines({"val": points}, label="x"),
        svg.spark(points, label="x"),
        svg.histogram(values, label="x", low=0, high=10, bins=5),
    ):
        assert not picture or parsed(picture).tag == "svg"


def test_the_zenith_is_in_the_middle_and_azimuth_90_above() -> None:
    picture = parsed(svg.sky([(0, 90), (90, 0)], label="views", side=200))

    dots = picture.find("./path[@class='dots']")
    assert dots is not None and dots.get("d") == "M100.0 100.0h0M100.0 20.0h0"


def test_every_camera_of_a_rig_is_drawn_however_many_shapes_it_saw() -> None:
    rig = [(15.0 * view, 20.0) for view in range(24)]

    dots = parsed(svg.sky(rig * 110, label="views")).find("./path[@class='dots']")

    assert dots is not None and str(dots.get("d")).count("M") == 24


def test_of_many_random_views_the_drawn_ones_lie_all_around() -> None:
    views = [(360 * n / 5000, (7 * n) % 40.0) for n in range(5000)]

    dots = parsed(svg.sky(views, label="views", side=200)).find("./path[@class='dots many']")

    assert dots is not None
    drawn = str(dots.get("d")).split("M")[1:]
    left = sum(float(one.split()[0]) < 100 for one in drawn)
    assert len(drawn) <= svg.DOTS
    assert 0.4 < left / len(drawn) < 0.6


def test_labels_are_text() -> None:
    evil = '<script>"&'
    pictures = [
        svg.lines({evil: [(1, 1.0), (2, 2.0)]}, label=evil),
        svg.histogram([1], label=evil, low=0, high=2, bins=2, unit=evil),
        dag.picture([node(evil, state=evil)]),
    ]

    for picture in pictures:
        assert "<script" not in picture
        assert parsed(picture).tag == "svg"


def test_a_need_that_another_need_has_already_is_not_drawn() -> None:
    needs = {"render": [], "dpc": ["render"], "judge": ["dpc", "render"]}

    assert dag.reduced(needs)["judge"] == ["dpc"]


def test_a_stage_lies_right_of_what_it_needs_and_a_long_line_has_a_place() -> None:
    needs = {"a": [], "b": ["a"], "c": ["b"], "d": ["c"], "x": [], "e": ["d", "x"]}

    columns, pieces = dag.layers(needs)

    where = {name: number for number, column in enumerate(columns) for name in column}
    assert all(where[b] == where[a] + 1 for a, b in pieces)
    assert sum(name.startswith(">x>e") for name in where) == 3


def test_lines_cross_no_more_than_they_must() -> None:
    # Written down in the worst order: each of the second row needs the one farthest away.
    needs: dict[str, list[str]] = {f"a{n}": [] for n in range(5)}
    needs |= {f"b{n}": [f"a{4 - n}"] for n in range(5)}
    needs |= {f"c{n}": [f"b{(n + 2) % 5}"] for n in range(5)}

    columns, pieces = dag.layers(needs)

    assert dag.crossings(columns, pieces) == 0


def test_every_stage_and_line_is_drawn_and_nothing_overlaps() -> None:
    found = [node("a"), node("b", "a"), node("c", "a"), node("d", "b", "c", "a", share=0.5)]
    picture = parsed(dag.picture([*found[:3], found[3]]))

    assert len(picture.findall("./path")) == 4
    places, _ = dag.placed(*_columns(found))
    boxes = [places[n.name] for n in found]
    for number, (x, y) in enumerate(boxes):
        for x1, y1 in boxes[:number]:
            assert abs(x - x1) >= dag.WIDTH or abs(y - y1) >= dag.HEIGHT


def _columns(found: list[Node]) -> tuple[list[list[str]], dict[str, Node]]:
    needs = dag.reduced({n.name: list(n.needs) for n in found})
    return dag.layers(needs)[0], {n.name: n for n in found}


# --- curves ------------------------------------------------------------------------------------


def line(step: int, split: str = "train", **values: float | None) -> str:
    return json.dumps({"step": step, "split": split, **values}) + "\n"


def test_only_what_is_new_is_read_and_a_line_that_is_cut_off_waits(tmp_path: Path) -> None:
    path, runs = tmp_path / "metrics.jsonl", Runs()
    path.write_text(line(1, loss=3.0) + line(2, loss=2.0)[:-5])

    first = runs.curves(path)
    path.write_text(line(1, loss=9.0) + line(2, loss=2.0))  # the first is not looked at again
    second = runs.curves(path)

    assert first and first.names == {"loss": {"train": [(1, 3.0)]}}
    assert second and second.names == {"loss": {"train": [(1, 3.0), (2, 2.0)]}}


def test_a_run_that_went_back_to_a_checkpoint_is_read_anew(tmp_path: Path) -> None:
    path, runs = tmp_path / "metrics.jsonl", Runs()
    path.write_text("".join(line(step, loss=step) for step in range(1, 9)))
    runs.curves(path)
    new = tmp_path / "new"
    new.write_text(line(1, loss=1.0) + line(2, loss=7.0))
    new.replace(path)

    found = runs.curves(path)

    assert found and (found.step, found.names["loss"]["train"]) == (2, [(1, 1.0), (2, 7.0)])


def test_of_a_long_run_few_points_are_kept_evenly_with_the_newest(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(line(step, loss=1.0) for step in range(1, 10_001)))

    found = Runs().curves(path)

    assert found
    steps = [step for step, _ in found.names["loss"]["train"]]
    assert MOST_POINTS / 2 <= len(steps) <= MOST_POINTS + 1
    assert steps[-1] == 10_000
    assert len({b - a for a, b in pairwise(steps[:-1])}) == 1


def test_what_is_no_number_or_no_line_of_metrics_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("no json\n[]\n" + line(1, loss=None, lr=0.1) + '{"loss": 1}\n')

    found = Runs().curves(path)

    assert found and found.names == {"lr": {"train": [(1, 0.1)]}}


def test_without_a_file_there_are_no_curves(tmp_path: Path) -> None:
    assert Runs().curves(tmp_path / "none") is None
