"""The Celery application: one task, JSON only, a queue per role.

Messages are acknowledged early and none is fetched ahead: leases decide (farm.store), so Redis
redelivery plays no part and a lost or doubled message costs nothing.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from celery import Celery

from farm.address import celery_url
from farm.settings import Settings

TASK = "farm.run"


def make_app(settings: Settings) -> Celery:
    """A fresh application for these settings; its task is registered by the worker."""
    app = Celery("farm", broker=celery_url(settings), set_as_current=False)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        result_accept_content=["json"],
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_acks_late=False,
        worker_disable_prefetch=True,
        worker_prefetch_multiplier=1,
        task_create_missing_queues=True,
        # Flower shows what these events say; nothing else depends on them.
        worker_send_task_events=True,
        task_send_sent_event=True,
        task_track_started=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # What can be told a worker from afar includes "stop": the farm says it through its own
        # records, and whoever may write messages to Celery need not be able to.
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_transport_options={
            "socket_timeout": 20.0,  # longer than kombu's BRPOP of 1 s; else a dead link hangs
            "socket_connect_timeout": 5.0,
            "health_check_interval": 25,
        },
    )
    return app


def shown(kind: str, job: str) -> str:
    """What a job's messages are called by Celery's events, and so in Flower.

    One name for a whole job: Flower keeps counts for every name it has met, for ever. Which task
    it is, its arguments tell.
    """
    return f"{kind} {job}"


def send(app: Celery, role: str, job: str, task: str, name: str | None, **options: Any) -> None:
    """Put one task's message into its role's queue; `name` is what it is called by events.

    Raises kombu's OperationalError.
    """
    app.send_task(TASK, args=[job, task], queue=role, ignore_result=True, shadow=name, **options)


def carried(message: str) -> tuple[str, str] | None:
    """Job and task of a message as it lies in its queue; None for one that is not the farm's."""
    try:
        job, task = json.loads(base64.b64decode(json.loads(message)["body"]))[0]
    except (ValueError, KeyError, TypeError, IndexError):
        return None
    return str(job), str(task)
