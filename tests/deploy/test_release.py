"""A release is a wheel and its pins; its name tells both apart."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path

import pytest

from deploy import release
from deploy.release import Release
from tests.deploy.wheels import pack


def test_a_wheel_tells_its_version_before_it_is_installed(tmp_path: Path) -> None:
    one, same, other = (
        release.read(pack(tmp_path / folder, "0.1.0", text))
        for folder, text in (("a", "one"), ("b", "one"), ("c", "other"))
    )

    assert one.version == same.version != other.version
    assert one.version.startswith("0.1.0+")


def test_the_pins_are_those_of_the_clone_unless_others_are_given(tmp_path: Path) -> None:
    wheel = pack(tmp_path, "0.1.0", "")
    (tmp_path / "pins.txt").write_text("numpy==1.0\n")

    assert "\ncelery==" in release.read(wheel).pins
    assert release.read(wheel, tmp_path / "pins.txt").pins == "numpy==1.0\n"


def test_other_pins_extras_or_python_have_a_folder_of_their_own() -> None:
    one = Release("w.whl", b"", "0.1.0+3f2a9c1b", "numpy==1\n")
    other = dataclasses.replace(one, pins="numpy==2\n")

    names = {
        one.name(["render"], "3.11"),
        one.name(["render", "train"], "3.11"),
        one.name(["render"], "3.13"),
        other.name(["render"], "3.11"),
    }

    assert len(names) == 4
    assert all(name.startswith("0.1.0-3f2a9c1b-") for name in names)
    assert one.name(["train", "render"], "3.11") in names


def test_what_is_no_wheel_of_ours_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "shapefarm-0.1.0-py3-none-any.whl"
    text.write_text("no wheel")
    with pytest.raises(ValueError, match="is no wheel"):
        release.read(text)

    other = tmp_path / "other-1.0-py3-none-any.whl"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("other-1.0.dist-info/RECORD", "")
    with pytest.raises(ValueError, match="is no wheel of shapefarm"):
        release.read(other)
