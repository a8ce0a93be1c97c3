"""What the farm hears of a Redis that is there and yet cannot do what it is asked."""

from __future__ import annotations

import pytest
import redis

from farm.client import AWAY
from farm.records import JobRecord

JOB = JobRecord(id="j", kind="count", role="count", job="{}", state="")


@pytest.fixture
def full(store):
    """A Redis that has no room for anything more."""
    store.client.config_set("maxmemory", 1)
    yield store
    store.client.config_set("maxmemory", 0)


def test_a_redis_that_has_no_room_is_one_that_is_away(full):
    with pytest.raises(AWAY, match="maxmemory"):
        full.client.set("a", "b")  # one command
    with pytest.raises(AWAY, match="maxmemory"):
        full.submit(JOB)  # several at once
    with pytest.raises(AWAY, match="maxmemory"):
        full.lock("me", 9.0)  # a script
    assert full.jobs() == []  # it can be read


def test_what_is_refused_for_good_is_not_waited_for(store):
    with pytest.raises(redis.ResponseError) as refused:
        store.client.execute_command("NO-SUCH-COMMAND")

    assert not isinstance(refused.value, AWAY)
