"""A run's network that gives pictures another look, warm: loaded once for all tasks of a process.

What happens on the device between two batches of bytes: 8-bit RGBA goes there, is made numbers,
goes through the model's `stylize`, and comes back as 8-bit RGB that is 0 where alpha is 0.
On a GPU a batch is only started; the next one is on its way before the first is fetched.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer import device
from trainer.errors import OutOfMemory, RunFailed
from trainer.run import Run

BATCH = {"cuda": 64, "cpu": 8}
Pictures = NDArray[np.uint8]

_warm: tuple[tuple[Any, ...], Stylizer] | None = None


class Unable(RunFailed):
    """The model does not do what stylizing asks of it."""

    failure_class = "bad_input"


def warm(
    run: str, step: int, device: str, precision: str, batch: int | None, network: str
) -> Stylizer:
    """The stylizer of a checkpoint, loaded at the first call.

    network  SHA-256 of the checkpoint's file: another file of that name is another network
    """
    global _warm
    wanted = (run, step, device, precision, batch, network)
    if _warm is None or _warm[0] != wanted:
        _warm = None  # lets go of its memory first
        _warm = wanted, Stylizer(run, step, device, precision, batch)
    return _warm[1]


class Stylizer:
    """A checkpoint's network on its device.

    batch  pictures at once; it shrinks where the device's memory turns out to be too small

    Raises FileNotFoundError, ValueError for a run or checkpoint that is not there.
    """

    def __init__(
        self, run: str, step: int, device_: str = "auto", precision: str = "auto",
        batch: int | None = None,
    ):  # fmt: skip
        of = Run(run)
        self.model, self.config = of.model, of.config
        if not hasattr(self.model, "stylize"):
            raise Unable(f"{run} is a run of {of.job.model}, which cannot stylize")
        self.device = device.choose(device_)
        self.precision = device.precision(precision, self.device)
        self.batch = batch or BATCH.get(self.device.type, 8)
        self._on_gpu = self.device.type == "cuda"
        device.steady(self.device, device.threads())
        network = self.model.build(self.config, of.facts)
        of.checkpoint(step).restore(network)
        self.network = network.to(self.device).eval().requires_grad_(False)
        if self._on_gpu:
            self.network = self.network.to(memory_format=torch.channels_last)

    def start(self, rgba: Pictures, rest: Started | None = None) -> Started:
        """Begin with pictures [B, H, W, 4]; `take` of what comes back waits for them.

        rest  what was begun already and follows them

        Raises OutOfMemory when the device does not hold a single one.
        """
        try:
            return self._start(rgba, rest)
        except torch.cuda.OutOfMemoryError:
            half = len(rgba) // 2
        if not half:
            raise OutOfMemory(device.name(self.device), 1)
        torch.cuda.empty_cache()
        self.batch = min(self.batch, half)
        return self.start(rgba[:half], self.start(rgba[half:], rest))

    def _start(self, rgba: Pictures, rest: Started | None) -> Started:
        count, pictures = len(rgba), torch.from_numpy(rgba)
        if self._on_gpu:
            # cuDNN looks for the fastest way anew for every size of batch: let there be few.
            room = min(1 << (count - 1).bit_length(), max(self.batch, count))
            pinned = torch.zeros((room, *rgba.shape[1:]), dtype=torch.uint8, pin_memory=True)
            pinned[:count] = pictures
            pictures = pinned.to(self.device, non_blocking=True)
        with torch.inference_mode():
            colours, finite = self._stylized(pictures)
            return Started(colours[:count], finite[:count], rest)

    def _stylized(self, rgba: Tensor) -> tuple[Tensor, Tensor]:
        """8-bit colours [B, H, W, 3] of pictures [B, H, W, 4], and whether all were numbers [B]."""
        inside = (rgba[..., 3:] > 0).permute(0, 3, 1, 2)
        scaled = rgba.permute(0, 3, 1, 2).float() / 255
        images, alpha = scaled[:, :3] * inside, scaled[:, 3:]
        memory = torch.channels_last if self._on_gpu else torch.contiguous_format
        images = images.contiguous(memory_format=memory)
        with device.autocast(self.precision, self.device):
            made = self.model.stylize(self.config, self.network, images, alpha.contiguous())
        if made.shape != images.shape:
            raise Unable(
                f"{self.model.__name__}.stylize made {tuple(made.shape)} of {tuple(images.shape)}"
            )
        made = made.float()
        finite = made.isfinite().flatten(1).all(dim=1)
        bytes_ = made.nan_to_num().clamp(0, 1).mul(255).round() * inside
        return bytes_.to(torch.uint8).permute(0, 2, 3, 1).contiguous(), finite


class Started:
    """Pictures that the device is at, or has made."""

    def __init__(self, colours: Tensor, finite: Tensor, rest: Started | None = None):
        self._event: torch.cuda.Event | None = None
        self._rest = rest
        if colours.is_cuda:
            self._keep = colours, finite  # until they are copied
            colours, finite = _fetched(colours), _fetched(finite)
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record()
        self._colours, self._finite = colours, finite

    def take(self) -> tuple[Pictures, NDArray[np.bool_]]:
        """Colours [B, H, W, 3], and whether the network gave numbers for each picture [B]."""
        if self._event is not None:
            self._event.synchronize()
        found = self._colours.numpy(), self._finite.numpy()
        if self._rest is None:
            return found
        colours, finite = self._rest.take()
        return np.concatenate([found[0], colours]), np.concatenate([found[1], finite])


def _fetched(there: Tensor) -> Tensor:
    """A copy here, which is under way."""
    here = torch.empty(there.shape, dtype=there.dtype, pin_memory=True)
    return here.copy_(there, non_blocking=True)
