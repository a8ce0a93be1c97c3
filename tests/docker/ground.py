"""Root file systems to run commands in, as containers have them, out of what Linux has.

An overlay of layers is the root, in a mount, process, host-name and (where asked for) network
namespace of its own, with the environment, user, folders and limits that are given and nothing of
this checkout.  Lowest lies this machine's Debian without /root, /home, /opt, /usr/local and
whatever else is not Debian's, or the root in FARM_BARE_DEBIAN:

    mmdebstrap --variant=minbase --include=PACKAGES bookworm DIR
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
DEBIAN = {"bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc", "var", "dev", "proc",
          "sys"}  # fmt: skip
NETWORK = ("/etc/resolv.conf", "/etc/ssl/certs/ca-certificates.crt")


def why_not() -> str:
    """What this machine lacks to make a root; "" if nothing."""
    if os.geteuid():
        return "needs root, for mounts and namespaces"
    if Path(sys.base_prefix) == Path("/usr"):
        return "needs a Python outside of /usr, to put where the images have theirs"
    absent = [name for name in ("unshare", "nsenter", "setpriv", "apt-get") if not _which(name)]
    return f"needs {', '.join(absent)}" if absent else ""


def _which(name: str) -> str | None:
    return shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")


def lay(folder: Path) -> tuple[Path, ...]:
    """The layers of the base image, uppermost first: Debian with Python in /usr/local."""
    python = folder / "python"
    _lay_python(python / "usr" / "local")
    _hide(python / "usr" / "local")
    debian = Path(os.environ.get("FARM_BARE_DEBIAN") or "/")
    if debian == Path("/"):
        for path in debian.iterdir():
            if path.is_dir() and not path.is_symlink() and path.name not in DEBIAN:
                _hide(python / path.name)
        (python / "tmp").chmod(0o1777)
        (python / "root").chmod(0o700)
    Box(lower=(debian,), upper=python, environment={"PATH": PATH}).run(["ldconfig"])
    return (python, debian)


def _lay_python(local: Path) -> None:
    """This machine's Python as python:slim has it: itself and pip, nothing installed."""
    prefix, name = Path(sys.base_prefix), f"python{sys.version_info.major}.{sys.version_info.minor}"

    def ignore(folder: str, names: list[str]) -> set[str]:
        if Path(folder).name == "site-packages":
            return {entry for entry in names if not entry.startswith("pip")}
        return {"test", "__pycache__"} & set(names)

    shutil.copytree(prefix / "lib" / name, local / "lib" / name, ignore=ignore, symlinks=True)
    for library in (prefix / "lib").glob("libpython*"):
        shutil.copy2(library, local / "lib" / library.name, follow_symlinks=False)
    (local / "bin").mkdir()
    shutil.copy2(prefix / "bin" / name, local / "bin" / name)
    for alias in ("python", "python3"):
        (local / "bin" / alias).symlink_to(name)


def _hide(folder: Path) -> None:
    """Let nothing of the layers below be seen in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    os.setxattr(folder, "trusted.overlay.opaque", b"y")


@dataclass(frozen=True, kw_only=True)
class Box:
    """Where and as what a command runs."""

    lower: tuple[Path, ...]
    """Layers that are only read, uppermost first."""
    upper: Path
    """Where what is written lands."""
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = "0"
    workdir: str = "/"
    mounts: Mapping[str, Path] = field(default_factory=dict)
    """Path inside -> a file or folder of the machine."""
    closed: tuple[str, ...] = ()
    """Mounts that cannot be written."""
    memory: tuple[str, ...] = ()
    """Where a tmpfs lies."""
    read_only: bool = False
    powerless: bool = False
    """No capability, and no way to get one."""
    hostname: str = ""
    network: int = 0
    """A process whose network is used; 0: the machine's."""

    @property
    def layers(self) -> tuple[Path, ...]:
        return (self.upper, *self.lower)

    def command(self, words: Sequence[str]) -> list[str]:
        """What to execute on the machine so that the words run inside, as process 1."""
        root = self.upper.with_name(self.upper.name + ".root")
        work = self.upper.with_name(self.upper.name + ".work")
        for folder in (root, work, self.upper):
            folder.mkdir(exist_ok=True)
        lower = ":".join(map(str, self.lower))
        layers = f"lowerdir={lower},upperdir={self.upper},workdir={work}"
        lines = [
            f"mount -t overlay overlay -o {layers} {root}",
            f"mount -t proc proc {root}/proc",
            f"mount --rbind /dev {root}/dev",
        ]
        if self.hostname:
            lines += [f"hostname {self.hostname}"]
        for inside, outside in self.mounts.items():
            place = shlex.quote(f"{root}{inside}")
            make = "mkdir -p" if outside.is_dir() else "install -D /dev/null"
            lines += [
                f"[ -e {place} ] || {make} {place}",
                f"mount --bind {shlex.quote(str(outside))} {place}",
            ]
            if inside in self.closed:
                lines += [f"mount -o remount,bind,ro {place}"]
        for inside in self.memory:
            lines += [
                f"mkdir -p {root}{inside}",
                f"mount -t tmpfs -o mode=1777 tmpfs {root}{inside}",
            ]
        if self.read_only:
            lines += [f"mount -o remount,ro {root}"]
        inner = shlex.join(["chroot", str(root), *self._as_whom(), *words])
        network = ["nsenter", f"--net=/proc/{self.network}/ns/net"] if self.network else []
        return [
            *network,
            *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc"),
            *("sh", "-euc", "\n".join([*lines, f"exec {inner}"])),
        ]

    def beside(self, process: int, words: Sequence[str]) -> list[str]:
        """What to execute so that the words run beside a process 1 that was started here."""
        root = self.upper.with_name(self.upper.name + ".root")
        spaces = ("--mount", "--pid", "--net", "--uts", "--ipc")
        return [
            *("nsenter", f"--target={process}", *spaces),
            *("chroot", str(root), *self._as_whom(), *words),
        ]

    def _as_whom(self) -> list[str]:
        user, _, group = self.user.partition(":")
        privileges = ["--reuid", user, "--regid", group or user, "--clear-groups"]
        if self.powerless:
            privileges += ["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        return [
            *("/usr/bin/setpriv", *privileges),
            *("/usr/bin/env", "--ignore-environment", f"--chdir={self.workdir}", *variables),
        ]

    def run(self, words: Sequence[str], timeout_s: float = 600) -> str:
        """Run to the end; what it printed. Raises AssertionError with all of it if it failed."""
        done = subprocess.run(
            self.command(words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout[-4000:]}"
        return done.stdout

    def above(self, upper: Path, **changes: object) -> Box:
        """A box whose lowest layers are this one's: a container of an image."""
        return replace(self, lower=self.layers, upper=upper, **changes)  # type: ignore[arg-type]
