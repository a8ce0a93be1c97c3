"""What is kept running on a machine: one unit for each server, GPU and slot. Pure.

Their names are systemd's, also where a process of ours keeps them running.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import PurePosixPath

from deploy import variables
from deploy.inventory import ON_GPUS, SERVERS, Host, user_of
from deploy.place import Place
from deploy.survey import Survey
from farm import machine

WORKER = "farm-worker@"


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One process of the farm."""

    name: str
    """farm-controller, farm-worker@render-0"""
    words: tuple[str, ...]
    """Of its command line, after `farm`."""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def worker(self) -> str:
        """What its worker is called on that machine: render-0; "" of a server."""
        return self.name.removeprefix(WORKER) if self.name.startswith(WORKER) else ""


def units(host: Host, found: Survey, place: Place) -> list[Unit]:
    """All that is to run on a machine, from the version that is linked.

    It stays with that version until it is started anew, also when it dies in between.
    """
    servers = [
        Unit(
            name=f"farm-{role}",
            words=(role, *host.arguments.get(role, ())),
            environment={"FARM_CONFIG": str(place.config(found.current, user_of(role)))},
        )
        for role in host.roles
        if role in SERVERS
    ]
    return servers + list(_workers(host, found, place))


def _workers(host: Host, found: Survey, place: Place) -> Iterator[Unit]:
    cards = [gpu.index for gpu in found.gpus if host.gpus == "auto" or gpu.index in host.gpus]
    shares: list[tuple[str, str, dict[str, str]]] = []  # role, slot, the GPU it has
    for role in host.worker_roles:
        if role in ON_GPUS and cards:
            shares += [(role, str(card), machine.showing([card])) for card in cards]
        else:
            beside = len(cards) if set(host.roles) & set(ON_GPUS) else 0
            number = host.slots or _slots(role, found, beside)
            shares += [(role, str(slot), machine.showing([])) for slot in range(number)]
    threads = max(1, found.cores // max(1, len(shares)))
    memory = max(2 * machine.WORKER_MB, int(found.memory_mb * 0.9 / max(1, len(shares))))
    # What farm.toml says wins: a variable would win over it.
    share = {"threads": str(threads), "memory_mb": str(memory)}
    limits = {f"FARM_{key.upper()}": n for key, n in share.items() if key not in host.settings}
    for role, slot, card in shares:
        yield Unit(
            name=f"{WORKER}{role}-{slot}",
            words=("worker", role, "--slot", slot, *host.arguments.get(role, ())),
            environment={
                "FARM_CONFIG": str(place.config(found.current, user_of(role))),
                **limits,
                **card,
            },
        )


def _slots(role: str, found: Survey, beside: int) -> int:
    """Workers without a GPU: one for each core, less those of the GPUs; one that trains has all."""
    if role == "train":
        return 1
    return max(1, min(found.cores - beside, found.memory_mb // machine.WORKER_MB - beside))


def service(unit: Unit) -> str:
    """How systemd calls it."""
    return f"{unit.name}.service"


def service_file(unit: Unit) -> str:
    """Name of the file that describes it to systemd; workers share one."""
    return f"{WORKER}.service" if unit.worker else service(unit)


def service_text(unit: Unit, version: str, place: Place) -> str:
    """The content of `service_file`: all that is of one unit alone is in its variables."""
    template = (files("deploy") / "templates" / "unit.service").read_text("utf-8")
    name = f"{WORKER}%i" if unit.worker else unit.name
    program = str(place.program(version))
    words = {"@ROOT@": str(place.root), "@UNIT@": name, "@PROGRAM@": program}
    for word, meaning in words.items():
        template = template.replace(word, meaning)
    return template


def environment_file(unit: Unit, place: Place) -> PurePosixPath:
    """Where its variables lie."""
    return place.units / f"{unit.name}.env"


def environment_text(unit: Unit, version: str, place: Place) -> str:
    """The content of `environment_file`: what it runs, and its variables."""
    what = {variables.PROGRAM: str(place.program(version)), variables.WORDS: " ".join(unit.words)}
    return variables.text({**what, **unit.environment})
