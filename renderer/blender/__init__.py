"""Everything that touches Blender's Python module; nothing else imports `bpy`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from renderer.blender.session import Session


def open_session(threads: int | None) -> Session:
    """Load Blender and warm it up; once per process.

    threads  CPU threads of a render; None lets Cycles take them all

    Raises `engine.NoBlender` where this machine cannot render.
    """
    with _seeing_cpus(threads):
        from renderer.blender.engine import import_bpy

        import_bpy()
        from renderer.blender.session import Session

        return Session(threads)


@contextmanager
def _seeing_cpus(threads: int | None) -> Iterator[None]:
    """Let this process see as many CPUs as it may use threads, for the length of the block.

    Blender's task scheduler counts CPUs when bpy is loaded, and with fewer render threads than that
    its idle workers spin: on 2 CPUs, two single-threaded renders side by side took 4.95 s, and
    4.19 s this way.  Afterwards every thread may run anywhere again, as workers that are pinned
    would queue for the same CPU.
    """
    if threads is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:threads])
    try:
        yield
    finally:
        for thread in os.listdir("/proc/self/task"):
            try:
                os.sched_setaffinity(int(thread), allowed)
            except OSError:  # it has just ended
                continue
