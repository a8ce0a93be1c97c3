"""Several processes that share a batch: torchrun starts them, torch.distributed joins them."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

PATIENCE = datetime.timedelta(hours=6)  # others wait while the first process validates


@dataclass(frozen=True, kw_only=True)
class World:
    """Which of how many processes this is."""

    rank: int = 0
    size: int = 1
    local: int = 0
    """Number on its machine."""

    @property
    def first(self) -> bool:
        """The one that writes."""
        return self.rank == 0

    @property
    def several(self) -> bool:
        return self.size > 1

    def mean(self, values: Tensor) -> Tensor:
        """Over all processes."""
        if self.several:
            dist.all_reduce(values)
            values /= self.size
        return values

    def agree(self, number: int, device: torch.device) -> int:
        """The first process's number, for all."""
        if not self.several:
            return number
        told = torch.tensor(number, device=device)
        dist.broadcast(told, src=0)
        return int(told)

    def wait(self) -> None:
        """Until all are here."""
        if self.several:
            dist.barrier()


def here() -> World:
    """As torchrun told this process; alone without it."""
    environ = os.environ
    if "TORCHELASTIC_RUN_ID" not in environ:
        return World()
    return World(
        rank=int(environ["RANK"]), size=int(environ["WORLD_SIZE"]), local=int(environ["LOCAL_RANK"])
    )


@contextlib.contextmanager
def joined(world: World, device: torch.device) -> Iterator[None]:
    """Within it the processes of a world can talk."""
    if not world.several:
        yield
        return
    if device.type == "cuda":
        dist.init_process_group("nccl", timeout=PATIENCE, device_id=device)
    else:
        dist.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def wrap(network: nn.Module, world: World, device: torch.device) -> nn.Module:
    """The network, whose gradients are averaged over all processes.

    On GPUs batch norms take their statistics over the whole batch; torch has that for GPUs only.
    """
    if not world.several:
        return network
    if device.type == "cuda":
        return nn.parallel.DistributedDataParallel(network, device_ids=[device.index])
    return nn.parallel.DistributedDataParallel(network)


def synchronized(network: nn.Module, world: World, device: torch.device) -> nn.Module:
    """The network with SyncBatchNorm in place of batch norms, where there are several GPUs."""
    if world.several and device.type == "cuda":
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return converted
    return network
