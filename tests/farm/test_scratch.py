"""What a child writes under its temporary folder is gone when the child is, however it ended."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from farm import scratch
from farm.errors import ProgramFailed
from farm.program import Program

DOUBLES = Path(__file__).parent / "doubles"


def folders() -> set[str]:
    """Folders of children on this machine, ours and others'."""
    places = {Path("/dev/shm"), Path(tempfile.gettempdir())}
    found = {path.name for place in places for path in place.glob("shapefarm-*")}
    return {name for name in found if scratch.NAME.fullmatch(name)}


def abandoned() -> set[str]:
    """Those of processes that are gone."""
    return {name for name in folders() if not Path(f"/proc/{name.split('-')[1]}").exists()}


def ours() -> set[str]:
    return {name for name in folders() if name.startswith(f"shapefarm-{os.getpid()}-")}


@pytest.fixture
def program():
    program = Program("farmdouble", {**os.environ, "PYTHONPATH": str(DOUBLES)})
    program.receive(20)
    yield program
    program.kill()


def test_a_childs_temporary_folder_is_its_own(program):
    environment = Path(f"/proc/{program.pid}/environ").read_bytes().split(b"\0")
    (folder,) = (line[7:].decode() for line in environment if line.startswith(b"TMPDIR="))

    assert Path(folder).is_dir()
    assert {Path(folder).name} == ours()


@pytest.mark.parametrize("end", ["kill", "close", "crash"])
def test_it_is_gone_when_the_child_is(program, end):
    (name,) = ours()
    (program.scratch.path / "a" / "b").mkdir(parents=True)
    (program.scratch.path / "a" / "exr").write_bytes(b"pixels")

    if end == "crash":
        os.kill(program.pid, 6)
        with pytest.raises(ProgramFailed):
            program.receive(20)
    else:
        getattr(program, end)()

    assert name not in folders()


def test_a_parent_that_ends_without_a_word_leaves_nothing():
    before = abandoned()
    subprocess.run(
        [sys.executable, "-c", "from farm.scratch import Scratch; kept = Scratch()"], check=True
    )

    assert abandoned() <= before


def test_what_a_killed_worker_left_is_swept_and_what_is_used_stays():
    code = "from farm.scratch import Scratch; s = Scratch(); print(s.path); import os; os._exit(0)"
    left = Path(
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        .stdout.strip()
    )  # fmt: skip
    used = scratch.Scratch()
    # As another container sees it: a number that is nobody's here, held by a lock.
    elsewhere = used.path.with_name("shapefarm-999999999-held")
    used.path.rename(elsewhere)
    other = left.with_name("shapefarm-notes")
    other.mkdir()
    try:
        assert left.is_dir()
        scratch.sweep()

        assert not left.exists()
        assert elsewhere.is_dir()
        assert other.is_dir()
    finally:
        elsewhere.rename(used.path)
        used.remove()
        other.rmdir()


def test_a_job_leaves_nothing_in_the_temporary_folders(own_farm):
    before = abandoned()
    result = own_farm.run("submit", "count", "--things", "n:8", "abort-1", "--out", "tidy")
    own_farm.stop()

    assert result.returncode == 0, result.stderr
    assert abandoned() <= before
