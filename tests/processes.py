"""What other processes are, though they end while one looks."""

from __future__ import annotations

import psutil


def command_line(process: psutil.Process) -> list[str]:
    """Nothing for one that has ended, or waits for its parent to notice that it has."""
    try:
        return list(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []
