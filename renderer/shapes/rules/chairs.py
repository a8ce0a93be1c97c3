"""Chairs: wooden with slats, rungs or bars, upholstered, moulded shells, office chairs,
cantilevers, armchairs, folding and stacking chairs. One sits looking along +x.
"""

from __future__ import annotations

import math

import numpy as np

from renderer.shapes.rules.dice import Dice
from renderer.shapes.rules.material import (
    Material,
    cloth,
    leather,
    matte,
    metal,
    paint,
    plastic,
    rubber,
    wood,
)
from renderer.shapes.rules.part import Part
from renderer.shapes.rules.solid import (
    Solid,
    both,
    box,
    curve,
    cylinder,
    extruded,
    joined,
    lathe,
    plate,
    rounded,
    sweep,
    tube,
)

NAME = "chair"
SYNSET = "03001627"
ALSO = ()
PARTS = ("seat", "back", "legs", "arms", "cushion")

KINDS = ("wooden", "office", "upholstered", "shell", "armchair", "cantilever", "stacking", "round")
COLORS = (
    "#b3261e",
    "#24518f",
    "#3d7a4a",
    "#d9a521",
    "#3b3b3f",
    "#e6e2d8",
    "#7b4a8c",
    "#d9742b",
    "#2f8f95",
    "#8c3b4a",
    "#6c757d",
    "#a7b56b",
)


def make(form: Dice, finish: Dice) -> list[Part]:
    kind = form.turn(KINDS)
    return {
        "wooden": _wooden,
        "office": _office,
        "upholstered": _upholstered,
        "shell": _shell,
        "armchair": _armchair,
        "cantilever": _cantilever,
        "stacking": _stacking,
        "round": _round,
    }[kind](form, finish)


def leg(
    height: float, top: float, foot: float, square: bool, lean_x: float = 0.0, lean_z: float = 0.0
) -> Solid:
    """A leg from the floor to `height` above the origin, its foot put out by the leans."""
    section = (
        rounded(1, 1, 0.2, 2)
        if square
        else np.array(
            [(0.5 * math.cos(a), 0.5 * math.sin(a)) for a in np.arange(14) * 2 * math.pi / 14]
        )
    )
    path = np.array([(lean_x, 0, lean_z), (lean_x * 0.5, height / 2, lean_z * 0.5), (0, height, 0)])
    return sweep(path, section, [foot, (foot + top) / 2, top])


def four(solid: Solid, x: float, z: float) -> Solid:
    """A thing made for the front right corner, at all four."""
    right = joined(solid.moved(x, 0, z), solid.mirrored("x").moved(-x, 0, z))
    return joined(right, right.mirrored("z"))


def padded(x: float, y: float, z: float, puff: float) -> Solid:
    """A cushion: a soft box that swells in the middle of its broad sides."""
    solid = box(x, y, z, 0.42 * y, 2, 6)
    inside = (1 - (2 * solid.points[:, 0] / x) ** 2) * (1 - (2 * solid.points[:, 2] / z) ** 2)
    solid.points[:, 1] += np.sign(solid.points[:, 1]) * puff * np.clip(inside, 0, None)
    return solid.creased(50)


def _curved_board(wide: float, tall: float, thick: float, bend: float, cut: float = 0.0) -> Solid:
    """An upright board across z, its middle bent back by `bend`; about the origin."""
    board = extruded(rounded(wide, tall, max(cut, 0.004), 4), thick, thick * 0.3)
    # enough columns to bend: boards are cut from a box instead where they are plain
    if cut <= 0:
        board = box(wide, tall, thick, thick * 0.3, 1, 9)
    board = board.turned("y", 90)
    board.points[:, 0] += bend * ((2 * board.points[:, 2] / wide) ** 2 - 1)
    return board.creased(35)


def _wooden(form: Dice, finish: Dice) -> list[Part]:
    deep, wide = form.between(0.40, 0.46), form.between(0.40, 0.48)
    seat, tall = form.between(0.43, 0.47), form.between(0.38, 0.62)
    main: Material = wood(finish) if finish.chance(0.8) else paint(finish.pick(COLORS), "lacquer")
    thick = form.between(0.025, 0.045)
    x, z = deep / 2 - 0.03, wide / 2 - 0.03
    square = form.chance(0.55)
    size = form.between(0.032, 0.046)
    foot = size * form.between(0.6, 1.0)
    lean = form.between(0.0, 0.05)
    front = leg(seat, size, foot, square, lean * 0.5, lean * 0.5)
    rake = form.between(0.05, 0.11)
    post = curve(
        [
            (-x - lean, 0, 0),
            (-x, seat * 0.6, 0),
            (-x, seat, 0),
            (-x - rake * 0.4, seat + tall * 0.5, 0),
            (-x - rake, seat + tall, 0),
        ],
        4,
    )
    section = rounded(size, size * 0.9, size * 0.2, 2)
    posts = both(sweep(post, section, np.linspace(0.8, 0.85, len(post))).moved(0, 0, z))
    parts = [
        Part("legs", both(front.moved(x, 0, z)).wrapped(0.3, "y"), main),
        Part("back", posts.wrapped(0.3, "y"), main),
    ]

    def at(height: float) -> float:
        """Where the back lies at a height above the seat."""
        return float(np.interp(seat + height, post[:, 1], post[:, 0]))

    slab = box(deep, thick, wide, thick * 0.35, 2, 3)
    parts.append(Part("seat", slab.moved(0.01, seat).wrapped(0.35, "x"), main))
    skirt = joined(
        both(box(2 * x, 0.05, 0.02, 0.004).moved(0, 0, z)), box(0.02, 0.05, 2 * z, 0.004).moved(x)
    )
    parts.append(Part("legs", skirt.moved(y=seat - thick / 2 - 0.025).wrapped(0.3), main))
    bend = form.between(0.0, 0.04)
    style = form.pick(["ladder", "bars", "panel", "cross", "spindles"])
    pieces: list[Solid] = []
    inner = 2 * z
    if style == "ladder":
        count = form.whole(2, 5)
        high = tall / (count + 0.5) * form.between(0.4, 0.65)
        for i in range(count):
            y = tall * (0.25 + 0.72 * (i + 0.5) / count)
            pieces.append(_curved_board(inner, high, 0.018, bend).moved(at(y), seat + y))
    elif style == "panel":
        y = tall * 0.64
        pieces.append(
            _curved_board(inner, tall * 0.62, 0.016, bend)
            .turned("z", math.degrees(rake / tall))
            .moved(at(y), seat + y)
        )
    else:
        pieces.append(
            _curved_board(inner + size, tall * 0.16, 0.026, 0.0).moved(
                at(tall * 0.95), seat + tall * 0.94
            )
        )
        low = tall * form.between(0.14, 0.22)
        if style != "spindles":
            pieces.append(_curved_board(inner, 0.035, 0.02, 0).moved(at(low), seat + low))
        foot_y = 0.0 if style == "spindles" else low
        count = form.whole(3, 7)
        a = (at(foot_y), seat + foot_y)
        b = (at(tall * 0.9), seat + tall * 0.9)
        if style == "cross":
            for s in (-1, 1):
                line = np.array([(a[0], a[1], -s * inner * 0.46), (b[0], b[1], s * inner * 0.46)])
                pieces.append(
                    sweep(
                        line + [0.004 * s, 0, 0], rounded(0.03, 0.016, 0.004, 1), side=(0, 1, 0.001)
                    )
                )
        else:
            for i in range(count):
                zz = inner * ((i + 0.5) / count - 0.5)
                line = np.array(
                    [
                        (a[0], a[1], zz),
                        ((a[0] + b[0]) / 2 - 0.01, (a[1] + b[1]) / 2, zz),
                        (b[0], b[1], zz),
                    ]
                )
                if style == "bars":
                    pieces.append(sweep(line, rounded(0.028, 0.012, 0.004, 1)))
                else:
                    pieces.append(tube(line, [0.007, 0.0105, 0.007], 9, side=(0, 0, 1)))
    parts.append(Part("back", joined(*pieces).wrapped(0.3, "z"), main))
    if form.chance(0.5):
        y = seat * form.between(0.3, 0.5)
        rungs = joined(
            both(tube([(-x, y, z), (x, y, z)], 0.011, 9)), tube([(0, y, -z), (0, y, z)], 0.011, 9)
        )
        parts.append(Part("legs", rungs.wrapped(0.3), main))
    if form.chance(0.4):
        y = form.between(0.18, 0.23)
        rest = sweep(
            curve(
                [
                    (at(y), seat + y, z),
                    (0, seat + y + 0.01, z + 0.02),
                    (x * 0.8, seat + y, z + 0.01),
                ],
                4,
            ),
            rounded(0.05, 0.024, 0.01, 2),
        )
        prop = tube([(x * 0.7, seat, z), (x * 0.7, seat + y, z + 0.01)], 0.013, 9)
        parts.append(Part("arms", both(joined(rest, prop)).wrapped(0.3), main))
    if form.chance(0.35):
        pad = padded(deep * 0.9, 0.035, wide * 0.86, 0.012).moved(0.02, seat + thick / 2 + 0.014)
        parts.append(Part("cushion", pad.wrapped(0.12), cloth(finish, finish.pick(COLORS))))
    return parts


def _round(form: Dice, finish: Dice) -> list[Part]:
    """A bistro chair: round seat, bent hoop for a back."""
    r, seat = form.between(0.19, 0.22), form.between(0.44, 0.47)
    main: Material = wood(finish, kinds=("walnut", "cherry", "ebony", "oak", "mahogany"))
    if finish.chance(0.3):
        main = paint(finish.pick(COLORS), "lacquer")
    disc = lathe(
        [(0, -0.02), (r - 0.01, -0.02), (r, -0.01), (r, 0.008), (r - 0.012, 0.016), (0, 0.01)], 36
    )
    parts = [Part("seat", disc.moved(y=seat).creased(50).wrapped(0.3), main)]
    tall = form.between(0.38, 0.48)
    rake = form.between(0.05, 0.1)
    hoop_ = [
        (-r * 0.75, seat, -r * 0.65),
        (-r * 0.85 - rake * 0.5, seat + tall * 0.5, -r * 0.92),
        (-r * 0.85 - rake, seat + tall * 0.92, -r * 0.62),
        (-r * 0.85 - rake * 1.05, seat + tall, 0),
    ]
    line = curve([*hoop_, *[(x, y, -z) for x, y, z in hoop_[-2::-1]]], 7)
    parts.append(Part("back", tube(line, 0.0135, 10, side=(1, 0, 0)).wrapped(0.3, "y"), main))
    small = [(x, seat + (y - seat) * 0.78, z * 0.6) for x, y, z in hoop_]
    line = curve([*small, *[(x, y, -z) for x, y, z in small[-2::-1]]], 6)
    inner = tube(line, 0.010, 8, side=(1, 0, 0))
    if form.chance(0.4):  # spindles instead
        bars = []
        for s in np.linspace(-0.6, 0.6, form.whole(3, 5)):
            high = tall * math.sqrt(1 - (0.8 * s) ** 2) * 0.985
            bars.append(
                tube(
                    [
                        (-r * 0.85, seat, s * r * 0.9),
                        (-r * 0.85 - rake * 0.95, seat + high, s * r * 0.9),
                    ],
                    0.008,
                    8,
                )
            )
        inner = joined(*bars)
    parts.append(Part("back", inner.wrapped(0.3, "y"), main))
    post = leg(seat, 0.034, 0.024, False, form.between(0.03, 0.07), form.between(0.03, 0.07))
    parts.append(Part("legs", four(post, r * 0.64, r * 0.64).wrapped(0.3, "y"), main))
    y = seat * 0.45
    turn = np.arange(28) * 2 * math.pi / 28
    circle_ = np.stack([r * 0.82 * np.cos(turn), np.full(28, y), r * 0.82 * np.sin(turn)], axis=1)
    parts.append(
        Part("legs", tube(circle_, 0.010, 8, closed=True, side=(0, 1, 0)).wrapped(0.3), main)
    )
    if form.chance(0.3):
        pad = lathe([(0, 0), (r * 0.9, 0), (r * 0.93, 0.015), (r * 0.8, 0.035), (0, 0.042)], 32)
        parts.append(
            Part(
                "cushion",
                pad.moved(y=seat + 0.008).creased(60).wrapped(0.12),
                cloth(finish, finish.pick(COLORS)),
            )
        )
    return parts


def _upholstered(form: Dice, finish: Dice) -> list[Part]:
    deep, wide, seat = form.between(0.44, 0.5), form.between(0.44, 0.52), form.between(0.44, 0.48)
    tall, thick = form.between(0.42, 0.6), form.between(0.08, 0.11)
    color = finish.pick(COLORS)
    cover = cloth(finish, color) if finish.chance(0.7) else leather(color)
    size = 0.12

    def covered(solid: Solid) -> Solid:
        return solid.wrapped(size)

    parts = [
        Part(
            "seat",
            covered(padded(deep, thick, wide, 0.012).moved(0, seat - thick / 2 + 0.02)),
            cover,
        )
    ]
    back = padded(tall, thick * 0.75, wide * form.between(0.88, 1.0), 0.012)
    if form.chance(0.5):  # a rounded upper end
        t = np.clip(2 * back.points[:, 0] / tall, 0, 1)
        back.points[:, 2] *= 1 - 0.3 * t**3
    back = back.turned("z", 90 + form.between(6, 13))
    lower = back.points[:, 1].min()
    parts.append(Part("back", covered(back.moved(-deep / 2 - 0.0, seat - thick - lower)), cover))
    main = (
        wood(finish, kinds=("walnut", "oak", "ebony", "maple"))
        if finish.chance(0.7)
        else metal("#222326", "frame")
    )
    square = form.chance(0.5)
    post = leg(
        seat - thick * 0.6, 0.045, 0.024, square, form.between(0, 0.06), form.between(0, 0.05)
    )
    legs = four(post, deep / 2 - 0.05, wide / 2 - 0.045)
    parts.append(Part("legs", legs.wrapped(0.3, "y"), main))
    if form.chance(0.35):
        y = form.between(0.17, 0.22)
        rest = box(deep * 0.8, 0.05, 0.06, 0.022, 2).moved(-0.02, seat + y, wide / 2 + 0.01)
        prop = box(0.05, y, 0.045, 0.015, 2).moved(deep * 0.3, seat + y / 2, wide / 2 + 0.01)
        parts.append(Part("arms", covered(both(joined(rest, prop))), cover))
    return parts


def _armchair(form: Dice, finish: Dice) -> list[Part]:
    deep, wide, seat = form.between(0.62, 0.72), form.between(0.54, 0.64), form.between(0.38, 0.43)
    tall = form.between(0.42, 0.62)
    color = finish.pick(COLORS)
    cover = cloth(finish, color) if finish.chance(0.65) else leather(color)
    foot = form.between(0.08, 0.15)
    side = form.between(0.1, 0.15)
    size = 0.16
    base = box(deep, seat - foot - 0.1, wide, 0.03, 2).moved(0, foot + (seat - foot - 0.1) / 2)
    pad = padded(deep * 0.92, 0.15, wide * 0.98, 0.02).moved(0.04, seat - 0.04)
    parts = [Part("seat", joined(base, pad).creased(45).wrapped(size), cover)]
    back = padded(tall + 0.2, 0.17, wide, 0.03)
    wing = form.chance(0.35)
    back = back.turned("z", 90 + form.between(8, 16))
    back = back.moved(-deep / 2 + 0.06, seat - 0.1 - back.points[:, 1].min())
    parts.append(Part("back", back.wrapped(size), cover))
    if wing:
        ear = (
            box(0.22, tall * 0.6, 0.06, 0.028, 2)
            .turned("y", 12)
            .moved(-deep / 2 + 0.1, seat + tall * 0.68, wide / 2 - 0.02)
        )
        parts.append(Part("back", both(ear).creased(50).wrapped(size), cover))
    high = seat + form.between(0.16, 0.22)
    if form.chance(0.4):  # rolled
        arm = joined(
            box(deep, high - foot, side * 0.8, 0.03, 2).moved(0, (high + foot) / 2),
            cylinder(side * 0.72, deep + 0.02, 0.02, 24)
            .turned("z", 90)
            .moved(0, high, side * 0.12),
        )
    else:
        arm = box(deep, high - foot, side, form.between(0.02, 0.06), 3).moved(0, (high + foot) / 2)
    parts.append(
        Part(
            "arms",
            both(arm.moved(0, 0, wide / 2 + side / 2 - 0.005)).creased(45).wrapped(size),
            cover,
        )
    )
    main = wood(finish) if finish.chance(0.7) else metal("#26272a", "frame")
    post = leg(foot + 0.02, 0.05, 0.03, form.chance(0.5), 0.015, 0.015)
    parts.append(
        Part("legs", four(post, deep / 2 - 0.06, wide / 2 + side - 0.06).wrapped(0.3, "y"), main)
    )
    if form.chance(0.35):
        pillow = (
            padded(0.34, 0.12, 0.36, 0.03).turned("z", 90 + 22).moved(-deep / 2 + 0.24, seat + 0.2)
        )
        parts.append(
            Part("cushion", pillow.wrapped(0.14), cloth(finish, finish.pick(COLORS), "pillow"))
        )
    return parts


def _office(form: Dice, finish: Dice) -> list[Part]:
    seat, wide, deep = form.between(0.46, 0.54), form.between(0.46, 0.52), form.between(0.44, 0.5)
    dark = plastic("#1d1e20", "frame")
    steel = metal() if finish.chance(0.5) else dark
    color = finish.pick(COLORS)
    cover = cloth(finish, color) if finish.chance(0.6) else leather(color)
    pad = padded(deep, 0.09, wide, 0.015).moved(0.02, seat)
    pad.points[:, 1] -= 0.5 * np.clip(pad.points[:, 0] - deep * 0.3, 0, None) ** 1.0 * 0.4
    parts = [
        Part("seat", pad.wrapped(0.12), cover),
        Part("seat", box(deep * 0.7, 0.03, wide * 0.6, 0.01).moved(0, seat - 0.055), dark),
    ]
    tall = form.between(0.4, 0.72)
    back = padded(tall, 0.065, wide * form.between(0.84, 0.96), 0.012)
    t = 2 * back.points[:, 0] / tall
    back.points[:, 2] *= 1 - form.between(0.05, 0.25) * np.clip(t, 0, 1) ** 2
    back.points[:, 1] += 0.04 * np.cos(2.2 * t) - 0.05 * (2 * back.points[:, 2] / wide) ** 2
    back = back.turned("z", 90 + form.between(6, 12))
    low = seat + form.between(0.06, 0.12)
    back = back.moved(-deep / 2 + 0.0, low - back.points[:, 1].min())
    parts.append(Part("back", back.wrapped(0.12), cover))
    spine = curve(
        [
            (-0.05, seat - 0.06, 0),
            (-deep * 0.45, seat - 0.05, 0),
            (-deep / 2 - 0.07, seat + 0.06, 0),
            (-deep / 2 - 0.08, low + tall * 0.5, 0),
        ],
        5,
    )
    parts.append(Part("back", sweep(spine, rounded(0.07, 0.022, 0.008, 2)), dark))
    if form.chance(0.3):
        head = (
            box(0.05, 0.14, 0.26, 0.022, 2)
            .turned("z", 6)
            .moved(-deep / 2 - 0.07, low + tall + 0.09)
        )
        stem = tube(
            [(-deep / 2 - 0.07, low + tall * 0.8, 0), (-deep / 2 - 0.085, low + tall + 0.08, 0)],
            0.012,
            8,
        )
        parts += [Part("back", head.wrapped(0.12), cover), Part("back", stem, dark)]
    rod = joined(
        cylinder(0.028, seat - 0.28, 0, 18).moved(y=(seat - 0.06 + 0.22) / 2),
        cylinder(0.04, 0.2, 0, 18).moved(y=0.19),
    )
    parts.append(Part("legs", rod, steel))
    reach = form.between(0.27, 0.32)
    arms, casters = [], []
    for i in range(5):
        angle = 72 * i + 18
        line = np.array([(0, 0.12, 0), (reach * 0.5, 0.105, 0), (reach, 0.075, 0)])
        arms.append(
            sweep(line, rounded(0.045, 0.034, 0.01, 2), [1.15, 1.0, 0.7]).turned("y", angle)
        )
        wheel = both(cylinder(0.03, 0.02, 0.006, 16).turned("x", 90).moved(reach, 0.03, 0.014))
        casters.append(wheel.turned("y", angle))
    parts += [Part("legs", joined(*arms), steel), Part("legs", joined(*casters), rubber("caster"))]
    if form.chance(0.65):
        y = seat + form.between(0.18, 0.23)
        z = wide / 2 + 0.03
        if form.chance(0.5):
            path = curve(
                [
                    (0.0, seat - 0.05, z - 0.1),
                    (0.0, seat - 0.03, z),
                    (0.0, y - 0.05, z + 0.01),
                    (0.0, y, z),
                ],
                4,
            )
            arm = sweep(path, rounded(0.05, 0.02, 0.006, 1), side=(1, 0, 0))
        else:
            path = curve(
                [
                    (-0.14, seat - 0.04, z - 0.06),
                    (-0.16, seat + 0.08, z),
                    (-0.1, y, z),
                    (0.12, y, z),
                    (0.16, seat + 0.1, z),
                    (0.1, seat - 0.04, z - 0.06),
                ],
                4,
            )
            arm = tube(path, 0.015, 9, side=(0, 0, 1))
        rest = box(0.26, 0.03, 0.075, 0.013, 2).moved(0.02, y + 0.012, z)
        parts += [Part("arms", both(arm), steel), Part("arms", both(rest), dark)]
    return parts


def _shell(form: Dice, finish: Dice) -> list[Part]:
    """A moulded seat and back in one, on rods, dowels or a pedestal."""
    wide, seat, tall = form.between(0.44, 0.5), form.between(0.43, 0.46), form.between(0.34, 0.44)
    hull = plastic(finish.pick(COLORS), "shell")
    if finish.chance(0.25):
        hull = wood(finish, "shell", kinds=("walnut", "oak", "maple"))
    deep = form.between(0.40, 0.44)
    side_line = curve(
        [
            (deep / 2 + 0.02, -0.03),
            (deep / 2 - 0.04, 0.005),
            (0.0, -0.015),
            (-deep / 2 + 0.09, 0.0),
            (-deep / 2 - 0.0, 0.09),
            (-deep / 2 - 0.05, 0.24),
            (-deep / 2 - 0.1, tall),
        ],
        5,
    )
    t = np.linspace(0, 1, len(side_line))
    span = np.interp(
        t, [0, 0.12, 0.45, 0.6, 0.85, 1], np.array([0.8, 0.94, 1.0, 1.0, 0.9, 0.62]) * wide / 2
    )
    lift = form.between(0.05, 0.12)
    s = np.linspace(-1, 1, 15)
    along = np.gradient(side_line, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    normal = np.stack([along[:, 1], -along[:, 0]], axis=1)
    normal *= -1 if normal[3, 1] < 0 else 1
    armed = form.chance(0.3)
    curl = lift * np.interp(t, [0, 0.15, 0.5, 1], [0.3, 0.8, 1.0, 0.7]) * (2.2 if armed else 1)
    bend = np.abs(s) ** 3
    rows = side_line[:, None] + normal[:, None] * (curl[:, None] * bend)[..., None]
    grid = np.concatenate(
        [rows, (span[:, None] * np.sin(s * 1.25) / math.sin(1.25))[..., None]], axis=2
    )
    cut = int(len(side_line) * 0.55)
    seat_part, back_part = plate(grid[: cut + 1], 0.012), plate(grid[cut:], 0.012)
    parts = [
        Part("seat", seat_part.creased(60).moved(y=seat).wrapped(0.3), hull),
        Part("back", back_part.creased(60).moved(y=seat).wrapped(0.3), hull),
    ]
    base = form.pick(["dowels", "rods", "pedestal", "sled"])
    x, z = deep * 0.3, wide * 0.3
    steel = metal() if finish.chance(0.5) else metal("#1d1e20", "black")
    if base == "dowels":
        timber = wood(finish, "legwood", kinds=("maple", "oak", "walnut"))
        post = leg(seat - 0.03, 0.03, 0.02, False, 0.06, 0.05)
        parts.append(Part("legs", four(post, x * 0.9, z * 0.85).wrapped(0.3, "y"), timber))
        cross = [
            tube([(x + 0.02, seat * 0.62, z), (-x - 0.02, seat * 0.62, -z)], 0.006, 7),
            tube([(x + 0.02, seat * 0.62, -z), (-x - 0.02, seat * 0.62, z)], 0.006, 7),
        ]
        parts.append(Part("legs", joined(*cross), metal("#1d1e20", "wire")))
    elif base == "rods":
        post = tube([(0, seat - 0.015, 0), (0.06, 0, 0.05)], 0.01, 9)
        parts.append(
            Part(
                "legs",
                joined(four(post, x, z), box(2 * x, 0.016, 2 * z, 0.005).moved(y=seat - 0.03)),
                steel,
            )
        )
    elif base == "pedestal":
        foot = lathe(
            [
                (0, 0),
                (0.24, 0),
                (0.245, 0.012),
                (0.1, 0.03),
                (0.035, 0.07),
                (0.026, 0.2),
                (0.04, seat - 0.05),
                (0.1, seat - 0.018),
                (0, seat - 0.016),
            ],
            32,
        )
        parts.append(Part("legs", foot.creased(60), steel))
    else:
        path = [
            (x, seat - 0.02, z),
            (x + 0.03, 0.02, z + 0.06),
            (x, 0.01, z + 0.07),
            (-x, 0.01, z + 0.07),
            (-x - 0.03, 0.02, z + 0.06),
            (-x, seat - 0.02, z),
        ]
        bar = tube([(x, seat - 0.025, -z), (x, seat - 0.025, z)], 0.01, 8)
        parts.append(
            Part(
                "legs",
                joined(both(tube(path, 0.01, 9, side=(0, 0, 1))), bar, bar.moved(-2 * x)),
                steel,
            )
        )
    if form.chance(0.25):
        pad = padded(deep * 0.75, 0.03, wide * 0.72, 0.008).moved(0.01, seat + 0.02)
        parts.append(Part("cushion", pad.wrapped(0.12), cloth(finish, finish.pick(COLORS))))
    return parts


def _cantilever(form: Dice, finish: Dice) -> list[Part]:
    """Bent steel tube with no hind legs."""
    wide, deep, seat, tall = (
        form.between(0.44, 0.5),
        form.between(0.42, 0.48),
        form.between(0.43, 0.46),
        form.between(0.36, 0.46),
    )
    steel = metal() if finish.chance(0.7) else metal("#1b1c1f", "black")
    z, x, r = wide / 2, deep / 2, form.between(0.011, 0.014)
    rake = form.between(0.06, 0.12)
    path = [
        (-x - 0.02, r, z),
        (x - 0.02, r, z),
        (x + 0.05, r + 0.02, z),
        (x + 0.08, 0.09, z),
        (x + 0.07, seat - 0.1, z),
        (x + 0.04, seat - 0.02, z),
        (x - 0.03, seat, z),
        (-x + 0.06, seat - 0.01, z),
        (-x, seat + 0.05, z),
        (-x - rake * 0.4, seat + tall * 0.4, z),
        (-x - rake, seat + tall, z),
    ]
    frame = both(tube(curve(path, 3), r, 10, side=(0, 0, 1)))
    foot = tube([(-x - 0.02, r, -z), (-x - 0.02, r, z)], r, 10)
    parts = [Part("legs", joined(frame, foot), steel)]
    color = finish.pick(COLORS)
    cover = finish.pick(
        [leather(color), cloth(finish, color), wood(finish, "cane", kinds=("pine", "oak", "maple"))]
    )
    seat_pad = padded(deep - 0.02, 0.04, wide - 0.02, 0.008).moved(0, seat + 0.014)
    back = padded(tall * form.between(0.5, 0.75), 0.035, wide - 0.02, 0.008)
    back = back.turned("z", 90 + math.degrees(math.atan2(rake, tall)))
    back = back.moved(-x - rake * 0.72 + 0.004, seat + tall * 0.98 - back.points[:, 1].max())
    parts += [Part("seat", seat_pad.wrapped(0.12), cover), Part("back", back.wrapped(0.12), cover)]
    if form.chance(0.5):
        y = seat + 0.21
        rest = tube(
            curve(
                [
                    (-x - rake * 0.5, y, z),
                    (0, y + 0.01, z + 0.02),
                    (x + 0.03, y, z + 0.01),
                    (x + 0.07, y - 0.1, z),
                    (x + 0.06, seat - 0.05, z),
                ],
                4,
            ),
            r,
            9,
            side=(0, 0, 1),
        )
        grip = box(0.24, 0.024, 0.04, 0.01, 2).moved(0.02, y + 0.02, z + 0.02)
        parts += [
            Part("arms", both(rest), steel),
            Part("arms", both(grip), plastic("#1b1c1f", "grip")),
        ]
    return parts


def _stacking(form: Dice, finish: Dice) -> list[Part]:
    """A school or garden chair: steel frame or all one plastic, boards or slats."""
    wide, deep, seat, tall = (
        form.between(0.40, 0.46),
        form.between(0.38, 0.42),
        form.between(0.43, 0.46),
        form.between(0.34, 0.42),
    )
    steel = metal(finish.pick(["#b4b7bb", "#2a2b2e", "#7d8288"]))
    board: Material = finish.pick(
        [
            plastic(finish.pick(COLORS), "board"),
            wood(finish, "board"),
            matte(finish.pick(COLORS), "board"),
        ]
    )
    x, z, r = deep / 2, wide / 2 - 0.02, form.between(0.010, 0.013)
    rake = form.between(0.06, 0.1)
    splay = form.between(0.02, 0.06)
    rear = curve(
        [
            (-x - splay, 0, z + 0.01),
            (-x + 0.02, seat - 0.03, z),
            (-x, seat + 0.06, z),
            (-x - rake, seat + tall, z),
        ],
        5,
    )
    front = curve(
        [
            (x + splay, 0, z + 0.01),
            (x - 0.02, seat - 0.05, z),
            (x - 0.06, seat - 0.015, z),
            (-x + 0.02, seat - 0.03, z),
        ],
        4,
    )
    y = seat - 0.03
    bars = joined(
        tube([(-x + 0.02, y, -z), (-x + 0.02, y, z)], r, 9),
        tube([(x - 0.04, y, -z), (x - 0.04, y, z)], r, 9),
    )
    parts = [
        Part(
            "legs",
            joined(
                both(tube(rear, r, 9, side=(0, 0, 1))),
                both(tube(front, r, 9, side=(0, 0, 1))),
                bars,
            ),
            steel,
        )
    ]

    def bent(long: float, across: float, curl: float) -> Solid:
        u, v = np.linspace(-1, 1, 10)[:, None], np.linspace(-1, 1, 12)[None, :]
        grid = np.stack(
            np.broadcast_arrays(
                u * long / 2, curl * (u**2 * 0.4 + v**2), v * across / 2 * (1 - 0.06 * u**4)
            ),
            axis=-1,
        )
        return plate(grid, 0.013).creased(40)

    if form.chance(0.6):
        parts.append(
            Part("seat", bent(deep, wide, 0.012).moved(0, seat - 0.008).wrapped(0.3), board)
        )
        high = tall * form.between(0.45, 0.75)
        back = bent(high, wide, 0.02).turned("z", 90 + math.degrees(math.atan2(rake, tall)))
        parts.append(
            Part(
                "back",
                back.moved(
                    -x - rake * (1 - high / tall / 2) + 0.012 - 0.02, seat + tall - high / 2 + 0.01
                ).wrapped(0.3),
                board,
            )
        )
    else:
        count = form.whole(4, 7)
        slats = [
            box(deep / count * 0.74, 0.014, wide, 0.005).moved(
                deep * ((i + 0.5) / count - 0.5), seat - 0.008
            )
            for i in range(count)
        ]
        parts.append(Part("seat", joined(*slats).wrapped(0.3, "z"), board))
        rows = form.whole(2, 4)
        backs = []
        for i in range(rows):
            s = 0.35 + 0.62 * (i + 0.5) / rows
            backs.append(
                box(0.014, tall * 0.6 / rows * 0.75, wide, 0.005).moved(
                    -x - rake * s + 0.012, seat + tall * s
                )
            )
        parts.append(Part("back", joined(*backs).wrapped(0.3, "z"), board))
    if form.chance(0.3):
        y = seat + 0.2
        rest = tube(
            curve(
                [
                    (-x - rake * 0.5, y, z + r),
                    (0, y, z + 0.03),
                    (x * 0.8, y - 0.01, z + 0.03),
                    (x * 0.9, y - 0.1, z + 0.01),
                    (x - 0.03, seat - 0.03, z),
                ],
                4,
            ),
            r,
            9,
            side=(0, 0, 1),
        )
        parts.append(Part("arms", both(rest), steel))
    return parts
