"""What this machine and this program are: the versions that a dataset records."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import socket
from typing import Any

# From the newest to the oldest; Cycles picks its kernels by these.
_INSTRUCTION_SETS = ("avx512f", "avx2", "sse4_2")


def instruction_set() -> str:
    """The widest of the CPU's instruction sets that Cycles has kernels for.

    Its kernels are SSE4.2 and AVX2; wider ones matter to numpy's arithmetic.
    """
    try:
        with open("/proc/cpuinfo") as file:
            flags = next((line for line in file if line.startswith("flags")), "").split()
    except OSError:
        return platform.machine()
    return next((name for name in _INSTRUCTION_SETS if name in flags), platform.machine())


@functools.cache
def versions() -> dict[str, str]:
    """Of everything that decides what a dataset's bytes are."""
    packages = {
        "shapefarm": "shapefarm",
        "bpy": "bpy",
        "numpy": "numpy",
        "opencv": "opencv-python-headless",
        "trimesh": "trimesh",
    }
    found = {"python": platform.python_version()}
    for name, package in packages.items():
        try:
            found[name] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def created_with(device_kind: str, device_name: str) -> dict[str, Any]:
    device = {"kind": device_kind, "name": device_name, "instruction_set": instruction_set()}
    return {**versions(), "device": device}


def host() -> str:
    return socket.gethostname()


def threads() -> int | None:
    """Render threads of this process, as whoever started it decided; None: as many as it likes."""
    return int(os.environ.get("FARM_THREADS") or 0) or None
