"""Wheels for tests: made in an instant, or made of one that was built."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path


def pack(folder: Path, number: str, text: str) -> Path:
    """A wheel with one file of this text."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"shapefarm-{number}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("farm/note.py", text)
        archive.writestr(
            f"shapefarm-{number}.dist-info/RECORD", f"farm/note.py,{_hash(text.encode())},1\n"
        )
    return path


def changed(wheel: Path, folder: Path, note: str) -> Path:
    """The same wheel with one file more: another build of the same number."""
    path = folder / wheel.name
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(path, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            if info.filename.endswith(".dist-info/RECORD"):
                line = f"farm/note.py,{_hash(note.encode())},{len(note)}\n"
                data = line.encode() + data
            new.writestr(info, data)
        new.writestr("farm/note.py", note)
    return path


def _hash(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"
