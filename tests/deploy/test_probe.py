"""The probe runs where nothing of ours is, and tells what there is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy import probe
from deploy.survey import Survey
from farm import kinds

QUESTION: dict[str, Any] = {
    "root": "~/farm", "uv": "uv", "python": "3.11", "roots": [], "written": [], "token": "",
    "redis": [], "url": {},
}  # fmt: skip


def ask(name: str, path: str, **question: Any) -> str:
    """What a Python without our packages says to the probe, with these programs on its path."""
    return subprocess.run(
        [sys.executable, "-S", "-"],
        input=probe.asking(name, {**QUESTION, **question}), text=True, check=True,
        capture_output=True, env={"PATH": path, "HOME": "/"}, timeout=60,
    ).stdout  # fmt: skip


def survey(path: Path, **question: Any) -> Survey:
    return kinds.read(Survey, ask("survey", str(path), **question), "survey")


def program(folder: Path, name: str, *lines: str) -> None:
    file = folder / name
    file.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    file.chmod(0o755)


def test_a_bare_machine_has_neither_uv_nor_cards_nor_systemd(tmp_path: Path) -> None:
    found = survey(tmp_path, root=str(tmp_path / "no" / "such" / "folder"))

    assert (found.uv, found.gpus, found.systemd, found.current) == ("", (), False, "")
    assert found.free_mb > 0
    assert found.writable


def test_the_uv_that_push_brought_is_found_again(tmp_path: Path) -> None:
    tools = tmp_path / "farm" / "tools" / "bin"
    tools.mkdir(parents=True)
    program(tools, "uv", "exit 0")

    assert survey(tmp_path, root=str(tmp_path / "farm")).uv == str(tools / "uv")


def test_cards_are_told_with_their_driver(tmp_path: Path) -> None:
    program(tmp_path, "nvidia-smi", "echo '0, NVIDIA H200, 580.1'", "echo '1, NVIDIA T4, 580.1'")

    found = survey(tmp_path)

    assert [(gpu.index, gpu.name, gpu.driver) for gpu in found.gpus] == [
        (0, "NVIDIA H200", "580.1"),
        (1, "NVIDIA T4", "580.1"),
    ]


def test_a_driver_that_does_not_answer_is_told(tmp_path: Path) -> None:
    program(tmp_path, "nvidia-smi", "echo failed to communicate with the driver", "exit 9")

    assert survey(tmp_path).gpu_trouble == "failed to communicate with the driver"


def test_folders_that_will_not_do_are_told_and_tokens_come_and_go(tmp_path: Path) -> None:
    good, gone = str(tmp_path / "good"), str(tmp_path / "gone")
    Path(good).mkdir()
    folders = {"roots": [good, gone], "written": [good], "token": "run-h1"}

    found = survey(tmp_path, **folders)
    seen = json.loads(ask("tokens", "", written=[good], tokens=["run-h1", "run-h2"]))
    ask("sweep", "", **folders)

    assert found.roots == {good: "", gone: "not there"}
    assert seen == {good: ["run-h1"]}
    assert list(Path(good).iterdir()) == []


@pytest.mark.parametrize("user", ["worker", "nobody"])
def test_redis_says_itself_whether_it_lets_a_user_in(lab: Any, user: str, tmp_path: Path) -> None:
    url = {"host": "127.0.0.1", "port": lab.port, "tls": False, "ca": ""}

    found = survey(tmp_path, redis=[[user, lab.secrets["worker"].read_text().strip()]], url=url)

    assert found.redis[user] == "" if user == "worker" else "WRONGPASS" in found.redis[user]


def test_a_redis_that_is_not_there_is_told(tmp_path: Path) -> None:
    url = {"host": "127.0.0.1", "port": 1, "tls": False, "ca": ""}

    assert "refused" in survey(tmp_path, redis=[["worker", "x"]], url=url).redis["worker"]
