"""The datasets that the trainer's tests use are as true as rendered ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from renderer.content import problems_of_sample
from renderer.members import PASSES
from renderer.shards import Dataset
from tests.trainer.datasets import make_dataset


@pytest.mark.parametrize("cameras", ["dpc", "circle", "dodecahedron"])
def test_a_drawn_dataset_keeps_the_content_rules(tmp_path: Path, cameras: str) -> None:
    make_dataset(tmp_path, ("a", "b", "c", "d"), 2, cameras=cameras, size=48, passes=PASSES)

    for sample in Dataset(tmp_path):
        assert problems_of_sample(sample.meta, sample.arrays(), PASSES, 256) == []


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    one, two = make_dataset(tmp_path / "one"), make_dataset(tmp_path / "two")

    assert {p.name: p.read_bytes() for p in one.iterdir()} == {
        p.name: p.read_bytes() for p in two.iterdir()
    }
