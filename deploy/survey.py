"""What one machine said of itself, as the probe found it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deploy import probe
from deploy.access import Access
from deploy.errors import HostFailed
from deploy.inventory import Host
from farm import kinds

if TYPE_CHECKING:
    from deploy.remote import Remote

SURVEY_S = 90
SHAPE_ROOTS = ("shapenet_root", "modelnet_root", "samples_root")


@dataclass(frozen=True, kw_only=True)
class Gpu:
    index: int
    name: str
    driver: str


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Facts of a machine; "" where something is not there, or where nothing is wrong."""

    home: str
    user: str
    hostname: str
    python: str
    uv: str
    pip: bool
    """Whether it could bring uv; only asked where there is none."""
    wanted_python: str
    cores: int
    memory_mb: int
    free_mb: int
    writable: bool
    current: str
    """The version that is installed and linked."""
    systemd: bool
    linger: bool
    gpus: tuple[Gpu, ...]
    gpu_trouble: str
    roots: dict[str, str]
    """Folder -> what is wrong with it."""
    redis: dict[str, str]
    """User -> why Redis does not let it in."""


def survey(
    host: Host,
    remote: Remote,
    access: Access | None = None,
    *,
    whole: bool = False,
    token: str = "",
) -> Survey:
    """Ask a machine.

    access  how to get into Redis, where it is to be asked of that
    whole   ask it of the Python that uv finds, and of the folders of its jobs
    token   name of a file to leave in every folder that jobs write to, "" for none
    Raises HostFailed where there is no Python to ask.
    """
    question = {
        "root": host.root,
        "uv": host.uv,
        "python": host.python if whole else "",
        "roots": [*host.folders, *shape_roots(host)] if whole else [],
        "written": host.folders if whole else [],
        "token": token,
        "redis": access.pairs(host) if access else [],
        "url": access.address if access else {},
    }
    return kinds.read(Survey, _ask(remote, "survey", question), "what the host said")


def tokens(host: Host, remote: Remote, known: list[str]) -> dict[str, frozenset[str]]:
    """Folder -> which of the known tokens this machine sees in it."""
    question = {"written": host.folders, "tokens": known}
    found: dict[str, list[str]] = json.loads(_ask(remote, "tokens", question))
    return {folder: frozenset(names) for folder, names in found.items()}


def sweep(host: Host, remote: Remote, token: str) -> None:
    """Take this token out of the folders."""
    _ask(remote, "sweep", {"written": host.folders, "token": token})


def clock(remote: Remote) -> tuple[float, float]:
    """By how many seconds its clock is ahead of ours, and how far that may be wrong."""
    before = time.time()
    theirs = float(remote.run("date +%s.%N", timeout_s=20).out)
    after = time.time()
    return theirs - (before + after) / 2, (after - before) / 2


def shape_roots(host: Host) -> list[str]:
    """Folders of shapes that its settings name."""
    return [str(host.settings[name]) for name in SHAPE_ROOTS if host.settings.get(name)]


def _ask(remote: Remote, function: str, question: dict[str, Any]) -> str:
    said = remote.feed("python3 -", probe.asking(function, question), timeout_s=SURVEY_S)
    if said.code == 127:
        raise HostFailed("no python3 there", "install it: sudo apt install python3", "Python")
    if said.code:
        raise HostFailed(
            f"it cannot be asked: {said.last}", "is its python3 3.7 or newer?", "Python"
        )
    return said.out
