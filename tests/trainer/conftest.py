"""One thread: sums come in the same order, and tests side by side do not fight for the cores."""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch

from tests.trainer.datasets import make_dataset

torch.set_num_threads(1)

FOLDER = str(Path(__file__).parent / "doubles")
sys.path.append(FOLDER)
DOUBLES = {
    "FARM_MODEL_PACKAGES": "trainerdouble.models",
    "FARM_THREADS": "1",
    "PYTHONPATH": FOLDER,
}


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Decoded pictures go to a folder of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of two categories: 16 shapes to train on, 4 to validate, 4 to test."""
    folder = tmp_path_factory.mktemp("blocks") / "blocks"
    return make_dataset(folder, splits={"train": 8, "val": 2, "test": 2}, points=0)


@pytest.fixture
def doubles(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mapping[str, str]]:
    """The model `double` is there, in this process and with this environment in others."""
    for name, value in DOUBLES.items():
        monkeypatch.setenv(name, value)
    yield {**os.environ}
    if torch.are_deterministic_algorithms_enabled():  # a session on a CPU asks for them
        torch.use_deterministic_algorithms(False)


class Quiet:
    """A lease that remembers what it was told."""

    def __init__(self) -> None:
        self.steps = 0
        self.said: list[str] = []

    def finish(self, item: str, **units: int) -> None:
        self.steps += units["steps"]

    def found(self, item: str, **units: int) -> None:
        self.steps += units["steps"]

    def progress(self, at: str = "") -> None:
        self.said += [at] if at else []

    def commit(self) -> None: ...


@pytest.fixture
def quiet() -> Quiet:
    return Quiet()
