"""Whether what a job names lies beneath the storage roots: pure rules, told in one line.

Whoever can submit jobs chooses their paths, so a farm that serves more than one person sets
`storage_roots`.  `farm submit` checks as a courtesy; the controller and every worker decide, since
records in Redis may have been written by anyone who may submit.  Paths count by where they lead
once all links are followed.  What files name that lie beneath a root (a dataset's index, a link
that is changed after the check) is the kernel's part: farm.jail.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from farm.kinds import Kind
from farm.settings import Settings

PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
"""Names that become parts of a path: jobs, tasks."""


def check(settings: Settings, kind: Kind, job: Any, task: Any = None) -> None:
    """Raises ValueError where a job, or one of its tasks, would read or write elsewhere.

    Shapes may be read from the machine's own folders of shapes, too.
    """
    if task is not None and not PLAIN.fullmatch(task.name):
        raise ValueError(f"{task.name[:80]!r} is no name of a task")
    if not settings.storage_roots:
        return
    for part in ("reads", "writes"):
        if not hasattr(kind.module, part):
            raise ValueError(
                f"jobs of kind {kind.name} do not say what they read and write, and this farm has "
                f"storage roots: {kind.module.__name__} wants reads() and writes()"
            )
    shapes = [root for root in settings.roots.values() if root]
    refuse(kind.module.writes(job, task), "write", settings.storage_roots)
    refuse(kind.module.reads(job, task), "read", settings.storage_roots, shapes)


def refuse(paths: Iterable[str], verb: str, roots: Iterable[str], more: Iterable[str] = ()) -> None:
    """Raises ValueError for the first path that leads out of all the roots."""
    roots = tuple(roots)
    allowed = [*map(_real, roots), *map(_real, more)]
    for path in paths:
        if not any(beneath(path, root) for root in allowed):
            raise ValueError(
                f"{path[:300]!r} may not be {_PAST[verb]}: it lies outside of the storage roots "
                f"{', '.join(roots)}; put it beneath one of them"
            )


_PAST = {"read": "read", "write": "written"}


def beneath(path: str, root: str) -> bool:
    """Whether a path, links followed, is the root or lies beneath it.

    root    a folder whose own links are followed already, or an address such as s3://bucket/a
    """
    if "://" in path or "://" in root:
        parts = path.split("/")
        return (
            "://" in path
            and ".." not in parts
            and "." not in parts
            and (path == root or path.startswith(root.rstrip("/") + "/"))
        )
    if not path.startswith("/") or "\0" in path:
        return False  # resolve() gives full paths; what is none was not made by it
    return PurePosixPath(os.path.realpath(path)).is_relative_to(root)


def _real(root: str) -> str:
    return root if "://" in root else os.path.realpath(root)
