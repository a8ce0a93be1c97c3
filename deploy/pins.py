"""Write the exact versions of every dependency into pyproject.toml: `make pins`.

uv.lock would do the same and record the address of the registry that it was made with; a list of
constraints is read by uv in a clone, and by uv and pip wherever a wheel is installed.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

BEGIN, END = "  # pins begin\n", "  # pins end\n"
COMMAND = ("uv", "export", "--all-extras", "--no-hashes", "--no-header", "--no-annotate")


def main() -> int:
    pyproject = Path("pyproject.toml")
    text = pyproject.read_text()
    head, tail = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    pyproject.write_text(head + tail)  # without the old pins, so that uv looks for the newest
    try:
        Path("uv.lock").unlink(missing_ok=True)
        made = subprocess.run(COMMAND, check=True, capture_output=True, text=True).stdout
        pins = [line for line in made.splitlines() if re.match(r"[a-z0-9]", line)]
        pyproject.write_text(head + "".join(f"  {_quoted(pin)},\n" for pin in pins) + tail)
    except BaseException:
        pyproject.write_text(text)
        raise
    print(f"{len(pins)} pins written to {pyproject}")
    return 0


def constraints(pyproject: str) -> list[str]:
    """The pins in the text of pyproject.toml, one requirement each."""
    block = pyproject[pyproject.index(BEGIN) + len(BEGIN) : pyproject.index(END)]
    return re.findall(r"[\"'](.*)[\"'],", block)


def _quoted(pin: str) -> str:
    return f'"{pin}"' if '"' not in pin else f"'{pin}'"


if __name__ == "__main__":
    sys.exit(main())
