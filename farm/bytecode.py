"""Keep the Python that is compiled, where its own place is closed.

Blender's module and its add-ons are 800 files of Python, trimesh, scipy and Celery as many again.
Uncompiled (uv does not compile what it installs) and told not to write bytecode, as containers
often are, every child program spends 1.6 s more on its start.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import sysconfig
from pathlib import Path

LARGE = ("celery", "bpy", "trimesh", "torch")  # as these were installed, so was the rest


def keep() -> None:
    """Let this process, and those that it starts, keep bytecode in the user's cache folder.

    Only where it is needed: the packages were installed uncompiled, and beside them nothing may or
    can be written. A PYTHONPYCACHEPREFIX that is set stays.
    """
    beside = not sys.dont_write_bytecode and os.access(sysconfig.get_path("purelib"), os.W_OK)
    if beside or sys.pycache_prefix or all(map(_compiled, LARGE)):
        return
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    folder = cache / "shapefarm" / "bytecode"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # then it is compiled every time
    sys.dont_write_bytecode = False
    sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = str(folder)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def _compiled(package: str) -> bool:
    """Whether it has its bytecode, or is not there."""
    spec = importlib.util.find_spec(package)
    return spec is None or not spec.cached or os.path.exists(spec.cached)
