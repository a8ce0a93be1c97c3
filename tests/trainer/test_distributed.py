"""Several processes that share a batch learn what one learns, and live and die together."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from farm import kinds
from trainer.jobs.train import Job
from trainer.launch import sizes
from trainer.run import Run
from trainer.start import Refused, train

pytestmark = pytest.mark.slow


def spec(folder: Path, data: Path, **more: object) -> Path:
    """A job of a network without batch norm and dropout, as a file."""
    config = {"norm": False, "dropout": 0.0, "noise": 0.0, **more.pop("config", {})}
    path = folder.with_suffix(".json")
    job = {"model": "double", "data": [str(data)], "out": str(folder), "config": config}
    path.write_text(json.dumps({**job, "steps": 6, "device": "cpu", **more}))
    return path


def start(path: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "trainer", "train", str(path)],
        env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_two_processes_give_the_loss_of_one_with_the_double_batch(blocks, tmp_path, doubles):
    one, two = tmp_path / "one", tmp_path / "two"
    processes = [
        start(spec(one, blocks, config={"batch": 8}), doubles),
        start(spec(two, blocks, config={"batch": 8}, devices=2), doubles),
    ]
    for process in processes:
        _, error = process.communicate(timeout=180)
        assert process.returncode == 0, error

    curves = [
        [line["loss"] for line in Run(folder).metrics() if line["split"] == "train"]
        for folder in (one, two)
    ]
    assert len(curves[0]) == 6
    torch.testing.assert_close(*map(torch.tensor, curves), rtol=0, atol=1e-5)
    tensors = [
        load_file(Run(f).checkpoint("last").folder / "network.safetensors") for f in (one, two)
    ]
    for name, tensor in tensors[0].items():
        torch.testing.assert_close(tensor, tensors[1][name], rtol=0, atol=1e-5)
    assert Run(two).about["starts"][0]["devices"] == 2


def test_what_one_of_several_processes_finds_wrong_is_told_in_one_line(blocks, tmp_path, doubles):
    process = start(spec(tmp_path / "run", blocks, devices=2, config={"nan_at": 2}), doubles)

    _, error = process.communicate(timeout=120)

    assert process.returncode == 65
    (line,) = (line for line in error.splitlines() if line.startswith("trainer: "))  # not progress
    assert line.startswith("trainer: the loss is nan at step 2; the batch was c")
    assert "Traceback" not in error
    assert "checkpoints/00000001; " in line


def test_a_batch_that_cannot_be_shared_is_refused_before_anything_runs(blocks, tmp_path, doubles):
    process = start(spec(tmp_path / "run", blocks, devices=3), doubles)

    _, error = process.communicate(timeout=60)

    assert process.returncode == 65
    assert error.startswith("trainer: --batch 4 cannot be shared by 3 processes")
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_kill_9_of_the_first_process_ends_all_and_the_same_line_goes_on(blocks, tmp_path, doubles):
    options = {"devices": 2, "steps": 60}
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    undisturbed = start(spec(calm, blocks, **options, config={"seconds": 0.05}), doubles)
    path = spec(killed, blocks, **options, config={"seconds": 0.05})
    process = start(path, doubles)
    deadline = time.monotonic() + 90
    while not list(killed.glob("checkpoints/*/state.json")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 3  # torchrun and two that train

    process.send_signal(signal.SIGKILL)
    process.communicate()
    _, alive = psutil.wait_procs(family, timeout=10)
    again = start(path, doubles)
    told = again.communicate(timeout=180)

    assert not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]
    assert again.returncode == 0, told
    undisturbed.communicate(timeout=180)
    losses = [
        [line["loss"] for line in Run(folder).metrics() if line["split"] == "train"]
        for folder in (calm, killed)
    ]
    assert losses[0] == losses[1]
    assert Run(killed).about["starts"][1]["step"] >= 6


def test_several_machines_without_a_farm_are_refused_in_one_line(blocks, tmp_path, doubles, quiet):
    job = kinds.read(Job, spec(tmp_path / "run", blocks, nodes=2).read_text(), "job")

    with pytest.raises(Refused) as refused:
        train(job, quiet)

    assert str(refused.value) == "--nodes 2: a farm brings machines together; `farm submit train`"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("nodes", "devices", "batch", "can"),
    [(4, 1, 64, (1, 2, 4)), (3, 2, 12, (1, 2, 3)), (2, 4, 8, (1, 2)), (1, 2, 2, (1,))],
)
def test_a_run_goes_on_with_numbers_of_machines_that_share_the_batch(nodes, devices, batch, can):
    job = Job(model="double", data=("d",), nodes=nodes, devices=devices)

    assert sizes(job, batch) == can


NORMS = """
import sys
import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import nn
from trainer import distributed

rank, size, folder, device = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
device = torch.device(device)
world = distributed.World(rank=rank, size=size)
if size > 1:  # gloo, because NCCL wants a GPU for each process
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=size)
torch.manual_seed(0)
network = nn.Sequential(
    nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 4)
).to(device)
network = distributed.synchronized(network, world, device)
wrapped = distributed.wrap(network, world, device)
optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
losses = []
for step in range(5):
    chance = torch.Generator().manual_seed(step)
    images = torch.randn(8, 3, 8, 8, generator=chance)
    labels = torch.randint(4, (8,), generator=chance)
    mine = slice(rank * 8 // size, (rank + 1) * 8 // size)
    loss = nn.functional.cross_entropy(wrapped(images[mine].to(device)), labels[mine].to(device))
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    losses.append(world.mean(loss.detach()))
if rank == 0:
    save_file({"losses": torch.stack(losses).cpu()}, f"{folder}/{size}.safetensors")
"""


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch synchronizes norms on GPUs only")
def test_batch_norms_of_several_processes_take_their_statistics_together(tmp_path):
    for size in (1, 2):
        words = [[str(rank), str(size), str(tmp_path), "cuda:0"] for rank in range(size)]
        processes = [subprocess.Popen([sys.executable, "-c", NORMS, *each]) for each in words]
        assert [process.wait(180) for process in processes] == [0] * size

    one, two = (load_file(tmp_path / f"{size}.safetensors")["losses"] for size in (1, 2))
    torch.testing.assert_close(one, two, rtol=0, atol=1e-5)
