"""Who else wants this machine: people at it, other programs on its GPU, the hours of the day.

People are seen by what they touch.  A terminal's device keeps the time of the last key
(Linux rounds it to 8 s, so that nobody's typing can be timed); systemd's logind knows since when a
desktop is idle or locked; keyboards and mice are read where /dev/input may be.  Each is there on
some machines and not on others, and none is needed.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from farm import hours
from farm.machine import Card
from farm.settings import Settings

PATIENCE_S = 5.0  # nvidia-smi takes a second or two where the driver is not kept loaded
MARK = "FARM_WORKER"
"""A variable that child programs have: by it a worker knows those of others for the farm's own."""
DESKTOPS = ("x11", "wayland", "mir")
SESSION = ("Name", "TTY", "Type", "Class", "IdleHint", "IdleSinceHint", "LockedHint")
APPLICATIONS = ("--query-compute-apps=gpu_uuid,pid,process_name", "--format=csv,noheader")


@dataclass(frozen=True)
class Sign:
    """Somebody, or something, that had the machine at a moment."""

    what: str
    at: float
    """Seconds since 1970."""


@dataclass(frozen=True)
class Application:
    """A program that computes on a GPU."""

    gpu: str
    """The card's UUID."""
    pid: int
    name: str


class Presence:
    """Looks as the settings ask for. Raises ValueError for hours that cannot be read."""

    def __init__(self, settings: Settings, cards: Sequence[Card], devices: Path = Path("/dev")):
        self._settings, self._cards, self._devices = settings, cards, devices
        self._hours = hours.parse(settings.work_hours) if settings.work_hours else None
        self._inputs = Inputs(devices / "input")
        self._latest: Sign | None = None

    @property
    def wanted(self) -> bool:
        """Whether this worker yields to anything."""
        settings = self._settings
        return settings.yield_to_people or settings.yield_to_gpu or self._hours is not None

    def look(self, now: float | None = None) -> str:
        """Why the worker should rest, in words; "" when nothing speaks against working.

        now  seconds since 1970
        """
        now = time.time() if now is None else now
        for sign in self._signs(now):
            if self._latest is None or sign.at >= self._latest.at:
                self._latest = sign
        if self._hours and not self._hours.has(datetime.fromtimestamp(now)):
            return f"outside {self._hours.text}"
        latest = self._latest
        recent = latest is not None and now - latest.at < self._settings.return_after_s
        return latest.what if latest and recent else ""

    def _signs(self, now: float) -> Iterator[Sign]:
        if self._settings.yield_to_people:
            yield from typing(self._devices)
            yield from desktops(_said("loginctl", *_sessions()), now)
            yield from self._inputs.look(now)
        if self._settings.yield_to_gpu:
            ours = {card.uuid for card in self._cards}
            for each in applications(_said("nvidia-smi", *APPLICATIONS)):
                if each.gpu in ours and _foreign(each.pid):
                    yield Sign(f"{Path(each.name).name} ({each.pid}) has the GPU", now)


# people


def typing(devices: Path) -> Iterator[Sign]:
    """Every terminal, with the time of its last key; a new one counts from its opening."""
    for path in (*devices.glob("pts/[0-9]*"), *devices.glob("tty[0-9]*")):
        with contextlib.suppress(OSError):
            status = path.stat()
            yield Sign(f"{_user(status.st_uid)} at {path.relative_to(devices)}", status.st_atime)


def desktops(told: str, now: float) -> Iterator[Sign]:
    """Graphical sessions, from what `loginctl show-session` says of all sessions."""
    for block in told.split("\n\n"):
        facts = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if facts.get("Class") != "user" or facts.get("Type") not in DESKTOPS:
            continue
        away = "yes" in (facts.get("IdleHint"), facts.get("LockedHint"))
        told_since = facts.get("IdleSinceHint", "")
        since = int(told_since) / 1e6 if told_since.isdecimal() else 0.0
        if not away or since:
            yield Sign(f"{facts.get('Name', 'somebody')} at the desktop", since if away else now)


class Inputs:
    """Keyboards and mice: whether something came from them since the last look."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._open: dict[str, int] = {}

    def look(self, now: float) -> Iterator[Sign]:
        for kind, what in (("kbd", "keyboard"), ("mouse", "mouse")):
            for path in self._folder.glob(f"by-path/*-event-{kind}"):
                if self._touched(str(path)):
                    yield Sign(f"somebody at the {what}", now)

    def _touched(self, path: str) -> bool:
        try:
            if path not in self._open:
                self._open[path] = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            touched = False
            while os.read(self._open[path], 1 << 12):
                touched = True
            return touched
        except BlockingIOError:
            return touched
        except OSError:  # not ours to read, or unplugged
            if path in self._open:
                os.close(self._open.pop(path))
            return False


def _sessions() -> list[str]:
    """The words that ask logind for all sessions."""
    listed = _said("loginctl", "list-sessions", "--no-legend").splitlines()
    names = [line.split()[0] for line in listed if line.strip()]
    return ["show-session", *names, *(f"--property={name}" for name in SESSION)] if names else []


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


# programs


def applications(told: str) -> Iterator[Application]:
    """What computes on the GPUs, from nvidia-smi's list."""
    for line in told.splitlines():
        gpu, pid, name = ([part.strip() for part in line.split(",", 2)] + ["", ""])[:3]
        if pid.isdecimal():
            yield Application(gpu, int(pid), name or "a program")


def _foreign(pid: int) -> bool:
    """Whether a process is none of the farm's.

    One that is not seen from here may be anybody's: in a container nvidia-smi tells numbers that
    are the host's.
    """
    import psutil  # type: ignore[import-untyped]

    try:
        process = psutil.Process(pid)
        family: Iterable[psutil.Process] = (process, *process.parents())
        if any(each.pid == os.getpid() for each in family):
            return False
        return MARK not in process.environ()
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:  # another user's
        return True


def _said(*words: str) -> str:
    """What a program prints; "" where it is not installed, fails or hangs."""
    program = shutil.which(words[0])
    if program is None or len(words) == 1:
        return ""
    try:
        said = subprocess.run(
            [program, *words[1:]], capture_output=True, text=True, timeout=PATIENCE_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return said.stdout if said.returncode == 0 else ""
