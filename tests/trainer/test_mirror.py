"""A run in an object store: the same to the bit, on whichever machine it goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trainerdouble.models import double

from farm import kinds
from renderer import storage
from tests.object_store import Server, Wire, until
from trainer import checkpoint, mirror, report, start
from trainer.data import Snapshot
from trainer.jobs import evaluate, train
from trainer.measure import evaluate as measure
from trainer.run import Run, claim, result

STEPS = 12


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "machine"))


def job(data: object, out: object, **options: Any) -> train.Job:
    config = {"dropout": 0.2, **options}
    made = train.Job(model="double", data=(str(data),), out=str(out), steps=STEPS, config=config)
    return train.resolve(made, Path())


def curve(run: Run) -> list[dict[str, Any]]:
    timed = {"seconds", "images_per_s"}
    return [{n: v for n, v in line.items() if n not in timed} for line in run.metrics()]


def files(address: storage.Place) -> dict[str, bytes]:
    """What the manifest names."""
    manifest = storage.read_json(address / mirror.MANIFEST)
    return {name: mirror.read_file(address, name) for name in manifest["files"]}  # type: ignore[arg-type]


def reached(address: storage.Place) -> int:
    """The step that has come there; 0 before the first."""
    try:
        return int(json.loads(mirror.read_file(address, "metrics.jsonl").splitlines()[-1])["step"])  # type: ignore[arg-type]
    except FileNotFoundError:
        return 0


def leftovers(server: Server, bucket: str, address: storage.Place) -> set[str]:
    """Objects of the run that its manifest does not name."""
    named = storage.read_json(address / mirror.MANIFEST)["files"]
    prefix = f"{address.name}/"
    objects = {key.removeprefix(prefix) for key in server.keys(bucket) if key.startswith(prefix)}
    places = {
        str((address / name).marked(one["mark"])).removeprefix(f"{address}/")  # type: ignore[union-attr]
        for name, one in named.items()
    }
    return objects - places - {mirror.MANIFEST}


def test_killed_on_one_machine_and_begun_again_on_another_a_run_is_the_undisturbed_one_to_the_bit(
    blocks: Path, bucket: str, s3_server: Server, tmp_path: Path, doubles: Mapping[str, str],
    quiet: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    there = storage.place(f"{bucket}/run")
    spec = tmp_path / "job.json"
    described = {"model": "double", "data": [str(blocks)], "out": str(there), "steps": STEPS}
    spec.write_text(json.dumps({**described, "config": {"dropout": 0.2}}))
    halts = {**doubles, double.HALT_AT: "7"}
    killed = subprocess.Popen([sys.executable, "-m", "trainer", "train", str(spec)], env=halts)
    until(lambda: reached(there) >= 4, 120)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert result(there) is None

    here = job(blocks, tmp_path / "run")
    start.train(here, quiet)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    came = start.train(replace(here, out=str(there)), quiet)

    one, other = Run(there), Run(tmp_path / "run")
    assert curve(one) == curve(other)
    assert [begun["step"] > 0 for begun in one.about["starts"]] == [False, True]
    assert result(there) == {**came} and came["metrics"] == (other.result() or {})["metrics"]
    mine = files(there)
    for step in checkpoint.saved(other.checkpoints):
        for name in (checkpoint.NETWORK, checkpoint.OPTIMIZER):
            path = other.checkpoints / f"{step:08d}" / name
            assert mine[f"checkpoints/{step:08d}/{name}"] == path.read_bytes()
    assert leftovers(s3_server, bucket, there) == set()
    work = (tmp_path / "another" / "shapefarm" / "runs").glob("*/work/*")
    assert [path for path in work if path.is_dir()] == []


def test_a_run_there_is_evaluated_and_reported_like_one_in_a_folder(
    blocks: Path, bucket: str, tmp_path: Path, doubles: Mapping[str, str], quiet: Any
) -> None:
    made = replace(job(blocks, f"{bucket}/run"), steps=4)
    claim(made, Snapshot.take([blocks]).to_json())
    start.train(made, quiet)
    trained = Run(f"{bucket}/run")
    assert trained.checkpoint("best").tensors() and trained.job.model == "double"
    asked = evaluate.resolve(evaluate.Job(run=str(trained.place)), tmp_path)
    (task,) = evaluate.plan(asked, evaluate.scan(asked))
    assert evaluate.done(asked, task) is None
    for written in (*evaluate.writes(asked, None), *evaluate.writes(asked, task)):
        assert written.startswith(f"{bucket}/run/evaluations")

    came = measure(asked, quiet)

    assert came["folder"].startswith(f"{trained.place}/evaluations/test-")
    (found,) = trained.evaluations()
    assert found.metrics == came["metrics"] and found.arrays["scores"].dtype == np.float32
    done = evaluate.done(asked, task)
    assert done is not None and done.step == came["step"]
    with pytest.raises(ValueError, match="--out DIR says where its page goes"):
        report.make(trained.place)
    page = report.make(trained.place, tmp_path / "page").read_text()
    assert str(trained.place) in page


def test_an_evaluation_tells_that_the_run_s_datasets_are_in_a_store(tmp_path: Path) -> None:
    for name, folder in (("far", "s3://lab/cars"), ("near", "/data/cars")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "data.json").write_text(json.dumps({"datasets": [{"folder": folder}]}))

    far, near = (evaluate.Job(run=str(tmp_path / name)) for name in ("far", "near"))

    assert evaluate.far(far) and not evaluate.far(near)
    assert not evaluate.far(replace(far, data=("/data/cars",)))
    kind = kinds.load("evaluate")
    reaches = [kind.reach(kinds.canonical(one).decode()) for one in (far, near)]
    assert reaches == ["cloud", "network"]


def test_the_folder_of_another_run_is_refused_there_too(
    blocks: Path, bucket: str, doubles: Mapping[str, str]
) -> None:
    same, snapshot = job(blocks, f"{bucket}/run"), Snapshot.take([blocks]).to_json()
    other = replace(same, seed=7)

    assert claim(same, snapshot).snapshot().id == claim(same, snapshot).snapshot().id
    with pytest.raises(ValueError, match=r"s3://.*holds another run \(seed 0, here 7\)"):
        claim(other, snapshot)
    with pytest.raises(ValueError, match="holds a run already"):
        train.resolve(replace(same, resume=False), Path())
    storage.write(storage.place(f"{bucket}/notes/x.txt"), b"mine")
    with pytest.raises(ValueError, match="is in use and is not a run"):
        claim(job(blocks, f"{bucket}/notes"), snapshot)
    with pytest.raises(FileNotFoundError, match=r"no run in s3://.*/nothing"):
        Run(f"{bucket}/nothing")


@pytest.fixture
def address(bucket: str) -> storage.Place:
    made = storage.place(f"{bucket}/run")
    assert mirror.begin(made, {"job.json": b"{}"})  # type: ignore[arg-type]
    return made


def write(folder: Path, step: int, text: str) -> None:
    target = folder / "checkpoints" / f"{step:08d}"
    target.mkdir(parents=True)
    for name in (checkpoint.NETWORK, checkpoint.OPTIMIZER, checkpoint.STATE):
        (target / name).write_text(f"{text} {name}")


def test_of_two_machines_at_one_run_the_second_to_send_stops_and_leaves_nothing(
    address: storage.Place, bucket: str, s3_server: Server
) -> None:
    with mirror.working(address) as one, mirror.working(address) as other:
        assert one != other
        write(one, 10, "the new one's")
        write(other, 10, "the late one's")
        for folder in (one, other):  # of some files both make the same
            (folder / "metrics.jsonl").write_text("{}\n")
        mirror.push(one)
        with pytest.raises(mirror.Overtaken, match="another machine goes on with s3://"):
            mirror.push(other)
        write(one, 20, "the new one's")
        mirror.push(one)

    assert {data for name, data in files(address).items() if "0000" in name} == {
        f"the new one's {name}".encode()
        for name in (checkpoint.NETWORK, checkpoint.OPTIMIZER, checkpoint.STATE)
    }
    assert leftovers(s3_server, bucket, address) == set()
    assert files(address)["metrics.jsonl"] == b"{}\n"
    assert not mirror.begin(address, {"job.json": b"{}"})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/../../x", ".mirror.json", "a//b", ""])
def test_a_manifest_names_no_file_elsewhere(address: storage.Place, name: str) -> None:
    manifest = storage.read_json(address / mirror.MANIFEST)
    manifest["files"][name] = manifest["files"]["job.json"]
    storage.write(address / mirror.MANIFEST, storage.readable_json(manifest))

    with pytest.raises(ValueError, match="is no name of a run's file"):
        mirror.copy(address, checkpoints=True)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="is no name"), mirror.working(address):
        pass


def test_what_is_pruned_goes_and_a_machine_fetches_one_optimizer(
    address: storage.Place, bucket: str, s3_server: Server
) -> None:
    with mirror.working(address) as folder:
        for step in (10, 20, 30):
            write(folder, step, str(step))
            mirror.push(folder)
        for path in (folder / "checkpoints" / "00000010").iterdir():
            path.unlink()
        mirror.push(folder)
    with mirror.working(address) as again:
        sizes = {p.parent.name: p.stat().st_size for p in again.rglob(checkpoint.OPTIMIZER)}
        assert sizes["00000020"] == 0 and sizes["00000030"] > 0
        (again / "metrics.jsonl").write_text("{}\n")
        mirror.push(again)  # what it did not fetch is still the run's

    assert files(address)["checkpoints/00000020/optimizer.safetensors"].startswith(b"20")
    assert leftovers(s3_server, bucket, address) == set()
    shown = mirror.copy(address, checkpoints=True)  # type: ignore[arg-type]
    assert not list(shown.rglob(checkpoint.OPTIMIZER))
    assert {p.parent.name for p in shown.rglob(checkpoint.NETWORK)} == {"00000020", "00000030"}


def test_cut_in_the_middle_of_a_checkpoint_a_reader_sees_the_one_before(
    address: storage.Place, bucket: str, s3_server: Server, wire: Wire
) -> None:
    with mirror.working(address) as folder:
        write(folder, 10, "whole")
        mirror.push(folder)
        before = s3_server.keys(bucket)
        write(folder, 20, "x" * 200_000)
        wire.up = 300_000
        sender = threading.Thread(target=mirror.push, args=(folder,))
        sender.start()
        until(lambda: wire.cuts >= 2)
        manifest = next(key for key in before if key.endswith(mirror.MANIFEST))
        assert b"00000020" not in s3_server.read(bucket, manifest)
        wire.mend()
        sender.join(60)

    assert len(files(address)) == 7
    assert leftovers(s3_server, bucket, address) == set()


def test_a_run_in_a_folder_is_worked_on_where_it_is(tmp_path: Path) -> None:
    with mirror.working(tmp_path) as folder:
        assert folder == tmp_path
        mirror.push(folder)
    assert list(tmp_path.iterdir()) == []
