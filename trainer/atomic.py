"""What is written is there whole or not at all: a temporary name in the same folder, then a rename.

The renderer has the same for datasets (renderer.storage); its two doors to here are others.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file open for writing that becomes `path` only when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def write(path: Path, data: bytes) -> None:
    with replacing(path) as file:
        file.write(data)


def write_json(path: Path, value: Any) -> None:
    """JSON that people open too; NaN and infinities are refused."""
    write(path, (json.dumps(value, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path, version: int) -> dict[str, Any]:
    """A JSON object of that version.

    Raises FileNotFoundError, or ValueError that names the file for what is none or another's.
    """
    try:
        value = json.loads(path.read_bytes())
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
