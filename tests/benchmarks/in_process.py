"""Run a render job in this process, without the farm: for benchmarks of the renderer alone."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

# As a farm's worker starts its child on a CPU machine; numpy reads the second when it is imported.
os.environ.setdefault("FARM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from renderer.jobs import render


class Lease:
    """A lease that always holds; a failure ends the benchmark."""

    Retry = RuntimeError
    failed: dict[str, Any] = {}  # noqa: RUF012

    def start(self, item: str) -> None: ...
    def finish(self, item: str, **units: int) -> None: ...
    def progress(self, **values: Any) -> None: ...
    def commit(self) -> None: ...

    def fail(self, item: str, failure_class: str, reason: str) -> None:
        raise RuntimeError(f"{item}: {failure_class}: {reason}")


def run_job(out: Path, shapes: list[str], **options: Any) -> int:
    """The number of images made. Blender's chatter is silenced."""
    job = render.resolve(render.Job(shapes=tuple(shapes), out=str(out), **options), Path.cwd())
    scanned = render.scan(job)
    render.prepare(job, scanned)
    sys.stdout.flush()
    kept, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    try:
        dones = [render.run(job, task, Lease()) for task in render.plan(job, scanned)]
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(null)
    render.publish(job, scanned, dones, complete=True)
    return sum(done.images for done in dones)
