"""Build our images without an engine: every RUN and COPY of a Dockerfile, in plain roots.

One step makes one layer, and equal steps upon equal layers make one, as in an engine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from tests.docker.dockerfile import Copy, Image, Run, read
from tests.docker.ground import NETWORK, PATH, Box

# What decides where packages come from, and is no part of an image.
REGISTRY = ("PIP_INDEX_URL", "PIP_CERT", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX",
            "SSL_CERT_FILE", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")  # fmt: skip
# Links into uv's cache in place of 6 GB of copies; what is installed is the same.
SHORT = {"UV_LINK_MODE": "symlink", "UV_COMPILE_BYTECODE": "0"}
UV_CACHE = "/var/cache/uv"

Layers = tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class Built:
    """An image of ours."""

    image: Image
    layers: Layers
    """Uppermost first."""

    def container(self, upper: Path) -> Box:
        """A box above it; what is written lies in upper."""
        links = {} if os.environ.get("FARM_BARE_DEBIAN") else _cache(UV_CACHE)
        return Box(
            lower=self.layers,
            upper=upper,
            environment={"PATH": PATH, **self.image.environment},
            user=self.image.user,
            workdir=self.image.workdir,
            mounts=links,
            closed=tuple(links),
        )


def context(root: Path, out: Path) -> Path:
    """What .dockerignore leaves of a checkout, in a folder of its own."""
    lines = (root / ".dockerignore").read_text().splitlines()
    first, *rest = [line for line in lines if line and not line.startswith("#")]
    assert first == "*", "everything is left out but what is named"
    without = [line.removeprefix("**/") for line in rest if not line.startswith("!")]
    for name in (line[1:] for line in rest if line.startswith("!")):
        source, target = root / name, out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns(*without))
        else:
            shutil.copy2(source, target)
    return out


class Builder:
    """Builds from one context on one ground; several threads may use it."""

    def __init__(self, source: Path, ground: Layers, folder: Path):
        self.source, self.ground, self.folder = source, ground, folder
        self._made: dict[tuple[Layers, str], Future[Path]] = {}
        self._lock = threading.Lock()

    def build(self, file: Path, args: Mapping[str, str]) -> dict[str, Built]:
        """The images of a Dockerfile by stage; the last is ""."""
        built: dict[str, Built] = {}
        for image in read(file.read_text(), args):
            layers = self.ground
            for step in image.steps:
                origin = (self.source,)
                if isinstance(step, Copy) and step.stage:
                    origin = built[step.stage].layers
                layers = (self._layer(step, origin, layers), *layers)
            built[image.name] = Built(image=image, layers=layers)
        return built

    def _layer(self, step: Run | Copy, origin: Layers, layers: Layers) -> Path:
        with self._lock:
            key = (layers, f"{step} {origin if isinstance(step, Copy) else ''}")
            known = key in self._made
            made = self._made.setdefault(key, Future())
            upper = self.folder / str(len(self._made))
        if known:
            return made.result()
        try:
            upper.mkdir()
            if isinstance(step, Copy):
                _copy(step, origin, upper)
            else:
                _run(step, layers, upper)
            made.set_result(upper)
        except BaseException as error:
            made.set_exception(error)
            raise
        return upper


def _run(step: Run, layers: Layers, upper: Path) -> None:
    environment = {"PATH": PATH, "HOME": "/root", **step.environment}
    mounts = {name: Path(name) for name in NETWORK}
    if not os.environ.get("FARM_BARE_DEBIAN"):
        environment |= {name: SHORT[name] for name in SHORT if name in environment}
        mounts |= _cache(UV_CACHE)
    environment |= {name: os.environ[name] for name in REGISTRY if name in os.environ}
    for cache in step.caches:
        mounts |= _cache(cache)
    (upper / step.workdir.lstrip("/")).mkdir(parents=True, exist_ok=True)
    box = Box(
        lower=layers,
        upper=upper,
        environment=environment,
        user=step.user,
        workdir=step.workdir,
        mounts=mounts,
    )
    box.run(["/bin/sh", "-c", step.command])


def _copy(step: Copy, origin: Layers, upper: Path) -> None:
    target = upper / step.target.lstrip("/")
    target.mkdir(parents=True, exist_ok=True)
    for source in step.sources:
        found = [
            path for layer in reversed(origin) if (path := layer / source.lstrip("/")).exists()
        ]
        assert found, f"COPY {source}: there is none"
        for path in found:
            what = f"{path}/." if path.is_dir() else str(path)
            subprocess.run(["cp", "--archive", "--link", "--force", what, str(target)], check=True)


def _cache(target: str) -> dict[str, Path]:
    """This machine's own cache, for a cache mount."""
    if Path(target).name == "pip":
        path = Path(os.environ.get("PIP_CACHE_DIR") or "~/.cache/pip").expanduser()
    else:
        told = subprocess.run(["uv", "cache", "dir"], capture_output=True, text=True, check=True)
        path = Path(told.stdout.strip())
    path.mkdir(parents=True, exist_ok=True)
    return {target: path}
