"""Which build of the farm this is, so that machines can tell whether they run the same."""

from __future__ import annotations

import csv
import functools
import hashlib
import importlib.metadata

NAME = "shapefarm"


@functools.cache
def version() -> str:
    """This installation's: "0.1.0+3f2a9c1b" of a wheel, "0.1.0" of a clone, which may change."""
    distribution = importlib.metadata.distribution(NAME)
    return build(distribution.version, distribution.read_text("RECORD") or "")


def build(number: str, record: str) -> str:
    """The version of a wheel, from its number and the text of its RECORD, packed or installed.

    RECORD has the hash of every file. Those of the packages alone are told: an installer adds
    lines of its own about scripts, compiled files and where the wheel came from.
    """
    files = sorted(
        f"{row[0]} {row[1]}\n"
        for row in csv.reader(record.splitlines())
        if len(row) == 3 and row[1] and _of_a_package(row[0])
    )
    if not files:
        return number
    return f"{number}+{hashlib.sha256(''.join(files).encode()).hexdigest()[:8]}"


def _of_a_package(path: str) -> bool:
    top = path.partition("/")[0]
    return "/" in path and "." not in top and "__pycache__" not in path
