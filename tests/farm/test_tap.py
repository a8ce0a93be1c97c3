"""Celery's consumer, between Redis and a worker."""

from __future__ import annotations

from types import SimpleNamespace

import kombu

from farm.app import make_app, send
from farm.settings import load
from farm.worker import Idle, Tap


def test_a_message_whose_acknowledgement_failed_holds_up_no_other(store, server, tmp_path):
    app = make_app(load({"FARM_HOME": str(server)}, cwd=tmp_path))
    for task in ("t0", "t1"):
        send(app, "count", "j", task, None)
    with app.connection() as connection:
        channel, got = connection.default_channel, []
        channel.basic_qos(0, 1, False)
        tasks = kombu.Consumer(
            channel, [app.amqp.queues["count"]], accept=["json"],
            callbacks=[lambda body, message: got.append(body)],
        )  # fmt: skip
        tasks.consume()
        connection.drain_events(timeout=10)  # and no acknowledgement
        consumer = SimpleNamespace(task_consumer=tasks, call_soon=lambda function: function())
        tap = Tap(SimpleNamespace(consumer=consumer), ["count"])
        assert not channel.qos.can_consume()

        assert not tap.free()  # it may just have come
        assert tap.free()

        assert channel.qos.can_consume()
        assert not tap.free()
    assert [args for args, *_ in got] == [["j", "t0"]]
    assert store.queue_length("count") == 2


def test_a_worker_is_idle_since_messages_wait_or_the_last_one_came():
    idle = Idle(100.0)

    assert idle.seconds(102.0, waits=False, heard=0.0) == 0.0
    assert idle.seconds(104.0, waits=True, heard=0.0) == 2.0
    assert idle.seconds(106.0, waits=True, heard=105.0) == 1.0
    assert idle.seconds(108.0, waits=False, heard=105.0) == 0.0


def test_a_redis_that_was_away_leaves_celery_time_to_find_it():
    idle = Idle(100.0)
    idle.seconds(102.0, waits=True, heard=0.0)

    assert idle.seconds(130.0, waits=True, heard=0.0) == 0.0
    assert idle.seconds(132.0, waits=True, heard=0.0) == 2.0
