"""Servers of the farm's pages for the tests: in this process, on a free port, spoken to by HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tornado", reason="the extra `monitor` is not installed")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def cookies(self) -> list[str]:
        return self.headers.get_all("Set-Cookie") or []


@dataclass
class Browser:
    """Keeps cookies, as a browser does, and follows no redirect."""

    port: int
    jar: dict[str, str] = field(default_factory=dict)

    def send(self, method: str, path: str, body: str | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.jar:
            sent.setdefault("Cookie", "; ".join(f"{k}={v}" for k, v in self.jar.items()))
        if body is not None:
            sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
        finally:
            connection.close()
        for cookie in answer.cookies:
            name, _, value = cookie.partition(";")[0].partition("=")
            if value.strip('"'):
                self.jar[name] = value
            else:
                self.jar.pop(name, None)
        return answer

    def get(self, path: str, **headers: str) -> Answer:
        return self.send("GET", path, **{"Accept": "text/html", **headers})

    def token(self, page: str = "/login") -> str:
        """The token that a form of a page would send."""
        found = re.search(r'name="_xsrf" value="([^"]+)"', self.get(page).text)
        assert found, f"{page} has no form"
        return found[1]

    def post(self, path: str, _page: str = "/login", **fields: str) -> Answer:
        """Send a form as a person does who has it before him."""
        return self.send(
            "POST", path, urllib.parse.urlencode({"_xsrf": self.token(_page), **fields})
        )

    def login(self, password: str, **fields: str) -> Answer:
        return self.post("/login", password=password, **fields)


@contextlib.contextmanager
def served(app: Any, place: Any) -> Iterator[int]:
    """The port on which an application answers, in a thread of its own."""
    from farm.web import server

    loop = asyncio.new_event_loop()
    ready = threading.Event()
    found: dict[str, Any] = {}

    async def begin() -> None:
        found["server"], url = server.listen(app, place)
        found["port"] = urllib.parse.urlsplit(url).port
        ready.set()

    async def end() -> None:
        found["server"].stop()
        await found["server"].close_all_connections()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(begin())
        loop.run_forever()
        loop.run_until_complete(end())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(30)
    try:
        yield int(found["port"])
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)


@pytest.fixture(scope="session")
def browse() -> Callable[..., contextlib.AbstractContextManager[Browser]]:
    """`with browse(routes, home, private=True) as browser:`"""

    @contextlib.contextmanager
    def open_(routes: list[Any], home: Path, **more: Any) -> Iterator[Browser]:
        from farm.web import password
        from farm.web.server import Place, application

        place = Place(port=0)
        app = application(routes, password.load(home), place, title="test", **more)
        with served(app, place) as port:
            yield Browser(port)

    return open_


@pytest.fixture(scope="session")
def browser_at() -> Callable[[int], Browser]:
    """A browser at a port of this machine."""
    return Browser
