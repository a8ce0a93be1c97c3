"""Our images, built once for all tests, and the compose file as Compose itself understands it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from deploy import compose
from tests.docker import ground
from tests.docker.build import Builder, Built, context

ROOT = Path(__file__).parents[2]
FILES = ("farm", "renderer", "trainer")


def tool(name: str) -> str:
    """A program of the dev group. They are published for Linux alone."""
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    if not found:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """On another disk than /: a layer must not lie within another."""
    made = Path(tempfile.mkdtemp(prefix="farm-docker-", dir="/dev/shm"))
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="session")
def docker(folder: Path) -> Path:
    """A copy of docker/, prepared as `make secrets` does."""
    made = folder / "docker"
    kept = shutil.ignore_patterns("redis", ".env")
    shutil.copytree(ROOT / "docker", made, ignore=kept)
    compose.prepare(made)
    return made


@pytest.fixture(scope="session")
def model(docker: Path) -> dict[str, Any]:
    """The compose file, checked, filled in and merged by Docker Compose."""
    words = ["--profile", "*", "config", "--format", "json"]
    done = subprocess.run(
        [tool("docker-compose"), "--file", str(docker / "compose.yaml"), *words],
        capture_output=True, text=True, check=False,
        env={name: text for name, text in os.environ.items() if not name.startswith("FARM_")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="session")
def images(folder: Path, model: Mapping[str, Any]) -> dict[str, Built]:
    """The images, by the names that the compose file gives them."""
    if missing := ground.why_not():
        pytest.skip(missing)
    try:
        socket.create_connection(("deb.debian.org", 80), timeout=10).close()
    except OSError as error:
        if "CI" in os.environ:
            raise
        pytest.skip(f"Debian's packages are out of reach: {error}")
    (folder / "layers").mkdir()
    source = context(ROOT, folder / "context")
    builder = Builder(source, ground.lay(folder / "ground"), folder / "layers")
    files = [ROOT / "docker" / f"{name}.Dockerfile" for name in FILES]
    args = next(iter(model["services"].values()))["build"]["args"]
    with ThreadPoolExecutor(len(files)) as threads:
        built = dict(zip(FILES, threads.map(lambda f: builder.build(f, args), files), strict=True))
    found = {}
    for service in model["services"].values():
        about = service["build"]
        stages = built[Path(about["dockerfile"]).name.removesuffix(".Dockerfile")]
        found[service["image"]] = stages[about.get("target", "")]
    return found
