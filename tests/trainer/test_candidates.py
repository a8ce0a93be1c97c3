"""The rotations that take a rig's cameras onto each other."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from renderer.camera import Viewpoint, dodecahedron_vertices
from trainer.candidates import (
    Candidates,
    about_up,
    dodecahedral,
    permutation,
    rig_candidates,
    rig_positions,
    turn,
)

SIZES = {"circle": (12, 12), "dodecahedron": (60, 20), "miro": (16, 160), "orbit": (7, 7)}


def of(rig: str) -> Candidates:
    return rig_candidates(rig, 7 if rig == "orbit" else None)


@pytest.mark.parametrize("rig", SIZES)
def test_every_rig_has_its_number_of_candidates_and_the_first_changes_nothing(rig: str) -> None:
    candidates = of(rig)

    assert candidates.table.shape == SIZES[rig]
    assert_array_equal(candidates.table[0], np.arange(SIZES[rig][1]))
    assert_allclose(candidates.rotations[0], np.eye(3), atol=1e-12)


@pytest.mark.parametrize("rig", SIZES)
def test_candidates_are_a_group_and_the_table_composes_as_the_rotations_do(rig: str) -> None:
    candidates = of(rig)
    numbers = {tuple(row): number for number, row in enumerate(candidates.table.tolist())}
    assert len(numbers) == len(candidates.table)

    for a, row in enumerate(candidates.table):
        assert tuple(np.argsort(row)) in numbers  # the inverse
        for b, other in enumerate(candidates.table):
            product = numbers[tuple(row[other])]  # closed: first b, then a
            assert_allclose(
                candidates.rotations[product],
                candidates.rotations[a] @ candidates.rotations[b],
                atol=1e-9,
            )


@pytest.mark.parametrize("rig", SIZES)
def test_a_rotation_takes_the_camera_of_a_slot_to_the_camera_that_fills_it(rig: str) -> None:
    candidates, positions = of(rig), rig_positions(rig, SIZES[rig][1])

    turned = np.einsum("rij,vj->rvi", candidates.rotations, positions)

    assert_allclose(turned, positions[candidates.table], atol=1e-9)
    assert_allclose(np.linalg.det(candidates.rotations), 1, atol=1e-9)


@pytest.mark.parametrize("rig", SIZES)
def test_slots_undo_the_table(rig: str) -> None:
    candidates = of(rig)
    rows = np.arange(len(candidates.table))[:, None]

    assert_array_equal(
        candidates.slots[rows, candidates.table], np.broadcast_to(*_counted(candidates))
    )


def _counted(candidates: Candidates) -> tuple[np.ndarray, tuple[int, ...]]:
    return np.arange(candidates.table.shape[1]), candidates.table.shape


def test_a_circle_has_its_cyclic_shifts_in_order() -> None:
    shifts = (np.arange(12)[None] + np.arange(12)[:, None]) % 12

    assert_array_equal(of("circle").table, shifts)


def test_miro_shifts_the_azimuth_and_keeps_the_elevation() -> None:
    elevation, azimuth = np.divmod(np.arange(160), 16)

    shifts = elevation * 16 + (azimuth + np.arange(16)[:, None]) % 16

    assert_array_equal(of("miro").table, shifts)


def test_the_dodecahedron_has_the_classes_of_the_icosahedral_group() -> None:
    angles, counts = np.unique(np.round(of("dodecahedron").apart_deg[0]), return_counts=True)

    # 1 identity, 12 fifths and 12 double fifths about faces, 20 thirds about vertices, 15 halves.
    assert dict(zip(angles.tolist(), counts.tolist(), strict=True)) == {
        0: 1,
        72: 12,
        120: 20,
        144: 12,
        180: 15,
    }


def test_the_60_rotations_are_those_that_a_search_over_corners_finds() -> None:
    positions = dodecahedron_vertices()
    apart = np.linalg.norm(positions[:, None] - positions, axis=-1)
    edge = apart[apart > 0].min()

    def frame(a: int, b: int) -> np.ndarray:
        """An orthonormal frame from a vertex and a neighbour."""
        first = positions[a] / np.linalg.norm(positions[a])
        second = positions[b] - first * (first @ positions[b])
        second /= np.linalg.norm(second)
        return np.stack([first, second, np.cross(first, second)], axis=1)

    edges = [(a, b) for a in range(20) for b in range(20) if abs(apart[a, b] - edge) < 1e-9]
    start = frame(*edges[0])
    found = {tuple(permutation(frame(a, b) @ start.T, positions)) for a, b in edges}

    assert found == {tuple(row) for row in dodecahedral(positions).table}


def test_any_order_of_the_vertices_gives_the_same_group() -> None:
    positions = dodecahedron_vertices()
    order = np.random.default_rng(5).permutation(20)

    shuffled = dodecahedral(positions[order])

    # Row by row in the old numbers: shuffled view v is old view order[v].
    back = np.argsort(order)
    renamed = {tuple(order[row[back]]) for row in shuffled.table}
    assert renamed == {tuple(row) for row in dodecahedral(positions).table}


def test_a_dodecahedron_turned_in_space_will_do() -> None:
    positions = dodecahedron_vertices() @ turn((1, 2, 3), 37).T

    assert_array_equal(dodecahedral(positions).table, dodecahedral(dodecahedron_vertices()).table)


def test_one_step_is_the_smallest_turn_of_the_rig() -> None:
    circle, solid = of("circle"), of("dodecahedron")

    assert circle.near.sum(axis=1).tolist() == [3] * 12
    assert_array_equal(np.flatnonzero(circle.near[0]), [0, 1, 11])
    assert solid.near.sum(axis=1).tolist() == [13] * 60  # itself and twelve fifths of a turn


def test_a_turn_is_anticlockwise_seen_from_the_tip_of_its_axis() -> None:
    assert_allclose(turn((0, 0, 1), 90) @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    assert_allclose(turn((0, 2, 0), 90) @ [0, 0, 1], [1, 0, 0], atol=1e-12)


def test_a_ring_with_a_gap_has_no_turn_but_none() -> None:
    ring = [
        Viewpoint(azimuth_deg=azimuth, elevation_deg=10).position for azimuth in (0, 90, 180, 200)
    ]

    assert about_up(ring).table.tolist() == [[0, 1, 2, 3]]


def test_cameras_that_are_no_dodecahedron_are_refused() -> None:
    with pytest.raises(ValueError, match="these 12 cameras are not the vertices of a dodecahedron"):
        dodecahedral(rig_positions("circle"))


@pytest.mark.parametrize(("rig", "named"), [("dpc", "dpc"), ("", "an unknown rig")])
def test_a_rig_without_symmetry_is_refused_with_those_that_will_do(rig: str, named: str) -> None:
    with pytest.raises(ValueError, match=rf"{named} onto each other; use --cameras circle, orbit"):
        rig_candidates(rig, 5)
