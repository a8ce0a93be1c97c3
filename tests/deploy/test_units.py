"""One unit for each server, GPU and slot, as systemd takes it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from deploy import units, variables
from deploy.place import Place
from deploy.units import Unit
from tests.deploy.machines import cards, host, machine

PLACE = Place(PurePosixPath("/home/farm/shapefarm"))


def planned(roles: tuple[str, ...], found: Any = None, **facts: Any) -> dict[str, Unit]:
    made = units.units(host(roles=roles, **facts), found or machine(), PLACE)
    return {unit.name: unit for unit in made}


def test_each_gpu_has_a_worker_that_sees_no_other() -> None:
    found = planned(("render",), machine(gpus=cards(2)))

    assert list(found) == ["farm-worker@render-0", "farm-worker@render-1"]
    second = found["farm-worker@render-1"]
    assert second.words == ("worker", "render", "--slot", "1")
    assert second.environment["CUDA_VISIBLE_DEVICES"] == "1"
    assert second.environment["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert second.environment["FARM_THREADS"] == "4"


def test_only_the_gpus_that_are_named_are_used() -> None:
    assert list(planned(("train",), machine(gpus=cards(4)), gpus=(1, 3))) == [
        "farm-worker@train-1",
        "farm-worker@train-3",
    ]


def test_cpu_workers_stand_beside_those_of_the_gpus_and_see_none() -> None:
    found = planned(("both", "cpu"), machine(gpus=cards(2), cores=5))

    assert list(found) == [
        *("farm-worker@both-0", "farm-worker@both-1"),
        *("farm-worker@cpu-0", "farm-worker@cpu-1", "farm-worker@cpu-2"),
    ]
    assert found["farm-worker@cpu-2"].environment["CUDA_VISIBLE_DEVICES"] == ""


def test_without_gpus_there_is_a_worker_for_each_core_or_one_that_trains() -> None:
    assert len(planned(("render",), machine(cores=3))) == 3
    assert len(planned(("render",), machine(cores=64, memory_mb=4_000))) == 4
    assert len(planned(("render",), slots=2)) == 2
    assert len(planned(("train",))) == 1


def test_servers_go_by_their_own_name_at_redis() -> None:
    found = planned(("controller", "monitor", "dashboard", "cpu"), slots=1)

    assert {name: Path(unit.environment["FARM_CONFIG"]).name for name, unit in found.items()} == {
        "farm-controller": "controller.toml",
        "farm-monitor": "monitor.toml",
        "farm-dashboard": "submit.toml",
        "farm-worker@cpu-0": "worker.toml",
    }


def test_what_the_inventory_says_of_threads_and_memory_wins() -> None:
    (unit,) = planned(("cpu",), slots=1, settings={"threads": 3}).values()

    assert "FARM_THREADS" not in unit.environment
    assert "FARM_MEMORY_MB" in unit.environment


def test_a_roles_further_arguments_are_on_its_command_line() -> None:
    (unit,) = planned(("monitor",), arguments={"monitor": ("--port", "80")}).values()

    assert unit.words == ("monitor", "--port", "80")


def test_the_variables_of_a_unit_are_all_that_is_its_own() -> None:
    (unit,) = planned(("cpu",), slots=1).values()

    told = variables.read(units.environment_text(unit, "1", PLACE))

    program = "/home/farm/shapefarm/versions/1/bin/farm"
    what = {"UNIT_PROGRAM": program, "UNIT_WORDS": "worker cpu --slot 0"}
    assert told == {**what, **unit.environment}
    assert units.service_file(unit) == "farm-worker@.service"
    assert "cpu" not in units.service_text(unit, "1", PLACE)


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze; Debian's systemd has it")
    place = Place(PurePosixPath(tmp_path / "farm"))
    program = Path(place.program("1"))
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    made = units.units(host(roles=("controller", "render")), machine(gpus=cards(1)), place)
    files = [tmp_path / units.service(unit) for unit in made]
    for unit, file in zip(made, files, strict=True):
        file.write_text(units.service_text(unit, "1", place))

    done = subprocess.run(
        [analyze, "verify", "--user", "--man=no", *files],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    assert len(files) == 2
