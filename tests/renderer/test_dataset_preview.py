"""The contact sheet shows what is in the dataset, whatever that is."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from farm.commands.dataset import Preview
from renderer.dataset import preview as drawn
from renderer.dataset.pictures import draw_points, fit, window_of
from renderer.dataset.preview import preview
from renderer.dataset.subset import Choice, subset
from renderer.shards import Dataset


def test_a_row_for_every_shape_and_the_same_bytes_again(rendered: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    width, height = preview(rendered, one)
    assert preview(rendered, two) == (width, height)
    assert one.read_bytes() == two.read_bytes()
    with Image.open(one) as image:
        assert image.size == (width, height) and image.mode == "RGB"
    fewer = preview(rendered, two, samples=3)
    assert fewer[0] == width
    assert height - fewer[1] == 2 * (drawn.TILE + drawn.GAP)


def test_the_first_view_is_on_the_sheet(rendered: Path, tmp_path: Path) -> None:
    """Where the view is opaque, the sheet has its colours."""
    preview(rendered, tmp_path / "sheet.png", samples=1, split="train")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    sample = Dataset(rendered, "train")[0]
    window = window_of(sample, 3)
    picture = fit(sample.views[0].rgba, window, drawn.TILE)
    left, top = drawn.MARGIN + drawn.LABEL, drawn.MARGIN + 108
    tile = sheet[top : top + drawn.TILE, left : left + drawn.TILE]
    core = cv2.erode((picture[..., 3] == 255).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    assert core.sum() > 500
    assert np.median(np.abs(tile[core].astype(int) - picture[core][:, :3])) <= 4
    assert (tile[0, drawn.TILE // 2] != picture[0, drawn.TILE // 2, :3]).any()


def test_points_are_drawn_where_the_shape_is(rendered: Path) -> None:
    for sample in Dataset(rendered):
        window = window_of(sample, 1)
        picture = fit(sample.views[0].rgba, window, 200)
        points = draw_points(sample, window, 200)
        grown = cv2.dilate((picture[..., 3] > 0).astype(np.uint8), np.ones((9, 9), np.uint8))
        marked = points[..., 3] > 0
        assert grown[marked].mean() > 0.99
        near = cv2.dilate(marked.astype(np.uint8), np.ones((15, 15), np.uint8))
        assert near[picture[..., 3] == 255].mean() > 0.95


def test_a_window_keeps_every_view_of_its_row_inside(rendered: Path) -> None:
    for sample in Dataset(rendered):
        x0, y0, x1, y1 = window_of(sample, 3)
        assert x1 - x0 == y1 - y0
        for view in sample.views:
            left, top, right, bottom = view.meta["bbox"]
            assert x0 < left and right < x1 and y0 < top and bottom < y1


def test_pixels_stay_where_they_are_when_a_picture_is_fitted() -> None:
    image = np.zeros((16, 16, 4), np.uint8)
    image[4:8, 10:12] = (200, 100, 50, 255)
    for side in (32, 64, 256, 8):
        fitted = fit(image, (0, 0, 16, 16), side)
        rows, columns = np.nonzero(fitted[..., 3] > 127)
        scale = side / 16
        assert abs(rows.min() - 4 * scale) <= 1 and abs(rows.max() + 1 - 8 * scale) <= 1
        assert abs(columns.min() - 10 * scale) <= 1 and abs(columns.max() + 1 - 12 * scale) <= 1
        assert np.abs(fitted[rows, columns, :3].astype(int) - [200, 100, 50]).max() <= 3


def test_depth_runs_from_light_to_dark_evenly() -> None:
    ramp = drawn.depth_colours(np.linspace(0, 1, 64)[None])[0].astype(float)
    light = ramp @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light) <= 0).all()
    assert light[0] > 170 and light[-1] < 40


def test_categories_are_mixed(rendered: Path) -> None:
    dataset = Dataset(rendered)
    assert {one.category for one in drawn._chosen(dataset, 2, 0)} == {"car", "chair"}
    chosen = drawn._chosen(dataset, 4, 0)
    assert [one.category for one in chosen] == ["car", "car", "chair", "chair"]
    assert len({one.sample.key for one in chosen}) == 4
    assert len(drawn._chosen(dataset, 99, 0)) == 5


def test_more_shapes_than_rows_make_a_wall(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawn, "MOST_ROWS", 3)
    width, height = preview(rendered, tmp_path / "wall.png", samples=5)
    assert width <= drawn.WALL_WIDTH and height < width


def test_pictures_alone_make_a_sheet(photos: Path, tmp_path: Path) -> None:
    width, height = preview(photos, tmp_path / "photos.png")
    with Image.open(tmp_path / "photos.png") as image:
        assert image.size == (width, height)


def test_one_view_without_points_or_passes_is_enough(rendered: Path, tmp_path: Path) -> None:
    subset(rendered, tmp_path / "one", Choice(views="1", limit=1))
    preview(tmp_path / "one", tmp_path / "one.png")
    assert (tmp_path / "one.png").stat().st_size > 5000


def test_wrong_use_is_told_in_one_line(
    rendered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="--samples 0: at least 1"):
        preview(rendered, tmp_path / "x.png", samples=0)
    with pytest.raises(ValueError, match=r"let its name end in \.png"):
        preview(rendered, tmp_path / "x.jpg")
    with pytest.raises(ValueError, match="no split 'dev'"):
        preview(rendered, tmp_path / "x.png", split="dev")
    assert not list(tmp_path.iterdir())
    assert Preview(dir=str(rendered), out=str(tmp_path / "x.png"))() == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'x.png'}: ")
