"""Checkpoints come back as they were, are whole or not there, and hold nothing that runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from trainer import checkpoint

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=1e-3, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=1e-2, betas=(0.5, 0.9), amsgrad=True),
    "adamw, fused": lambda p: torch.optim.AdamW(p, lr=1e-2, fused=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=1e-2, centered=True, momentum=0.1),
    "two groups": lambda p: torch.optim.Adam([{"params": p[:1], "lr": 0.3}, {"params": p[1:]}]),
    "rprop": lambda p: torch.optim.Rprop(p),
    "nadam": lambda p: torch.optim.NAdam(p),
}


def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 2))


def steps(net: nn.Module, optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
    for step in range(first, last):
        torch.manual_seed(step)
        net(torch.randn(7, 3)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_goes_on_to_the_bit(name, tmp_path):
    whole, half, rest = network(), network(), network()
    optimizers = [OPTIMIZERS[name](list(net.parameters())) for net in (whole, half, rest)]
    steps(whole, optimizers[0], 0, 6)
    steps(half, optimizers[1], 0, 3)

    saved = checkpoint.save(tmp_path, 3, half, optimizers[1], {"best": 1}, best=3)
    kept = saved.restore(rest, optimizers[2])
    steps(rest, optimizers[2], 3, 6)

    assert kept == {"best": 1}
    for a, b in zip(whole.state_dict().values(), rest.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_the_last_three_and_the_best_are_kept(tmp_path):
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    for step in range(1, 8):
        checkpoint.save(tmp_path, step, net, optimizer, {}, best=2 if step >= 2 else step)

    assert checkpoint.saved(tmp_path) == [2, 5, 6, 7]
    assert checkpoint.find(tmp_path, "best").step == 2
    assert checkpoint.find(tmp_path, "last").step == 7
    assert checkpoint.find(tmp_path, "6").step == 6


def test_a_checkpoint_that_is_not_there_is_told_with_those_that_are(tmp_path):
    net = network()
    with pytest.raises(FileNotFoundError, match=r"no checkpoint in .* yet"):
        checkpoint.find(tmp_path, "best")
    checkpoint.save(tmp_path, 4, net, torch.optim.SGD(net.parameters(), lr=1), {}, best=4)

    with pytest.raises(
        FileNotFoundError, match=r"no checkpoint 3 in .*; there are best, last and 4"
    ):
        checkpoint.find(tmp_path, 3)


def test_what_was_left_half_written_is_no_checkpoint_and_is_removed(tmp_path):
    net = network()
    checkpoint.save(tmp_path, 4, net, torch.optim.SGD(net.parameters(), lr=1), {}, best=4)
    half = tmp_path / ".00000008.abc.part"
    half.mkdir()
    (half / "network.safetensors").write_bytes(b"cut off")

    found = checkpoint.last(tmp_path, tidy=True)

    assert found.step == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000004", "best.json"]


def test_weights_that_are_shared_are_saved_and_come_back_shared(tmp_path):
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[1].weight = net[0].weight

    saved = checkpoint.save(tmp_path, 1, net, torch.optim.SGD(net.parameters(), lr=1), {}, best=1)
    saved.restore(net)

    assert net[1].weight is net[0].weight


def test_a_state_that_is_neither_tensor_nor_number_is_refused_by_name(tmp_path):
    net = nn.Linear(2, 1)
    optimizer = torch.optim.LBFGS(net.parameters())
    optimizer.step(lambda: net(torch.ones(1, 2)).square().sum().backward() or torch.ones(()))

    with pytest.raises(TypeError, match=r"LBFGS keeps .* as a list; a checkpoint holds tensors"):
        checkpoint.save(tmp_path, 1, net, optimizer, {}, best=1)

    assert list(tmp_path.iterdir()) == []


def test_another_version_is_refused(tmp_path):
    net = network()
    saved = checkpoint.save(tmp_path, 1, net, torch.optim.SGD(net.parameters(), lr=1), {}, best=1)
    path = saved.folder / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 2}))

    with pytest.raises(ValueError, match=r"state.json has version 2; this program reads version 1"):
        saved.restore(net)


def test_looking_what_there_is_needs_no_torch():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path\n"
        "from trainer import checkpoint, run\n"
        "print(checkpoint.saved(Path('.')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ},
        cwd=Path(__file__).parents[2],
    )  # fmt: skip

    assert done.stdout == "[]\n", done.stderr


def test_nothing_in_the_trainer_pickles_but_for_weights_of_others():
    """torch.load is there once, with weights_only: torchvision's files are nothing else."""
    found = [
        f"{path.name}: {line.strip()}"
        for path in sorted(Path(checkpoint.__file__).parent.rglob("*.py"))
        for line in path.read_text().splitlines()
        if "import pickle" in line or "torch.load(" in line or "torch.save(" in line
    ]

    assert found == ['weights.py: return torch.load(path, map_location="cpu", weights_only=True)']
