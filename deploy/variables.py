"""Files of variables, as both a shell and systemd (EnvironmentFile=) read them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

PROGRAM, WORDS = "UNIT_PROGRAM", "UNIT_WORDS"
"""A unit's `farm`, of the version that it was started from, and the words after it."""
LINE = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="(.*)"')
SPECIAL = re.compile(r'([`"$\\])')  # in double quotes, to a shell and to systemd alike


def text(variables: Mapping[str, str]) -> str:
    """A file of variables; their values are of one line."""
    lines = [f'{name}="{_escaped(value)}"\n' for name, value in variables.items()]
    return "".join(lines)


def read(file: str) -> dict[str, str]:
    """The variables in such a file."""
    matches = (LINE.fullmatch(line) for line in file.splitlines())
    return {match[1]: re.sub(r"\\(.)", r"\1", match[2]) for match in matches if match}


def _escaped(value: str) -> str:
    return SPECIAL.sub(r"\\\1", value)
