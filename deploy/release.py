"""What is put on machines: a wheel and the pins that it was tested with."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from deploy.errors import BuildFailed
from deploy.pins import constraints
from farm import version

BUILD_S = 600
CLONE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Release:
    """One build of the farm."""

    file: str
    """Name of the wheel."""
    wheel: bytes
    version: str
    """As every part of it will tell: "0.1.0+3f2a9c1b"."""
    pins: str
    """Exact versions of all it needs, a requirement a line."""

    def name(self, extras: Iterable[str], python: str) -> str:
        """Of its folder on a machine: another one where pins, extras or Python differ."""
        facts = "\n".join([python, *sorted(extras), self.pins])
        environment = hashlib.sha256(facts.encode()).hexdigest()[:4]
        return f"{self.version.replace('+', '-')}-{environment}"


def build(folder: Path) -> Path:
    """A wheel of the clone that this program runs from, in the folder. Raises BuildFailed."""
    uv = shutil.which("uv")
    if not (CLONE / "pyproject.toml").exists() or uv is None:
        raise ValueError(
            "a wheel is built where uv and a clone of shapefarm are; here, name one by --wheel FILE"
        )
    command = [uv, "build", "--wheel", "--quiet", "--out-dir", str(folder)]
    try:
        done = subprocess.run(command, cwd=CLONE, capture_output=True, text=True, timeout=BUILD_S)
    except subprocess.TimeoutExpired:
        raise BuildFailed("uv build --wheel", f"not done within {BUILD_S} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise BuildFailed("uv build --wheel", lines[-1] if lines else f"code {done.returncode}")
    return next(folder.glob("*.whl"))


def read(wheel: Path, pins: Path | None = None) -> Release:
    """The build in a wheel; pins in a file of requirements, else those of this clone.

    Raises ValueError for what is no wheel of shapefarm, or where there are no pins; OSError.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            records = [name for name in archive.namelist() if name.endswith(".dist-info/RECORD")]
            record = archive.read(records[0]).decode()
    except (zipfile.BadZipFile, IndexError):
        raise ValueError(f"{wheel} is no wheel") from None
    match = re.fullmatch(rf"{version.NAME}-([^-]+)-.*\.whl", wheel.name)
    if match is None:
        raise ValueError(f"{wheel} is no wheel of {version.NAME}")
    return Release(wheel.name, wheel.read_bytes(), version.build(match[1], record), _pins(pins))


def _pins(file: Path | None) -> str:
    if file is not None:
        return file.read_text("utf-8")
    try:
        text = (CLONE / "pyproject.toml").read_text("utf-8")
    except FileNotFoundError:
        raise ValueError(
            "the pins are in a clone's pyproject.toml; here, name a list by --constraints FILE"
        ) from None
    return "".join(f"{pin}\n" for pin in constraints(text))
