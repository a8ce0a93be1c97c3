"""A fresh classifier tells what can be told, and nothing where there is nothing."""

from __future__ import annotations

import pytest
import torch

from trainer.realism import Kinds, accuracies, accuracy


def noise(count: int, mean: float, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(count, 3, 16, 16, generator=generator) * 30 + mean).clamp(0, 255).byte()


def test_kinds_that_differ_are_told_apart():
    train = Kinds(real=noise(64, 110, 1), made=noise(64, 140, 2))
    test = Kinds(real=noise(64, 110, 3), made=noise(64, 140, 4))

    assert accuracy(train, test, steps=40) > 0.97


def test_the_same_kind_twice_is_a_coin():
    train = Kinds(real=noise(200, 120, 1), made=noise(200, 120, 2))
    test = Kinds(real=noise(500, 120, 3), made=noise(500, 120, 4))

    # 1000 throws of a coin: three standard deviations are 0.047.
    assert accuracy(train, test, steps=40) == pytest.approx(0.5, abs=0.05)


def test_the_same_seed_gives_the_same_and_leaves_the_run_s_chance_alone():
    train = Kinds(real=noise(32, 118, 1), made=noise(40, 122, 2))
    test = Kinds(real=noise(50, 118, 3), made=noise(44, 122, 4))
    torch.manual_seed(9)
    wanted = torch.rand(1)
    torch.manual_seed(9)

    with torch.no_grad():
        found = [accuracy(train, test, steps=15) for _ in range(2)]

    assert found[0] == found[1]
    assert torch.equal(torch.rand(1), wanted)


def test_several_classifiers_differ_and_the_first_is_the_one_that_is_asked_alone():
    train = Kinds(real=noise(32, 118, 1), made=noise(32, 122, 2))
    test = Kinds(real=noise(50, 118, 3), made=noise(50, 122, 4))

    found = accuracies(train, test, steps=15, count=4)

    assert found[0] == accuracy(train, test, steps=15)
    assert len(found) == 4 and len(set(found)) > 1


def test_as_many_of_both_kinds_count():
    kinds = Kinds(real=noise(5, 0, 1), made=noise(9, 0, 2)).balanced()

    assert len(kinds.real) == len(kinds.made) == 5


def test_nothing_to_learn_from_is_told():
    empty = Kinds(real=noise(0, 0, 1), made=noise(9, 0, 2))

    with pytest.raises(ValueError, match="wants pictures of both kinds"):
        accuracy(empty, empty, steps=1)
