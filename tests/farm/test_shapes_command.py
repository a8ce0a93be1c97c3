"""`farm shapes list` and `farm shapes check`, as people type them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from farm.cli import main

SHARED = Path(__file__).parents[2] / "../shared/data"
TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"


@pytest.fixture(autouse=True)
def no_roots(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("FARM_SHAPENET_ROOT", "FARM_MODELNET_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FARM_SAMPLES_ROOT", str(tmp_path / "samples"))


def test_list_shows_every_source_and_what_to_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shapes", "list"]) == 0

    shown = capsys.readouterr().out
    assert all(name in shown for name in ("PATH", "modelnet/", "samples/", "shapenet/"))
    assert "FARM_SHAPENET_ROOT is not set" in shown


def test_list_counts_the_models_of_each_category(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for id in "ab":
        (tmp_path / "02958343" / id).mkdir(parents=True)
    monkeypatch.setenv("FARM_SHAPENET_ROOT", str(tmp_path))

    assert main(["shapes", "list", "--json"]) == 0

    (cars,) = json.loads(capsys.readouterr().out)["shapenet"]["categories"]
    assert cars == {"name": "car", "synset": "02958343", "shapes": 2}


def test_list_looks_where_farm_toml_says(tmp_path: Path) -> None:
    (tmp_path / "net" / "02958343" / "a").mkdir(parents=True)
    (tmp_path / "farm.toml").write_text('shapenet_root = "net"\n')

    shown = subprocess.run(
        [sys.executable, "-m", "farm.cli", "shapes", "list", "--json"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip

    (cars,) = json.loads(shown.stdout)["shapenet"]["categories"]
    assert (cars["synset"], cars["shapes"]) == ("02958343", 1)


def test_check_tells_what_is_broken_missing_and_double_and_exits_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.obj").write_text(TRIANGLE)
    (tmp_path / "b.obj").write_text(TRIANGLE)
    (tmp_path / "c.obj").write_text("mtllib gone.mtl\n" + TRIANGLE)
    (tmp_path / "d.obj").write_text("v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    (tmp_path / "e.obj").touch()

    assert main(["shapes", "check", str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    assert "5: 2 ok, 1 with warnings, 2 broken" in shown
    assert "1 min, 1 median, 1 max" in shown
    assert "1 shapes are copies of another" in shown
    assert "e.obj: 0 bytes" in shown and "d.obj: coordinates of a face are NaN" in shown
    assert "c.obj: missing: gone.mtl" in shown

    assert main(["shapes", "check", str(tmp_path), "--json"]) == 1
    (report,) = json.loads(capsys.readouterr().out)["addresses"]
    assert (report["ok"], report["warned"], report["broken"]) == (2, 1, 2)
    assert report["missing"] == 1 and len(report["duplicates"]) == 1


def test_many_shapes_are_looked_at_by_several_processes_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for n in range(120):
        (tmp_path / f"{n:03}.obj").write_text(TRIANGLE if n != 77 else "")

    assert main(["shapes", "check", str(tmp_path), "--json"]) == 1

    (report,) = json.loads(capsys.readouterr().out)["addresses"]
    assert report["shapes"] == 120
    assert [Path(one["path"]).name for one in report["problems"]] == ["077.obj"]
    assert [key[-3:] for key in report["duplicates"][0]] == [
        f"{n:03}" for n in range(120) if n != 77
    ]


def test_a_mistake_is_one_line_and_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["no/such/folder"], ["shapenet/cars"], []):
        assert main(["shapes", "check", *words]) == 2

        told = capsys.readouterr()
        assert told.err.count("\n") == 1 and told.out == ""


def test_a_healthy_folder_exits_0() -> None:
    if not (SHARED / "shapenet_style").is_dir():
        pytest.skip("no ../shared/data/shapenet_style beside the repository: real models to try")

    assert main(["shapes", "check", str(SHARED / "shapenet_style/02958343")]) == 0
