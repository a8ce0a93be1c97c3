"""The commands of `farm`, found by folder: adding one file adds its commands.

Each module here has `COMMANDS`, from a word to a class, or to a dictionary of classes for a
command of two words (`farm dataset info DIR`):

    from tyro.conf import Positional

    @dataclass(frozen=True, kw_only=True)
    class Info:
        \"\"\"What a dataset holds.                        (first line: its line in `farm --help`)

        More words for `farm dataset info --help`, with an example:

            farm dataset info data/cars
        \"\"\"

        dir: Positional[str]
        \"\"\"Folder of the dataset.\"\"\"
        json: bool = False
        \"\"\"Print one JSON object.\"\"\"

        def __call__(self) -> int:
            from renderer.dataset import ...     heavy imports only inside
            ...
            return 0

    COMMANDS = {"dataset": {"info": Info, "verify": Verify}}

Calling it does the work and returns the exit code: 0 done, 1 not done, 2 wrong use.
Results go to stdout, progress and one-line errors to stderr, `--json` prints one object.
ValueError, OSError and FarmError that leave the call are told in one line and exit 2, 1 and 1;
KeyboardInterrupt exits 130. Never print a traceback for what a person got wrong.
The top of a module imports only the standard library and `tyro.conf`: `farm --help` imports all
of them. Words of one group may come from several modules (their dictionaries are merged).
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any

Command = Callable[..., Any]
"""A frozen dataclass whose instances are called to do the work."""


def commands() -> dict[str, Command | Mapping[str, Command]]:
    """Every word a person can type after `farm`, merged over the modules of this folder."""
    found: dict[str, Any] = {}
    for info in sorted(pkgutil.iter_modules(__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{__name__}.{info.name}")
        for word, command in module.COMMANDS.items():
            if isinstance(command, dict) and isinstance(found.get(word), dict):
                found[word] = {**found[word], **command}
            else:
                assert word not in found, f"{module.__name__} defines {word!r} again"
                found[word] = command
    return found
