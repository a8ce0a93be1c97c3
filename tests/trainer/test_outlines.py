"""Which shapes look the same when they are turned."""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.candidates import rig_candidates
from trainer.outlines import alike, overlaps, symmetric

TABLE = torch.from_numpy(rig_candidates("circle").table)


def seen_round(period: int) -> Tensor:
    """bool [1, 12, 24, 30] bars whose length repeats every `period` views."""
    outlines = torch.zeros(1, 12, 24, 30, dtype=torch.bool)
    for view in range(12):
        outlines[0, view, 3:9, : 5 + 2 * (view % period)] = True
    return outlines


def test_two_views_overlap_by_intersection_over_union() -> None:
    overlap = overlaps(seen_round(12))[0]

    assert overlap.diagonal().tolist() == [1] * 12
    assert torch.equal(overlap, overlap.T)
    assert float(overlap[0, 3]) == torch.tensor(5 / 11)  # 6 rows of 5 px in 6 rows of 11 px


def test_a_shape_is_symmetric_when_another_candidate_shows_the_same() -> None:
    found = [bool(symmetric(overlaps(seen_round(period)), TABLE)) for period in (1, 3, 6, 12)]

    assert found == [True, True, True, False]


def test_two_candidates_look_alike_at_the_shape_s_own_period() -> None:
    overlap = overlaps(seen_round(6)).expand(12, -1, -1)
    one, other = torch.full((12,), 2), torch.arange(12)

    assert alike(overlap, TABLE, one, other).nonzero()[:, 0].tolist() == [2, 8]


def test_a_shape_that_is_not_seen_overlaps_nothing() -> None:
    assert not overlaps(torch.zeros(1, 12, 8, 8, dtype=torch.bool)).any()
