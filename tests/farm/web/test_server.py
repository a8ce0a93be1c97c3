"""Where pages listen, with and without TLS, and the command that shows them."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from farm import broker, local
from farm.settings import Settings
from farm.store import Store
from farm.web import password
from farm.web.login import Handler
from farm.web.server import Place, application, listen
from tests.farm.web.serving import Browser, served


class Hello(Handler):
    def get(self) -> None:
        self.write("hello")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Files with a certificate of this machine and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not on the PATH")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


def test_beyond_this_machine_pages_are_secret_on_their_way(
    certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    cert, key = certificate
    place = Place(port=0, address="0.0.0.0", cert=cert, key=key)
    app = application([("/", Hello)], password.load(tmp_path), place, title="test")
    with served(app, place) as port:
        trusted = ssl.create_default_context(cafile=str(cert))
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=trusted, timeout=60)
        connection.request("GET", "/login")
        answer = connection.getresponse()
        assert answer.status == 200
        assert "secure" in str(answer.headers["Set-Cookie"]).lower()
        answer.read()
        connection.request("GET", "/")  # what needs no login here needs one there
        assert connection.getresponse().status == 401
        connection.close()
        with pytest.raises((http.client.HTTPException, OSError)):
            Browser(port).get("/")


def test_a_port_that_is_taken_is_told_in_one_line(tmp_path: Path) -> None:
    app = application([("/", Hello)], password.load(tmp_path), Place(port=0), title="test")
    with (
        served(app, Place(port=0)) as port,
        pytest.raises(ValueError, match=rf"^127.0.0.1 port {port}: .* choose another --port$"),
    ):
        listen(app, Place(port=port))


def test_a_form_larger_than_any_of_ours_is_not_read(tmp_path: Path) -> None:
    app = application([("/", Hello)], password.load(tmp_path), Place(port=0), title="test")
    with served(app, Place(port=0)) as port:
        browser = Browser(port)
        try:
            status = browser.send("POST", "/login", "password=" + "x" * 200_000).status
        except (http.client.HTTPException, OSError):
            status = 0  # the connection was closed on us
        assert status in (0, 400, 413)
        assert browser.get("/").status == 200


def test_the_command_shows_pages_until_it_is_told_to_end(
    server: Path, store: Store, tmp_path: Path, wait: Callable[..., None]
) -> None:  # store: an empty one
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("FARM_", "UV"))}
    more = {"FARM_HOME": str(tmp_path / "home"), "FARM_BROKER_URL": broker.url(server)}
    process = subprocess.Popen(
        [sys.executable, "-m", "farm.cli", "dashboard", "--port", "0"],
        env={**clean, **more},
        cwd=tmp_path,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        address, told = process.stdout.readline(), process.stdout.readline()
        found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/\n", address)
        assert found, process.communicate(timeout=60)
        assert str(tmp_path / "home" / "web" / "password") in told
        browser = Browser(int(found[1]))
        assert "No jobs yet" in browser.get("/").text
        word = (tmp_path / "home" / "web" / "password").read_text().strip()
        assert browser.login(word).status == 303
    finally:
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 0
    assert word not in error and "Traceback" not in error


def test_a_place_that_is_not_safe_is_told_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "farm.cli", "dashboard", "--address", "0.0.0.0"],
        env={**os.environ, "FARM_HOME": str(tmp_path / "home")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "need TLS" in done.stderr


def test_a_private_farm_stays_while_somebody_looks_at_its_pages(server: Path) -> None:
    supervisor: Any = local.Supervisor(Settings(home=server))
    supervisor.store.client.flushall()
    long_ago = time.monotonic() - 100

    local.wish(supervisor.store, watched=str(time.time() + 60))
    supervisor._last_active = long_ago
    supervisor._tick()
    assert not supervisor.stop

    local.wish(supervisor.store, watched=str(time.time() - 1))
    supervisor._last_active = long_ago
    supervisor._tick()
    assert supervisor.stop
    supervisor.store.client.close()
