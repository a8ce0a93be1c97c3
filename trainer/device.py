"""What a run computes with: device, precision, threads, and the form of what goes there."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from farm.machine import cores, processor

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h

Precision = contextlib.AbstractContextManager[Any]


def choose(wanted: str, local_rank: int = 0) -> torch.device:
    """The device that "auto", "cpu" or "cuda" stands for, for one process of a machine.

    Raises ValueError for a GPU that is not there.
    """
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(wanted)
    if device.type != "cuda":
        return device
    seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = local_rank if device.index is None else device.index
    if index >= seen:
        raise ValueError(
            f"--device {wanted}: GPU {index} is wanted, and this process sees {seen}; "
            "`--workers 1` gives one worker all of a machine's GPUs, --device cpu needs none"
        )
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def name(device: torch.device) -> str:
    """For people: the GPU's own name, or the processor's."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor()


def precision(wanted: str, device: torch.device) -> str:
    """fp32 or bf16: what "auto" stands for on this device."""
    if wanted != "auto":
        return wanted
    # GPUs before 8.0 (Ampere) emulate bf16 slowly; so do most CPUs.
    modern = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    return "bf16" if modern else "fp32"


def autocast(chosen: str, device: torch.device) -> Precision:
    """Within it a forward pass has that precision."""
    if chosen == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def steady(device: torch.device, threads: int) -> None:
    """Set the number of threads, and on a CPU have sums come in one order, run after run."""
    torch.set_num_threads(threads)
    on_cpu = device.type == "cpu"
    torch.use_deterministic_algorithms(on_cpu, warn_only=True)
    # It costs, and what is read before it is written would be a fault anyway.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not on_cpu  # every step has the same shapes
    if on_cpu:
        keep_memory()


def keep_memory() -> None:
    """Let the C library keep what is freed: every step asks for the same again, and pages that the
    system must clear first cost more than the arithmetic on them (instance norms of 256 px: 4
    times)."""
    with contextlib.suppress(OSError, AttributeError):  # other systems than GNU's
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_MAX, 0)
        library.mallopt(_M_TRIM_THRESHOLD, 1 << 30)


def threads(processes: int = 1) -> int:
    """How many each of several processes on this machine may have."""
    return max(1, (int(os.environ.get("FARM_THREADS") or 0) or cores()) // processes)


def loaders(device: torch.device, wanted: int | None, processes: int = 1) -> int:
    """Processes that read examples, for each process that trains.

    On a CPU none: they would take the cores that train, and wait for them.
    """
    if wanted is not None:
        return wanted
    return min(8, max(1, cores() // processes - 1)) if device.type == "cuda" else 0


def send(batch: Mapping[str, Any], device: torch.device, channels_last: bool) -> dict[str, Any]:
    """A batch whose tensors are on the device."""
    sent: dict[str, Any] = {}
    for key, value in batch.items():
        if isinstance(value, Tensor):
            value = value.to(device, non_blocking=True)
            if channels_last and value.ndim == 4 and value.is_floating_point():
                value = value.contiguous(memory_format=torch.channels_last)
        sent[key] = value
    return sent


def versions() -> dict[str, str]:
    """What a run's numbers depend on beside the code."""
    import platform

    import numpy
    import torchvision

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "numpy": numpy.__version__,
    }
