"""The loop: batches in, a trained network out.

Plain torch rather than accelerate: its `save_state` pickles, and what is left of it is the few
lines of trainer.device and trainer.distributed.  Each step is a function of the seed and its number
(trainer.chance), so going on from a checkpoint takes no more than starting there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from trainer import chance
from trainer.errors import NotFinite, OutOfMemory
from trainer.models import Moment
from trainer.session import Session

CHECKPOINT_S = 60.0  # about so much work is lost when a process is killed


def train(session: Session, tell: Callable[[int, Mapping[str, Any]], None]) -> dict[str, Any]:
    """Train to the end; what it came to: steps, seconds, metrics of the best checkpoint.

    tell  is told after every step how many are done, and the last line of metrics

    Raises NotFinite, OutOfMemory.
    """
    s, steps, rhythm, window = session, session.steps, Rhythm.of(session.steps), Window()
    start, kept, line = s.resume()
    began, saved = time.monotonic() - kept.seconds, time.monotonic()
    with s.tracker(start) as tracker, _told_by_name(s):
        for step, batch in enumerate(s.batches(start), start):
            generator = chance.at(s.job.seed, step, s.world.rank)
            moment = Moment(step=step, steps=steps, generator=generator)
            rate = s.set_rates(moment.t)
            with s.autocast():
                loss, values = s.model.loss(s.config, s.wrapped, batch, moment)
            loss.backward()
            s.optimizer.step()
            s.optimizer.zero_grad()
            window.add(batch, loss, values)

            done = step + 1
            if rhythm.logs(done):
                means = window.close(s, done)
                kept = dataclasses.replace(kept, seconds=time.monotonic() - began)
                line = tracker.write(done, "train", seconds=kept.seconds, lr=rate, **means)
                if rhythm.validates(done):
                    kept = s.validate(kept, done, tracker)
                late = s.world.first and time.monotonic() - saved > CHECKPOINT_S
                if rhythm.validates(done) or late:
                    s.refuse_bad_weights(done, window.latest)
                    s.save(kept, done, tracker)
                    saved = time.monotonic()
                window.begin()
            if s.samples_due(done):
                with window.paused():
                    s.sample(done)
            tell(done, line)
    return {"steps": steps, "seconds": round(kept.seconds, 3), "metrics": kept.metrics}


@dataclass(frozen=True, kw_only=True)
class Rhythm:
    """When things are due: by the number of finished steps alone, so that a run repeats."""

    steps: int
    log: int
    val: int

    @classmethod
    def of(cls, steps: int) -> Rhythm:
        """About 200 lines of metrics, or one for every 50 steps; ten validations."""
        log = max(1, min(50, steps // 200))
        return cls(steps=steps, log=log, val=log * max(1, round(steps / 10 / log)))

    def logs(self, done: int) -> bool:
        return done % self.log == 0 or done == self.steps

    def validates(self, done: int) -> bool:
        return done % self.val == 0 or done == self.steps


@dataclass
class Window:
    """The steps since the last line.

    Their numbers stay on the device until it is closed: a GPU that had to tell every step would
    stand idle.
    """

    losses: list[Tensor] = field(default_factory=list)
    values: dict[str, list[Tensor]] = field(default_factory=dict)
    keys: list[list[str]] = field(default_factory=list)
    latest: list[str] = field(default_factory=list)
    """Keys of the last batch."""
    images: int = 0
    began: float = field(default_factory=time.monotonic)

    def begin(self) -> None:
        """What follows is timed."""
        self.began = time.monotonic()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """What is done meanwhile is not timed."""
        began = time.monotonic()
        yield
        self.began += time.monotonic() - began

    def add(self, batch: Mapping[str, Any], loss: Tensor, values: Mapping[str, Tensor]) -> None:
        self.losses.append(loss.detach())
        for name, value in values.items():
            self.values.setdefault(name, []).append(torch.as_tensor(value).detach())
        self.latest = [str(key) for key in batch.get("key", ())]
        self.keys.append(self.latest)
        self.images += count_images(batch)

    def close(self, session: Session, done: int) -> dict[str, float]:
        """Means over the steps and processes, and images per second; then it is empty.

        Raises NotFinite for the first step whose loss is no number.
        """
        series, device = {"loss": self.losses, **self.values}, session.device
        flat = torch.stack([v.float().to(device) for some in series.values() for v in some])
        mine = flat[: len(self.losses)].tolist()
        everywhere = iter(session.world.mean(flat).tolist())
        means = {name: [next(everywhere) for _ in values] for name, values in series.items()}
        for place, (ours, loss) in enumerate(zip(mine, means["loss"], strict=True)):
            if not math.isfinite(loss):
                step = done - len(mine) + place + 1
                keys = [] if math.isfinite(ours) else self.keys[place]  # another process tells them
                raise NotFinite(step, loss, keys, session.last_checkpoint)
        seconds = max(1e-9, time.monotonic() - self.began)
        told = {"images_per_s": round(self.images * session.world.size / seconds, 2)}
        told |= {name: math.fsum(values) / len(values) for name, values in means.items()}
        self.losses, self.values, self.keys, self.images = [], {}, [], 0
        return told


def count_images(batch: Mapping[str, Any]) -> int:
    """Pictures in a batch: of its tensor [..., C, H, W] with the most; without one, examples."""
    tensors = [value for value in batch.values() if isinstance(value, Tensor)]
    pictures = [math.prod(t.shape[:-3]) for t in tensors if t.ndim >= 4]
    return max(pictures or [len(tensor) for tensor in tensors if tensor.ndim] or [0])


@contextlib.contextmanager
def _told_by_name(session: Session) -> Iterator[None]:
    """A GPU whose memory does not hold it is a failure of its own."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise OutOfMemory(str(session.device), session.config.batch) from None
