"""Compiled Python is kept where the environment lets nothing be written beside the packages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# One that nobody compiled stands for the packages, which may be compiled where the tests run.
STORY = """
from farm import bytecode
bytecode.LARGE = ("raw",)
bytecode.keep()
import os, subprocess, sys
import farm.words
print(sys.pycache_prefix)
subprocess.run([sys.executable, "-c", "import farm.errors, sys; print(sys.pycache_prefix)"])
"""


def run(tmp_path: Path, **environment: str) -> list[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    (tmp_path / "raw.py").touch()
    kept |= {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(tmp_path), **environment}
    done = subprocess.run(
        [sys.executable, "-c", STORY], env=kept, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_bytecode_is_kept_in_the_cache_folder_where_none_may_be_written_beside(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "shapefarm" / "bytecode"
    # A program that the first one starts keeps its own there, too.
    assert run(tmp_path, PYTHONDONTWRITEBYTECODE="1") == [str(folder)] * 2
    kept = {path.name.split(".")[0] for path in folder.rglob("*.pyc")}
    assert {"words", "errors"} <= kept


def test_a_prefix_that_is_set_stays(tmp_path: Path) -> None:
    own = str(tmp_path / "own")
    assert run(tmp_path, PYTHONDONTWRITEBYTECODE="1", PYTHONPYCACHEPREFIX=own) == [own] * 2
    assert not (tmp_path / "shapefarm").exists()


def test_an_environment_that_can_be_written_to_is_left_alone(tmp_path: Path) -> None:
    assert run(tmp_path) == ["None", "None"]
    assert not (tmp_path / "shapefarm").exists()
