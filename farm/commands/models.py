"""`farm models`: what can be trained, after which paper, on what data."""

from __future__ import annotations

import json as json_
import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.catalogue import Entry


@dataclass(frozen=True, kw_only=True)
class Models:
    """What can be trained: the paper, the data it needs, its presets.

        farm models

    A preset's own numbers are `farm submit train --model NAME --help`.
    """

    json: bool = False
    """Print one JSON object."""

    def __call__(self) -> int:
        from trainer.catalogue import catalogue

        found = list(catalogue())
        if self.json:
            print(json_.dumps({"models": [asdict(entry) for entry in found]}))
        elif not found:
            print("no models here")
        else:
            print("\n\n".join("\n".join(_lines(entry)) for entry in found))
        return 0


COMMANDS = {"models": Models}


def _lines(entry: Entry) -> Iterator[str]:
    """A model for people."""
    yield f"{entry.name}: {entry.about}" if entry.about else entry.name
    yield from _wrapped("paper", entry.paper)
    yield from _wrapped("needs", entry.needs)
    width = max((len(preset.name) for preset in entry.presets), default=0)
    for number, preset in enumerate(entry.presets):
        size = "? (needs the train extra)"
        if preset.steps is not None and preset.batch is not None:
            size = f"{preset.steps:>7,} steps of {preset.batch:,}"
        yield f"  {'presets' if not number else '':<9}{preset.name:<{width}}  {size}"


def _wrapped(word: str, text: str) -> list[str]:
    width = min(100, shutil.get_terminal_size((100, 24)).columns)
    return textwrap.wrap(
        text,
        max(40, width),
        initial_indent=f"  {word:<9}",
        subsequent_indent=" " * 11,
        break_long_words=False,
    )
