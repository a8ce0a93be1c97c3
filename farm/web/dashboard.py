"""The dashboard: jobs, pipelines, datasets, runs and workers as pages; steering them needs a login.

Addresses hold ids, names of shards and numbers, each of a strict form, never paths. All reading is
done by a few threads, so that a slow disk holds up no other page.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import redis
import tornado.web

from farm import confine, local, steering
from farm.errors import FarmError
from farm.metrics import Metrics
from farm.roster import age
from farm.settings import Settings
from farm.store import Store
from farm.watch import duration
from farm.web import dag, pages
from farm.web.datasets import NotThere, Place
from farm.web.login import TELLS, Handler, Needs, Refused
from farm.web.metrics import METRICS
from farm.web.password import Secrets
from farm.web.server import Place as Address
from farm.web.server import application
from farm.web.svg import short
from farm.web.thumbnails import POINTS, SIDES, sheet
from farm.words import count
from renderer.members import PASSES
from renderer.shards import FAILED

log = logging.getLogger(__name__)

T = TypeVar("T")

ID = r"([0-9a-f]{12})"
SHARD, NUMBER = r"([a-z0-9][a-z0-9_-]{0,80}-\d{6,9})", r"(\d{1,6})"
KIND, SIZE = f"({'|'.join([*PASSES, POINTS])})", f"({'|'.join(SIDES)})"
VERB = f"({'|'.join([*steering.TURNS, 'retry'])})"
TASK = f"({confine.PLAIN.pattern})"
THREADS = 4
"""That read for pages, and as many for pictures."""
PATIENCE_S = 30.0
"""For a disk or a Redis that hangs."""
MAY_NOT = "As its user of Redis this dashboard may only look; as `submit` it may do this too."
FORBIDDEN = re.compile("NOPERM|user executing the script")
"""How a Redis says that a user may not, to a command and within a script."""
FOR_GOOD = "private, max-age=86400, immutable"
"""Of a picture whose address names its content: nobody's cache but the person's own keeps it."""
WATCHED_S = 20.0
"""A private farm rests no sooner than this after its dashboard was last there."""


class Page(Handler):
    """What reads the farm, in a thread."""

    pool = "pages"

    @property
    def farm(self) -> pages.Farm:
        farm: pages.Farm = self.application.settings["farm"]
        return farm

    async def read(self, work: Callable[..., T], *args: Any) -> T:
        """What work(*args) returns. Raises Refused for what is not there, or a Redis that is away.

        HTTPError's own and our mistakes pass.
        """
        pool: ThreadPoolExecutor = self.application.settings[self.pool]
        read = asyncio.get_running_loop().run_in_executor(pool, partial(work, *args))
        try:
            return await asyncio.wait_for(read, PATIENCE_S)
        except TimeoutError:
            log.warning("no answer in time path=%s", self.request.path)
            raise Refused(503, TELLS[503]) from None
        except NotThere as error:
            log.info("not there path=%s error=%s", self.request.path, error)
            raise Refused(404, TELLS[404]) from None
        except redis.RedisError as error:
            if isinstance(error, redis.ResponseError) and FORBIDDEN.search(str(error)):
                raise Refused(403, MAY_NOT) from None
            log.warning("no answer from Redis: %s", type(error).__name__)
            raise Refused(503, TELLS[503]) from None

    async def show(self, template: str, facts: Callable[..., dict[str, Any]], *args: Any) -> None:
        found = await self.read(facts, *args)
        self.render(template, **found)

    def number(self, name: str, most: int = 10_000_000) -> int:
        """A number of the query; 0 where it is missing or none."""
        text = self.get_query_argument(name, "0")
        return min(most, int(text)) if text.isascii() and text.isdigit() and len(text) < 9 else 0

    def get_template_namespace(self) -> dict[str, Any]:
        return {
            **super().get_template_namespace(),
            "age": age,
            "ago": ago,
            "count": count,
            "duration": duration,
            "graph": dag.draw,
            "short": short,
            "size": size,
            "picture": picture,
            "here": self.request.path,
            "uri": self.request.uri,
        }


class Overview(Page):
    async def get(self) -> None:
        await self.show("overview.html", self.farm.overview)


class Jobs(Page):
    async def get(self) -> None:
        await self.show("jobs.html", self.farm.jobs, self.number("page"))


class Workers(Page):
    async def get(self) -> None:
        await self.show("workers.html", self.farm.workers)


class Pipeline(Page):
    async def get(self, name: str) -> None:
        await self.show("pipeline.html", self.farm.pipeline_page, name)


class Job(Page):
    async def get(self, job: str) -> None:
        await self.show("job.html", self.farm.job_page, job)


class Log(Page):
    async def get(self, job: str, task: str) -> None:
        await self.show("log.html", self.farm.log, job, task)


class Shapes(Page):
    async def get(self, job: str) -> None:
        await self.show("shapes.html", self.farm.shapes, job, self.number("page"))


class Shape(Page):
    async def get(self, job: str, shard: str, number: str) -> None:
        await self.show("shape.html", self.farm.shape, job, shard, int(number))


class Picture(Page):
    """What is an image, and not a page."""

    pool = "pictures"

    async def send(self, work: Callable[..., bytes], *args: Any, type: str = "image/webp") -> None:
        data = await self.read(work, *args)
        self.set_header("Content-Type", type)
        self.set_header(
            "Cache-Control", FOR_GOOD if self.get_query_argument("v", "") else "no-store"
        )
        self.finish(data)


class ViewPicture(Picture):
    async def get(self, job: str, shard: str, number: str, view: str, kind: str, size: str) -> None:
        def made() -> bytes:
            folder = self.farm.folder(self.farm.job(job))
            return self.farm.thumbnails.view(folder, shard, int(number), int(view), kind, size)

        await self.send(made)


class PhotoPicture(Picture):
    async def get(self, job: str, name: str) -> None:
        def made() -> bytes:
            folder = self.farm.folder(self.farm.job(job))
            return self.farm.thumbnails.photo(folder, "photos", f"{name}.png")

        await self.send(made)


class FailedPicture(Picture):
    async def get(self, job: str, key: str) -> None:
        def made() -> bytes:
            folder = self.farm.folder(self.farm.job(job))
            return self.farm.thumbnails.photo(folder, FAILED, f"{key}.png")

        await self.send(made)


class SheetPicture(Picture):
    async def get(self, job: str, step: str) -> None:
        def made() -> bytes:
            return sheet(self.farm.folder(self.farm.job(job)), "samples", f"{step}.png")

        await self.send(made, type="image/png")


class DrawnPicture(Picture):
    async def get(self, job: str, name: str) -> None:
        def made() -> bytes:
            return sheet(self.farm.folder(self.farm.job(job)), "pictures", f"{name}.png")

        await self.send(made, type="image/png")


class Action(Page):
    """What changes something: by POST, after a login."""

    needs = Needs.LOGIN

    async def do(self, work: Callable[[], str], back: str) -> None:
        try:
            told = await self.read(work)
        except (ValueError, FarmError) as error:
            raise Refused(409, f"{error}.") from None
        log.info("asked address=%s told=%s", self.request.remote_ip, told)
        self.redirect(back, status=303)


class JobAction(Action):
    async def post(self, job: str, verb: str) -> None:
        def work() -> str:
            record, store = self.farm.job(job), self.farm.store
            if verb == "retry":
                return steering.retry_job(store, record)
            return steering.turn_job(store, record, verb)

        await self.do(work, f"/job/{job}")


class PipelineAction(Action):
    async def post(self, name: str, verb: str) -> None:
        def work() -> str:
            record, pipelines = self.farm.pipeline(name), self.farm.pipelines
            if verb == "retry":
                return steering.retry_pipeline(pipelines, record)
            return steering.turn_pipeline(pipelines, record, verb)

        await self.do(work, f"/pipeline/{name}")


class WorkerAction(Action):
    async def post(self, verb: str) -> None:
        name = self.get_body_argument("name", "")

        def work() -> str:
            store = self.farm.store
            if name not in {worker.name for worker in store.workers()}:
                raise NotThere(f"no worker {name}")
            if verb == "pause":
                store.pause(name)
            else:
                store.resume(name)
            return f"{verb} worker {name}"

        await self.do(work, "/workers")


ROUTES: list[Any] = [
    METRICS,
    (r"/", Overview),
    (r"/jobs", Jobs),
    (r"/workers", Workers),
    (r"/worker/(pause|resume)", WorkerAction),
    (rf"/pipeline/{ID}", Pipeline),
    (rf"/pipeline/{ID}/{VERB}", PipelineAction),
    (rf"/job/{ID}", Job),
    (rf"/job/{ID}/log/{TASK}", Log),
    (rf"/job/{ID}/shapes", Shapes),
    (rf"/job/{ID}/shape/{SHARD}/{NUMBER}", Shape),
    (rf"/job/{ID}/view/{SHARD}/{NUMBER}/{NUMBER}/{KIND}\.{SIZE}\.webp", ViewPicture),
    (rf"/job/{ID}/photo/(photo-\d{{1,9}})\.webp", PhotoPicture),
    (rf"/job/{ID}/failed/({pages.KEY.pattern})\.webp", FailedPicture),
    (rf"/job/{ID}/sheet/(\d{{8}})\.png", SheetPicture),
    (rf"/job/{ID}/drawn/((?:{'|'.join(pages.DRAWN)})(?:\.dark)?)\.png", DrawnPicture),
    (rf"/job/{ID}/{VERB}", JobAction),
]


def make(
    settings: Settings, store: Store, secrets: Secrets, address: Address, *, private: bool
) -> tornado.web.Application:
    """The dashboard of a farm.

    private  whether looking needs a login too
    """
    return application(
        ROUTES,
        secrets,
        address,
        title="shapefarm",
        private=private,
        farm=pages.Farm(settings, store),
        metrics=Metrics(settings, store),
        pages=ThreadPoolExecutor(THREADS, thread_name_prefix="page"),
        pictures=ThreadPoolExecutor(THREADS, thread_name_prefix="picture"),
    )


def keep_awake(settings: Settings, store: Store, ended: threading.Event) -> None:
    """Have a private farm stay while its pages are open, until `ended` is set."""
    while settings.private:
        try:
            if local.running(settings):
                local.wish(store, watched=str(time.time() + WATCHED_S))
        except (redis.RedisError, OSError):
            pass  # it was stopped: whoever starts it again finds these pages still here
        if ended.wait(WATCHED_S / 4):
            return


# --- how things are told --------------------------------------------------------------------------


def picture(
    job: str, place: Place, view: int | None = None, kind: str = "rgba", size: str = "s"
) -> str:
    """The address of a small picture; of the view that stands for a shape where none is named."""
    view = place.view if view is None else view
    way = f"/job/{job}/view/{place.shard}/{place.number}/{view}/{kind}.{size}.webp"
    return f"{way}?v={place.digest}"


def ago(moment: float) -> str:
    """`just now`, `5 min ago`, `3 d ago`."""
    seconds = time.time() - moment
    for length, word in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds / length:.0f} {word} ago"
    return "just now"


def size(number: float) -> str:
    """`1.2 GB`, as disks are sold."""
    for power, word in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= power:
            return f"{number / power:.3g} {word}"
    return f"{number:.0f} B"
