"""Installed wheels that uv would take out and put back at every `uv run`."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import sys
import tempfile
from pathlib import Path

TAG = re.compile(r"^Tag: (cp\d+)-\1-", re.MULTILINE)


def settle(name: str) -> bool:
    """Make an installed wheel's own record name this Python; whether that was needed.

    bpy 5.0.1 is published as cp311, and the WHEEL file inside says cp39. uv takes that for a
    package of another Python and installs it anew at every `uv run` (astral-sh/uv#17711): with a
    job running, `uv run farm status` would pull Blender away from under the children.
    Only in a virtual environment that uv filled.
    """
    if sys.prefix == sys.base_prefix:
        return False
    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    if (found.read_text("INSTALLER") or "").strip() != "uv":
        return False
    before = found.read_text("WHEEL") or ""
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    after = TAG.sub(f"Tag: {python}-{python}-", before)
    path = next((Path(str(f.locate())) for f in found.files or () if f.name == "WHEEL"), None)
    if after == before or path is None:
        return False
    return _replace(path, after)


def _replace(path: Path, text: str) -> bool:
    """A new file in its place: uv's cache may hold the old one by a hard link."""
    try:
        handle, temporary = tempfile.mkstemp(prefix=".WHEEL.", dir=path.parent)
    except OSError:
        return False  # a read-only environment: uv cannot take anything out of it either
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        return False
    return True
