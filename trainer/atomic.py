"""What is written is there whole or not at all: single files by renderer.storage, folders here."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from renderer.storage import Place, read, replacing, write

__all__ = ["read_json", "remove_leftovers", "replacing", "whole_folder", "write", "write_json"]


def write_json(path: Place, value: Any) -> None:
    """JSON that people open too; NaN and infinities are refused."""
    write(path, (json.dumps(value, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Place, version: int) -> dict[str, Any]:
    """A JSON object of that version.

    Raises FileNotFoundError, or ValueError that names the file for what is none or another's.
    """
    try:
        value = json.loads(read(path))
    except ValueError as error:  # also of bytes that are no UTF-8
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(value, dict) or value.get("version") != version:
        found = value.get("version") if isinstance(value, dict) else None
        raise ValueError(f"{path} has version {found!r}; this program reads version {version}")
    return value


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """An empty folder that becomes `path`, with all its files on disk, when the block ends.

    A folder of that name is replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    try:
        yield temporary
        for entry in (*temporary.iterdir(), temporary):
            _flush(entry)
        os.chmod(temporary, 0o777 & ~_umask())
        shutil.rmtree(path, ignore_errors=True)  # a rename replaces no folder that holds files
        os.rename(temporary, path)
        _flush(path.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed process left half written in a folder that is ours alone."""
    for entry in folder.glob(".*.part"):
        shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink()


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
