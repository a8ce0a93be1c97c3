"""An object store: addresses, requests, and how its troubles are told."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from renderer import s3, storage
from renderer.errors import StoreUnavailable
from tests.object_store import CREDENTIALS, Server, Wire, until


class TestAnAddress:
    def test_is_taken_apart_and_joined_like_a_path(self) -> None:
        shard = storage.place("s3://lab/data/cars/") / "train-000000.tar"

        assert isinstance(shard, s3.Address)
        assert str(shard) == "s3://lab/data/cars/train-000000.tar"
        assert (shard.name, shard.stem, shard.suffix) == (
            "train-000000.tar",
            "train-000000",
            ".tar",
        )
        assert str(shard.parent) == "s3://lab/data/cars"
        assert str(shard.with_suffix(".log.json")) == "s3://lab/data/cars/train-000000.log.json"

    @pytest.mark.parametrize(
        "text", ["s3://", "s3://lab", "s3://lab/", "s3://Lab/x", "s3://lab/a/../b", "s3://lab/a//b"]
    )
    def test_that_is_misspelled_is_refused_in_one_line(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"s3://BUCKET/FOLDER is wanted"):
            storage.place(text)

    @pytest.mark.parametrize("name", ["/secrets/x", "../secrets/x", "a/../../x"])
    def test_is_not_left_by_a_name_out_of_somebody_s_file(self, name: str) -> None:
        with pytest.raises(ValueError, match="leads out of it"):
            storage.place("s3://lab/data/cars") / name

    def test_is_no_path_of_this_machine(self) -> None:
        assert storage.absolute("s3://lab/data", Path("/home")) == "s3://lab/data"
        assert storage.absolute("data/../cars", Path("/home")) == "/home/cars"
        with pytest.raises(ValueError, match="cannot be in an object store"):
            storage.absolute_path("s3://lab/shapes", Path("/home"))
        with pytest.raises(TypeError):
            os.stat(s3.parse("s3://lab/data"))  # type: ignore[call-overload]

    def test_of_a_content_is_the_contents_own_and_has_its_plain_name(self) -> None:
        tar = storage.place("s3://lab/cars/train-000000.tar")
        one, other = (storage.by_content(tar, digest * 64) for digest in "ab")

        assert one != other and one.name == f"train-000000.{'a' * 16}.tar"
        assert storage.plain_name(one) == "train-000000.tar"
        assert (
            storage.by_content(Path("cars/train-000000.tar"), "a" * 64).name == "train-000000.tar"
        )


class TestObjects:
    def test_are_written_read_in_parts_measured_listed_and_removed(self, bucket: str) -> None:
        folder = storage.place(f"{bucket}/data/cars")
        for name in ("a.tar", "b.tar", "b.json", "deep/er.tar"):
            storage.write(folder / name, name.encode())

        assert storage.read(folder / "a.tar") == b"a.tar"
        assert storage.read_range(folder / "a.tar", 2, 3) == b"tar"
        assert storage.size(folder / "deep/er.tar") == 11
        assert storage.names(folder, "*.tar") == ["a.tar", "b.tar"]
        assert storage.exists(folder / "a.tar") and not storage.exists(folder / "a")
        assert storage.in_use(folder) and not storage.in_use(storage.place(f"{bucket}/data/car"))
        storage.remove(folder / "a.tar", folder / "never.tar")
        storage.remove_folder(folder / "deep")
        assert [one.name for one in s3.under(folder)] == ["b.json", "b.tar"]

    def test_that_are_not_there_are_missing_files(self, bucket: str) -> None:
        path = storage.place(f"{bucket}/nothing")

        for ask in (storage.read, storage.size, storage.read_json):
            with pytest.raises(FileNotFoundError):
                ask(path)
        assert storage.version(path) is None
        storage.remove(path)
        storage.remove_folder(path)

    def test_that_end_before_a_range_are_refused_by_name(self, bucket: str) -> None:
        path = storage.place(f"{bucket}/file")
        storage.write(path, bytes(10))

        assert storage.read_range(path, 10, 0) == b""
        for offset, size in ((5, 6), (10, 1), (90, 1), (-5, 3), (3, -1)):
            with pytest.raises(ValueError, match=f"{path} ends before byte {offset + size}"):
                storage.read_range(path, offset, size)

    def test_of_json_are_bounded_like_files(
        self, bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(storage, "LONGEST_JSON", 10)
        for name, text in (("ten", b'"12345678"'), ("more", b'"123456789"')):
            storage.write(storage.place(f"{bucket}/{name}"), text)

        assert storage.read_json(storage.place(f"{bucket}/ten")) == "12345678"
        with pytest.raises(ValueError, match="more has more than 10 bytes of JSON"):
            storage.read_json(storage.place(f"{bucket}/more"))

    def test_appear_whole_at_the_end_or_not_at_all(self, bucket: str) -> None:
        path = storage.place(f"{bucket}/file")
        with storage.replacing(path) as file:
            file.write(b"one")
            assert not storage.exists(path)
        with pytest.raises(KeyboardInterrupt), storage.replacing(path) as file:
            file.write(b"half of the ne")
            raise KeyboardInterrupt

        assert storage.read(path) == b"one"
        with storage.on_disk(path) as here:
            assert here.read_bytes() == b"one"
        assert not here.exists()

    def test_of_several_parts_arrive_whole(self, bucket: str, tmp_path: Path) -> None:
        large = tmp_path / "large"
        large.write_bytes(os.urandom(1 << 20) * 34)
        path = storage.place(f"{bucket}/large")
        assert isinstance(path, s3.Address)

        s3.upload(path, large)
        storage.fetch(path, tmp_path / "back")

        assert storage.sha256_of_file(tmp_path / "back") == storage.sha256_of_file(large)
        assert storage.version(path) and "-" in str(storage.version(path))  # an ETag of parts


class TestAConditionalWrite:
    def test_is_won_by_whoever_comes_first(self, bucket: str) -> None:
        path = storage.place(f"{bucket}/dataset.json")

        assert storage.write_if(path, b"first", None)
        assert not storage.write_if(path, b"late double", None)
        seen = storage.version(path)
        assert storage.write_if(path, b"second", seen)
        assert not storage.write_if(path, b"late double", seen)
        assert storage.read(path) == b"second"

    def test_loses_where_what_it_saw_is_gone(self, bucket: str) -> None:
        path = storage.place(f"{bucket}/dataset.json")
        storage.write(path, b"first")
        seen = storage.version(path)
        storage.remove(path)

        assert not storage.write_if(path, b"second", seen)

    def test_whose_answer_was_lost_has_still_won(self, bucket: str, wire: Wire) -> None:
        path = storage.place(f"{bucket}/dataset.json")
        assert storage.version(path) is None
        wire.down = 1  # the request arrives, its answer does not
        threading.Thread(target=_mend_after_a_cut, args=(wire,)).start()

        assert storage.write_if(path, b"mine", None)
        assert wire.cuts >= 1

    def test_is_refused_by_name_where_the_store_takes_no_notice_of_conditions(
        self, bucket: str, wire: Wire
    ) -> None:
        wire.hide = b"If-None-Match"

        with pytest.raises(StoreUnavailable, match=f"{bucket} takes no notice of If-None-Match"):
            storage.write_if(storage.place(f"{bucket}/job.json"), b"mine", None)

    def test_in_a_folder_always_writes(self, tmp_path: Path) -> None:
        assert storage.version(tmp_path / "file") is None
        assert storage.write_if(tmp_path / "file", b"one", None)
        assert storage.write_if(tmp_path / "file", b"two", None)
        assert (tmp_path / "file").read_bytes() == b"two"


class TestACutWire:
    def test_in_the_middle_of_an_upload_leaves_nothing_and_a_retry_heals(
        self, s3_server: Server, bucket: str, wire: Wire
    ) -> None:
        path = storage.place(f"{bucket}/train-000000.tar")
        assert not storage.exists(path)
        data = os.urandom(600_000)
        wire.up = 300_000
        writer = threading.Thread(target=storage.write, args=(path, data))
        writer.start()
        until(lambda: wire.cuts >= 2)

        assert s3_server.keys(bucket) == []
        wire.mend()
        writer.join(60)
        assert storage.read(path) == data

    def test_in_the_middle_of_a_part_leaves_nothing_of_the_others(
        self, s3_server: Server, bucket: str, wire: Wire, tmp_path: Path
    ) -> None:
        large = tmp_path / "large"
        large.write_bytes(bytes(34 << 20))
        path = storage.place(f"{bucket}/large")
        assert isinstance(path, s3.Address) and not storage.exists(path)
        wire.up = 20 << 20
        writer = threading.Thread(target=s3.upload, args=(path, large))
        writer.start()
        until(lambda: wire.cuts >= 2)

        assert s3_server.keys(bucket) == []
        wire.mend()
        writer.join(60)
        assert s3_server.keys(bucket) == ["large"] and storage.size(path) == 34 << 20

    def test_in_the_middle_of_a_download_is_mended_by_asking_again(
        self, bucket: str, wire: Wire, tmp_path: Path
    ) -> None:
        path = storage.place(f"{bucket}/train-000000.tar")
        data = os.urandom(600_000)
        storage.write(path, data)
        wire.down = 300_000
        threading.Thread(target=_mend_after_a_cut, args=(wire,)).start()
        storage.fetch(path, tmp_path / "tar")

        assert (tmp_path / "tar").read_bytes() == data and wire.cuts


def test_beneath_storage_roots_alone_anything_is_asked_for(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(s3.ROOTS, f"{bucket}/data {bucket}/runs/")

    storage.write(storage.place(f"{bucket}/data/cars/x"), b"1")
    assert storage.names(storage.place(f"{bucket}/data"), "*") == []
    inside = storage.place(f"{bucket}/data/a")
    for path in (f"{bucket}/database", f"{bucket}/runs-of-others/x", "s3://elsewhere/data/x"):
        for ask in (storage.read, storage.in_use, lambda path: storage.remove(inside, path)):
            with pytest.raises(StoreUnavailable, match=f"{path} lies outside of the storage roots"):
                ask(storage.place(path))
    monkeypatch.setenv(s3.ROOTS, "")  # the roots are folders
    with pytest.raises(StoreUnavailable, match="outside"):
        storage.read(storage.place(f"{bucket}/data/cars/x"))


class TestTroubles:
    """Each in one line, with the remedy, and without a secret."""

    def test_no_bucket(self, bucket: str) -> None:
        for ask in (storage.read, lambda path: storage.write(path, b"")):
            with pytest.raises(
                StoreUnavailable, match=r"no bucket s3://bucket-none at http.*create"
            ):
                ask(storage.place("s3://bucket-none/cars/dataset.json"))

    def test_no_credentials(self, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        s3.forget()

        with pytest.raises(StoreUnavailable, match=r"no credentials for s3://.*AWS_ACCESS_KEY_ID"):
            storage.read(storage.place(f"{bucket}/x"))

    def test_no_answer_is_told_at_once_of_a_store_that_never_gave_one(
        self, bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        s3.forget()

        began = time.monotonic()
        with pytest.raises(
            StoreUnavailable, match=r"no answer from http.*AWS_ENDPOINT_URL"
        ) as told:
            storage.read(storage.place(f"{bucket}/x"))
        assert time.monotonic() - began < s3.PATIENCE_S / 2
        text = f"{told.value} {told.value!r}"
        assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in text

    def test_a_store_that_comes_back_is_waited_for_unless_nobody_wants_to(
        self, bucket: str, wire: Wire
    ) -> None:
        path = storage.place(f"{bucket}/x")
        storage.write(path, b"1")
        wire.up = 0
        with storage.impatient(), pytest.raises(StoreUnavailable, match="no answer"):
            storage.read(path)

        cuts = wire.cuts
        reader = threading.Thread(target=lambda: found.append(storage.read(path)))
        found: list[bytes] = []
        reader.start()
        until(lambda: wire.cuts > cuts + 6)  # botocore alone has given up by now
        assert found == []
        wire.mend()
        reader.join(60)
        assert found == [b"1"]

    def test_a_password_in_the_endpoint_is_refused_and_not_told(
        self, bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://me:my-password@127.0.0.1:9")
        s3.forget()

        with pytest.raises(StoreUnavailable, match="has a password in it") as told:
            storage.read(storage.place(f"{bucket}/x"))
        assert "my-password" not in f"{told.value} {told.value!r}"

    def test_no_s3fs(self) -> None:
        program = (
            "import sys; sys.modules['s3fs'] = None\n"
            "from renderer import storage\n"
            "try: storage.read(storage.place('s3://lab/x'))\n"
            "except OSError as error: print(error)"
        )
        told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

        assert told.stdout.strip().endswith("pip install 'shapefarm[s3]'"), told.stderr


def test_no_module_of_the_store_is_imported_before_an_address_is_asked_for() -> None:
    program = (
        "import sys\n"
        "from renderer import shards, storage\n"
        "storage.place('s3://lab/x') / 'y'\n"
        "print(sorted({'s3fs', 'fsspec', 'botocore', 'aiobotocore'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert told.stdout.strip() == "[]", told.stderr


def _mend_after_a_cut(wire: Wire) -> None:
    until(lambda: wire.cuts)
    wire.mend()
