"""/metrics is for whoever has the token, or is logged in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farm.metrics import Metrics
from farm.settings import Settings
from farm.web import password
from farm.web.metrics import METRICS


@pytest.fixture
def browser(browse: Any, store: Any, tmp_path: Path) -> Iterator[Any]:
    metrics = Metrics(Settings(home=tmp_path), store)
    with browse([METRICS], tmp_path, metrics=metrics) as browser:
        yield browser
    metrics.close()


def test_a_stranger_gets_no_figures(browser: Any) -> None:
    assert browser.send("GET", "/metrics").status == 401
    assert browser.get("/metrics").status == 302
    assert browser.send("GET", "/metrics", Authorization="Bearer guessed").status == 401


def test_the_token_opens_them(browser: Any, tmp_path: Path) -> None:
    token = password.load(tmp_path).token

    answer = browser.send("GET", "/metrics", Authorization=f"Bearer {token}")

    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert "farm_redis_up 1.0" in answer.text


def test_a_login_opens_them(browser: Any, tmp_path: Path) -> None:
    browser.login(password.load(tmp_path).password)

    assert "farm_redis_up 1.0" in browser.get("/metrics").text
