"""`fab -r deploy` has the same commands, with the same exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from farm.commands.deploy import COMMANDS

FAB = Path(sys.executable).with_name("fab")
DEPLOY = Path(__file__).parents[2] / "deploy"


def fab(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [FAB, "-r", DEPLOY, *words], cwd=cwd, capture_output=True, text=True, timeout=60
    )


def test_it_has_every_command_that_goes_to_machines(tmp_path: Path) -> None:
    listed = {line.split()[0] for line in fab("--list", cwd=tmp_path).stdout.splitlines()[2:-1]}

    assert listed == set(COMMANDS["deploy"]) - {"redis"}


def test_a_mistake_is_one_line_and_the_exit_code_of_wrong_use(tmp_path: Path) -> None:
    done = fab("check", "--inventory", "no.toml", "--hosts", "h1 h2", cwd=tmp_path)

    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "farm: no.toml: no such file; docs/deploy.md shows one, --inventory names it"
    ]
