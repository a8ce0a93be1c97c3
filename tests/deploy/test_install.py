"""Versions come whole, are linked at once, and the last ones stay: real shell, real files."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from deploy import install
from deploy.install import Installed, seen
from deploy.place import Place


def sh(command: str) -> str:
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def place(tmp_path: Path) -> Place:
    root = tmp_path / "a farm's"  # what a shell would stumble over
    found = Place(PurePosixPath(root))
    sh(install.folders(found))
    return found


def come(place: Place, name: str) -> None:
    """A version as push leaves it."""
    program = Path(place.versions / f"{name}.new" / "bin" / "farm")
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    for command in (install.finish, install.flip, install.remember):
        sh(command(place, name))


def look(place: Place) -> Installed:
    return seen(sh(install.look(place)))


def test_nothing_is_there_at_first(tmp_path: Path) -> None:
    nowhere = Place(PurePosixPath(tmp_path / "nowhere"))

    assert look(nowhere) == Installed("", (), frozenset(), frozenset())


def test_what_came_is_linked_and_remembered_in_order(place: Place) -> None:
    come(place, "1")
    come(place, "2")

    found = look(place)
    assert (found.current, found.history, found.there) == ("2", ("1", "2"), {"1", "2"})
    assert os.readlink(place.current) == "versions/2"


def test_a_version_in_the_making_counts_as_none(place: Place) -> None:
    come(place, "1")
    Path(place.versions / "2.new").mkdir()

    assert look(place).there == {"1"}


def test_what_is_not_whole_cannot_be_linked(place: Place) -> None:
    come(place, "1")
    Path(place.versions / "2").mkdir()

    done = subprocess.run(["sh", "-c", install.flip(place, "2")])

    assert done.returncode != 0
    assert look(place).current == "1"


def test_a_version_that_comes_again_is_the_last_one(place: Place) -> None:
    for name in ("1", "2"):
        come(place, name)
    sh(install.flip(place, "1"))
    sh(install.remember(place, "1"))

    assert look(place).history == ("2", "1")


def test_a_rollback_goes_further_back_each_time() -> None:
    there = frozenset({"1", "2", "3"})
    history = ("1", "2", "gone", "3")

    assert Installed("3", history, there, frozenset()).before == "2"
    assert Installed("2", history, there, frozenset()).before == "1"
    assert Installed("1", history, there, frozenset()).before is None


def test_old_versions_go_but_neither_the_linked_one_nor_one_in_use(place: Place) -> None:
    for name in ("1", "2", "3", "4", "5"):
        come(place, name)
    sh(install.flip(place, "1"))
    running = subprocess.Popen([sys.executable, "-c", "input()", f"{place.versions}/2/bin/python"],
                               stdin=subprocess.PIPE)  # fmt: skip
    try:
        found = look(place)
        stale = found.stale(keep=2)
        sh(install.remove(place, stale))
    finally:
        running.communicate()

    assert found.running == {"2"}
    assert stale == ["3"]
    assert look(place).there == {"1", "2", "4", "5"}


def test_a_version_that_a_unit_starts_from_is_in_use(place: Place) -> None:
    come(place, "1")
    come(place, "2")

    Path(place.units / "farm-controller.env").write_text(f'P="{place.program("1")}"\n')

    assert look(place).running == {"1"}


def commands(place: Place) -> Iterator[str]:
    for command in (install.look, install.folders, install.fetch_uv):
        yield command(place)
    for named in (install.finish, install.flip, install.remember):
        yield named(place, "1")
    yield install.environment(place, "1", "/opt/my uv", "3.11")
    yield install.packages(place, "1", "/opt/my uv", "w.whl", ["train", "render"])
    yield install.proof(place, "1", ["render"])
    yield install.config_proof(place, "1", "worker", there=False)
    yield install.remove(place, ["1"])


def test_every_command_is_whole_whatever_the_folder_is_called(place: Place) -> None:
    for command in commands(place):
        assert subprocess.run(["sh", "-n", "-c", command]).returncode == 0, command


def test_pins_and_only_the_extras_of_the_roles_are_installed() -> None:
    place = Place(PurePosixPath("/farm"))

    told = install.packages(place, "1", "/opt/uv", "w.whl", ["train", "render"])

    assert "--constraint /farm/versions/1.new/constraints.txt" in told
    wheel = Path("/farm/versions/1.new/w.whl").as_uri()
    assert f"'shapefarm[render,train] @ {wheel}'" in told
    assert told.startswith("set -a; . /farm/environment; set +a; ")
    assert "shapefarm @ file" in install.packages(place, "1", "/opt/uv", "w.whl", [])
