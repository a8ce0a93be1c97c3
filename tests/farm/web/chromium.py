"""A real Chromium, headless, driven by its own protocol: one page, and what it complains of."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import tornado.websocket

PROGRAM = shutil.which("chromium") or shutil.which("google-chrome")
PATIENCE_S = 60.0


class Page:
    """The one page of a browser."""

    def __init__(self, socket: tornado.websocket.WebSocketClientConnection):
        self._socket = socket
        self._calls = 0
        self.complaints: list[str] = []
        """What its console tells: what a policy forbade, scripts that failed."""

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._calls += 1
        message = {"id": self._calls, "method": method, "params": parameters}
        await self._socket.write_message(json.dumps(message))
        while True:
            text = await asyncio.wait_for(self._socket.read_message(), PATIENCE_S)
            assert text is not None, "the browser is gone"
            event = json.loads(text)
            if event.get("id") == self._calls:
                found: dict[str, Any] = event.get("result", event)
                return found
            if event.get("method") == "Log.entryAdded":
                self.complaints.append(event["params"]["entry"]["text"])
            if event.get("method") == "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(event["params"]["exceptionDetails"]))

    async def run(self, script: str) -> Any:
        """The value of an expression."""
        answer = await self.call("Runtime.evaluate", expression=script, awaitPromise=True)
        return answer.get("result", {}).get("value")

    async def until(self, script: str) -> None:
        """Wait for an expression to be true."""
        deadline = time.monotonic() + PATIENCE_S
        while not await self.run(script):
            assert time.monotonic() < deadline, f"waited in vain for {script}"
            await asyncio.sleep(0.05)

    async def log_in(self, url: str, password: str) -> None:
        await self.call("Page.navigate", url=url)
        await self.until("!!document.querySelector('input[name=password]')")
        await self.run(
            f"document.querySelector('input[name=password]').value = {json.dumps(password)};"
            "document.querySelector('form').submit()"
        )
        await self.until("location.pathname != '/login' && document.readyState == 'complete'")


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Page]:
    """Start it with a profile of its own; it ends with the block."""
    assert PROGRAM
    with tempfile.TemporaryDirectory(prefix="farm-chromium-", ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [PROGRAM, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
             f"--user-data-dir={folder}", "--window-size=1280,720", "about:blank"],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert process.stderr
            said = (re.search(r"listening on ws://([^/]+)", line) for line in process.stderr)
            place = next(found[1] for found in said if found)
            with urllib.request.urlopen(f"http://{place}/json") as answer:
                pages = json.load(answer)
            address = next(page for page in pages if page["type"] == "page")["webSocketDebuggerUrl"]
            socket = await tornado.websocket.websocket_connect(address)
            page = Page(socket)
            for domain in ("Page", "Runtime", "Log"):
                await page.call(f"{domain}.enable")
            yield page
            socket.close()
            while await socket.read_message() is not None:
                pass
        finally:
            process.terminate()
            process.wait()
            assert process.stderr
            process.stderr.close()
