"""kill -9 of anything in the middle of a job: it runs on, or runs again, to the same result."""

from __future__ import annotations

import shutil
import signal
import time

import pytest

LINE = ("submit", "count", "--things", "n:40", "--seconds", "0.1")


@pytest.mark.parametrize("who", ["child", "worker", "controller", "redis", "supervisor"])
def test_a_job_survives_the_death_of(who, farm, wait, undisturbed):
    process = farm.start(*LINE, "--out", f"killed-{who}")
    wait(lambda: sum(farm.works(f"killed-{who}").values()) >= 6)

    victims = {
        "child": farm.children,
        "worker": farm.workers,
        "controller": lambda: [farm.controller()],
        "redis": lambda: [farm.redis()],
        "supervisor": lambda: [farm.supervisor()],
    }[who]()
    victims[0].kill()
    began = time.monotonic()
    result = farm.end(process, 60)

    assert result.returncode == 0, result.stderr
    assert farm.products(f"killed-{who}") == undisturbed
    assert time.monotonic() - began < 30
    works = farm.works(f"killed-{who}")
    assert sum(works.values()) - len(works) <= 2  # at most what was in flight was done twice


def test_ctrl_c_stops_everything_and_the_same_line_goes_on(own_farm, wait, undisturbed):
    farm = own_farm
    process = farm.start(*LINE, "--out", "stopped")
    wait(lambda: sum(farm.works("stopped").values()) >= 6)
    children = [farm.redis(), farm.controller(), *farm.workers(), *farm.children()]

    process.send_signal(signal.SIGINT)
    result = farm.end(process, 15)

    assert result.returncode == 130
    assert "the same line goes on" in result.stderr
    assert not [child for child in children if child.is_running()]
    assert farm.end(farm.start(*LINE, "--out", "stopped")).returncode == 0
    assert farm.products("stopped") == undisturbed
    assert set(farm.works("stopped").values()) == {1}


def test_ctrl_c_in_the_first_moment_says_that_it_stopped(own_farm, wait):
    process = own_farm.start(*LINE, "--out", "early")
    wait(lambda: (own_farm.home / "lock").exists())

    process.send_signal(signal.SIGINT)
    result = own_farm.end(process, 15)

    assert result.returncode == 130
    assert result.stderr.splitlines()[-1] == ("farm: interrupted; the same line goes on from here")


def test_storage_alone_suffices_to_go_on(own_farm, wait, undisturbed):
    farm = own_farm
    process = farm.start(*LINE, "--out", "emptied")
    wait(lambda: len(farm.products("emptied")) >= 3)

    with farm.store() as store:
        store.client.flushall()
    result = farm.end(process, 15)
    assert result.returncode == 1
    assert "the same line goes on from storage" in result.stderr
    farm.stop()
    shutil.rmtree(farm.home / "redis")

    assert farm.run(*LINE, "--out", "emptied").returncode == 0
    assert farm.products("emptied") == undisturbed
    works = farm.works("emptied")
    assert sum(works.values()) - len(works) <= 2
