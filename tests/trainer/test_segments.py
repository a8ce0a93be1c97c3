"""The filters: each lets pass what it should, and says why where it does not."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from trainer import segments
from trainer.segments import FILTERS, FIRST, SECOND, Segment, Thresholds

LEAST = Thresholds()


def ellipse(width: int = 300, height: int = 200) -> np.ndarray:
    """One part that touches each side of its box with 19 % of a strip: a good segment."""
    y, x = np.mgrid[:height, :width] + 0.5
    return (((x / width - 0.5) ** 2 + (y / height - 0.5) ** 2) <= 0.25).astype(np.uint8)


def thin() -> np.ndarray:
    """A ring: what is left of an ellipse without its middle."""
    mask = ellipse()
    mask[30:-30, 45:-45] -= ellipse(210, 140)
    return mask


def cut_off() -> np.ndarray:
    """An ellipse that goes on below the photo."""
    return np.ascontiguousarray(ellipse(300, 400)[:200])


GOOD = Segment(label="car", score=0.9, box=(10, 20, 310, 220), mask=ellipse(), colour=30.0)


def but(**values) -> Segment:
    return dataclasses.replace(GOOD, **values)


def test_there_are_the_five_filters_of_the_first_pass_and_the_two_of_the_second():
    assert list(FIRST) == ["label", "score", "side", "fill", "grayscale"]
    assert list(SECOND) == ["parts", "border"]


def test_a_good_segment_passes_all_of_them():
    assert segments.rejected(GOOD, LEAST) is None


@pytest.mark.parametrize(
    ("name", "segment", "told"),
    [
        ("label", but(label="bus"), "a bus is none of car, truck"),
        ("score", but(score=0.69), "confidence 0.69 is below 0.7"),
        ("side", but(box=(0, 0, 100, 163), mask=ellipse(100, 163)), "127.7 px are below 128"),
        ("fill", but(mask=thin()), "it fills 40% of its box, below 50%"),
        ("grayscale", but(colour=1.9), "the photo is grayscale"),
        ("parts", but(mask=ellipse() & (np.arange(300) != 150)), "2 parts, more than 1"),
        ("border", but(mask=cut_off()), "100% of its bottom border are covered"),
    ],
)
def test_each_filter_refuses_what_is_its_own_and_nothing_else_does(name, segment, told):
    found = segments.rejected(segment, LEAST)

    assert found is not None and found[0] == name and told in found[1]
    assert [n for n, refuses in FILTERS.items() if refuses(segment, LEAST)] == [name]


@pytest.mark.parametrize("label", ["car", "truck"])
def test_cars_and_trucks_are_wanted(label):
    assert FILTERS["label"](but(label=label), LEAST) is None


def test_a_mask_that_a_person_gave_has_neither_label_nor_score_to_fail_by():
    assert segments.rejected(but(label="", score=None), LEAST) is None


def test_no_labels_let_anything_pass():
    assert FILTERS["label"](but(label="bus"), Thresholds(labels=())) is None


@pytest.mark.parametrize(
    ("box", "passes"),
    [((0, 0, 128, 128), True), ((0, 0, 64, 256), True), ((0, 0, 127, 128), False)],
)
def test_the_side_is_the_square_root_of_the_boxs_area(box, passes):
    assert (FILTERS["side"](but(box=box), LEAST) is None) == passes


@pytest.mark.parametrize(("rows", "passes"), [(100, True), (99, False)])
def test_half_of_the_box_is_enough(rows, passes):
    mask = np.zeros((200, 300), np.uint8)
    mask[:rows] = 1

    assert (FILTERS["fill"](but(mask=mask), LEAST) is None) == passes


def test_parts_that_touch_at_a_corner_are_one():
    mask = np.kron(np.eye(2, dtype=np.uint8), np.ones((50, 50), np.uint8))

    assert FILTERS["parts"](but(mask=mask), LEAST) is None


@pytest.mark.parametrize("side", ["top", "bottom", "left", "right"])
@pytest.mark.parametrize(("length", "passes"), [(33, True), (34, False)])
def test_more_than_a_third_of_a_border_strip_is_too_much(side, length, passes):
    # Strips are 2 % wide: 2 of 100 rows.  Of a strip of 100 pixels' length a third is 33.3.
    mask = np.zeros((100, 100), np.uint8)
    mask[:2, 20 : 20 + length] = 1
    turns = {"top": 0, "left": 1, "bottom": 2, "right": 3}[side]

    found = FILTERS["border"](but(mask=np.rot90(mask, turns).copy()), LEAST)

    assert (found is None) == passes
    assert passes or f"34% of its {side} border" in str(found)


def test_a_strip_is_as_wide_as_its_share_of_the_side_and_at_least_a_pixel():
    mask = np.zeros((200, 20), np.uint8)
    mask[:, 0] = 1  # the left strip is a pixel wide: all of it is covered
    mask[0] = 1  # the top one has 4 rows: a quarter

    found = FILTERS["border"](but(mask=mask), LEAST)

    assert found is not None and "100% of its left border" in found


def test_the_ellipses_own_share_of_a_strip():
    # Half a chord at depth d of a unit circle is sqrt(2 d - d^2); averaged over d = 0 ... 0.04.
    depth = (np.arange(10000) + 0.5) * 0.04 / 10000
    share = np.sqrt(2 * depth - depth**2).mean()

    mask = ellipse(1000, 1000)

    assert np.count_nonzero(mask[:20]) / 20000 == pytest.approx(share, abs=2e-3)
    assert math.isclose(share, 0.188, abs_tol=1e-3)


def test_the_first_filter_that_refuses_is_told():
    assert segments.rejected(but(label="bus", score=0.1, colour=0), LEAST)[0] == "label"
    assert segments.rejected(but(score=0.1, colour=0), LEAST)[0] == "score"


def test_the_segment_of_a_whole_mask_has_its_tight_box():
    mask = np.zeros((60, 90), bool)
    mask[20:31, 40:47] = True
    mask[25, 42] = False

    found = segments.whole(mask, 12.0)

    assert found.box == (40, 20, 47, 31)
    np.testing.assert_array_equal(found.mask, mask[20:31, 40:47])
    assert (found.label, found.score, found.colour, found.area) == ("", None, 12.0, 76)


def test_an_empty_mask_has_no_segment():
    assert segments.whole(np.zeros((6, 9), bool), 1.0) is None
