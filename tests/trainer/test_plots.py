"""Pictures show what they are given, twice, and always the same bytes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from renderer.camera import Viewpoint, intrinsics, project, world_to_camera
from renderer.shards import Dataset
from tests.trainer.datasets import make_dataset
from trainer import plots

RED, GREEN, BLUE = (200, 20, 20), (20, 200, 20), (20, 20, 200)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def plain(colour: tuple[int, int, int], height: int = 4, width: int = 4) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def every_picture(folder: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    steps, values = np.arange(200), rng.normal(size=200)
    names = ["car", "chair", "lamp"]
    image = rng.integers(0, 255, (7, 11, 4), np.uint8)
    cloud = rng.uniform(-0.3, 0.3, (200, 3))
    return [
        plots.curves(
            folder / "curves.png",
            {"train": (steps, np.exp(values)), "val": ([9], [2.0])},
            name="loss",
            log=True,
            beside={"chance": 1.5, "nearest": 1.2},
        ),
        plots.lines(
            folder / "lines.png", [1, 2, 4], {"a": [0.1, 0.2, 0.4], "b": [0.3, 0.3, 0.3]},
            x_name="views", y_name="accuracy", chance=1 / 3, percent=True,
        ),
        plots.histogram(
            folder / "histogram.png", values, np.linspace(-3, 3, 7), name="error",
            chance=[0.1, 0.2, 0.2, 0.2, 0.2, 0.1], marks={"median": 0.1},
        ),
        plots.bars(
            folder / "bars.png", names, {"test": [0.1, 0.2, 0.4], "val": [0.3, 0.3, 0.3]},
            axis="accuracy", chance=1 / 3, percent=True,
        ),
        plots.confusion(folder / "confusion.png", [[3, 0, 1], [0, 4, 0], [0, 0, 0]], names),
        plots.image_grid(
            folder / "images.png", [[image, None], [image[..., 0], image[..., :3] / 255.0]],
            captions=[["a", None], ["b"]], row_names=["in", "out"], column_names=["left", "right"],
            wrong=[[True]],
        ),
        plots.clouds_grid(folder / "clouds.png", [[image, cloud]], column_names=["input", "cloud"]),
    ]  # fmt: skip


def test_the_same_values_give_the_same_bytes_on_both_papers(tmp_path: Path) -> None:
    first, second = every_picture(tmp_path / "a"), every_picture(tmp_path / "b")

    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == sorted(name for path in first for name in (path.name, f"{path.stem}.dark.png"))
    assert [path.name for path in first] == [path.name for path in second]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_picture_has_the_ground_of_its_paper(tmp_path: Path) -> None:
    light = plots.lines(tmp_path / "x.png", [1, 2], {"a": [1, 2]}, x_name="x", y_name="y")

    assert_array_equal(pixels(light)[0, 0], [255, 255, 255])
    assert_array_equal(pixels(tmp_path / "x.dark.png")[0, 0], [0x18, 0x1C, 0x22])


def test_pictures_need_no_screen() -> None:
    program = (
        "import trainer.plots, tempfile, sys\n"
        "folder = tempfile.mkdtemp()\n"
        "trainer.plots.lines(folder + '/x.png', [1], {'a': [1]}, x_name='x', y_name='y')\n"
        "print('matplotlib.pyplot' in sys.modules, 'torch' in sys.modules)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin", "DISPLAY": ":99"},
        cwd=Path(__file__).parents[2],
    )

    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("reach", [0, 1, 3, 50])
def test_the_running_mean_is_the_mean_of_the_neighbours_that_are_numbers(reach: int) -> None:
    values = np.array([1.0, 4.0, np.nan, 2.0, np.inf, -3.0, 7.0])
    kept = np.where(np.isfinite(values), values, np.nan)

    slow = [
        np.mean([v for v in kept[max(0, at - reach) : at + reach + 1] if v == v] or [np.nan])
        for at in range(len(values))
    ]

    assert_allclose(plots._running_mean(values, reach), slow)


def test_values_that_are_no_numbers_are_left_out_of_a_histogram(tmp_path: Path) -> None:
    some = plots.histogram(tmp_path / "a.png", [1.0, 2.0, 2.0], 3, name="x", limits=(0, 3))
    more = plots.histogram(
        tmp_path / "b.png", [1.0, np.nan, 2.0, np.inf, 2.0], 3, name="x", limits=(0, 3)
    )

    assert some.read_bytes() == more.read_bytes()


def test_a_histogram_of_nothing_is_a_picture(tmp_path: Path) -> None:
    assert plots.histogram(tmp_path / "a.png", [], 3, name="x", limits=(0, 3)).exists()


def test_a_confusion_that_does_not_fit_its_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"matrix \(2, 2\) does not fit 3 names"):
        plots.confusion(tmp_path / "x.png", np.eye(2), ["a", "b", "c"])


def test_rows_of_a_confusion_are_the_truth(tmp_path: Path) -> None:
    # Sixty names: no numbers in the cells. All of class 0 was taken for class 59.
    matrix = np.zeros((60, 60))
    matrix[0, 59] = 7
    path = plots.confusion(tmp_path / "x.png", matrix, [str(n) for n in range(60)])

    blue = (pixels(path) == [0x4C, 0x78, 0xC8]).all(axis=2)
    rows, columns = np.nonzero(blue)
    height, width = blue.shape
    assert rows.mean() < height * 0.2 and columns.mean() > width * 0.9


def test_pictures_of_a_grid_stand_in_their_rows_and_columns(tmp_path: Path) -> None:
    grid = [[plain(RED), plain(GREEN)], [None, plain(BLUE)]]

    shown = pixels(plots.image_grid(tmp_path / "x.png", grid, tile=40))

    places = {}
    for name, colour in (("red", RED), ("green", GREEN), ("blue", BLUE)):
        rows, columns = np.nonzero((shown == colour).all(axis=2))
        places[name] = (rows.min(), columns.min())
        assert len(rows) == (40 * plots.DENSITY) ** 2  # every pixel of the tile, none blended
    assert places["red"][0] == places["green"][0] < places["blue"][0]
    assert places["red"][1] < places["green"][1] == places["blue"][1]


def test_a_picture_keeps_its_proportions_on_its_tile(tmp_path: Path) -> None:
    shown = pixels(plots.image_grid(tmp_path / "x.png", [[plain(RED, 7, 14)]], tile=28))

    rows, columns = np.nonzero((shown == RED).all(axis=2))
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (28, 56)


def test_what_is_transparent_shows_the_tile(tmp_path: Path) -> None:
    clear = np.concatenate([plain(RED), np.zeros((4, 4, 1), np.uint8)], axis=2)

    shown = pixels(plots.image_grid(tmp_path / "x.png", [[clear]], tile=40))

    assert (shown == [0xEE, 0xF1, 0xF5]).all(axis=2).sum() == 80**2


# --- clouds ---------------------------------------------------------------------------------------


def test_a_cloud_drawn_by_a_sample_s_camera_lies_on_its_picture(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "d", ["cars"], shapes=1, size=64, splits={"train": 1},
                          points=4000)  # fmt: skip
    sample = Dataset(folder, "train")[0]

    for view in sample.views:
        cloud = plots.point_cloud(sample.points, size=64, camera=view.world_to_camera, radius=0.01)
        drawn, seen = cloud[..., 3] > 127, view.rgba[..., 3] > 127
        assert (drawn & seen).sum() / (drawn | seen).sum() > 0.9


def test_a_point_is_drawn_where_the_camera_sees_it() -> None:
    point = np.array([[0.1, -0.2, 0.3]])
    view = Viewpoint(azimuth_deg=30, elevation_deg=-10)
    (expected,), _ = project(point, world_to_camera(view), intrinsics((101, 101)))

    cloud = plots.point_cloud(point, size=101, azimuth_deg=30, elevation_deg=-10, radius=0.04)

    rows, columns = np.nonzero(cloud[..., 3])
    assert_allclose([columns.mean() + 0.5, rows.mean() + 0.5], expected, atol=0.5)


@pytest.mark.parametrize("turned", [False, True])
def test_the_nearer_point_hides_the_one_behind_it(turned: bool) -> None:
    points, colours = np.array([[0.3, 0, 0], [-0.3, 0, 0]]), np.array([RED, BLUE], np.uint8)
    order = [1, 0] if turned else [0, 1]

    cloud = plots.point_cloud(
        points[order], colours[order], size=32, azimuth_deg=0, elevation_deg=0, radius=0.1
    )

    assert_allclose(cloud[16, 16], (*RED, 255), atol=1)  # azimuth 0 looks from +x


def test_colours_are_bytes_or_shares() -> None:
    points, colours = np.zeros((1, 3)), np.array([RED], np.uint8)

    assert_array_equal(
        plots.point_cloud(points, colours, size=16),
        plots.point_cloud(points, colours / 255, size=16),
    )


@pytest.mark.parametrize("points", [np.zeros((0, 3)), [[np.nan, 0, 0]], [[5.0, 0, 0]]])
def test_what_cannot_be_seen_leaves_the_ground_clear(points: np.ndarray) -> None:
    cloud = plots.point_cloud(points, size=9, azimuth_deg=0)

    assert cloud.shape == (9, 9, 4) and not cloud[..., 3].any()


def test_an_orbit_goes_round_once_for_ever_on_clear_ground(tmp_path: Path) -> None:
    arm = np.stack([np.linspace(0, 0.4, 50), np.zeros(50), np.zeros(50)], axis=1)

    path = plots.orbit_gif(tmp_path / "x.gif", [arm, -arm], frames=8, size=32, seconds=2)

    with Image.open(path) as film:
        assert (film.n_frames, film.size) == (8, (64, 32))
        assert (film.info["loop"], film.info["duration"]) == (0, 250)
        left = []
        for number in range(8):
            film.seek(number)
            seen = np.asarray(film.convert("RGBA"))[..., 3] > 0
            assert 0 < seen.mean() < 0.5
            left.append(np.nonzero(seen[:, :32])[1].mean())
    assert np.argmax(left) == 6 and np.argmin(left) == 2  # at 270 degrees the camera is at +z
