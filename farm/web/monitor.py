"""Flower, behind the login of the farm's pages.

Flower answers at /metrics and /healthcheck to everyone, whatever it is configured with, and takes
its secrets on a command line. So it runs inside this process, under /flower/, and a request comes
to it only after it was seen to be somebody's who is logged in; of what is not a GET only the table
of tasks gets through.
"""

from __future__ import annotations

import logging
import os
import socket
from typing import Any
from urllib.parse import urlencode

import tornado.httputil
import tornado.routing
from flower.app import Flower

from farm.address import redis_url
from farm.child import die_with_parent
from farm.metrics import Metrics
from farm.own_log import configure
from farm.settings import Settings
from farm.store import Store, connect
from farm.web import password
from farm.web.flower import PREFIX, embedded
from farm.web.login import Handler, Needs
from farm.web.metrics import METRICS
from farm.web.password import Secrets
from farm.web.server import Place, application, serve

log = logging.getLogger(__name__)


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
