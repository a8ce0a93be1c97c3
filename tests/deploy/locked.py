"""A Redis with password and ACL, as a lab has one, and commands of the farm as one of its users."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from deploy import redis as lab_redis
from farm import broker

DOUBLES = Path(__file__).parents[1] / "farm" / "doubles"
ROLES = (*lab_redis.ROLES, "count")  # the double's queue


@dataclass
class Locked:
    """The server, its files, and what was started against it."""

    folder: Path
    port: int
    secrets: dict[str, Path]
    more: dict[str, str] = field(default_factory=dict)
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def environment(self, user: str) -> dict[str, str]:
        """Of somebody who is this user, and whose terminal says nothing else."""
        clean = {k: value for k, value in os.environ.items() if not k.startswith(("FARM_", "UV"))}
        return {
            **clean,
            "PYTHONPATH": str(DOUBLES),
            "FARM_HOME": str(self.folder / "home" / user),
            "FARM_BROKER_URL": f"redis://{user}@127.0.0.1:{self.port}/0",
            "FARM_BROKER_PASSWORD_FILE": str(self.secrets[user]),
            "FARM_KIND_PACKAGES": "farmdouble.jobs",
            "FARM_LEASE_S": "3",
            "FARM_RENEW_S": "0.5",
            "FARM_WORKER_DEAD_S": "5",
            **self.more,
        }

    def client(self, user: str) -> Any:
        password = self.secrets[user].read_text().strip()
        return redis.Redis(port=self.port, username=user, password=password, decode_responses=True)

    def start(self, user: str, *words: str) -> subprocess.Popen[str]:
        """A command of the farm; what it says is kept in a file."""
        log = self.folder / f"{user}-{words[0]}-{len(self.processes)}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "farm.cli", *words],
                env=self.environment(user), cwd=self.folder, text=True,
                stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def run(self, user: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "farm.cli", *words],
            env=self.environment(user), cwd=self.folder, text=True, capture_output=True,
            timeout=90,
        )  # fmt: skip

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    def denied(self) -> list[dict[str, Any]]:
        """What Redis has refused since the last call, by its own record."""
        admin = redis.Redis(
            port=self.port, username="admin", password="admin", decode_responses=True
        )
        with contextlib.closing(admin) as client:
            found: list[dict[str, Any]] = client.acl_log()
            client.acl_log_reset()
        return found


def wait(condition: Callable[[], object], timeout_s: float = 60) -> None:
    """Until it holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@contextlib.contextmanager
def locked(folder: Path, server: Path | None = None) -> Iterator[Locked]:
    """Start it in this folder; everything ends with the block."""
    server = server or broker.server()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    secrets = lab_redis.write(folder, port=port, roles=ROLES, server=broker.version(server))
    with (folder / "users.acl").open("a") as file:  # to read Redis's record of what it refused
        file.write("user admin on >admin -@all +acl\n")
    process = subprocess.Popen([server, folder / "redis.conf"], stdout=subprocess.DEVNULL)
    made = Locked(folder, port, secrets)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                with contextlib.closing(made.client("monitor")) as client:
                    client.ping()
                break
            except redis.ConnectionError:
                assert time.monotonic() < deadline and process.poll() is None
                time.sleep(0.02)
        yield made
    finally:
        for started in reversed(made.processes):
            started.kill()
            started.wait()
        process.terminate()
        process.wait()
