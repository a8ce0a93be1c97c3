"""A command that fails on a machine is told by its last words, and by what to do."""

from __future__ import annotations

import subprocess

import pytest

from deploy.push import unproven
from deploy.remote import Said, explained, within


@pytest.mark.parametrize(
    ("said", "what", "remedy"),
    [
        (
            Said(2, "", "error: failed\n  No space left on device (os error 28)\n"),
            "no space",
            "room",
        ),
        (Said(1, "", "mkdir: cannot create: Permission denied\n"), "Permission", "may write"),
        (Said(124, "", ""), "not done within 60 s", "stuck"),
        (Said(127, "", "sh: 1: uv: not found\n"), "uv: not found", "deploy check"),
        (Said(3, "its own\nlast words\n", ""), "last words", ""),
    ],
)
def test_why_a_command_failed(said: Said, what: str, remedy: str) -> None:
    told = explained(said, 60)

    assert what in told[0]
    assert remedy in told[1]


def test_a_library_that_blender_needs_is_named() -> None:
    what, remedy = unproven(
        "ImportError: libXi.so.6: cannot open shared object file: No such file or directory"
    )

    assert what == "libXi.so.6 is missing"
    assert "apt" in remedy


def test_a_command_ends_on_the_machine_itself_and_keeps_its_quotes() -> None:
    command = within("printf '%s' \"it's $0\"", 5)

    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    late = subprocess.run(["sh", "-c", within("sleep 60", 1)], timeout=30)

    assert done.stdout == "it's sh"
    assert late.returncode == 124
