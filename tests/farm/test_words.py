"""Counts and commands, as people read and type them."""

from __future__ import annotations

import pytest

from farm.words import count, typed


@pytest.mark.parametrize(
    ("text", "under_uv"),
    [
        ("  prove it      farm dataset verify x", "  prove it      uv run farm dataset verify x"),
        ("`farm resume 3f2a` goes on", "`uv run farm resume 3f2a` goes on"),
        ("`farm models` lists them", "`uv run farm models` lists them"),
        ("  look at it    farm report runs/rn", "  look at it    uv run farm report runs/rn"),
        ("farm: no job 'up'", "farm: no job 'up'"),
        ("the farm runs; ~/farm logs/x", "the farm runs; ~/farm logs/x"),
    ],
)
def test_commands_are_told_as_they_were_typed(text, under_uv):
    assert typed(text, {}) == text
    assert typed(text, {"UV_RUN_RECURSION_DEPTH": "1"}) == under_uv


def test_one_is_not_many():
    assert [count(n, "shape") for n in (0, 1, 2000)] == ["0 shapes", "1 shape", "2,000 shapes"]
