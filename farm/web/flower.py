"""Flower as a part of this process: configured for a farm, made lean, made careful.

It looks and cannot touch: it is read-only and its API stays closed. Whoever serves it stands in
front of it (farm.web.monitor).
"""

from __future__ import annotations

import hashlib
import logging
import re
import ssl
import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flower
import tornado.httputil
import tornado.ioloop
import tornado.template
import tornado.web
from celery.events import EventReceiver
from flower.app import Flower
from flower.events import Events
from flower.options import default_options
from flower.urls import settings as flower_settings
from kombu.entity import Queue

from farm.app import TASK, make_app
from farm.roles import ROLES, queues
from farm.settings import Settings

log = logging.getLogger(__name__)

PREFIX = "/flower"
MOST_TASKS = 20_000  # about 110 MB; what is older, `farm status` and the dashboard still tell
MOST_WORKERS = 5_000
OFFLINE_S = 60
AGAIN_S = 2.0
COLUMNS = "name,args,state,result,worker,received,runtime,uuid"
ARGUMENTS = re.compile(r"""[(\[]'(\w+)', '([^']*)'[)\]]""")
"""Of a message, as Celery's events tell them: job and task."""


def embedded(settings: Settings) -> Flower:
    """Flower for this farm, as a tornado application; its events are not started."""
    for name, value in {
        "url_prefix": PREFIX.strip("/"),
        "read_only": True,
        "purge_offline_workers": OFFLINE_S,
        "tasks_columns": COLUMNS,
        "format_task": teller(),
    }.items():
        setattr(default_options, name, value)
    app = make_app(settings)
    # The page of the broker shows the length of these.
    app.conf.task_default_queue = ROLES[0]
    app.conf.task_queues = [
        Queue(queue)  # type: ignore[no-untyped-call]
        for queue in sorted({queue for role in ROLES for queue in queues(role)})
    ]
    if settings.broker_ca_file:
        app.conf.broker_use_ssl = {
            "ssl_cert_reqs": ssl.CERT_REQUIRED,
            "ssl_ca_certs": str(settings.broker_ca_file),
        }
    loop = tornado.ioloop.IOLoop.current()
    events = Listener(
        app,
        loop,
        enable_events=False,  # workers send them unasked
        max_tasks_in_memory=MOST_TASKS,
        max_workers_in_memory=MOST_WORKERS,
    )
    events.state.metrics = Uncounted()
    return Flower(
        capp=app,
        options=default_options,
        events=events,
        io_loop=loop,
        transforms=[Careful],
        **{
            **flower_settings,
            "static_url_prefix": f"{PREFIX}/static/",
            "login_url": "/login",
        },
    )


class Listener(Events):  # type: ignore[misc]
    """Flower's ear for events, which listens again soon after a Redis that was away is back;
    Flower's own waits twice as long every time."""

    def run(self) -> None:
        while True:
            try:
                with self.capp.connection() as connection:
                    receiver = EventReceiver(connection, {"*": self.on_event}, app=self.capp)
                    receiver.capture(limit=None, timeout=None, wakeup=False)
            except Exception as error:
                log.warning("no events: %s", error)
            time.sleep(AGAIN_S)


class Uncounted:
    """In the place of Flower's own metrics, which keep a histogram for every name at every worker
    for ever; the farm's are at /metrics."""

    def observe_task(self, worker: str, event: Any, task: Any) -> None: ...

    def observe_worker(self, worker: str, event: Any) -> None: ...

    def remove_workers(self, worker_names: Any) -> int:
        return 0


def teller() -> Callable[[Any], Any]:
    """A function that says what a task is called in the table: its kind and job, and beside them
    its own name in place of arguments.

    Every message of a job has one name (farm.app.shown); the arguments say which task it is.  One
    that no worker has received yet is known by Celery's name alone, and its job by another's.
    """
    names: dict[str, str] = {}

    def told(task: Any) -> Any:
        if found := ARGUMENTS.fullmatch(task.args or ""):
            job, task.args = found.groups()
            if task.name and task.name != TASK:
                names[job] = task.name
            else:
                task.name = names.get(job, job)
        return task

    return told


class Careful(tornado.web.OutputTransform):
    """The headers of the farm's own pages on Flower's as well."""

    def transform_first_chunk(
        self,
        status_code: int,
        headers: tornado.httputil.HTTPHeaders,
        chunk: bytes,
        finishing: bool,
    ) -> tuple[int, tornado.httputil.HTTPHeaders, bytes]:
        for name, value in HEADERS.items():
            headers[name] = value
        for name in ("Server", "Access-Control-Allow-Origin"):
            if name in headers:
                del headers[name]
        return status_code, headers, chunk


def _scripts() -> str:
    """CSP sources of what stands inline in Flower's templates, which nobody but Flower writes."""
    found = []
    for path in sorted((Path(flower.__file__).parent / "templates").glob("*.html")):
        inline = re.findall(r"<script(?![^>]* src=)[^>]*>(.*?)</script>", path.read_text(), re.S)
        for script in inline:
            text = tornado.template.filter_whitespace("single", script)  # as it is rendered
            text = text.replace("{{ autorefresh }}", "1")
            digest = hashlib.sha256(text.encode()).digest()
            found.append(f"'sha256-{b64encode(digest).decode()}'")
    return " ".join(found)


HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        f"script-src 'self' {_scripts()}; connect-src 'self'; font-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
