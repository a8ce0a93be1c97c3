"""Builds tell themselves apart by what is in them, packed or installed."""

from __future__ import annotations

from importlib.metadata import version as number

from farm.version import build, version

WHEEL = """\
farm/__init__.py,sha256=aaa,10
farm/worker.py,sha256=bbb,20
shapefarm-0.1.0.dist-info/METADATA,sha256=ccc,30
shapefarm-0.1.0.dist-info/RECORD,,
"""


def test_a_wheel_and_its_installation_are_one_build() -> None:
    installed = (
        "../../../bin/farm,sha256=ddd,305\n"
        + WHEEL
        + "farm/__pycache__/worker.cpython-311.pyc,sha256=eee,99\n"
        + "shapefarm-0.1.0.dist-info/INSTALLER,sha256=fff,2\n"
    )

    assert build("0.1.0", installed) == build("0.1.0", WHEEL)


def test_another_content_is_another_build_of_the_same_number() -> None:
    changed = WHEEL.replace("bbb", "bbc")

    builds = {build("0.1.0", WHEEL), build("0.1.0", changed)}

    assert len(builds) == 2
    assert all(each.startswith("0.1.0+") for each in builds)


def test_a_clone_has_its_number_alone() -> None:
    assert version() == number("shapefarm")
