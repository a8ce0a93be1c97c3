"""Configuration comes from farm.toml and FARM_* variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.settings import Settings, load


def test_a_variable_wins_over_the_file(tmp_path):
    (tmp_path / "farm.toml").write_text('broker_url = "redis://lab/0"\nlease_s = 7\ntries = 5\n')

    settings = load({"FARM_LEASE_S": "9", "FARM_HOME": str(tmp_path / "h")}, cwd=tmp_path)

    assert (settings.broker_url, settings.lease_s, settings.tries) == ("redis://lab/0", 9.0, 5)
    assert settings.home == tmp_path / "h"
    assert not settings.private


def test_a_child_gets_the_very_same_settings(tmp_path):
    settings = load(
        {
            "FARM_HOME": "h", "FARM_KIND_PACKAGES": "a.jobs, b.jobs", "FARM_SAMPLES_ROOT": "~/s",
            "FARM_YIELD_TO_PEOPLE": "yes", "FARM_WORK_HOURS": "20:00-08:00, weekends",
        },
        cwd=tmp_path,
    )  # fmt: skip

    assert settings.yield_to_people is True and settings.yield_to_gpu is False
    assert load(settings.environment(), cwd=Path("/")) == settings
    assert settings.kind_packages == ("a.jobs", "b.jobs")
    assert settings.samples_root == Path.home() / "s"


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"FARM_TRIES": "many"}, "FARM_TRIES ('many') must be a int of at least 0"),
        ({"FARM_LEASE_S": "-1"}, "FARM_LEASE_S ('-1') must be a float of at least 0"),
        ({"FARM_YIELD_TO_GPU": "maybe"}, "FARM_YIELD_TO_GPU ('maybe') must be true or false"),
        ({"FARM_WORK_HOURS": "20-8"}, "work_hours ('20-8'): spans such as 20:00-08:00"),
        ({"FARM_CONFIG": "no.toml"}, "no.toml: no such file"),
    ],
)
def test_a_wrong_value_is_told_by_name(environ, told, tmp_path):
    with pytest.raises(ValueError) as refused:
        load(environ, cwd=tmp_path)

    assert told in str(refused.value)


def test_an_unknown_key_is_told_with_those_there_are(tmp_path):
    (tmp_path / "farm.toml").write_text("lease = 7\n")

    with pytest.raises(ValueError, match=r"unknown setting 'lease'; there are .*lease_s"):
        load({}, cwd=tmp_path)


def test_nothing_configured_is_a_private_farm(tmp_path):
    settings = load({}, cwd=tmp_path)

    assert settings == Settings(home=Path("~/.local/state/farm").expanduser())
    assert settings.private
