"""Tables: dining, round pedestal, desk with drawers, coffee, trestle, glass, side tables.

A table is long along z; a desk's drawers open to +x, where one sits.
"""

from __future__ import annotations

import math

import numpy as np

from renderer.shapes.rules.chairs import four, leg
from renderer.shapes.rules.dice import Dice
from renderer.shapes.rules.material import Material, glass, matte, metal, paint, wood
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
    rounded,
    sweep,
    tube,
)

NAME = "table"
SYNSET = "04379243"
ALSO = ("desk", "desks")
PARTS = ("top", "legs", "frame", "shelf", "drawers", "handles")

KINDS = ("dining", "pedestal", "desk", "coffee", "trestle", "glass", "side", "parsons")
COLORS = ("#f1efe9", "#2b2c2f", "#a33b2b", "#2f5d8c", "#4c7a55", "#d8b13a", "#b9b3a6", "#7a4f6d")


def make(form: Dice, finish: Dice) -> list[Part]:
    kind = form.turn(KINDS)
    main: Material = wood(finish) if finish.chance(0.75) else paint(finish.pick(COLORS), "lacquer")
    under: Material = main
    if finish.chance(0.35):
        under = finish.pick([metal("#26272a", "frame"), paint("#ece9e2", "white"), metal()])
    return {
        "dining": _dining,
        "pedestal": _pedestal,
        "desk": _desk,
        "coffee": _coffee,
        "trestle": _trestle,
        "glass": _glass,
        "side": _side,
        "parsons": _parsons,
    }[kind](form, finish, main, under)


def _slab(form: Dice, deep: float, long: float, thick: float) -> Solid:
    """A table's top, its underside at y = 0: rectangular, rounded or oval."""
    style = form.pick(["plain", "plain", "round", "oval"])
    if style == "plain":
        return box(deep, thick, long, 0.006, 1, 1).moved(y=thick / 2)
    if style == "round":
        outline = rounded(deep, long, deep * form.between(0.1, 0.3), 6)
    else:
        angle = np.arange(48) * 2 * math.pi / 48
        power = form.between(0.55, 0.9)
        c, s = np.cos(angle), np.sin(angle)
        outline = np.stack(
            [
                deep / 2 * np.sign(c) * np.abs(c) ** power,
                long / 2 * np.sign(s) * np.abs(s) ** power,
            ],
            axis=1,
        )
    return extruded(outline, thick, thick * 0.25).turned("x", 90).moved(y=thick / 2)


def _turned(height: float, r: float) -> Solid:
    """A leg turned on a lathe."""
    profile = [
        (0, 0),
        (0.5, 0),
        (0.62, 0.03),
        (0.5, 0.07),
        (0.66, 0.12),
        (0.5, 0.3),
        (0.72, 0.55),
        (0.95, 0.68),
        (0.7, 0.74),
        (0.95, 0.78),
        (0.95, 0.8),
        (1, 0.82),
        (1, 1),
        (0, 1),
    ]
    return lathe([(r * a, height * b) for a, b in profile], 18).creased(35)


def _dining(form: Dice, finish: Dice, main: Material, under: Material) -> list[Part]:
    high, deep, long = form.between(0.72, 0.77), form.between(0.75, 1.0), form.between(1.2, 2.2)
    thick = form.between(0.025, 0.05)
    parts = [
        Part("top", _slab(form, deep, long, thick).moved(y=high - thick).wrapped(0.6, "z"), main)
    ]
    style = form.pick(["square", "tapered", "turned", "splayed"])
    size = form.between(0.055, 0.085)
    if style == "turned":
        post = _turned(high - thick, size * 0.62)
    elif style == "splayed":
        post = leg(high - thick, size, size * 0.5, False, 0.1, 0.12)
    else:
        post = leg(high - thick, size, size * (1 if style == "square" else 0.55), True)
    x, z = deep / 2 - 0.12, long / 2 - form.between(0.12, 0.22)
    parts.append(Part("legs", four(post, x, z).wrapped(0.3, "y"), under))
    skirt = joined(
        both(box(2 * x, 0.09, 0.022, 0.004).moved(0, 0, z)),
        both(box(0.022, 0.09, 2 * z, 0.004).moved(x), "x"),
    )
    parts.append(Part("frame", skirt.moved(y=high - thick - 0.045).wrapped(0.4, "z"), under))
    if form.chance(0.25) and style != "splayed":
        y = form.between(0.12, 0.2)
        rails = joined(
            both(box(2 * x, 0.035, 0.03, 0.006).moved(0, y, z)),
            box(0.035, 0.035, 2 * z, 0.006).moved(0, y),
        )
        parts.append(Part("frame", rails.wrapped(0.4, "z"), under))
    return parts


def _pedestal(form: Dice, finish: Dice, main: Material, under: Material) -> list[Part]:
    high = form.pick([form.between(0.70, 0.76), form.between(0.70, 0.76), form.between(1.0, 1.1)])
    r = form.between(0.32, 0.62) if high < 0.9 else form.between(0.28, 0.36)
    thick = form.between(0.02, 0.04)
    top = cylinder(r, thick, thick * 0.3, 48).moved(y=high - thick / 2)
    parts = [Part("top", top.creased(50).wrapped(0.6, "z"), main)]
    style = form.pick(["tulip", "column", "claw"])
    h = high - thick
    if style == "tulip":
        profile = [
            (0, 0),
            (0.34, 0),
            (0.345, 0.012),
            (0.2, 0.045),
            (0.07, 0.16),
            (0.04, 0.35),
            (0.05, 0.6),
            (0.11, 0.9),
            (0.2, 1.0),
            (0, 1.0),
        ]
        scale = r / 0.5
        column = lathe([(a * scale, b * h if b > 0.05 else b) for a, b in profile], 36).creased(60)
        parts.append(
            Part(
                "legs",
                column.wrapped(0.4, "y"),
                paint("#efefec", "white") if finish.chance(0.5) else under,
            )
        )
        return parts
    radius = form.between(0.03, 0.055)
    parts.append(
        Part(
            "legs", cylinder(radius, h - 0.02, 0, 24).moved(y=h / 2 + 0.01).wrapped(0.3, "y"), under
        )
    )
    plate_ = cylinder(r * 0.45, 0.02, 0, 24).moved(y=h - 0.01)
    parts.append(Part("frame", plate_.wrapped(0.3), under))
    if style == "column":
        foot = lathe(
            [(0, 0), (r * 0.68, 0), (r * 0.68, 0.012), (r * 0.3, 0.035), (radius, 0.06), (0, 0.06)],
            36,
        )
        parts.append(Part("legs", foot.wrapped(0.4), under))
    else:
        count = form.pick([3, 4, 4])
        claw = sweep(
            curve(
                [
                    (0, h * 0.38, 0),
                    (r * 0.25, h * 0.3, 0),
                    (r * 0.5, 0.07, 0),
                    (r * 0.74, 0.025, 0),
                ],
                5,
            ),
            rounded(0.05, 0.05, 0.012, 2),
            np.linspace(1.15, 0.8, 16),
        )
        parts.append(
            Part(
                "legs",
                joined(*[claw.turned("y", 360 * i / count + 45) for i in range(count)]).wrapped(
                    0.3
                ),
                under,
            )
        )
    return parts


def _drawers(
    x: float, wide: float, low: float, high: float, z: float, count: int, knob: bool
) -> tuple[Solid, Solid]:
    """Fronts and handles of a column of drawers that open to +x at x."""
    fronts, handles = [], []
    tall = (high - low) / count
    for i in range(count):
        y = low + tall * (i + 0.5)
        fronts.append(box(0.02, tall - 0.012, wide - 0.014, 0.004).moved(x, y, z))
        if knob:
            handles.append(cylinder(0.014, 0.03, 0.005, 14).turned("z", 90).moved(x + 0.022, y, z))
        else:
            handles.append(box(0.02, 0.014, min(0.14, wide * 0.4), 0.005).moved(x + 0.022, y, z))
    return joined(*fronts), joined(*handles)


def _desk(form: Dice, finish: Dice, main: Material, under: Material) -> list[Part]:
    high, deep, long = form.between(0.72, 0.76), form.between(0.58, 0.72), form.between(1.15, 1.6)
    thick = form.between(0.022, 0.035)
    parts = [
        Part("top", box(deep, thick, long, 0.006).moved(y=high - thick / 2).wrapped(0.6, "z"), main)
    ]
    h, wide = high - thick, form.between(0.36, 0.45)
    front: Material = main if finish.chance(0.5) else paint(finish.pick(COLORS), "fronts")
    knob = form.chance(0.5)
    sides = (-1, 1) if form.chance(0.35) else (form.pick([-1, 1]),)
    foot = form.between(0.0, 0.1)
    for side in sides:
        z = side * (long / 2 - wide / 2 - 0.02)
        case = box(deep - 0.06, h - foot, wide, 0.006).moved(-0.01, foot + (h - foot) / 2, z)
        parts.append(Part("frame", case.wrapped(0.5, "y"), under))
        fronts, handles = _drawers(
            deep / 2 - 0.035, wide, foot + 0.01, h - 0.01, z, form.whole(3, 4), knob
        )
        parts += [
            Part("drawers", fronts.wrapped(0.4, "z"), front),
            Part("handles", handles, metal()),
        ]
    if len(sides) == 1:
        post = leg(h, 0.05, 0.042, True)
        pair = joined(post.moved(deep / 2 - 0.06), post.moved(-deep / 2 + 0.06)).moved(
            0, 0, -sides[0] * (long / 2 - 0.06)
        )
        parts.append(Part("legs", pair.wrapped(0.3, "y"), under))
    else:
        post = leg(foot + 0.02, 0.05, 0.04, True)
        parts.append(
            Part("legs", four(post, deep / 2 - 0.08, long / 2 - 0.07).wrapped(0.3, "y"), under)
        )
    panel = box(0.018, 0.34, long - 0.1, 0.004).moved(-deep / 2 + 0.08, h - 0.17)
    parts.append(Part("frame", panel.wrapped(0.5, "z"), under))
    if form.chance(0.3):
        hutch = joined(
            box(0.2, 0.02, long, 0.004).moved(0, 0.3),
            both(box(0.2, 0.3, 0.02, 0.004).moved(0, 0.15, long / 2 - 0.01)),
            box(0.2, 0.3, 0.018, 0.004).moved(0, 0.15, long * 0.1),
        )
        parts.append(Part("shelf", hutch.moved(-deep / 2 + 0.11, high).wrapped(0.5, "z"), main))
    return parts


def _coffee(form: Dice, finish: Dice, main: Material, under: Material) -> list[Part]:
    high, deep, long = form.between(0.36, 0.45), form.between(0.55, 0.75), form.between(0.95, 1.35)
    thick = form.between(0.03, 0.05)
    parts = [
        Part("top", _slab(form, deep, long, thick).moved(y=high - thick).wrapped(0.5, "z"), main)
    ]
    x, z = deep / 2 - 0.09, long / 2 - 0.13
    splay = form.chance(0.4)
    post = (
        leg(high - thick, 0.05, 0.03, False, 0.06, 0.06)
        if splay
        else leg(high - thick, 0.055, 0.05, True)
    )
    parts.append(Part("legs", four(post, x, z).wrapped(0.3, "y"), under))
    if form.chance(0.7):
        y = form.between(0.1, 0.15)
        if form.chance(0.5):
            board = box(2 * x + 0.03, 0.02, 2 * z + 0.03, 0.005)
        else:
            board = joined(
                *[
                    box((2 * x) / 7 * 0.7, 0.018, 2 * z + 0.03, 0.005).moved((i - 3) * 2 * x / 7)
                    for i in range(7)
                ]
            )
        parts.append(Part("shelf", board.moved(y=y).wrapped(0.5, "z"), main))
    elif form.chance(0.5):
        case = box(deep - 0.12, 0.12, long * 0.6, 0.005).moved(-0.01, high - thick - 0.06)
        fronts, handles = _drawers(
            deep / 2 - 0.068,
            long * 0.3,
            high - thick - 0.115,
            high - thick - 0.005,
            long * 0.15,
            1,
            True,
        )
        parts += [
            Part("frame", case.wrapped(0.5, "z"), under),
            Part("drawers", both(fronts).wrapped(0.4, "z"), main),
            Part("handles", both(handles), metal()),
        ]
    return parts


def _trestle(form: Dice, finish: Dice, main: Material, under: Material) -> list[Part]:
    high, deep, long = form.between(0.72, 0.77), form.between(0.75, 0.95), form.between(1.5, 2.2)
    thick, size = form.between(0.035, 0.06), form.between(0.06, 0.085)
    planks = form.whole(3, 6)
    step = deep / planks
    top = joined(
        *[
            box(step * 0.985, thick, long, 0.006).moved((i - (planks - 1) / 2) * step)
            for i in range(planks)
        ]
    )
    parts = [Part("top", top.moved(y=high - thick / 2).wrapped(0.6, "z"), main)]
    h, z = high - thick, long / 2 - form.between(0.25, 0.4)
    style = form.pick(["x", "a", "post"])
    section = rounded(size, size, 0.008, 1)
    if style == "x":
        a = sweep([(deep * 0.4, 0.0, 0), (-deep * 0.4, h, 0)], section).moved(0, 0, size * 0.02)
        frame = joined(a, a.mirrored("x").moved(0, 0, size * 0.5))
    elif style == "a":
        a = sweep([(deep * 0.38, 0, 0), (deep * 0.08, h, 0)], section)
        frame = joined(
            a, a.mirrored("x"), box(deep * 0.44, size * 0.8, size * 0.6, 0.006).moved(0, h * 0.4)
        )
    else:
        frame = joined(
            box(size * 1.8, h, size, 0.008).moved(0, h / 2),
            box(deep * 0.8, size, size * 1.1, 0.012).moved(0, size / 2),
            box(deep * 0.75, size * 0.8, size * 1.1, 0.012).moved(0, h - size * 0.4),
        )
    parts.append(Part("legs", both(frame.moved(0, 0, z)).wrapped(0.3, "y"), under))
    rail = box(size * 0.7, size * 1.3, 2 * z + 0.1, 0.008).moved(
        0, h * (0.5 if style == "x" else 0.35)
    )
    parts.append(Part("frame", rail.wrapped(0.4, "z"), under))
    return parts


def _glass(form: Dice, finish: Dice, main: Material, under: Material) -> list[Part]:
    low = form.chance(0.5)
    high = form.between(0.4, 0.46) if low else form.between(0.72, 0.76)
    pane = glass(finish.pick(["#8fb5b5", "#a9c6cc", "#3c4a50", "#7fa694"]), "pane")
    frame = metal() if finish.chance(0.5) else metal(finish.pick(["#202225", "#b08d4a"]), "frame")
    if form.chance(0.45):
        r = form.between(0.4, 0.55)
        parts = [Part("top", cylinder(r, 0.016, 0.004, 48).moved(y=high), pane)]
        count = form.pick([3, 4])
        bar = tube(
            curve([(r * 0.85, 0.012, 0), (r * 0.3, high * 0.45, 0), (r * 0.55, high - 0.02, 0)], 6),
            0.016,
            10,
            side=(0, 0, 1),
        )
        legs = joined(*[bar.turned("y", 360 * i / count) for i in range(count)])
        turn = np.arange(36) * 2 * math.pi / 36
        halo = tube(
            np.stack(
                [r * 0.56 * np.cos(turn), 0 * turn + high - 0.022, r * 0.56 * np.sin(turn)], 1
            ),
            0.011,
            8,
            closed=True,
            side=(0, 1, 0),
        )
        return [*parts, Part("legs", legs, frame), Part("frame", halo, frame)]
    deep, long = form.between(0.6, 0.9), form.between(1.0, 1.7)
    parts = [Part("top", box(deep, 0.016, long, 0.004).moved(y=high), pane)]
    x, z, r = deep / 2 - 0.07, long / 2 - 0.09, 0.019
    if form.chance(0.5):
        a = box(r * 2, math.hypot(high, 2 * x), r * 2, 0.004)
        tilt = math.degrees(math.atan2(2 * x, high - 0.03))
        cross = (
            joined(a.turned("z", tilt), a.turned("z", -tilt).moved(0, 0, r * 1.2))
            .scaled(1, (high - 0.03) / high, 1)
            .moved(0, (high - 0.01) / 2, z)
        )
        parts.append(Part("legs", both(cross), frame))
        parts.append(Part("frame", box(0.03, 0.03, 2 * z, 0.004).moved(0, high / 2), frame))
        return parts
    posts = four(cylinder(r, high - 0.008, 0, 14).moved(y=high / 2 - 0.004), x, z)
    parts.append(Part("legs", posts, frame))
    rails = joined(
        both(tube([(-x, 0, z), (x, 0, z)], r * 0.7, 10)),
        both(tube([(x, 0, -z), (x, 0, z)], r * 0.7, 10), "x"),
    )
    parts.append(Part("frame", rails.moved(y=high - 0.03), frame))
    if form.chance(0.5):
        parts.append(
            Part(
                "shelf",
                box(2 * x, 0.012, 2 * z, 0.003).moved(y=high * 0.3),
                matte("#33363a", "shelf") if finish.chance(0.5) else pane,
            )
        )
    return parts


def _side(form: Dice, finish: Dice, main: Material, under: Material) -> list[Part]:
    """A bedside table, nearly a cube."""
    high, deep, long = form.between(0.5, 0.64), form.between(0.36, 0.44), form.between(0.4, 0.52)
    thick = 0.025
    parts = [
        Part("top", box(deep, thick, long, 0.006).moved(y=high - thick / 2).wrapped(0.4, "z"), main)
    ]
    h = high - thick
    foot = form.between(0.12, 0.3)
    case = box(deep - 0.04, h - foot, long - 0.03, 0.006).moved(-0.005, (h + foot) / 2)
    parts.append(Part("frame", case.wrapped(0.4, "y"), under))
    count = form.whole(1, 2) if foot > 0.2 else form.whole(2, 3)
    fronts, handles = _drawers(
        deep / 2 - 0.02, long - 0.05, foot + 0.01, h - 0.01, 0, count, form.chance(0.6)
    )
    front: Material = main if finish.chance(0.5) else paint(finish.pick(COLORS), "fronts")
    parts += [Part("drawers", fronts.wrapped(0.4, "z"), front), Part("handles", handles, metal())]
    post = leg(foot + 0.01, 0.04, 0.024, form.chance(0.5), 0.02, 0.02)
    parts.append(Part("legs", four(post, deep / 2 - 0.06, long / 2 - 0.05).wrapped(0.3, "y"), main))
    if foot > 0.22 and form.chance(0.5):
        parts.append(
            Part(
                "shelf",
                box(deep - 0.06, 0.016, long - 0.05, 0.004).moved(y=0.1).wrapped(0.4, "z"),
                main,
            )
        )
    return parts


def _parsons(form: Dice, finish: Dice, main: Material, under: Material) -> list[Part]:
    """Legs as thick as the top, flush with its corners; square or long, high or low."""
    high = form.pick([form.between(0.4, 0.5), form.between(0.72, 0.78)])
    deep = form.between(0.5, 0.95)
    long = deep * form.between(1.0, 1.9)
    thick = form.between(0.045, 0.075)
    parts = [
        Part("top", box(deep, thick, long, 0.004).moved(y=high - thick / 2).wrapped(0.5, "z"), main)
    ]
    if form.chance(0.4):  # slab sides
        slab = box(deep - 0.004, high - thick * 0.5, thick, 0.004).moved(
            0, (high - thick * 0.5) / 2, long / 2 - thick / 2 - 0.002
        )
        parts.append(Part("legs", both(slab).wrapped(0.5, "y"), main))
        if form.chance(0.6):
            parts.append(
                Part(
                    "shelf",
                    box(deep - 0.02, 0.03, long - 2 * thick, 0.004)
                    .moved(y=high * form.between(0.3, 0.5))
                    .wrapped(0.5, "z"),
                    under,
                )
            )
        return parts
    post = box(thick, high - thick * 0.5, thick, 0.004).moved(0, (high - thick * 0.5) / 2)
    parts.append(
        Part(
            "legs",
            four(post, deep / 2 - thick / 2 - 0.002, long / 2 - thick / 2 - 0.002).wrapped(
                0.3, "y"
            ),
            main,
        )
    )
    return parts
