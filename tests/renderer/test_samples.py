"""Shapes made by rule: the same everywhere, whole, closed, and different from each other."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from renderer.shapes import samples, scan, source
from renderer.shapes.rules import Part, make, rules
from renderer.shapes.rules.solid import (
    Solid,
    box,
    circle,
    clipped,
    curve,
    cylinder,
    ellipsoid,
    extruded,
    facing,
    lathe,
    loft,
    plate,
    ring,
    rounded,
    tube,
)
from renderer.shapes.rules.texture import png
from renderer.shapes.rules.wavefront import MESH, files

CATEGORIES = tuple(rules())
SEEN = 8  # shapes of a category that the slower tests look at: every kind of it


@cache
def shape(category: str, index: int) -> list[Part]:
    return make(rules()[category], index)


@cache
def mesh_text(category: str, index: int) -> str:
    return files(shape(category, index))[MESH].decode()


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FARM_SAMPLES_ROOT", str(tmp_path / "samples"))
    return tmp_path / "samples"


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def pieces(solid: Solid) -> Iterator[Solid]:
    """The connected surfaces of a solid."""
    label = np.arange(len(solid.points))
    while True:  # the slow, plain way: spread the lowest number until nothing changes
        lowest = label[solid.triangles].min(axis=1)
        spread = label.copy()
        np.minimum.at(spread, solid.triangles, lowest[:, None])
        spread = spread[spread]
        if (spread == label).all():
            break
        label = spread
    for number in np.unique(label):
        chosen = label[solid.triangles[:, 0]] == number
        middle = solid.points[label == number].mean(axis=0)
        yield Solid(points=solid.points - middle, triangles=solid.triangles[chosen])


def assert_closed(solid: Solid) -> None:
    """Every edge is walked once each way, and what it encloses has a positive volume."""
    t = solid.triangles
    there = np.concatenate([t[:, [0, 1]], t[:, [1, 2]], t[:, [2, 0]]])
    assert len(np.unique(there, axis=0)) == len(there)
    assert {*map(tuple, there.tolist())} == {*map(tuple, there[:, ::-1].tolist())}
    assert all(piece.volume > 0 for piece in pieces(solid))


def test_there_are_at_least_ten_categories_and_each_is_one_of_shapenets():
    from renderer.shapes.synsets import SYNSETS

    assert len(CATEGORIES) >= 10
    for rule in rules().values():
        assert SYNSETS[rule.SYNSET][0] == rule.NAME


def test_files_lie_in_the_layout_of_shapenet(root):
    (car,) = samples.find("cars", None, 1)

    assert car.path == str(root / "02958343" / car.id / "models" / "model_normalized.obj")
    assert len(car.id) == 32 and set(car.id) <= set("0123456789abcdef")
    assert (car.group, car.category, car.synset, car.up) == ("02958343", "car", "02958343", "y")
    assert sorted(content(root / "02958343" / car.id)) == [
        "images/texture0.png",
        "models/model_normalized.mtl",
        "models/model_normalized.obj",
    ]


def test_the_shapenet_source_reads_them_as_its_own(root, monkeypatch):
    made = scan(["samples/mugs"], limit=3)
    monkeypatch.setenv("FARM_SHAPENET_ROOT", str(root))

    read = scan(["shapenet/mug"])

    assert [(s.key, s.sha256) for s in read] == [(s.key, s.sha256) for s in made]


def test_without_a_limit_there_are_twenty_and_with_one_as_many_as_it_says():
    assert len({c.id for c in samples.find("tables", None, None)}) == 20
    assert len({c.id for c in samples.find("tables", None, 33)}) == 33
    assert len(scan(["samples/tables"], limit=7)) == 7


def test_all_takes_the_categories_in_turn():
    found = list(samples.find("all", None, len(CATEGORIES) + 1))

    assert {c.category for c in found} == {rule.NAME for rule in rules().values()}
    assert [c.id for c in samples.find("", None, 5)] == [c.id for c in found[:5]]


@pytest.mark.parametrize("name", ["car", "cars", "Cars", "02958343", "automobile"])
def test_a_category_answers_to_its_names(name):
    (car,) = samples.find(name, None, 1)

    assert car.category == "car"


def test_an_unknown_category_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"no samples of 'unicorns'; there are airplanes, .* and"):
        list(samples.find("unicorns", None, 1))


def test_a_user_may_say_which_axis_is_up():
    (car,) = samples.find("cars", "z", 1)

    assert car.up == "z"


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_shape_is_the_same_alone_and_among_many(category, root, monkeypatch):
    many = list(samples.find(category, None, 3))
    again = root.with_name("again")
    monkeypatch.setenv("FARM_SAMPLES_ROOT", str(again))
    rule = rules()[category]

    alone = samples.written(rule, 2)

    assert alone.parts[-4:] == Path(many[2].path).parts[-4:]
    assert content(alone.parents[1]) == content(Path(many[2].path).parents[1])


def test_a_second_call_writes_nothing(root):
    (first,) = samples.find("lamps", None, 1)
    os.utime(first.path, ns=(1, 1))

    list(samples.find("lamps", None, 1))

    assert os.stat(first.path).st_mtime_ns == 1


def test_another_version_is_another_folder(monkeypatch):
    (old,) = samples.find("lamps", None, 1)
    monkeypatch.setattr(samples, "VERSION", samples.VERSION + 1)

    (new,) = samples.find("lamps", None, 1)

    assert new.id != old.id and Path(old.path).exists() and Path(new.path).exists()


def test_what_a_killed_run_left_behind_is_never_seen(root):
    rule = rules()["mugs"]
    torn = root / rule.SYNSET / f".{samples.model_id(rule, 0)}.{os.getpid()}" / "models"
    torn.mkdir(parents=True)
    (torn / "model_normalized.obj").write_text("v 0 0")

    (mug,) = samples.find("mugs", None, 1)

    assert content(Path(mug.path).parents[1])[str(MESH)] == files(make(rule, 0))[MESH]
    assert [entry.name for entry in (root / rule.SYNSET).iterdir()] == [mug.id]


def test_a_root_that_cannot_be_written_is_told_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FARM_SAMPLES_ROOT", str(tmp_path / "file"))

    with pytest.raises(ValueError, match=r"^samples root .*file: .*; set FARM_SAMPLES_ROOT to"):
        list(samples.find("cars", None, 1))


def test_the_root_follows_the_farms_home(tmp_path, monkeypatch):
    monkeypatch.delenv("FARM_SAMPLES_ROOT")
    monkeypatch.setenv("FARM_HOME", str(tmp_path / "home"))

    assert samples.root() == tmp_path / "home" / "samples"


def test_what_is_there_is_told_without_making_any(root):
    told = samples.available()

    assert [c.synset for c in told.categories] == [rule.SYNSET for rule in rules().values()]
    assert told.root == str(root) and not root.exists()


def test_the_address_of_samples_leads_here():
    assert source("samples/cars")[0] is samples


def test_twenty_cars_are_quick():
    start = time.process_time()
    list(samples.find("cars", None, 20))

    # About 1.2 s of CPU on one core of 2026; the bound only catches a change of kind.
    assert time.process_time() - start < 8


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_solid_is_closed_faces_outward_and_has_no_flat_triangle(category):
    for index in range(SEEN):
        parts = shape(category, index)
        points = np.concatenate([part.solid.points for part in parts])
        assert np.isfinite(points).all()
        diagonal = np.linalg.norm(np.ptp(points, axis=0))
        for part in parts:
            assert_closed(part.solid)
            a, b, c = np.moveaxis(part.solid.points[part.solid.triangles] / diagonal, 1, 0)
            areas = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
            assert areas.min() > 1e-10, (index, part.name, part.material.name)


@pytest.mark.parametrize("category", CATEGORIES)
def test_trimesh_reads_a_centred_mesh_of_diagonal_one(category):
    trimesh = pytest.importorskip("trimesh")

    for candidate in samples.find(category, None, 2):
        mesh = trimesh.load(candidate.path, force="mesh")
        assert 200 < len(mesh.faces) < 40_000
        assert_allclose(np.linalg.norm(mesh.extents), 1, atol=1e-6)
        assert_allclose(mesh.bounds.mean(axis=0), 0, atol=1e-6)
        assert np.isfinite(mesh.vertex_normals).all()


@pytest.mark.parametrize("category", CATEGORIES)
def test_parts_are_named_objects_in_the_order_of_the_rule(category):
    rule = rules()[category]

    for index in range(SEEN):
        text = mesh_text(category, index)
        names = [line[2:] for line in text.splitlines() if line.startswith("o ")]
        assert 2 <= len(names) == len(set(names))
        assert names == [name for name in rule.PARTS if name in names]
        assert names[0] == rule.PARTS[0]


@pytest.mark.parametrize("category", CATEGORIES)
def test_no_two_shapes_are_alike(category):
    shapes = [shape(category, index) for index in range(SEEN)]
    sizes = [np.ptp(np.concatenate([p.solid.points for p in parts]), axis=0) for parts in shapes]
    ratios = np.array([size / np.linalg.norm(size) for size in sizes])

    assert len({mesh_text(category, index) for index in range(SEEN)}) == SEEN
    apart = np.linalg.norm(ratios[:, None] - ratios[None], axis=-1)
    assert np.median(apart) > 0.01


@pytest.mark.parametrize("category", CATEGORIES)
def test_the_normals_in_the_file_point_away_from_their_triangles(category):
    text = mesh_text(category, 0).splitlines()
    points, normals = (
        np.array([line.split()[1:] for line in text if line.startswith(head)], float)
        for head in ("v ", "vn ")
    )
    corners = [[c.split("/") for c in line.split()[1:]] for line in text if line[:2] == "f "]
    at = np.array([[int(c[0]) for c in face] for face in corners]) - 1
    facing_ = np.array([[int(c[2]) for c in face] for face in corners]) - 1

    a, b, c = np.moveaxis(points[at], 1, 0)
    flat = np.cross(b - a, c - a)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)

    assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=2e-4)
    # Smoothing stays within 60 degrees for every crease used, and a sum of such within that.
    assert (np.einsum("ij,ikj->ik", flat, normals[facing_]) > 0.3).all()


def test_every_texture_named_in_an_mtl_is_there():
    for category in CATEGORIES:
        for candidate in samples.find(category, None, 2):
            models = Path(candidate.path).parent
            text = (models / "model_normalized.mtl").read_text()
            named = [line.split()[1] for line in text.splitlines() if line.startswith("map_Kd")]
            assert all((models / name).is_file() for name in named)


def test_cars_and_airplanes_have_their_noses_forward():
    # The windscreen side: a car's lights and an airplane's cockpit tell front from back.
    for index in range(SEEN):
        parts = shape("cars", index)
        white = [p.solid.points for p in parts if p.material.name == "headlight"]
        red = [p.solid.points for p in parts if p.material.name == "taillight"]
        assert np.concatenate(white)[:, 0].min() > np.concatenate(red)[:, 0].max()
        parts = shape("airplanes", index)
        tail = np.concatenate([p.solid.points for p in parts if p.name == "tail"])
        wings = np.concatenate([p.solid.points for p in parts if p.name == "wings"])
        assert tail[:, 0].mean() < wings[:, 0].mean()


@pytest.mark.parametrize("category", ["chairs", "sofas", "benches"])
def test_backs_are_behind_the_seat(category):
    for index in range(SEEN):
        parts = shape(category, index)
        backs = [p.solid.points for p in parts if p.name == "back"]
        seats = [p.solid.points for p in parts if p.name == "seat"]
        if backs:
            back, seat = np.concatenate(backs), np.concatenate(seats)
            assert back[:, 0].mean() < seat[:, 0].mean()
            assert back[:, 1].max() > seat[:, 1].max()


SOLIDS = {
    "box": (box(2, 3, 4), 24.0),
    "long box": (box(2, 3, 4, 0.0, 1, 3), 24.0),
    # Steiner: inner box, its faces times r, edges times a quarter circle, corners a ball
    "bevelled box": (
        box(2, 3, 4, 0.5, 12),
        1 * 2 * 3 + 2 * (1 * 2 + 2 * 3 + 1 * 3) * 0.5 + np.pi * 0.25 * 6 + 4 / 3 * np.pi * 0.125,
    ),
    "cylinder": (cylinder(1, 2, 0, 200), 2 * np.pi),
    "ball": (ellipsoid(1, 2, 3, 120), 4 / 3 * np.pi * 6),
    "cone": (lathe([(1, 0), (0, 3)], 200), np.pi),
    "vessel": (lathe([(0, 0), (2, 0), (2, 3), (1, 3), (1, 1), (0, 1)], 200), np.pi * 10),
    # Pappus: 2 pi R times the section's area
    "tyre": (ring([(2, -1), (3, -1), (3, 1), (2, 1)], 200), 2 * np.pi * 2.5 * 2),
    "tube": (tube([(0, 0, 0), (0, 5, 0)], 1, 200), 5 * np.pi),
    "loop of tube": (
        tube(np.pad(circle(5, 120), ((0, 0), (0, 1))), 1, 100, closed=True, side=(0, 0, 1)),
        2 * np.pi * 5 * np.pi,
    ),
    "rounded slab": (extruded(rounded(4, 2, 0.5, 40), 3), 3 * (8 - (4 - np.pi) * 0.25)),
    "hollow outline": (
        extruded([(0, 0), (3, 0), (3, 3), (2, 3), (2, 1), (1, 1), (1, 3), (0, 3)], 2),
        14.0,
    ),
    "plate": (facing(2, 3, 0.1), 0.6),
    "loft": (loft([[(x, y, z) for x, z in rounded(2, 2, 0.1)] for y in (0, 1, 5)]), 19.957),
}


@pytest.mark.parametrize("name", SOLIDS)
def test_a_solid_is_closed_and_has_its_formulas_volume(name):
    solid, volume = SOLIDS[name]

    assert_closed(solid)
    assert_allclose(solid.volume, volume, rtol=2e-3)


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_a_mirror_image_is_still_outward(axis):
    cone = lathe([(1, 0), (0, 3)]).moved(1, 2, 3).wrapped(1)

    mirrored = cone.mirrored(axis)

    assert_closed(mirrored)
    assert_allclose(mirrored.volume, cone.volume)
    assert_allclose(mirrored.mirrored(axis).points, cone.points)


def test_turning_goes_counter_clockwise_seen_from_the_axis_tip():
    x, y, z = np.eye(3)
    point = Solid(points=np.eye(3), triangles=np.zeros((0, 3), np.int64))

    assert_allclose(point.turned("z", 90).points, [y, -x, z], atol=1e-12)
    assert_allclose(point.turned("x", 90).points, [x, z, -y], atol=1e-12)
    assert_allclose(point.turned("y", 90).points, [-z, y, x], atol=1e-12)


def test_a_curve_passes_through_its_points():
    knots = np.array([(0, 0), (1, 2), (3, 1), (4, 4)], float)

    assert_allclose(curve(knots, 5)[::5], knots)


def test_cutting_ears_covers_a_polygon_once():
    outline = np.array([(0, 0), (4, 0), (4, 4), (3, 1), (2, 3), (1, 1), (0, 4)], float)

    a, b, c = np.moveaxis(outline[clipped(outline)], 1, 0)

    areas = ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2
    assert (areas > 0).all()
    # the shoelace formula over the outline
    following = np.roll(outline, -1, axis=0)
    whole = (outline[:, 0] * following[:, 1] - outline[:, 1] * following[:, 0]).sum() / 2
    assert_allclose(areas.sum(), whole)


def test_a_label_reads_from_left_to_right_seen_from_the_front():
    label = facing(2, 1, 0.1)

    assert label.uv is not None
    corners, uv = label.points[label.triangles].reshape(-1, 3), label.uv.reshape(-1, 2)
    front = corners[:, 0] > 0
    # who looks along -x with y up has +z on the left
    assert_allclose(uv[front, 0], 0.5 - corners[front, 2] / 2, atol=1e-12)
    assert_allclose(uv[front, 1], 0.5 + corners[front, 1], atol=1e-12)


def test_a_plate_stands_by_half_its_thickness_on_either_side():
    grid = np.stack(np.meshgrid([0.0, 1.0], [0.0, 1.0], [0.0], indexing="ij"), -1)[:, :, 0]

    heights = plate(grid, 0.2).points[:, 2]

    assert_allclose(sorted(set(np.round(heights, 9).tolist())), [-0.1, 0.1])


def test_other_programs_read_our_png(tmp_path):
    from PIL import Image

    pixels = np.arange(150 * 160 * 3, dtype=np.uint32).reshape(150, 160, 3).astype(np.uint8)
    (tmp_path / "a.png").write_bytes(png(pixels))

    assert (np.asarray(Image.open(tmp_path / "a.png")) == pixels).all()
