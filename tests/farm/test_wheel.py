"""A wheel whose record names another Python is settled once, so that uv leaves it alone."""

import os
import sys
from pathlib import Path

import pytest

from farm import wheel

PYTHON = f"cp{sys.version_info.major}{sys.version_info.minor}"


def install(site: Path, tag: str, installer: str = "uv") -> Path:
    """A package as an installer leaves it; its WHEEL file."""
    folder = site / "thing-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
    (folder / "INSTALLER").write_text(installer)
    (folder / "WHEEL").write_text(f"Wheel-Version: 1.0\nTag: {tag}\n\n")
    (folder / "RECORD").write_text("thing-1.0.dist-info/WHEEL,,\n")
    return folder / "WHEEL"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "base_prefix", "/elsewhere")
    return tmp_path


def test_a_record_that_names_another_python_is_made_to_name_this_one(site: Path) -> None:
    path = install(site, "cp39-cp39-manylinux_2_28_x86_64")
    os.link(path, site / "cache")
    assert wheel.settle("thing")
    assert f"Tag: {PYTHON}-{PYTHON}-manylinux_2_28_x86_64\n" in path.read_text()
    assert "cp39" in (site / "cache").read_text(), "uv's cache is not ours to change"
    assert not wheel.settle("thing")
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "INSTALLER",
        "METADATA",
        "RECORD",
        "WHEEL",
    ]


@pytest.mark.parametrize("tag", ["py3-none-any", f"{PYTHON}-{PYTHON}-any", "cp39-abi3-any"])
def test_other_records_are_left_alone(site: Path, tag: str) -> None:
    path = install(site, tag)
    assert not wheel.settle("thing")
    assert f"Tag: {tag}\n" in path.read_text()


def test_what_pip_installed_is_left_alone(site: Path) -> None:
    install(site, "cp39-cp39-any", installer="pip")
    assert not wheel.settle("thing")


def test_a_package_that_is_not_there_is_no_error() -> None:
    assert not wheel.settle("no-such-package")
