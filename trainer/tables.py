"""Tables of an evaluation, told by their form: how a report shows them.

{"chair": 0.9}                                   a row each
{"chair": {"precision": 1.2, "coverage": 1.4}}   a row each, with columns
[{"views": 1, "accuracy": 0.7}, ...]             a row each
{"views": [1, 2], "accuracy": [0.7, 0.9]}        a column each
[[9, 1], [0, 8]]                                 a confusion: rows are the truth; its names are
                                                 {"names": [...], "matrix": [[...]]}, or a list
                                                 beside it, or the categories
{"edges": [b + 1], "counts": [b]}                a histogram
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

LONGEST = 64
"""Rows of a table, names of a confusion; what is larger is left to the JSON."""


def picture(value: Any) -> str:
    """Whether a table is shown as a picture, and which."""
    matrix: Any = value.get("matrix") if isinstance(value, Mapping) else value
    if is_square(matrix) and len(matrix) <= LONGEST:
        return "confusion"
    return "histogram" if isinstance(value, Mapping) and {"edges", "counts"} <= set(value) else ""


def rows(value: Any) -> list[dict[str, Any]]:
    """A table of one of the forms at the top of this file as rows; none for another."""
    if isinstance(value, Mapping) and value:
        columns = list(value.values())
        if all(is_plain(each) for each in columns):
            return [{"": name, "value": each} for name, each in value.items()]
        if all(isinstance(each, Mapping) for each in columns) and all(
            is_plain(cell) for each in columns for cell in each.values()
        ):
            return [{"": name, **each} for name, each in value.items()]
        if all(is_list(each) for each in columns) and len({len(each) for each in columns}) == 1:
            return [dict(zip(value, row, strict=True)) for row in zip(*columns, strict=True)]
    if isinstance(value, list) and all(isinstance(row, Mapping) for row in value):
        return [dict(row) for row in value]
    if is_plain(value):
        return [{"value": value}]
    return []


def names(value: Any, beside: Mapping[str, Any], categories: Sequence[str]) -> list[str]:
    """Of a confusion's rows and columns: its own, those of a list beside it, or the categories."""
    own = value.get("names") if isinstance(value, Mapping) else None
    count = len(value["matrix"] if isinstance(value, Mapping) else value)
    lists = [each for each in beside.values() if is_list(each)]
    for found in (own, *lists, categories, range(count)):
        if found is not None and len(found) == count:
            break
    return [str(name) for name in found]


def is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def is_list(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(is_plain, value))


def is_square(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) > 1
        and all(is_list(row) and len(row) == len(value) for row in value)
        and all(isinstance(cell, int | float) for row in value for cell in row)
    )
