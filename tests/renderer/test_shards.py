"""Shards: ordinary tar files, that other programs read too, with an index that is swapped last."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from renderer import shards, storage
from renderer.content import describe_view
from renderer.members import PASSES, decode_member, encode_array, encode_image, pixels_hash
from renderer.shards import Dataset, Record

SPLITS = ("train", "val", "test")


def make(key: str, number: int, views: int = 2) -> Record:
    """A sample whose every pixel tells its number."""
    members: dict[str, bytes] = {}
    arrays: dict[str, Any] = {}
    rgba = np.full((6, 8, 4), number % 256, np.uint8)
    for view in range(views):
        arrays[f"{view:02d}.rgba.png"] = rgba
        arrays[f"{view:02d}.depth.png"] = np.full((6, 8), 1000 + number, np.uint16)
        normal = np.zeros((6, 8, 3), np.uint16)
        normal[2:4, :] = (65535, 32768, 32768)
        arrays[f"{view:02d}.normal.png"] = normal
    points = np.full((4, 3), number, np.float32)
    arrays |= {"points.npy": points, "normals.npy": points}
    meta = {
        "version": 1,
        "key": key,
        "depth_scale": 5e-5,
        "size": [8, 6],
        "shape": {"id": key, "category": "car", "synset": None, "sha256": "0" * 64},
        "views": [
            {
                "intrinsics": np.eye(3).tolist(),
                "world_to_camera": np.eye(4).tolist(),
                "azimuth_deg": 10.0 * view,
                "elevation_deg": 20.0,
                "distance": 2.0,
                **describe_view(rgba),
            }
            for view in range(views)
        ],
    }
    members["json"] = storage.canonical_json(meta)
    for name, array in arrays.items():
        kind = name.split(".")[1]
        members[name] = encode_image(kind, array) if name.endswith("png") else encode_array(array)
    return shards.make_record(key, members, pixels_hash(arrays))


def write(folder: Path, per_shard: int = 3, shards_each: tuple[int, ...] = (3, 1, 1)) -> Path:
    """A dataset of `car-0`, `car-1`, ...: nine to train, three to validate, three to test."""
    entries, number = [], 0
    splits: dict[str, list[str]] = {}
    for split, count in zip(SPLITS, shards_each, strict=True):
        for shard in range(count):
            name = f"{split}-{shard:06d}"
            records = [make(f"car-{n}", n) for n in range(number, number + per_shard)]
            number += per_shard
            failed = [{"id": f"bad-{name}", "class": "bad_input", "reason": "no faces", "tries": 1}]
            sidecar = shards.write_shard(folder, name, iter(records), failed)
            tar = folder / f"{name}.tar"
            entries.append(
                {
                    "name": tar.name,
                    "split": split,
                    "samples": per_shard,
                    "bytes": tar.stat().st_size,
                    "sha256": sidecar["sha256"],
                }
            )
            splits.setdefault(split, []).append(tar.name)
    shards.write_index(
        folder,
        {
            "version": shards.VERSION,
            "complete": True,
            "job": {},
            "parent": None,
            "created_with": {},
            "conventions": {},
            "members": [],
            "splits": splits,
            "shards": entries,
            "sources": [],
        },
    )
    return folder


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("written"))


class TestOtherReaders:
    def test_tarfile_reads_every_member_in_order_and_nothing_tells_when_or_by_whom(
        self, written: Path
    ) -> None:
        with tarfile.open(written / "train-000000.tar") as tar:
            infos = tar.getmembers()
            names = [info.name for info in infos]
            assert tar.extractfile(infos[0]).read().startswith(b"{")  # type: ignore[union-attr]

        assert names[0] == "car-0.json"
        assert [n.split(".", 1)[0] for n in names] == [f"car-{n // 9}" for n in range(27)]
        assert {(i.mtime, i.uid, i.gid, i.uname, i.gname, i.mode, i.isfile()) for i in infos} == {
            (0, 0, 0, "", "", 0o644, True)
        }

    def test_tar_files_end_as_tar_does(self, written: Path) -> None:
        data = (written / "train-000000.tar").read_bytes()

        assert len(data) % 10240 == 0 and data.endswith(b"\0" * 1024)

    # webdataset leaves the files that it has read to the garbage collector.
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_webdataset_reads_them_unchanged_with_the_keys_and_members_of_the_format(
        self, written: Path
    ) -> None:
        webdataset = pytest.importorskip("webdataset")
        urls = [str(written / f"train-{n:06d}.tar") for n in range(3)]

        plain = list(webdataset.WebDataset(urls, shardshuffle=False))
        decoded = list(webdataset.WebDataset(urls, shardshuffle=False).decode(decode_member))

        assert [sample["__key__"] for sample in plain] == [f"car-{n}" for n in range(9)]
        assert set(plain[0]) - {"__key__", "__url__", "__local_path__"} == {
            "json", "points.npy", "normals.npy",
            *[f"{v:02d}.{k}.png" for v in range(2) for k in ("rgba", "depth", "normal")],
        }  # fmt: skip
        for ours, theirs, bytes_ in zip(Dataset(written, "train"), decoded, plain, strict=True):
            for name in ours.members:
                assert bytes_[name] == ours.read(name)
                assert np.array_equal(theirs[name], ours.decode(name))

    def test_a_key_as_long_as_allowed_stays_whole(self, tmp_path: Path) -> None:
        key = "k" * 100
        shards.write_shard(tmp_path, "train-000000", iter([make(key, 1)]), [])

        with tarfile.open(tmp_path / "train-000000.tar") as tar:
            assert {n.split(".", 1)[0] for n in tar.getnames()} == {key}


class TestSidecar:
    def test_says_where_every_member_lies_and_its_hash(self, written: Path) -> None:
        sidecar = json.loads((written / "train-000001.json").read_bytes())
        data = (written / "train-000001.tar").read_bytes()
        with tarfile.open(written / "train-000001.tar") as tar:
            for sample in sidecar["samples"]:
                for member, (offset, size, sha) in sample["members"].items():
                    info = tar.getmember(f"{sample['key']}.{member}")
                    assert (info.offset_data, info.size) == (offset, size)
                    assert storage.sha256(data[offset : offset + size]) == sha

        assert storage.sha256(data) == sidecar["sha256"]
        assert sidecar["shard"] == "train-000001.tar" and sidecar["version"] == 1

    def test_lists_what_failed(self, written: Path) -> None:
        failed = list(Dataset(written).failed())

        assert [f["id"] for f in failed] == [
            f"bad-{s}-{n:06d}" for s, c in zip(SPLITS, (3, 1, 1), strict=True) for n in range(c)
        ]
        assert failed[0]["class"] == "bad_input" and failed[0]["tries"] == 1

    def test_the_same_samples_give_the_same_bytes(self, tmp_path: Path, written: Path) -> None:
        write(tmp_path)

        for path in written.iterdir():
            assert (tmp_path / path.name).read_bytes() == path.read_bytes()

    def test_a_shard_without_samples_is_a_tar_that_opens(self, tmp_path: Path) -> None:
        sidecar = shards.write_shard(tmp_path, "train-000000", iter([]), [{"id": "x"}])

        with tarfile.open(tmp_path / "train-000000.tar") as tar:
            assert tar.getnames() == []
        assert sidecar["samples"] == []

    def test_an_error_within_leaves_neither_tar_nor_sidecar(self, tmp_path: Path) -> None:
        def records() -> Any:
            yield make("car-0", 0)
            raise OSError("the disk is full")

        with pytest.raises(OSError, match="full"):
            shards.write_shard(tmp_path, "train-000000", records(), [])
        assert list(tmp_path.iterdir()) == []


class TestStaging:
    def test_a_sample_comes_back_as_it_was(self, tmp_path: Path) -> None:
        record = make("car-7", 7)
        shards.stage(tmp_path, record, {"seconds": 1.5})

        back = shards.staged(tmp_path, "car-7")

        assert back is not None and back.log == {"seconds": 1.5}
        assert (back.key, back.data, back.members, back.pixels) == (
            record.key, record.data, record.members, record.pixels,
        )  # fmt: skip

    def test_shards_from_staged_and_from_fresh_samples_are_the_same(self, tmp_path: Path) -> None:
        records = [make(f"car-{n}", n) for n in range(3)]
        for record in records:
            shards.stage(tmp_path / "staging", record, {})
        again = [shards.staged(tmp_path / "staging", r.key) for r in records]
        shards.write_shard(tmp_path, "one-000000", iter(records), [])
        shards.write_shard(tmp_path, "two-000000", iter(r for r in again if r), [])

        one, two = (tmp_path / f"{name}-000000.tar" for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()

    @pytest.mark.parametrize(
        "damage",
        ["no json", "no tar", "short tar", "long tar", "one bit", "empty json", "half json",
         "no object", "no hash", "another version", "another key", "members that are no object"],
    )  # fmt: skip
    def test_what_was_damaged_is_made_again(self, tmp_path: Path, damage: str) -> None:
        shards.stage(tmp_path, make("car-7", 7), {})
        tar, note = tmp_path / "car-7.tar", tmp_path / "car-7.json"
        data, said = tar.read_bytes(), json.loads(note.read_bytes())
        flipped = data[:700] + bytes([data[700] ^ 1]) + data[701:]
        {
            "no json": note.unlink,
            "no tar": tar.unlink,
            "short tar": lambda: tar.write_bytes(data[:-512]),
            "long tar": lambda: tar.write_bytes(data + b"\0" * 512),
            "one bit": lambda: tar.write_bytes(flipped),
            "empty json": lambda: note.write_bytes(b""),
            "half json": lambda: note.write_bytes(note.read_bytes()[:50]),
            "no object": lambda: note.write_bytes(b"[]"),
            "no hash": lambda: note.write_bytes(b'{"version": 1}'),
            "another version": lambda: note.write_bytes(
                storage.canonical_json({**said, "version": 2})
            ),
            "another key": lambda: note.write_bytes(
                storage.canonical_json({**said, "key": "car-8"})
            ),
            "members that are no object": lambda: note.write_bytes(
                storage.canonical_json({**said, "members": None})
            ),
        }[damage]()

        assert shards.staged(tmp_path, "car-7") is None


class TestDataset:
    def test_opens_in_one_line(self, written: Path) -> None:
        assert Dataset(str(written))[0].views[0].rgba.shape == (6, 8, 4)

    def test_is_a_sequence_of_samples_over_all_shards(self, written: Path) -> None:
        dataset = Dataset(written)

        assert len(dataset) == 15
        assert [s.key for s in dataset] == [f"car-{n}" for n in (*range(15),)]
        assert [dataset[n].key for n in range(15)] == [s.key for s in dataset]
        assert dataset[-1].key == "car-14" and dataset[-15].key == "car-0"
        assert [s.key for s in dataset[2:14:5]] == ["car-2", "car-7", "car-12"]
        assert [s.key for s in dataset[::-1]] == [f"car-{n}" for n in range(14, -1, -1)]
        assert dataset[100:] == []
        for n, sample in enumerate(dataset):
            assert (sample.points == n).all() and (sample.views[1].raw("depth") == 1000 + n).all()

    @pytest.mark.parametrize("number", [15, -16, 10**9])
    def test_a_number_beyond_the_end_is_an_index_error(self, written: Path, number: int) -> None:
        with pytest.raises(IndexError, match=f"sample {number} of 15"):
            Dataset(written)[number]

    @pytest.mark.parametrize(("split", "count"), [("train", 9), ("val", 3), ("test", 3)])
    def test_a_split_is_a_dataset_of_its_own(self, written: Path, split: str, count: int) -> None:
        dataset = Dataset(written, split)

        assert len(dataset) == len(list(dataset)) == count
        assert {s.tar.name.partition("-")[0] for s in dataset} == {split}

    def test_an_unknown_split_is_refused_and_the_known_ones_are_named(self, written: Path) -> None:
        with pytest.raises(ValueError, match=r"no split 'dev' in .*; there are train, val, test"):
            Dataset(written, "dev")

    def test_a_folder_without_a_dataset_is_refused_with_the_remedy(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        for place in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
            with pytest.raises(FileNotFoundError, match=r"no dataset in .*farm submit render"):
                Dataset(place)

    def test_another_version_is_refused_with_both_versions(self, tmp_path: Path) -> None:
        (tmp_path / "dataset.json").write_bytes(b'{"version": 7}')
        with pytest.raises(ValueError, match=r"has version 7; this program reads version 1"):
            Dataset(tmp_path)

    @pytest.mark.parametrize("text", [b"[]", b"{}", b"17", b'"version"'])
    def test_a_file_of_another_kind_is_refused(self, tmp_path: Path, text: bytes) -> None:
        (tmp_path / "dataset.json").write_bytes(text)
        with pytest.raises(ValueError, match="not a file of this format"):
            Dataset(tmp_path)

    def test_a_member_that_is_not_there_is_a_key_error_that_names_what_is(
        self, written: Path
    ) -> None:
        with pytest.raises(KeyError, match=r"car-0 has no 00\.mask\.png; it has json, 00\.rgba"):
            Dataset(written)[0].read("00.mask.png")
        view = Dataset(written)[0].views[0]
        assert view.has("rgba") and not view.has("mask")

    def test_a_shard_that_was_cut_off_is_told_by_name(self, tmp_path: Path) -> None:
        write(tmp_path)
        tar = tmp_path / "train-000000.tar"
        tar.write_bytes(tar.read_bytes()[:2000])
        with pytest.raises(ValueError, match=r"train-000000\.tar ends before byte"):
            Dataset(tmp_path)[2].read("points.npy")

    def test_depth_and_normals_come_in_units_that_people_use(self, written: Path) -> None:
        view = Dataset(written)[3].views[0]

        assert view.depth.dtype == np.float32 and np.allclose(view.depth, 1003 * 5e-5)
        assert np.allclose(view.normal[0, 0], 0) and np.allclose(view.normal[2, 0, 0], 1)
        assert view.normal.dtype == np.float32
        assert (view.azimuth_deg, view.elevation_deg, view.distance) == (0, 20, 2)

    def test_says_what_it_is(self, written: Path) -> None:
        dataset = Dataset(written)

        assert "15 samples" in repr(dataset) and "car-3" in repr(dataset[3])
        assert dataset.complete and dataset.id == shards.dataset_id(dataset.index)


class TestIndex:
    def test_id_changes_with_every_shard_and_not_with_the_machine(self, written: Path) -> None:
        index = Dataset(written).index
        other = json.loads(json.dumps(index))
        other["created_with"] = {"bpy": "another"}
        assert shards.dataset_id(other) == index["id"]
        other["shards"][2]["sha256"] = "0" * 64
        assert shards.dataset_id(other) != index["id"]

    def test_a_reader_sees_a_whole_dataset_while_the_index_is_swapped(self, tmp_path: Path) -> None:
        write(tmp_path)
        index = {k: v for k, v in Dataset(tmp_path).index.items() if k != "id"}
        stop = threading.Event()

        def swap() -> None:
            count = 0
            while not stop.is_set():
                count = count % 5 + 1
                shards.write_index(tmp_path, {**index, "shards": index["shards"][:count]})

        writer = threading.Thread(target=swap)
        writer.start()
        try:
            for _ in range(40):
                dataset = Dataset(tmp_path)
                assert dataset.id == shards.dataset_id(dataset.index)
                assert [s.key for s in dataset] == [f"car-{n}" for n in range(len(dataset))]
        finally:
            stop.set()
            writer.join()

    def test_what_a_dataset_holds_is_fixed_when_it_is_opened(self, tmp_path: Path) -> None:
        write(tmp_path, shards_each=(1, 0, 0))
        opened = Dataset(tmp_path)
        write(tmp_path, shards_each=(3, 1, 1))

        assert len(opened) == 3 and [s.key for s in opened] == ["car-0", "car-1", "car-2"]
        assert len(Dataset(tmp_path)) == 15


class TestNames:
    def test_members_of_a_sample_lie_in_the_order_of_views_and_passes(self) -> None:
        assert shards.expected_members(("depth", "rgba"), 2, 10) == [
            "json", "00.rgba.png", "00.depth.png", "01.rgba.png", "01.depth.png",
            "points.npy", "normals.npy",
        ]  # fmt: skip
        assert len(shards.expected_members(PASSES, 160, 0)) == 1 + 160 * 5
        assert shards.expected_members(PASSES, 160, 0)[-1] == "159.mask.png"

    def test_a_shards_number_is_in_its_name(self) -> None:
        assert shards.shard_number("train-000017.tar") == 17
        with pytest.raises(ValueError, match=r"x\.tar is not the name of a shard"):
            shards.shard_number("x.tar")

    def test_depth_fits_16_bits_for_every_point_of_a_shape(self) -> None:
        assert (2 + 0.5) / shards.DEPTH_SCALE < 65535

    def test_offsets_stay_right_where_a_record_needs_a_long_name(self) -> None:
        record = make("n" * 99, 1)
        for name, (at, size, sha) in record.members.items():
            assert storage.sha256(record.data[at : at + size]) == sha, name
        with tarfile.open(fileobj=io.BytesIO(record.data + b"\0" * 1024)) as tar:
            assert len(tar.getmembers()) == 9
