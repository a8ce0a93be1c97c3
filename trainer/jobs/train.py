"""The train job: datasets in, a run's folder with a trained network out.

Only plain data at the top: the controller imports this file on machines that have no torch.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from renderer import storage
from renderer.storage import Place

ROLE = "train"
NETWORK = True  # torchrun's meeting point, and weights that are fetched
LABEL = ("model", "data")
HIDDEN = ("config",)
# What a run may be resumed with, or without: it decides how fast a run is, not what it learns.
NOT_IDENTITY = frozenset(
    {"device", "devices", "nodes", "resume", "compile", "channels_last", "fused", "loaders"}
)
EXAMPLE = """\
Options of the model follow those of the job. The same line again goes on where the run stopped.

    farm submit train --model rotationnet --data data/cars data/chairs --out runs/rn
    farm submit train --model rotationnet --help      with that model's options"""
MOST = 4  # figures in a run's summary; evaluate has them all
CHECK_S = 300  # importing torch from a cold disk takes a minute


@dataclass(frozen=True, kw_only=True)
class Job:
    """Train a model on datasets."""

    model: str
    """Which; `farm models` lists them."""
    data: tuple[str, ...]
    """Folders of finished datasets; several may be given."""
    out: str | None = None
    """The run's folder, or s3://bucket/folder; by default named after model and data:
    runs/rotationnet-cars."""
    preset: str = "small"
    """tiny: minutes on a few cores; small: about an hour on one GPU; paper: as published; some
    models have more, which `farm models` lists."""
    steps: int | None = None
    """Optimizer steps of the whole run; by default the preset's."""
    seed: int = 0
    """Of everything random."""
    device: str = "auto"
    """auto (a GPU where there is one), cpu, cuda."""
    devices: int = 1
    """GPUs on each machine (processes, on a CPU) that share a batch."""
    nodes: int = 1
    """Machines that share a batch: as many trainer workers are gathered before it begins."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 on GPUs that have it, else fp32."""
    resume: bool = True
    """Go on with a run that is there; --no-resume refuses a folder that holds one."""
    weights: str = "none"
    """What the network starts from: none, imagenet, or a file of weights."""
    compile: bool = False
    """Compile the network with torch.compile: minutes at first, faster then."""
    channels_last: Literal["auto", "on", "off"] = "auto"
    """Keep pictures with their channels last in memory; auto: on a GPU."""
    fused: Literal["auto", "on", "off"] = "auto"
    """Update all parameters in one kernel; auto: on a GPU."""
    loaders: int | None = None
    """Processes that read examples; by default the cores to spare."""
    config: dict[str, Any] = field(default_factory=dict)
    """The model's own options that differ from the preset's."""

    def __post_init__(self) -> None:
        if not self.data or not all(self.data):
            raise ValueError("--data is empty; give the folder of a dataset such as data/cars")
        _at_least("--steps", self.steps, 1)
        _at_least("--seed", self.seed, 0)
        _at_least("--devices", self.devices, 1)
        _at_least("--nodes", self.nodes, 1)
        _at_least("--loaders", self.loaders, 0)
        if self.device.partition(":")[0] not in ("auto", "cpu", "cuda"):
            raise ValueError(f"--device {self.device}: auto, cpu or cuda is wanted")
        for name in self.config:
            if name in JOB_FIELDS:
                raise ValueError(f"config has {name!r}, which is an option of the job itself")

    @property
    def folder(self) -> Place:
        assert self.out is not None, "resolve() names the folder"
        return storage.place(self.out)


JOB_FIELDS = frozenset(field.name for field in dataclasses.fields(Job))


@dataclass(frozen=True, kw_only=True)
class Task:
    """A run, or one machine's part of it."""

    name: str
    node: int = 0
    steps: int = 0
    """0: not known to whoever planned it."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """A finished run."""

    name: str
    steps: int
    seconds: float
    metrics: dict[str, float]
    """Of the best checkpoint on the validation split."""
    failed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Scanned:
    """What the datasets and the model say before anything is planned."""

    snapshot: dict[str, Any]
    steps: int
    examples: int
    parameters: int


# --- before the job ----------------------------------------------------------------------------


def resolve(job: Job, cwd: Path) -> Job:
    """The job with full paths, a folder and the preset's number of steps.

    Raises ValueError for a model or option that is not, and where --no-resume finds a run.
    """
    from trainer.errors import UnknownModel
    from trainer.models import find

    known = find()
    if job.model not in known:
        raise UnknownModel(job.model, tuple(known))
    data = tuple(storage.absolute(folder, cwd) for folder in job.data)
    out = job.out or str(
        Path("runs") / "-".join([job.model, *(storage.place(f).name for f in data)])[:80]
    )
    weights = job.weights
    if weights not in ("none", "imagenet"):
        weights = storage.absolute(weights, cwd)
        if not Path(weights).is_file():
            raise ValueError(f"--weights {job.weights}: no such file; or none, or imagenet")
    job = dataclasses.replace(
        job,
        data=data,
        out=storage.absolute(out, cwd),
        weights=weights,
        config={**job.config, **further(job, cwd)},
    )
    if not job.resume and _is_there(job.folder):
        raise ValueError(
            f"{job.folder} holds a run already; give another --out, or remove it, "
            "or leave --no-resume out to go on with it"
        )
    if has_torch():
        from trainer.run import configure

        return dataclasses.replace(job, steps=configure(job).steps)
    if job.steps is None:
        from trainer.catalogue import entry

        presets = {preset.name: preset.steps for preset in entry(job.model).presets}
        if job.preset not in presets:
            raise ValueError(f"--preset {job.preset}: {job.model} has {', '.join(presets)}")
        return dataclasses.replace(job, steps=presets[job.preset])
    return job


def _is_there(folder: Place) -> bool:
    from trainer import mirror

    if isinstance(folder, Path):
        return (folder / "job.json").exists()
    return mirror.is_there(folder)


def further(job: Job, cwd: Path) -> dict[str, list[str]]:
    """Folders of the datasets that a model has beside --data, by option; full paths.

    Raises ValueError for one that is not given.
    """
    from trainer.catalogue import entry

    found = {}
    for name, what in entry(job.model).datasets.items():
        given = job.config.get(name) or ()
        folders = [given] if isinstance(given, str) else list(given)
        if not folders:
            raise ValueError(f"--model {job.model} wants --{name} too: {what}")
        found[name] = [storage.absolute(str(folder), cwd) for folder in folders]
    return found


def reads(job: Job, task: Task | None) -> Iterator[str]:
    """The datasets, also those among the model's own options, and a file of weights."""
    yield from job.data
    if job.weights not in ("none", "imagenet"):
        yield job.weights
    from trainer.catalogue import entry

    datasets = entry(job.model).datasets
    for name, value in job.config.items():
        given = value if isinstance(value, list | tuple) else [value]
        texts = [str(text) for text in given if isinstance(text, str)]
        # Pictures of torchvision's are at CIFAR10:folder.
        places = [re.sub(r"^\w+:(?!//)", "", text) for text in texts]
        yield from (place for place in places if name in datasets or "/" in place)


def writes(job: Job, task: Task | None) -> Iterator[str]:
    yield str(job.folder)


def scan(job: Job) -> Scanned:
    """Look at the datasets, and have the model look at what they hold.

    The model is asked in a process of its own: the controller never imports torch. Where torch is
    not installed, the trainer worker asks first thing (trainer.run.start).
    Raises ValueError for a dataset that will not do, by name.
    """
    if not has_torch():
        from trainer.data import Snapshot

        snapshot = Snapshot.take(job.data, further(job, Path.cwd())).to_json()
        return Scanned(snapshot=snapshot, steps=job.steps or 0, examples=0, parameters=0)
    asked = subprocess.run(
        [sys.executable, "-m", "trainer", "check"],
        input=json.dumps(dataclasses.asdict(job)).encode(),
        capture_output=True,
        timeout=CHECK_S,
    )
    if asked.returncode == os.EX_DATAERR:
        line = asked.stderr.decode(errors="replace").strip().splitlines()[-1]
        raise ValueError(line.removeprefix("trainer: "))
    if asked.returncode:
        raise RuntimeError(asked.stderr.decode(errors="replace").strip()[-2000:])
    return Scanned(**json.loads(asked.stdout.splitlines()[-1]))


def prepare(job: Job, scanned: Scanned) -> None:
    """Claim the run's folder, or find it ours. Raises ValueError when it is another's."""
    from trainer.run import claim

    claim(job, scanned.snapshot)


def estimate(job: Job, scanned: Scanned) -> dict[str, Any]:
    """For --dry-run."""
    return {
        "steps": scanned.steps,
        "examples": scanned.examples,
        "parameters": scanned.parameters,
    }


def plan(job: Job, scanned: Scanned) -> Iterator[Task]:
    """One task for each machine."""
    for node in range(job.nodes):
        name = "train" if job.nodes == 1 else f"train-{node}"
        yield Task(name=name, node=node, steps=scanned.steps)


def together(job: Job) -> int:
    """The machines of a run take its tasks side by side."""
    return job.nodes


def gpus(job: Job) -> int:
    return 0 if job.device == "cpu" else job.devices


def units(job: Job, task: Task) -> dict[str, int]:
    return {"steps": task.steps if task.node == 0 else 0}


# --- one run -----------------------------------------------------------------------------------


def run(job: Job, task: Task, lease: Any) -> Done:
    """Train to the end, from the last checkpoint on."""
    from trainer.start import train

    return _done(task, train(job, lease))


def done(job: Job, task: Task) -> Done | None:
    """What the folder says of a finished run; None of one that is not."""
    from trainer.run import result

    found = result(job.folder)
    return _done(task, found) if found else None


def _done(task: Task, found: dict[str, Any]) -> Done:
    """One machine's Done: the first one's counts the steps."""
    return Done(name=task.name, **{**found, "steps": 0 if task.node else found["steps"]})


def publish(job: Job, scanned: Scanned, dones: Sequence[Done], complete: bool) -> None:
    """A run keeps its own folder in order."""


def summary(job: Job, dones: Sequence[Done]) -> str:
    """For people, when it is done."""
    where, here = storage.short(job.folder), isinstance(job.folder, Path)
    done = max(dones, key=lambda each: each.steps)
    told = [f"{name} {value:.4g}" for name, value in done.metrics.items()]
    lines = [f"{where}: {done.steps} steps in {done.seconds:.0f} s"]
    if told:
        more = f" and {len(told) - MOST} more" if len(told) > MOST else ""
        lines.append(f"  on val        {', '.join(told[:MOST])}{more}")
    data = " ".join(storage.short(storage.place(folder)) for folder in job.data)
    lines += [
        f"  how good      farm submit evaluate --run {where} --data {data} --split test",
        f"  look at it    farm report {where}" + ("" if here else " --out report"),
    ]
    if here:
        lines.append(f"  curves        tensorboard --logdir {where}")
    return "\n".join(lines)


def result(job: Job, dones: Sequence[Done]) -> dict[str, Any]:
    """What `--json` prints of it."""
    done = max(dones, key=lambda each: each.steps)
    return {"steps": done.steps, "training_s": done.seconds, "metrics": done.metrics}


# --- a model's own options ---------------------------------------------------------------------


def more_options(arguments: Sequence[str]) -> type | None:
    """The options of the model that a command line names, with its preset's values; else None.

    Raises ValueError for a model that is not, and on a machine without torch.
    """
    model, preset = _given(arguments, "--model"), _given(arguments, "--preset") or "small"
    if model is None:
        return None
    from trainer.run import options

    if not has_torch():
        raise ValueError(
            f"--model {model}: its options need torch, which is not installed here; "
            "pip install 'shapefarm[train]', or give the job as a file: --job FILE"
        )
    return options(model, preset)


def with_options(job: Job, chosen: Any) -> Job:
    """The job with those of the model's options that differ from the preset's."""
    from trainer.run import differing

    return dataclasses.replace(job, config=differing(job, chosen))


# --- details -----------------------------------------------------------------------------------


def has_torch() -> bool:
    import importlib.util

    return importlib.util.find_spec("torch") is not None


def _given(arguments: Sequence[str], name: str) -> str | None:
    for number, word in enumerate(arguments):
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
        if word == name and number + 1 < len(arguments):
            return arguments[number + 1]
    return None


def _at_least(name: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise ValueError(f"{name} {value}: at least {least}")
