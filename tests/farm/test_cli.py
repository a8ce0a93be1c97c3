"""The command line: quick, and its mistakes are one line."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from farm import cli
from farm.commands import commands


def farm(*words, **environ):
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("FARM_", "UV"))
    }
    return subprocess.run(
        [sys.executable, "-m", "farm.cli", *words],
        capture_output=True, text=True, env={**clean, **environ}, timeout=60,
    )  # fmt: skip


def test_help_answers_within_a_second():
    seconds = []
    for _ in range(3):  # other programs may have the processor during one of them
        began = time.monotonic()
        result = farm("--help")
        seconds.append(time.monotonic() - began)

    assert min(seconds) < 1.0
    assert result.returncode == 0
    assert "farm submit render --shapes samples/cars" in result.stdout


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from farm.cli import main; main(['--help']); main(['submit']);"
        "print([m for m in ('numpy', 'celery', 'redis', 'pydantic', 'bpy', 'torch', 'rich.live')"
        " if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("word", sorted(commands()))
def test_every_command_is_in_the_help_and_has_help_of_its_own(word, capsys):
    assert f"\n  {word} " in farm("--help").stdout

    with pytest.raises(SystemExit) as stop:
        sys.exit(cli.main([word, "--help"]))

    assert not stop.value.code
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["sttus"], "farm: no command 'sttus'; did you mean 'status'?"),
        (["submit", "rendr"], "farm: no job kind 'rendr'; did you mean 'render'?"),
        (
            ["submit", "render"],
            "farm: --shapes must be given (see farm submit render --help)",
        ),
        (
            ["submit", "render", "--shapes", "a", "--size", "big"],
            "farm: --size big: a whole number is wanted",
        ),
        (
            ["submit", "render", "--shapes", "a", "--views", "x"],
            "farm: --views x: a whole number is wanted",
        ),
        (
            ["submit", "render", "--shapes", "a", "--up", "x"],
            "farm: --up x: y or z is wanted",
        ),
        (["submit", "render", "--shapes", "a", "--views"], "farm: --views: a value is wanted"),
        (
            ["submit", "render", "--shapes", "a", "--vews", "3"],
            "farm: unrecognized options: --vews, 3; perhaps you meant --views",
        ),
        (
            ["submit", "render", "--shapes", "a", "--workers", "0"],
            "farm: --workers 0: at least 1",
        ),
        (["up", "--workers", "0"], "farm: --workers 0: at least 1"),
        (["logs"], "farm: JOB or --worker must be given (see farm logs --help)"),
        (["worker", "rendr"], "farm: no role 'rendr'; there are both, cpu, render, train"),
    ],
)
def test_wrong_use_is_one_line(words, told, tmp_path):
    result = farm(*words, FARM_HOME=str(tmp_path))

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == told + "\n"


def test_a_wrong_setting_is_one_line():
    result = farm("status", FARM_TRIES="many")

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "farm: FARM_TRIES ('many') must be a int of at least 0\n"


def test_a_broker_that_does_not_answer_is_one_line_without_its_password(tmp_path):
    password = tmp_path / "password"
    password.touch(0o600)
    password.write_text("secret")

    result = farm(
        "status",
        FARM_BROKER_URL="redis://submit@127.0.0.1:1/0",
        FARM_BROKER_PASSWORD_FILE=str(password),
    )

    assert (result.returncode, result.stdout) == (1, "")
    assert len(result.stderr.splitlines()) == 1
    assert "127.0.0.1:1" in result.stderr
    assert "secret" not in result.stderr


def test_status_says_what_to_do_when_nothing_was_done(tmp_path):
    result = farm("status", FARM_HOME=str(tmp_path / "none"))

    assert (result.returncode, result.stderr) == (0, "")
    assert "no jobs yet" in result.stdout
    assert not (tmp_path / "none").exists()
