"""docs/settings.md tells every setting there is, with its default, and no other."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from farm.settings import Settings

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "settings.md").read_text()
ROWS = {
    key: (variable, default)
    for key, variable, default in re.findall(r"^\| `(\w+)` \| `(\w+)` \| (.*?) ?\| ", PAGE, re.M)
}


def shown(default: object) -> str:
    if default in (None, (), ""):
        return ""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def test_every_key_is_there_and_no_other() -> None:
    assert list(ROWS) == [field.name for field in dataclasses.fields(Settings)]


@pytest.mark.parametrize("field", dataclasses.fields(Settings), ids=lambda field: field.name)
def test_variable_and_default_are_right(field: dataclasses.Field[object]) -> None:
    assert ROWS[field.name] == (f"FARM_{field.name.upper()}", shown(field.default))


def test_every_variable_that_the_code_names_is_there() -> None:
    named = {
        name
        for package in ("farm", "renderer", "trainer")
        for path in (ROOT / package).rglob("*.py")
        for name in re.findall(r"\bFARM_[A-Z]+(?:_[A-Z]+)*\b", path.read_text())
    }

    assert named <= set(re.findall(r"FARM_\w+", PAGE))
