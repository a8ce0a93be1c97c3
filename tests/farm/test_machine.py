"""How many workers a machine has, and which GPUs are theirs."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from farm import machine


@pytest.fixture
def four_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An nvidia-smi that lists four."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nfor i in 0 1 2 3; do echo $i, GPU-${i}f2e, NVIDIA H200; done\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    machine.gpus.cache_clear()
    yield
    machine.gpus.cache_clear()


@pytest.mark.parametrize(
    ("role", "wanted", "cards"),
    [
        ("render", None, ["0", "1", "2", "3"]),
        ("render", 2, ["0", "1"]),
        ("render", 6, ["0", "1", "2", "3", "0", "1"]),
        ("train", None, ["0", "1", "2", "3"]),
        ("train", 1, ["0,1,2,3"]),
        ("train", 2, ["0,2", "1,3"]),
        ("train", 5, ["0", "1", "2", "3", "0"]),
    ],
)
def test_fewer_workers_that_train_have_several_gpus_each(four_gpus, role, wanted, cards):
    slots = machine.slots(role, wanted)

    assert [slot.environment["CUDA_VISIBLE_DEVICES"] for slot in slots] == cards


def test_a_cpu_trains_with_all_its_cores_and_renders_with_one_each(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    machine.gpus.cache_clear()

    (trainer,) = machine.slots("train")

    assert trainer.environment["FARM_THREADS"] == str(machine.cores())
    assert all(s.environment["FARM_THREADS"] == "1" for s in machine.slots("render"))
    machine.gpus.cache_clear()


def test_a_processor_has_a_name():
    name = machine.processor()

    assert name and (
        not Path("/proc/cpuinfo").exists()
        or f": {name}" in Path("/proc/cpuinfo").read_text()
        or name == platform.machine()
    )
