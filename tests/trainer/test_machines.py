"""A run on several machines: gathered, restarted when one is lost, and finished all the same."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psutil
import pytest
import torch

from farm import broker, kinds
from farm.store import Store, connect
from tests.farm.conftest import _wait as wait
from tests.farm.room import Room
from tests.trainer.conftest import DOUBLES
from trainer.jobs.train import Job
from trainer.run import Run
from trainer.start import train

pytestmark = pytest.mark.slow
STEPS = 60


@pytest.fixture
def lab(tmp_path):
    """A controller at a Redis of its own; and that Redis's store."""
    home = Path(tempfile.mkdtemp(prefix="farm-redis-"))
    server = subprocess.Popen(
        broker.command(home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait(lambda: broker.socket_path(home).exists())
    room = Room(broker.url(home), tmp_path)
    room.environment |= {
        **DOUBLES, "FARM_ITEM_TIMEOUT_S": "120", "FARM_REGROUP_S": "3", "FARM_KIND_PACKAGES": "",
    }  # fmt: skip
    room.store = Store(connect(broker.url(home)))
    room.start("controller")
    yield room
    room.close()
    room.store.client.close()
    server.terminate()
    server.wait()
    shutil.rmtree(home, ignore_errors=True)


def job(folder: Path, data: Path, **more: object) -> Path:
    """A job of a network without batch norm and dropout, as a file."""
    path = folder.with_suffix(".job")
    path.write_text(
        json.dumps(
            {
                "model": "double", "data": [str(data)], "out": str(folder), "steps": STEPS,
                "device": "cpu", "nodes": 2,
                "config": {"norm": False, "dropout": 0.0, "noise": 0.0, "seconds": 0.1}, **more,
            }
        )
    )  # fmt: skip
    return path


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in Run(folder).metrics() if line["split"] == "train"]


def test_a_machine_is_lost_and_the_run_ends_with_the_one_that_is_left(
    lab, blocks, tmp_path, doubles, quiet
):
    one, two = tmp_path / "one", tmp_path / "two"
    words = ("submit", "train", "--json", "--job")
    waiting = lab.start(*words, str(job(two, blocks)))
    wait(lambda: "waits for 2 workers" in lab.store.jobs()[0].reason, 60)
    workers = [lab.start("worker", "train", "--slot", slot) for slot in "ab"]
    wait(lambda: list(two.glob("checkpoints/*/state.json")), 120)
    assert {worker.task for worker in lab.store.workers(5)} == {"train-0", "train-1"}

    first = next(w for w in lab.store.workers() if w.task == "train-0")
    victim = next(process for process in workers if process.pid == first.pid)
    family = psutil.Process(victim.pid).children(recursive=True)
    victim.send_signal(signal.SIGKILL)
    out, error = waiting.communicate(timeout=180)
    train(kinds.read(Job, job(one, blocks, nodes=1).read_text(), "job"), quiet)  # undisturbed

    assert waiting.returncode == 0, error
    assert json.loads(out)["made"] == {"steps": STEPS}
    begun, again = Run(two).about["starts"]
    assert (begun["devices"], again["devices"]) == (2, 1)
    assert begun["step"] == 0 and 6 <= again["step"] < STEPS
    assert len(losses(two)) == STEPS
    torch.testing.assert_close(*map(torch.tensor, map(losses, (one, two))), rtol=0, atol=1e-5)
    assert not [each for each in family if each.is_running()]
