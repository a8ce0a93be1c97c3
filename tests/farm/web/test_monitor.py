"""Flower is there for whoever is logged in, shows the farm's tasks by name, and nothing leaks."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import re
import shutil
import socket
import tempfile
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("flower", reason="the extra `monitor` is not installed")

from flower.urls import handlers

from farm.app import TASK
from farm.web import password
from farm.web.flower import HEADERS, PREFIX, teller
from tests.deploy.locked import Locked, locked, wait
from tests.farm.web.chromium import PROGRAM, chromium


def concrete(pattern: str) -> str:
    """A path that a pattern of tornado's takes."""
    return re.sub(r"\(\.[+*]\)|\.\*", "x", pattern).removesuffix("?").removesuffix("$")


ROUTES = sorted(
    {concrete(each.regex.pattern if hasattr(each, "regex") else each[0]) for each in handlers}
)
PATHS = [f"{prefix}{path}" for prefix in ("", PREFIX) for path in ROUTES]
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")


@dataclass(frozen=True)
class Watched:
    """A lab's farm with a password, and `farm monitor` beside it."""

    lab: Locked
    url: str
    job: str

    @property
    def port(self) -> int:
        return urllib.parse.urlsplit(self.url).port or 0

    @property
    def home(self) -> Path:
        return self.lab.folder / "home" / "monitor"

    @property
    def log(self) -> str:
        return next(self.lab.folder.glob("monitor-monitor-*.log")).read_text()


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    folder = Path(tempfile.mkdtemp(prefix="farm-watched-"))
    with locked(folder) as lab:
        lab.start("controller", "controller")
        lab.start("worker", "worker", "count")
        monitor = lab.start("monitor", "monitor", "--port", "0")
        said = next(folder.glob("monitor-monitor-*.log"))
        wait(lambda: "Flower: http" in said.read_text() or monitor.poll() is not None)
        found = re.search(r"Flower: (\S+)", said.read_text())
        assert found, said.read_text()
        # Its events are lost to whoever does not listen yet.
        with contextlib.closing(lab.client("monitor")) as client:
            wait(lambda: client.smembers("_kombu.binding.celeryev"))
        words = ("count", "--things", "n:7", "bad-1", "--seconds", "0.1", "--out", "out", "--json")
        done = lab.run("submit", "submit", *words)
        assert done.returncode == 0, done.stderr + lab.logs()
        yield Watched(lab, found[1], json.loads(done.stdout)["job"])
    shutil.rmtree(folder)


@pytest.fixture
def stranger(watched: Watched, browser_at: Any) -> Any:
    return browser_at(watched.port)


@pytest.fixture
def browser(watched: Watched, browser_at: Any) -> Any:
    browser = browser_at(watched.port)
    assert browser.login(password.load(watched.home).password).status == 303
    return browser


def tasks(browser: Any) -> list[dict[str, Any]]:
    """The rows of Flower's table of tasks."""
    form = {
        "draw": "1",
        "start": "0",
        "length": "100",
        "order[0][column]": "0",
        "columns[0][data]": "received",
        "order[0][dir]": "asc",
    }
    answer = browser.send("POST", f"{PREFIX}/tasks/datatable", urllib.parse.urlencode(form))
    assert answer.status == 200
    found: list[dict[str, Any]] = json.loads(answer.text)["data"]
    return found


def test_flower_has_the_routes_that_are_walked():
    assert {"/metrics", "/healthcheck", "/tasks/datatable", "/api/task/apply/x"} <= set(ROUTES)
    assert len(ROUTES) > 25


def test_without_a_login_every_route_says_so_and_nothing_else(stranger: Any) -> None:
    answers = {
        (method, path): stranger.send(method, path, "" if method == "POST" else None).status
        for path in PATHS
        for method in METHODS
        if path not in ("/login", "/login/")
    }

    assert {status for status in answers.values() if not 300 < status < 500} == set(), answers
    assert stranger.get("/login").status == 200
    assert stranger.get(f"{PREFIX}/tasks").headers["Location"] == "/login?next=%2Fflower%2Ftasks"


def test_a_guessed_cookie_or_token_opens_nothing(stranger: Any, browser: Any) -> None:
    (name,) = [name for name in browser.jar if name.startswith("farm-")]
    forged = {"Cookie": f"{name}={browser.jar[name][:-4]}0000"}

    assert stranger.send("GET", f"{PREFIX}/metrics", **forged).status == 401
    assert stranger.send("GET", f"{PREFIX}/tasks", Authorization="Bearer x").status == 401
    assert stranger.send("GET", f"{PREFIX}/", Authorization="Basic OnB3").status == 401


def test_a_login_opens_flower(browser: Any) -> None:
    for page in ("/", f"{PREFIX}/", f"{PREFIX}/tasks", f"{PREFIX}/workers", f"{PREFIX}/broker"):
        assert browser.get(page).status == 200, page
    assert browser.get(f"{PREFIX}/metrics").text.startswith("# HELP")


def test_flower_has_the_headers_of_our_own_pages(browser: Any) -> None:
    for page in (f"{PREFIX}/tasks", f"{PREFIX}/static/js/flower.js", f"{PREFIX}/nowhere"):
        headers = browser.get(page).headers
        assert {name: headers[name] for name in HEADERS} == HEADERS, page
        assert headers["Server"] is None


def test_whoever_is_logged_in_can_look_and_not_touch(browser: Any) -> None:
    changed = {
        (method, path): status
        for path in PATHS
        for method in ("POST", "PUT", "DELETE", "PATCH")
        if path not in ("/login", "/logout", f"{PREFIX}/tasks/datatable")
        and (status := browser.send(method, path, "").status) < 400
    }
    opened = [path for path in PATHS if "/api/" in path and browser.get(path).status == 200]

    broken = [path for path in PATHS if browser.get(path).status >= 500]

    assert changed == {}
    assert opened == []
    assert broken == []


def test_a_page_of_another_name_is_not_flower(browser: Any) -> None:
    """A site whose name leads to this machine cannot use a visitor's login."""
    assert browser.get(f"{PREFIX}/tasks", Host="evil.example").status == 403


def test_tasks_are_told_by_name(watched: Watched, browser: Any) -> None:
    wait(lambda: [row for row in tasks(browser) if row["state"] == "SUCCESS"][1:])

    rows = [row for row in tasks(browser) if row["state"] == "SUCCESS"]

    assert [(row["name"], row["args"], row["worker"].partition("@")[0]) for row in rows] == [
        (f"count {watched.job}", "count-000000", "count-0"),
        (f"count {watched.job}", "count-000001", "count-0"),
    ]
    assert {row["result"] for row in rows} == {"'done'"}


@dataclass
class Shown:
    name: str
    args: str


def test_a_message_that_nobody_has_received_is_told_by_its_job() -> None:
    told = teller()
    sent = [Shown(TASK, "['3f2a', 'train-000012']") for _ in range(2)]

    first = told(sent[0])
    told(Shown("render 3f2a", "('3f2a', 'train-000011')"))
    second = told(sent[1])

    assert (first.name, first.args) == ("3f2a", "train-000012")
    assert (second.name, second.args) == ("render 3f2a", "train-000012")


def test_a_worker_leads_to_its_tasks(browser: Any) -> None:
    answer = browser.get(f"{PREFIX}/worker/count-0@host")

    assert answer.headers["Location"] == f"{PREFIX}/tasks?worker=count-0%40host"


def test_the_broker_page_has_the_queues(browser: Any) -> None:
    text = browser.get(f"{PREFIX}/broker").text

    assert all(queue in text for queue in ("render", "train", "cpu"))


def test_the_farms_own_figures_are_beside_it(watched: Watched, stranger: Any) -> None:
    token = password.load(watched.home).token

    answer = stranger.send("GET", "/metrics", Authorization=f"Bearer {token}")

    assert 'farm_units_total{unit="shapes"} 7.0' in answer.text
    assert "farm_controller_up 1.0" in answer.text


def test_no_secret_is_on_a_command_line_in_an_environment_a_log_or_a_page(
    watched: Watched, browser: Any
) -> None:
    known = password.load(watched.home)
    hidden = [known.password, known.token, known.key.hex()]
    hidden += [path.read_text().strip() for path in watched.lab.secrets.values()]
    (monitor,) = [process for process in watched.lab.processes if "monitor" in process.args]
    family = [psutil.Process(monitor.pid), *psutil.Process(monitor.pid).children(recursive=True)]

    told = [
        *(" ".join(process.cmdline()) for process in family),
        *(str(process.environ()) for process in family),
        watched.log,
        *(browser.get(path).text for path in PATHS if "static" not in path),
    ]

    assert f"its password: cat {known.file}" in watched.log
    assert not [secret for text in told for secret in hidden if secret in text]


def test_redis_refuses_nothing_that_flower_wants(watched: Watched, browser: Any) -> None:
    watched.lab.denied()

    browser.get(f"{PREFIX}/broker")
    tasks(browser)

    assert [entry for entry in watched.lab.denied() if entry["object"] != "client"] == []


def test_whoever_submits_reads_on_another_machine_what_a_worker_said(watched: Watched) -> None:
    words = ("logs", watched.job, "--task", "count-000001")

    here = watched.lab.run("submit", *words)
    well = watched.lab.run("submit", "logs", watched.job, "--task", "count-000000")

    assert "!! bad-1 failed as bad_input: as its name says" in here.stdout, here.stderr
    assert f"the last lines of count-0@{socket.gethostname()}; all are there" in here.stderr
    assert well.returncode == 2
    assert "it has not begun, or went well" in well.stderr


@pytest.mark.skipif(PROGRAM is None, reason="no Chromium is on the PATH")
def test_a_browser_shows_the_tasks_and_has_nothing_to_complain_of(watched: Watched) -> None:
    async def look() -> tuple[str, list[str]]:
        async with chromium() as page:
            secret = password.load(watched.home).password
            await page.log_in(f"{watched.url}login?next={PREFIX}/tasks", secret)
            await page.until("document.querySelectorAll('#tasks-table tbody tr').length > 1")
            text = await page.run("document.querySelector('#tasks-table').innerText")
            await page.call("Page.navigate", url=f"{watched.url}flower/workers")
            await page.until("document.body.innerText.includes('count-0@')")
            return str(text), page.complaints

    text, complaints = asyncio.run(look())

    assert f"count {watched.job}" in text
    assert "count-000001" in text
    assert [told for told in complaints if "Password forms should" not in told] == []


def test_beyond_this_machine_it_wants_tls(watched: Watched) -> None:
    done = watched.lab.run("monitor", "monitor", "--address", "0.0.0.0")

    assert done.returncode == 2
    assert "passwords need TLS; give --cert and --key" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_farm_up_has_it_beside_a_private_farm(own_farm: Any, browser_at: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own_farm = dataclasses.replace(own_farm, more={"FARM_FLOWER_PORT": str(port)})
    stranger = browser_at(port)

    said = own_farm.run("up", "--workers", "1").stdout
    wait(lambda: _answers(stranger))

    assert (
        f"Flower: http://127.0.0.1:{port}; its password: cat {own_farm.home}/web/password" in said
    )
    assert stranger.send("GET", f"{PREFIX}/healthcheck").status == 401
    secret = (own_farm.home / "web" / "password").read_text().strip()
    stranger.login(secret)
    assert stranger.get(f"{PREFIX}/healthcheck").text == "OK"


def _answers(browser: Any) -> bool:
    try:
        return bool(browser.get("/login").status == 200)
    except OSError:
        return False
