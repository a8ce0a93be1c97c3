"""Splits: which shapes train, which validate, which test."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renderer.shapes.shape import Shape
from renderer.split import SPLITS, assign, parse_ratio, read_list


def shape(id: str, category: str = "car", split: str | None = None) -> Shape:
    return Shape(
        key=f"{category}-{id}",
        id=id,
        category=category,
        synset=None,
        path=f"/{id}.obj",
        sha256="0" * 64,
        up="y",
        split=split,
    )


def shapes(count: int, category: str = "car") -> list[Shape]:
    return [shape(f"{number:032x}", category) for number in range(count)]


def counts(assigned: dict[str, str]) -> tuple[int, ...]:
    counted = Counter(assigned.values())
    return tuple(counted[split] for split in SPLITS)


class TestRatio:
    @given(count=st.integers(3, 300))
    def test_from_three_shapes_on_no_part_is_empty(self, count: int) -> None:
        assert min(counts(assign(shapes(count), "70/10/20"))) >= 1

    @pytest.mark.parametrize(
        ("count", "expected"),
        [(1, (1, 0, 0)), (2, (1, 1, 0)), (3, (1, 1, 1)), (5, (4, 0, 1)), (10, (7, 1, 2)),
         (20, (14, 2, 4)), (100, (70, 10, 20)), (7497, (5248, 750, 1499))],
    )  # fmt: skip
    def test_is_cut_at_the_rounded_shares(self, count: int, expected: tuple[int, ...]) -> None:
        found = counts(assign(shapes(count), "70/10/20"))

        assert sum(found) == count
        if min(expected) or count < 3:
            assert found == expected

    def test_follows_the_order_of_the_hashes_of_the_ids(self) -> None:
        assigned = assign(shapes(50), "70/10/20")
        ordered = sorted(
            (s.id for s in shapes(50)), key=lambda id: hashlib.sha256(id.encode()).digest()
        )

        in_order = [SPLITS.index(assigned[f"car-{id}"]) for id in ordered]
        assert in_order == sorted(in_order)
        assert in_order.count(0) == 35 and in_order.count(1) == 5

    @given(order=st.permutations(range(12)))
    def test_does_not_depend_on_the_order_of_the_shapes(self, order: list[int]) -> None:
        given_ = shapes(12)
        assert assign([given_[n] for n in order], "auto") == assign(given_, "auto")

    def test_each_category_is_split_by_itself(self) -> None:
        both = assign(shapes(10) + shapes(20, "chair"), "auto")

        assert counts({k: v for k, v in both.items() if k.startswith("car")}) == (7, 1, 2)
        assert counts({k: v for k, v in both.items() if k.startswith("chair")}) == (14, 2, 4)
        assert both.items() >= assign(shapes(10), "auto").items()

    @pytest.mark.parametrize(
        ("ratio", "expected"),
        [("100/0/0", (10, 0, 0)), ("0/0/100", (0, 0, 10)), ("50/50/0", (5, 5, 0)),
         ("0/100/0", (0, 10, 0)), ("98/1/1", (8, 1, 1)), ("1/1/98", (1, 1, 8))],
    )  # fmt: skip
    def test_a_part_of_nought_is_empty_and_any_other_is_not(
        self, ratio: str, expected: tuple[int, ...]
    ) -> None:
        assert counts(assign(shapes(10), ratio)) == expected

    @pytest.mark.parametrize("ratio", ["70/10/10", "70/20/20", "0/0/0", "100/100/100"])
    def test_parts_that_do_not_add_up_are_refused(self, ratio: str) -> None:
        with pytest.raises(ValueError, match=f"--split {ratio}: the three must add up to 100"):
            parse_ratio(ratio)

    @pytest.mark.parametrize("text", ["70/30", "a/b/c", "list.csv", "", "70/10/20/0", "-1/1/100"])
    def test_what_is_no_ratio_is_taken_for_a_file(self, text: str) -> None:
        assert parse_ratio(text) is None


class TestTheSourcesOwn:
    def test_stands_and_only_the_rest_is_cut(self) -> None:
        own = [shape(f"own{n}", split="test") for n in range(5)]
        assigned = assign(own + shapes(10), "auto")

        assert all(assigned[s.key] == "test" for s in own)
        assert counts({s.key: assigned[s.key] for s in shapes(10)}) == (7, 1, 2)

    def test_gives_way_to_a_ratio_that_is_asked_for(self) -> None:
        own = [shape(f"own{n}", split="test") for n in range(10)]
        assert counts(assign(own, "100/0/0")) == (10, 0, 0)


class TestListFile:
    @pytest.mark.parametrize(
        "text",
        [
            "a,train\nb,val\ncar-c,test\n",
            "a train\nb val\ncar-c test",
            "a\ttrain\r\nb\tval\r\ncar-c\ttest\r\n",
            "\n a , train \n\nb,val\n car-c , test \n",
            "id,split\na,train\nb,val\ncar-c,test",
            "id,synsetId,subSynsetId,modelId,split\n1,0,0,a,train\n2,0,0,b,val\n3,0,0,car-c,test",
            "split,key\ntrain,a\nval,b\ntest,car-c",
            '"a","train"\n"b","val"\n"car-c","test"',
        ],
    )
    def test_names_each_shape_by_id_or_key_in_any_usual_spelling(
        self, tmp_path: Path, text: str
    ) -> None:
        path = tmp_path / "list.csv"
        path.write_bytes(text.encode())
        assigned = assign([shape("a"), shape("b"), shape("c")], str(path))

        assert assigned == {"car-a": "train", "car-b": "val", "car-c": "test"}

    def test_may_begin_with_a_byte_order_mark(self, tmp_path: Path) -> None:
        path = tmp_path / "list.csv"
        path.write_bytes(b"\xef\xbb\xbfa,train\n")
        assert read_list(path) == {"a": "train"}

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("a,train\nb,dev\n", "line 2: 'b,dev' is no shape and split"),
            ("a\n", "line 1: 'a' is no shape and split"),
            ("id,split\na,train\nb,dev\n", "line 3: 'b,dev'"),
            ("name,split\na,train\n", "has no column key, modelId or id"),
        ],
    )
    def test_a_bad_line_is_told_by_file_and_number(
        self, tmp_path: Path, text: str, told: str
    ) -> None:
        path = tmp_path / "list.csv"
        path.write_text(text)
        with pytest.raises(ValueError, match=told) as caught:
            read_list(path)
        assert str(path) in str(caught.value)

    def test_a_shape_that_it_does_not_name_is_told(self, tmp_path: Path) -> None:
        path = tmp_path / "list.csv"
        path.write_text("a,train\n")
        with pytest.raises(ValueError, match=r"does not name car-b \(nor b\)"):
            assign([shape("a"), shape("b")], str(path))

    @pytest.mark.parametrize("name", ["nothing.csv", "."])
    def test_a_file_that_cannot_be_read_is_told_with_the_remedy(
        self, tmp_path: Path, name: str
    ) -> None:
        with pytest.raises(ValueError, match=r"neither a ratio such as 70/10/20 nor a list file"):
            read_list(tmp_path / name)

    def test_a_file_that_is_no_text_is_told(self, tmp_path: Path) -> None:
        path = tmp_path / "list.csv"
        path.write_bytes(b"\xff\xfe\x00\x01")
        with pytest.raises(ValueError, match=r"list\.csv: not a text"):
            read_list(path)
