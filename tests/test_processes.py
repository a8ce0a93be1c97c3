from __future__ import annotations

import subprocess
import sys

import psutil

from tests.processes import command_line


def test_a_process_that_ends_while_one_looks_has_no_command_line() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        seen = psutil.Process(process.pid)
        assert command_line(seen) == [sys.executable, "-c", "input()"]

        process.kill()
        while seen.status() != psutil.STATUS_ZOMBIE:
            pass
        assert command_line(seen) == []

    assert command_line(seen) == []
