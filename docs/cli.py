"""Write docs/cli.md from the commands' own help: `make docs`; with --check, only compare."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from farm import kinds
from farm.commands import commands

PAGE = Path(__file__).with_name("cli.md")
HEAD = """# The command line

Written by `make docs` from the commands' own help.
Exit codes: 0 done, 1 not done, 2 wrong use (one line on stderr), 130 after Ctrl-C.
Results go to stdout, progress to stderr; `--json` prints one object.
"""


def words() -> Iterator[tuple[str, ...]]:
    """Every command: `status`, `dataset info`, `submit render`."""
    for word, command in commands().items():
        if word == "submit":
            yield from ((word, kind) for kind in (*kinds.find(()), "pipeline"))
        elif isinstance(command, dict):
            yield from ((word, second) for second in command)
        else:
            yield (word,)


def help_of(command: tuple[str, ...]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "farm.cli", *command, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"},
    )
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


def page() -> str:
    every = [(), *words()]
    with ThreadPoolExecutor(4) as pool:
        helps = list(pool.map(help_of, every))
    parts = [
        f"## farm {' '.join(c)}".rstrip() + f"\n\n```\n{h}\n```\n"
        for c, h in zip(every, helps, strict=True)
    ]
    return "\n".join([HEAD, *parts])


if __name__ == "__main__":
    text = page()
    if sys.argv[1:] == ["--check"]:
        sys.exit(0 if PAGE.read_text() == text else f"{PAGE} is out of date: make docs")
    PAGE.write_text(text)
