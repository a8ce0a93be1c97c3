"""Benches: park benches with iron ends, slats, stone, garden benches, sports and hall benches.

One sits looking along +x; a bench without a back is long along z.
"""

from __future__ import annotations

import numpy as np

from renderer.shapes.rules.chairs import four, leg, padded
from renderer.shapes.rules.dice import Dice
from renderer.shapes.rules.material import (
    Material,
    cloth,
    leather,
    matte,
    metal,
    paint,
    plastic,
    wood,
)
from renderer.shapes.rules.part import Part
from renderer.shapes.rules.solid import (
    Floats,
    Solid,
    both,
    box,
    curve,
    joined,
    plate,
    rounded,
    sweep,
    tube,
)

NAME = "bench"
SYNSET = "02828884"
ALSO = ()
PARTS = ("seat", "legs", "back", "arms", "cushion")

KINDS = ("park", "garden", "plain", "stone", "steel", "hall", "tube")
COLORS = ("#2f5d3a", "#7a2f28", "#28486b", "#d8d4c8", "#3a3b3e", "#b98a3e", "#5a6c70", "#94643c")


def make(form: Dice, finish: Dice) -> list[Part]:
    kind = form.turn(KINDS)
    main: Material = wood(finish) if finish.chance(0.75) else paint(finish.pick(COLORS), "lacquer")
    long = form.between(1.15, 1.9)
    return {
        "park": _park,
        "garden": _garden,
        "plain": _plain,
        "stone": _stone,
        "steel": _steel,
        "hall": _hall,
        "tube": _tube,
    }[kind](form, finish, main, long)


def _slats(count: int, width: float, thick: float, long: float, line: Floats) -> Solid:
    """Boards across z, their middles along a line [K, 2] of (x, y), each lying in it."""
    step = np.cumsum([0, *np.linalg.norm(np.diff(line, axis=0), axis=1)])
    out = []
    for i in range(count):
        at = step[-1] * (i + 0.5) / count
        x, y = np.interp(at, step, line[:, 0]), np.interp(at, step, line[:, 1])
        ahead = min(at + 0.02, step[-1])
        dx = np.interp(ahead, step, line[:, 0]) - np.interp(at - 0.02, step, line[:, 0])
        dy = np.interp(ahead, step, line[:, 1]) - np.interp(at - 0.02, step, line[:, 1])
        board = box(width, thick, long, 0.005, 1).turned("z", float(np.degrees(np.arctan2(dy, dx))))
        out.append(board.moved(float(x), float(y)))
    return joined(*out).wrapped(0.5, "z")


def _park(form: Dice, finish: Dice, main: Material, long: float) -> list[Part]:
    iron = paint(finish.pick(["#1d2023", "#24382e", "#3b3f44", "#4a2c20"]), "iron")
    deep, seat, tall = form.between(0.42, 0.5), form.between(0.42, 0.46), form.between(0.36, 0.46)
    rake = form.between(0.1, 0.18)
    x = deep / 2
    seat_line = curve(
        [(x, seat - 0.015), (x * 0.4, seat), (-x * 0.5, seat - 0.02), (-x + 0.02, seat)], 5
    )
    back_line = curve(
        [
            (-x - 0.02, seat + 0.08),
            (-x - rake * 0.45, seat + tall * 0.55),
            (-x - rake, seat + tall),
        ],
        5,
    )
    n, m = form.whole(3, 7), form.whole(2, 5)
    parts = [
        Part("seat", _slats(n, deep / n * 0.82, 0.03, long, seat_line), main),
        Part("back", _slats(m, (tall - 0.08) / m * 0.8, 0.028, long, back_line), main),
    ]
    section = rounded(0.05, 0.03, 0.01, 2)
    rib = curve(
        [
            *[(a, b - 0.03, 0) for a, b in seat_line[::5]],
            *[(a - 0.025, b, 0) for a, b in back_line[::5]],
        ],
        4,
    )
    frame = [sweep(rib, section)]
    style = form.pick(["scroll", "straight", "loop"])
    if style == "scroll":
        frame.append(
            tube(
                curve(
                    [
                        (x + 0.04, 0.02, 0),
                        (x - 0.02, 0.08, 0),
                        (x - 0.01, seat * 0.55, 0),
                        (x - 0.03, seat - 0.03, 0),
                    ],
                    5,
                ),
                0.02,
                9,
                side=(0, 0, 1),
            )
        )
        frame.append(
            tube(
                curve(
                    [
                        (-x - 0.1, 0.02, 0),
                        (-x - 0.02, 0.1, 0),
                        (-x + 0.04, seat * 0.6, 0),
                        (-x + 0.03, seat - 0.03, 0),
                    ],
                    5,
                ),
                0.02,
                9,
                side=(0, 0, 1),
            )
        )
        frame.append(
            tube(
                curve([(x - 0.03, 0.12, 0), (0, 0.22, 0), (-x + 0.02, 0.12, 0)], 6),
                0.013,
                8,
                side=(0, 0, 1),
            )
        )
    elif style == "straight":
        frame.append(sweep([(x - 0.02, 0, 0), (x - 0.04, seat - 0.03, 0)], section))
        frame.append(sweep([(-x - 0.05, 0, 0), (-x + 0.03, seat - 0.03, 0)], section))
    else:
        frame.append(
            tube(
                curve(
                    [
                        (x - 0.05, seat - 0.03, 0),
                        (x + 0.01, 0.1, 0),
                        (x - 0.06, 0.02, 0),
                        (-x + 0.02, 0.02, 0),
                        (-x - 0.05, 0.1, 0),
                        (-x + 0.02, seat - 0.03, 0),
                    ],
                    5,
                ),
                0.02,
                9,
                side=(0, 0, 1),
            )
        )
    end = joined(*frame)
    z = long / 2 - form.between(0.06, 0.16)
    parts.append(Part("legs", both(end.moved(0, 0, z)), iron))
    if long > 1.6:
        parts.append(Part("legs", end, iron))
    if form.chance(0.7):
        y = seat + 0.2
        arm = curve(
            [
                (-x - rake * 0.5, y + 0.02, 0),
                (-x * 0.3, y + 0.03, 0),
                (x * 0.8, y, 0),
                (x + 0.04, y - 0.05, 0),
                (x - 0.01, y - 0.1, 0),
                (x - 0.03, seat - 0.03, 0),
            ],
            5,
        )
        parts.append(Part("arms", both(tube(arm, 0.018, 9, side=(0, 0, 1)).moved(0, 0, z)), iron))
    return parts


def _garden(form: Dice, finish: Dice, main: Material, long: float) -> list[Part]:
    deep, seat, tall = form.between(0.46, 0.54), form.between(0.42, 0.46), form.between(0.4, 0.5)
    x, z, size = deep / 2, long / 2, form.between(0.05, 0.07)
    rake = form.between(0.06, 0.12)
    post = rounded(size, size, 0.008, 1)
    front = sweep([(x - size / 2, 0, z - size / 2), (x - size / 2, seat + 0.2, z - size / 2)], post)
    rear = sweep(
        [(-x, 0, z - size / 2), (-x, seat, z - size / 2), (-x - rake, seat + tall, z - size / 2)],
        post,
    )
    parts = [Part("legs", both(joined(front, rear)).wrapped(0.4, "y"), main)]
    n = form.whole(4, 7)
    slats = _slats(
        n, deep / n * 0.84, 0.022, long - 0.02, np.array([(x, seat), (-x + 0.03, seat - 0.02)])
    )
    rails = both(box(deep, 0.06, 0.03, 0.005).moved(0, seat - 0.05, z - size / 2))
    apron = box(0.025, 0.07, long - size, 0.005).moved(x - size / 2, seat - 0.05)
    parts += [Part("seat", slats, main), Part("legs", joined(rails, apron).wrapped(0.4, "z"), main)]
    top = box(0.035, 0.07, long - size, 0.01, 2).moved(-x - rake * 0.93, seat + tall - 0.04)
    low = box(0.035, 0.05, long - size, 0.008).moved(-x - rake * 0.25, seat + tall * 0.25)
    bars = []
    style = form.pick(["upright", "cross", "flat"])
    a, b = (-x - rake * 0.27, seat + tall * 0.27), (-x - rake * 0.9, seat + tall * 0.88)
    if style == "upright":
        count = int(long / form.between(0.09, 0.14))
        for i in range(count):
            zz = (long - size) * ((i + 0.5) / count - 0.5)
            bars.append(sweep([(*a, zz), (*b, zz)], rounded(0.04, 0.014, 0.004, 1)))
    elif style == "cross":
        count = max(2, round(long / 0.55))
        for i in range(count):
            left, right = ((long - size) * (k / count - 0.5) for k in (i, i + 1))
            for s, (p, q) in enumerate(((left, right), (right, left))):
                line = np.array([(*a, p), (*b, q)]) + [0.006 * s, 0, 0]
                bars.append(sweep(line, rounded(0.03, 0.014, 0.004, 1), side=(0, 1, 0.01)))
    else:
        rows = form.whole(2, 3)
        for i in range(rows):
            at = 0.35 + 0.5 * (i + 0.5) / rows
            bars.append(
                box(0.018, 0.26 / rows, long - size, 0.005).moved(-x - rake * at, seat + tall * at)
            )
    parts.append(Part("back", joined(top, low, *bars).wrapped(0.4, "z"), main))
    arm = box(deep + 0.06, 0.03, size * 1.3, 0.01, 2).moved(0.0, seat + 0.21, z - size / 2)
    parts.append(Part("arms", both(arm).wrapped(0.4), main))
    if form.chance(0.3):
        pad = padded(deep - 0.06, 0.06, long - 2 * size, 0.012).moved(0.01, seat + 0.035)
        parts.append(Part("cushion", pad.wrapped(0.2), cloth(finish, finish.pick(COLORS))))
    return parts


def _plain(form: Dice, finish: Dice, main: Material, long: float) -> list[Part]:
    """No back: boards on trestles or legs."""
    deep, seat, thick = form.between(0.28, 0.4), form.between(0.42, 0.47), form.between(0.03, 0.055)
    n = form.whole(1, 4)
    parts = [
        Part(
            "seat",
            _slats(
                n,
                deep / n * (0.94 if n > 1 else 1),
                thick,
                long,
                np.array([(deep / 2, seat), (-deep / 2, seat)]),
            ),
            main,
        )
    ]
    h = seat - thick / 2
    style = form.pick(["board", "legs", "x", "splayed"])
    z = long / 2 - form.between(0.12, 0.3)
    if style == "board":
        slab = box(deep * 0.9, h, 0.045, 0.006).moved(0, h / 2, z)
        parts.append(
            Part(
                "legs",
                joined(both(slab), box(0.03, 0.1, 2 * z, 0.005).moved(0, h * 0.72)).wrapped(
                    0.4, "y"
                ),
                main,
            )
        )
    elif style == "x":
        size = 0.06
        a = sweep([(deep * 0.55, 0.0, 0), (-deep * 0.42, h, 0)], rounded(size, size, 0.006, 1))
        frame = joined(a, a.mirrored("x").moved(0, 0, size * 0.9))
        parts.append(
            Part(
                "legs",
                joined(
                    both(frame.moved(0, 0, z)), box(0.04, 0.06, 2 * z, 0.005).moved(0, h * 0.5)
                ).wrapped(0.4, "y"),
                main,
            )
        )
    else:
        post = leg(
            h, 0.06, 0.045, style == "legs", 0.08 * (style != "legs"), 0.1 * (style != "legs")
        )
        under: Material = metal("#26272a", "frame") if finish.chance(0.35) else main
        parts.append(Part("legs", four(post, deep / 2 - 0.05, z).wrapped(0.3, "y"), under))
        frame = joined(
            both(box(0.02, 0.06, 2 * z, 0.004).moved(deep / 2 - 0.05), "x"),
            both(box(deep - 0.1, 0.06, 0.02, 0.004).moved(0, 0, z)),
        )
        parts.append(Part("legs", frame.moved(y=h - 0.03).wrapped(0.3, "z"), under))
    return parts


def _stone(form: Dice, finish: Dice, main: Material, long: float) -> list[Part]:
    rock = matte(finish.pick(["#a9a59c", "#8d8a86", "#c4b8a0", "#77797c", "#b3a28c"]), "stone")
    deep, seat, thick = form.between(0.38, 0.48), form.between(0.43, 0.48), form.between(0.08, 0.13)
    top: Material = rock
    if finish.chance(0.4):
        top = main
        n = form.whole(3, 5)
        slab = _slats(
            n,
            deep / n * 0.88,
            thick * 0.5,
            long,
            np.array([(deep / 2, seat - thick / 4), (-deep / 2, seat - thick / 4)]),
        )
    else:
        slab = box(deep, thick, long, 0.015, 2).moved(0, seat - thick / 2).wrapped(0.5, "z")
    parts = [Part("seat", slab, top)]
    h = seat - (thick if top is rock else thick * 0.5)
    z = long / 2 - form.between(0.15, 0.3)
    if form.chance(0.5):
        block = box(deep * 0.8, h, form.between(0.12, 0.24), 0.012, 2).moved(0, h / 2, z)
    else:
        block = joined(
            box(deep * 0.75, 0.07, 0.26, 0.012, 2).moved(0, 0.035, z),
            box(deep * 0.45, h, 0.16, 0.03, 2).moved(0, h / 2, z),
            box(deep * 0.7, 0.06, 0.24, 0.012, 2).moved(0, h - 0.03, z),
        )
    parts.append(Part("legs", both(block), rock))
    if form.chance(0.35):
        back = (
            box(0.09, 0.4, long * 0.96, 0.015, 2)
            .turned("z", 6)
            .moved(-deep / 2 + 0.03, seat + 0.18)
        )
        parts.append(Part("back", back.wrapped(0.5, "z"), top))
    return parts


def _steel(form: Dice, finish: Dice, main: Material, long: float) -> list[Part]:
    """A row of seats as in a station."""
    steel = metal(finish.pick(["#b4b7bb", "#3a3c40", "#8a9096"]))
    count = form.whole(3, 4)
    each = 0.52
    seat, deep = form.between(0.42, 0.46), form.between(0.42, 0.48)
    hull = (
        plastic(finish.pick(COLORS), "shell") if finish.chance(0.65) else metal("#9aa0a6", "mesh")
    )
    line = curve(
        [
            (deep / 2, -0.03),
            (deep / 2 - 0.05, 0.005),
            (0, -0.01),
            (-deep / 2 + 0.04, 0.01),
            (-deep / 2 - 0.02, 0.09),
            (-deep / 2 - 0.12, 0.42),
        ],
        5,
    )
    z = np.linspace(-each * 0.46, each * 0.46, 9)
    grid = np.stack(
        np.broadcast_arrays(
            line[:, None, 0], line[:, None, 1] + 0.03 * (np.abs(z) / (each / 2)) ** 3, z[None, :]
        ),
        axis=-1,
    )
    cut = int(len(line) * 0.66)
    spots = [each * (i + 0.5 - count / 2) for i in range(count)]
    parts = [
        Part(
            "seat",
            joined(*[plate(grid[: cut + 1], 0.014).creased(50).moved(0, seat, s) for s in spots]),
            hull,
        ),
        Part(
            "back",
            joined(*[plate(grid[cut:], 0.014).creased(50).moved(0, seat, s) for s in spots]),
            hull,
        ),
    ]
    wide = count * each
    beam = box(0.06, 0.06, wide, 0.008).moved(0, seat - 0.06)
    foot = joined(
        box(0.06, seat - 0.06, 0.05, 0.008).moved(0, (seat - 0.06) / 2),
        box(deep + 0.1, 0.03, 0.06, 0.01, 2).moved(0, 0.015),
    )
    parts.append(Part("legs", joined(beam, both(foot.moved(0, 0, wide / 2 - each * 0.7))), steel))
    if form.chance(0.6):
        arm = tube(
            curve(
                [
                    (-deep / 2 + 0.02, seat - 0.05, 0),
                    (-deep / 2 + 0.05, seat + 0.17, 0),
                    (deep * 0.2, seat + 0.18, 0),
                    (deep * 0.32, seat - 0.04, 0),
                ],
                4,
            ),
            0.014,
            8,
            side=(0, 0, 1),
        )
        spots = [
            each * (i - count / 2) for i in (range(count + 1) if form.chance(0.5) else (0, count))
        ]
        parts.append(Part("arms", joined(*[arm.moved(0, 0, s) for s in spots]), steel))
    return parts


def _hall(form: Dice, finish: Dice, main: Material, long: float) -> list[Part]:
    """Upholstered, on short legs, often with a low back."""
    deep, seat = form.between(0.4, 0.5), form.between(0.43, 0.48)
    color = finish.pick(COLORS)
    cover: Material = cloth(finish, color) if finish.chance(0.6) else leather(color)
    pad = padded(deep, 0.12, long, 0.015).moved(0, seat - 0.05)
    parts = [
        Part("seat", pad.wrapped(0.2, "z"), cover),
        Part(
            "seat",
            box(deep - 0.04, 0.05, long - 0.04, 0.006).moved(0, seat - 0.12).wrapped(0.4, "z"),
            main,
        ),
    ]
    h = seat - 0.14
    post = leg(h, 0.055, 0.03, form.chance(0.5), 0.03, 0.04)
    parts.append(Part("legs", four(post, deep / 2 - 0.07, long / 2 - 0.1).wrapped(0.3, "y"), main))
    if form.chance(0.5):
        back = (
            padded(form.between(0.32, 0.42), 0.08, long, 0.012)
            .turned("z", 98)
            .moved(-deep / 2 + 0.01, seat + 0.16)
        )
        parts.append(Part("back", back.wrapped(0.2, "z"), cover))
    else:
        high = form.between(0.16, 0.24)
        arm = (
            box(deep, high, 0.07, 0.03, 2)
            .turned("x", 10)
            .moved(0, seat + high / 2 - 0.02, long / 2 - 0.01)
        )
        parts.append(Part("arms", both(arm).creased(50).wrapped(0.2), cover))
    return parts


def _tube(form: Dice, finish: Dice, main: Material, long: float) -> list[Part]:
    """Bent steel tube with slats, with or without a back."""
    steel = metal(finish.pick(["#b4b7bb", "#26272a", "#2f5d3a", "#7a2f28"]))
    deep, seat, tall = form.between(0.4, 0.46), form.between(0.43, 0.46), form.between(0.34, 0.42)
    x, rake, r = deep / 2, form.between(0.08, 0.14), 0.02
    backed = form.chance(0.7)
    path = [
        (-x - 0.08, r, 0),
        (x - 0.06, r, 0),
        (x, r + 0.06, 0),
        (x - 0.01, seat - 0.08, 0),
        (x - 0.06, seat - 0.02, 0),
        (-x + 0.06, seat - 0.03, 0),
    ]
    if backed:
        path += [(-x - 0.01, seat + 0.05, 0), (-x - rake, seat + tall, 0)]
    else:
        path += [(-x, seat - 0.08, 0), (-x, r + 0.01, 0)]
        path = path[1:]
    end = tube(curve(path, 5), r, 10, side=(0, 0, 1))
    z = long / 2 - 0.12
    n = form.whole(4, 8)
    parts = [
        Part("legs", both(end.moved(0, 0, z)), steel),
        Part(
            "seat",
            _slats(
                n,
                deep / n * 0.74,
                0.024,
                long,
                np.array([(x - 0.01, seat + 0.008), (-x + 0.04, seat)]),
            ),
            main,
        ),
    ]
    if backed:
        m = form.whole(2, 4)
        line = np.array(
            [(-x - 0.0 - rake * 0.2, seat + tall * 0.3), (-x - rake + 0.024, seat + tall)]
        )
        parts.append(
            Part("back", _slats(m, tall * 0.7 / m * 0.7, 0.022, long, line + [0.015, 0]), main)
        )
    return parts
