"""The picture of a pipeline: every stage under what it needs; nothing wraps, long ones fold."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from farm.graph import changes, folded, graph, plain
from farm.pipeline import Pipeline, Stage
from farm.pipelines import PipelineRecord, PipelineView, StageView

NEEDS = {
    "render": (),
    "dpc.0": ("render",),
    "dpc.1": ("render",),
    "dpc.2": ("render",),
    "judge.a-very-long-name-of-a-setting.0": ("dpc.0", "render"),
}
STATES = ("done", "failed", "done", "done", "blocked")


def view(states=STATES) -> PipelineView:
    stages = tuple(
        Stage(name=name, kind="train", role="train", id=name, job="{}", product="/x", needs=needs)
        for name, needs in NEEDS.items()
    )
    return PipelineView(
        record=PipelineRecord(
            id="3f2a1b4c5d6e", name="p", file="p.toml", out="/x", state="running", digest=""
        ),
        pipeline=Pipeline(id="3f2a1b4c5d6e", name="p", file="p.toml", out="/x", stages=stages),
        stages=tuple(
            StageView(stage=stage, state=state, reason="bad_input: " + "why " * 40)
            for stage, state in zip(stages, states, strict=True)
        ),
    )


def lines(columns: int, most: int | None = None) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=columns).print(graph(view(), most))
    return file.getvalue().splitlines()


@pytest.mark.parametrize("columns", [70, 100, 140])
def test_nothing_wraps(columns):
    drawn = lines(columns)

    assert len(drawn) == 1 + len(NEEDS)
    assert max(map(len, drawn)) <= columns
    assert "3/5 stages" in drawn[0]


def test_a_stage_stands_under_what_it_needs():
    starts = [line.index(name) for line, name in zip(lines(140)[1:], NEEDS, strict=True)]

    assert starts == [4, 6, 6, 6, 8]


def test_stages_of_one_name_and_state_share_a_line_where_there_are_many():
    assert [(each.stage.name, others) for each, others in folded(view(), 4)] == [
        ("render", 0),
        ("dpc.0", 0),  # failed: told alone
        ("dpc.1", 1),
        ("judge.a-very-long-name-of-a-setting.0", 0),
    ]
    assert [others for _, others in folded(view(), 5)] == [0, 0, 0, 0, 0]
    assert "2 stages" in lines(100, 4)[3]


def test_changes_tell_what_is_new_and_why_it_failed():
    before = view(("done", "running", "submitted", "waiting", "waiting"))

    assert changes(before, before) == []
    assert changes(before, replace(view(), stages=view().stages[:3])) == [
        f"stage dpc.0 failed: {view().stages[1].reason}",
        "stage dpc.1 done",
    ]


def test_a_plain_line_names_what_is_at_work():
    at_work = view(("done", "running", "submitted", "failed", "waiting"))

    assert plain(at_work) == "pipeline p running, 1/5 stages, dpc.0, dpc.1, 1 failed"
