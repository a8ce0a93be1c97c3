"""A network for a lab: a bridge on this machine, and a cable to each host's own namespace."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

NETS = ipaddress.ip_network("10.77.0.0/16").subnets(new_prefix=24)
LOCK = Path(tempfile.gettempdir()) / "shapefarm-lab.lock"
NAME = re.compile(r"sl(\d+)[a-z]")  # of a bridge: whose process made it


def ip(*words: str) -> str:
    """Run `ip`; what it says. Raises CalledProcessError."""
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True).stdout


class Bridge:
    """A switch with a free network 10.77.x.0/24 of its own; this machine has its last address."""

    def __init__(self, letter: str):
        self.name = f"sl{os.getpid()}{letter}"  # with a port's suffix at most 15 characters
        with LOCK.open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            taken = ip("-4", "-o", "addr")
            self.net = next(net for net in NETS if f" {net.network_address + 254}/" not in taken)
            ip("link", "add", self.name, "type", "bridge")
            ip("addr", "add", f"{self.net.network_address + 254}/24", "dev", self.name)
        ip("link", "set", self.name, "up")

    def address(self, number: int) -> str:
        return str(self.net.network_address + number)

    def plug(self, number: int, pid: int) -> None:
        """Connect the network namespace of a process: its eth0 gets address(number)."""
        port, mac = self._port(number), f"02:00:00:00:00:{number:02x}"
        self._forget(port)
        ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        ip("link", "set", port, "master", self.name, "up")
        inside = (
            f"ip link set lo up; ip link set eth0 address {mac} up;"
            f"ip addr add {self.address(number)}/24 dev eth0"
        )
        subprocess.run(["nsenter", "--net", "--target", str(pid), "sh", "-ec", inside], check=True)

    def switch(self, number: int, state: str) -> None:
        """Pull a host's cable ("down") or put it back ("up")."""
        ip("link", "set", self._port(number), state)

    def remove(self) -> None:
        ip("link", "del", self.name)

    def _port(self, number: int) -> str:
        return f"{self.name}{number}"

    def _forget(self, port: str) -> None:
        """A port goes with the namespace of its host, which the kernel takes a moment for."""
        deadline = time.monotonic() + 10
        while Path(f"/sys/class/net/{port}").exists() and time.monotonic() < deadline:
            subprocess.run(["ip", "link", "del", port], stderr=subprocess.DEVNULL)
            time.sleep(0.02)


def sweep_bridges() -> None:
    """Remove those of dead processes."""
    for found in Path("/sys/class/net").iterdir():
        match = NAME.fullmatch(found.name)
        if match and not Path(f"/proc/{match[1]}").exists():
            subprocess.run(["ip", "link", "del", found.name], check=False)
