"""What this machine can do."""

from __future__ import annotations

import json as json_
import os
import sys
from dataclasses import dataclass
from typing import Any

BLENDER_S = 180  # a cold disk, a first GPU kernel
TORCH_S = 180

Facts = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """What this machine can do: Blender, torch, devices, Redis, disk, versions.

    farm doctor
    """

    json: bool = False
    """Print one JSON object."""

    def __call__(self) -> int:
        from farm.settings import load

        settings = load()
        checks = {
            "machine": _machine(),
            "blender": _blender(settings),
            **_torch(settings),
            "redis": _redis(settings),
            "confinement": _confinement(settings),
            "disk": _disk(settings),
            "versions": _versions(),
        }
        well = all(check["ok"] for check in checks.values())
        if self.json:
            print(json_.dumps({"ok": well, **checks}))
            return 0 if well else 1
        from rich.console import Console
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        for name, check in checks.items():
            mark = "[green]✓[/]" if check["ok"] else "[red]✗[/]"
            table.add_row(mark, f"[bold]{name}[/]", check["text"])
        Console(highlight=False).print(table)
        return 0 if well else 1


def _machine() -> Facts:
    import platform
    import socket

    from farm import machine

    cores, memory, gpus = (
        machine.cores(),
        machine.memory_mb(),
        [card.name for card in machine.gpus()],
    )
    slots = machine.slots("render")
    threads = slots[0].environment["FARM_THREADS"]
    text = (
        f"{socket.gethostname()}, {platform.system()} {platform.machine()}, {cores} cores, "
        f"{memory / 1000:.0f} GB memory, GPUs: {', '.join(gpus) or 'none'}; "
        f"would run {len(slots)} workers of {threads} thread{'s' if threads != '1' else ''}"
    )
    return {
        "ok": True, "text": text, "cores": cores, "memory_mb": round(memory),
        "gpus": gpus, "workers": len(slots),
    }  # fmt: skip


def _ask(settings: Any, package: str, name: str, most_s: float) -> Facts:
    """What `python -m PACKAGE doctor` says, in a process of its own: it may well crash."""
    import subprocess

    environment = {**os.environ, **settings.environment()}
    try:
        found = subprocess.run(
            [sys.executable, "-m", package, "doctor"],
            capture_output=True, text=True, timeout=most_s, env=environment,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"ok": False, "text": f"{name} did not answer within {most_s:g} s"}
    lines = found.stdout.strip().splitlines()
    try:
        facts = json_.loads(lines[-1])
        assert isinstance(facts, dict)
    except (IndexError, ValueError, AssertionError):
        why = (found.stderr.strip().splitlines() or [f"exit code {found.returncode}"])[-1]
        return {"ok": False, "text": f"{name} cannot be started: {why}"}
    if not facts.get("ok"):
        reason = str(facts.get("reason", "it does not say why"))
        return {**facts, "ok": False, "text": reason}
    return facts


def _torch(settings: Any) -> dict[str, Facts]:
    """What a trainer worker would have here; nothing where the train extra is not installed."""
    import importlib.util

    if importlib.util.find_spec("torch") is None:
        return {}
    facts = _ask(settings, "trainer", "torch", TORCH_S)
    if not facts["ok"]:
        return {"torch": facts}
    device = facts["device"]
    text = f"{facts['versions']['torch']}, trains on {device['kind']}"
    if device["kind"] == "cuda":
        text += f" ({', '.join(facts['gpus'])})"
    else:
        text += f" with {facts['threads']} thread{'' if facts['threads'] == 1 else 's'}"
    return {"torch": {**facts, "text": f"{text} in {facts['precision']}"}}


def _blender(settings: Any) -> Facts:
    """What Blender finds here."""
    facts = _ask(settings, "renderer", "Blender", BLENDER_S)
    if not facts["ok"]:
        return facts
    device = facts.get("device") or {}
    text = f"{facts.get('blender')}, renders on {device.get('kind')} ({device.get('name')})"
    if device.get("why"):
        text += f": {device['why']}"
    if facts.get("instruction_set"):
        text += f"; {facts['instruction_set']}"
    return {**facts, "text": text}


def _redis(settings: Any) -> Facts:
    from farm import broker, local
    from farm.errors import BrokerFailed

    try:
        if settings.private:
            server = broker.server()
            version = ".".join(map(str, broker.version(server)))
            runs = "runs" if local.running(settings) else "starts when a job does"
            text = f"{version}, private, {runs}: {server}"
            return {"ok": True, "text": text, "version": version, "server": str(server)}
        info = local.open_store(settings).client.info("server")
        version = str(info.get("redis_version"))
        old = tuple(map(int, version.split(".")[:2])) < broker.OLDEST
        text = f"{version}, the lab's" + ("; at least 6.2 is needed" if old else "")
        return {"ok": not old, "text": text, "version": version}
    except BrokerFailed as failure:
        return {"ok": False, "text": str(failure)}


def _confinement(settings: Any) -> Facts:
    """What the kernel keeps child programs from (docs/security.md)."""
    import platform

    from farm import jail

    landlock = jail.landlock()
    offline = sys.platform == "linux" and platform.machine() in jail.SOCKET
    network = "rendering has no network" if offline else "rendering could use the network"
    if not settings.storage_roots:
        files = "files are not confined: no storage roots are set"
    elif landlock:
        files = f"child programs keep to the storage roots (Landlock {landlock})"
    else:
        files = "no Landlock here: the kernel does not keep child programs to the storage roots"
    well = bool(landlock) or not settings.storage_roots
    return {"ok": well, "text": f"{network}; {files}", "landlock": landlock, "offline": offline}


def _disk(settings: Any) -> Facts:
    import shutil
    from pathlib import Path

    places = {}
    for path in (Path.cwd(), settings.home):
        there = path
        while not there.exists():
            there = there.parent
        places[str(path)] = {
            "free_bytes": shutil.disk_usage(there).free,
            "writable": os.access(there, os.W_OK),
        }
    words = [
        f"{facts['free_bytes'] / 1e9:.0f} GB free in {path}"
        + ("" if facts["writable"] else ", which cannot be written")
        for path, facts in places.items()
    ]
    well = all(facts["writable"] and facts["free_bytes"] > 1e9 for facts in places.values())
    return {"ok": well, "text": "; ".join(words), "places": places}


def _versions() -> Facts:
    import platform
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for name in ("shapefarm", "celery", "redis", "bpy", "torch", "numpy", "flower"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    text = ", ".join(f"{name} {number}" for name, number in found.items())
    return {"ok": True, "text": text, "packages": found}


COMMANDS = {"doctor": Doctor}
