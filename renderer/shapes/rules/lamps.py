"""Lamps: on tables, desks and floors, hanging, arched, on three legs.

A desk lamp and an arched one reach towards +x.
"""

from __future__ import annotations

import math

import numpy as np

from renderer.shapes.rules.dice import Dice
from renderer.shapes.rules.material import Material, cloth, matte, metal, paint, plastic, wood
from renderer.shapes.rules.part import Part
from renderer.shapes.rules.solid import (
    Solid,
    both,
    box,
    curve,
    cylinder,
    ellipsoid,
    joined,
    lathe,
    plate,
    ring,
    tube,
)

NAME = "lamp"
SYNSET = "03636649"
ALSO = ("light", "lights")
PARTS = ("shade", "stand", "base", "bulb", "cable")

KINDS = ("table", "desk", "floor", "pendant", "arc", "tripod", "banker", "lantern")
SHADES = (
    "#f0e6d0",
    "#fbf7ee",
    "#d9c39a",
    "#b5462f",
    "#2f4858",
    "#6b7f5c",
    "#e0b040",
    "#7d8a96",
    "#3a3a3c",
)
BODIES = ("#2d5f8a", "#a03a32", "#e8e4da", "#3f6d55", "#2a2a2c", "#c8872e", "#8a5a78", "#4fa3a0")
METALS = ("#b8bbc0", "#b08d4a", "#26272a", "#a8653a", "#d9dadb")


def make(form: Dice, finish: Dice) -> list[Part]:
    kind = form.turn(KINDS)
    return {
        "table": _table,
        "desk": _desk,
        "floor": _floor,
        "pendant": _pendant,
        "arc": _arc,
        "tripod": _tripod,
        "banker": _banker,
        "lantern": _lantern,
    }[kind](form, finish)


def drum(bottom: float, top: float, height: float, bulge: float = 0.0, sides: int = 36) -> Solid:
    """A thin shade open above and below, its lower rim at y = 0."""
    wall = 0.004 + 0.01 * max(bottom, top)
    t = np.linspace(0, 1, 7)
    r = bottom + (top - bottom) * t + bulge * np.sin(math.pi * t)
    outside = list(zip(r.tolist(), (t * height).tolist(), strict=True))
    inside = [(a - wall, b) for a, b in outside[::-1]]
    return ring(outside + inside, sides).creased(50)


def bowl(radius: float, depth: float, neck: float, power: float = 2.0, sides: int = 36) -> Solid:
    """A shade like a bell, open below at y = 0, its neck on top."""
    t = np.linspace(0, 1, 10)
    r = neck + (radius - neck) * (1 - t**power) ** (1 / power)
    outside = list(zip(r.tolist(), (t * depth).tolist(), strict=True))
    wall = 0.03 * radius
    inside = [(max(a - wall, 0.3 * neck), b - wall * 0.7) for a, b in outside[::-1]]
    inside[-1] = (radius - wall, 0.0)
    return ring(outside + inside, sides).creased(50)


def bulb(radius: float) -> tuple[Solid, Material]:
    profile = [
        (0, -1.0),
        (0.5, -0.87),
        (0.87, -0.5),
        (1, 0),
        (0.87, 0.5),
        (0.5, 0.95),
        (0.4, 1.4),
        (0, 1.4),
    ]
    solid = lathe([(radius * a, radius * b) for a, b in profile], 18).creased(60)
    return solid, plastic("#fff6d6", "bulb")


def _cover(finish: Dice) -> Material:
    color = finish.pick(SHADES)
    return cloth(finish, color, "shade") if finish.chance(0.6) else matte(color, "shade")


def _shade(form: Dice, size: float) -> tuple[Solid, float]:
    """A fabric shade on its lower rim, and its height."""
    height = size * form.between(0.9, 1.5)
    taper = form.pick([1.0, form.between(0.4, 0.85), form.between(0.6, 0.9)])
    sides = form.pick([36, 36, 36, 4, 6, 8])
    solid = drum(size, size * taper, height, form.pick([0.0, 0.0, size * 0.1, -size * 0.1]), sides)
    return (solid.creased(25) if sides < 10 else solid), height


def _spider(size: float) -> Solid:
    """Three wires that hold a shade."""
    return joined(
        *[tube([(0, 0, 0), (size, 0, 0)], 0.006, 6).turned("y", 120 * i) for i in range(3)]
    )


def _table(form: Dice, finish: Dice) -> list[Part]:
    high = form.between(0.26, 0.36)
    style = form.pick(["vase", "gourd", "column", "ball", "blocks", "cone"])
    r = form.between(0.075, 0.115)
    shapes = {
        "vase": [
            (0.55, 0),
            (0.6, 0.04),
            (0.75, 0.2),
            (1, 0.6),
            (0.85, 0.82),
            (0.35, 0.93),
            (0.3, 1),
        ],
        "gourd": [
            (0.6, 0),
            (0.95, 0.15),
            (1, 0.3),
            (0.75, 0.48),
            (0.5, 0.58),
            (0.62, 0.74),
            (0.5, 0.9),
            (0.25, 1),
        ],
        "column": [
            (0.9, 0),
            (0.9, 0.06),
            (0.4, 0.1),
            (0.33, 0.5),
            (0.33, 0.88),
            (0.45, 0.92),
            (0.45, 1),
        ],
        "cone": [(1, 0), (1, 0.03), (0.3, 0.95), (0.3, 1)],
    }
    color = finish.pick(BODIES)
    body: Material = finish.pick(
        [paint(color, "glaze"), wood(finish, "body"), metal(finish.pick(METALS), "body")]
    )
    if style in shapes:
        profile = np.array(shapes[style])
        smooth = curve(profile, 4) if style in ("vase", "gourd") else profile
        solid = lathe([(0, 0), *[(r * a, high * b) for a, b in smooth], (0, high)], 32).creased(45)
    elif style == "ball":
        count = form.whole(1, 3)
        each = high / count / 2
        solid = joined(
            *[
                ellipsoid(min(r, each * 1.1), each * 1.03, min(r, each * 1.1), 28).moved(
                    y=each * (2 * i + 1)
                )
                for i in range(count)
            ]
        )
    else:
        count = form.whole(3, 5)
        each = high / count
        solid = joined(
            *[
                box(r * 1.2, each * 0.97, r * 1.2, 0.008, 2)
                .turned("y", form.between(0, 60))
                .moved(y=each * (i + 0.5))
                for i in range(count)
            ]
        )
    parts = [Part("stand", solid.moved(y=0.02).wrapped(0.2, "y"), body)]
    foot = cylinder(r * form.between(0.85, 1.1), 0.022, 0.004, 32).moved(y=0.011)
    brass = metal(finish.pick(METALS))
    parts.append(Part("base", foot, brass))
    size = r * form.between(1.5, 2.0)
    shade, tall = _shade(form, size)
    low = high + form.between(0.02, 0.05)
    parts.append(Part("shade", shade.moved(y=low).wrapped(0.1), _cover(finish)))
    rod = cylinder(0.008, low + tall - high, 0, 10).moved(y=(high + low + tall) / 2 + 0.01)
    knob = ellipsoid(0.014, 0.014, 0.014, 14).moved(y=low + tall + 0.02)
    parts.append(
        Part("stand", joined(rod, knob, _spider(size * 0.5).moved(y=low + tall - 0.01)), brass)
    )
    lit, white = bulb(0.032)
    parts.append(Part("bulb", lit.turned("x", 180).moved(y=low + tall * 0.5), white))
    return parts


def _desk(form: Dice, finish: Dice) -> list[Part]:
    color = paint(finish.pick(BODIES), "lacquer")
    steel = metal(finish.pick(METALS)) if finish.chance(0.6) else color
    r = form.between(0.075, 0.1)
    base = lathe([(0, 0), (r, 0), (r, 0.012), (r * 0.85, 0.026), (0.02, 0.034), (0, 0.034)], 32)
    parts = [Part("base", base, color)]
    one, two = form.between(0.2, 0.27), form.between(0.17, 0.25)
    back = math.radians(form.between(98, 122))
    fore = math.radians(form.between(8, 42))
    a = np.array([0, 0.03, 0.0])
    b = a + one * np.array([math.cos(back), math.sin(back), 0])
    c = b + two * np.array([math.cos(fore), math.sin(fore), 0])
    gap = form.pick([0.0, 0.013])
    if gap:
        arms = joined(
            both(tube([a, b], 0.005, 8).moved(0, 0, gap)),
            both(tube([b, c], 0.005, 8).moved(0, 0, gap)),
        )
    else:
        arms = joined(tube([a, b], 0.0075, 10), tube([b, c], 0.0075, 10))
    parts.append(Part("stand", arms, steel))
    joints = joined(
        *[
            cylinder(0.015, 0.04, 0.003, 16).turned("x", 90).moved(*p)
            for p in (a + [0, 0.012, 0], b, c)
        ]
    )
    parts.append(Part("stand", joints, steel))
    if gap and form.chance(0.6):  # springs
        spring = tube([a + 0.15 * (b - a), a + 0.6 * (b - a)], 0.008, 8).moved(-0.012)
        parts.append(Part("stand", spring, steel))
    head = form.pick(["cone", "bell", "cylinder"])
    mouth, deep = form.between(0.06, 0.08), form.between(0.09, 0.12)
    if head == "cone":
        shade = drum(mouth, 0.022, deep)
    elif head == "bell":
        shade = bowl(mouth, deep, 0.02, 2.2)
    else:
        shade = drum(mouth * 0.7, mouth * 0.66, deep)
    cap = cylinder(0.026 if head != "cylinder" else mouth * 0.7, 0.03, 0.006, 20).moved(y=deep)
    tilt = form.between(15, 50)
    lit, white = bulb(0.024)
    for solid, name, material in (
        (shade, "shade", color),
        (cap, "shade", color),
        (lit.turned("x", 180).scaled(y=-1).moved(y=deep * 0.35), "bulb", white),
    ):
        placed = solid.moved(y=-deep).turned("z", tilt).moved(*(c + [0.0, -0.005, 0]))
        parts.append(Part(name, placed, material))
    if form.chance(0.5):
        cord = curve(
            [
                (-r + 0.01, 0.008, 0),
                (-r - 0.04, 0.006, 0.01),
                (-r - 0.08, 0.006, -0.02),
                (-r - 0.13, 0.006, 0.0),
            ],
            5,
        )
        parts.append(Part("cable", tube(cord, 0.005, 7, side=(0, 1, 0)), matte("#1c1c1e", "cable")))
    return parts


def _floor(form: Dice, finish: Dice) -> list[Part]:
    high = form.between(1.15, 1.4)
    steel = metal(finish.pick(METALS))
    r = form.between(0.13, 0.17)
    foot = form.pick(
        [
            lathe([(0, 0), (r, 0), (r, 0.014), (r * 0.9, 0.024), (0.02, 0.032), (0, 0.032)], 36),
            cylinder(r, 0.03, 0.006, 36).moved(y=0.015),
            box(2 * r, 0.03, 2 * r, 0.006).moved(y=0.015),
        ]
    )
    pole: Material = wood(finish, "pole") if finish.chance(0.3) else steel
    parts = [
        Part("base", foot, steel),
        Part(
            "stand",
            cylinder(form.between(0.012, 0.022), high, 0, 14).moved(y=high / 2).wrapped(0.2, "y"),
            pole,
        ),
    ]
    style = form.pick(["shade", "shade", "uplight", "globe"])
    if style == "shade":
        size = form.between(0.18, 0.24)
        shade, tall = _shade(form, size)
        parts.append(Part("shade", shade.moved(y=high - 0.1).wrapped(0.12), _cover(finish)))
        parts.append(
            Part(
                "stand",
                joined(
                    cylinder(0.009, tall, 0, 10).moved(y=high - 0.1 + tall / 2),
                    _spider(size * 0.5).moved(y=high - 0.11 + tall),
                ),
                steel,
            )
        )
        lit, white = bulb(0.04)
        parts.append(Part("bulb", lit.turned("x", 180).moved(y=high + 0.04), white))
    elif style == "uplight":
        shade = (
            bowl(form.between(0.16, 0.2), form.between(0.1, 0.14), 0.03, 1.8)
            .scaled(y=-1)
            .moved(y=high + 0.12)
        )
        parts.append(
            Part(
                "shade", shade, steel if finish.chance(0.5) else matte(finish.pick(SHADES), "shade")
            )
        )
        lit, white = bulb(0.045)
        parts.append(Part("bulb", lit.turned("x", 180).moved(y=high + 0.06), white))
    else:
        size = form.between(0.13, 0.18)
        parts.append(
            Part(
                "shade",
                ellipsoid(size, size, size, 30).moved(y=high + size * 0.9),
                plastic("#fbf7ea", "globe"),
            )
        )
        parts.append(Part("stand", cylinder(0.04, 0.05, 0.008, 20).moved(y=high), steel))
    return parts


def _pendant(form: Dice, finish: Dice) -> list[Part]:
    drop = form.between(0.35, 0.6)
    size = form.between(0.15, 0.24)
    color: Material = finish.pick(
        [paint(finish.pick(BODIES), "lacquer"), metal(finish.pick(METALS), "shade"), _cover(finish)]
    )
    style = form.pick(["bell", "cone", "drum", "globe", "dome", "rings"])
    depth = size * form.between(0.7, 1.1)
    top = depth
    if style == "bell":
        shade = bowl(size, depth, 0.035, 2.0)
    elif style == "cone":
        shade = drum(size, 0.035, depth)
    elif style == "drum":
        shade, top = _shade(form, size)
        shade = joined(shade, _spider(size * 0.6).moved(y=top - 0.02))
    elif style == "globe":
        shade = ellipsoid(size * 0.85, size * 0.85, size * 0.85, 30).moved(y=size * 0.8)
        top = size * 1.6
        color = plastic(finish.pick(["#fbf7ea", "#f5e9c8", "#c9d6d8"]), "globe")
    elif style == "dome":
        depth = size * 0.55
        shade, top = bowl(size * 1.15, depth, 0.04, 2.4), depth
    else:
        count = form.whole(3, 6)
        each = depth / count
        tiers = [
            drum(
                size * math.sin(math.pi * (0.2 + 0.65 * (i + 0.5) / count)) + 0.01,
                size * math.sin(math.pi * (0.2 + 0.65 * (i + 0.5) / count)) * 0.8,
                each * 0.6,
            ).moved(y=each * i)
            for i in range(count)
        ]
        shade = joined(
            *tiers,
            *[
                tube(
                    [
                        (size * 0.55 * math.cos(a), 0, size * 0.55 * math.sin(a)),
                        (0.02 * math.cos(a), depth, 0.02 * math.sin(a)),
                    ],
                    0.006,
                    6,
                )
                for a in (0.3, 2.4, 4.5)
            ],
        )
    dark = metal(finish.pick(METALS))
    parts = [
        Part("shade", shade.wrapped(0.12), color),
        Part("stand", cylinder(0.03, 0.06, 0.008, 18).moved(y=top + 0.015), dark),
        Part(
            "cable",
            cylinder(0.007, drop, 0, 8).moved(y=top + 0.03 + drop / 2),
            matte("#1c1c1e", "cable"),
        ),
        Part(
            "base",
            lathe(
                [(0, 0), (0.065, 0), (0.07, -0.01), (0.04, -0.03), (0.01, -0.04), (0, -0.04)], 28
            ).moved(y=top + drop + 0.04),
            dark,
        ),
    ]
    if style != "globe":
        lit, white = bulb(0.04)
        parts.append(Part("bulb", lit.moved(y=top * 0.3), white))
    return parts


def _arc(form: Dice, finish: Dice) -> list[Part]:
    high, reach = form.between(1.1, 1.35), form.between(0.65, 0.95)
    steel = metal(finish.pick(METALS))
    stone = paint(finish.pick(["#e9e7e2", "#2a2a2c", "#8d8f92"]), "stone")
    block = (
        box(0.22, 0.09, 0.26, 0.01, 2).moved(0, 0.045)
        if form.chance(0.5)
        else cylinder(0.15, 0.05, 0.008, 36).moved(y=0.025)
    )
    tip = high * form.between(0.72, 0.85)
    path = curve(
        [
            (0, 0.05, 0),
            (0, high * 0.5, 0),
            (reach * 0.2, high * 0.87, 0),
            (reach * 0.58, high, 0),
            (reach * 0.9, high * 0.94, 0),
            (reach, tip + 0.12, 0),
        ],
        7,
    )
    parts = [
        Part("base", block, stone),
        Part("stand", tube(path, 0.013, 10, side=(0, 0, 1)), steel),
    ]
    size = form.between(0.14, 0.19)
    shade = (
        bowl(size, size * 0.85, 0.025, 2.0)
        if form.chance(0.65)
        else drum(size, size * 0.8, size * 0.9)
    )
    cover: Material = steel if finish.chance(0.5) else paint(finish.pick(BODIES), "lacquer")
    parts.append(Part("shade", shade.moved(reach, tip - size * 0.7), cover))
    neck = joined(
        cylinder(0.012, 0.2, 0, 10).moved(reach, tip + 0.06),
        _spider(size * 0.3).moved(reach, tip - size * 0.1),
    )
    parts.append(Part("stand", neck, steel))
    lit, white = bulb(0.04)
    parts.append(Part("bulb", lit.moved(reach, tip - size * 0.45), white))
    return parts


def _tripod(form: Dice, finish: Dice) -> list[Part]:
    high = form.between(0.95, 1.2) if form.chance(0.6) else form.between(0.42, 0.5)
    spread = high * form.between(0.26, 0.36)
    timber: Material = (
        wood(finish, "legs") if finish.chance(0.7) else metal(finish.pick(METALS), "legs")
    )
    thick = 0.016 * high + 0.005
    post = tube([(spread, 0, 0), (0.02, high, 0)], [thick * 0.8, thick], 10, side=(0, 0, 1))
    parts = [
        Part(
            "base", joined(*[post.turned("y", 120 * i) for i in range(3)]).wrapped(0.2, "y"), timber
        )
    ]
    brass = metal(finish.pick(METALS))
    parts.append(
        Part(
            "stand",
            cylinder(0.035 + 0.02 * high, 0.03 + 0.02 * high, 0.006, 20).moved(y=high),
            brass,
        )
    )
    if form.chance(0.5):
        y = high * 0.4
        turn = np.arange(30) * 2 * math.pi / 30
        at = spread * 0.6
        parts.append(
            Part(
                "base",
                tube(
                    np.stack([at * np.cos(turn), 0 * turn + y, at * np.sin(turn)], 1),
                    thick * 0.45,
                    7,
                    closed=True,
                    side=(0, 1, 0),
                ),
                brass,
            )
        )
    size = high * form.between(0.17, 0.23) + 0.03
    if form.chance(0.7):
        shade, tall = _shade(form, size)
        low = high + 0.02
        parts.append(Part("shade", shade.moved(y=low).wrapped(0.12), _cover(finish)))
        parts.append(
            Part(
                "stand",
                joined(
                    cylinder(0.009, tall, 0, 10).moved(y=low + tall / 2),
                    _spider(size * 0.5).moved(y=low + tall - 0.02),
                ),
                brass,
            )
        )
        lit, white = bulb(size * 0.2)
        parts.append(Part("bulb", lit.turned("x", 180).moved(y=low + tall * 0.45), white))
    else:  # a studio light
        shade = (
            bowl(size * 0.95, size, size * 0.3, 2.4)
            .turned("z", 75)
            .moved(size * 0.65, high + size * 0.75)
        )
        parts.append(Part("shade", shade, metal(finish.pick(METALS), "shade")))
        lit, white = bulb(size * 0.28)
        parts.append(Part("bulb", lit.turned("z", 75).moved(size * 0.45, high + size * 0.8), white))
        parts.append(
            Part(
                "stand",
                cylinder(0.018, size * 1.2, 0, 12).moved(-size * 0.2, high + size * 0.5),
                brass,
            )
        )
        parts.append(
            Part(
                "stand",
                cylinder(size * 0.32, size * 0.5, 0.02, 20)
                .turned("z", 75 + 180)
                .moved(-size * 0.38, high + size * 1.05),
                brass,
            )
        )
    return parts


def _banker(form: Dice, finish: Dice) -> list[Part]:
    """A green-glass desk lamp: a long half-round shade across the top."""
    brass = metal(finish.pick(["#b08d4a", "#b8bbc0", "#a8653a", "#2a2a2c"]))
    shade_color = paint(
        finish.pick(["#0f6b45", "#145a8c", "#8c2f1b", "#e9e2cf", "#20242b"]), "shade"
    )
    high, long, r = form.between(0.3, 0.38), form.between(0.26, 0.34), form.between(0.055, 0.07)
    foot = lathe([(0, 0), (0.095, 0), (0.1, 0.012), (0.06, 0.028), (0.02, 0.04), (0, 0.04)], 36)
    parts = [Part("base", foot.scaled(0.85, 1, 1.1), brass)]
    post = tube(
        curve(
            [
                (-0.02, 0.03, 0),
                (-0.03, high * 0.5, 0),
                (-0.02, high * 0.85, 0),
                (0.02, high + r * 0.8, 0),
            ],
            5,
        ),
        0.009,
        10,
        side=(0, 0, 1),
    )
    parts.append(Part("stand", post, brass))
    angle = np.linspace(math.radians(-12), math.radians(192), 16)
    outside = np.stack([r * 1.25 * np.cos(angle), r * np.sin(angle)], 1)
    taper = np.array([0.55, 0.88, 1.0, 1.0, 1.0, 0.88, 0.55])
    z = np.array([-0.5, -0.46, -0.38, 0.0, 0.38, 0.46, 0.5]) * long
    grid = np.stack(
        [
            np.column_stack([outside * t, np.full(len(angle), zz)])
            for t, zz in zip(taper, z, strict=True)
        ]
    )
    parts.append(
        Part(
            "shade",
            plate(grid, 0.006).creased(60).turned("z", -form.between(8, 22)).moved(0.035, high),
            shade_color,
        )
    )
    lit = cylinder(0.016, long * 0.6, 0.006, 14).turned("x", 90).moved(0.035, high + r * 0.35)
    parts.append(Part("bulb", lit, plastic("#fff6d6", "bulb")))
    caps = both(ellipsoid(0.016, 0.016, 0.012, 14).moved(0.035, high + r * 0.4, long * 0.5))
    parts.append(Part("stand", caps, brass))
    chain = tube([(0.05, high + 0.01, long * 0.2), (0.05, high - 0.08, long * 0.2)], 0.004, 6)
    parts.append(Part("cable", chain, brass))
    return parts


def _lantern(form: Dice, finish: Dice) -> list[Part]:
    """A street lantern: a post with a lantern of four panes or a globe."""
    iron = paint(finish.pick(["#1e2326", "#24382e", "#3a3d42"]), "iron")
    warm = plastic(finish.pick(["#fff0c4", "#fbf7ea", "#ffe2a0"]), "pane")
    high = form.between(1.1, 1.5)
    profile = [
        (0, 0),
        (0.12, 0),
        (0.12, 0.06),
        (0.08, 0.09),
        (0.07, 0.2),
        (0.035, 0.26),
        (0.028, high * 0.6),
        (0.04, high * 0.61),
        (0.024, high * 0.64),
        (0.02, high - 0.02),
        (0.045, high),
        (0, high),
    ]
    parts = [
        Part("stand", lathe([(0, 0.19), *profile[4:]], 20), iron),
        Part("base", lathe([*profile[:5], (0, 0.2)], 20), iron),
    ]
    heads = [0.0] if form.chance(0.6) else [-0.22, 0.22]
    for z in heads:
        y = high
        if z:
            arm = curve(
                [
                    (0, high * 0.88, 0),
                    (0, high * 0.86, z * 0.5),
                    (0, high * 0.9, z * 0.95),
                    (0, high + 0.01, z),
                ],
                5,
            )
            parts.append(Part("stand", tube(arm, 0.014, 8, side=(1, 0, 0)), iron))
        if form.index // len(KINDS) % 2:
            r = 0.11
            parts.append(Part("shade", ellipsoid(r, r, r, 28).moved(0, y + r * 0.95, z), warm))
            parts.append(
                Part(
                    "shade",
                    lathe([(0, 0), (0.05, 0), (0.03, 0.03), (0, 0.06)], 18).moved(
                        0, y + r * 1.9, z
                    ),
                    iron,
                )
            )
        else:
            parts.append(
                Part(
                    "shade",
                    lathe([(0, 0), (0.062, 0), (0.107, 0.2), (0, 0.2)], 4)
                    .creased(20)
                    .turned("y", 45)
                    .moved(0, y + 0.01, z),
                    warm,
                )
            )
            bars = [
                tube(
                    [
                        (0.068 * math.cos(a), 0, 0.068 * math.sin(a)),
                        (0.114 * math.cos(a), 0.21, 0.114 * math.sin(a)),
                    ],
                    0.009,
                    6,
                )
                for a in np.radians([45, 135, 225, 315])
            ]
            roof = (
                lathe(
                    [
                        (0, 0.2),
                        (0.15, 0.2),
                        (0.14, 0.22),
                        (0.04, 0.3),
                        (0.015, 0.31),
                        (0.01, 0.35),
                        (0, 0.36),
                    ],
                    4,
                )
                .creased(20)
                .turned("y", 45)
            )
            parts.append(Part("shade", joined(*bars, roof).moved(0, y, z), iron))
    return parts
