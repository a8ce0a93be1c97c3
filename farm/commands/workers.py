"""The workers of a farm: how they are, and rest for those whose machine is wanted."""

from __future__ import annotations

import json as json_
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Which workers there are, what they do and how they are; pause, drain and resume them.

    A worker is named as in the table, render-0@lab-07 or render-0; a machine's name stands for all
    of its workers, and `all` for all there are.

        farm workers
        farm workers --pause lab-07
        farm workers --resume lab-07
    """

    pause: tuple[str, ...] = ()
    """Have these hand their tasks back at once and rest, also after they are started anew."""
    drain: tuple[str, ...] = ()
    """Have these finish what they have in hand and take no more, until they are started anew."""
    resume: tuple[str, ...] = ()
    """Have these go on."""
    json: bool = False
    """Print one JSON object."""

    def __call__(self) -> int:
        import dataclasses

        from farm import local
        from farm.roster import named, roster, state_of
        from farm.settings import load

        settings = load()
        runs = not settings.private or local.running(settings)
        store = local.open_store(settings) if runs else None
        workers = store.workers() if store else []
        asked = [("paused", name) for name in self.pause]
        asked += [("drained", name) for name in self.drain]
        asked += [("resumed", name) for name in self.resume]
        # All are looked up before the first is told: a name that is wrong changes nothing.
        meant = [(what, worker) for what, name in asked for worker in named(name, workers)]
        for what, worker in meant:
            assert store, "there are workers"
            {"paused": store.pause, "drained": store.drain, "resumed": store.resume}[what](worker)
        dead_s = settings.worker_dead_s
        if self.json:
            facts = [
                {**dataclasses.asdict(each), "state": state_of(each, dead_s)} for each in workers
            ]
            print(json_.dumps({"workers": facts}))
            return 0
        if meant:
            for what, worker in meant:
                print(f"{worker}: {TOLD[what]}")
            return 0
        if not workers:
            print("no worker runs; `farm up` starts this machine's")
            return 0
        from rich.console import Console

        console = Console(highlight=False)
        console.print(roster(workers, dead_s, console.width))
        return 0


TOLD = {
    "paused": "hands its task back and rests",
    "drained": "finishes its task and takes no more",
    "resumed": "goes on, unless something else has it rest",
}
COMMANDS = {"workers": Workers}
