"""Machines as the probe would find them."""

from __future__ import annotations

from typing import Any

from deploy.inventory import Host
from deploy.survey import Gpu, Survey


def machine(**facts: Any) -> Survey:
    """One that has all it needs, but for these facts."""
    well = {
        "home": "/home/farm",
        "user": "farm",
        "hostname": "h1",
        "python": "3.11.7",
        "uv": "/usr/bin/uv",
        "pip": True,
        "wanted_python": "/usr/bin/python3.11",
        "cores": 8,
        "memory_mb": 64_000,
        "free_mb": 90_000,
        "writable": True,
        "current": "",
        "systemd": True,
        "linger": True,
        "gpus": (),
        "gpu_trouble": "",
        "roots": {},
        "redis": {},
    }
    return Survey(**{**well, **facts})


def host(**facts: Any) -> Host:
    return Host(**{"name": "h1", "address": "h1", "roles": ("render",), **facts})


def cards(number: int) -> tuple[Gpu, ...]:
    return tuple(Gpu(index=i, name="NVIDIA H200", driver="580.1") for i in range(number))
