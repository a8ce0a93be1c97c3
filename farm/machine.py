"""What this machine has: cores, memory, GPUs; and how many workers that makes."""

from __future__ import annotations

import functools
import math
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

WORKER_MB = 1000  # a warm child with a large shape, and its parent


CARDS = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Card:
    """A GPU, as nvidia-smi lists it."""

    index: int
    uuid: str
    name: str


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
def gpus() -> tuple[Card, ...]:
    """NVIDIA GPUs, in the order of nvidia-smi; none where that is missing or fails."""
    program = shutil.which("nvidia-smi")
    if not program:
        return ()
    try:
        found = subprocess.run(
            [program, "--query-gpu=index,uuid,name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(_cards(found.stdout)) if found.returncode == 0 else ()


def _cards(told: str) -> Iterator[Card]:
    for line in told.splitlines():
        index, uuid, name = ([part.strip() for part in line.split(",", 2)] + ["", ""])[:3]
        if index.isdecimal() and name:
            yield Card(int(index), uuid, name)


def chosen(text: str, cards: Sequence[Card]) -> tuple[Card, ...]:
    """The cards that "0", "0,2" or the (beginnings of) UUIDs name.

    Raises ValueError, naming the one that is not there.
    """
    found = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        named = [
            card
            for card in cards
            if (card.index == int(word) if word.isdecimal() else card.uuid.startswith(word))
        ]
        if len(named) != 1 or named[0] in found:
            there = ", ".join(f"{card.index} ({card.name})" for card in cards)
            raise ValueError(
                f"--gpu {word}: there are {there}; give each once, by number or UUID"
                if cards
                else f"--gpu {word}: nvidia-smi finds no GPU here; look after its driver, or leave "
                "--gpu out to work on the CPU"
            )
        found += named
    return tuple(found)


def visible(text: str | None, cards: Sequence[Card]) -> tuple[Card, ...]:
    """The cards that a process with this CUDA_VISIBLE_DEVICES sees; all without it."""
    if text is None:
        return tuple(cards)
    try:
        return chosen(text, cards)
    except ValueError:
        return ()


def cards_name(cards: Sequence[Card]) -> str:
    """For people: "NVIDIA H200", "4 x NVIDIA H200", "" for none."""
    names = dict.fromkeys(card.name for card in cards)
    counts = ((name, sum(card.name == name for card in cards)) for name in names)
    return ", ".join(name if number == 1 else f"{number} x {name}" for name, number in counts)


def showing(cards: Sequence[int]) -> dict[str, str]:
    """The variables by which a process sees these GPUs and no other.

    Without the second one CUDA numbers them from the fastest down, and nvidia-smi by their place.
    """
    return {CARDS: ",".join(map(str, cards)), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


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
        cards = [showing(_share(role, i, number)) for i in range(number)]
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


def _share(role: str, worker: int, workers: int) -> list[int]:
    """The GPUs of one of several workers."""
    count = len(gpus())
    if role == "train" and workers < count:
        return [card for card in range(count) if card % workers == worker]
    return [worker % count]
