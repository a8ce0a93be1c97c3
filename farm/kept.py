"""A process that is started again when it dies, and that dies with the one that keeps it."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field

from farm.child import die_with_parent

log = logging.getLogger(__name__)


@dataclass
class Kept:
    """One process that is started again when it dies."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    last_signal: int = signal.SIGKILL
    """What it gets when the supervisor dies: Redis writes its file out on SIGTERM."""
    process: subprocess.Popen[bytes] | None = None
    began: float = 0.0
    pause_s: float = 0.0

    def keep(self) -> None:
        """Start it if it is not there; ever more slowly when it dies at once."""
        if self.process and self.process.poll() is None:
            return
        now = time.monotonic()
        if self.process:
            if self.pause_s == 0.0 or now - self.began > 30:
                log.warning("%s ended with %s", self.name, self.process.returncode)
                self.pause_s = 0.2 if now - self.began > 5 else max(0.2, self.pause_s)
            if now - self.began < self.pause_s:
                return
            self.pause_s = min(10.0, self.pause_s * 2) if now - self.began < 5 else 0.2
        self.began = now
        last = self.last_signal
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **self.environment},
            # Its own group: a Ctrl-C in a terminal is not for it. This process has one thread.
            preexec_fn=lambda: die_with_parent(last),
            process_group=0,
        )

    def ask_to_stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()

    def wait(self, deadline: float) -> None:
        """Until it is gone, or the deadline: then it is killed."""
        if self.process:
            try:
                self.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("%s did not stop in time", self.name)
                self.process.kill()
                self.process.wait()
