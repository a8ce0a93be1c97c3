"""One locked Redis, its controller and its worker, for many tests."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from locked import Locked, locked


@pytest.fixture(scope="session")
def lab() -> Iterator[Locked]:
    folder = Path(tempfile.mkdtemp(prefix="farm-locked-"))
    with locked(folder) as lab:
        lab.start("controller", "controller")
        lab.start("worker", "worker", "count")
        yield lab
    shutil.rmtree(folder)
