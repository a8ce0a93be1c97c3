"""The farm.toml of a machine is what the farm itself reads, and holds no secret."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from deploy import farm_toml
from deploy.access import access
from deploy.inventory import Redis
from deploy.place import Place
from farm.settings import Settings, load
from tests.deploy.machines import host

PLACE = Place(PurePosixPath("/home/farm/shapefarm"))


def read(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "farm.toml"
    file.write_text(text)
    return load({"FARM_CONFIG": str(file)})


def test_it_says_where_redis_is_by_whom_and_what_the_inventory_adds(tmp_path: Path) -> None:
    redis = Redis(url="rediss://server:7000/1", passwords=tmp_path, ca_file=tmp_path / "ca.pem")
    one = host(
        storage_roots=("/data", "s3://bucket"),
        settings={"lease_s": 9.5, "kind_packages": ["a", "b"], "yield_to_people": True},
    )

    found = read(tmp_path, farm_toml.text(one, redis, "worker", PLACE))

    assert found.broker_url == "rediss://worker@server:7000/1"
    assert found.broker_password_file == Path("/home/farm/shapefarm/secrets/worker")
    assert found.broker_ca_file == Path("/home/farm/shapefarm/secrets/ca.pem")
    assert found.home == Path("/home/farm/shapefarm/state")
    assert found.storage_roots == ("/data", "s3://bucket")
    assert (found.lease_s, found.kind_packages) == (9.5, ("a", "b"))
    assert found.yield_to_people


def test_passwords_are_read_before_any_host_is_asked_and_never_shown(tmp_path: Path) -> None:
    redis = Redis(url="redis://server/0", passwords=tmp_path)
    (tmp_path / "worker").write_text("geheim\n")

    found = access(redis, [host()])

    assert found.pairs(host()) == [("worker", "geheim")]
    assert "geheim" not in repr(found)
    with pytest.raises(ValueError, match=r"controller: No such file.*farm deploy redis --out DIR"):
        access(redis, [host(roles=("controller",))])
