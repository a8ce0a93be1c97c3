"""One host of a lab: processes, an address, a name, a home, a disk and an sshd of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import psutil

from tests.waiting import wait

if TYPE_CHECKING:
    from tests.lab.hosts import Lab

ROOT = Path(__file__).parents[2]


class Process(subprocess.Popen[str]):
    """A program on a host. Signals reach it, and not the nsenter that waits for it here."""

    def send_signal(self, sig: int) -> None:
        real = self.real()
        if self.poll() is None and real:
            real.send_signal(sig)
        if sig == signal.SIGCONT:
            self._wake()

    def reap(self) -> bool:
        """Whether it has ended; asked again and again, it also ends when it was stopped."""
        self._wake()
        return self.poll() is not None

    def _wake(self) -> None:
        """nsenter stops itself when its program is stopped: let it go on."""
        super().send_signal(signal.SIGCONT)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def real(self) -> psutil.Process | None:
        """The program as this machine sees it; None once it is gone."""
        try:
            wait(lambda: psutil.Process(self.pid).children() or self.poll() is not None)
            return psutil.Process(self.pid).children()[0]
        except (psutil.Error, IndexError):
            return None


class HostIsOff(Exception):
    """Nothing can be started there."""


class Host:
    """One machine of a lab; made by Lab."""

    def __init__(self, lab: Lab, number: int, name: str, disk_mb: int | None):
        self.lab, self.number, self.name = lab, number, name
        self.address = lab.bridge.address(number)
        self.ssh_port = 22
        self.key = lab.key
        self.root = lab.root / name
        """The host's own: what it keeps over a power cut."""
        self.disk_mb = disk_mb
        self.home = self.root / "home"
        self._keys = self.root / "authorized_keys"
        self._init: subprocess.Popen[str] | None = None
        self._programs: list[Process] = []
        self.root.mkdir()
        if disk_mb:
            size = f"size={disk_mb}m"
            subprocess.run(["mount", "-t", "tmpfs", "-o", size, "lab", self.root], check=True)
        self.home.mkdir()
        (self.root / "tmp").mkdir()
        self.home.joinpath(".ssh").mkdir(mode=0o700)
        shutil.copy(lab.key.with_suffix(".pub"), self._keys)
        self._new_host_key()
        self._write_files()

    # power

    def boot(self) -> None:
        """Start it: a network, a name, an sshd that answers."""
        with (self.lab.root / f"{self.name}.boot").open("a") as log:
            self._init = self._unshare(log)
        assert self._init.stdout and self._init.stdin
        if not self._init.stdout.readline():
            raise RuntimeError(f"{self.name} did not start: {self._init.wait()}")
        self._first_pid = psutil.Process(self._init.pid).children()[0].pid
        self.lab.bridge.plug(self.number, self._pid())
        self._start_sshd()

    def kill(self) -> None:
        """A power cut: every process ends at once, none is asked. `boot()` brings it back."""
        if self._init:
            os.kill(self._pid(), signal.SIGKILL)
            for program in self._programs:  # the kernel waits until somebody noted every death
                wait(program.reap)
            self._init.communicate()
            self._init, self._programs = None, []

    @property
    def up(self) -> bool:
        return self._init is not None

    # network

    def cut(self) -> None:
        """Pull its network cable: nothing arrives, nobody is told."""
        self.lab.bridge.switch(self.number, "down")

    def mend(self) -> None:
        self.lab.bridge.switch(self.number, "up")

    # programs

    def start(
        self,
        words: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        **more: Any,
    ) -> Process:
        """Start a program there, with its `environment` and what env adds; more goes to Popen.

        Raises HostIsOff.
        """
        enter = ["nsenter", f"--target={self._pid()}", "--mount", "--uts", "--net", "--pid"]
        place = ["env", "-C", str(cwd or self.home)]
        more = {"stdin": subprocess.DEVNULL, "text": True, **more}
        environment = {**self.environment, **(env or {})}
        process = Process([*enter, *place, *map(str, words)], env=environment, **more)
        self._programs = [each for each in self._programs if each.returncode is None] + [process]
        return process

    def run(
        self,
        words: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        input: str = "",
        timeout_s: float = 60,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end. Raises CalledProcessError unless check is False."""
        pipe = subprocess.PIPE
        with self.start(words, env=env, cwd=cwd, stdin=pipe, stdout=pipe, stderr=pipe) as process:
            try:
                out, error = process.communicate(input, timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        if check and process.returncode:
            print(out, error, file=sys.stderr)
            raise subprocess.CalledProcessError(process.returncode, process.args, out, error)
        return subprocess.CompletedProcess(process.args, process.returncode, out, error)

    def farm(self, *words: str) -> list[str]:
        """The command line of `farm` there, from this tree."""
        return [sys.executable, "-m", "farm.cli", *words]

    @property
    def environment(self) -> dict[str, str]:
        """Of its programs, also over ssh; it knows nothing of a farm."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name.startswith(("PYTHON", "LC_", "PIP_", "SSL_", "REQUESTS_")) or name == "LANG"
        }
        return {
            **kept,
            "HOME": str(self.home),
            "TMPDIR": str(self.root / "tmp"),
            "PATH": search_path(),
            "PYTHONPATH": str(ROOT),
        }

    def processes(self) -> list[psutil.Process]:
        """All that runs there, as this machine sees it."""
        if not self.up:
            return []
        space = os.readlink(f"/proc/{self._pid()}/ns/pid")
        return [process for process in psutil.process_iter() if _space(process.pid) == space]

    # files

    def put(self, path: str | Path, text: str, mode: int = 0o644) -> Path:
        """Write a file beneath its home (or at an absolute path); where it lies."""
        target = self.home / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)
        return target

    def fill(self) -> None:
        """Leave no room on its disk, which it needs one of its own for."""
        assert self.disk_mb, f"{self.name} has no disk of its own: Lab(disk_mb=...)"
        with (self.root / "ballast").open("ab", buffering=0) as ballast:
            for size in (1 << 20, 4096):
                try:
                    while True:
                        ballast.write(bytes(size))
                except OSError:
                    continue

    def free(self) -> None:
        """Make room again."""
        (self.root / "ballast").unlink(missing_ok=True)

    # ssh

    def refuse(self) -> None:
        """Let the lab's key in no more."""
        self._keys.write_text("")

    def admit(self) -> None:
        """Let it in again."""
        shutil.copy(self.lab.key.with_suffix(".pub"), self._keys)

    def disguise(self) -> None:
        """Present another host key than the lab's known_hosts tells of."""
        self._new_host_key()
        for process in self.processes():
            if "sshd" in process.name():
                process.kill()
        self._start_sshd()

    def _unshare(self, log: TextIO) -> subprocess.Popen[str]:
        """Its first process, in namespaces of its own."""
        words = ["unshare", "--fork", "--pid", "--kill-child=KILL", "--mount-proc", "--uts"]
        words += ["--mount", "--net", "--propagation", "private", "sh", "-ec", self._first()]
        pipe = subprocess.PIPE
        return subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=log, text=True)

    def _first(self) -> str:
        """What its first process does: names, folders of its own in memory, and to be there."""
        binds = " ".join(
            f"mount --bind {self.root}/etc/{name} /etc/{name};" for name in ("passwd", "hosts")
        )
        memory = "mount -t tmpfs lab /run; mount -t tmpfs -o size=64m lab /dev/shm; mkdir /run/sshd"
        return f"hostname {self.name}; {binds} {memory}; echo; cat"

    def _write_files(self) -> None:
        etc = self.root / "etc"
        etc.mkdir()
        lines = [line.split(":") for line in Path("/etc/passwd").read_text().splitlines()]
        users = [
            [*user[:5], str(self.home), "/bin/bash"] if user[2] == "0" else user for user in lines
        ]
        (etc / "passwd").write_text("".join(":".join(user) + "\n" for user in users))
        known = [f"{self.lab.bridge.address(n)} {name}" for n, name in self.lab.names.items()]
        (etc / "hosts").write_text("\n".join(["127.0.0.1 localhost", *known, ""]))
        variables = " ".join(
            f'"{name}={value}"' for name, value in self.environment.items() if name != "PYTHONPATH"
        )
        (self.root / "sshd_config").write_text(
            f"ListenAddress {self.address}\n"
            f"HostKey {self.root}/host_key\n"
            f"AuthorizedKeysFile {self._keys}\n"
            f"SetEnv {variables}\n"
            "PasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\n"
            "PermitRootLogin yes\n"
            "MaxStartups 100\n"
            "StrictModes no\n"  # the lab's folder lies beneath the temporary one
            "UsePAM no\n"
            "UseDNS no\n"
            "PidFile none\n"
            "Subsystem sftp internal-sftp\n"
        )

    def _new_host_key(self) -> None:
        make_key(self.root / "host_key")

    def _start_sshd(self) -> None:
        sshd = shutil.which("sshd", path=search_path())
        log = self.root / "sshd.log"
        self.run([str(sshd), "-f", self.root / "sshd_config", "-E", log])

    def _pid(self) -> int:
        """Of its first process. Raises HostIsOff."""
        if self._init is None:
            raise HostIsOff(self.name)
        return self._first_pid

    def close(self) -> None:
        """Off for good."""
        self.kill()
        if self.disk_mb:
            subprocess.run(["umount", "--lazy", self.root], check=True)


def search_path() -> str:
    """Where programs are found: as here, and where administrators' programs lie."""
    return f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"


def _space(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


def make_key(path: Path) -> None:
    for old in (path, path.with_suffix(".pub")):
        old.unlink(missing_ok=True)
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", path], check=True
    )
