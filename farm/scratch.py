"""Temporary folders of child programs, each gone when its child is.

A child may be killed at any moment, so its parent makes and removes the folder. A parent that was
killed as well leaves it behind: the next worker on the machine sweeps it away.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import re
import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
ROOM_BYTES = 1_000_000_000  # containers often have 64 MB there, which two large pictures fill
LEAST_BYTES = 16_000_000  # with less, whatever a child does fails for want of room
NAME = re.compile(r"shapefarm-(\d+)-\w+")


class Scratch:
    """A folder of this process, in memory where there is room; locked for as long as it is used."""

    def __init__(self) -> None:
        """Raises OSError when no folder can be made."""
        prefix = f"shapefarm-{os.getpid()}-"
        self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=_folder()))
        # Held by flock, too: in another container the same process id is another process.
        self._handle = os.open(self.path, os.O_RDONLY)
        fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        atexit.register(self.remove)

    def remove(self) -> None:
        """Remove it with all that is in it; twice is no error."""
        atexit.unregister(self.remove)
        shutil.rmtree(self.path, ignore_errors=True)
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)


def lacking() -> str:
    """What this machine lacks to work: room for temporary files; "" when it has that."""
    folder = _folder()
    free = shutil.disk_usage(folder).free
    return "" if free >= LEAST_BYTES else f"{free / 1e6:.0f} MB free in {folder}"


def sweep() -> None:
    """Remove what processes that are gone have left."""
    for folder in {MEMORY, Path(tempfile.gettempdir())}:
        with contextlib.suppress(OSError):
            for path in list(folder.glob("shapefarm-*")):
                if _abandoned(path):
                    shutil.rmtree(path, ignore_errors=True)


def _folder() -> Path:
    if os.access(MEMORY, os.W_OK | os.X_OK) and shutil.disk_usage(MEMORY).free > ROOM_BYTES:
        return MEMORY
    return Path(tempfile.gettempdir())


def _abandoned(path: Path) -> bool:
    """Whether this user made it, in a process that is gone, here or in another container."""
    match = NAME.fullmatch(path.name)
    if not match or _lives(int(match[1])):
        return False
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        if os.fstat(handle).st_uid != os.getuid():
            return False
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
    finally:
        os.close(handle)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
