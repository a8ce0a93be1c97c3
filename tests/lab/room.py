"""A farm on a lab: controllers, and workers on every host, started again when they die."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import redis

from farm.store import Store
from tests.lab.host import ROOT, Host, HostIsOff, Process, wait
from tests.lab.hosts import Lab

DOUBLES = ROOT / "tests" / "farm" / "doubles"
RESTART_S = 1.0  # as units of systemd do it with Restart=always, RestartSec=1
SHORT = {
    "FARM_LEASE_S": "3",
    "FARM_RENEW_S": "0.5",
    "FARM_WORKER_DEAD_S": "5",
    "FARM_VANISHED_S": "2",
}


@dataclass
class Part:
    """A program of the farm that is to run on a host for good."""

    host: Host
    words: tuple[str, ...]
    user: str
    process: Process | None = None
    ended: float = 0.0

    def keep(self, environment: Mapping[str, str]) -> None:
        """Start it where it does not run."""
        if not self.host.up:
            return
        now = time.monotonic()
        if self.process is not None and self.process.poll() is None:
            return
        if self.process is not None:
            self.process, self.ended = None, now
        if now - self.ended < RESTART_S:
            return
        log = self.host.home / f"{'-'.join(self.words)}.log"
        # A full disk may refuse even the log of a program that is to run there.
        with contextlib.ExitStack() as stack:
            try:
                output: object = stack.enter_context(log.open("a"))
            except OSError:
                output = subprocess.DEVNULL
            self.process = self.host.start(
                self.host.farm(*self.words), env=environment, stdout=output, stderr=output
            )


@dataclass
class Room:
    """The farm of a lab.

    role     of its workers
    workers  of each host
    more     FARM_* variables of all its programs
    """

    lab: Lab
    role: str = "count"
    workers: int = 2
    more: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # One controller works, the other waits: on the machine of Redis, and on a worker's.
        self.parts = [
            Part(host, ("controller",), "controller")
            for host in (self.lab.server, self.lab.hosts[0])
        ]
        self._stop = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._client = redis.Redis.from_url(
            self.lab.broker_url("controller"),
            decode_responses=True, retry=None, socket_timeout=2, socket_connect_timeout=1,
        )  # fmt: skip
        self.store = Store(self._client)

    def __enter__(self) -> Room:
        self._keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._keeper.join()
        for part in self.parts:
            if part.process and part.process.poll() is None:
                part.process.kill()
                wait(part.process.reap)
        self._client.close()

    def man(self, hosts: Sequence[Host]) -> None:
        """Have workers on these hosts from now on."""
        self.parts += [
            Part(host, ("worker", self.role, "--slot", str(slot)), "worker")
            for host in hosts
            for slot in range(self.workers)
        ]

    def submit(self, *words: str) -> str:
        """Type `farm submit ... --no-wait` on the server until it is taken; the job."""
        server = self.lab.server
        line = server.farm("submit", *words, "--no-wait", "--json")
        deadline = time.monotonic() + 120
        while True:
            try:
                told = server.run(line, env=self.environment("submit"), check=False)
                if told.returncode == 0:
                    return str(json.loads(told.stdout)["job"])
                why = told.stderr
            except (HostIsOff, subprocess.TimeoutExpired) as error:
                why = str(error)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{' '.join(words)}: {why}")
            time.sleep(0.5)

    def environment(self, user: str) -> dict[str, str]:
        return {
            **self.lab.environment(user),
            "FARM_CONFIG": os.devnull,
            "FARM_KIND_PACKAGES": "farmdouble.jobs",
            "FARM_SAMPLES_ROOT": str(self.lab.storage / "samples"),
            "FARM_THREADS": "1",
            "PYTHONPATH": f"{ROOT}:{DOUBLES}",
            **self.more,
        }

    # victims

    def controller(self) -> tuple[Host, psutil.Process]:
        """The one that holds the lock. Raises LookupError while none does."""
        holder = self.store.holder()
        for part in self._running("controller"):
            real = part.process.real() if part.process else None
            if (
                real
                and holder.startswith(f"{part.host.name}/")
                and f" {_inside(real.pid)} " in holder
            ):
                return part.host, real
        raise LookupError("no controller holds the lock")

    def redis(self) -> psutil.Process:
        """Raises LookupError while it does not run."""
        real = self.lab.redis.real() if self.lab.redis else None
        if real is None:
            raise LookupError("Redis does not run")
        return real

    def worker(self, host: Host, slot: int) -> psutil.Process:
        """Raises LookupError while it does not run."""
        for part in self._running("worker"):
            real = part.process.real() if part.process else None
            if real and part.host is host and part.words[-1] == str(slot):
                return real
        raise LookupError(f"no worker {slot} on {host.name}")

    def name(self, host: Host, slot: int) -> str:
        """Of a worker, as the farm calls it."""
        return f"{self.role}-{slot}@{host.name}"

    def names(self) -> tuple[str, ...]:
        """Of all workers that there are to be."""
        return tuple(
            self.name(host, slot) for host in self.lab.hosts for slot in range(self.workers)
        )

    def _running(self, word: str) -> Iterator[Part]:
        return (
            part
            for part in self.parts
            if part.words[0] == word and part.process and part.process.poll() is None
        )

    def _keep(self) -> None:
        while not self._stop.wait(0.1):
            for part in list(self.parts):
                with contextlib.suppress(HostIsOff):
                    part.keep(self.environment(part.user))


def _inside(pid: int) -> str:
    """The process id that a process has on its own host."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("NSpid:"):
            return line.split()[-1]
    return ""
