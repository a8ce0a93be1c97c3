"""Words for people: counts, and commands as this person types them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

# `farm status` and the like within a text; the folder of a person may be named farm as well.
COMMAND = re.compile(
    r"(?<![\w/.-])farm (?=(?:submit|status|watch|logs|pause|resume|cancel|retry|shapes|dataset"
    r"|models|report|up|down|workers|dashboard|doctor|controller|worker|deploy)\b)"
)

# What moves the cursor or colours a terminal: whoever wrote a text does not own its reader's.
CONTROL = {code: None for code in (*range(32), *range(127, 160)) if code != ord("\t")}


def plain(text: str) -> str:
    """Somebody else's text, its lines as they are, without what a terminal would obey."""
    return "\n".join(line.translate(CONTROL) for line in text.split("\n"))


def typed(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """A text whose commands begin with `uv run` where this program was started so."""
    return COMMAND.sub("uv run farm ", text) if "UV_RUN_RECURSION_DEPTH" in environ else text


def count(number: int, thing: str) -> str:
    """1 shape, 2 shapes, 1,000 shapes."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
