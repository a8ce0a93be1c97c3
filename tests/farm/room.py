"""A lab in small: commands, workers and controllers, each a process, at one Redis."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.farm.conftest import SHORT


class Room:
    """`farm` commands against one Redis; all that is started ends with the test."""

    def __init__(self, url: str, folder: Path):
        self.folder = folder
        self.processes: list[subprocess.Popen[str]] = []
        clean = {k: value for k, value in os.environ.items() if not k.startswith(("FARM_", "UV"))}
        self.environment = {
            **clean, **SHORT, "FARM_HOME": str(folder / "home"), "COLUMNS": "100",
            "FARM_BROKER_URL": url, "FARM_VANISHED_S": "60",
        }  # fmt: skip

    def start(self, *words: str, **more: str) -> subprocess.Popen[str]:
        waited = words[0] in ("submit", "workers")
        sink = subprocess.PIPE if waited else subprocess.DEVNULL
        process = subprocess.Popen(
            [sys.executable, "-m", "farm.cli", *words],
            env={**self.environment, **more}, cwd=self.folder, text=True, stdout=sink, stderr=sink,
        )  # fmt: skip
        self.processes.append(process)
        return process

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*words)
        out, error = process.communicate(timeout=60)
        return subprocess.CompletedProcess(words, process.returncode, out, error)

    def works(self, out: str) -> list[str]:
        return [
            line.split()[0]
            for line in (self.folder / out / "work.log").read_text().split("\n")[:-1]
        ]

    def close(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.communicate()
