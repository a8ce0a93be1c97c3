"""Whether machines have what the farm needs, and what to do where they do not."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict

from deploy import survey as surveys
from deploy.access import access
from deploy.fleet import Outcome, Problem, Say, Show, Silent, each
from deploy.inventory import ON_GPUS, Host, Lab
from deploy.remote import Remote
from deploy.survey import Survey

CLOCK_S = 2.0  # leases run out by the clocks of several machines
BASE_MB, EXTRA_MB = 400, {"render": 1000, "train": 5500}
"""Room that one version takes (272 on disk, on Linux), and each extra: Blender; torch and CUDA."""

Tokens = Mapping[str, frozenset[str]]
"""Folder -> the tokens in it."""


def check(lab: Lab, hosts: tuple[Host, ...], show: Show) -> list[Outcome]:
    """What every host has, as its facts, and what it lacks.

    Every host leaves a token in each folder that jobs write to, and looks which others are there:
    that is how a folder of the same name on a disk of its own is told from the lab's storage.
    """
    run = secrets.token_hex(4)
    seen: dict[str, Tokens] = {}
    ways = access(lab.redis, hosts)

    def ask(host: Host, remote: Remote, say: Say) -> Outcome:
        say("reading its clock")
        ahead, unsure = surveys.clock(remote)
        say("looking at what it has")
        found = surveys.survey(host, remote, ways, whole=True, token=f"{run}-{host.name}")
        problems = [*lacking(host, found), *late(ahead, unsure)]
        return Outcome(host.name, {**asdict(found), "clock_ahead_s": ahead}, tuple(problems))

    def look(host: Host, remote: Remote, say: Say) -> Outcome:
        left = [f"{run}-{other.name}" for other in sharing]
        seen[host.name] = surveys.tokens(host, remote, left)
        return Outcome(host.name)

    def sweep(host: Host, remote: Remote, say: Say) -> Outcome:
        surveys.sweep(host, remote, f"{run}-{host.name}")
        return Outcome(host.name)

    asked = each(lab, hosts, ask, show)
    answered = {outcome.host for outcome in asked if outcome.facts}
    sharing = [host for host in hosts if host.folders and host.name in answered]
    later = [
        *each(lab, sharing, look, Silent()),
        *each(lab, sharing, sweep, Silent()),
        *(Outcome(host, {}, problems) for host, problems in strangers(seen).items()),
    ]
    return [
        Outcome(
            outcome.host,
            outcome.facts,
            outcome.problems
            + tuple(p for o in later if o.host == outcome.host for p in o.problems),
        )
        for outcome in asked
    ]


def lacking(host: Host, found: Survey) -> Iterator[Problem]:
    """What a machine lacks for the roles that it has."""
    yield from disk(host, found)
    if not found.uv and not found.pip:
        remedy = "install uv there, and say where with uv in the inventory, or python3-pip"
        yield Problem("uv", "neither uv nor pip is there", remedy)
    yield from _gpus(host, found)
    for folder, why in found.roots.items():
        if why:
            remedy = "mount the lab's storage there, or take it out of the inventory"
            yield Problem("storage", f"{folder} {why}", remedy)
    for user, why in found.redis.items():
        if why:
            yield Problem("Redis", f"{why} ({user})", _redis_remedy(why))
    if host.supervision == "systemd" and not found.systemd:
        remedy = 'log in once, install dbus-user-session, or take supervision = "process"'
        yield Problem("keeping", "systemctl --user does not answer", remedy)
    if found.systemd and host.supervision != "process" and not found.linger:
        remedy = f"sudo loginctl enable-linger {found.user}"
        yield Problem("keeping", "units end when nobody is logged in", remedy)


def disk(host: Host, found: Survey) -> Iterator[Problem]:
    """Whether there is a place for a version, and room in it."""
    needed = BASE_MB + sum(EXTRA_MB.get(extra, 50) for extra in host.needs)
    if not found.writable:
        yield Problem("disk", f"{host.root} cannot be written", "choose another root for it")
    elif found.free_mb < needed:
        what = f"{found.free_mb:,} MB free, a version takes {needed:,}"
        yield Problem("disk", what, "make room, or choose another root for it")


def _gpus(host: Host, found: Survey) -> Iterator[Problem]:
    if not set(host.roles) & set(ON_GPUS):
        return
    if found.gpu_trouble:
        yield Problem("GPU", found.gpu_trouble, "mend or load the driver, and look at nvidia-smi")
    there = {gpu.index for gpu in found.gpus}
    if host.gpus == "auto":
        return  # a machine without cards renders on its cores
    for index in host.gpus:
        if index not in there and not found.gpu_trouble:
            what = f"no GPU {index}; there are {', '.join(map(str, sorted(there))) or 'none'}"
            yield Problem("GPU", what, 'name others in the inventory, or say gpus = "auto"')


def _redis_remedy(why: str) -> str:
    if "WRONGPASS" in why or "NOAUTH" in why:
        return "passwords in [redis] must be the folder that belongs to this Redis"
    if "certificate" in why.lower():
        return "ca_file in [redis] must be who signed Redis's certificate"
    return "does it run, does it listen to this network, does a firewall stand between?"


def late(ahead_s: float, unsure_s: float) -> Iterator[Problem]:
    """A clock that is certainly wrong."""
    if abs(ahead_s) - unsure_s > CLOCK_S:
        what = f"{abs(ahead_s):.1f} s {'ahead of' if ahead_s > 0 else 'behind'} this machine's"
        yield Problem("clock", what, "sudo timedatectl set-ntp true, on both")


def strangers(seen: Mapping[str, Tokens]) -> dict[str, tuple[Problem, ...]]:
    """Host -> its folders that are not those which most hosts see under that name.

    seen: host -> what it saw in its folders, when every host had left a token of its own.
    """
    found: dict[str, tuple[Problem, ...]] = {}
    for folder in sorted({folder for tokens in seen.values() for folder in tokens}):
        sights = {host: tokens[folder] for host, tokens in seen.items() if folder in tokens}
        # Of two sights as common, the one of the first host counts: one of the two must be told.
        usual, _ = Counter(sights.values()).most_common(1)[0]
        friend = next(host for host, sight in sights.items() if sight == usual)
        for host, sight in sights.items():
            if sight != usual:
                what = f"{folder} is not the folder of that name on {friend}"
                problem = Problem("storage", what, "mount the same storage on both")
                found[host] = (*found.get(host, ()), problem)
    return found
