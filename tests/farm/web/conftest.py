"""Servers of the farm's pages for the tests."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tornado", reason="the extra `monitor` is not installed")

from tests.farm.web.serving import Browser, served


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
