"""`farm models` reads what there is from the files, and agrees with the models themselves."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from farm.cli import main
from trainer import models
from trainer.catalogue import Preset, catalogue

ROOT = Path(__file__).parents[2]
HEAD = '''
"""A model of the tests.

More words.
"""
import a_library_that_is_not_here
from dataclasses import dataclass, replace

PAPER = "Someone, Something, 2018"
NEEDS = (
    "rgba of a fixed rig: "
    "circle"
)
LONG = 600_000

@dataclass(frozen=True, kw_only=True)
class Config:
    steps: int = 100
    batch: int = 4 * 8
    width: int = None or 3
'''
PLAIN = """
def paper() -> Config:
    "The published constants."
    return Config(steps=LONG)

def small() -> Config:
    return replace(paper(), steps=LONG // 100 - 1, width=max(1, 2))

PRESETS = {"tiny": lambda: dataclasses.replace(small(), batch=2), "small": small,
           "paper": paper, "plain": Config}
"""
NOT_PLAIN = """
def tiny():
    steps = 1 + 1
    return Config(steps=steps)

PRESETS = {"tiny": tiny}
"""


@pytest.fixture
def package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Path:
    """A folder of models of this test's own; its name is no other test's."""
    name = f"models_{abs(hash(request.node.nodeid))}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("FARM_MODEL_PACKAGES", name)
    return folder


def write(package: Path, text: str) -> None:
    (package / "double.py").write_text(textwrap.dedent(HEAD).lstrip() + text)


def test_every_model_is_told_as_its_file_has_it() -> None:
    for entry in catalogue():
        model = models.load(entry.name)

        assert entry.about and entry.paper and entry.needs
        assert entry.paper == " ".join(model.PAPER.split())
        assert entry.needs == " ".join(model.NEEDS.split())
        made = [(name, make()) for name, make in model.PRESETS.items()]
        assert entry.presets == tuple(
            Preset(name=name, steps=config.steps, batch=config.batch) for name, config in made
        )


def test_plain_presets_are_told_without_importing_the_model(package: Path) -> None:
    write(package, PLAIN)

    found = {entry.name: entry for entry in catalogue()}["double"]

    assert (found.about, found.paper) == ("A model of the tests", "Someone, Something, 2018")
    assert found.needs == "rgba of a fixed rig: circle"
    assert found.presets == (
        Preset(name="tiny", steps=5_999, batch=2),
        Preset(name="small", steps=5_999, batch=32),
        Preset(name="paper", steps=600_000, batch=32),
        Preset(name="plain", steps=100, batch=32),
    )


def test_presets_that_are_not_plain_are_named_where_the_model_cannot_be_imported(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(package, NOT_PLAIN)

    assert main(["models"]) == 0

    assert "tiny  ? (needs the train extra)" in capsys.readouterr().out


def test_presets_that_are_not_plain_are_those_of_the_imported_model(package: Path) -> None:
    lacking = [f"def {name}(): ..." for name in models.NEEDED if name.islower()]
    write(package, NOT_PLAIN + "\n".join(lacking))
    text = (package / "double.py").read_text()
    (package / "double.py").write_text(text.replace("import a_library_that_is_not_here\n", ""))

    found = {entry.name: entry for entry in catalogue()}["double"]

    assert found.presets == (Preset(name="tiny", steps=2, batch=32),)


def test_the_command_prints_one_object(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(package, PLAIN)

    assert main(["models", "--json"]) == 0

    shown = {model["name"]: model for model in json.loads(capsys.readouterr().out)["models"]}
    assert set(shown) == set(models.find())
    assert shown["double"]["presets"][0] == {"name": "tiny", "steps": 5_999, "batch": 2}


def test_the_command_tells_the_paper_the_needs_and_the_presets(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(package, PLAIN)

    assert main(["models"]) == 0

    shown = capsys.readouterr().out
    assert "double: A model of the tests\n" in shown
    assert "  paper    Someone, Something, 2018\n" in shown
    assert "  needs    rgba of a fixed rig: circle\n" in shown
    assert "           paper  600,000 steps of 32\n" in shown


def test_the_command_needs_neither_torch_nor_numpy() -> None:
    program = (
        "import sys; from farm.cli import main; code = main(['models', '--json'])\n"
        "print([name for name in ('torch', 'numpy', 'celery') if name in sys.modules], code)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1] == "[] 0"
