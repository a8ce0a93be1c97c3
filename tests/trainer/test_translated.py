"""What is told apart is told by what it should be: outlines, colours, or both."""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.realism import accuracies
from trainer.translated import CUTS, cut, outlines, whole


def blocks(count: int, colour: int, high: int, seed: int) -> Tensor:
    """uint8 [N, 4, 32, 32] blocks of a height somewhere about the middle, on black."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.zeros(count, 4, 32, 32, dtype=torch.uint8)
    for image in images:
        top, left = torch.randint(6, 11, (2,), generator=generator).tolist()
        image[:3, top : top + high, left : left + 14] = colour
        image[3, top : top + high, left : left + 14] = 255
    return images


def told(show, real: tuple[int, int], made: tuple[int, int]) -> float:
    train, test = (show(blocks(n, *real, n), blocks(n, *made, n + 1)) for n in (60, 40))
    found = accuracies(train, test, steps=80, count=3)
    return sum(found) / len(found)


def test_outlines_that_differ_are_told_but_where_both_are_cut_to_each_other():
    wide, tall = (120, 8), (120, 16)

    assert told(whole, wide, tall) > 0.95
    assert told(outlines, wide, tall) > 0.95
    assert told(cut, wide, tall) == 0.5


def test_colours_are_told_however_they_are_cut_and_outlines_do_not_have_them():
    dark, light = (60, 12), (200, 12)

    assert told(cut, dark, light) > 0.9
    assert abs(told(outlines, dark, light) - 0.5) < 0.15


def test_as_many_of_both_kinds_are_cut_several_times_to_one_outline_each():
    kinds = cut(blocks(5, 100, 8, 0), blocks(3, 150, 16, 1))

    assert len(kinds.real) == len(kinds.made) == 3 * CUTS
    assert torch.equal(kinds.real > 0, kinds.made > 0)
    assert {*kinds.real.unique().tolist(), *kinds.made.unique().tolist()} == {0, 100, 150}
