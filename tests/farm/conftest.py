"""A private farm for the tests: real Redis, real Celery workers, real children, short leases."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from farm import broker, local
from farm.settings import Settings, load
from farm.store import Store, connect
from tests.waiting import wait as _wait

DOUBLES = Path(__file__).parent / "doubles"
sys.path.insert(0, str(DOUBLES))
SHORT = {
    "FARM_KIND_PACKAGES": "farmdouble.jobs",
    "FARM_LEASE_S": "3",
    "FARM_RENEW_S": "0.5",
    "FARM_ITEM_TIMEOUT_S": "2",
    "FARM_WORKER_DEAD_S": "5",
    "FARM_VANISHED_S": "2",
    "FARM_PUBLISH_S": "0.3",
    "PYTHONPATH": str(DOUBLES),
}


@dataclass(frozen=True)
class Farm:
    """A home, and commands that run there."""

    home: Path
    folder: Path
    more: Mapping[str, str] = field(default_factory=dict)
    """Variables of whoever types the commands."""

    @property
    def environment(self) -> dict[str, str]:
        clean = {k: value for k, value in os.environ.items() if not k.startswith(("FARM_", "UV"))}
        return {**clean, **SHORT, "FARM_HOME": str(self.home), "COLUMNS": "100", **self.more}

    @property
    def settings(self) -> Settings:
        return load(self.environment, cwd=self.folder)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "farm.cli", *words],
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *words: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        process = self.start(*words)
        return self.end(process, timeout_s)

    def end(
        self, process: subprocess.Popen[str], timeout_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        try:
            out, error = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            out, error = process.communicate()
            log = (self.home / "logs" / "farm.log").read_text()[-4000:]
            raise AssertionError(f"no end of {process.args}\n{out}\n{error}\n{log}") from None
        return subprocess.CompletedProcess(process.args, process.returncode, out, error)

    @contextlib.contextmanager
    def store(self) -> Iterator[Store]:
        store = Store(connect(broker.url(self.home)))
        try:
            yield store
        finally:
            store.client.close()

    def workers(self) -> list[psutil.Process]:
        with self.store() as store:
            return [psutil.Process(worker.pid) for worker in store.workers(5)]

    def children(self) -> list[psutil.Process]:
        """The child programs of the workers."""
        return [child for worker in self.workers() for child in worker.children()]

    def controller(self) -> psutil.Process:
        with self.store() as store:
            return psutil.Process(int(store.holder().split()[1]))

    def redis(self) -> psutil.Process:
        return psutil.Process(int((self.home / "redis" / "pid").read_text()))

    def supervisor(self) -> psutil.Process:
        parent = self.controller().parent()
        assert parent is not None
        return parent

    def products(self, out: str) -> dict[str, bytes]:
        """What a job left, and not how it came about."""
        folder = self.folder / out
        return {path.name: path.read_bytes() for path in sorted(folder.glob("count-*.txt"))}

    def works(self, out: str) -> Counter[str]:
        """Item -> how often it was worked on to the end."""
        lines = (self.folder / out / "work.log").read_text().splitlines()
        return Counter(line.split()[0] for line in lines)

    def stop(self) -> None:
        if local.running(self.settings):
            with contextlib.suppress(Exception):
                supervisor = self.supervisor()
                supervisor.send_signal(signal.SIGTERM)
            assert local.wait_until_gone(self.settings)


@contextlib.contextmanager
def new_farm() -> Iterator[Farm]:
    """A farm of its own, in a folder whose path is short enough for a socket."""
    root = Path(tempfile.mkdtemp(prefix="farm-test-"))
    (root / "work").mkdir()
    farm = Farm(root / "home", root / "work")
    try:
        yield farm
    finally:
        farm.stop()
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def farm() -> Iterator[Farm]:
    """One farm for many tests; it goes on from one to the next."""
    with new_farm() as farm:
        yield farm


@pytest.fixture
def own_farm() -> Iterator[Farm]:
    """A farm for one test that ends it."""
    with new_farm() as farm:
        yield farm


@pytest.fixture(scope="session")
def server() -> Iterator[Path]:
    """A Redis; its home."""
    root = Path(tempfile.mkdtemp(prefix="farm-redis-"))
    process = subprocess.Popen(
        broker.command(root), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _wait(lambda: broker.socket_path(root).exists())
    yield root
    process.terminate()
    process.wait()
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def store(server: Path) -> Iterator[Store]:
    """An empty store."""
    store = Store(connect(broker.url(server)))
    store.client.flushall()
    yield store
    store.client.close()


@pytest.fixture(scope="session")
def wait() -> Callable[..., None]:
    return _wait


@pytest.fixture(scope="session")
def undisturbed(farm: Farm) -> dict[str, bytes]:
    """What `--things n:40` leaves when nothing happens to it."""
    result = farm.run("submit", "count", "--things", "n:40", "--out", "undisturbed")
    assert result.returncode == 0, result.stderr
    return farm.products("undisturbed")
