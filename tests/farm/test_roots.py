"""A private farm looks for shapes where the command that asks does, not where the first one did."""

from __future__ import annotations

from dataclasses import replace

from farm.controller import Controller
from farm.records import JobRecord
from farm.settings import Settings


def roots(farm):
    """What the processes that read shapes were told."""
    return farm.controller().environ().get("FARM_SHAPENET_ROOT")


def test_a_farm_that_rests_takes_the_roots_of_the_next_submit(own_farm, wait):
    one = replace(own_farm, more={"FARM_SHAPENET_ROOT": "/data/one"})
    two = replace(own_farm, more={"FARM_SHAPENET_ROOT": "/data/two"})
    assert one.run("up", "--workers", "1").returncode == 0
    wait(lambda: roots(one) == "/data/one")

    result = two.run("submit", "count", "--things", "n:4", "--out", "roots")

    assert result.returncode == 0, result.stderr
    assert roots(two) == "/data/two"
    with two.store() as store:
        kept = store.client.hgetall("farm:private")
    assert (kept["stay"], kept["workers"]) == ("1", "1")  # what `farm up` asked for


def test_a_farm_at_work_refuses_other_roots_and_names_both(own_farm, wait):
    one = replace(own_farm, more={"FARM_SHAPENET_ROOT": "/data/one"})
    two = replace(own_farm, more={"FARM_SHAPENET_ROOT": "/data/two"})
    words = ("submit", "count", "--things", "n:400", "--seconds", "1", "--no-wait")
    assert one.run(*words, "--out", "long").returncode == 0
    wait(lambda: roots(one) == "/data/one")

    refused = two.run("submit", "count", "--things", "n:4", "--out", "short")
    unset = own_farm.run("submit", "count", "--things", "n:8", "--out", "unset", "--no-wait")

    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert "FARM_SHAPENET_ROOT is /data/two here, and /data/one in the farm" in line
    assert "`farm down`" in line
    assert unset.returncode == 0  # it asks for no other folder


def test_in_a_lab_the_message_says_whose_variable_is_meant(store):
    store.submit(JobRecord(id="ab", kind="count", role="count", job="{}", state=""))
    controller = Controller(Settings(broker_url="redis://127.0.0.1/0"), store)

    controller.fail("ab", ValueError("no ShapeNet here; set FARM_SHAPENET_ROOT to its folder"))

    reason = store.job("ab").reason
    assert reason.startswith("no ShapeNet here; set FARM_SHAPENET_ROOT to its folder (on the contr")
