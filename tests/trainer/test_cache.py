"""Decoded pictures are kept once per machine: bounded, shared, and never half a picture."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import resource
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from tests.trainer.datasets import make_dataset
from trainer import cache
from trainer.data import Item, Reader, Snapshot
from trainer.errors import DatasetRefused

FORK = multiprocessing.get_context("fork")
VIEWS = 3
SLOT = 32 * 32 * 4


@pytest.fixture(scope="module")
def cars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data") / "cars", views=VIEWS)


@pytest.fixture(scope="module")
def planes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data") / "planes", ("planes",), views=VIEWS)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "shapefarm" / "decoded"


class TestKept:
    def test_what_was_decoded_once_is_not_read_from_the_shards_again(
        self, cars: Path, tmp_path: Path
    ) -> None:
        own = Path(shutil.copytree(cars, tmp_path / "own"))
        snapshot = Snapshot.take([own])
        wanted = read_all(Reader(snapshot), snapshot, "depth")
        shutil.rmtree(own)

        found = read_all(Reader(snapshot), snapshot, "depth")
        assert same(found, wanted) and found[0].dtype == np.uint16

    def test_copies_of_a_dataset_share_it(self, cars: Path, tmp_path: Path, folder: Path) -> None:
        for place in (cars, Path(shutil.copytree(cars, tmp_path / "own"))):
            snapshot = Snapshot.take([place])
            read_all(Reader(snapshot), snapshot)

        assert [path.name for path in folder.glob("*/*")] == ["rgba.slots"]

    def test_a_picture_of_another_size_is_not_kept(self, cars: Path) -> None:
        kept = cache.Cache("some", slots=4)
        kept.put("rgba", 0, np.ones((4, 4, 4), np.uint8))
        kept.put("rgba", 1, np.ones((4, 5, 4), np.uint8))
        kept.put("rgba", 2, np.ones((4, 4, 4), np.uint16))

        assert [kept.get("rgba", slot) is not None for slot in range(4)] == [True] + [False] * 3


class TestBelieved:
    def test_a_slot_without_its_state_is_not(self, cars: Path) -> None:
        """As a process leaves it that is killed between the two."""
        snapshot = Snapshot.take([cars])
        item = snapshot.items("train")[0]
        wanted = Reader(snapshot).image(item, 0)
        parent, child = FORK.Pipe()

        def half() -> None:
            reader = Reader(snapshot)
            reader.image(item, 0)
            slots = reader._caches[0]._files["rgba"]  # type: ignore[union-attr]
            assert slots is not None
            os.pwrite(slots.file, b"\xff" * (SLOT // 2), slots.first + SLOT)
            child.send(True)
            signal.pause()

        process = FORK.Process(target=half)
        process.start()
        assert parent.recv() and process.pid
        os.kill(process.pid, signal.SIGKILL)
        process.join()

        assert (Reader(snapshot).image(item, 0) == wanted).all()
        for _ in range(2):
            for view in range(VIEWS):
                decoded = Reader(snapshot, cache=False).image(item, view)
                assert (Reader(snapshot).image(item, view) == decoded).all()

    @pytest.mark.parametrize("change", ["boot", "version", "no header", "no object", "cut off"])
    def test_a_file_of_another_boot_or_form_is_not(
        self, cars: Path, folder: Path, change: str
    ) -> None:
        snapshot = Snapshot.take([cars])
        wanted = read_all(Reader(snapshot, cache=False), snapshot)
        read_all(Reader(snapshot), snapshot)
        (path,) = folder.glob("*/rgba.slots")
        spoil(path, change)

        assert same(read_all(Reader(snapshot), snapshot), wanted)
        assert same(read_all(Reader(snapshot), snapshot), wanted)
        assert header(path)["boot"] == cache.boot() and header(path)["shape"] == [32, 32, 4]


class TestProcesses:
    def test_several_at_once_read_and_fill_it_rightly(self, cars: Path, folder: Path) -> None:
        snapshot = Snapshot.take([cars])
        wanted = read_all(Reader(snapshot, cache=False), snapshot)

        def work(seed: int) -> None:
            reader, tasks = Reader(snapshot), pictures(snapshot)
            for number in np.random.default_rng(seed).permutation(len(tasks) * 5):
                number %= len(tasks)
                assert (reader.image(*tasks[number]) == wanted[number]).all()

        processes = [FORK.Process(target=work, args=(seed,)) for seed in range(4)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()

        assert [process.exitcode for process in processes] == [0] * 4
        (path,) = folder.glob("*/*")
        states = np.fromfile(path, np.uint8, len(wanted), offset=4096)
        assert states.all() and not list(folder.rglob("*.part"))


class TestBound:
    def test_what_has_no_room_is_decoded_each_time_and_training_comes_first(
        self, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cars = make_dataset(tmp_path / "cars", views=VIEWS)
        monkeypatch.setenv("FARM_CACHE_GB", str((2 * 4096 + 10.5 * SLOT) / 1e9))
        snapshot = Snapshot.take([cars])
        wanted = read_all(Reader(snapshot, cache=False), snapshot)
        for _ in range(2):
            assert same(read_all(Reader(snapshot), snapshot), wanted)

        (path,) = folder.glob("*/*")
        assert path.stat().st_size <= 2 * 4096 + 10.5 * SLOT
        assert header(path)["slots"] == 10
        reader, tasks = Reader(snapshot), pictures(snapshot)
        shutil.rmtree(cars)
        for item, view in tasks[:10]:
            assert reader.image(item, view).any()
        with pytest.raises(DatasetRefused, match="is gone"):
            reader.image(*tasks[10])

    def test_another_pass_takes_the_room_that_is_left(
        self, cars: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bound = 4 * 4096 + 36 * SLOT + 5 * SLOT // 2
        monkeypatch.setenv("FARM_CACHE_GB", str(bound / 1e9))
        snapshot = Snapshot.take([cars])
        for kind in ("rgba", "depth", "rgba", "depth"):
            wanted = read_all(Reader(snapshot, cache=False), snapshot, kind)
            assert same(read_all(Reader(snapshot), snapshot, kind), wanted)

        sizes = {path.name: header(path)["slots"] for path in folder.glob("*/*")}
        assert sizes == {"rgba.slots": 36, "depth.slots": 5}
        assert sum(path.stat().st_size for path in folder.glob("*/*")) <= bound

    def test_old_caches_of_other_datasets_make_room(
        self, cars: Path, planes: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = Snapshot.take([planes]), Snapshot.take([cars])
        read_all(Reader(first), first)
        assert [path.parent.name for path in folder.glob("*/*")] == [first.id]
        monkeypatch.setenv("FARM_CACHE_GB", str((2 * 4096 + 40 * SLOT) / 1e9))
        read_all(Reader(second), second)

        assert [path.parent.name for path in folder.glob("*/*")] == [second.id]
        assert not (folder / first.id).exists()

    def test_of_old_caches_the_one_longest_unused_goes_and_only_where_it_must(
        self, cars: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        image = np.ones((32, 32, 4), np.uint8)
        monkeypatch.setenv("FARM_CACHE_GB", str(3 * (2 * 4096 + 4 * SLOT) / 1e9))
        for age, dataset in ((30, "a"), (20, "b"), (10, "c")):
            cache.Cache(dataset, slots=4).put("rgba", 0, image)
            path = folder / dataset / "rgba.slots"
            os.utime(path, (path.stat().st_mtime - age,) * 2)
        cache.Cache("a", slots=4).put("rgba", 1, image)  # used again
        cache.Cache("d", slots=4).put("rgba", 0, image)

        assert sorted(path.name for path in folder.iterdir()) == ["a", "c", "d", "lock"]

    def test_a_cache_that_is_read_stays(
        self, cars: Path, planes: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = Snapshot.take([planes]), Snapshot.take([cars])
        reader = Reader(first)
        before = read_all(reader, first)
        monkeypatch.setenv("FARM_CACHE_GB", str((2 * 4096 + 30 * SLOT) / 1e9))
        wanted = read_all(Reader(second, cache=False), second)

        assert same(read_all(Reader(second), second), wanted)
        assert same(read_all(reader, first), before)
        assert (folder / first.id / "rgba.slots").exists()

    def test_none_at_all_with_0(
        self, cars: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FARM_CACHE_GB", "0")
        snapshot = Snapshot.take([cars])
        assert read_all(Reader(snapshot), snapshot)[0].any()
        assert not folder.exists()

    @pytest.mark.parametrize("value", ["-1", "lots", "nan", "inf", ""])
    def test_what_is_no_number_is_told_before_anything_is_read(
        self, cars: Path, monkeypatch: pytest.MonkeyPatch, value: str
    ) -> None:
        monkeypatch.setenv("FARM_CACHE_GB", value)
        with pytest.raises(ValueError, match=f"FARM_CACHE_GB={value}: gigabytes from 0 on"):
            Reader(Snapshot.take([cars]))


class TestGoesOnWithout:
    def test_where_no_folder_can_be_made(
        self, cars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").write_bytes(b"")
        snapshot = Snapshot.take([cars])
        wanted = read_all(Reader(snapshot, cache=False), snapshot)
        for place in (tmp_path / "file", Path("/proc/nowhere")):
            monkeypatch.setenv("XDG_CACHE_HOME", str(place))
            assert same(read_all(Reader(snapshot), snapshot), wanted)

    @pytest.mark.parametrize("room", [0, 4096, 2 * 4096 + 7 * SLOT])
    def test_where_the_disk_is_full(self, cars: Path, folder: Path, room: int) -> None:
        snapshot = Snapshot.take([cars])
        wanted = read_all(Reader(snapshot, cache=False), snapshot)

        def work() -> None:
            reader = Reader(snapshot)
            if room > 4096:  # the file is there, its last slots are not
                reader.image(*pictures(snapshot)[0])
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
            for _ in range(2):
                assert same(read_all(reader, snapshot), wanted)

        process = FORK.Process(target=work)
        process.start()
        process.join()

        assert process.exitcode == 0
        assert same(read_all(Reader(snapshot), snapshot), wanted)


class TestPlace:
    MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 22 0:35 / /home rw,relatime shared:20 - nfs4 server:/home rw,vers=4.2
41 40 254:1 / /home/scratch rw - xfs /dev/vdb rw
42 22 0:36 / /mnt/two\\040words rw - cifs //server/words rw
"""

    @pytest.mark.parametrize(
        ("path", "kind"),
        [
            ("/var/cache", "ext4"),
            ("/home/ada/.cache", "nfs4"),
            ("/homeless", "ext4"),
            ("/home/scratch/cache", "xfs"),
            ("/mnt/two words/cache", "cifs"),
        ],
    )
    def test_the_file_system_is_that_of_the_nearest_mount(self, path: str, kind: str) -> None:
        assert cache.file_system(Path(path), self.MOUNTS) == kind

    def test_is_the_cache_folder_of_the_user(self, folder: Path) -> None:
        assert cache.folder() == folder
        assert cache.file_system(Path("/proc/self"), Path("/proc/self/mountinfo").read_text()) == (
            "proc"
        )


# --- details -----------------------------------------------------------------------------------


def pictures(snapshot: Snapshot) -> list[tuple[Item, int]]:
    splits = snapshot.facts.samples
    return [(item, view) for s in splits for item in snapshot.items(s) for view in range(VIEWS)]


def read_all(reader: Reader, snapshot: Snapshot, kind: str = "rgba") -> list[np.ndarray]:
    return [reader.image(item, view, kind) for item, view in pictures(snapshot)]


def same(found: list[np.ndarray], wanted: list[np.ndarray]) -> bool:
    return all((a == b).all() for a, b in zip(found, wanted, strict=True))


def header(path: Path) -> dict[str, object]:
    with path.open("rb") as file:
        found: dict[str, object] = json.loads(file.read(4096).rstrip(b"\0"))
    return found


def spoil(path: Path, change: str) -> None:
    """Another header, and slots that tell if they are believed."""
    said = header(path)
    with path.open("r+b") as file:
        file.seek(2 * 4096)
        file.write(b"\xff" * SLOT * 36)
        file.seek(0)
        if change == "cut off":
            file.truncate(4 * 4096)
        else:
            text = {
                "boot": json.dumps({**said, "boot": "an earlier one"}),
                "version": json.dumps({**said, "version": 0}),
                "no header": "",
                "no object": "[7]",
            }[change]
            file.write(text.encode().ljust(4096, b"\0"))


def test_locks_are_those_of_the_system(folder: Path) -> None:
    """A process that holds the lock and is killed leaves none behind."""
    cache.Cache("some", slots=1).put("rgba", 0, np.ones((4, 4, 4), np.uint8))
    parent, child = FORK.Pipe()

    def hold() -> None:
        with (folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            child.send(True)
            signal.pause()

    process = FORK.Process(target=hold)
    process.start()
    assert parent.recv() and process.pid
    os.kill(process.pid, signal.SIGKILL)
    process.join()

    cache.Cache("other", slots=1).put("rgba", 0, np.ones((4, 4, 4), np.uint8))
    assert (folder / "other" / "rgba.slots").exists()
