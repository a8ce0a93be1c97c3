"""A run's folder: whose it is, what it trains on, how far it came.

job.json       the job, written first: what tells whose folder this is
data.json      the snapshot of the datasets: what the run reads, whatever they become
run.json       the resolved config, dataset ids, versions, parameters; every start of it
metrics.jsonl  the truth about how it went; tensorboard/ is a view of it
checkpoints/   see trainer.checkpoint
result.json    at the end
evaluations/   what `evaluate` made: <split>-<id of the datasets>/evaluation.json, .npz

In an object store the same files lie as trainer.mirror says.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import functools
import json
import logging
import os
import socket
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import IO, TYPE_CHECKING, Any

from farm import kinds
from renderer import storage
from renderer.storage import Address, Place
from trainer import atomic, mirror, models
from trainer.data import Facts, Snapshot
from trainer.errors import DatasetRefused, RunFailed
from trainer.jobs.train import JOB_FIELDS, NOT_IDENTITY, Job

if TYPE_CHECKING:
    from trainer.checkpoint import Checkpoint

log = logging.getLogger(__name__)

VERSION = 1
JOB, DATA, RUN, RESULT = "job.json", "data.json", "run.json", "result.json"
METRICS = "metrics.jsonl"
CUT_OFF_S, OF_SEVERAL = 15.0, ", one of several machines"
ARRAYS = "evaluation.npz"
MOST_UNPACKED = 2 << 30
"""Bytes of an evaluation's arrays: a zip of some MB may promise many GB."""


class InUse(RunFailed):
    """Another process trains in this folder."""

    failure_class = "environment"


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """An evaluation of a run, as it lies in its folder."""

    folder: Place
    split: str
    snapshot: str
    """Id of the datasets it was measured on."""
    data: tuple[str, ...]
    """Their folders."""
    step: int
    """Of the checkpoint."""
    metrics: Mapping[str, float]
    tables: Mapping[str, Any]
    facts: Facts
    digest: str
    """SHA-256 of its arrays; empty of one that was made before this was kept."""

    @property
    def arrays(self) -> dict[str, Any]:
        """Predictions, by name; read when asked for."""
        import numpy as np

        place = storage.by_content(self.folder / ARRAYS, self.digest)
        with storage.on_disk(place) as path:
            with zipfile.ZipFile(path) as packed:
                size = sum(each.file_size for each in packed.infolist())
            if size > MOST_UNPACKED:
                raise ValueError(f"{place} would unpack to {size} bytes; at most {MOST_UNPACKED}")
            with np.load(path, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}


class Run:
    """A run that was claimed.

    folder  where it is; of one in an object store, a copy is looked at
    job  as it is computed now; without it as its folder remembers it, which does not keep what
         the results do not depend on: device, loaders ...

    Raises FileNotFoundError where there is none; ValueError for a file that cannot be read.
    """

    def __init__(self, folder: str | Place, job: Job | None = None):
        self.place = storage.place(folder)
        try:
            self.folder = _here(self.place)
            note = atomic.read_json(self.folder / JOB, VERSION)
        except (FileNotFoundError, NotADirectoryError):
            raise FileNotFoundError(
                f"no run in {folder}: it has no {JOB}; `farm submit train` makes one"
            ) from None
        self.job: Job = job or kinds.read(Job, json.dumps(note["job"]), str(self.folder / JOB))

    def __repr__(self) -> str:
        return f"Run({str(self.place)!r})"

    @property
    def model(self) -> ModuleType:
        return models.load(self.job.model)

    @functools.cached_property
    def config(self) -> Any:
        """The model's Config: as it was when the run began, else as the job asks for it."""
        try:
            values = self.about["config"]
        except FileNotFoundError:
            return configure(self.job)
        return kinds.read(self.model.Config, json.dumps(values), str(self.folder / RUN))

    @property
    def about(self) -> dict[str, Any]:
        """What is in run.json. Raises FileNotFoundError before the first start."""
        return atomic.read_json(self.folder / RUN, VERSION)

    @property
    def facts(self) -> Facts:
        """Of what it trains on."""
        try:
            return _facts(self.about["facts"])
        except FileNotFoundError:
            return self.snapshot().facts

    def snapshot(self) -> Snapshot:
        """What it trains on. Raises DatasetRefused when a shard of it is gone or changed."""
        return Snapshot.from_json(json.loads(storage.read(self.folder / DATA)))

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; a last one that is cut off is left out."""
        from trainer.tracker import read

        return read(self.folder / METRICS)

    @property
    def checkpoints(self) -> Path:
        return _here(self.place, checkpoints=True) / "checkpoints"

    def checkpoint(self, which: str | int = "best") -> Checkpoint:
        """The "best" or "last" one, or that of a step. Raises FileNotFoundError."""
        from trainer import checkpoint

        return checkpoint.find(self.checkpoints, which)

    def result(self) -> dict[str, Any] | None:
        """What it came to; None of a run that is not finished."""
        return result(self.place)

    def evaluations(self) -> list[Evaluated]:
        """What was measured of it, in order of name."""
        folder = self.place / "evaluations"
        if isinstance(folder, Path):
            names = [path.parent.name for path in folder.glob("*/evaluation.json")]
        else:
            names = storage.folders(folder)
        return [evaluated(folder / name) for name in sorted(names)]

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only one who writes here. Raises InUse, naming who does.

        The first process of several machines may be one whose predecessor sits on a machine that
        was cut off, and keeps its lock: after a while it goes on, for the farm has brought these
        machines together without that one.
        """
        path = self.folder / ".lock"
        deadline = time.monotonic() + (CUT_OFF_S if self.job.nodes > 1 else 0.0)
        with path.open("a+") as file:
            try:
                while not _flock(file):
                    who = path.read_text() or "another process"
                    if time.monotonic() < deadline:
                        time.sleep(0.2)
                    elif self.job.nodes > 1 and who.endswith(OF_SEVERAL):
                        log.warning("goes on without %s, which holds %s", who, path)
                        break
                    else:
                        raise InUse(f"{self.folder} is in use by {who}")
            except OSError as error:  # a network folder without locks: leases are all there is
                log.warning("no lock folder=%s error=%s", self.folder, error)
            file.truncate(0)
            several = OF_SEVERAL if self.job.nodes > 1 else ""
            file.write(f"process {os.getpid()} on {socket.gethostname()}{several}")
            file.flush()
            yield


def _flock(file: IO[str]) -> bool:
    """Whether the lock of an open file is ours now."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


# --- whose folder it is ------------------------------------------------------------------------


def claim(job: Job, snapshot: Mapping[str, Any]) -> Run:
    """Write job.json and data.json into the run's folder, or find it this job's.

    snapshot  JSON of what it trains on; a run that is there keeps its own

    Raises ValueError when the folder is another job's, or in use for something else.
    """
    folder = job.folder
    if isinstance(folder, Address):
        return _claim_there(folder, job, snapshot)
    try:
        note = atomic.read_json(folder / JOB, VERSION)
    except (FileNotFoundError, NotADirectoryError):
        if folder.exists() and (not folder.is_dir() or any(map(_foreign, folder.iterdir()))):
            raise ValueError(f"{folder} is in use and is not a run; choose another --out") from None
        note = {"version": VERSION, "job": identity(job)}
        atomic.write_json(folder / JOB, note)
    if note["job"] != identity(job):
        raise ValueError(_another(folder, note["job"], identity(job)))
    if not (folder / DATA).exists():
        atomic.write_json(folder / DATA, snapshot)
    return Run(folder, job)


def _claim_there(address: Address, job: Job, snapshot: Mapping[str, Any]) -> Run:
    """The same in an object store, where both files come at once."""
    note: dict[str, Any] = {"version": VERSION, "job": identity(job)}
    if not mirror.is_there(address):
        if storage.in_use(address):
            raise ValueError(f"{address} is in use and is not a run; choose another --out")
        mirror.begin(
            address,
            {JOB: storage.readable_json(note), DATA: storage.readable_json(dict(snapshot))},
        )
    there = json.loads(mirror.read_file(address, JOB))
    if there["job"] != note["job"]:
        raise ValueError(_another(address, there["job"], note["job"]))
    return Run(address, job)


def _here(place: Place, checkpoints: bool = False) -> Path:
    """A run's folder on this machine."""
    return place if isinstance(place, Path) else mirror.copy(place, checkpoints)


def _foreign(path: Path) -> bool:
    """Whether it is anything but a job.json that somebody writes, or wrote when he was killed, or
    the note that the folder mirrors a run in an object store."""
    return not (path.match(f".{JOB}.*.part") or path.name == mirror.NOTE)


def identity(job: Job) -> dict[str, Any]:
    """What of a job decides what is learnt, as JSON; a folder may be moved."""
    whole = json.loads(kinds.canonical(job))
    return {name: whole[name] for name in whole if name not in NOT_IDENTITY | {"out"}}


def _another(folder: Place, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    theirs, ours = ({**job, **job["config"], "config": None} for job in (theirs, ours))
    names = dict.fromkeys((*ours, *theirs))
    different = [name for name in names if ours.get(name) != theirs.get(name)]
    # What is left out is the preset's.
    told = ", ".join(
        f"{name} {theirs.get(name, 'not given')}, here {ours.get(name, 'not given')}"
        for name in different
    )
    why = ""
    if different == ["steps"]:
        # Rates and losses are functions of step / steps: a longer run is another from step 1 on.
        why = "; a run's schedule depends on its length, so it cannot be made longer"
    return f"{folder} holds another run ({told}){why}; choose another --out"


# --- a model's configuration -------------------------------------------------------------------


def configure(job: Job) -> Any:
    """The model's Config: the preset, then the job's own options.

    Raises ValueError, naming the option, for one that is not or will not do.
    """
    module, start = models.load(job.model), preset(job.model, job.preset)
    values = {**dataclasses.asdict(start), **job.config}
    if job.steps is not None:
        values["steps"] = job.steps
    return kinds.read(module.Config, json.dumps(values), f"--model {job.model}")


def preset(model: str, name: str) -> Any:
    """A Config of the model. Raises ValueError for a preset that is not."""
    presets = models.load(model).PRESETS
    if name not in presets:
        raise ValueError(f"--preset {name}: {model} has {', '.join(presets)}")
    return presets[name]()


def options(model: str, preset_name: str) -> type:
    """A dataclass of the model's own options: its Config, less what the job itself has.

    Their defaults are the preset's values.
    """
    from typing import get_type_hints

    from tyro.conf import Suppress

    start = preset(model, preset_name)
    hints: Any = get_type_hints(type(start), include_extras=True)
    hide: Any = Suppress
    fields = []
    for each in dataclasses.fields(start):
        hint = hide[hints[each.name]] if each.name in JOB_FIELDS else hints[each.name]
        fields.append((each.name, hint, dataclasses.field(default=getattr(start, each.name))))
    made = dataclasses.make_dataclass(
        type(start).__name__, fields, bases=(type(start),), frozen=True, kw_only=True
    )
    made.__doc__ = f"Options of {model}, with the values of its preset {preset_name}."
    return made


def differing(job: Job, chosen: Any) -> dict[str, Any]:
    """The options in `chosen` that are not as the job's preset has them, as JSON."""
    start = preset(job.model, job.preset)
    values = {
        each.name: getattr(chosen, each.name)
        for each in dataclasses.fields(start)
        if each.name not in JOB_FIELDS and getattr(chosen, each.name) != getattr(start, each.name)
    }
    found: dict[str, Any] = json.loads(json.dumps(values))
    return found


# --- reading -----------------------------------------------------------------------------------


def result(folder: Place) -> dict[str, Any] | None:
    """What a finished run came to: steps, seconds, metrics. None of one that is not finished."""
    try:
        if isinstance(folder, Address):
            found = json.loads(mirror.read_file(folder, RESULT))
        else:
            found = atomic.read_json(folder / RESULT, VERSION)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return {name: found[name] for name in ("steps", "seconds", "metrics")}


def evaluated(folder: Place) -> Evaluated:
    """The evaluation in a folder. Raises FileNotFoundError; ValueError for another version."""
    value = atomic.read_json(folder / "evaluation.json", VERSION)
    return Evaluated(
        folder=folder,
        split=value["split"],
        snapshot=value["snapshot"],
        data=tuple(value["data"]),
        step=value["step"],
        metrics=value["metrics"],
        tables=value["tables"],
        facts=_facts(value["facts"]),
        digest=value.get("arrays", ""),
    )


def snapshot_for(run: Run, data: Sequence[str]) -> Snapshot:
    """What a run is measured on: these datasets, with the run's class numbers; else its own.

    Segments of photos have no category, so that any run may look at them.

    Raises DatasetRefused for a category that the run never saw.
    """
    own = run.snapshot()
    if not data:
        return own
    snapshot, known = Snapshot.take(data), run.facts.categories
    new = [name for name in snapshot.facts.categories if name and name not in known]
    if new:
        raise DatasetRefused(
            f"{', '.join(data)} has {', '.join(new)}, which {run.folder} was not trained on; "
            f"it knows {', '.join(known)}"
        )
    return Snapshot(snapshot.parts, classes=known, others=own.others)


def _facts(value: Mapping[str, Any]) -> Facts:
    values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in value.items()}
    return Facts(**values)
