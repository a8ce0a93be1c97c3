"""What this machine has: cores, memory, GPUs; and how many workers that makes."""

from __future__ import annotations

import functools
import math
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

WORKER_MB = 1000  # a warm child with a large shape, and its parent


@dataclass(frozen=True)
class Slot:
    """One worker to run here: its name among its role's, and what its child may use."""

    name: str
    environment: dict[str, str]


def cores() -> int:
    """Cores this process may use: affinity, cut by its control group's quota."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            count = min(count or 1, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):
        pass
    return max(1, count or 1)


def processor() -> str:
    """The CPU's own name, as the kernel tells it; else its kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def memory_mb() -> float:
    """Memory this process may use, in MB: the machine's, or its control group's."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        return total if limit == "max" else min(total, int(limit) / 1e6)
    except OSError:
        return total


@functools.cache
def gpus() -> tuple[str, ...]:
    """NVIDIA GPUs, by name, as nvidia-smi lists them."""
    program = shutil.which("nvidia-smi")
    if not program:
        return ()
    try:
        found = subprocess.run(
            [program, "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(found.stdout.strip().splitlines()) if found.returncode == 0 else ()


def slots(role: str, wanted: int | None = None) -> list[Slot]:
    """The workers of one role that suit this machine.

    One for each GPU, where there are some; fewer that train have several, for one run on all of
    them. Else, for rendering, one single-threaded worker for each core (many small frames: two
    processes of one thread beat one of two); for training one with all cores. `wanted` overrides
    the number; memory bounds it at about 1 GB for each.
    """
    count = cores()
    if gpus():
        number = wanted or len(gpus())
        threads = max(1, count // number)
        cards = [{"CUDA_VISIBLE_DEVICES": _cards(role, i, number)} for i in range(number)]
    else:
        fits = max(1, int(memory_mb() // WORKER_MB))
        number = wanted or min(1 if role == "train" else count, fits)
        threads = max(1, count // number)
        cards = [{} for _ in range(number)]
    share = max(2 * WORKER_MB, int(memory_mb() * 0.9 / number))
    return [
        Slot(str(i), {"FARM_THREADS": str(threads), "FARM_MEMORY_MB": str(share), **card})
        for i, card in enumerate(cards)
    ]


def _cards(role: str, worker: int, workers: int) -> str:
    """The GPUs of one of several workers."""
    count = len(gpus())
    if role == "train" and workers < count:
        return ",".join(str(card) for card in range(count) if card % workers == worker)
    return str(worker % count)
