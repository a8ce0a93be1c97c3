"""Hosts for the tests in here and beside."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.hosts import Lab, missing


@pytest.fixture(scope="session")
def lab_possible() -> None:
    """Skips, with the reason, on a machine that cannot have a lab."""
    if why := missing():
        pytest.skip(why)


@pytest.fixture(scope="session")
def lab(lab_possible: None) -> Iterator[Lab]:
    """Three hosts, each with a disk of its own, and a server with a Redis."""
    with Lab(hosts=3, disk_mb=64) as lab:
        yield lab
