"""A dataset in an object store: the same bytes and the same id as in a folder, and never half."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from renderer import shards, storage
from renderer.dataset.export import export
from renderer.dataset.info import info
from renderer.dataset.merge import merge
from renderer.dataset.preview import preview
from renderer.dataset.reproduce import reproduce
from renderer.dataset.subset import Choice, subset
from renderer.dataset.verify import verify
from renderer.index import tidy
from renderer.jobs import render
from renderer.shards import Dataset
from tests.object_store import Server, Wire, until
from tests.renderer.conftest import RENDER, REPO, figure
from tests.trainer.datasets import make_sample


def objects(folder: storage.Place) -> list[str]:
    return storage.names(folder, "*")


# --- rendered --------------------------------------------------------------------------------


@pytest.fixture
def twice(bucket: str, tmp_path: Path) -> tuple[storage.Place, Path, render.Job]:
    """The same job rendered into the store and into a folder: where they are, and the job."""
    if not _has_blender():
        pytest.skip("bpy is not installed: nothing can be rendered")
    figure(tmp_path / "shapes" / "chair" / "high.obj", 2.5, (0.1, 0.4, 0.8))
    figure(tmp_path / "shapes" / "chair" / "low.obj", 0.4, (0.2, 0.7, 0.3))
    (tmp_path / "shapes" / "chair" / "empty.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\n")
    options = {"shapes": [str(tmp_path / "shapes")], "views": 2, "size": 32, "spp": 1}
    options |= {"points": 2048, "split": "100/0/0", "shard_size": 2}
    outs = (f"{bucket}/data/figures", str(tmp_path / "figures"))
    jobs = [{**options, "out": out} for out in outs]
    done = subprocess.run(
        [sys.executable, "-c", RENDER, json.dumps(jobs)], cwd=REPO, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    job = render.Job(**{**jobs[0], "shapes": tuple(options["shapes"])})
    return storage.place(outs[0]), Path(outs[1]), render.resolve(job, tmp_path)


def test_a_job_renders_the_same_there_and_every_command_reads_it(
    twice: tuple[storage.Place, Path, render.Job], tmp_path: Path
) -> None:
    there, here, job = twice
    stored, local = Dataset(there), Dataset(here)

    assert stored.complete and stored.id == local.id and len(stored) == 2
    for shard in local.shards:
        tar = shards.tar_path(there, shard["name"], shard["sha256"])
        assert storage.read(tar) == (here / shard["name"]).read_bytes()
        plain = shard["name"].replace(".tar", ".json")
        assert storage.read(there / plain) == (here / plain).read_bytes()
    assert not storage.in_use(there / ".staging")
    assert len(objects(there)) == len(list(here.iterdir()))
    np.testing.assert_array_equal(stored[0].views[1].depth, local[0].views[1].depth)

    facts = info(there)
    assert facts["folder"] == str(there) and facts["failed"][0]["class"] == "bad_input"
    report = verify(there)
    assert (report.problems, report.notes, report.samples) == ([], [], 2)
    assert preview(there, tmp_path / "sheet.png") == preview(here, tmp_path / "local.png")
    assert (tmp_path / "sheet.png").read_bytes() == (tmp_path / "local.png").read_bytes()
    assert [one.verdict for one in reproduce(there, 1).outcomes] == ["identical"]
    assert export(there, "folder", tmp_path / "plain") == 2
    render.prepare(job, render.scan(job))  # the same line again finds it its own
    assert all(render.done(job, task) for task in render.plan(job, render.scan(job)))
    other = dataclasses.replace(job, views=3)
    with pytest.raises(ValueError, match="holds another job's dataset"):
        render.prepare(other, render.scan(other))


# --- drawn without Blender -------------------------------------------------------------------


def record(number: int, seed: int = 0) -> shards.Record:
    return make_sample(
        ("cars", "chairs"), 0, number, views=2, size=16, cameras="dpc", points=64,
        passes=("rgba", "depth"), seed=seed,
    )  # fmt: skip


def write(folder: storage.Place, name: str, *numbers: int, **more: Any) -> dict[str, Any]:
    return shards.write_shard(
        folder, name, (record(n) for n in numbers), [], log=lambda: {"version": 1}, **more
    )


def index(folder: storage.Place, *sidecars: dict[str, Any], complete: bool) -> dict[str, Any]:
    entries = [
        {
            "name": sidecar["shard"],
            "split": "train",
            "samples": len(sidecar["samples"]),
            "bytes": storage.size(shards.tar_path(folder, sidecar["shard"], sidecar["sha256"])),
            "sha256": sidecar["sha256"],
        }
        for sidecar in sidecars
    ]
    return shards.write_index(
        folder,
        {
            "version": 1, "complete": complete, "job": {"views": 2}, "parent": None,
            "created_with": {}, "conventions": {}, "sources": [],
            "members": shards.expected_members(("rgba", "depth"), 2, 64),
            "splits": {"train": [entry["name"] for entry in entries]}, "shards": entries,
        },
    )  # fmt: skip


@pytest.fixture
def folder(bucket: str) -> Iterator[storage.Place]:
    yield storage.place(f"{bucket}/cars")


class TestTwoWhoMakeTheSameShard:
    def test_the_first_side_car_stands_whatever_a_late_double_brings(
        self, folder: storage.Place
    ) -> None:
        first = write(folder, "train-000000", 0, 1)

        late = write(folder, "train-000000", 0, 1, 2)  # another machine's bytes

        assert late == first
        assert [s.key for s in shards.samples_of(folder, "train-000000")] == [
            "cars-0000", "cars-0001",
        ]  # fmt: skip

    def test_the_same_bytes_twice_are_one_object(self, folder: storage.Place) -> None:
        first = write(folder, "train-000000", 0, 1)

        assert write(folder, "train-000000", 0, 1) == first
        assert len(storage.names(folder, "*.tar")) == 1

    def test_a_retry_replaces_the_shard_that_it_saw(self, folder: storage.Place) -> None:
        first = write(folder, "train-000000", 0)
        index(folder, first, complete=True)
        reader = Dataset(folder)[0]
        seen = storage.version(folder / "train-000000.json")

        second = write(folder, "train-000000", 0, 1, seen=seen)

        assert second["sha256"] != first["sha256"]
        assert reader.views[0].rgba.shape == (16, 16, 4)  # what it began with is still there
        assert len(shards.samples_of(folder, "train-000000")) == 2
        late = write(folder, "train-000000", 0, 2, seen=seen)
        assert late == second


class TestTheIndex:
    def test_of_a_late_controller_never_undoes_what_another_reached(
        self, folder: storage.Place
    ) -> None:
        one, two = write(folder, "train-000000", 0), write(folder, "train-000001", 1)
        whole = index(folder, one, two, complete=True)

        assert index(folder, one, complete=False) == whole
        assert index(folder, one, two, complete=False) == whole
        assert Dataset(folder).id == whole["id"] and Dataset(folder).complete

    def test_of_a_late_controller_does_not_bring_back_a_shard_that_was_replaced(
        self, folder: storage.Place
    ) -> None:
        old = write(folder, "train-000000", 0)
        index(folder, old, complete=True)
        seen = storage.version(folder / "train-000000.json")
        new = index(folder, write(folder, "train-000000", 0, 1, seen=seen), complete=True)

        assert index(folder, old, complete=True) == new
        assert [s.key for s in Dataset(folder)] == ["cars-0000", "cars-0001"]

    def test_grows_with_the_shards(self, folder: storage.Place) -> None:
        one = write(folder, "train-000000", 0)
        index(folder, one, complete=False)
        assert len(Dataset(folder)) == 1 and not Dataset(folder).complete

        index(folder, one, write(folder, "train-000001", 1), complete=False)
        assert len(Dataset(folder)) == 2


def test_a_finished_index_takes_away_what_others_left_and_nothing_that_counts(
    folder: storage.Place,
) -> None:
    one, two = write(folder, "train-000000", 0), write(folder, "train-000001", 1)
    late = write(folder, "train-000000", 0, 2)
    write(folder, "train-000002", 3)  # of a job that planned otherwise
    storage.write(folder / ".staging" / "train-000000" / "cars-0000.tar", b"x")
    seen = storage.version(folder / "train-000001.json")
    new = write(folder, "train-000001", 1, 4, seen=seen)  # while the index is written
    entries = index(folder, one, two, complete=True)["shards"]

    tidy(folder, entries)

    assert late == one
    kept = {shards.tar_path(folder, made["shard"], made["sha256"]).name for made in (one, two, new)}
    assert set(storage.names(folder, "*.tar")) == kept
    assert storage.names(folder, "train-0000??.json") == ["train-000000.json", "train-000001.json"]
    assert not storage.in_use(folder / ".staging")


class TestACutWire:
    @pytest.mark.parametrize("after", [2000, 12_000])
    def test_in_a_shards_upload_shows_no_reader_half_of_it_and_trying_again_heals(
        self, s3_server: Server, bucket: str, wire: Wire, after: int
    ) -> None:
        folder = storage.place(f"{bucket}/cars")
        index(folder, write(folder, "train-000000", 0), complete=False)
        shown = s3_server.keys(bucket)
        program = subprocess.Popen(
            [sys.executable, "-c", WRITE, str(folder), str(after), wire.url],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPO,
        )  # fmt: skip
        assert program.stdin and program.stdout
        assert program.stdout.readline() == "begun\n"
        wire.up = after
        program.stdin.write("\n")
        program.stdin.flush()
        until(lambda: wire.cuts >= 2)
        program.kill()  # the machine is gone with its wire
        program.communicate()
        new = set(s3_server.keys(bucket)) - set(shown)

        wire.mend()
        assert "cars/train-000001.json" not in new
        assert [s.key for s in Dataset(folder)] == ["cars-0000"]
        second = write(folder, "train-000001", 1, 2)
        index(folder, write(folder, "train-000000", 0), second, complete=True)
        assert [s.key for s in Dataset(folder)] == ["cars-0000", "cars-0001", "cars-0002"]
        for sample in Dataset(folder):
            sample.arrays()


WRITE = """
import sys
from renderer import storage
from tests.renderer.test_dataset_in_store import write
folder = storage.place(sys.argv[1])
storage.exists(folder / "dataset.json")  # the store has answered: it will be waited for
print("begun", flush=True)
sys.stdin.readline()
write(folder, "train-000001", 1, 2)
"""


def test_merge_and_subset_go_from_store_to_folder_and_back(
    folder: storage.Place, tmp_path: Path
) -> None:
    for name, number in (("one", 0), ("two", 1)):
        made = folder / name
        index(made, write(made, "train-000000", number), complete=True)
        shape = {"key": f"cars-{number:04d}", "category": "cars"}
        note = {"version": 1, "kind": "drawn", "job": {"views": 2}, "shapes": [shape]}
        storage.write(made / "job.json", storage.readable_json(note))

    both = merge([folder / "one", folder / "two"], folder / "both")
    same = merge([folder / "one", folder / "two"], tmp_path / "both")
    part = subset(folder / "both", tmp_path / "part", Choice(limit=1))
    back = subset(tmp_path / "both", folder / "part", Choice(limit=1))

    assert both["id"] == same["id"] and part["id"] == back["id"]
    assert [s.key for s in Dataset(folder / "both")] == ["cars-0000", "cars-0001"]
    with pytest.raises(ValueError, match="holds another job's dataset"):
        subset(folder / "one", folder / "both", Choice())


def _has_blender() -> bool:
    import importlib.util

    return importlib.util.find_spec("bpy") is not None
