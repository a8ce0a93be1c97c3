"""Flower, behind the login of the farm's pages.

Flower answers at /metrics and /healthcheck to everyone, whatever it is configured with, and takes
its secrets on a command line. So it runs inside this process, under /flower/, and a request comes
to it only after it was seen to be somebody's who is logged in. It looks and cannot touch: it is
read-only, its API stays closed, and of what is not a GET only the table of tasks gets through.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import flower
import tornado.httputil
import tornado.ioloop
import tornado.routing
import tornado.template
import tornado.web
from celery.events import EventReceiver
from flower.app import Flower
from flower.events import Events
from flower.options import default_options
from flower.urls import settings as flower_settings
from kombu.entity import Queue

from farm.address import redis_url
from farm.app import TASK, make_app
from farm.child import die_with_parent
from farm.metrics import Metrics
from farm.own_log import configure
from farm.roles import ROLES, queues
from farm.settings import Settings
from farm.store import Store, connect
from farm.web import password
from farm.web.login import Handler, Needs
from farm.web.metrics import METRICS
from farm.web.password import Secrets
from farm.web.server import Place, application, serve

log = logging.getLogger(__name__)

PREFIX = "/flower"
MOST_TASKS = 20_000  # about 110 MB; what is older, `farm status` and the dashboard still tell
MOST_WORKERS = 5_000
OFFLINE_S = 60
AGAIN_S = 2.0
COLUMNS = "name,args,state,result,worker,received,runtime,uuid"
ARGUMENTS = re.compile(r"""[(\[]'(\w+)', '([^']*)'[)\]]""")
"""Of a message, as Celery's events tell them: job and task."""


class Front(tornado.routing.Router):
    """Our own pages for everyone; Flower's for whoever is logged in."""

    def __init__(self, settings: Settings, secrets: Secrets, place: Place, metrics: Metrics):
        self.settings, self.place = settings, place
        self.pages = application(
            [
                METRICS,
                ("/", Home),
                (f"{PREFIX}/worker/(.+)", Worker),
                (f"{PREFIX}.*", Door),
            ],
            secrets,
            place,
            title="Farm monitor",
            private=True,
            metrics=metrics,
        )
        self.flower: Flower | None = None

    def begin(self) -> None:
        """Start to collect events; in the loop that runs."""
        self.flower = embedded(self.settings)
        self.flower.events.start()

    def find_handler(
        self, request: tornado.httputil.HTTPServerRequest, **kwargs: Any
    ) -> tornado.httputil.HTTPMessageDelegate | None:
        path = request.path
        if (
            self.flower
            and path.startswith(f"{PREFIX}/")
            and not path.startswith(f"{PREFIX}/worker/")
        ):
            looks = request.method in ("GET", "HEAD") or path == f"{PREFIX}/tasks/datatable"
            if looks and Door(self.pages, request).opens:
                found: tornado.httputil.HTTPMessageDelegate = self.flower.find_handler(request)
                return found
        return self.pages.find_handler(request, **kwargs)


class Home(Handler):
    """Where to go from here, and how to leave."""

    needs = Needs.LOGIN

    def get(self) -> None:
        self.render("monitor.html", prefix=PREFIX)


class Door(Handler):
    """In front of all of Flower: what did not get through is told here to log in, or that it is
    not done this way."""

    needs = Needs.LOGIN

    @property
    def opens(self) -> bool:
        """Whether this request is from somebody who is logged in, and asks for us by our name."""
        hosts = self.guard.hosts
        return (hosts is None or self.host_asked in hosts) and self.current_user is not None

    def get(self) -> None:
        self.redirect(f"{PREFIX}/")


class Worker(Handler):
    """Workers of the farm take no questions from Celery: of one, its tasks are shown."""

    needs = Needs.LOGIN

    def get(self, name: str) -> None:
        self.redirect(f"{PREFIX}/tasks?" + urlencode({"worker": name}))


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


def main(settings: Settings, place: Place | None = None, with_parent: bool = False) -> int:
    """`farm monitor`; with_parent: die with the process that started this one.

    Raises ValueError where it cannot listen there.
    """
    if with_parent:
        die_with_parent()
    configure(settings, f"monitor@{socket.gethostname()}")
    logging.getLogger("tornado.access").setLevel(logging.WARNING)
    secrets = password.load(settings.home, settings.web_password_file)
    metrics = Metrics(settings, Store(connect(redis_url(settings), patience_s=0)))
    front = Front(settings, secrets, place or Place(port=settings.flower_port), metrics)

    def started(url: str) -> None:
        front.begin()
        print(f"Flower: {url}\nits password: cat {secrets.file}", flush=True)

    try:
        return serve(front, front.place, started)
    except ValueError as error:
        if not with_parent:
            raise
        log.error("%s", error)
        return os.EX_CONFIG
    finally:
        metrics.close()
