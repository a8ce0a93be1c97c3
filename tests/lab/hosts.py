"""Hosts for tests: namespaces of this machine that behave like machines of a room.

    with Lab(hosts=3) as lab:
        lab.hosts[0].run(["hostname"])

A host has processes, an address, a name, a home and a disk of its own, and a real sshd; folders
outside of its own are those of this machine, which makes them the lab's network storage. Its
first process is the first of a process namespace: when that one is killed, as by a power cut,
or this process ends, the kernel kills all that ever ran there, and its network is gone.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

from deploy import redis as lab_redis
from farm import broker
from farm.address import redis_url
from farm.settings import load
from farm.store import connect
from tests.lab.host import Host, Process, make_key, search_path, wait
from tests.lab.network import Bridge, sweep_bridges

PREFIX = "shapefarm-lab-"
SERVER_DISK = 4  # Redis lets its file grow to 64 MB before it is written anew
ROLES = (*lab_redis.ROLES, "count")  # of queues; the double's too
_letters = itertools.cycle("abcdefghijklmnopqrstuvwxyz")


def missing() -> str:
    """Why this machine cannot have a lab; "" when it can."""
    if os.getuid() != 0:
        return "a lab's network namespaces need root"
    for program, package in {
        "ip": "iproute2", "nsenter": "util-linux", "sshd": "openssh-server",
        "ssh-keygen": "openssh-client",
    }.items():  # fmt: skip
        if not shutil.which(program, path=search_path()):
            return f"no {program}; Debian's {package} has it"
    probe = subprocess.run(["unshare", "--net", "--pid", "--fork", "true"], capture_output=True)
    return "" if probe.returncode == 0 else "this container may not make namespaces"


class Lab:
    """Hosts on a network of their own, and a server with a Redis that asks for a password.

    hosts    how many, named h1, h2 ...; `server` is one more
    disk_mb  size of each host's own disk, the server's is four times as large; None: their folders
             lie on this machine's

    `root` holds everything; `storage` is a folder all hosts see; `key` logs in as root and
    `known_hosts` knows every host. Everything ends with the block, and nothing stays if this
    process is killed but the folder, which the next lab removes.
    """

    def __init__(self, hosts: int = 3, disk_mb: int | None = None):
        self.names = {1: "server"} | {1 + n: f"h{n}" for n in range(1, hosts + 1)}
        self._disk_mb = disk_mb
        self.redis: Process | None = None

    def __enter__(self) -> Lab:
        sweep()
        self.root = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        self.bridge = Bridge(next(_letters))
        self._all: list[Host] = []
        try:
            self.key = self.root / "key"
            make_key(self.key)
            self.storage = self.root / "storage"
            self.storage.mkdir()
            for number, name in self.names.items():
                disk_mb = self._disk_mb
                if name == "server" and disk_mb:
                    disk_mb *= SERVER_DISK
                self._all.append(Host(self, number, name, disk_mb))
                self._all[-1].boot()
            self.server, *self.hosts = self._all
            self.known_hosts = self.root / "known_hosts"
            self.known_hosts.write_text(
                "".join(
                    f"{host.address},{host.name} {(host.root / 'host_key.pub').read_text()}"
                    for host in self._all
                )
            )
            self._redis = self.server.root / "redis"
            self._secrets = lab_redis.write(
                self._redis, bind=[self.server.address, "127.0.0.1"], roles=ROLES
            )
            self.start_redis()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        for host in self._all:
            host.close()
        self.bridge.remove()
        shutil.rmtree(self.root, ignore_errors=True)

    # Redis, on the server

    def environment(self, user: str) -> dict[str, str]:
        """FARM_* variables of a process that goes by this user of Redis."""
        return {
            "FARM_BROKER_URL": f"redis://{user}@{self.server.address}:6379/0",
            "FARM_BROKER_PASSWORD_FILE": str(self._secrets[user]),
        }

    def broker_url(self, user: str) -> str:
        """The lab's Redis, password and all, for redis-py."""
        return redis_url(load({**self.environment(user), "FARM_CONFIG": os.devnull}))

    def start_redis(self) -> None:
        """Start the server's Redis on its append-only file; returns when it answers."""
        with (self._redis / "log").open("a") as log:
            self.redis = self.server.start(
                [broker.server(), self._redis / "redis.conf"], stdout=log, stderr=log
            )
        with connect(self.broker_url("monitor"), patience_s=0) as client:
            wait(client.ping)

    def kill_redis(self) -> None:
        """As kill -9 does."""
        assert self.redis
        self.redis.kill()
        self.redis.wait()


def sweep() -> None:
    """Remove what labs of dead processes have left."""
    sweep_bridges()
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        pid = folder.name.removeprefix(PREFIX).partition("-")[0]
        if Path(f"/proc/{pid}").exists():
            continue
        for disk in folder.iterdir():
            if disk.is_mount():
                subprocess.run(["umount", "--lazy", disk], check=False)
        shutil.rmtree(folder, ignore_errors=True)
