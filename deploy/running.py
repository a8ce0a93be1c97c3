"""Starts, stops and looks at the parts of a farm on its machines."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from deploy import install, keeping
from deploy import units as units_
from deploy.errors import HostFailed
from deploy.fleet import Outcome, Problem, Say, Show, each
from deploy.inventory import Host, Lab
from deploy.keeping import SYSTEMD, Keeping, State
from deploy.place import Place
from deploy.push import installed
from deploy.remote import Remote
from deploy.survey import Survey, survey
from deploy.units import Unit

UP_S = 60  # from its start until a part is up, and its worker seen by Redis
STEADY_S = 3.0  # what runs for this long without a restart does not die of its configuration
STOP_S = 60
LOOK_S = 1.0
PATIENCE_S = 60
"""For so long a worker may finish its task before it is to hand it back."""


@dataclass(frozen=True)
class Machine:
    """One machine, and what is known of it."""

    host: Host
    remote: Remote
    found: Survey
    place: Place
    keeping: Keeping

    @classmethod
    def of(cls, host: Host, remote: Remote) -> Machine:
        """Ask a machine. Raises HostFailed where nothing is installed."""
        found = survey(host, remote)
        if not found.current:
            raise HostFailed("nothing is installed", "`farm deploy push` installs it", "version")
        place = Place.of(host.root, found.home)
        return cls(host, remote, found, place, keeping.of(host, found))

    def names(self) -> list[str]:
        """Units that are to run there."""
        said = self.remote.run(f"ls -1 {shlex.quote(str(self.place.units))}")
        return [line.removesuffix(".env") for line in said.out.split() if line.endswith(".env")]

    def states(self, names: Sequence[str]) -> list[State]:
        if not names:
            return []
        return self.keeping.states(self.remote.run(self.keeping.look(self.place, names)).out)

    def farm(self, *words: str) -> str:
        """A command line of `farm` there, by the name that its parts go by."""
        config = shlex.quote(str(self.place.config(self.found.current, self.host.users[0])))
        farm = shlex.quote(str(self.place.program(self.found.current)))
        return f"FARM_CONFIG={config} {farm} {shlex.join(words)}"

    def workers(self) -> dict[str, dict[str, Any]]:
        """Its workers as Redis knows them, by the names of their units."""
        said = self.remote.run(self.farm("workers", "--json"), check=False)
        if said.code:
            remedy = "`farm deploy check` tells whether Redis lets this host in"
            raise HostFailed(said.last.removeprefix("farm: "), remedy, "Redis")
        found = json.loads(said.out)["workers"]
        return {
            units_.WORKER + worker["name"].partition("@")[0]: worker
            for worker in found
            if worker["host"] == self.found.hostname
        }


def start(lab: Lab, hosts: tuple[Host, ...], show: Show) -> list[Outcome]:
    """Start what the roles of each host ask for, and what is not wanted any more, stop.

    Done when all of it runs and Redis has seen every worker. Facts: version, units, keeping.
    """

    def one(host: Host, remote: Remote, say: Say) -> Outcome:
        return _start(Machine.of(host, remote), say)

    return each(lab, hosts, one, show)


def stop(
    lab: Lab, hosts: tuple[Host, ...], show: Show, patience_s: float = PATIENCE_S
) -> list[Outcome]:
    """Stop all that runs.

    patience_s  for so long workers may finish what they have in hand; what is left then is handed
                back. Negative: all is killed at once
    Facts: version, stopped.
    """

    def one(host: Host, remote: Remote, say: Say) -> Outcome:
        machine = Machine.of(host, remote)
        stopped = _stop(machine, machine.names(), say, patience_s)
        return Outcome(host.name, {"version": machine.found.current, "stopped": stopped})

    return each(lab, hosts, one, show)


def restart(
    lab: Lab, hosts: tuple[Host, ...], show: Show, patience_s: float = PATIENCE_S
) -> list[Outcome]:
    """Stop, as stop does, and start: what runs then is the version that is linked."""

    def one(host: Host, remote: Remote, say: Say) -> Outcome:
        machine = Machine.of(host, remote)
        _stop(machine, machine.names(), say, patience_s)
        return _start(machine, say)

    return each(lab, hosts, one, show)


def rollback(
    lab: Lab, hosts: tuple[Host, ...], show: Show, patience_s: float = PATIENCE_S
) -> list[Outcome]:
    """Link the version before the one that is linked, and restart what runs.

    Facts: as of start, and was.
    """

    def one(host: Host, remote: Remote, say: Say) -> Outcome:
        machine = Machine.of(host, remote)
        versions = installed(remote, machine.place)
        if versions.before is None:
            there = ", ".join(sorted(versions.there))
            what = f"there is no version before {versions.current}; there are {there}"
            raise HostFailed(what, "`farm deploy push --wheel FILE` brings one", "version")
        names = machine.names()
        if names:
            _stop(machine, names, say, patience_s)
        say("linking the version before")
        remote.run(install.flip(machine.place, versions.before))
        facts = {"version": versions.before, "was": versions.current}
        if not names:
            return Outcome(host.name, facts)
        outcome = _start(Machine.of(host, remote), say)
        return Outcome(host.name, {**outcome.facts, **facts}, outcome.problems)

    return each(lab, hosts, one, show)


def status(lab: Lab, hosts: tuple[Host, ...], show: Show) -> list[Outcome]:
    """What runs where. Facts: version, units, workers, keeping, free_mb."""

    def one(host: Host, remote: Remote, say: Say) -> Outcome:
        say("looking at what runs")
        machine = Machine.of(host, remote)
        names = machine.names()
        states = machine.states(names)
        workers = machine.workers() if any(map(_is_worker, names)) else {}
        facts = {
            "version": machine.found.current,
            "units": [asdict(state) for state in states],
            "workers": {name: workers[name] for name in names if name in workers},
            "keeping": machine.keeping.name,
            "free_mb": machine.found.free_mb,
        }
        problems = (*troubles(names, states, workers, host.name), *refused(workers))
        return Outcome(host.name, facts, problems)

    return each(lab, hosts, one, show)


def troubles(
    names: Sequence[str], states: Sequence[State], seen: Any, host: str
) -> Iterator[Problem]:
    """Units that do not run as they should, and workers that Redis has not seen."""
    logs = f"`farm deploy logs --hosts {host}` tells why"
    by_name = {state.name: state for state in states}
    for name in names:
        state = by_name.get(name)
        if state is None or not state.up:
            often = f", started {state.restarts + 1} times" if state and state.restarts else ""
            yield Problem("units", f"{name} does not run{often}", logs)
        elif _is_worker(name) and name not in seen:
            yield Problem("workers", f"{name} runs, and Redis has not seen it", logs)


def refused(workers: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    """Workers that the controller gives nothing, by the names of their units."""
    for name, worker in workers.items():
        if worker.get("refused"):
            remedy = "push one version to all hosts and restart them"
            yield Problem("workers", f"{name} {worker['refused']}: it gets no tasks", remedy)


def _start(machine: Machine, say: Say) -> Outcome:
    host, remote, place = machine.host, machine.remote, machine.place
    wanted = units_.units(host, machine.found, place)
    names = [unit.name for unit in wanted]
    surplus = [name for name in machine.names() if name not in names]
    if surplus:
        _stop(machine, surplus, say, 0)
    say(f"starting {len(wanted)} units")
    _write(machine, wanted)
    remote.run(machine.keeping.start(place, names), timeout_s=UP_S)
    say("waiting until they run")
    workers = [name for name in names if _is_worker(name)]
    deadline = time.monotonic() + UP_S
    while True:
        time.sleep(LOOK_S)
        states = machine.states(names)
        # Redis is not asked of workers that do not even run.
        seen = machine.workers() if workers and all(state.up for state in states) else {}
        steady = all(state.up_s > STEADY_S or state.name in seen for state in states)
        problems = tuple(troubles(names, states, seen, host.name))
        if (steady and not problems) or time.monotonic() > deadline:
            break
    facts: dict[str, Any] = {
        "version": machine.found.current,
        "units": [asdict(state) for state in states],
        "keeping": machine.keeping.name,
    }
    return Outcome(host.name, facts, problems)


def _write(machine: Machine, wanted: Sequence[Unit]) -> None:
    """The variables of every unit, and systemd's files where it keeps them."""
    place, remote = machine.place, machine.remote
    for unit in wanted:
        path = units_.environment_file(unit, place)
        remote.put(
            path, units_.environment_text(unit, machine.found.current, place).encode(), 0o600
        )
    if machine.keeping is not SYSTEMD:
        return
    folder = PurePosixPath(machine.found.home, keeping.UNITS)
    remote.run(f"mkdir -p {shlex.quote(str(folder))}")
    for name, text in {
        units_.service_file(unit): units_.service_text(unit, machine.found.current, place)
        for unit in wanted
    }.items():
        remote.put(folder / name, text.encode())


def _stop(machine: Machine, names: Sequence[str], say: Say, patience_s: float) -> list[str]:
    """Stop these units for good: they are not started with the machine either."""
    if not names:
        return []
    now = patience_s < 0
    if not now:
        _drain(machine, [name for name in names if _is_worker(name)], say, patience_s)
    say(f"stopping {len(names)} units")
    machine.remote.run(machine.keeping.stop(machine.place, names, now), timeout_s=STOP_S)
    files = shlex.join([str(machine.place.units / f"{name}.env") for name in names])
    machine.remote.run(f"rm -f {files}")
    return list(names)


def _drain(machine: Machine, names: Sequence[str], say: Say, patience_s: float) -> None:
    """Let workers finish what they have in hand, and take no more.

    Where Redis is away they are not told, and hand back what they have when they are stopped.
    """
    deadline = time.monotonic() + patience_s
    told = False
    while time.monotonic() < deadline:
        try:
            seen = machine.workers() if names else {}
        except HostFailed:
            return
        busy = [seen[name]["name"] for name in names if seen.get(name, {}).get("job")]
        if not busy:
            return
        if not told:
            machine.remote.run(machine.farm("workers", "--drain", *busy), check=False)
            told = True
        say(f"waiting for {len(busy)} tasks to end")
        time.sleep(LOOK_S)


def _is_worker(name: str) -> bool:
    return name.startswith(units_.WORKER)
