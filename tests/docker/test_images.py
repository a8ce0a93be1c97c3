"""The images, built in plain roots, and the farm of docker/compose.yaml made of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from renderer.dataset.verify import verify
from renderer.shards import Dataset
from tests.docker.build import Built
from tests.docker.project import Project, project

pytestmark = pytest.mark.slow
FIRST, REST = "redis", ("controller", "renderer", "trainer", "monitor", "dashboard")
JOB = ("--shapes", "samples/mugs", "--limit", "1", "--views", "2", "--size", "48", "--spp", "2")

LOGIN = """
import http.cookiejar, re, sys, urllib.parse, urllib.request as web
url, password = sys.argv[1:]

class Stay(web.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None

class Jar(http.cookiejar.DefaultCookiePolicy):
    return_ok_secure = lambda *_: True  # as browsers do for loopback

jar = http.cookiejar.CookieJar(Jar())
opener = web.build_opener(web.HTTPCookieProcessor(jar), Stay)
form = opener.open(url).read().decode()
xsrf = re.search('name="_xsrf" value="([^"]+)"', form)[1]
data = urllib.parse.urlencode({"password": password, "_xsrf": xsrf}).encode()
try:
    print(opener.open(url, data).status, end=" ")
except web.HTTPError as answer:
    print(answer.code, end=" ")
print(opener.open(url.partition("login")[0]).status, end="")
"""


@pytest.fixture(scope="module")
def running(
    model: Mapping[str, Any], images: Mapping[str, Built], folder: Path
) -> Iterator[Project]:
    """`docker compose up`."""
    (folder / "run").mkdir()
    with project(model, images, folder / "run") as found:
        found.start(FIRST)
        found.wait_until_well(FIRST)
        for name in REST:
            found.start(name)
        yield found


def test_every_line_of_the_dockerfiles_runs_and_all_images_have_the_same_farm(
    images: Mapping[str, Built], folder: Path
) -> None:
    told = {
        name: built.container(folder / f"version-{name}").run(["farm", "--version"])
        for name, built in images.items()
        if built.image.entrypoint == ("farm",)
    }

    assert len(told) == 3
    assert len(set(told.values())) == 1
    assert "+" in told["shapefarm"]  # a wheel's build, so that workers know the controller's


def test_the_services_become_well(running: Project) -> None:
    for name in REST:
        running.wait_until_well(name)

    workers = json.loads(running.run("farm", "workers", "--json"))["workers"]
    assert {worker["role"] for worker in workers} == {"render", "train"}


def test_a_job_goes_through_them_from_the_command_to_the_dataset(
    running: Project, folder: Path
) -> None:
    told = running.run("farm", "submit", "render", *JOB, "--out", "/data/mugs")

    made = folder / "run" / "volumes" / "data" / "mugs"
    assert "1 shape, 2 images" in told
    assert not verify(made, processes=1).problems
    assert len(Dataset(made)[0].views) == 2
    owners = {path.stat().st_uid for path in made.iterdir()}
    assert owners == {int(running.model["services"]["renderer"]["user"])}


def test_the_pages_answer_and_ask_for_the_password_that_they_share(
    running: Project, folder: Path
) -> None:
    password = (folder / "run" / "volumes" / "pages" / "web" / "password").read_text().strip()

    for name, port in (("monitor", 5555), ("dashboard", 5556)):
        url = f"http://127.0.0.1:{port}/login?next=/"
        page = running.running[name].printed(["python", "-c", LOGIN, url, password])
        assert page == "303 200", name


def test_no_password_is_on_a_command_line_or_in_an_environment(
    running: Project, docker: Path
) -> None:
    passwords = [path.read_text().strip() for path in (docker / "redis" / "secrets").iterdir()]
    first = [service.process for service in running.running.values()]
    processes = [p for top in first if top for p in (top, *top.children(recursive=True))]

    told = [f"{p.cmdline()} {p.environ()}" for p in processes if p.status() != psutil.STATUS_ZOMBIE]

    assert len(told) >= len(first)
    assert not [text for text in told if any(password in text for password in passwords)]


def test_what_is_not_a_volume_cannot_be_written(running: Project) -> None:
    renderer = running.running["renderer"]

    assert not renderer.well(["touch", "/opt/farm/written"])
    assert not renderer.well(["touch", "/etc/written"])
    assert renderer.well(["touch", "/tmp/written", "/data/written"])


def test_all_end_in_time_when_told_to(running: Project) -> None:
    codes = {name: running.stop(name) for name in (*reversed(REST), FIRST)}

    assert set(codes.values()) == {0}, codes
