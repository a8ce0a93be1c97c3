"""Who else wants a machine: real terminals, real processes, and what the system's programs say."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from farm.machine import Card
from farm.presence import MARK, Application, Inputs, Presence, Sign, applications, desktops, typing
from farm.settings import Settings

CARD = Card(0, "GPU-0f2e", "NVIDIA H200")
LOGIND = """\
Name=ada
TTY=
Type=wayland
Class=user
IdleHint={idle}
IdleSinceHint={since}
LockedHint={locked}

Name=gdm
Type=wayland
Class=greeter
IdleHint=no
IdleSinceHint=0
LockedHint=no

Name=grace
TTY=pts/0
Type=tty
Class=user
IdleHint=no
IdleSinceHint=0
LockedHint=no
"""


@pytest.fixture
def terminal(tmp_path):
    """A real pseudo-terminal, alone in a folder of devices; write to it to type."""
    master, slave = os.openpty()
    (tmp_path / "pts").mkdir()
    (tmp_path / "pts" / "7").symlink_to(os.ttyname(slave))
    yield tmp_path, master, slave
    os.close(master)
    os.close(slave)


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Put a program of that name, that prints this, first on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def put(name: str, prints: str) -> None:
        path = folder / name
        path.write_text(f"#!/bin/sh\ncat <<'END'\n{prints}\nEND\n")
        path.chmod(0o755)

    return put


def test_a_login_has_the_worker_rest_and_an_idle_terminal_does_not(terminal):
    devices, _, _ = terminal
    presence = Presence(Settings(yield_to_people=True, return_after_s=300), (), devices)
    now = time.time()

    assert presence.look(now).endswith(" at pts/7")
    assert presence.look(now + 299) != ""
    assert presence.look(now + 310) == ""


def test_a_key_typed_into_a_terminal_has_the_worker_rest_again(terminal):
    devices, master, slave = terminal
    os.utime(os.ttyname(slave), (1e9, 1e9))  # last used long ago
    presence = Presence(Settings(yield_to_people=True, return_after_s=300), (), devices)
    assert presence.look() == ""

    os.write(master, b"ls\n")
    assert os.read(slave, 10) == b"ls\n"  # as a shell does

    assert presence.look().endswith(" at pts/7")


def test_whoever_has_logged_out_is_remembered_for_the_idle_time(terminal):
    devices, _, _ = terminal
    presence = Presence(Settings(yield_to_people=True, return_after_s=300), (), devices)
    now = time.time()
    presence.look(now)

    (devices / "pts" / "7").unlink()

    assert presence.look(now + 60) != ""
    assert presence.look(now + 310) == ""


def test_nothing_is_yielded_to_unless_asked_for(terminal):
    devices, _, _ = terminal
    presence = Presence(Settings(), (CARD,), devices)

    assert not presence.wanted
    assert presence.look() == ""


@pytest.mark.parametrize(
    ("idle", "since", "locked", "signs"),
    [
        ("no", "0", "no", [Sign("ada at the desktop", 2000.0)]),
        ("yes", "1500000000", "no", [Sign("ada at the desktop", 1500.0)]),
        ("no", "1700000000", "yes", [Sign("ada at the desktop", 1700.0)]),
        ("yes", "0", "no", []),
    ],
)
def test_a_desktop_that_is_idle_or_locked_counts_since_then(idle, since, locked, signs):
    told = LOGIND.format(idle=idle, since=since, locked=locked)

    assert list(desktops(told, now=2000.0)) == signs


def test_logind_is_asked_about_all_of_its_sessions(program, tmp_path):
    program("loginctl", LOGIND.format(idle="no", since=0, locked="no"))
    presence = Presence(Settings(yield_to_people=True), (), tmp_path)

    assert presence.look() == "ada at the desktop"


def test_a_keyboard_that_may_be_read_tells_of_somebody(tmp_path):
    (tmp_path / "by-path").mkdir()
    keyboard = tmp_path / "by-path" / "usb-0-event-kbd"
    os.mkfifo(keyboard)
    writer = os.open(keyboard, os.O_RDWR)
    inputs = Inputs(tmp_path)
    assert list(inputs.look(1.0)) == []

    os.write(writer, b"\0" * 24)

    assert list(inputs.look(2.0)) == [Sign("somebody at the keyboard", 2.0)]
    assert list(inputs.look(3.0)) == []
    os.close(writer)


def test_outside_the_hours_a_worker_rests_whoever_is_there(tmp_path):
    presence = Presence(Settings(work_hours="20:00-08:00, weekends"), (), tmp_path)

    noon, night = datetime(2026, 11, 30, 12), datetime(2026, 11, 30, 22)

    assert presence.look(noon.timestamp()) == "outside 20:00-08:00, weekends"
    assert presence.look(night.timestamp()) == ""


def test_programs_on_a_gpu_are_read_and_odd_lines_left_out():
    told = "GPU-0f2e, 4242, /usr/bin/python3\nGPU-1f2e, [N/A], x\n\nNo running processes found\n"

    assert list(applications(told)) == [Application("GPU-0f2e", 4242, "/usr/bin/python3")]


def test_another_program_on_our_gpu_has_the_worker_rest_and_the_farms_own_do_not(program, tmp_path):
    words = [sys.executable, "-c", "input()"]
    pipes = {"stdin": subprocess.PIPE, "start_new_session": True}
    # Started by neither of us, as far as anyone can tell: its parent is gone.
    orphan = int(
        subprocess.check_output(
            ["sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!"], text=True,
            env={k: v for k, v in os.environ.items() if k != MARK},
        )
    )  # fmt: skip
    child = subprocess.Popen(words, **pipes)
    presence = Presence(Settings(yield_to_gpu=True, return_after_s=300), (CARD,), tmp_path)
    try:
        program("nvidia-smi", f"GPU-0f2e, {child.pid}, python\nGPU-1f2e, {orphan}, python")
        assert presence.look(1000.0) == ""  # a child of ours; a stranger on another card

        program("nvidia-smi", f"GPU-0f2e, {orphan}, /opt/matlab")
        assert presence.look(1010.0) == f"matlab ({orphan}) has the GPU"

        program("nvidia-smi", "")
        assert presence.look(1300.0) != ""
        assert presence.look(1311.0) == ""
    finally:
        os.kill(orphan, 9)
        child.kill()
        child.communicate()


def test_a_child_of_another_worker_is_not_a_stranger(program, tmp_path):
    other = int(
        subprocess.check_output(
            ["sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!"], text=True,
            env={**os.environ, MARK: "train-0@lab"},
        )
    )  # fmt: skip
    program("nvidia-smi", f"GPU-0f2e, {other}, python")
    try:
        assert Presence(Settings(yield_to_gpu=True), (CARD,), tmp_path).look() == ""
    finally:
        os.kill(other, 9)


def test_terminals_that_nobody_may_look_at_are_left_out(tmp_path):
    (tmp_path / "pts").mkdir()
    (tmp_path / "pts" / "3").symlink_to(tmp_path / "gone")

    assert list(typing(Path(tmp_path))) == []
