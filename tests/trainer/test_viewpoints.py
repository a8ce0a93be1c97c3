"""RotationNet's rule, against the vectors of the specification and a slow, clear twin."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from trainer.candidates import rig_candidates
from trainer.viewpoints import best_pair, placed, placements, ratios, scores, targets

CYCLIC = torch.tensor([[0, 1, 2], [1, 2, 0], [2, 0, 1]])


def waves(shapes: int, views: int, categories: int) -> Tensor:
    """logits[i, d] = 2 sin(.7 i + 1.3 d + .11 i d) of image i and output d."""
    i = torch.arange(shapes * views, dtype=torch.float64)[:, None]
    d = torch.arange(views * (categories + 1), dtype=torch.float64)
    logits = 2 * torch.sin(0.7 * i + 1.3 * d + 0.11 * i * d)
    return logits.view(shapes, views, views, categories + 1)


def cross_entropy(logits: Tensor, wanted: Tensor) -> float:
    return float(torch.nn.functional.cross_entropy(logits.flatten(0, 2), wanted.flatten()))


def table_of(rig: str) -> Tensor:
    return torch.from_numpy(rig_candidates(rig).table)


# --- vectors of the specification (section 8) ----------------------------------------------------


def test_three_views_two_categories_log_rule() -> None:
    logits, labels = waves(2, 3, 2), torch.tensor([0, 1])

    found = scores(ratios(logits), CYCLIC)
    wanted, best = targets(logits, CYCLIC, labels)

    expected = [
        [[-8.42712, -3.66034], [4.22064, 5.78649], [3.72146, -0.54624]],
        [[9.87908, 1.27096], [-1.30002, -3.7765], [3.4228, 2.7429]],
    ]
    assert_close(found, torch.tensor(expected, dtype=torch.float64), atol=1e-5, rtol=0)
    assert best.tolist() == [1, 2]
    assert wanted.tolist() == [
        [[2, 2, 0], [0, 2, 2], [2, 0, 2]],
        [[2, 1, 2], [2, 2, 1], [1, 2, 2]],
    ]
    assert cross_entropy(logits, wanted) == pytest.approx(1.657604, abs=1e-6)
    assert [pair.tolist() for pair in best_pair(found)] == [[1, 0], [1, 0]]


def test_three_views_two_categories_softmax_minus_rule() -> None:
    logits, labels = waves(2, 3, 2), torch.tensor([0, 1])

    found = scores(ratios(logits, "softmax_minus"), CYCLIC)

    expected = [
        [[-1.88546, -1.18786], [0.89573, 1.15555], [0.75958, -0.61591]],
        [[2.62482, 0.05018], [0.16501, -0.37711], [0.07914, 0.13588]],
    ]
    assert_close(found, torch.tensor(expected, dtype=torch.float64), atol=1e-5, rtol=0)
    both = [targets(logits, CYCLIC, labels, rule)[0] for rule in ("log", "softmax_minus")]
    assert torch.equal(*both)


def test_a_case_done_by_hand() -> None:
    logits = torch.zeros(1, 3, 3, 3)
    for image in range(3):
        logits[0, image, (image + 1) % 3, 0] = 5

    wanted, best = targets(logits, CYCLIC, torch.tensor([0]))

    assert CYCLIC[best].tolist() == [[2, 0, 1]]
    assert scores(ratios(logits), CYCLIC)[0, 2, 0] == 15
    assert wanted.tolist() == [[[2, 0, 2], [2, 2, 0], [0, 2, 2]]]
    assert cross_entropy(logits, wanted) == pytest.approx(0.736870, abs=1e-6)


def test_case_1_twelve_views_on_a_circle() -> None:
    logits, table = waves(2, 12, 4), table_of("circle")

    found = scores(ratios(logits), table)
    wanted, best = targets(logits, table, torch.tensor([1, 3]))

    assert best.tolist() == [10, 5]
    assert found[0, 10, 1] == pytest.approx(9.944548, abs=1e-5)
    assert found[1, 5, 3] == pytest.approx(17.606501, abs=1e-5)
    assert cross_entropy(logits, wanted) == pytest.approx(2.314345, abs=1e-6)
    assert [pair.tolist() for pair in best_pair(found)] == [[11, 5], [3, 1]]


def test_case_2_twenty_views_on_a_dodecahedron() -> None:
    logits, table = waves(2, 20, 4), table_of("dodecahedron")

    found = scores(ratios(logits), table)
    wanted, best = targets(logits, table, torch.tensor([1, 3]))

    assert best.tolist() == [3, 21]
    assert found[0, 3, 1] == pytest.approx(21.190395, abs=1e-5)
    assert found[1, 21, 3] == pytest.approx(23.252955, abs=1e-5)
    assert cross_entropy(logits, wanted) == pytest.approx(2.319458, abs=1e-6)
    assert [pair.tolist() for pair in best_pair(found)] == [[27, 21], [3, 3]]


# --- against a twin that is obviously right ------------------------------------------------------


def slow_scores(logits: Tensor, table: Tensor, rule: str) -> Tensor:
    shapes, views, _, outputs = logits.shape
    found = torch.zeros(shapes, len(table), outputs - 1, dtype=logits.dtype)
    for n, r, c, slot in itertools.product(
        range(shapes), range(len(table)), range(outputs - 1), range(views)
    ):
        row = [float(v) for v in logits[n, int(table[r, slot]), slot]]
        total = sum(math.exp(v) for v in row)
        chances = [math.exp(v) / total for v in row]
        if rule == "log":
            found[n, r, c] += math.log(chances[c]) - math.log(chances[-1])
        else:
            found[n, r, c] += chances[c] - chances[-1]
    return found


def slow_targets(logits: Tensor, table: Tensor, labels: Tensor, rule: str) -> Tensor:
    shapes, views, _, outputs = logits.shape
    wanted = torch.full((shapes, views, views), outputs - 1)
    found = slow_scores(logits, table, rule)
    for n in range(shapes):
        best = max(range(len(table)), key=lambda r: float(found[n, r, labels[n]]))
        for slot in range(views):
            wanted[n, table[best, slot], slot] = labels[n]
    return wanted


@pytest.mark.parametrize("rule", ["log", "softmax_minus"])
@pytest.mark.parametrize("rig", ["circle", "dodecahedron"])
def test_scores_and_targets_are_those_of_the_slow_twin(rig: str, rule: str) -> None:
    table = table_of(rig)
    views = table.shape[1]
    logits = torch.randn(3, views, views, 4, generator=torch.manual_seed(7), dtype=torch.float64)
    labels = torch.tensor([2, 0, 1])

    assert_close(scores(ratios(logits, rule), table), slow_scores(logits, table, rule))
    assert torch.equal(
        targets(logits, table, labels, rule)[0], slow_targets(logits, table, labels, rule)
    )


# --- facts ---------------------------------------------------------------------------------------


def test_targets_have_no_gradient_and_a_row_for_every_slot() -> None:
    logits = torch.randn(2, 12, 12, 5, requires_grad=True)

    wanted, best = targets(logits, table_of("circle"), torch.tensor([3, 0]))

    assert not wanted.requires_grad and not best.requires_grad
    for target, label in zip(wanted, (3, 0), strict=True):
        own = target == label
        assert own.sum(0).tolist() == own.sum(1).tolist() == [1] * 12
        assert (target[~own] == 4).all()


@pytest.mark.parametrize("rig", ["circle", "dodecahedron"])
def test_turning_a_shape_changes_its_candidate_and_no_score(rig: str) -> None:
    table = table_of(rig)
    views = table.shape[1]
    logits = torch.randn(1, views, views, 4, generator=torch.manual_seed(3))
    turned = table[4]  # image i of the turned shape is image turned[i]
    wanted, best = targets(logits, table, torch.tensor([1]))

    other, other_best = targets(logits[:, turned], table, torch.tensor([1]))

    assert torch.equal(other, wanted[:, turned])
    assert torch.equal(turned[table[other_best]], table[best])


@pytest.mark.parametrize("rig", ["circle", "dodecahedron", "miro"])
def test_all_views_placed_score_as_the_candidates(rig: str) -> None:
    candidates = rig_candidates(rig)
    table, slots = torch.from_numpy(candidates.table), torch.from_numpy(candidates.slots)
    views = table.shape[1]
    single = torch.randn(2, views, views, 3, generator=torch.manual_seed(1), dtype=torch.float64)

    places = placements(slots, torch.arange(views))

    assert_close(placed(single, places), scores(single, table))


def test_some_views_score_the_sum_at_the_slots_of_each_candidate() -> None:
    slots = torch.from_numpy(rig_candidates("dodecahedron").slots)
    single = torch.randn(2, 20, 20, 3, generator=torch.manual_seed(1), dtype=torch.float64)
    seen = torch.tensor([17, 3, 8])

    found = placed(single[:, seen], placements(slots, seen))

    for n, r, c in itertools.product(range(2), range(60), range(3)):
        expected = sum(single[n, i, slots[r, i], c] for i in seen.tolist())
        assert found[n, r, c] == pytest.approx(float(expected), abs=1e-12)


def test_one_view_may_be_in_any_slot_even_where_no_candidate_takes_it() -> None:
    slots = torch.from_numpy(rig_candidates("miro").slots)
    single = torch.randn(2, 1, 160, 3, generator=torch.manual_seed(1))

    place, category = best_pair(placed(single, placements(slots, torch.tensor([5]))))

    for n in range(2):
        flat = int(single[n, 0].argmax())
        assert (int(place[n]), int(category[n])) == divmod(flat, 3)
