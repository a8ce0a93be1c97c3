"""The dashboard as a person sees it, in a real Chromium."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from farm import broker
from farm.records import PAUSED
from farm.settings import Settings
from farm.store import Store, connect
from farm.web import dashboard, password
from farm.web.server import Place
from tests.farm.web import lab
from tests.farm.web.chromium import PROGRAM, Page, chromium
from tests.farm.web.lab import PIPELINE, RENDER, TRAIN
from tests.farm.web.serving import served


class Browser:
    """The one page of a browser, for tests that wait for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, page: Page):
        self.page, self._wait = page, loop.run_until_complete

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._wait(self.page.call(method, **parameters))

    def run(self, script: str) -> Any:
        return self._wait(self.page.run(script))

    def until(self, script: str) -> None:
        self._wait(self.page.until(script))

    def open(self, address: str) -> None:
        """Go to a page, and wait until all of it is there."""
        self.ask("Page.navigate", url=address)
        self.until(f"location.href === {json.dumps(address)} && document.readyState === 'complete'")

    def picture(self) -> NDArray[np.int64]:
        """[H, W, 3] the window."""
        data = base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"])
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(np.int64)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if PROGRAM is None:
        pytest.skip("no Chromium on the PATH")
    with asyncio.Runner() as runner:
        started = chromium()
        page = runner.run(started.__aenter__())
        yield Browser(runner.get_loop(), page)
        runner.run(started.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def site(server: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Address of a dashboard, its store and its folder."""
    store = Store(connect(broker.url(server)))
    store.client.flushall()
    root = tmp_path_factory.mktemp("lab")
    lab.fill(store, root)
    settings, place = Settings(home=root / "home", broker_url=broker.url(server)), Place(port=0)
    app = dashboard.make(settings, store, password.load(settings.home), place, private=False)
    with served(app, place) as port:
        yield f"http://127.0.0.1:{port}", store, root
    store.client.close()


PICTURES = "[...document.images].every(i => i.complete && i.naturalWidth > 0)"


def pixels_of_shapes(browser: Browser) -> int:
    return int((np.abs(browser.picture() - lab.COLOUR).max(axis=2) < 24).sum())


def test_the_page_of_a_job_shows_its_shapes(browser: Browser, site: Any) -> None:
    browser.open(f"{site[0]}/job/{RENDER}")
    browser.until(PICTURES)

    assert browser.run("document.querySelectorAll('.sheet img').length") == 6
    # six tiles of some 90 x 90 px, a disc in each that fills two fifths of it and more
    assert pixels_of_shapes(browser) > 6 * 0.3 * 80 * 80


@pytest.mark.parametrize(
    "path", ["/", "/jobs", "/workers", f"/job/{RENDER}", f"/job/{TRAIN}", f"/pipeline/{PIPELINE}",
             f"/job/{RENDER}/shape/train-000001/1", f"/job/{RENDER}/shapes", "/login"],
)  # fmt: skip
def test_no_page_breaks_its_own_policy_or_overflows_a_phone(
    browser: Browser, site: Any, path: str
) -> None:
    browser.page.complaints.clear()
    browser.ask(
        "Emulation.setDeviceMetricsOverride",
        width=420,
        height=900,
        deviceScaleFactor=1,
        mobile=True,
    )
    browser.open(site[0] + path)
    browser.run("document.images.length")  # what it complained of has come by now
    too_wide = browser.run("document.documentElement.scrollWidth - innerWidth")
    browser.ask("Emulation.clearDeviceMetricsOverride")

    assert browser.page.complaints == []
    assert too_wide <= 0


def test_an_open_page_shows_what_was_made_since(browser: Browser, site: Any) -> None:
    address, store, root = site
    browser.open(f"{address}/job/{RENDER}")
    browser.run("document.querySelector('#shards').open = true; window.mark = 1")

    lab.add_shard(root / "cars", "train-000003", ["disc-3-0", "disc-3-1"])
    store.commit(RENDER, "train-000003", "", "", b"{}", {"shapes": 2})

    browser.until("document.querySelectorAll('.sheet img').length === 8")
    assert browser.run("window.mark") == 1  # it was not loaded again
    assert browser.run("document.querySelector('#shards').open")
    assert browser.run("document.querySelector('.unit .n').textContent") == "8 / 8"


def test_a_person_logs_in_and_pauses_a_job(browser: Browser, site: Any) -> None:
    address, store, root = site
    page = f"{address}/job/{RENDER}"
    browser.open(page)
    assert not browser.run("document.querySelectorAll('form button').length")

    browser.run("document.querySelector('.verbs a').click()")
    browser.until("location.pathname === '/login' && document.readyState === 'complete'")
    word = password.load(root / "home").password
    browser.run(
        f"document.querySelector('#password').value = '{word}';"
        "document.querySelector('button.primary').click()"
    )
    browser.until(f"location.href === '{page}' && document.readyState === 'complete'")
    browser.run("document.querySelector('form[action$=pause] button').click()")
    browser.until("document.querySelector('h1 .state')?.textContent === 'paused'")

    assert store.job(RENDER).state == PAUSED
