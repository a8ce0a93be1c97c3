"""Pages served in this process on a free port, and a browser that speaks plain HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import re
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


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

    ready = threading.Event()
    found: dict[str, Any] = {}

    async def answer() -> None:
        found["loop"], found["ended"] = asyncio.get_running_loop(), asyncio.Event()
        listening, url = server.listen(app, place)
        found["port"] = urllib.parse.urlsplit(url).port
        ready.set()
        await found["ended"].wait()
        await server.stop(listening)

    thread = threading.Thread(target=lambda: asyncio.run(answer()), daemon=True)
    thread.start()
    assert ready.wait(60)
    try:
        yield int(found["port"])
    finally:
        found["loop"].call_soon_threadsafe(found["ended"].set)
        thread.join(60)
