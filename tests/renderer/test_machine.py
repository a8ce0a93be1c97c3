"""What a child program is told about its machine."""

from __future__ import annotations

import pytest

from renderer import machine


@pytest.mark.parametrize(("told", "threads"), [("3", 3), ("0", None), ("", None)])
def test_threads_are_as_many_as_told_and_0_is_no_limit(
    told: str, threads: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARM_THREADS", told)

    assert machine.threads() == threads
