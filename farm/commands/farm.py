"""The farm itself: this machine's own, and what units, containers and Slurm start."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg


@dataclass(frozen=True, kw_only=True)
class Up:
    """Keep this machine's private farm running, with Flower to look at it.

    farm up --workers 2
    """

    workers: int | None = None
    """So many workers; by default one for each GPU, or for each core without one."""

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"--workers {self.workers}: at least 1")

    def __call__(self) -> int:
        import importlib.util

        from farm import local
        from farm.settings import load
        from farm.words import typed

        settings = load()
        if not settings.private:
            raise ValueError(
                "farm up runs this machine's private farm, and FARM_BROKER_URL names "
                "the lab's; start `farm controller` and `farm worker` there"
            )
        store = local.open_store(settings)
        local.wish(store, stay=1)
        if self.workers:
            local.wish(store, workers=self.workers)
        print(
            f"the farm runs; its state and logs are in {settings.home}; "
            + typed("`farm down` stops it")
        )
        if importlib.util.find_spec("flower"):
            secret = settings.web_password_file or settings.home / "web" / "password"
            print(f"Flower: http://127.0.0.1:{settings.flower_port}; its password: cat {secret}")
        else:
            print("Flower, to look at it in a browser: `uv run --extra monitor farm up`")
        return 0


@dataclass(frozen=True, kw_only=True)
class Down:
    """Stop this machine's private farm; its jobs go on with the next `farm up` or `submit`.

    farm down
    """

    def __call__(self) -> int:
        from farm import local
        from farm.settings import load

        settings = load()
        if not settings.private:
            raise ValueError(
                "farm down stops this machine's private farm, and FARM_BROKER_URL "
                "names the lab's; stop its units there"
            )
        if not local.running(settings):
            print("no farm runs here")
            return 0
        local.wish(local.open_store(settings), stop=1)
        if local.wait_until_gone(settings):
            print("the farm has stopped")
            return 0
        print(f"farm: it has not stopped yet; see {settings.logs / 'farm.log'}", file=sys.stderr)
        return 1


@dataclass(frozen=True, kw_only=True)
class Controller:
    """Run the controller, in the foreground; one for each farm, a second one waits.

    FARM_BROKER_URL=redis://host/0 farm controller
    """

    def __call__(self) -> int:
        from farm.controller import main
        from farm.settings import load

        return main(load(), with_parent=False)


@dataclass(frozen=True, kw_only=True)
class Worker:
    """Run one worker, in the foreground: for one GPU, or one slot of a CPU machine.

    farm worker render --gpu 0
    """

    role: Annotated[str, Positional, arg(metavar="[ROLE]")] = "render"
    """Whose tasks it takes: render, train, both, or cpu: what needs no GPU."""
    gpu: str | None = None
    """The GPU it has to itself, by number or UUID; 0,1 for runs on several. Without it those of
    CUDA_VISIBLE_DEVICES, or all."""
    slot: str | None = None
    """Tells workers of one role on one machine apart; by default the number of its GPU, or 0."""

    def __call__(self) -> int:
        import os

        from farm import kinds, machine
        from farm.roles import CPU, ROLES
        from farm.settings import load

        settings = load()
        roles = sorted(
            {
                kinds.load(name, settings.kind_packages).role
                for name in kinds.find(settings.kind_packages)
            }
            | set(ROLES)
        )
        if self.role not in roles:
            raise ValueError(f"no role {self.role!r}; there are {', '.join(roles)}")
        slot = self.slot or "0"
        if self.gpu is not None:
            if self.role == CPU:
                raise ValueError(f"--gpu {self.gpu}: a cpu worker has none; render, train or both")
            cards = [card.index for card in machine.chosen(self.gpu, machine.gpus())]
            os.environ |= machine.showing(cards)  # before anything could look for GPUs
            slot = self.slot or "-".join(map(str, cards))
        from farm.worker import main

        return main(settings, self.role, slot, with_parent=False)


COMMANDS = {"up": Up, "down": Down, "controller": Controller, "worker": Worker}
