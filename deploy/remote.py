"""One machine, over ssh: run a command, feed a program, put a file. The one place with Fabric.

What goes wrong is HostFailed, with a remedy; every call ends within its time.
"""

from __future__ import annotations

import contextlib
import secrets
import shlex
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import paramiko
from fabric import Config, Connection
from invoke.exceptions import CommandTimedOut, ThreadException

from deploy.errors import HostFailed
from deploy.inventory import Host

ALIVE_S = 5  # a silent connection is asked this often whether it is still there
GRACE_S = 10  # the host ends a command in time itself; this is for when it does not say so


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    error: str

    @property
    def last(self) -> str:
        """Its last words."""
        lines = [line.strip() for line in (self.error or self.out).splitlines() if line.strip()]
        return lines[-1] if lines else f"exit code {self.code}"


class Remote:
    """An open connection. Use as a context; raises HostFailed when it cannot be opened."""

    def __init__(self, host: Host, known_hosts: Path, connect_s: int):
        self.host = host
        own = {"key_filename": [str(host.key)], "allow_agent": False, "look_for_keys": False}
        self._connection = Connection(
            host.address,
            user=host.user,
            port=host.port,
            config=Config(),
            connect_timeout=connect_s,
            connect_kwargs={
                "banner_timeout": connect_s,
                "auth_timeout": connect_s,
                "channel_timeout": connect_s,  # an hour, untold
                **(own if host.key else {}),
            },
        )
        client = self._connection.client
        # Fabric's own choice is to believe whoever answers.
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        if known_hosts.exists():
            client.load_system_host_keys(str(known_hosts))
        self._known_hosts, self._connect_s = known_hosts, connect_s

    def __enter__(self) -> Remote:
        try:
            self._connection.open()
        except (paramiko.SSHException, OSError, EOFError, ValueError) as error:
            self.close()
            raise HostFailed(*self._refused(error), "connection") from None
        self._connection.transport.set_keepalive(ALIVE_S)
        link = self._connection.transport.sock
        if isinstance(link, socket.socket) and hasattr(socket, "TCP_USER_TIMEOUT"):
            # What is sent and never acknowledged ends the connection, whatever waits on it.
            silent_ms = 3 * self._connect_s * 1000
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, silent_ms)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with contextlib.suppress(Exception):  # it may be half open, or gone
            self._connection.close()

    def run(self, command: str, *, timeout_s: int = 60, check: bool = True) -> Said:
        """A shell command's end. Raises HostFailed when it fails, unless check is False."""
        with self._told(timeout_s):
            result = self._connection.run(
                within(command, timeout_s), hide=True, warn=True, in_stream=False,
                timeout=timeout_s + GRACE_S,
            )  # fmt: skip
        said = Said(result.exited, result.stdout, result.stderr)
        if check and said.code:
            raise HostFailed(*explained(said, timeout_s))
        return said

    def feed(self, command: str, text: str, *, timeout_s: int = 60) -> Said:
        """A shell command's end that is given a text: what is secret comes by this way alone."""
        with self._told(timeout_s):
            streams = self._connection.client.exec_command(
                within(command, timeout_s), timeout=timeout_s + GRACE_S
            )
            stdin, stdout, stderr = streams
            stdin.write(text)
            stdin.channel.shutdown_write()
            out, error = stdout.read().decode(), stderr.read().decode()
            return Said(stdout.channel.recv_exit_status(), out, error)

    def follow(self, command: str, line: Callable[[str], None]) -> None:
        """Every line of a command that may go on for ever, as it comes."""
        with self._told(0):
            self._connection.run(
                f"sh -c {shlex.quote(command)}", hide=False, warn=True, in_stream=False,
                out_stream=_Lines(line), err_stream=_Lines(line),
            )  # fmt: skip

    def put(self, path: PurePosixPath, data: bytes, mode: int = 0o644) -> None:
        """Write a file whole or not at all; its folder is there. Nobody sees it before its mode."""
        temporary = f"{path}.{secrets.token_hex(4)}"
        with self._told(60):
            sftp = self._connection.sftp()
            sftp.get_channel().settimeout(60)
            try:
                with sftp.open(temporary, "wx") as file:
                    file.chmod(mode)
                    file.write(data)
                sftp.posix_rename(temporary, str(path))
            except OSError as error:
                with contextlib.suppress(OSError):
                    sftp.remove(temporary)
                # sftp has no words for a full disk
                why = error.strerror or str(error) or "no reason given"
                raise HostFailed(
                    f"{path} cannot be written: {why}",
                    "is its disk full, or the folder not ours? `farm deploy check` tells",
                ) from None

    @contextlib.contextmanager
    def _told(self, timeout_s: int) -> Iterator[None]:
        """What the libraries raise, as one line."""
        try:
            yield
        except (CommandTimedOut, TimeoutError):
            raise HostFailed(
                f"no answer for {timeout_s + GRACE_S} s",
                "is its network or its storage stuck?",
                "connection",
            ) from None
        except (paramiko.SSHException, EOFError, OSError, ThreadException) as error:
            raise HostFailed(
                f"the connection was lost: {_line(error)}", "type the same line again", "connection"
            ) from None

    def _refused(self, error: Exception) -> tuple[str, str]:
        """Why no connection was opened, and what to do."""
        address, port = self._connection.host, self._connection.port
        place = f"{address}" if port == 22 else f"-p {port} {address}"
        login = f"{self._connection.user}@{address}"
        if isinstance(error, paramiko.BadHostKeyException):
            known = address if port == 22 else f"[{address}]:{port}"
            return (
                f"it shows another host key than {self._known_hosts} has",
                "if it was set up anew: "
                f"ssh-keygen -R {shlex.quote(known)} -f {self._known_hosts}, "
                f"then {_scan(place, self._known_hosts)}",
            )
        if "not found in known_hosts" in str(error):
            return (
                f"its host key is not in {self._known_hosts}",
                f"{_scan(place, self._known_hosts)}, and compare its print with the host's own",
            )
        if isinstance(error, paramiko.PasswordRequiredException):
            return (f"the key {self.host.key} has a passphrase", "ssh-add it first")
        if isinstance(error, paramiko.AuthenticationException):
            copy = f"ssh-copy-id {f'-i {self.host.key} ' if self.host.key else ''}"
            return (
                f"it refuses the key of {login}",
                f"{copy}{f'-p {port} ' if port != 22 else ''}{login}",
            )
        if isinstance(error, socket.gaierror):
            return (f"no such address: {address}", "give its address in the inventory")
        if self.host.key and not self.host.key.exists():
            return (f"no such key: {self.host.key}", "key names a private key's file")
        return (f"not reachable: {_line(error)}", f"is it on, and sshd at port {port}? ssh {login}")


class _Lines:
    """A stream for invoke that hands on whole lines."""

    encoding = sys.getdefaultencoding()

    def __init__(self, line: Callable[[str], None]):
        self._line, self._rest = line, ""

    def write(self, text: str) -> None:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._line(line)

    def flush(self) -> None:
        pass


def within(command: str, timeout_s: int) -> str:
    """A command as any login shell takes it, which the host itself ends in time."""
    return f"timeout -k 5 {timeout_s} sh -c {shlex.quote(command)}"


def _scan(place: str, known_hosts: Path) -> str:
    return f"ssh-keyscan {place} >> {known_hosts}"


def explained(said: Said, timeout_s: int) -> tuple[str, str]:
    """A failed command's last words, and what to do."""
    text = said.error + said.out
    if said.code == 124:
        return f"not done within {timeout_s} s", "is its network or its storage stuck?"
    if "No space left on device" in text or "os error 28" in text:
        return "no space left on its disk", "make room, or choose another root in the inventory"
    if "Read-only file system" in text or "Permission denied" in text:
        return said.last, "give the user of the inventory a root that it may write to"
    if "command not found" in text or "not found" in said.last:
        return said.last, "`farm deploy check` tells what it lacks"
    return said.last, ""


def _line(error: BaseException) -> str:
    strerror: Any = getattr(error, "strerror", None)
    text = strerror or str(error) or type(error).__name__
    return str(text).splitlines()[0]
