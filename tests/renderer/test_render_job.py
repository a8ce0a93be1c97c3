"""The render job: planned ahead, interrupted anywhere, grown later; the bytes stay the same."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from renderer import content, shards, storage
from renderer.jobs import render
from renderer.shapes.shape import Shape
from renderer.shards import Dataset

OPTIONS: dict[str, Any] = {"size": 24, "spp": 1, "views": 2, "points": 512, "shard_size": 2}


def octahedron(path: Path, x: float, y: float, z: float) -> None:
    """A shape that no camera clips, in two parts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    points = [(x, 0, 0), (-x, 0, 0), (0, y, 0), (0, -y, 0), (0, 0, z), (0, 0, -z)]
    lines = [f"v {a:.4f} {b:.4f} {c:.4f}" for a, b, c in points]
    for name, up in (("upper", 3), ("lower", 4)):
        lines.append(f"g {name}")
        for a, b in ((1, 5), (5, 2), (2, 6), (6, 1)):
            lines.append(f"f {a} {b} {up}" if up == 4 else f"f {b} {a} {up}")
    path.write_text("\n".join(lines) + "\n")


def write_shapes(folder: Path) -> Path:
    """Six cars and three chairs, of which one is broken."""
    for number in range(6):
        octahedron(folder / "car" / f"car{number}.obj", 1, 0.5 + 0.1 * number, 0.8)
    for number in range(2):
        octahedron(folder / "chair" / f"chair{number}.obj", 0.6, 1, 0.5 + 0.1 * number)
    (folder / "chair" / "broken.obj").write_text("v 0 0 0\nf 1 2 3\n")
    return folder


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("shapes") / "things")


@dataclasses.dataclass
class Undisturbed:
    folder: Path
    ran: Any
    job: render.Job


@pytest.fixture(scope="module")
def undisturbed(farm: Any, shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """The job when nothing happens to it. Only to be read."""
    job = farm.job(shapes, out=tmp_path_factory.mktemp("undisturbed") / "out", **OPTIONS)
    return Undisturbed(job.folder, farm.submit(job), job)


def products(folder: Path) -> dict[str, bytes]:
    """What must be the same however it came about."""
    names = [p for p in sorted(folder.iterdir()) if p.suffix in (".tar", ".json")]
    return {p.name: p.read_bytes() for p in names if not p.name.endswith("log.json")} | {
        "dataset.json": Dataset(folder).id.encode(),
        "job.json": b"",  # has the paths of the shapes
    }


def left_behind(folder: Path) -> list[str]:
    return [str(p.relative_to(folder)) for p in folder.rglob("*") if p.name.endswith(".part")]


def renders(log: Path) -> int:
    """How many views Blender rendered in all, as it tells itself."""
    return log.read_text(errors="replace").count("Saved: '")


class TestAWholeJob:
    def test_has_every_shape_in_the_index_or_among_the_failed(
        self, undisturbed: Undisturbed
    ) -> None:
        dataset = Dataset(undisturbed.folder)

        assert dataset.complete and len(dataset) == 8
        assert {s.key for s in dataset} == {f"car-car{n}" for n in range(6)} | {
            f"chair-chair{n}" for n in range(2)
        }
        (failed,) = dataset.failed()
        assert (failed["id"], failed["class"]) == ("chair-broken", "bad_input")
        assert "vertex" in failed["reason"]

    def test_leaves_its_three_kinds_of_files_and_nothing_else(
        self, undisturbed: Undisturbed
    ) -> None:
        stems = [task.name for task in tasks(undisturbed.job)]

        assert sorted(os.listdir(undisturbed.folder)) == sorted(
            ["job.json", "dataset.json"]
            + [f"{stem}{end}" for stem in stems for end in (".tar", ".json", ".log.json")]
        )

    def test_has_the_members_that_its_index_says(self, undisturbed: Undisturbed) -> None:
        dataset = Dataset(undisturbed.folder)
        for sample in dataset:
            assert sorted(sample.members) == sorted(dataset.index["members"])
            assert [sample.meta["key"], sample.meta["seed"]] == [sample.key, 0]
            assert len(sample.views) == 2 and sample.points.shape == (512, 3)
            assert sample.meta["shape"]["sha256"]

    def test_members_lie_in_the_order_of_the_format(self, undisturbed: Undisturbed) -> None:
        dataset = Dataset(undisturbed.folder)
        for sample in dataset:
            in_order = sorted(sample.members, key=lambda name, of=sample: of.members[name][0])
            assert in_order == dataset.index["members"]

    def test_tells_nothing_of_the_machine_in_what_is_hashed(self, undisturbed: Undisturbed) -> None:
        for path in undisturbed.folder.glob("*.tar"):
            data = path.read_bytes()
            assert str(undisturbed.folder).encode() not in data
            assert undisturbed.job.shapes[0].encode() not in data

    def test_in_another_folder_by_another_child_with_other_threads_gives_the_same_bytes(
        self, children: Any, undisturbed: Undisturbed, shapes: Path, tmp_path: Path
    ) -> None:
        other = children.Farm(tmp_path / "log", environment={"FARM_THREADS": "2"})
        try:
            job = other.job(shapes, out=tmp_path / "elsewhere", **OPTIONS)
            other.submit(job)
        finally:
            other.close()

        assert products(tmp_path / "elsewhere") == products(undisturbed.folder)

    def test_again_does_nothing(self, farm: Any, undisturbed: Undisturbed) -> None:
        before = {p.name: p.stat().st_mtime_ns for p in undisturbed.folder.glob("*.tar")}
        ran = farm.submit(undisturbed.job)

        assert ran.started == []
        assert before == {p.name: p.stat().st_mtime_ns for p in undisturbed.folder.glob("*.tar")}

    def test_summary_says_where_it_is_and_how_to_look_at_it(self, undisturbed: Undisturbed) -> None:
        told = render.summary(undisturbed.job, undisturbed.ran.dones)

        assert "8 shapes, 16 images" in told and "1 shape failed" in told
        assert "farm dataset preview" in told and "farm dataset verify" in told


class TestInterrupted:
    def test_a_job_killed_again_and_again_gives_the_same_bytes_and_renders_nothing_twice(
        self, farm: Any, children: Any, undisturbed: Undisturbed, shapes: Path, tmp_path: Path
    ) -> None:
        job = farm.job(shapes, out=tmp_path / "out", **OPTIONS)
        in_flight, begun = [], Counter[str]()
        for kill_after in (0, 1, 2, 3):
            with contextlib.suppress(children.Killed):
                farm.submit(job, kill_after=kill_after)
            assert not Dataset(job.folder).complete
            staged = list((job.folder / ".staging").rglob("*.json"))
            in_flight.append(len(staged))
        begun.update(farm.submit(job).started)

        assert products(job.folder) == products(undisturbed.folder)
        assert sum(begun.values()) == 9 - (0 + 1 + 2 + 3) and max(begun.values()) == 1
        assert left_behind(job.folder) == []

    @pytest.mark.parametrize("lost", ["*.json", "*.tar", "*.log.json"])
    def test_a_shard_of_which_a_file_is_lost_is_made_again(
        self, farm: Any, undisturbed: Undisturbed, tmp_path: Path, lost: str
    ) -> None:
        folder = Path(shutil.copytree(undisturbed.folder, tmp_path / "out"))
        job = dataclasses.replace(undisturbed.job, out=str(folder))
        for path in folder.glob(f"train-000001{lost.removeprefix('*')}"):
            path.unlink()
        ran = farm.submit(job)

        assert len(ran.started) == 2
        assert products(folder) == products(undisturbed.folder)

    def test_a_damaged_fragment_is_made_again(
        self, farm: Any, children: Any, undisturbed: Undisturbed, shapes: Path, tmp_path: Path
    ) -> None:
        job = farm.job(shapes, out=tmp_path / "out", **OPTIONS | {"shard_size": 4})
        with pytest.raises(children.Killed):
            farm.submit(job, kill_after=2)
        fragments = sorted((job.folder / ".staging").rglob("*.tar"))
        assert len(fragments) == 2
        fragments[0].write_bytes(fragments[0].read_bytes()[:-512])
        ran = farm.submit(job)

        assert fragments[0].stem in ran.started and fragments[1].stem not in ran.started
        samples = {s.key: s.pixels for s in Dataset(undisturbed.folder)}
        assert {s.key: s.pixels for s in Dataset(job.folder)} == samples

    def test_a_shape_given_up_and_tried_again_ends_in_the_same_bytes(
        self, farm: Any, undisturbed: Undisturbed, shapes: Path, tmp_path: Path
    ) -> None:
        """`farm retry`: what the shard had is kept as it is."""
        job = farm.job(shapes, out=tmp_path / "out", **OPTIONS)
        scanned = render.scan(job)
        render.prepare(job, scanned)
        task = next(t for t in render.plan(job, scanned) if len(t.items) == 2)
        given_up = farm.attempt(job, task, failed={task.items[0]: ("crash", "it crashed")})
        assert [f.id for f in given_up.failed] == [task.items[0]] and given_up.shapes == 1
        assert farm.attempt(job, task, failed={task.items[0]: ("crash", "again")}) == given_up
        whole = farm.attempt(job, task)

        assert whole.failed == () and whole.shapes == 2
        name = f"{task.name}.tar"
        assert (job.folder / name).read_bytes() == (undisturbed.folder / name).read_bytes()

    def test_a_shape_that_fails_once_rendered_leaves_the_view_to_blame(
        self, farm: Any, tmp_path: Path
    ) -> None:
        """A needle, seen from its end: fewer pixels than a view must have."""
        (tmp_path / "in").mkdir()
        points = ("0 0 0", "1 0 0", "0.5 0.0004 0", "0.5 0 0.0004")
        faces = ("1 2 3", "1 2 4", "1 3 4", "2 3 4")
        lines = [f"v {point}" for point in points] + [f"f {face}" for face in faces]
        (tmp_path / "in" / "needle.obj").write_text("\n".join(lines))
        options = OPTIONS | {"cameras": "circle", "views": 12, "size": 64}
        job = farm.job(tmp_path / "in", out=tmp_path / "out", **options)
        scanned = render.scan(job)
        render.prepare(job, scanned)
        told: dict[str, tuple[str, str]] = {}
        (task,) = render.plan(job, scanned)
        assert farm.attempt(job, task, told=told) is None
        (key,) = told

        image = cv2.imread(str(job.folder / "failed" / f"{key}.png"), cv2.IMREAD_UNCHANGED)

        assert told[key][0] == "blank"
        assert image.shape == (64, 64, 4)
        assert 0 <= (image[..., 3] > 0).mean() < content.MIN_COVERAGE

    def test_a_shape_that_changed_since_the_plan_is_not_rendered(
        self, farm: Any, tmp_path: Path
    ) -> None:
        folder = write_shapes(tmp_path / "things")
        job = farm.job(folder / "car", out=tmp_path / "out", **OPTIONS)
        scanned = render.scan(job)
        render.prepare(job, scanned)
        task = next(iter(render.plan(job, scanned)))
        octahedron(Path(task.shapes[0].path), 3, 1, 1)
        ran: dict[str, tuple[str, str]] = {}
        farm.attempt(job, task, told=ran)

        assert ran[task.items[0]][0] == "environment" and "changed" in ran[task.items[0]][1]


def tasks(job: render.Job) -> list[render.Task]:
    return list(render.plan(job, render.scan(job)))


def made_up(count: int, categories: int = 2) -> tuple[Shape, ...]:
    found = [
        Shape(key=f"c{n % categories}-{n}", id=str(n), category=f"c{n % categories}", synset=None,
              path=f"/{n}.obj", sha256=f"{n:064x}", up="y", split=None)
        for n in range(count)
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda shape: shape.key))


class TestPlan:
    @given(count=st.integers(1, 400), categories=st.integers(1, 5))
    def test_has_every_shape_exactly_once_and_names_that_differ(
        self, count: int, categories: int
    ) -> None:
        job = render.Job(shapes=("a",), out="/o", views=5)
        planned = list(render.plan(job, render.Scanned(shapes=made_up(count, categories))))

        items = [item for task in planned for item in task.items]
        assert sorted(items) == sorted(s.key for s in made_up(count, categories))
        assert len({task.name for task in planned}) == len(planned)
        assert all(task.items == tuple(s.key for s in task.shapes) for task in planned)
        assert all(task.name.startswith(f"{task.split}-") for task in planned)

    @given(order=st.permutations(range(30)))
    def test_depends_on_the_shapes_alone_and_not_on_their_order(self, order: list[int]) -> None:
        job = render.Job(shapes=("a",), out="/o", views=5, shard_size=4)
        shapes = made_up(30)
        mixed = tuple(shapes[n] for n in order)

        assert list(render.plan(job, render.Scanned(shapes=mixed))) == list(
            render.plan(job, render.Scanned(shapes=shapes))
        )

    def test_touches_no_storage(self, tmp_path: Path) -> None:
        job = render.Job(shapes=("/nowhere",), out=str(tmp_path / "none"), views=5)
        assert len(list(render.plan(job, render.Scanned(shapes=made_up(10))))) == 10
        assert not (tmp_path / "none").exists()

    def test_shards_are_mixtures_of_the_categories(self) -> None:
        job = render.Job(shapes=("a",), out="/o", views=5, shard_size=20)
        first = next(iter(render.plan(job, render.Scanned(shapes=made_up(200)))))
        assert 4 <= sum(shape.category == "c0" for shape in first.shapes) <= 16

    @given(count=st.integers(1, 200_000))
    def test_auto_makes_32_tasks_and_more_where_there_are_as_many_shapes_of_at_most_64_each(
        self, count: int
    ) -> None:
        size = render.shard_size(render.Job(shapes=("a",)), count)

        assert 1 <= size <= 64
        assert -(-count // size) >= min(count, 32)
        assert size == 64 or count // (size + 1) < 32

    def test_a_given_shard_size_stands(self) -> None:
        assert render.shard_size(render.Job(shapes=("a",), shard_size=7), 10_000) == 7

    def test_every_task_says_its_units(self, undisturbed: Undisturbed) -> None:
        for task in tasks(undisturbed.job):
            shapes = len(task.shapes)
            assert render.units(undisturbed.job, task) == {"shapes": shapes, "images": 2 * shapes}

    @pytest.mark.parametrize("count", range(3, 12))
    def test_no_split_is_empty_from_three_shapes_on(self, count: int) -> None:
        job = render.Job(shapes=("a",), out="/o", views=5)
        planned = render.plan(job, render.Scanned(shapes=made_up(count, 1)))
        assert {task.split for task in planned} == {"train", "val", "test"}


class TestRefusals:
    def prepare(self, job: render.Job) -> None:
        render.prepare(job, render.scan(job))

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"seed": 1}, "seed 0, not 1"),
            ({"views": 3}, "views 2, not 3"),
            ({"size": 32}, "size 24, not 32"),
            ({"cameras": "orbit"}, "cameras dpc, not orbit"),
            ({"shard_size": 3}, "shard_size 2, not 3"),
        ],
    )
    def test_another_jobs_folder_is_told_with_what_differs(
        self, farm: Any, undisturbed: Undisturbed, shapes: Path, change: Any, told: str
    ) -> None:
        job = farm.job(shapes, out=undisturbed.folder, **OPTIONS | change)
        with pytest.raises(ValueError, match=f"another job's dataset .*{told}.*--out"):
            self.prepare(job)

    @pytest.mark.parametrize("change", [{"max_failures": "50%"}, {"max_failures": "3"}])
    def test_what_does_not_change_the_result_is_no_other_job(
        self, farm: Any, undisturbed: Undisturbed, shapes: Path, change: Any
    ) -> None:
        self.prepare(farm.job(shapes, out=undisturbed.folder, **OPTIONS | change))

    def test_shapes_that_changed_vanished_or_appeared_since_are_named(
        self, farm: Any, tmp_path: Path
    ) -> None:
        folder = write_shapes(tmp_path / "things")
        job = farm.job(folder, out=tmp_path / "out", **OPTIONS)
        self.prepare(job)
        octahedron(folder / "car" / "car3.obj", 3, 1, 1)
        with pytest.raises(ValueError, match=r"changed: car-car3\)"):
            self.prepare(job)
        (folder / "chair" / "chair0.obj").unlink()
        (folder / "chair" / "chair1.obj").unlink()
        octahedron(folder / "car" / "car9.obj", 3, 1, 1)
        with pytest.raises(ValueError, match="gone: chair-chair0 and 1 more; new: car-car9"):
            self.prepare(job)

    @pytest.mark.parametrize("what", ["folder with a file", "file", "half of another format"])
    def test_a_place_that_holds_something_else_is_left_alone(
        self, farm: Any, shapes: Path, tmp_path: Path, what: str
    ) -> None:
        out = tmp_path / "out"
        if what == "file":
            out.write_text("thesis")
        else:
            out.mkdir()
            name = "thesis.tex" if what.startswith("folder") else "dataset.json"
            (out / name).write_text("{}")
        before = sorted(p.name for p in tmp_path.rglob("*"))

        with pytest.raises(ValueError, match=str(out)):
            self.prepare(farm.job(shapes, out=out, **OPTIONS))
        assert sorted(p.name for p in tmp_path.rglob("*")) == before

    def test_an_empty_folder_is_taken(self, farm: Any, shapes: Path, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        self.prepare(farm.job(shapes, out=tmp_path / "out", **OPTIONS))
        assert (tmp_path / "out" / "job.json").exists()

    def test_too_little_disk_is_told_before_anything_is_written(
        self, farm: Any, shapes: Path, tmp_path: Path
    ) -> None:
        huge = {"size": 4096, "views": 1000, "points": 10_000_000}
        job = farm.job(shapes, out=tmp_path / "out", **OPTIONS | huge)
        needed = render.estimate(job, render.scan(job))["bytes"]
        if needed < storage.free_bytes(tmp_path):
            pytest.skip(f"this disk has room for {needed / 1e9:.0f} GB")

        with pytest.raises(ValueError, match=r"will need about \d+\.\d GB, and .* are free"):
            self.prepare(job)
        assert not (tmp_path / "out").exists()

    def test_the_estimate_grows_with_every_factor(self, farm: Any, shapes: Path) -> None:
        def estimate(**change: Any) -> dict[str, Any]:
            job = farm.job(shapes, out="/o", **OPTIONS | {"spp": 64} | change)
            return render.estimate(job, render.scan(job))

        usual = estimate()
        assert usual["shapes"] == 9 and usual["images"] == 18
        for change in ({"views": 4}, {"size": 256}):
            assert estimate(**change)["bytes"] > usual["bytes"]
            assert estimate(**change)["cpu_hours"] >= usual["cpu_hours"]
        assert estimate(points=100_000)["bytes"] > usual["bytes"] > estimate(passes="rgba")["bytes"]

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"views": 0}, "--views 0: from 1 to 1000"),
            ({"size": 7}, "--size 7: from 8 to 4096"),
            ({"spp": 0}, "--spp 0"),
            ({"points": -1}, "--points -1"),
            ({"seed": -1}, "--seed -1"),
            ({"limit": 0}, "--limit 0"),
            ({"shard_size": 0}, "--shard-size 0"),
            ({"passes": "rgba,depht"}, "no pass 'depht'; there are rgba, depth"),
            ({"passes": "depth"}, "lacks rgba"),
            ({"passes": "rgba,rgba"}, "names a pass twice"),
            ({"passes": ""}, "--passes: no pass ''"),
            ({"cameras": "circle", "views": 5}, "--views 5 contradicts --cameras circle"),
            ({"cameras": "ring"}, "no camera rig 'ring'"),
            ({"split": "70/20/20"}, "must add up to 100"),
            ({"split": "nowhere.csv"}, "neither a ratio such as 70/10/20 nor a list file"),
        ],
    )
    def test_wrong_options_are_told_in_one_line_with_the_value(
        self, farm: Any, shapes: Path, options: dict[str, Any], told: str
    ) -> None:
        with pytest.raises(ValueError, match=told.replace("(", r"\(")) as caught:
            farm.job(shapes, out="/o", **OPTIONS | {"views": None} | options)
        assert "\n" not in str(caught.value)

    def test_no_address_is_refused(self) -> None:
        with pytest.raises(ValueError, match="--shapes is empty; give an address"):
            render.Job(shapes=())


class TestResolve:
    def test_a_folder_gives_the_dataset_its_name(self, tmp_path: Path) -> None:
        (tmp_path / "my cars").mkdir()
        job = render.resolve(render.Job(shapes=("my cars",)), tmp_path)

        assert job.shapes == (str(tmp_path / "my cars"),) and job.views == 5
        assert job.folder.parent == tmp_path / "data"

    def test_a_source_gives_its_name_and_category(self, tmp_path: Path) -> None:
        job = render.resolve(render.Job(shapes=("samples/cars", "samples/chairs")), tmp_path)
        assert job.folder == tmp_path / "data" / "samples-cars-samples-chairs"

    def test_twice_is_the_same_as_once(self, tmp_path: Path) -> None:
        job = render.resolve(render.Job(shapes=("samples/cars", "x/../y")), tmp_path)
        assert render.resolve(job, Path("/elsewhere")) == job


class TestGrowing:
    """--add: more shapes, more views, repaired shapes."""

    @pytest.fixture
    def grown(self, farm: Any, undisturbed: Undisturbed, tmp_path: Path) -> Path:
        """A copy of a finished dataset of its own shapes, which may be changed."""
        folder = write_shapes(tmp_path / "things")
        farm.submit(farm.job(folder / "car", out=tmp_path / "out", **OPTIONS))
        return tmp_path / "out"

    def test_more_categories_render_only_what_is_new(
        self, farm: Any, grown: Path, tmp_path: Path
    ) -> None:
        before = {p.name: p.read_bytes() for p in grown.glob("*.tar")}
        old = list(Dataset(grown))
        more = [tmp_path / "things" / name for name in ("car", "chair")]
        ran = farm.submit(farm.job(*more, out=grown, add=True, **OPTIONS))

        assert all(key.startswith("chair-") for key in ran.started) and len(ran.started) == 3
        assert before.items() <= {p.name: p.read_bytes() for p in grown.glob("*.tar")}.items()
        assert {s.key for s in Dataset(grown)} == {s.key for s in old} | {
            "chair-chair0", "chair-chair1",
        }  # fmt: skip
        assert Dataset(grown).complete and not (grown / ".staging").exists()

    def test_more_views_keep_the_old_ones_byte_for_byte_and_render_only_the_rest(
        self, farm: Any, grown: Path, tmp_path: Path
    ) -> None:
        old = {s.key: {name: s.read(name) for name in s.members} for s in Dataset(grown)}
        count = renders(farm.log)
        job = farm.job(tmp_path / "things" / "car", out=grown, add=True, **OPTIONS | {"views": 5})
        farm.submit(job)

        assert renders(farm.log) - count == 6 * 3
        dataset = Dataset(grown)
        assert len(dataset) == 6 and dataset.complete
        for sample in dataset:
            assert len(sample.views) == 5
            for name, data in old[sample.key].items():
                assert name == "json" or sample.read(name) == data

        fresh = farm.job(tmp_path / "things" / "car", out=tmp_path / "fresh",
                            **OPTIONS | {"views": 5})  # fmt: skip
        farm.submit(fresh)
        for sample in Dataset(fresh.folder):
            (same,) = [s for s in dataset if s.key == sample.key]
            assert same.pixels == sample.pixels and same.meta == sample.meta

    def test_readers_keep_the_old_dataset_until_the_new_one_is_whole(
        self, farm: Any, children: Any, grown: Path, tmp_path: Path
    ) -> None:
        old = Dataset(grown)
        pixels = [s.pixels for s in old]
        job = farm.job(tmp_path / "things" / "car", out=grown, add=True, **OPTIONS | {"views": 3})
        with pytest.raises(children.Killed):
            farm.submit(job, kill_after=4)

        half = Dataset(grown)
        assert half.id == old.id and [s.pixels for s in half] == pixels
        assert all(len(s.views) == 2 and s.views[1].rgba.any() for s in half)
        count = renders(farm.log)
        farm.submit(job)
        assert renders(farm.log) - count == 2 and len(Dataset(grown)[0].views) == 3

    def test_repaired_and_changed_shapes_are_made_and_others_are_not(
        self, farm: Any, tmp_path: Path
    ) -> None:
        folder = write_shapes(tmp_path / "things")
        job = farm.job(folder, out=tmp_path / "out", **OPTIONS)
        farm.submit(job)
        octahedron(folder / "chair" / "broken.obj", 0.5, 1, 0.5)
        octahedron(folder / "car" / "car2.obj", 2, 1, 1)
        count = renders(farm.log)
        with pytest.raises(ValueError, match="changed"):
            render.prepare(job, render.scan(job))
        farm.submit(dataclasses.replace(job, add=True))

        dataset = Dataset(job.folder)
        assert renders(farm.log) - count == 2 * 2
        assert len(dataset) == 9 and list(dataset.failed()) == [] and dataset.complete

    def test_what_failed_and_has_not_changed_is_listed_once(
        self, farm: Any, tmp_path: Path
    ) -> None:
        folder = write_shapes(tmp_path / "things")
        options = {"out": tmp_path / "out", **OPTIONS}
        farm.submit(farm.job(folder / "chair", **options))
        more = [folder / name for name in ("car", "chair")]
        ran = farm.submit(farm.job(*more, add=True, **options))

        assert "chair-broken" not in ran.started
        assert [f["id"] for f in Dataset(tmp_path / "out").failed()] == ["chair-broken"]

    def test_the_same_again_with_add_does_nothing(self, farm: Any, grown: Path) -> None:
        job = farm.job(grown.parent / "things" / "car", out=grown, add=True, **OPTIONS)
        assert farm.submit(job).started == []

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"size": 32}, r"cannot change size \(24, not 32\)"),
            ({"seed": 5}, r"cannot change seed \(0, not 5\)"),
            ({"views": 1}, r"cannot take views away \(2, not 1\)"),
        ],
    )
    def test_what_no_growing_can_change_is_refused(
        self, farm: Any, undisturbed: Undisturbed, shapes: Path, change: Any, told: str
    ) -> None:
        job = farm.job(shapes, out=undisturbed.folder, add=True, **OPTIONS | change)
        with pytest.raises(ValueError, match=told):
            render.scan(job)

    def test_an_unfinished_dataset_is_finished_first(
        self, farm: Any, shapes: Path, tmp_path: Path
    ) -> None:
        job = farm.job(shapes, out=tmp_path / "out", **OPTIONS)
        scanned = render.scan(job)
        render.prepare(job, scanned)
        render.publish(job, scanned, [], False)
        with pytest.raises(ValueError, match="not finished"):
            render.scan(dataclasses.replace(job, add=True, views=3))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 200 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


class TestDisks:
    def test_a_full_disk_is_told_leaves_nothing_half_written_and_the_job_resumes(
        self, farm: Any, undisturbed: Undisturbed, shapes: Path, small_disk: Path
    ) -> None:
        job = farm.job(shapes, out=small_disk / "out", **OPTIONS)
        scanned = render.scan(job)
        storage.write(small_disk / "other", b"x" * 100_000)
        if render.estimate(job, scanned)["bytes"] > storage.free_bytes(small_disk):
            with pytest.raises(ValueError, match="are free there"):
                render.prepare(job, scanned)
            (small_disk / "other").unlink()
            subprocess.run(["mount", "-o", "remount,size=900k", str(small_disk)], check=True)
            render.prepare(job, scanned)
            free = storage.free_bytes(small_disk)
            (small_disk / "other").write_bytes(b"x" * (free - 120_000))
        ran = farm.submit(job)

        (error,) = ran.errors
        assert error["class"] == "environment" and error["stop"] and "No space" in error["reason"]
        assert left_behind(job.folder) == []
        for tar in job.folder.glob("*.tar"):  # a tar without its side-car does not count
            sidecar = shards.sidecar_path(tar)
            if sidecar.exists():
                assert storage.sha256_of_file(tar) == storage.read_json(sidecar)["sha256"]
        (small_disk / "other").unlink()
        subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
        again = farm.submit(job)

        assert again.errors == [] and products(job.folder) == products(undisturbed.folder)

    def test_a_read_only_disk_is_told_and_the_job_resumes(
        self, farm: Any, undisturbed: Undisturbed, shapes: Path, small_disk: Path
    ) -> None:
        subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
        job = farm.job(shapes, out=small_disk / "out", **OPTIONS)
        scanned = render.scan(job)
        render.prepare(job, scanned)
        (first, *_) = render.plan(job, scanned)
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        errors: list[dict[str, Any]] = []
        assert farm.attempt(job, first, errors=errors) is None
        (error,) = errors
        assert error["class"] == "environment" and error["stop"]
        assert "Read-only" in error["reason"]
        with pytest.raises(OSError, match="Read-only"):
            render.publish(job, scanned, [], False)
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
        farm.submit(job)

        assert products(job.folder) == products(undisturbed.folder)


def test_the_job_file_imports_without_blender_numpy_or_the_queue(tmp_path: Path) -> None:
    import sys

    code = "import sys; import renderer.jobs.render; print(sorted(set(sys.modules) & {'bpy', 'numpy', 'celery', 'cv2', 'trimesh', 'PIL'}))"  # noqa: E501
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert json.loads(found.stdout.replace("'", '"')) == []
