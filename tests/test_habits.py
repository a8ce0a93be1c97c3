"""What keeps the house in order: layers, start-up, the wheel, the README."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def imported_by(statement: str) -> set[str]:
    """Top-level packages that a fresh Python has imported after a statement."""
    program = f"{statement}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import farm.cli", {"celery", "redis", "numpy", "bpy", "torch", "trimesh"}),
        ("import farm.worker, farm.controller", {"numpy", "bpy", "torch", "trimesh", "cv2"}),
        ("import renderer.jobs.render", {"numpy", "bpy", "torch", "celery", "redis"}),
        ("import renderer.shards, renderer.camera", {"bpy", "torch", "celery", "redis", "trimesh"}),
        ("import renderer.sample, renderer.dataset", {"torch", "celery", "redis", "bpy"}),
        ("import trainer.jobs.train, trainer.jobs.evaluate", {"numpy", "torch", "celery", "redis"}),
        ("import trainer.run, trainer.data", {"torch", "celery", "redis", "bpy"}),
        ("import trainer.start, trainer.loop, trainer.measure", {"celery", "redis", "bpy"}),
    ],
)
def test_heavy_packages_stay_at_the_edge(statement: str, absent: set[str]) -> None:
    assert not imported_by(statement) & absent


def test_the_layers_point_one_way() -> None:
    linter = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert linter, "import-linter is in the dev group"

    done = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


def test_the_built_wheel_works_on_its_own(tmp_path: Path) -> None:
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not on the PATH")
    built = subprocess.run(
        [uv, "build", "--wheel", "--out-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)  # what installing a pure wheel does

    program = (
        "import farm.cli, renderer.shards, renderer.jobs.render, trainer, deploy, sys\n"
        "assert farm.__path__[0].startswith(sys.argv[1]), farm.__path__\n"
        "sys.argv[1:] = ['--help']\n"
        "raise SystemExit(farm.cli.main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(site)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "farm submit render" in done.stdout


def test_ci_runs_the_command_of_the_readme() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()

    assert [line.strip() for line in lines if re.fullmatch(r" +pip install uv && .*pytest", line)]


def test_the_tree_names_no_machine_of_ours() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split("\0")
    if tracked == [""]:
        pytest.skip("not a git checkout")
    pattern = re.compile(r"/(?:work|root)/[a-z]|registry = \"http|file:///")

    found = [
        name
        for name in tracked
        if name.endswith((".py", ".md", ".toml", ".yaml"))
        and (ROOT / name).is_file()
        and name != "tests/test_habits.py"
        and pattern.search((ROOT / name).read_text(encoding="utf-8"))
    ]

    assert not found


def test_what_cannot_be_parsed_is_told_in_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "farm.cli", "submit", "render", "--sizes", "7"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "--sizes" in done.stderr


def test_the_page_of_commands_is_what_the_commands_say() -> None:
    done = subprocess.run(
        [sys.executable, "docs/cli.py", "--check"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
