"""What the dashboard shows, what it does for whom, and what it never reads."""

from __future__ import annotations

import contextlib
import html
import json
import os
import re
import shutil
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from farm import broker
from farm.pipelines import Pipelines
from farm.records import CANCELLED, PAUSED, RUNNING, WorkerRecord
from farm.settings import Settings
from farm.store import Store, connect
from farm.web import dashboard, password
from farm.web.pages import ACTIVE_SHOWN, WORKERS
from farm.web.server import Place
from renderer import storage
from renderer.members import encode_image
from tests.deploy.locked import locked
from tests.farm.web import lab
from tests.farm.web.lab import PIPELINE, RENDER, TRAIN, WORKER
from tests.farm.web.serving import Browser, served

JOB = f"/job/{RENDER}"
PATHS = [
    "/",
    "/jobs",
    "/jobs?page=1",
    "/jobs?page=x",
    "/workers",
    "/metrics",
    f"/pipeline/{PIPELINE}",
    JOB,
    f"/job/{TRAIN}",
    f"{JOB}/log/train-000001",
    f"{JOB}/log/none",
    f"{JOB}/shapes",
    f"{JOB}/shapes?page=99",
    f"{JOB}/shape/train-000001/0",
    f"{JOB}/view/train-000001/0/0/rgba.s.webp",
    f"{JOB}/view/train-000001/0/2/depth.m.webp",
    f"{JOB}/view/train-000001/0/0/points.m.webp",
    f"{JOB}/failed/broken.webp",
    f"{JOB}/photo/photo-00001.webp",
    f"{JOB}/drawn/rejected.png",
    f"/job/{TRAIN}/sheet/00000020.png",
    "/static/farm.css",
    "/static/live.js",
    "/static/icon.svg",
    "/favicon.ico",
    "/login",
    "/logout",
]
ACTIONS = [
    *(f"{JOB}/{verb}" for verb in ("pause", "resume", "cancel", "retry")),
    *(f"/pipeline/{PIPELINE}/{verb}" for verb in ("pause", "resume", "cancel", "retry")),
    "/worker/pause",
    "/worker/resume",
]


@pytest.fixture(scope="module")
def filled(
    server: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Store, Settings, Path]]:
    """A store and storage with a little of everything."""
    store = Store(connect(broker.url(server)))
    store.client.flushall()
    root = tmp_path_factory.mktemp("lab")
    lab.fill(store, root)
    yield store, Settings(home=root / "home", broker_url=broker.url(server)), root
    store.client.close()


@contextlib.contextmanager
def opened(filled: tuple[Store, Settings, Path], private: bool = False) -> Iterator[Browser]:
    store, settings, _ = filled
    place = Place(port=0)
    app = dashboard.make(settings, store, password.load(settings.home), place, private=private)
    with served(app, place) as port:
        yield Browser(port)


@pytest.fixture(scope="module")
def server_(filled: tuple[Store, Settings, Path]) -> Iterator[Browser]:
    with opened(filled) as browser:
        yield browser


@pytest.fixture
def browser(server_: Browser) -> Browser:
    """Somebody who is not logged in."""
    return Browser(server_.port)


@pytest.fixture
def person(browser: Browser, filled: tuple[Store, Settings, Path]) -> Browser:
    """Somebody who knows the password."""
    assert browser.login(password.load(filled[1].home).password).status == 303
    return browser


# --- who may see and do what ----------------------------------------------------------------------


def state(store: Store) -> dict[str, Any]:
    """Everything that the farm remembers."""
    client = store.client
    found: dict[str, Any] = {}
    for key in sorted(client.scan_iter("farm:*")):
        kind = client.type(key)
        found[key] = {
            "hash": client.hgetall,
            "string": client.get,
            "set": client.smembers,
            "list": lambda k: client.lrange(k, 0, -1),
            "stream": client.xrange,
            "zset": lambda k: client.zrange(k, 0, -1, withscores=True),
        }[kind](key)
    return found


def test_no_route_breaks_or_changes_anything_for_someone_without_a_login(
    browser: Browser, filled: tuple[Store, Settings, Path]
) -> None:
    before = state(filled[0])

    answers = {path: browser.get(path).status for path in [*PATHS, *ACTIONS]}
    posts = {path: browser.send("POST", path, "").status for path in [*PATHS, *ACTIONS]}
    token = browser.token()
    forms = {p: browser.send("POST", p, f"_xsrf={token}&name={WORKER}").status for p in ACTIONS}
    others = {
        (method, path): browser.send(method, path).status
        for method in ("HEAD", "PUT", "DELETE", "PATCH", "OPTIONS")
        for path in (JOB, ACTIONS[0])
    }

    shown = [path for path in PATHS if path not in ("/logout", "/metrics", "/favicon.ico")]
    missing = {f"{JOB}/photo/photo-00001.webp", f"{JOB}/drawn/rejected.png"}
    assert {p: answers[p] for p in shown} == {p: 404 if p in missing else 200 for p in shown}
    assert {answers[path] for path in (*ACTIONS, "/logout", "/metrics")} == {302}
    assert set(posts.values()) == {403}
    assert set(forms.values()) == {401}
    assert set(others.values()) <= {401, 403, 405}
    assert state(filled[0]) == before


def test_private_pages_tell_nobody_anything(filled: tuple[Store, Settings, Path]) -> None:
    told = (lab.LABEL, html.escape(lab.LABEL), "disc-1-0", lab.SECRET, RENDER, "train-000001")
    open_ = {"/login", "/static/farm.css", "/static/live.js", "/static/icon.svg"}
    with opened(filled, private=True) as browser:
        for path in [*PATHS, "/job/ffffffffffff", "/nowhere"]:
            page, plain = browser.get(path), browser.send("GET", path)
            if path in open_:
                assert page.status == 200, path
                continue
            if path != "/favicon.ico":
                assert (page.status, plain.status) == (302, 401), path
            said = page.body.decode("latin-1") + plain.body.decode("latin-1")
            assert not any(word in said for word in told), path


def test_pausing_and_the_like_need_a_login_and_then_work(
    person: Browser, filled: tuple[Store, Settings, Path]
) -> None:
    store = filled[0]

    answer = person.post(f"{JOB}/pause", JOB)
    assert (answer.status, answer.headers["Location"]) == (303, JOB)
    assert store.job(RENDER).state == PAUSED  # type: ignore[union-attr]
    assert person.post(f"{JOB}/resume", JOB).status == 303
    assert person.post(f"{JOB}/cancel", JOB).status == 303
    assert store.job(RENDER).state == CANCELLED  # type: ignore[union-attr]
    again = person.post(f"{JOB}/pause", JOB)
    assert (again.status, "there is nothing to pause" in again.text) == (409, True)
    store.turn(RENDER, RUNNING, CANCELLED)


def test_a_pipeline_is_steered_with_its_stages(
    person: Browser, filled: tuple[Store, Settings, Path]
) -> None:
    store, page = filled[0], f"/pipeline/{PIPELINE}"

    assert person.post(f"{page}/pause", page).status == 303
    record = Pipelines(store).get(PIPELINE)
    assert record and record.state == PAUSED
    assert store.job(RENDER).state == PAUSED  # type: ignore[union-attr]
    assert person.post(f"{page}/resume", page).status == 303
    store.turn(RENDER, RUNNING, PAUSED)
    store.client.sadd(f"farm:pipeline:{PIPELINE}:started", "render", "dpc")


def test_a_worker_is_paused_by_name_and_others_are_unknown(
    person: Browser, filled: tuple[Store, Settings, Path]
) -> None:
    store = filled[0]

    assert person.post("/worker/pause", "/workers", name=WORKER).status == 303
    assert store.held(WORKER) == "pause"
    assert ">Resume</button>" in person.get("/workers").text
    assert person.post("/worker/resume", "/workers", name=WORKER).status == 303
    assert store.held(WORKER) == ""
    assert person.post("/worker/pause", "/workers", name="nobody").status == 404


def test_metrics_are_for_whoever_has_the_token(
    browser: Browser, filled: tuple[Store, Settings, Path]
) -> None:
    token = password.load(filled[1].home).token

    assert browser.send("GET", "/metrics").status == 401
    answer = browser.send("GET", "/metrics", Authorization=f"Bearer {token}")
    assert (answer.status, "farm_jobs" in answer.text) == (200, True)


# --- what pages show ------------------------------------------------------------------------------


def test_the_first_page_shows_jobs_the_graph_and_workers(browser: Browser) -> None:
    page = browser.get("/").text

    assert html.escape(lab.LABEL) in page
    assert 'class="graph"' in page
    assert html.escape(WORKER) in page
    assert "4.2 images/s" in page
    assert page.count("/view/train-") == 6


def test_a_job_shows_its_shapes_views_failures_and_shards(browser: Browser) -> None:
    page = browser.get(JOB).text

    assert "18 views of 6 shapes" in page
    for title in ("Viewpoints", "Elevation", "Coverage"):
        assert f"<figcaption>{title}" in page
    assert f'src="{JOB}/failed/broken.webp"' in page
    assert "bad input 1" in page
    assert "timeout" in page and "1 failure, then well" in page  # and where it lies now
    assert f"{JOB}/shape/train-000001/0" in page
    assert "train-000002.tar" in page
    assert "all at 20°" in page


def test_a_run_shows_its_curves_and_sheets(browser: Browser) -> None:
    page = browser.get(f"/job/{TRAIN}").text

    assert "<figcaption>loss" in page
    assert 'class="line train"' in page and 'class="line val"' in page
    assert f"/job/{TRAIN}/sheet/00000020.png" in page
    assert "1.23k" in page  # parameters


def test_all_shapes_are_a_page_away_and_each_has_its_views(browser: Browser) -> None:
    assert browser.get(f"{JOB}/shapes").text.count("/view/train-") == 6
    page = browser.get(f"{JOB}/shape/train-000001/1").text

    assert "disc-1-1" in page
    assert page.count("/rgba.m.webp") == 3
    assert page.count("/depth.m.webp") == 3
    assert page.count("/points.m.webp") == 1
    assert 'rel="prev"' in page and 'rel="next"' not in page


def test_the_log_of_a_task_that_failed_is_a_page_away(browser: Browser) -> None:
    assert f'href="{JOB}/log/train-000001"' in browser.get(JOB).text
    page = browser.get(f"{JOB}/log/train-000001").text

    assert "&lt;b&gt;cannot&lt;/b&gt; read" in page
    assert '<tr class="error">' in page


def test_a_small_picture_shows_the_shape(browser: Browser) -> None:
    import io

    import numpy as np
    from PIL import Image

    answer = browser.get(f"{JOB}/view/train-000000/0/0/rgba.s.webp?v=1")

    image = np.asarray(Image.open(io.BytesIO(answer.body)).convert("RGBA")).astype(int)
    side = len(image)
    assert answer.headers["Content-Type"] == "image/webp"
    assert answer.headers["Cache-Control"].startswith("private")
    assert np.abs(image[side // 2, side // 2, :3] - lab.COLOUR).max() < 8
    assert image[0, 0, 3] == 0


def test_what_people_and_files_say_is_text_and_nothing_else(browser: Browser) -> None:
    for path in ("/", "/jobs", "/workers", JOB, f"/job/{TRAIN}", f"/pipeline/{PIPELINE}"):
        page = browser.get(path).text
        assert "<script>alert" not in page, path
        assert "cars <b>" not in page, path
        assert "both <x>" not in page, path
        assert "lab<07>" not in page, path
        assert "<i>last" not in page, path
        assert not re.search(r"\son\w+=|\sstyle=|javascript:", page), path
        assert len(re.findall(r"<script", page)) == 1, path  # ours, from a file


def test_a_page_costs_the_same_whatever_the_size_of_the_job(
    browser: Browser, filled: tuple[Store, Settings, Path]
) -> None:
    store = filled[0]
    small, large = "d" * 12, "e" * 12
    for job, tasks in ((small, 200), (large, 20_000)):
        lab.record_job(store, job, "render", {"out": f"/nowhere/{job}"}, label=job)
        lab.plan(store, job, [f"train-{n:06d}" for n in range(tasks)], done=tasks // 2)
        text = json.dumps(
            {"item": "x", "cls": "crash", "reason": "r", "tries": 3, "task": "t", "worker": "w"}
        )
        failed = {f"shape-{n}": text for n in range(tasks // 4)}
        store.client.hset(f"farm:{job}:failures", mapping=failed)
        store.client.hset(f"farm:{job}:tries", mapping=failed)

    def cost(job: str) -> tuple[int, int]:
        before = store.client.info()
        assert browser.get(f"/job/{job}").status == 200
        after = store.client.info()
        names = ("total_commands_processed", "total_net_output_bytes")
        commands, sent = (after[name] - before[name] for name in names)
        return commands, sent

    cost(small)
    (few, little), (many, much) = cost(small), cost(large)
    lab.forget(store, small, large)
    assert many <= few + 4
    assert much <= little * 1.5 + 20_000


def test_datasets_and_runs_in_an_object_store_are_shown_as_any(
    browser: Browser, filled: tuple[Store, Settings, Path], bucket: str
) -> None:
    store, _, root = filled
    job, run = "5" * 12, "6" * 12
    there = storage.place(f"{bucket}/cars")
    lab.add_shard(there, "train-000000", ["disc-a", "disc-b"])
    storage.write(there / "failed" / "disc-c.png", encode_image("rgba", lab.disc()))
    lab.record_job(store, job, "render", {"out": f"{bucket}/cars"}, label="afar")
    lab.plan(store, job, ["train-000000"], done=1)
    metrics = (root / "run" / "metrics.jsonl").read_bytes()
    storage.write(storage.place(f"{bucket}/run/metrics.jsonl"), metrics)
    lab.record_job(store, run, "train", {"out": f"{bucket}/run"}, label="afar")

    page = browser.get(f"/job/{job}").text
    assert page.count("/view/train-000000") == 2
    assert "6 views of 2 shapes" in page
    for path in ("view/train-000000/1/0/rgba.s.webp", "failed/disc-c.webp"):
        assert browser.get(f"/job/{job}/{path}").status == 200, path
    assert "<figcaption>loss" in browser.get(f"/job/{run}").text
    lab.forget(store, job, run)


def test_the_first_page_of_a_busy_lab_is_no_longer_than_people_read(
    browser: Browser, filled: tuple[Store, Settings, Path]
) -> None:
    store = filled[0]
    jobs = [f"{number:012x}" for number in range(40)]
    for job in jobs:
        lab.record_job(store, job, "render", {"out": f"/nowhere/{job}"}, label=job)
    for number in range(60):
        store.beat(WorkerRecord(name=f"w{number}", role="render", host="h", pid=1, version="1"))

    page = browser.get("/").text

    lab.forget(store, *jobs)
    for number in range(60):
        store.leave(f"w{number}")
    assert page.count('<article class="card job"') == ACTIVE_SHOWN
    assert page.count('<tr id="worker-') == WORKERS
    assert f">{41 - ACTIVE_SHOWN} more jobs<" in page and ">37 more<" in page


# --- what is never read ---------------------------------------------------------------------------


def refused(browser: Browser, path: str) -> bool:
    answer = browser.send("GET", path)
    return answer.status in (400, 403, 404) and b"root:" not in answer.body


@pytest.mark.parametrize(
    "path",
    [
        f"{JOB}/view/../../../etc/passwd/0/0/rgba.s.webp",
        f"{JOB}/view/..%2F..%2Fetc%2Fpasswd-000000/0/0/rgba.s.webp",
        f"{JOB}/view/train-000001/0/0/json.s.webp",
        f"{JOB}/view/train-000001/0/0/rgba.huge.webp",
        f"{JOB}/view/train-000001/99/0/rgba.s.webp",
        f"{JOB}/view/train-000001/0/99/rgba.s.webp",
        f"{JOB}/view/train-000099/0/0/rgba.s.webp",
        f"{JOB}/view/train-000001/-1/0/rgba.s.webp",
        f"{JOB}/shape/train-000001/99",
        f"{JOB}/failed/..%2F..%2Fsecret.webp",
        f"{JOB}/failed/%2Fetc%2Fpasswd.webp",
        f"{JOB}/photo/../job.webp",
        f"{JOB}/sheet/../../x.png",
        "/job/../../etc/passwd",
        "/job/AAAAAAAAAAAA",
        "/job/" + "f" * 12,
        "/static/../login.py",
        "/static/%2e%2e/login.py",
        "/static//etc/passwd",
    ],
)
def test_addresses_hold_no_paths(browser: Browser, path: str) -> None:
    assert refused(browser, path)


def test_nothing_is_read_outside_of_a_jobs_folder(
    browser: Browser, filled: tuple[Store, Settings, Path]
) -> None:
    """Links, and an index that names what lies elsewhere: somebody else may have written it."""
    store, _, root = filled
    theirs, evil = root / "cars", root / "evil"
    lab.add_shard(evil, "train-000000", ["disc-x"])
    job = "9" * 12
    lab.record_job(store, job, "render", {"out": str(evil)}, label="evil")
    lab.plan(store, job, ["train-000000", "train-000001", "../cars/train-000001"], done=3)
    for end in ("tar", "json"):
        os.symlink(theirs / f"train-000001.{end}", evil / f"train-000001.{end}")
    index = json.loads((evil / "dataset.json").read_bytes())
    shard = index["shards"][0]
    index["shards"].append({**shard, "name": "train-000001.tar", "samples": 2})
    (evil / "dataset.json").write_text(json.dumps(index))
    (evil / "failed").symlink_to(theirs / "failed")
    os.symlink(root / "run" / "metrics.jsonl", evil / "metrics.jsonl")

    page = browser.get(f"/job/{job}")
    lab.forget(store, job)

    assert page.status == 200
    assert "disc-1-0" not in page.text and "<figcaption>loss" not in page.text
    lab.record_job(store, job, "render", {"out": str(evil)}, label="evil")
    for path in ("view/train-000001/0/0/rgba.s.webp", "failed/broken.webp"):
        assert browser.get(f"/job/{job}/{path}").status == 404, path
    assert browser.get(f"/job/{job}/view/train-000000/0/0/rgba.s.webp").status == 200

    worse = root / "worse"
    shutil.copytree(evil, worse, symlinks=True)
    index["shards"][1]["name"] = "../cars/train-000001.tar"
    (worse / "dataset.json").write_text(json.dumps(index))
    store.client.hset(f"farm:{job}", "job", json.dumps({"out": str(worse)}))
    page = browser.get(f"/job/{job}")
    assert (page.status, "disc-" in page.text.replace("disc-x", "")) == (200, False)
    lab.forget(store, job)


def test_a_pipe_or_a_link_in_the_place_of_an_index_is_not_read(
    browser: Browser, filled: tuple[Store, Settings, Path]
) -> None:
    store, _, root = filled
    job, odd = "7" * 12, root / "odd"
    odd.mkdir()
    for name in ("metrics.jsonl", "run.json"):
        os.mkfifo(odd / name)
    lab.record_job(store, job, "render", {"out": str(odd)}, label="odd")
    for put in (
        lambda: os.mkfifo(odd / "dataset.json"),
        lambda: (odd / "dataset.json").symlink_to(root / "cars" / "dataset.json"),
    ):
        put()
        page = browser.get(f"/job/{job}")
        assert (page.status, "train-00000" in page.text) == (200, False)
        (odd / "dataset.json").unlink()
    lab.forget(store, job)


def test_a_job_outside_of_the_storage_roots_shows_nothing_of_its_folder(
    filled: tuple[Store, Settings, Path],
) -> None:
    store, settings, root = filled
    confined = replace(settings, storage_roots=(str(root / "run"),))
    with opened((store, confined, root)) as browser:
        page = browser.get(JOB)
        assert (page.status, "train-000002.tar" in page.text) == (200, False)
        assert browser.get(f"{JOB}/view/train-000001/0/0/rgba.s.webp").status == 404
        assert "<figcaption>loss" in browser.get(f"/job/{TRAIN}").text


def test_as_the_user_that_may_only_look_it_looks_and_does_nothing(tmp_path: Path) -> None:
    """On a lab's Redis, whose users may do no more than their own."""
    with locked(tmp_path / "redis") as redis_:
        lab.fill(Store(redis_.client("controller")), tmp_path)
        looker = Store(redis_.client("monitor"))
        redis_.denied()
        settings = Settings(home=tmp_path / "home", broker_url="redis://nowhere/0")
        with opened((looker, settings, tmp_path)) as browser:
            shown = [p for p in PATHS if p.startswith(("/job", "/pipe", "/workers")) or p == "/"]
            assert {browser.get(p).status for p in shown} <= {200, 404}
            # redis-py tells its name at the start, which nobody needs
            assert {one["object"] for one in redis_.denied()} <= {"client"}
            browser.login(password.load(settings.home).password)
            answer = browser.post(f"{JOB}/pause", JOB)
        assert (answer.status, "may only look" in answer.text) == (403, True)
        doer = Store(redis_.client("submit"))
        with opened((doer, settings, tmp_path)) as browser:
            browser.login(password.load(settings.home).password)
            assert browser.post(f"{JOB}/pause", JOB).status == 303
            assert browser.post("/worker/pause", "/workers", name=WORKER).status == 303
            page = f"/pipeline/{PIPELINE}"
            assert browser.post(f"{page}/resume", page).status in (303, 409)
        for each in (looker, doer):
            each.client.close()


def test_a_picture_that_would_fill_the_memory_is_not_decoded(
    browser: Browser, filled: tuple[Store, Settings, Path]
) -> None:
    store, _, root = filled
    head = struct.pack(">II", 60_000, 60_000) + b"\x08\x06\0\0\0"
    chunk = b"IHDR" + head
    bomb = (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    )
    lab.add_shard(root / "bomb", "train-000000", ["disc-x"], picture=bomb)
    lab.add_shard(root / "bomb", "train-000001", ["disc-y"])
    (root / "bomb" / "failed").mkdir()
    (root / "bomb" / "failed" / "x.png").write_bytes(bomb)
    job = "8" * 12
    lab.record_job(store, job, "render", {"out": str(root / "bomb")}, label="bomb")

    assert browser.get(f"/job/{job}").status == 200
    assert browser.get(f"/job/{job}/view/train-000000/0/0/rgba.s.webp").status == 404
    assert browser.get(f"/job/{job}/failed/x.webp").status == 404
    assert browser.get(f"/job/{job}/view/train-000001/0/0/rgba.s.webp").status == 200
    lab.forget(store, job)


def test_a_redis_that_is_away_is_told_as_such(filled: tuple[Store, Settings, Path]) -> None:
    _, settings, root = filled
    away = Store(connect(f"unix://{root}/no-socket?db=0", patience_s=0))
    place = Place(port=0)
    app = dashboard.make(settings, away, password.load(settings.home), place, private=False)
    with served(app, place) as port:
        answer = Browser(port).get("/")

    assert (answer.status, "does not answer" in answer.text) == (503, True)
