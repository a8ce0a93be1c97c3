"""Jobs read and write beneath the storage roots alone, whoever wrote their records."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from farm import confine, kinds
from farm.attempt import Runner
from farm.conductor import Conductor
from farm.pipeline import Pipeline
from farm.pipelines import Pipelines
from farm.records import JobRecord
from farm.secret import without_secrets
from farm.settings import Settings

KINDS = [name for name, package in kinds.find().items() if package in kinds.PACKAGES]


@pytest.fixture
def lab(tmp_path):
    """Two roots, something beside them, and links that lead from the one to the other."""
    for name in ("data", "more", "secret"):
        (tmp_path / name).mkdir()
    (tmp_path / "secret" / "key").write_text("secret")
    (tmp_path / "data" / "way-out").symlink_to("../secret")
    (tmp_path / "data" / "within").symlink_to("../more")
    return tmp_path


@pytest.mark.parametrize(
    "path", ["data", "data/a", "data/a/b/c.obj", "more/x", "data/within/x", "data/a/../b"]
)
def test_what_lies_beneath_a_root_may_be_used(lab, path):
    roots = (str(lab / "data"), str(lab / "more"))

    confine.refuse([f"{lab}/{path}"], "read", roots)


@pytest.mark.parametrize(
    "path",
    [
        "secret/key",
        "data/../secret/key",
        "data/way-out/key",
        "data-2/x",
        "",
        "more/../secret/key",
    ],
)
def test_what_leads_elsewhere_is_refused_in_one_line(lab, path):
    roots = (str(lab / "data"), str(lab / "more"))

    with pytest.raises(ValueError, match="lies outside of the storage roots") as refused:
        confine.refuse([f"{lab}/{path}"], "read", roots)

    assert len(str(refused.value).splitlines()) == 1
    assert str(lab / "more") in str(refused.value)


@pytest.mark.parametrize(
    "path", ["data/a", "./a", "~/a", "", Path("/data").as_uri(), "\0", "//host/share"]
)
def test_what_is_no_full_path_is_refused(lab, path):
    with pytest.raises(ValueError, match="outside"):
        confine.refuse([path], "write", [str(lab / "data")])


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("s3://lab/cars", True), ("s3://lab/cars/x", True), ("s3://lab/cars-2", False),
     ("s3://lab", False), ("s3://lab/cars/../x", False), ("s3://other/cars", False),
     ("gs://lab/cars", False), ("/lab/cars", False)],
)  # fmt: skip
def test_addresses_of_object_stores_are_roots_as_well(path, allowed):
    assert confine.beneath(path, "s3://lab/cars") is allowed


def test_without_roots_nothing_is_refused():
    job = kinds.load("stylize").module.Job(data="/a", run="/b", out="/c")

    confine.check(Settings(), kinds.load("stylize"), job)


JOBS = {
    "render": {"shapes": ["{}"], "out": "{}", "split": "{}/lists", "views": 5},
    "photos": {"shapes": ["{}"], "out": "{}"},
    "train": {"model": "aist", "data": ["{}"], "out": "{}", "weights": "{}/w.safetensors",
              "config": {"real": ["{}"]}},
    "evaluate": {"run": "{}", "data": ["{}"], "out": "{}"},
    "stylize": {"data": "{}", "run": "{}", "out": "{}"},
    "segment": {"photos": "{}", "masks": "{}", "match": "{}", "weights": "{}/w.pth", "out": "{}"},
}  # fmt: skip
"""Every field of every kind that is a path, as {}."""


def placed(value, folder):
    """The value with a folder put in at every {}."""
    return json.loads(json.dumps(value).replace("{}", str(folder)))


@pytest.mark.parametrize("name", KINDS)
def test_a_job_within_the_roots_passes(lab, name):
    kind = kinds.load(name)
    job = kind.read_job(json.dumps(placed(JOBS[name], lab / "data")))

    confine.check(Settings(storage_roots=(str(lab / "data"),)), kind, job)


@pytest.mark.parametrize(
    ("name", "field"),
    [
        (name, field)
        for name in KINDS
        for field in JOBS[name]
        if "{}" in json.dumps(JOBS[name][field])
    ],
)
def test_each_path_of_each_kind_is_looked_at(lab, name, field):
    kind = kinds.load(name)
    facts = {
        **placed(JOBS[name], lab / "data"),
        field: placed(JOBS[name][field], lab / "data" / "way-out"),
    }

    with pytest.raises(ValueError, match=r"way-out.* outside of the storage roots"):
        confine.check(
            Settings(storage_roots=(str(lab / "data"),)), kind, kind.read_job(json.dumps(facts))
        )


@pytest.mark.parametrize("name", KINDS)
def test_every_text_that_could_be_a_path_is_known_to_this_test(name):
    """A new field that holds text is a path, or here as what is none."""
    none = {
        "cameras", "passes", "max_failures", "up", "model", "preset", "device", "checkpoint",
        "precision", "split", "labels", "channels_last", "fused", "detector", "too_full",
        "shard_size",
    }  # fmt: skip
    hints = kinds.load(name).module.Job.__annotations__
    texts = {field for field, hint in hints.items() if "str" in str(hint) or "Literal" in str(hint)}

    assert texts - none <= set(JOBS[name])


def test_shapes_by_a_sources_own_name_are_read_where_the_machine_says(lab):
    kind = kinds.load("render")
    job = kind.read_job(json.dumps({"shapes": ["samples/cars"], "out": f"{lab}/data/x"}))
    shape = kind.module.Shape(
        key="car-1", id="1", category="car", synset=None, sha256="", up="y",
        path=f"{lab}/more/car/model.obj",
    )  # fmt: skip
    task = kind.module.Task(name="train-000000", split="train", shapes=(shape,), items=("car-1",))
    settings = Settings(storage_roots=(f"{lab}/data",), samples_root=lab / "more")

    confine.check(settings, kind, job, task)
    with pytest.raises(ValueError, match=r"way-out/key.* may not be read"):
        stranger = replace(shape, path=f"{lab}/data/way-out/key")
        confine.check(settings, kind, job, replace(task, shapes=(stranger,)))
    with pytest.raises(ValueError, match="may not be written"):
        confine.check(settings, kind, replace(job, out=f"{lab}/more/x"))


@pytest.mark.parametrize("name", ["../train-000000", "/etc/x", "a/b", "", ".", "..", ".x", "a\nb"])
def test_a_tasks_name_is_no_path(name):
    kind = kinds.load("render")
    job = kind.read_job(json.dumps({"shapes": ["samples/cars"], "out": "/data/x"}))
    task = kind.module.Task(name=name, split="train", shapes=(), items=())

    with pytest.raises(ValueError, match="no name of a task"):
        confine.check(Settings(), kind, job, task)


def test_a_kind_that_does_not_say_what_it_reads_is_refused_where_there_are_roots(monkeypatch):
    kind = kinds.load("count", ["farmdouble.jobs"])
    monkeypatch.delattr(kind.module, "reads")
    job = kind.module.Job(things=("a",), out="/data/x")

    confine.check(Settings(), kind, job)
    with pytest.raises(ValueError, match=r"wants reads\(\) and writes\(\)"):
        confine.check(Settings(storage_roots=("/data",)), kind, job)


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"shapes": ' + "[" * 100_000 + "]" * 100_000 + "}", "{" * 5000,
     '{"shapes": ["' + "a" * (65 << 20) + '"]}', '{"shapes": ["x"], "views": 1e999}',
     '{"kind_packages": ["mine"], "shapes": ["x"]}', '{"shapes": ["x"], "model_packages": "mine"}'],
    ids=["deep", "deep-and-closed", "open", "long", "infinite", "packages", "models"],
)  # fmt: skip
def test_a_specification_that_would_exhaust_or_extend_the_farm_is_refused(text):
    with pytest.raises(ValueError) as refused:
        kinds.load("render").read_job(text)

    assert len(str(refused.value)) < 400
    assert len(str(refused.value).splitlines()) == 1


# the farm itself


def test_a_job_outside_is_refused_by_the_command_and_by_the_controller(own_farm):
    root = own_farm.folder / "root"
    root.mkdir()
    roots = {"FARM_STORAGE_ROOTS": str(root)}
    farm, careless = replace(own_farm, more=roots), own_farm  # whose own settings have no roots
    assert farm.run("up", "--workers", "1").returncode == 0
    words = ("submit", "count", "--things", "n:4", "--out")

    inside = farm.run(*words, str(root / "in"))
    told = [each.run(*words, str(farm.folder / "out")) for each in (farm, careless)]

    assert inside.returncode == 0, inside.stderr
    for result in told:
        assert result.returncode == 2, result.stderr
        assert "lies outside of the storage roots" in result.stderr.splitlines()[-1]
    assert not (farm.folder / "out").exists()


@pytest.mark.parametrize(
    ("job", "task", "told"),
    [({"out": "{}/secret/x"}, {"name": "count-0"}, "outside of the storage roots"),
     ({"out": "{}/data/x"}, {"name": "../../secret/x"}, "gone"),
     ({"out": "{}/data/x", "mine": 1}, {"name": "count-0"}, "unknown field 'mine'")],
)  # fmt: skip
def test_a_worker_gives_no_child_what_somebody_wrote_into_redis(lab, store, job, task, told):
    """Neither the command nor the controller has seen it."""
    settings = Settings(
        home=lab / "home", storage_roots=(f"{lab}/data",), kind_packages=("farmdouble.jobs",)
    )
    facts = json.dumps(placed({"things": ["a"], **job}, lab))
    record = JobRecord(id="0123456789ab", kind="count", role="count", job=facts, state="")
    store.submit(record)
    text = json.dumps({"items": ["a"], **task}).encode()
    store.plan(record.id, [(task["name"], text, {"shapes": 1}, None, {})])
    store.turn(record.id, "running", "submitted")
    runner = Runner(settings, store, "count-0@h", "count", threading.Event())

    outcome = runner.run(record.id, task["name"])

    assert outcome == (told if told == "gone" else "refused")
    reasons = [outcome, store.job(record.id).reason, *store.dead(record.id).values()]
    assert [reason for reason in reasons if told in reason]
    assert store.leased(record.id) == 0
    assert runner.rss_mb() == 0  # no child was started
    assert not list((lab / "secret").glob("x*"))


def test_a_pipelines_folder_is_not_written_elsewhere_either(lab, store):
    """Neither by the command nor, whoever wrote into Redis, by the controller."""
    pipelines, threads = Pipelines(store), ThreadPoolExecutor(1)
    outside = Pipeline(id="0123456789ab", name="x", file="x", out=f"{lab}/secret/x", stages=())
    pipelines.submit(outside)

    Conductor(pipelines, threads, (f"{lab}/data",)).tick()
    threads.shutdown()

    record = pipelines.get(outside.id)
    assert record.state == "failed"
    assert "secret/x' may not be written" in record.reason
    assert not (lab / "secret" / "x").exists()


def test_only_a_job_on_an_object_store_has_its_credentials():
    environ = {"AWS_SECRET_ACCESS_KEY": "x", "AWS_PROFILE": "p", "DB_PASSWORD": "x", "HOME": "/h"}

    assert without_secrets(environ, cloud=False) == {"HOME": "/h"}
    assert set(without_secrets(environ, cloud=True)) == {*environ} - {"DB_PASSWORD"}
    assert kinds.load("render").reach('{"out":"s3://lab/x"}') == "cloud"
    assert kinds.load("render").reach('{"out":"/data/x"}') == "machine"
