"""Guitars: acoustic, classical, cutaway, electric in four shapes, bass. Neck up, face to +x."""

from __future__ import annotations

import numpy as np

from renderer.shapes.rules.dice import Dice
from renderer.shapes.rules.material import Material, matte, metal, paint, plastic, wood
from renderer.shapes.rules.part import Part
from renderer.shapes.rules.solid import (
    Floats,
    Solid,
    box,
    circle,
    cylinder,
    ellipsoid,
    extruded,
    joined,
    loft,
    loop,
    ring,
    tube,
)

NAME = "guitar"
SYNSET = "03467517"
ALSO = ()
PARTS = ("body", "neck", "head", "strings", "bridge", "hole", "pickups", "pickguard")

KINDS = ("acoustic", "strat", "classical", "single", "cutaway", "bass", "vee", "offset")
COLORS = (
    "#a3161a",
    "#17305c",
    "#101113",
    "#e8dfc4",
    "#1f6b4a",
    "#d98a1f",
    "#6fb7b0",
    "#5b2a6b",
    "#e3b7b0",
    "#2a5fa0",
)
TIMBERS = ("maple", "pine", "mahogany", "cherry", "walnut", "oak")

# Half an acoustic body, (across, up), as shares of its half width and length.
ACOUSTIC = [
    (0.0, 0.0),
    (0.45, 0.012),
    (0.82, 0.09),
    (1.0, 0.27),
    (0.88, 0.45),
    (0.66, 0.58),
    (0.66, 0.66),
    (0.76, 0.79),
    (0.66, 0.94),
    (0.34, 1.0),
    (0.0, 1.0),
]
# Whole electric outlines, (across, up), clockwise from the bottom seen from the front.
STRAT = [
    (0.0, 0.0),
    (-0.55, 0.03),
    (-0.95, 0.22),
    (-0.93, 0.42),
    (-0.72, 0.56),
    (-0.74, 0.72),
    (-0.93, 0.94),
    (-0.93, 1.12),
    (-0.72, 1.08),
    (-0.42, 0.84),
    (-0.2, 0.78),
    (0.2, 0.76),
    (0.4, 0.78),
    (0.6, 0.94),
    (0.8, 1.0),
    (0.84, 0.86),
    (0.7, 0.66),
    (0.7, 0.5),
    (0.95, 0.3),
    (0.9, 0.12),
    (0.5, 0.02),
]
SINGLE = [
    (0.0, 0.0),
    (-0.55, 0.02),
    (-0.95, 0.2),
    (-0.98, 0.36),
    (-0.76, 0.54),
    (-0.7, 0.66),
    (-0.76, 0.82),
    (-0.62, 0.96),
    (-0.3, 0.99),
    (-0.14, 0.92),
    (0.14, 0.8),
    (0.3, 0.74),
    (0.5, 0.84),
    (0.72, 0.93),
    (0.74, 0.8),
    (0.64, 0.66),
    (0.76, 0.52),
    (0.98, 0.36),
    (0.95, 0.2),
    (0.55, 0.02),
]
OFFSET = [
    (0.1, 0.0),
    (-0.5, 0.06),
    (-0.95, 0.26),
    (-0.98, 0.46),
    (-0.74, 0.6),
    (-0.72, 0.74),
    (-0.86, 0.96),
    (-0.78, 1.08),
    (-0.5, 1.0),
    (-0.2, 0.82),
    (0.2, 0.78),
    (0.44, 0.8),
    (0.7, 0.98),
    (0.86, 0.96),
    (0.86, 0.78),
    (0.76, 0.58),
    (0.92, 0.36),
    (0.98, 0.14),
    (0.6, 0.0),
]
VEE = [
    (0.0, 0.3),
    (-0.16, 0.22),
    (-0.62, -0.06),
    (-0.86, -0.12),
    (-0.98, 0.0),
    (-0.8, 0.24),
    (-0.34, 0.78),
    (-0.2, 0.9),
    (0.2, 0.9),
    (0.34, 0.78),
    (0.8, 0.24),
    (0.98, 0.0),
    (0.86, -0.12),
    (0.62, -0.06),
    (0.16, 0.22),
]


def make(form: Dice, finish: Dice) -> list[Part]:
    kind = form.turn(KINDS)
    if kind in ("acoustic", "classical", "cutaway"):
        return _hollow(kind, form, finish)
    return _solid(kind, form, finish)


def standing(outline: Floats, thick: float, bevel: float) -> Solid:
    """An outline (across, up) as a slab that looks along +x; across is seen left to right."""
    # seen from +x with y up, left is +z
    return extruded(outline, thick, bevel, 3).turned("y", 90).creased(40)


def _hollow(kind: str, form: Dice, finish: Dice) -> list[Part]:
    long, half = form.between(0.46, 0.52), form.between(0.18, 0.21)
    deep = form.between(0.09, 0.115)
    right = np.array(ACOUSTIC) * [half, long]
    right[4:7, 0] *= form.between(0.93, 1.08)
    left = right[-2:0:-1] * [-1, 1]
    if kind == "cutaway":
        right[-4:-1] = np.array([(0.6, 0.74), (0.36, 0.8), (0.24, 0.92)]) * [half, long]
        right[-5] = np.array((0.62, 0.67)) * [half, long]
    outline = loop(np.concatenate([right, left]), 5)
    light = wood(finish, "top", kinds=("pine", "maple", "cherry", "oak", "walnut"))
    painted = finish.chance(0.25)
    top: Material = paint(finish.pick(COLORS), "lacquer") if painted else light
    sides: Material = (
        top if painted else wood(finish, "sides", kinds=("mahogany", "walnut", "cherry", "ebony"))
    )
    slab = standing(outline, deep, 0.006)
    face = standing(outline * 0.985 + [0, long * 0.0075], 0.006, 0.002).moved(deep / 2 + 0.001)
    parts = [
        Part("body", slab.wrapped(0.3, "y"), sides),
        Part("body", face.wrapped(0.25, "y"), top),
    ]
    front = deep / 2 + 0.004
    hole_y = long * 0.63
    r = half * form.between(0.24, 0.28)
    disc = cylinder(r, 0.004, 0.0, 40).turned("z", 90).moved(front + 0.0005, hole_y)
    parts.append(Part("hole", disc, matte("#0b0806", "hole")))
    rosette = (
        ring([(r * 1.0, -0.002), (r * 1.22, -0.002), (r * 1.22, 0.002), (r * 1.0, 0.002)], 40)
        .turned("z", -90)
        .moved(front + 0.001, hole_y)
    )
    parts.append(
        Part("hole", rosette, matte(finish.pick(["#2a1a10", "#e8dcc0", "#6b2f1a"]), "rosette"))
    )
    bridge_y = long * 0.3
    dark = wood(finish, "bridge", kinds=("ebony", "walnut"))
    parts.append(
        Part(
            "bridge",
            box(0.014, 0.028, half * 0.8, 0.004).moved(front + 0.006, bridge_y).wrapped(0.2, "z"),
            dark,
        )
    )
    parts.append(
        Part(
            "bridge",
            box(0.008, 0.005, half * 0.42, 0.001).moved(front + 0.015, bridge_y + 0.004),
            plastic("#f3ecd8", "bone"),
        )
    )
    if kind != "classical" and form.chance(0.6):
        s = half
        guard = loop(
            np.array(
                [
                    (-1.15, 0.0),
                    (-1.3, -0.55),
                    (-2.1, -0.95),
                    (-2.35, -0.3),
                    (-1.9, 0.35),
                    (-1.35, 0.5),
                ]
            )
            * [-r, r * 0.9]
            + [0, hole_y],
            5,
        )
        del s
        parts.append(
            Part(
                "pickguard",
                standing(guard, 0.003, 0.0).moved(front + 0.0008),
                plastic(finish.pick(["#3a1710", "#101012", "#e9e2d0"]), "guard"),
            )
        )
    scale = long * form.between(0.88, 0.98)
    parts += _neck(kind, form, finish, long, front, scale, bridge_y, 6)
    if finish.chance(0.5):  # binding
        edge = [np.array([deep / 2 + 0.002, y, -z]) for z, y in outline]
        parts.append(
            Part(
                "body",
                tube(np.array(edge), 0.0035, 6, closed=True, side=(1, 0, 0)),
                plastic("#efe6cf", "binding"),
            )
        )
    return parts


def _solid(kind: str, form: Dice, finish: Dice) -> list[Part]:
    bass = kind == "bass"
    shape = {
        "strat": STRAT,
        "single": SINGLE,
        "offset": OFFSET,
        "vee": VEE,
        "bass": form.pick([STRAT, OFFSET]),
    }[kind]
    long, half = form.between(0.36, 0.41), form.between(0.155, 0.175)
    if kind == "vee":
        long, half = long * 1.05, half * 1.18
    thick = form.between(0.042, 0.052)
    outline = loop(np.array(shape) * [-half, long], 4 if kind != "vee" else 3)
    color = finish.pick(COLORS)
    skin: Material = (
        paint(color, "lacquer") if finish.chance(0.75) else wood(finish, "lacquer", kinds=TIMBERS)
    )
    parts = [Part("body", standing(outline, thick, 0.008).wrapped(0.3, "y"), skin)]
    front = thick / 2 + 0.001
    bridge_y = long * (0.26 if kind != "vee" else 0.34)
    join_y = {"strat": 0.8, "single": 0.86, "offset": 0.8, "vee": 0.9, "bass": 0.8}[kind] * long
    chrome, black = (
        metal(finish.pick(["#c3c6ca", "#c8a13a", "#2a2b2e"]), "hardware"),
        plastic("#141416", "pickup"),
    )
    guard_color = plastic(
        finish.pick(["#f2efe6", "#141416", "#e8dfc4", "#3a1710", "#d6efe6"]), "guard"
    )
    if kind in ("strat", "offset", "bass") or form.chance(0.3):
        if kind == "vee":
            knots = [
                (-0.16, 0.7),
                (0.16, 0.7),
                (0.3, 0.5),
                (0.6, 0.16),
                (0.5, 0.1),
                (0.14, 0.36),
                (-0.14, 0.36),
            ]
        else:
            knots = [
                (0.0, 0.12),
                (0.5, 0.14),
                (0.66, 0.26),
                (0.5, 0.5),
                (0.54, 0.72),
                (0.62, 0.82),
                (0.36, 0.7),
                (0.2, 0.72),
                (-0.2, 0.72),
                (-0.5, 0.72),
                (-0.62, 0.66),
                (-0.5, 0.5),
                (-0.42, 0.3),
                (-0.2, 0.2),
            ]
        guard = loop(np.array(knots) * [-half, long], 4)
        parts.append(
            Part("pickguard", standing(guard, 0.004, 0.001).moved(front + 0.001), guard_color)
        )
        front_ = front + 0.003
    else:
        front_ = front
    width = 0.085 if not bass else 0.09
    humbuckers = kind in ("single", "vee") or form.chance(0.3)
    count = 2 if humbuckers or bass else 3
    cover = (
        chrome
        if finish.chance(0.35)
        else (black if finish.chance(0.6) else plastic("#f2efe6", "pickup"))
    )
    top_y = join_y - 0.035 if kind != "vee" else join_y - 0.06
    for i in range(count):
        y = bridge_y + 0.045 + (top_y - bridge_y - 0.045) * i / (count - 1) * 0.86
        tall = 0.036 if humbuckers else 0.02
        pickup = box(0.014, tall, width, 0.004, 2)
        if i == 0 and count == 3:
            pickup = pickup.turned("x", 10)
        pickup = pickup.moved(front_ + 0.004, y)
        parts.append(Part("pickups", pickup, cover))
    parts.append(
        Part("bridge", box(0.014, 0.03, 0.085, 0.003).moved(front_ + 0.006, bridge_y), chrome)
    )
    if kind == "single":
        parts.append(
            Part(
                "bridge",
                box(0.014, 0.014, 0.09, 0.004, 2).moved(front_ + 0.006, bridge_y - 0.05),
                chrome,
            )
        )
    knobs = []
    for i in range(form.whole(2, 4)):
        at = np.array([(0.45, 0.3), (0.58, 0.2), (0.36, 0.17), (0.62, 0.32)][i]) * [half, long]
        if kind == "vee":
            at = np.array([(0.42, 0.3), (0.54, 0.2), (0.66, 0.1), (0.3, 0.42)][i]) * [half, long]
        knobs.append(
            cylinder(0.011, 0.016, 0.003, 18).turned("z", 90).moved(front_ + 0.008, at[1], -at[0])
        )
    parts.append(
        Part(
            "pickups", joined(*knobs), plastic("#141416", "knob") if finish.chance(0.5) else chrome
        )
    )
    scale = long * (form.between(1.12, 1.2) if not bass else form.between(1.5, 1.65))
    parts += _neck(kind, form, finish, join_y, thick / 2, scale, bridge_y, 4 if bass else 6)
    return parts


def _neck(
    kind: str,
    form: Dice,
    finish: Dice,
    start: float,
    front: float,
    long: float,
    bridge_y: float,
    strings: int,
) -> list[Part]:
    """Neck, frets, head, pegs and strings; the neck leaves the body at `start`."""
    classical = kind == "classical"
    acoustic = kind in ("acoustic", "classical", "cutaway")
    timber = wood(finish, "neck", kinds=("maple", "mahogany", "cherry", "walnut"))
    wide0, wide1 = (0.062, 0.05) if not classical else (0.066, 0.056)
    overlap = 0.1 if acoustic else 0.06
    end = start + long
    thick = 0.024
    x = front + (0.003 if acoustic else 0.006)
    half_round = circle(0.5, 24)[12:]  # the lower half
    rings = []
    for y, w in ((start - 0.012, wide0), ((start + end) / 2, (wide0 + wide1) / 2), (end, wide1)):
        rings.append(
            np.stack([x + half_round[:, 1] * thick * 2, np.full(12, y), half_round[:, 0] * w], 1)
        )
    parts = [Part("neck", loft(rings).creased(50).wrapped(0.25, "y"), timber)]
    if acoustic:
        heel = box(front * 2 * 0.85, 0.05, 0.05, 0.015, 2).moved(-0.006, start + 0.012)
        parts.append(Part("neck", heel.wrapped(0.25, "y"), timber))
    board: Material = (
        timber
        if (not acoustic and finish.chance(0.35))
        else wood(finish, "fingerboard", kinds=("ebony", "walnut"))
    )
    low = start - overlap
    spread = wide0 + (wide0 - wide1) * overlap / long
    outline = np.array([(-spread / 2, low), (spread / 2, low), (wide1 / 2, end), (-wide1 / 2, end)])
    parts.append(
        Part("neck", standing(outline, 0.008, 0.001).moved(x + 0.003).wrapped(0.25, "y"), board)
    )
    top = x + 0.0072
    frets, dots = [], []
    nut = end
    for i in range(1, 21):
        y = bridge_y + (nut - bridge_y) * 2 ** (-i / 12)
        if y < low + 0.004:
            break
        w = float(np.interp(y, [low, end], [spread, wide1]))
        frets.append(box(0.003, 0.0026, w * 0.98).moved(top, y))
        if i in (3, 5, 7, 9, 12, 15) and not classical:
            above = bridge_y + (nut - bridge_y) * 2 ** (-(i - 1) / 12)
            dots.append(
                cylinder(0.0045, 0.002, 0, 12).turned("z", 90).moved(top + 0.0002, (y + above) / 2)
            )
    parts.append(Part("neck", joined(*frets), metal("#b9bcc0", "fret")))
    if dots:
        parts.append(Part("neck", joined(*dots), plastic("#efe9d8", "dot")))
    parts.append(
        Part(
            "neck",
            box(0.012, 0.006, wide1, 0.001).moved(top - 0.001, end + 0.002),
            plastic("#f3ecd8", "bone"),
        )
    )
    # the head leans back
    tall = 0.15 if strings == 6 else 0.17
    inline = kind in ("strat", "offset", "bass")
    if inline:
        shape = np.array(
            [
                (-0.5, 0.0),
                (0.5, 0.0),
                (0.62, 0.12),
                (0.95, 0.3),
                (1.05, 0.7),
                (1.05, 0.9),
                (0.6, 1.08),
                (0.0, 1.0),
                (-0.35, 0.82),
                (-0.55, 0.3),
            ]
        ) * [-wide1 * 0.72, tall]
        outline = loop(shape, 3)
    elif kind == "vee":
        outline = np.array(
            [(-0.5, 0.0), (0.5, 0.0), (0.85, 0.25), (0.2, 1.1), (-0.2, 1.1), (-0.85, 0.25)]
        ) * [wide1, tall]
    else:
        outline = np.array(
            [
                (-0.5, 0.0),
                (0.5, 0.0),
                (0.72, 0.12),
                (0.82, 0.95),
                (0.4, 1.0),
                (0.0, 0.95 if classical else 1.05),
                (-0.4, 1.0),
                (-0.82, 0.95),
                (-0.72, 0.12),
            ]
        ) * [wide1, tall]
    lean = 8.0 if not inline else 4.0
    face: Material = timber if inline or finish.chance(0.5) else paint("#141416", "headface")

    def tilted(solid: Solid) -> Solid:
        return solid.turned("z", lean).moved(x - 0.006, end)

    parts.append(Part("head", tilted(standing(outline, 0.016, 0.002)).wrapped(0.25, "y"), face))
    steel = metal("#c3c6ca", "pegs")
    pegs, posts = [], []
    tips: list[Floats] = []
    for i in range(strings):
        if inline:
            s = (i + 0.8) / (strings + 0.6)
            spot = np.array([-wide1 * 0.1 - wide1 * 0.35 * s, tall * (0.1 + 0.8 * s)])
            side = -1
            edge = -wide1 * 0.72 * float(np.interp(s, [0, 0.3, 0.7, 1], [0.62, 0.95, 1.05, 1.0]))
        else:
            side = -1 if i < strings // 2 else 1
            k = i if i < strings // 2 else strings - 1 - i
            s = (k + 0.8) / (strings / 2 + 0.4)
            if kind == "vee":
                s *= 0.62
            edge_share = 0.8 if kind != "vee" else 0.85 - 0.5 * s
            spot = np.array([side * wide1 * edge_share * 0.55, tall * (0.08 + 0.85 * s)])
            edge = side * wide1 * edge_share
        posts.append(cylinder(0.004, 0.02, 0, 10).turned("z", 90).moved(0.013, spot[1], -spot[0]))
        shaft = (
            cylinder(0.003, 0.03, 0, 8)
            .turned("x", 90)
            .moved(-0.001, spot[1], -(edge + side * 0.008))
        )
        button = ellipsoid(0.006, 0.011, 0.008, 12).moved(-0.001, spot[1], -(edge + side * 0.024))
        pegs += [shaft, button]
        tip = np.array([[0.017, spot[1], -spot[0]]])
        tips.append(tilted(Solid(points=tip, triangles=np.zeros((0, 3), np.int64))).points[0])
    parts.append(Part("head", tilted(joined(*posts, *pegs)), steel))
    # strings; thicker than real ones, so that they are not lost between pixels
    lines = []
    nut_x = top + 0.006
    for i in range(strings):
        s = (i / (strings - 1) - 0.5) * 2
        tip = tips[i]
        lines.append(
            tube(
                np.array(
                    [
                        (top + 0.009, bridge_y, -s * 0.031),
                        (nut_x, end + 0.003, -s * wide1 * 0.42),
                        tip,
                    ]
                ),
                0.0011 if strings == 6 else 0.0016,
                5,
                side=(0, 0, 1),
            )
        )
    parts.append(Part("strings", joined(*lines), metal("#d5d2c8", "string")))
    return parts
