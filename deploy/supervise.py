"""Keeps the farm's parts running on a machine without systemd: one small process for each.

    python -m deploy.supervise ROOT start NAME...
    python -m deploy.supervise ROOT stop [--now] NAME...
    python -m deploy.supervise ROOT status NAME...          a line of JSON for each

A keeper holds the lock of its part for as long as it is there, starts the part anew when it dies,
and writes what it says to logs/NAME.log. The part dies with it, even by kill -9.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from deploy import variables
from farm.kept import Kept

log = logging.getLogger(__name__)

START_S = 10.0
STOP_S = 30.0  # as TimeoutStopSec of the units
TICK_S = 0.2
LOG_BYTES = 10_000_000


class Part:
    """One part of the farm, by the name of its unit."""

    def __init__(self, root: Path, name: str):
        self.root, self.name = root, name
        self.lock = root / "run" / f"{name}.lock"
        self.facts = root / "run" / f"{name}.json"
        self.log = root / "logs" / f"{name}.log"

    @property
    def kept(self) -> bool:
        """Whether its keeper is there."""
        try:
            with self.held():
                return False
        except BlockingIOError:
            return True

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold its lock. Raises BlockingIOError while another process does."""
        with self.lock.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield

    def told(self) -> dict[str, Any]:
        """What its keeper wrote last: keeper, pid, starts, since."""
        try:
            found: dict[str, Any] = json.loads(self.facts.read_text())
            return found
        except (OSError, ValueError):
            return {}

    def tell(self, **facts: Any) -> None:
        temporary = self.facts.with_suffix(".new")
        temporary.write_text(json.dumps(facts))
        os.replace(temporary, self.facts)

    @property
    def environment(self) -> dict[str, str]:
        """The lab's variables, and its own."""
        files = (self.root / "environment", self.root / "units" / f"{self.name}.env")
        return {k: v for file in files for k, v in variables.read(file.read_text()).items()}


def keep(part: Part) -> int:
    """Be the keeper, until told to stop."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    environment = part.environment
    command = [environment[variables.PROGRAM], *environment[variables.WORDS].split()]
    kept = Kept(part.name, command, environment=environment)
    with part.held():
        starts, last = 0, None
        while not stop.wait(TICK_S):
            kept.keep()
            if kept.process and kept.process.pid != last:
                starts, last = starts + 1, kept.process.pid
                part.tell(keeper=os.getpid(), pid=last, starts=starts, since=time.time())
            _cut(part.log)
        kept.ask_to_stop()
        kept.wait(time.monotonic() + STOP_S)
    return os.EX_OK


def start(parts: Sequence[Part]) -> int:
    """Have a keeper for each; those that are kept are left alone."""
    for part in parts:
        if part.kept:
            continue
        part.facts.unlink(missing_ok=True)
        with part.log.open("ab") as output:
            subprocess.Popen(
                [sys.executable, "-P", "-m", "deploy.supervise", str(part.root), "keep", part.name],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd=part.root,
            )
    missing = _wait(START_S, lambda: [part.name for part in parts if not part.told()])
    return _end("did not start", missing)


def stop(parts: Sequence[Part], now: bool) -> int:
    """End the keepers and what they keep; now: at once, nothing is handed back."""
    number = signal.SIGKILL if now else signal.SIGTERM
    for part in parts:
        keeper = part.told().get("keeper")
        if keeper and part.kept:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(keeper), number)
    missing = _wait(STOP_S + 5, lambda: [part.name for part in parts if part.kept])
    return _end("did not stop", missing)


def status(parts: Sequence[Part]) -> int:
    """Tell of each: name, up, up_s, restarts."""
    for part in parts:
        kept, told = part.kept, part.told()
        up_s = time.time() - told.get("since", time.time()) if kept else 0.0
        up = kept and _alive(told.get("pid"))
        restarts = max(0, told.get("starts", 1) - 1)
        facts = {"name": part.name, "up": up, "up_s": round(up_s, 1), "restarts": restarts}
        print(json.dumps(facts))
    return os.EX_OK


def _alive(pid: int | None) -> bool:
    return bool(pid) and Path(f"/proc/{pid}").exists()


def _cut(path: Path) -> None:
    """Begin a log anew that has grown too long; it is open for appending, so that this is safe."""
    if path.stat().st_size > LOG_BYTES:
        shutil.copyfile(path, path.with_suffix(".log.1"))
        os.truncate(path, 0)


def _wait(most_s: float, missing: Any) -> list[str]:
    """Until nothing is missing; what is, in the end."""
    deadline = time.monotonic() + most_s
    while True:
        names: list[str] = missing()
        if not names or time.monotonic() > deadline:
            return names
        time.sleep(0.05)


def _end(what: str, names: list[str]) -> int:
    if names:
        print(f"{', '.join(names)} {what}", file=sys.stderr)
    return os.EX_UNAVAILABLE if names else os.EX_OK


def main(argv: Sequence[str]) -> int:
    root, action, *words = argv
    now = "--now" in words
    parts = [Part(Path(root), name) for name in words if name != "--now"]
    if action == "keep":
        logging.basicConfig(
            level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
        )
        return keep(parts[0])
    if action == "stop":
        return stop(parts, now)
    return {"start": start, "status": status}[action](parts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
