"""Sofas: two to four seats, straight or with a long seat at one end; one sits looking along +x."""

from __future__ import annotations

import numpy as np

from renderer.shapes.rules.chairs import four, leg, padded
from renderer.shapes.rules.dice import Dice
from renderer.shapes.rules.material import Material, cloth, leather, metal, wood
from renderer.shapes.rules.part import Part
from renderer.shapes.rules.solid import Solid, both, box, cylinder, ellipsoid, joined

NAME = "sofa"
SYNSET = "04256520"
ALSO = ("couch", "couches", "settee")
PARTS = ("base", "seat", "back", "arms", "legs", "pillows")

KINDS = ("block", "rolled", "slim", "corner", "chesterfield", "wooden")
COLORS = (
    "#7d8793",
    "#3d4f66",
    "#8a3b32",
    "#cdbfa8",
    "#4d5d45",
    "#b98a3e",
    "#2e2f33",
    "#6c4a6e",
    "#4f8083",
    "#a9805c",
    "#dcd6ca",
    "#5b3a29",
    "#c46b4a",
    "#93a58c",
)
SIZE = 0.28  # metres of cloth that the texture covers


def make(form: Dice, finish: Dice) -> list[Part]:
    kind = form.turn(KINDS)
    color = finish.pick(COLORS)
    cover: Material = cloth(finish, color) if finish.chance(0.65) else leather(color)
    other = finish.pick(COLORS)
    parts = _sofa(kind, form, finish, cover)
    if form.chance(0.6) and kind != "chesterfield":
        parts += _pillows(form, finish, other, parts)
    return parts


def _covered(solid: Solid) -> Solid:
    return solid.creased(48).wrapped(SIZE)


def _sofa(kind: str, form: Dice, finish: Dice, cover: Material) -> list[Part]:
    seats = form.pick([2, 2, 3, 3, 3, 4])
    each = form.between(0.58, 0.72)
    wide = seats * each
    deep = form.between(0.78, 0.95)
    seat = form.between(0.38, 0.45)
    back = form.between(0.36, 0.5) if kind != "chesterfield" else 0.3
    side = {
        "block": form.between(0.18, 0.28),
        "rolled": form.between(0.18, 0.24),
        "slim": form.between(0.07, 0.11),
        "corner": form.between(0.14, 0.24),
        "chesterfield": 0.2,
        "wooden": 0.06,
    }[kind]
    foot = form.between(0.05, 0.18) if kind != "slim" else form.between(0.14, 0.2)
    pad = form.between(0.13, 0.18)
    timber = wood(finish, kinds=("walnut", "oak", "ebony", "maple", "cherry"))
    parts: list[Part] = []
    rest = 0.2  # the back's thickness
    low = seat - pad
    frame: Material = timber if kind == "wooden" else cover
    base = box(deep, max(low - foot, 0.07), wide, 0.02, 2)
    base_y = (foot + low) / 2 if low - foot > 0.07 else low - 0.035
    parts.append(Part("base", _covered(base.moved(0, base_y)), frame))
    # seat cushions
    one = form.chance(0.2)
    puff = form.between(0.01, 0.03)
    count = 1 if one else seats
    room = deep - rest + 0.02
    end = form.pick([-1, 1])
    for i in range(count):
        z = ((i + 0.5) / count - 0.5) * wide
        cushion = padded(room, pad, wide / count - 0.012, puff).moved(
            rest / 2 + 0.02, low + pad / 2, z
        )
        parts.append(Part("seat", _covered(cushion), cover))
    if kind == "corner":
        longer = form.between(0.55, 0.75)
        z = end * (wide / 2 - each / 2)
        parts.append(
            Part(
                "base",
                _covered(
                    box(longer + 0.1, low - foot, each, 0.02, 2).moved(
                        deep / 2 + longer / 2 - 0.05, base_y, z
                    )
                ),
                frame,
            )
        )
        parts.append(
            Part(
                "seat",
                _covered(
                    padded(longer, pad, each - 0.012, puff).moved(
                        deep / 2 + longer / 2 + 0.02, low + pad / 2, z
                    )
                ),
                cover,
            )
        )
    # back
    lean = form.between(6, 12)
    if kind == "chesterfield":
        roll = (
            cylinder(0.11, wide + 0.24, 0.03, 24)
            .turned("x", 90)
            .moved(-deep / 2 + 0.06, seat + back)
        )
        wall = box(0.17, back + seat - foot, wide, 0.03, 2).moved(
            -deep / 2 + 0.09, foot + (back + seat - foot) / 2
        )
        parts.append(Part("back", _covered(joined(wall, roll)), cover))
        buttons = []
        across = seats * 4
        for row in range(2):
            for i in range(across - row):
                z = (i + 0.5 + row * 0.5) / across - 0.5
                buttons.append(
                    ellipsoid(0.012, 0.018, 0.018, 8).moved(
                        -deep / 2 + 0.176, seat + 0.07 + 0.12 * row, z * wide
                    )
                )
        parts.append(Part("back", _covered(joined(*buttons)), cover))
    else:
        if kind != "wooden":
            wall = box(0.1, seat + back - 0.07 - foot, wide, 0.03, 2).turned("z", lean * 0.4)
            parts.append(
                Part(
                    "back",
                    _covered(wall.moved(-deep / 2 + 0.05, (seat + back - 0.07 + foot) / 2)),
                    cover,
                )
            )
        else:
            rails = [
                box(0.025, 0.05, wide, 0.008).moved(-deep / 2 + 0.02 - 0.05 * s, seat + back * s)
                for s in (0.25, 0.55, 0.9)
            ]
            parts.append(Part("back", joined(*rails).wrapped(SIZE, "z"), timber))
        for i in range(count):
            z = ((i + 0.5) / count - 0.5) * wide
            cushion = padded(back + 0.05, 0.16, wide / count - 0.012, puff * 1.4).turned(
                "z", 90 + lean
            )
            parts.append(
                Part(
                    "back",
                    _covered(cushion.moved(-deep / 2 + 0.17, seat + back / 2 + 0.02, z)),
                    cover,
                )
            )
    # arms
    high = seat + (form.between(0.12, 0.22) if kind != "chesterfield" else back)
    at = wide / 2 + side / 2 - 0.004
    if kind == "wooden":
        z = wide / 2 + 0.03
        top = box(deep * 0.95, 0.03, 0.08, 0.01, 2).moved(0, high, z)
        posts = joined(
            box(0.05, high, 0.05, 0.008).moved(deep / 2 - 0.07, high / 2, z),
            box(0.05, seat + back, 0.05, 0.008)
            .turned("z", 3)
            .moved(-deep / 2 + 0.01, (seat + back) / 2, z),
        )
        rail = box(deep - 0.1, 0.05, 0.03, 0.006).moved(0, low - 0.03, z)
        parts.append(Part("arms", both(joined(top, posts, rail)).wrapped(SIZE), timber))
        return parts
    if kind in ("rolled", "chesterfield"):
        r = side * 0.58
        body = box(deep - 0.02, high - r * 0.5 - foot, side * 0.8, 0.025, 2).moved(
            0, (high - r * 0.5 + foot) / 2
        )
        roll = (
            cylinder(r, deep + 0.01, 0.02, 24).turned("z", 90).moved(0, high - r * 0.4, side * 0.14)
        )
        arm = joined(body, roll)
    elif kind == "slim":
        arm = box(deep, high - foot, side, 0.02, 2).moved(0, (high + foot) / 2)
        if form.chance(0.5):
            arm = arm.turned("x", 8)
    else:
        arm = box(deep, high - foot, side, form.between(0.02, 0.07), 3, 2).moved(
            0, (high + foot) / 2
        )
    right, left = arm.moved(0, 0, at), arm.mirrored().moved(0, 0, -at)
    parts.append(Part("arms", _covered(joined(right, left)), cover))
    post = leg(
        foot + 0.03,
        form.between(0.04, 0.07),
        form.between(0.025, 0.05),
        form.chance(0.5),
        0.02,
        0.02,
    )
    steel: Material = (
        metal(finish.pick(["#b4b7bb", "#26272a"]), "foot") if finish.chance(0.3) else timber
    )
    parts.append(
        Part("legs", four(post, deep / 2 - 0.08, wide / 2 + side - 0.1).wrapped(0.3, "y"), steel)
    )
    if kind == "corner":
        pair = both(post.moved(0, 0, each / 2 - 0.08)).moved(
            deep / 2 + longer - 0.1, 0, end * (wide / 2 - each / 2)
        )
        parts.append(Part("legs", pair.wrapped(0.3, "y"), steel))
    return parts


def _pillows(form: Dice, finish: Dice, color: str, parts: list[Part]) -> list[Part]:
    """Loose pillows against the back."""
    seat = [part.solid.points for part in parts if part.name == "seat"]
    points = np.concatenate(seat)
    top, wide = points[:, 1].max(), np.ptp(points[:, 2])
    back = points[:, 0].min()
    cover = cloth(finish, color, "pillow")
    out = []
    sides = form.pick([(-1,), (1,), (-1, 1), (-1, 1)])
    for side in sides:
        size = form.between(0.36, 0.44)
        pillow = (
            padded(size, 0.13, size, 0.035)
            .turned("z", 90 + form.between(18, 28))
            .turned("y", side * form.between(0, 14))
        )
        out.append(
            Part(
                "pillows",
                pillow.moved(back + 0.2, top + size * 0.42, side * (wide / 2 - size * 0.6))
                .creased(50)
                .wrapped(0.16),
                cover,
            )
        )
    return out
