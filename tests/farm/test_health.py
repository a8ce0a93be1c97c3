"""`farm health`, as the health checks of containers ask it."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable
from pathlib import Path

from tests.farm.conftest import Farm


def test_controller_and_worker_are_well_while_they_work_and_not_after(
    own_farm: Farm, wait: Callable[..., None]
) -> None:
    before = own_farm.run("health", "worker")
    own_farm.run("up", "--workers", "1")

    wait(lambda: own_farm.run("health", "worker").returncode == 0)
    wait(lambda: own_farm.run("health", "controller").returncode == 0)
    own_farm.run("down")

    after = own_farm.run("health", "controller")
    assert (before.returncode, after.returncode) == (1, 1)
    assert before.stderr == after.stderr == "farm: no farm runs here\n"


def test_a_page_is_well_if_it_answers_be_it_that_one_must_log_in(tmp_path: Path) -> None:
    class Closed(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(500 if self.path == "/broken" else 401)

        def log_message(self, *_: object) -> None:
            pass

    farm = Farm(tmp_path, tmp_path)
    with http.server.HTTPServer(("127.0.0.1", 0), Closed) as server:
        threading.Thread(target=server.serve_forever).start()
        page = f"http://127.0.0.1:{server.server_port}"
        closed, broken = farm.run("health", f"{page}/"), farm.run("health", f"{page}/broken")
        server.shutdown()
    gone = farm.run("health", f"{page}/")

    assert closed.returncode == 0, closed.stderr
    assert (broken.returncode, gone.returncode) == (1, 1)
    assert "answers 500" in broken.stderr
    assert "does not answer" in gone.stderr


def test_a_part_that_there_is_not_is_refused_by_name(tmp_path: Path) -> None:
    told = Farm(tmp_path, tmp_path).run("health", "render")

    assert told.returncode == 2
    assert "no part 'render'; there are controller, worker" in told.stderr
