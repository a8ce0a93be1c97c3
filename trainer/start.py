"""From a job to its loop: check, claim, choose who computes, and say how it goes."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from renderer.storage import Place
from trainer import atomic, distributed, mirror, models
from trainer.data import Snapshot
from trainer.distributed import World
from trainer.errors import RunFailed
from trainer.jobs.train import Job, Scanned, further
from trainer.loader import Loader
from trainer.run import RESULT, VERSION, Run, claim, configure, identity, result

TELL_S = 0.5  # oftener than this nobody looks


class Refused(RunFailed):
    """The job will not do: trying again would give the same."""

    failure_class = "bad_input"


def check(job: Job) -> Scanned:
    """What a job comes to. Raises ValueError for one that will not do, by name."""
    run = _claimed(job)
    snapshot = run.snapshot() if run else Snapshot.take(job.data, further(job, Path.cwd()))
    config, model = run.config if run else configure(job), models.load(job.model)
    model.check(config, snapshot.facts)
    examples = model.examples(config, snapshot, "train", True)
    Loader(examples, batch=config.batch, seed=job.seed, world=job.devices * job.nodes)
    network = model.build(config, snapshot.facts)
    return Scanned(
        snapshot=snapshot.to_json(),
        steps=config.steps,
        examples=len(examples),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
    )


def train(job: Job, lease: Any) -> dict[str, Any]:
    """Train a job to its end, or go on where it stopped; what the run came to.

    lease  has finish(item, steps=n), progress(at=words) and commit(), as farm.child.Lease; where
           the job takes several machines, meet() and stands() too

    Raises RunFailed with the farm's failure class.
    """
    if job.nodes > 1 and not hasattr(lease, "meet"):
        raise Refused(f"--nodes {job.nodes}: a farm brings machines together; `farm submit train`")
    with mirror.working(job.folder) as folder:
        return _train(dataclasses.replace(job, out=str(folder)), lease, job.folder)


def _train(job: Job, lease: Any, run_is_in: Place) -> dict[str, Any]:
    """The same in a folder of this machine, where the run itself is in an object store."""
    try:
        run = claim(job, check(job).snapshot)
    except (ValueError, FileNotFoundError) as error:
        raise Refused(str(error)) from error
    world = distributed.here()
    # Of several machines any may have the first process, which locks the folder itself.
    with run.lock() if job.nodes == 1 else contextlib.nullcontext():
        if found := run.result():
            return found
        came: dict[str, Any] | None
        if job.devices * job.nodes == 1:
            came = work(run, world, lease)
        else:
            from trainer.launch import launch

            came = launch(job, lease, run_is_in)
        if came is not None:
            lease.commit()
            atomic.write_json(run.folder / RESULT, {"version": VERSION, **came})
            mirror.push(run.folder)
    found = result(run_is_in)
    assert found, "launch() waits for it"
    return found


def work(run: Run, world: World, lease: Any) -> dict[str, Any]:
    """One process's part of a run."""
    from trainer import device
    from trainer.loop import train as loop
    from trainer.session import Session

    teller = Teller(lease, world, run.config.steps)
    locked = run.job.nodes > 1 and world.first
    with (
        run.lock() if locked else contextlib.nullcontext(),
        distributed.joined(world, device.choose(run.job.device, world.local)),
    ):
        return loop(Session(run, world, teller.say), teller)


class Teller:
    """Tells the farm, not too often, how many steps are done and how it goes."""

    def __init__(self, lease: Any, world: World, of: int):
        self._lease, self._world, self._of = lease, world, of
        self._steps: int | None = None
        self._told = 0.0

    def __call__(self, done: int, line: Mapping[str, Any]) -> None:
        """After every step, with the last line of metrics."""
        now = time.monotonic()
        if not self._world.first or (now - self._told < TELL_S and done < self._of):
            return
        self._told = now
        if self._steps is None:
            self._steps = done - 1
            self._lease.found("train", steps=self._steps)
        self._lease.finish("train", steps=done - self._steps)
        self._steps = done
        self.say(words(line))

    def say(self, text: str | None) -> None:
        """In a few words, what it is at; None: it goes on."""
        if self._world.first:
            self._lease.progress(**({} if text is None else {"at": text}))


def words(line: Mapping[str, Any]) -> str:
    """A line of metrics in short: loss 0.53  812 images/s"""
    told = [f"loss {line['loss']:.3g}"] if line.get("loss") is not None else []
    if line.get("images_per_s"):
        told.append(f"{line['images_per_s']:.0f} images/s")
    return "  ".join(told)


def _claimed(job: Job) -> Run | None:
    """The run that is there already, if it is this job's."""
    try:
        run = Run(job.folder)
    except FileNotFoundError:
        return None
    return run if identity(run.job) == identity(job) else None
