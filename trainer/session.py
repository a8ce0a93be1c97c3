"""One process's part of a run: its network, optimizer and data, on its device."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from trainer import (
    atomic,
    chance,
    checkpoint,
    device,
    distributed,
    loader,
    mirror,
    samples,
    weights,
)
from trainer.distributed import World
from trainer.errors import NotFinite
from trainer.models import Evaluation, Tools
from trainer.run import RUN, VERSION, Run
from trainer.tracker import Silent, Tracker

FUSIBLE = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD, torch.optim.Adagrad)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What a run has come to, beside its tensors."""

    seconds: float = 0.0
    """Of training, over all its starts."""
    best: int | None = None
    """Step of the best validation; None: the last checkpoint counts as best."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Of that validation."""


class Session:
    """Everything the loop works with. Each process of a run has one.

    say  is told in a few words of what takes long beside the steps; None: it goes on
    """

    def __init__(self, run: Run, world: World, say: Callable[[str | None], None]):
        job, self.run, self.world, self.say = run.job, run, world, say
        self.job, self.model, self.config = job, run.model, run.config
        self.steps: int = self.config.steps
        self.device = device.choose(job.device, world.local)
        self.precision = device.precision(job.precision, self.device)
        self.channels_last = switch(job.channels_last, self.device)
        self.loaders = device.loaders(self.device, job.loaders, job.devices)
        # Sums on a CPU depend on how many threads share them: a run goes on with as many.
        self.threads = _threads_before(run, self.device) or device.threads(job.devices)
        device.steady(self.device, self.threads)
        self.snapshot = run.snapshot()
        chance.begin(job.seed)
        network: nn.Module = self.model.build(self.config, self.snapshot.facts)
        if not checkpoint.saved(run.checkpoints):
            weights.fill(network, job.weights, self.model, self.config)
        network = distributed.synchronized(network.to(self.device), world, self.device)
        if self.channels_last:
            network = network.to(memory_format=torch.channels_last)
        self.network = network.train()
        optimizer, self._schedule = self.model.optimizer(self.config, network)
        fused = job.fused == "on" or (job.fused == "auto" and self.device.type == "cuda")
        self.optimizer: Optimizer = fuse(optimizer) if fused else optimizer
        self._rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        wrapped = distributed.wrap(network, world, self.device)
        self.wrapped: Any = torch.compile(wrapped) if job.compile else wrapped
        self.last_checkpoint = ""

    # before the first step

    def resume(self) -> tuple[int, Kept, dict[str, Any]]:
        """Go back to the last checkpoint: steps done, what was kept, the last line of metrics."""
        last = checkpoint.last(self.run.checkpoints, tidy=self.world.first)
        # On storage of a network each machine has its own idea of which is the last.
        step = self.world.agree(last.step if last else 0, self.device)
        start, kept = 0, Kept()
        if step:
            last = checkpoint.shown(self.run.checkpoints, step)
            kept = Kept(**last.restore(self.network, self.optimizer))
            start, self.last_checkpoint = last.step, str(last.folder)
            if self.world.first:  # it may have been killed between checkpoint and best.json
                checkpoint.mark_best(self.run.checkpoints, kept.best or start)
        if self.world.first:
            self._note(start)
        self.world.wait()
        lines = [line for line in self.run.metrics() if line["step"] <= start]
        return start, kept, lines[-1] if lines else {}

    def batches(self, start: int) -> Iterator[dict[str, Any]]:
        """The batches of the steps that are left, on the device."""
        examples = self.model.examples(self.config, self.snapshot, "train", True)
        source = loader.Loader(
            examples,
            batch=self.config.batch,
            seed=self.job.seed,
            workers=self.loaders,
            rank=self.world.rank,
            world=self.world.size,
        )
        for batch in source.batches(start, self.steps):
            yield device.send(batch, self.device, self.channels_last)

    def tracker(self, start: int) -> Tracker | Silent:
        return Tracker(self.run.folder, start) if self.world.first else Silent()

    # during a step

    def set_rates(self, t: float) -> float:
        """Give every parameter group its learning rate; the first group's."""
        factor = float(self._schedule(t))
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor
        return self._rates[0] * factor

    def autocast(self) -> device.Precision:
        return device.autocast(self.precision, self.device)

    # now and then

    def validate(self, kept: Kept, done: int, tracker: Tracker | Silent) -> Kept:
        """Measure the network on the validation split, where there is one."""
        if self.world.first and self.snapshot.facts.samples.get("val"):
            metrics = self.evaluate("val").metrics
            tracker.write(done, "val", seconds=kept.seconds, **metrics)
            kept = self._better(kept, done, metrics)
        self.world.wait()
        return kept

    def evaluate(self, split: str) -> Evaluation:
        tools = make_tools(self.device, self.loaders, self.channels_last, self.say, split)
        return measure(
            self.model, self.config, self.network, self.snapshot, split, tools, self.autocast(),
            self.job.seed,
        )  # fmt: skip

    def samples_due(self, done: int) -> bool:
        there = self.world.first and hasattr(self.model, "samples")
        return there and samples.due(self.config, done, self.steps)

    def sample(self, done: int) -> None:
        """Keep a sheet of what the network makes."""
        tools = make_tools(self.device, self.loaders, self.channels_last, self.say, "samples")
        training = self.network.training
        self.network.eval()
        try:
            with torch.no_grad(), self.autocast():
                made = self.model.samples(self.config, self.network, self.snapshot, tools)
        finally:
            self.network.train(training)
        samples.write(self.run.folder, done, made)

    def refuse_bad_weights(self, done: int, keys: Sequence[str]) -> None:
        """Raise NotFinite before a network is kept that a gradient has spoilt."""
        for parameter in self.network.parameters():
            if not bool(torch.isfinite(parameter).all()):
                raise NotFinite(done, math.nan, keys, self.last_checkpoint)

    def save(self, kept: Kept, done: int, tracker: Tracker | Silent) -> None:
        """Write a checkpoint."""
        if self.world.first:
            tracker.settle()
            checkpoint.save(
                self.run.checkpoints,
                done,
                self.network,
                self.optimizer,
                dataclasses.asdict(kept),
                best=kept.best or done,
            )
            mirror.push(self.run.folder)
        self.last_checkpoint = str(checkpoint.at(self.run.checkpoints, done).folder)

    def _better(self, kept: Kept, done: int, metrics: Mapping[str, float]) -> Kept:
        """What is kept after a validation: of the best by the model's BEST, else of the last."""
        wanted = getattr(self.model, "BEST", None)
        finite = {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
        if wanted is None:
            return dataclasses.replace(kept, metrics=finite)
        name = wanted.removeprefix("-")
        if name not in metrics:
            raise TypeError(f"{self.model.__name__}: BEST is {name}, which evaluate does not give")
        sign = -1 if wanted.startswith("-") else 1
        now, before = (sign * of.get(name, -sign * math.inf) for of in (finite, kept.metrics))
        if kept.best and now <= before:
            return kept
        return dataclasses.replace(kept, best=done, metrics=finite)

    def _notes(self) -> dict[str, str]:
        """What the model itself says of a run that begins."""
        found: dict[str, str] = {}
        if hasattr(self.model, "notes"):
            found = self.model.notes(self.config, self.network)
        return found

    def _note(self, start: int) -> None:
        """What this run is, and that it starts here, into run.json."""
        session = {
            "step": start,
            "device": device.name(self.device),
            "devices": self.world.size,
            "threads": self.threads,
            "precision": self.precision,
            "versions": device.versions(),
        }
        try:
            note = self.run.about
        except FileNotFoundError:
            facts = self.snapshot.facts
            note = {
                "version": VERSION,
                "model": self.job.model,
                "preset": self.job.preset,
                "config": dataclasses.asdict(self.config),
                "seed": self.job.seed,
                "weights": self.job.weights,
                "snapshot": self.snapshot.id,
                "datasets": {part.folder: part.id for part in self.snapshot.parts},
                "others": {
                    name: {part.folder: part.id for part in other.parts}
                    for name, other in self.snapshot.others.items()
                },
                "facts": dataclasses.asdict(facts),
                "notes": self._notes(),
                "parameters": sum(p.numel() for p in self.network.parameters()),
                "starts": [],
            }
        note["starts"].append(session)
        atomic.write_json(self.run.folder / RUN, note)


def measure(
    model: Any,
    config: Any,
    network: nn.Module,
    snapshot: Any,
    split: str,
    tools: Tools,
    precision: device.Precision,
    seed: int,
) -> Evaluation:
    """The model's own evaluation: network in eval mode, no gradients, the same chance each time."""
    chance.begin(seed)
    training = network.training
    network.eval()
    try:
        with torch.no_grad(), precision:
            found: Evaluation = model.evaluate(config, network, snapshot, split, tools)
            return found
    finally:
        network.train(training)


def make_tools(
    to: torch.device,
    workers: int,
    channels_last: bool,
    say: Callable[[str | None], None],
    split: str,
) -> Tools:
    """What an evaluation is lent."""

    def batches(examples: Any, batch: int) -> Iterator[dict[str, Any]]:
        for each in loader.ordered(examples, batch=batch, workers=workers):
            say(None)  # the farm sees that it goes on, also where a model says nothing
            yield device.send(each, to, channels_last)

    def progress(done: int = 0, total: int = 0, **_: Any) -> None:
        say(f"{split} {done}/{total}")

    return Tools(device=to, batches=batches, progress=progress)


def fuse(optimizer: Optimizer) -> Optimizer:
    """The same optimizer with one kernel for all parameters, where torch has that."""
    if type(optimizer) not in FUSIBLE:
        return optimizer
    groups = [{**group, "fused": True, "foreach": False} for group in optimizer.param_groups]
    made: Any = type(optimizer)
    same: Optimizer = made(groups, fused=True)
    return same


def switch(wanted: str, to: torch.device) -> bool:
    return wanted == "on" or (wanted == "auto" and to.type == "cuda")


def _threads_before(run: Run, to: torch.device) -> int:
    """How many threads the run began with; 0 where that does not matter or is not known."""
    try:
        return int(run.about["starts"][0]["threads"]) if to.type == "cpu" else 0
    except FileNotFoundError:
        return 0
