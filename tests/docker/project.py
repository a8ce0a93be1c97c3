"""Run what a compose file says, service by service, without an engine.

Every service is processes in a root of its image's layers, with the user, volumes, secrets,
read-only root and capabilities that the file gives it; the names of the services are addresses on
the loopback of a network of their own, from which nothing leads out.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from tests.docker.build import Built
from tests.docker.ground import Box

KNOWN = {"build", "cap_drop", "command", "depends_on", "deploy", "entrypoint", "environment",
         "healthcheck", "image", "init", "logging", "networks", "ports", "profiles", "read_only",
         "restart", "secrets", "security_opt", "shm_size", "stop_grace_period", "tmpfs", "user",
         "volumes"}  # fmt: skip


class Service:
    """One container, running."""

    def __init__(self, name: str, box: Box, words: list[str], built: Built, log: Path):
        self.name, self.box, self.built, self.log = name, box, built, log
        with log.open("w") as file:
            self.outer = subprocess.Popen(
                box.command(words),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    @property
    def process(self) -> psutil.Process | None:
        """Process 1 of the container, once there is one."""
        return next(iter(psutil.Process(self.outer.pid).children()), None)

    def said(self) -> str:
        return self.log.read_text()[-4000:]

    def well(self, test: list[str]) -> bool:
        """Whether a health check succeeds."""
        if self.outer.poll() is not None:
            raise AssertionError(f"{self.name} has ended: {self.said()}")
        first = self.process
        if first is None:
            return False
        command = self.box.beside(first.pid, test)
        return subprocess.run(command, capture_output=True, timeout=60).returncode == 0

    def printed(self, words: list[str]) -> str:
        """What a command prints that runs beside it, as `docker exec` does."""
        first = self.process
        assert first is not None, self.said()
        done = subprocess.run(
            self.box.beside(first.pid, words), capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def stop(self, grace_s: float) -> int:
        """As `docker stop` does; the exit code, -9 where the grace did not suffice."""
        if self.outer.poll() is None:
            if first := self.process:
                first.send_signal(signal.SIGTERM)
            try:
                self.outer.wait(grace_s)
            except subprocess.TimeoutExpired:
                self.outer.kill()
        return self.outer.wait()


class Project:
    """The services of one compose file."""

    def __init__(self, model: Mapping[str, Any], images: Mapping[str, Built], folder: Path):
        self.model, self.images, self.folder = model, images, folder
        self.running: dict[str, Service] = {}
        self._network = subprocess.Popen(
            ["unshare", "--net", "sh", "-ec", "ip link set lo up; echo up; exec sleep infinity"],
            stdout=subprocess.PIPE,
        )
        assert self._network.stdout and self._network.stdout.readline() == b"up\n"
        self._hosts = folder / "hosts"
        self._hosts.write_text("127.0.0.1 " + " ".join(["localhost", *model["services"]]) + "\n")

    def box(self, name: str) -> Box:
        """Where a service's commands run."""
        service = self.model["services"][name]
        assert not set(service) - KNOWN, f"{name}: not understood: {set(service) - KNOWN}"
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        built = self.images[service["image"]]
        mounts = {"/etc/hosts": self._hosts}
        closed = ["/etc/hosts"]
        for volume in service.get("volumes", []):
            target = volume["target"]
            mounts[target] = (
                self._volume(volume["source"], target, built)
                if volume["type"] == "volume"
                else Path(volume["source"])
            )
            closed += [target] if volume.get("read_only") else []
        for secret in service.get("secrets", []):
            mounts[secret["target"]] = Path(self.model["secrets"][secret["source"]]["file"])
            closed += [secret["target"]]
        number = sum(1 for path in self.folder.glob(f"{name}-*.upper"))
        box = built.container(self.folder / f"{name}-{number}.upper")
        return replace(
            box,
            environment={**box.environment, **(service.get("environment") or {})},
            user=service.get("user", box.user),
            mounts={**box.mounts, **mounts},
            closed=(*box.closed, *closed),
            memory=tuple(text.partition(":")[0] for text in service.get("tmpfs", [])),
            read_only=service.get("read_only", False),
            powerless=True,
            hostname=f"{name}-{number}",
            network=self._network.pid,
        )

    def _volume(self, name: str, target: str, built: Built) -> Path:
        """A named volume; new, it is as the image has that folder, or else root's."""
        path = self.folder / "volumes" / name
        if not path.exists():
            path.mkdir(parents=True)
            places = [layer / target.lstrip("/") for layer in built.layers]
            if found := next((place for place in places if place.exists()), None):
                assert not any(found.iterdir()), f"{target} of the image has files"
                about = found.stat()
                os.chown(path, about.st_uid, about.st_gid)
                path.chmod(about.st_mode & 0o7777)
        return path

    def words(self, name: str) -> list[str]:
        """What a service's container runs."""
        service, image = self.model["services"][name], self.images[self._image(name)].image
        entry = service.get("entrypoint") or image.entrypoint
        return [*entry, *(service.get("command") or image.cmd)]

    def _image(self, name: str) -> str:
        return str(self.model["services"][name]["image"])

    def start(self, name: str) -> Service:
        built = self.images[self._image(name)]
        log = self.folder / f"{name}.log"
        self.running[name] = Service(name, self.box(name), self.words(name), built, log)
        return self.running[name]

    def run(self, name: str, *words: str, timeout_s: float = 120) -> str:
        """As `compose run --rm NAME WORDS` does; what it printed."""
        entry = self.images[self._image(name)].image.entrypoint
        return self.box(name).run([*entry, *words], timeout_s)

    def wait_until_well(self, name: str, timeout_s: float = 90) -> None:
        """Raises AssertionError, with what it said, where its health check does not succeed."""
        service = self.model["services"][name]
        test = (service.get("healthcheck") or {}).get("test", [])[1:]
        running = self.running[name]
        deadline = time.monotonic() + timeout_s
        while not running.well(test or list(running.built.image.health)):
            assert time.monotonic() < deadline, f"{name} is not well: {running.said()}"
            time.sleep(1.0)  # each look is a program, which takes a second

    def stop(self, name: str) -> int:
        """Its exit code."""
        grace = re.match(r"(\d+)s", self.model["services"][name]["stop_grace_period"])
        assert grace
        return self.running.pop(name).stop(float(grace[1]))

    def close(self) -> None:
        for service in self.running.values():
            service.stop(0.0)
        self._network.kill()
        self._network.communicate()


@contextlib.contextmanager
def project(
    model: Mapping[str, Any], images: Mapping[str, Built], folder: Path
) -> Iterator[Project]:
    """The services end with the block."""
    made = Project(model, images, folder)
    try:
        yield made
    finally:
        made.close()
