"""Scenes: the same seed and shape give the same scene, whatever else is made."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from renderer.camera import RIGS
from renderer.layout import CAMERAS, LIGHTS, POINTS, SAMPLING, Layout, generator, lay_out

SHAPES = [f"{number:064x}" for number in range(1, 40)]


def scene(shape: str = SHAPES[16], seed: int = 0, cameras: str = "dpc", views: int = 5) -> Layout:
    return lay_out(seed=seed, shape_sha256=shape, cameras=cameras, views=views)


class TestLayout:
    @given(order=st.permutations(SHAPES[:6]))
    def test_does_not_depend_on_which_shapes_came_before(self, order: list[str]) -> None:
        assert {shape: scene(shape) for shape in order} == {
            shape: scene(shape) for shape in SHAPES[:6]
        }

    def test_of_shape_17_is_the_same_alone_and_among_many(self) -> None:
        assert [scene(shape) for shape in SHAPES][16] == scene(SHAPES[16])

    @pytest.mark.parametrize("rig", [name for name, rig in RIGS.items() if rig.nested])
    def test_first_views_stay_when_there_are_more(self, rig: str) -> None:
        fixed = RIGS[rig].count
        few, many = (fixed - 1, fixed) if fixed else (3, 30)

        assert scene(cameras=rig, views=many).views[:few] == scene(cameras=rig, views=few).views

    @pytest.mark.parametrize("rig", [name for name, rig in RIGS.items() if not rig.nested])
    def test_a_rig_that_says_so_moves_its_views_when_there_are_more(self, rig: str) -> None:
        few, many = scene(cameras=rig, views=3), scene(cameras=rig, views=30)

        assert [v.viewpoint for v in many.views[:3]] != [v.viewpoint for v in few.views]

    def test_another_seed_another_shape_and_another_view_each_change_everything_random(
        self,
    ) -> None:
        scenes = [*scene().views[:2], scene(seed=1).views[0], scene(SHAPES[3]).views[0]]

        for field in ("viewpoint", "lights", "sampling_seed"):
            assert len({getattr(view, field) for view in scenes}) == len(scenes)

    def test_streams_of_random_numbers_differ_by_purpose(self) -> None:
        streams = (CAMERAS, LIGHTS, POINTS, SAMPLING)
        first = {generator(0, SHAPES[0], stream).random() for stream in streams}

        assert len(first) == len(streams) == len(set(streams))

    def test_streams_are_those_of_the_format(self) -> None:
        """Changing one would change every dataset; the first numbers are written down."""
        expected = np.random.default_rng([7, int(SHAPES[2], 16), 1, 4]).uniform(0, 360)

        assert scene(SHAPES[2], seed=7).views[4].viewpoint.azimuth_deg == expected
        assert (CAMERAS, LIGHTS, POINTS, SAMPLING) == (1, 2, 3, 4)

    @given(seed=st.integers(0, 2**63 - 1), shape=st.integers(0, 2**256 - 1))
    def test_lights_stand_clear_of_the_shape_and_above_the_horizon_on_the_whole(
        self, seed: int, shape: int
    ) -> None:
        for view in scene(f"{shape:064x}", seed=seed).views:
            places = np.array([light.position for light in view.lights])
            assert 2 <= len(view.lights) <= 6
            radius = np.linalg.norm(places, axis=1)
            assert (radius >= 1.499).all() and (radius <= 3.001).all()
            assert (places[:, 1] / radius > -0.18).all()
            assert 119 < sum(light.watts for light in view.lights) < 241
            assert all(0.8 < part <= 1 for light in view.lights for part in light.color)
            assert 0 <= view.sampling_seed < 2**31

    def test_is_frozen(self) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            scene().views[0].lights[0].watts = 1.0  # type: ignore[misc]
