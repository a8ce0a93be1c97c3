"""What a machine lacks is told with the remedy, and what is well is not told at all."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.check import lacking, late, strangers
from deploy.survey import Survey
from tests.deploy.machines import cards, host, machine


def told(found: Survey, **facts: Any) -> dict[str, str]:
    return {problem.about: str(problem) for problem in lacking(host(**facts), found)}


def test_a_machine_that_has_all_lacks_nothing() -> None:
    found = machine(gpus=cards(2), roots={"/data": ""}, redis={"worker": ""})

    assert told(found, gpus=(0, 1), storage_roots=("/data",)) == {}


@pytest.mark.parametrize(
    ("facts", "about", "words"),
    [
        ({"free_mb": 3}, "disk", "3 MB free, a version takes 1,400"),
        ({"writable": False}, "disk", "~/shapefarm cannot be written; choose another root"),
        ({"uv": "", "pip": False}, "uv", "neither uv nor pip is there; install uv there"),
        ({"gpu_trouble": "couldn't communicate"}, "GPU", "couldn't communicate; mend or load"),
        ({"roots": {"/data": "not there"}}, "storage", "/data not there; mount the lab's"),
        ({"redis": {"worker": "Connection refused"}}, "Redis", "refused (worker); does it run"),
        ({"redis": {"worker": "WRONGPASS no"}}, "Redis", "passwords in [redis] must be"),
        ({"redis": {"worker": "CERTIFICATE_VERIFY_FAILED"}}, "Redis", "ca_file in [redis]"),
        ({"linger": False}, "keeping", "sudo loginctl enable-linger farm"),
    ],
)
def test_what_is_missing_is_told_with_the_remedy(
    facts: dict[str, Any], about: str, words: str
) -> None:
    found = told(machine(**facts))

    assert list(found) == [about]
    assert words in found[about]


def test_a_gpu_that_is_not_there_is_named() -> None:
    assert "no GPU 3; there are 0, 1" in told(machine(gpus=cards(2)), gpus=(0, 3))["GPU"]


def test_what_needs_no_gpu_is_not_told_of_its_trouble() -> None:
    assert told(machine(gpu_trouble="no driver"), roles=("controller",)) == {}


def test_no_systemd_is_a_fault_only_where_it_is_asked_for() -> None:
    found = machine(systemd=False, linger=False)

    assert told(found) == {}
    assert "does not answer" in told(found, supervision="systemd")["keeping"]


def test_a_clock_is_late_only_when_that_is_certain() -> None:
    assert list(late(ahead_s=-2.5, unsure_s=0.6)) == []
    (problem,) = late(ahead_s=-2.5, unsure_s=0.1)
    assert "2.5 s behind" in problem.what


def test_a_folder_of_the_same_name_elsewhere_is_told_of_the_host_that_is_alone() -> None:
    shared = frozenset({"run-a", "run-b"})
    seen = {
        "a": {"/data": shared, "/scratch": frozenset({"run-a", "run-b", "run-c"})},
        "b": {"/data": shared, "/scratch": frozenset({"run-a", "run-b", "run-c"})},
        "c": {"/data": frozenset({"run-c"}), "/scratch": frozenset({"run-a", "run-b", "run-c"})},
    }

    found = strangers(seen)

    assert list(found) == ["c"]
    assert [problem.what for problem in found["c"]] == ["/data is not the folder of that name on a"]


def test_hosts_with_other_folders_are_not_compared() -> None:
    assert strangers({"a": {"/x": frozenset("1")}, "b": {"/y": frozenset("2")}}) == {}
