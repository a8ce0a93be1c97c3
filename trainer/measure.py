"""How good a run's network is on datasets: figures, tables and predictions, kept in its folder."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from renderer import storage
from renderer.storage import Place
from trainer import atomic, device
from trainer.data import Snapshot
from trainer.jobs.evaluate import Job, evaluation_name
from trainer.models import Evaluation
from trainer.run import ARRAYS, VERSION, Run, snapshot_for
from trainer.session import make_tools, measure, switch
from trainer.start import Refused


def evaluate(job: Job, lease: Any) -> dict[str, Any]:
    """Evaluate a run: folder of the evaluation, step of its checkpoint, metrics.

    lease  has progress(at=words) and commit(), as farm.child.Lease

    Raises Refused for datasets that will not do.
    """
    began = time.monotonic()
    try:
        run = Run(job.run)
        snapshot = snapshot_for(run, job.data)
        found, step = _measured(job, run, snapshot, lease)
    except (ValueError, FileNotFoundError) as error:
        raise Refused(str(error)) from error
    assert job.out is not None, "resolve() names the folder"
    folder = storage.place(job.out) / evaluation_name(job.split, snapshot.id)
    metrics = {name: _finite(value) for name, value in found.metrics.items()}
    lease.commit()
    arrays = io.BytesIO()
    np.savez_compressed(arrays, **found.arrays)
    with _whole(folder) as place:
        digest = hashlib.sha256(arrays.getvalue()).hexdigest()
        storage.write(storage.by_content(place / ARRAYS, digest), arrays.getvalue())
        note = {
            "version": VERSION,
            "run": job.run,
            "model": run.job.model,
            "split": job.split,
            "snapshot": snapshot.id,
            "data": list(snapshot.facts.folders),
            "facts": dataclasses.asdict(snapshot.facts),
            "checkpoint": job.checkpoint,
            "step": step,
            "seconds": round(time.monotonic() - began, 3),
            "metrics": metrics,
            "tables": found.tables,
            "arrays": digest,
        }
        atomic.write_json(place / "evaluation.json", note)
    return {"folder": str(folder), "step": step, "metrics": metrics}


@contextlib.contextmanager
def _whole(folder: Place) -> Iterator[Place]:
    """Where to write an evaluation so that it appears whole: its JSON names its arrays, and in an
    object store comes last."""
    if isinstance(folder, Path):
        with atomic.whole_folder(folder) as temporary:
            yield temporary
    else:
        yield folder


def _measured(job: Job, run: Run, snapshot: Snapshot, lease: Any) -> tuple[Evaluation, int]:
    """The evaluation of a checkpoint, and its step."""
    model, config, on = run.model, run.config, device.choose(job.device)
    # What is enough to judge a network may be less than what it learns from.
    getattr(model, "check_evaluation", model.check)(config, snapshot.facts)
    snapshot.items(job.split)
    device.steady(on, device.threads())
    channels_last = switch(run.job.channels_last, on)
    checkpoint = run.checkpoint(job.checkpoint)
    network = model.build(config, run.facts)
    checkpoint.restore(network)
    network.to(on)
    tools = make_tools(
        on,
        device.loaders(on, job.loaders),
        channels_last,
        lambda said: lease.progress(**({} if said is None else {"at": said})),
        job.split,
    )
    precision = device.autocast(device.precision(run.job.precision, on), on)
    found = measure(model, config, network, snapshot, job.split, tools, precision, run.job.seed)
    return found, checkpoint.step


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
