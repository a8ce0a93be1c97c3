"""Storage: a file is replaced whole or not at all."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renderer import storage

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


class TestCanonicalJson:
    @given(value=values)
    def test_spells_a_value_in_one_way_and_reads_back(self, value: object) -> None:
        spelled = storage.canonical_json(value)

        assert json.loads(spelled) == value
        assert storage.canonical_json(json.loads(spelled)) == spelled
        assert spelled.isascii() and b"\n" not in spelled

    def test_does_not_depend_on_the_order_of_keys(self) -> None:
        assert storage.canonical_json({"b": 1, "a": 2}) == storage.canonical_json({"a": 2, "b": 1})

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_refuses_what_json_does_not_have(self, value: float) -> None:
        with pytest.raises(ValueError):
            storage.canonical_json([value])
        with pytest.raises(ValueError):
            storage.readable_json([value])


class TestReplacing:
    def test_the_file_appears_whole_at_the_end_with_the_folders_that_lead_to_it(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "a" / "b" / "file"
        with storage.replacing(path) as file:
            file.write(b"one")
            assert not path.exists()

        assert path.read_bytes() == b"one"
        assert os.listdir(path.parent) == ["file"]

    def test_an_error_leaves_the_old_file_and_nothing_else(self, tmp_path: Path) -> None:
        storage.write(tmp_path / "file", b"old")

        with pytest.raises(KeyboardInterrupt), storage.replacing(tmp_path / "file") as file:
            file.write(b"half of the ne")
            raise KeyboardInterrupt

        assert (tmp_path / "file").read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["file"]

    def test_a_reader_never_sees_a_mixture(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        contents = [bytes([n]) * 100_000 for n in range(30)]
        storage.write(path, contents[0])
        writer = threading.Thread(target=lambda: [storage.write(path, c) for c in contents])
        writer.start()
        seen = set()
        while writer.is_alive():
            seen.add(path.read_bytes())
        writer.join()

        assert seen <= set(contents)

    def test_the_file_has_the_rights_that_the_umask_leaves(self, tmp_path: Path) -> None:
        mask = os.umask(0o027)
        try:
            storage.write(tmp_path / "file", b"")
        finally:
            os.umask(mask)

        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640

    def test_the_temporary_name_is_hidden_and_lies_in_the_same_folder(self, tmp_path: Path) -> None:
        with storage.replacing(tmp_path / "train-000000.tar"):
            (name,) = os.listdir(tmp_path)

        assert name.startswith(".train-000000.tar.") and name.endswith(".part")


class TestReading:
    def test_a_range_is_read_and_one_beyond_the_end_is_refused_by_name(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "file"
        path.write_bytes(bytes(range(100)))

        assert storage.read_range(path, 10, 5) == bytes(range(10, 15))
        assert storage.read_range(path, 100, 0) == b""
        with pytest.raises(ValueError, match=f"{path} ends before byte 101"):
            storage.read_range(path, 90, 11)

    def test_what_is_no_json_is_refused_by_name(self, tmp_path: Path) -> None:
        for number, data in enumerate((b"", b"{", b'{"a": 1', b"\xff\xfe{}", b"\x80")):
            path = tmp_path / f"{number}.json"
            path.write_bytes(data)
            with pytest.raises(ValueError, match=f"{path} is not JSON"):
                storage.read_json(path)

    def test_a_hash_of_a_file_is_that_of_its_bytes(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"abc" * 100_000)

        assert storage.sha256_of_file(tmp_path / "file") == storage.sha256(b"abc" * 100_000)


def test_free_space_is_that_of_the_nearest_folder_there_is(tmp_path: Path) -> None:
    assert storage.free_bytes(tmp_path / "not" / "yet" / "there") > 0


def test_removing_a_folder_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    storage.remove_folder(tmp_path / "nothing")
    (tmp_path / "a" / "b").mkdir(parents=True)
    storage.remove_folder(tmp_path / "a")

    assert not (tmp_path / "a").exists()


@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers())), st.text())
def test_a_list_of_one_line_for_each_entry_is_read_back_as_it_was(
    entries: list[dict[str, str | int]], text: str
) -> None:
    value = {"before": text, "entries": entries, "job": {"entries": []}, "after": [text]}

    written = storage.readable_json({**value, "entries": iter(entries)}, lines="entries")

    assert json.loads(written) == value
    lines = written.decode().splitlines()
    assert sum(line.startswith("  {") for line in lines) == len(entries)
