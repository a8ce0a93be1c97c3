"""The private Redis."""

from __future__ import annotations

import os
import stat
import subprocess
import time

import pytest
import redis

from farm import broker
from farm.errors import BrokerFailed


def test_a_server_is_found_and_new_enough():
    assert broker.version(broker.server()) >= broker.OLDEST


def test_a_long_home_gets_a_short_socket_in_a_private_folder(tmp_path):
    home = tmp_path / ("a" * 60) / ("b" * 60)

    path = broker.socket_path(home)

    assert len(os.fsencode(path)) < 100
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path == broker.socket_path(home)
    other = broker.socket_path(home / "c")
    assert path != other
    for longer in (home, home / "c"):
        broker.forget(longer)
    assert not path.parent.exists()
    assert not other.parent.exists()


def test_a_socket_folder_of_another_kind_is_refused(tmp_path):
    (tmp_path / "redis").symlink_to(tmp_path)

    with pytest.raises(BrokerFailed, match="belongs to somebody else"):
        broker.socket_path(tmp_path)


def test_it_keeps_what_it_was_told_when_it_is_killed(tmp_path_factory, wait):
    home = tmp_path_factory.mktemp("r")
    for turn in ("write", "read"):
        process = subprocess.Popen(broker.command(home), stdout=subprocess.DEVNULL)
        client = redis.Redis.from_url(broker.url(home), decode_responses=True)
        wait(client.ping)
        if turn == "write":
            client.set("farm", "1")
            time.sleep(1.2)  # it writes to the disk every second
        else:
            assert client.get("farm") == "1"
            assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
            assert stat.S_IMODE(broker.socket_path(home).stat().st_mode) == 0o700
        client.close()
        process.kill()
        process.wait()
