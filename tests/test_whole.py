"""The README's line, whole: shapes to a proven dataset, and nothing lost when everything dies."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from renderer import shards, storage
from renderer.shards import Dataset
from tests.object_store import Wire
from tests.processes import command_line

OPTIONS = ["--shapes", "samples/mugs", "--limit", "8", "--views", "3", "--size", "48", "--spp", "4"]
VICTIMS = ("-m renderer", "import worker as part", "import controller as part", "redis-server")


def farm(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "farm.cli", *arguments],
        env=environment(home),
        cwd=home.parent,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "FARM_HOME": str(home), "FARM_SAMPLES_ROOT": str(home.parent / "samples")}


def tars(folder: Path) -> dict[str, str]:
    return {t.name: hashlib.sha256(t.read_bytes()).hexdigest() for t in folder.glob("*.tar")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("whole")
    done = farm(top / "home", "submit", "render", *OPTIONS, "--out", "mugs")
    assert done.returncode == 0, done.stderr
    assert "farm dataset preview" in done.stdout
    return top / "mugs"


def test_one_line_makes_a_dataset_that_verifies_and_reproduces(undisturbed: Path) -> None:
    home = undisturbed.parent / "home"

    verified = farm(home, "dataset", "verify", str(undisturbed), "--json")
    reproduced = farm(home, "dataset", "reproduce", str(undisturbed), "--samples", "2", "--json")

    assert json.loads(verified.stdout)["problems"] == []
    assert verified.returncode == 0
    assert reproduced.returncode == 0, reproduced.stdout


def test_kill_9_of_every_part_in_turn_leaves_the_same_bytes(
    undisturbed: Path, tmp_path: Path
) -> None:
    home, out = tmp_path / "home", tmp_path / "mugs"
    with submitted(home, out, undisturbed) as job:
        for number, victim in enumerate(VICTIMS, start=1):
            wait_for(lambda number=number: len(list(out.glob("*.tar"))) >= number, job)
            wait_for(lambda victim=victim: kill_one(home, victim), job)
        said = job.communicate(timeout=180)[0].decode()

    assert job.returncode == 0, said
    assert tars(out) == tars(undisturbed)


def test_into_an_object_store_it_is_the_same_dataset_though_parts_die_and_the_wire_is_cut(
    undisturbed: Path, tmp_path: Path, bucket: str, wire: Wire
) -> None:
    home, out = tmp_path / "home", storage.place(f"{bucket}/mugs")
    with submitted(home, out, undisturbed) as job:
        for number, victim in enumerate(VICTIMS[:2], start=1):
            wait_for(lambda number=number: len(storage.names(out, "*.tar")) >= number, job)
            wait_for(lambda victim=victim: kill_one(home, victim), job)
            wire.up = 0
            wait_for(lambda before=wire.cuts: wire.cuts > before + 3, job)
            wire.mend()
        said = job.communicate(timeout=180)[0].decode()

    assert job.returncode == 0, said
    stored, here = Dataset(out), Dataset(undisturbed)
    assert stored.complete and stored.id == here.id
    assert storage.names(out, "*.tar") == sorted(
        shards.tar_path(out, name, digest).name for name, digest in tars(undisturbed).items()
    )
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in said
    for path in home.rglob("*"):
        if path.is_file():
            assert os.environ["AWS_SECRET_ACCESS_KEY"].encode() not in path.read_bytes(), path


def ours(home: Path) -> list[psutil.Process]:
    """The processes of the farm that lives in a folder."""
    supervisor = psutil.Process(int((home / "lock").read_text()))
    return supervisor.children(recursive=True)


def kill_one(home: Path, victim: str) -> bool:
    """Whether a process of that farm had these words on its command line, and was killed."""
    for process in ours(home):
        if victim in " ".join(command_line(process)):
            with contextlib.suppress(psutil.NoSuchProcess):  # it ended by itself: then the next
                process.kill()
                return True
    return False


@contextlib.contextmanager
def submitted(home: Path, out: str | Path, undisturbed: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A render that has begun; it is not left running, whatever happens to the test."""
    with subprocess.Popen(
        [sys.executable, "-m", "farm.cli", "submit", "render", *OPTIONS, "--out", str(out)],
        env=environment(home) | {"FARM_SAMPLES_ROOT": str(undisturbed.parent / "samples")},
        cwd=home.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as job:
        try:
            yield job
        finally:
            job.kill()


def wait_for(condition: object, job: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not condition():  # type: ignore[operator]
        assert job.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
