"""metrics.jsonl is the truth; TensorBoard is a view of it."""

from __future__ import annotations

import json
import math

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from trainer.tracker import Tracker, read


def test_lines_are_json_and_curves_are_the_same(tmp_path):
    with Tracker(tmp_path, 0) as tracker:
        for step in (1, 2, 3):
            tracker.write(step, "train", loss=1 / step)
        tracker.write(3, "val", accuracy=0.5)

    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == read(tmp_path / "metrics.jsonl")
    assert lines[-1] == {"step": 3, "split": "val", "accuracy": 0.5}
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    curve = [(event.step, round(event.value, 6)) for event in board.Scalars("train/loss")]
    assert curve == [(1, 1.0), (2, 0.5), (3, 0.333333)]


def test_lines_of_steps_that_are_done_again_are_taken_back(tmp_path):
    with Tracker(tmp_path, 0) as tracker:
        for step in range(1, 6):
            tracker.write(step, "train", loss=float(step))
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 6, "sp')  # killed while it was written

    with Tracker(tmp_path, 3) as tracker:
        tracker.write(4, "train", loss=40.0)

    losses = {line["step"]: line["loss"] for line in read(tmp_path / "metrics.jsonl")}
    assert losses == {1: 1.0, 2: 2.0, 3: 3.0, 4: 40.0}
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in board.Scalars("train/loss")][-2:] == [(3, 3.0), (4, 40.0)]


def test_what_is_no_number_is_null(tmp_path):
    with Tracker(tmp_path, 0) as tracker:
        line = tracker.write(1, "train", loss=1.0, share=math.nan)

    assert line["share"] is None
    assert read(tmp_path / "metrics.jsonl") == [line]
