"""Bottles: wine, beer, water, spirits, sauce, pump, flask, jar-like milk bottles.

The label looks along +x.
"""

from __future__ import annotations

import math

import numpy as np

from renderer.shapes.rules.dice import Dice
from renderer.shapes.rules.material import Material, glass, matte, metal, paint, plastic
from renderer.shapes.rules.part import Part
from renderer.shapes.rules.solid import (
    Floats,
    Solid,
    box,
    curve,
    cylinder,
    joined,
    lathe,
    loft,
    plate,
    ring,
    rounded,
    sweep,
    tube,
)
from renderer.shapes.rules.texture import label_texture

NAME = "bottle"
SYNSET = "02876657"
ALSO = ()
PARTS = ("body", "cap", "label", "extras")

KINDS = ("wine", "water", "beer", "spirit", "pump", "sauce", "milk", "flask")
GLASS = ("#1d3a22", "#3d2410", "#2d4a2b", "#6d4a1c", "#173042", "#9db7a8", "#b9cdd0", "#22160f")
PLASTIC = (
    "#e9edf0",
    "#2f7fc1",
    "#d9433b",
    "#3aa565",
    "#f0b429",
    "#7b5ea7",
    "#f28fa9",
    "#35393f",
    "#f6f1e4",
)
ACCENTS = ("#b3261e", "#1f4e8c", "#2f7d4f", "#c8902b", "#26282c", "#7a2f6b", "#d9622b")
PAPERS = ("#f5f0e1", "#ffffff", "#efe3c8", "#20242b", "#e8efe9")


def make(form: Dice, finish: Dice) -> list[Part]:
    kind = form.turn(KINDS)
    return {
        "wine": _wine,
        "water": _water,
        "beer": _beer,
        "spirit": _spirit,
        "pump": _pump,
        "sauce": _sauce,
        "milk": _milk,
        "flask": _flask,
    }[kind](form, finish)


def _turned(
    knots: list[tuple[float, float]], steps: int = 4, sides: int = 40
) -> tuple[Solid, Floats]:
    """A bottle from its outline, and the outline."""
    line = curve(knots, steps)
    line[:, 1] = np.maximum.accumulate(line[:, 1] + np.arange(len(line)) * 1e-6)
    foot = line[0, 0]
    profile = [
        (0.0, 0.012),
        (foot * 0.6, 0.008),
        (foot * 0.88, 0.0),
        *map(tuple, line),
        (0.0, line[-1, 1]),
    ]
    return lathe(profile, sides).creased(40), line


def label(
    form: Dice, finish: Dice, line: Floats, low: float, high: float, reach_deg: float
) -> Part:
    """A paper label around a turned bottle, its middle at +x."""
    paper, accent = finish.pick(PAPERS), finish.pick(ACCENTS)
    ink = "#f1ead6" if paper == "#20242b" else "#24262b"
    texture = label_texture(finish, paper, ink, accent)
    angle = np.radians(np.linspace(reach_deg, -reach_deg, 24))[None, :]
    y = np.linspace(low, high, 6)[:, None]
    r = np.interp(y, line[:, 1], line[:, 0]) * 1.004
    grid = np.stack(np.broadcast_arrays(r * np.cos(angle), y, r * np.sin(angle)), axis=-1)
    material = Material(name="label", color=paper, specular=0.1, shininess=30, texture=texture)
    return Part("label", plate(grid, 0.016 * float(r.max())).creased(60), material)


def _wine(form: Dice, finish: Dice) -> list[Part]:
    r, high = form.between(0.115, 0.14), 1.0
    shoulder = form.between(0.56, 0.66)
    sloped = form.chance(0.4)
    neck = r * form.between(0.36, 0.42)
    middle = (
        [(r * 0.82, shoulder + 0.09), (r * 0.5, shoulder + 0.19)]
        if sloped
        else [(r * 0.9, shoulder + 0.055), (r * 0.52, shoulder + 0.11)]
    )
    body, line = _turned(
        [
            (r * 0.95, 0.0),
            (r, 0.02),
            (r, shoulder * 0.5),
            (r, shoulder),
            *middle,
            (neck, shoulder + 0.24),
            (neck * 0.98, high - 0.04),
            (neck * 1.12, high - 0.035),
            (neck * 1.12, high),
        ]
    )
    color = finish.pick(GLASS)
    foil = finish.chance(0.6)
    top = lathe(
        [
            (0, high - 0.14),
            (neck * 1.08, high - 0.14),
            (neck * 1.06, high - 0.045),
            (neck * 1.2, high - 0.04),
            (neck * 1.2, high + 0.004),
            (0, high + 0.004),
        ],
        28,
    )
    cork = cylinder(neck * 0.72, 0.06, 0.004, 20).moved(y=high + 0.02)
    cap = (
        Part("cap", top, paint(finish.pick(ACCENTS), "foil"))
        if foil
        else Part("cap", cork, matte("#c49a63", "cork"))
    )
    low = form.between(0.1, 0.16)
    return [
        Part("body", body, glass(color, "bottle")),
        cap,
        label(form, finish, line, low, low + form.between(0.24, 0.36), form.between(60, 110)),
    ]


def _beer(form: Dice, finish: Dice) -> list[Part]:
    r, high = form.between(0.14, 0.17), 1.0
    shoulder = form.between(0.48, 0.58)
    neck = r * form.between(0.4, 0.46)
    body, line = _turned(
        [
            (r * 0.94, 0.0),
            (r, 0.025),
            (r, shoulder * 0.5),
            (r, shoulder),
            (r * 0.86, shoulder + 0.1),
            (r * 0.58, shoulder + 0.2),
            (neck, shoulder + 0.32),
            (neck * 0.92, high - 0.05),
            (neck * 1.02, high - 0.04),
            (neck, high),
        ]
    )
    parts = [Part("body", body, glass(finish.pick(GLASS[:5]), "bottle"))]
    teeth = 21
    angle = np.arange(teeth * 2) * math.pi / teeth
    rings = []
    for y, size in ((-0.025, 1.24), (-0.004, 1.16), (0.008, 1.0)):
        rr = neck * size * (1 + (0.05 if size > 1.1 else 0.0) * (-1.0) ** np.arange(teeth * 2))
        rings.append(
            np.stack([rr * np.cos(angle), np.full_like(angle, high + y), rr * np.sin(angle)], 1)
        )
    parts.append(
        Part(
            "cap",
            loft(rings),
            metal(finish.pick(["#c8a13a", "#b4b7bb", "#a32020", "#24589c"]), "cap"),
        )
    )
    parts.append(label(form, finish, line, 0.12, form.between(0.38, 0.46), form.between(70, 160)))
    if form.chance(0.5):
        ys = np.linspace(shoulder + 0.24, shoulder + 0.34, 5)[:, None]
        turn = np.radians(np.linspace(60, -60, 14))[None, :]
        rr = np.interp(ys, line[:, 1], line[:, 0]) * 1.01
        grid = np.stack(np.broadcast_arrays(rr * np.cos(turn), ys, rr * np.sin(turn)), axis=-1)
        parts.append(
            Part("label", plate(grid, 0.004).creased(60), paint(finish.pick(ACCENTS), "collar"))
        )
    return parts


def _water(form: Dice, finish: Dice) -> list[Part]:
    r, high = form.between(0.13, 0.17), 0.93
    ribs = form.whole(3, 7)
    knots = [(r * 0.86, 0.0), (r * 0.97, 0.03)]
    low, top = 0.08, form.between(0.3, 0.4)
    for i in range(ribs):
        y = low + (top - low) * i / ribs
        step = (top - low) / ribs
        knots += [(r, y), (r, y + step * 0.45), (r * 0.93, y + step * 0.72)]
    knots += [
        (r, top),
        (r, top + 0.2),
        (r * 0.93, top + 0.23),
        (r, top + 0.26),
        (r * 0.9, 0.76),
        (r * 0.5, 0.86),
        (r * 0.38, 0.89),
        (r * 0.38, high),
    ]
    body, line = _turned(knots, 2)
    tint = finish.pick(["#bfdcea", "#d5e7ee", "#a9d3c9", "#c7d9f0", "#e4ecef"])
    cap = ring(
        [
            (0.002, high - 0.005),
            (r * 0.46, high - 0.005),
            (r * 0.46, high + 0.05),
            (r * 0.4, high + 0.06),
            (0.002, high + 0.06),
        ],
        30,
    )
    cap = lathe(
        [
            (0, high - 0.005),
            (r * 0.46, high - 0.005),
            (r * 0.46, high + 0.05),
            (r * 0.4, high + 0.06),
            (0, high + 0.06),
        ],
        30,
    )
    collar = lathe(
        [(0, high - 0.045), (r * 0.5, high - 0.045), (r * 0.5, high - 0.03), (0, high - 0.03)], 30
    )
    return [
        Part("body", body, plastic(tint, "bottle")),
        Part("cap", joined(cap, collar), plastic(finish.pick(PLASTIC), "cap")),
        label(form, finish, line, top + 0.02, top + 0.19, 178),
    ]


def _spirit(form: Dice, finish: Dice) -> list[Part]:
    """Square, often flat."""
    wide, deep = form.between(0.3, 0.4), form.between(0.16, 0.3)
    shoulder, neck = form.between(0.55, 0.64), 0.05
    rings = []
    round_ = form.between(0.02, 0.07)
    for y, size in (
        (0.0, 0.95),
        (0.015, 1.0),
        (shoulder * 0.5, 1.0),
        (shoulder, 1.0),
        (shoulder + 0.04, 0.93),
        (shoulder + 0.075, 0.72),
        (shoulder + 0.1, 0.4),
    ):
        outline = rounded(deep * size, wide * size, round_ * size, 5)
        rings.append(np.stack([outline[:, 0], np.full(len(outline), y), outline[:, 1]], 1))
    angle = np.arctan2(outline[:, 1], outline[:, 0])
    for y, rr in (
        (shoulder + 0.12, neck * 1.1),
        (shoulder + 0.17, neck),
        (shoulder + 0.25, neck),
        (shoulder + 0.255, neck * 1.2),
        (shoulder + 0.28, neck * 1.2),
    ):
        rings.append(np.stack([rr * np.cos(angle), np.full(len(angle), y), rr * np.sin(angle)], 1))
    body = loft(rings).creased(35)
    top = shoulder + 0.28
    color = finish.pick(["#b5722a", "#7d3f12", "#c9d6d8", "#d9a441", "#24432c", "#a9c7d9"])
    stopper = joined(
        cylinder(neck * 1.35, 0.08, 0.012, 28).moved(y=top + 0.04),
        cylinder(neck * 0.8, 0.05, 0, 20).moved(y=top),
    )
    cap = form.pick([metal("#c8a13a", "cap"), matte("#26282c", "cap"), matte("#9c6b3c", "cap")])
    paper, accent = finish.pick(PAPERS), finish.pick(ACCENTS)
    texture = label_texture(finish, paper, "#f1ead6" if paper == "#20242b" else "#24262b", accent)
    material = Material(name="label", color=paper, specular=0.1, shininess=30, texture=texture)
    high = form.between(0.24, 0.32)
    z = np.linspace(0.5, -0.5, 3)[None, :] * (wide - 2 * round_) * 0.96
    ys = (np.linspace(-0.5, 0.5, 3)[:, None]) * high + shoulder * 0.47
    grid = np.stack(np.broadcast_arrays(deep / 2 + 0.001, ys, z), axis=-1)
    return [
        Part("body", body, glass(color, "bottle")),
        Part("cap", stopper, cap),
        Part("label", plate(grid, 0.006), material),
    ]


def _pump(form: Dice, finish: Dice) -> list[Part]:
    """Soap or shampoo with a pump whose spout points to +x."""
    r, high = form.between(0.17, 0.23), form.between(0.58, 0.7)
    if form.chance(0.5):
        body, line = _turned(
            [
                (r * 0.95, 0.0),
                (r, 0.02),
                (r, high * 0.5),
                (r, high - 0.06),
                (r * 0.9, high - 0.02),
                (r * 0.4, high + 0.01),
                (r * 0.34, high + 0.02),
                (r * 0.34, high + 0.06),
            ]
        )
        mark = label(form, finish, line, high * 0.2, high * 0.72, 75)
    else:
        rings = []
        for y, size in (
            (0.0, 0.94),
            (0.02, 1.0),
            (high * 0.5, 1.03),
            (high - 0.08, 1.0),
            (high - 0.02, 0.85),
            (high + 0.02, 0.36),
            (high + 0.06, 0.3),
        ):
            outline = rounded(r * 1.3 * size, r * 2 * size, r * 0.6 * size, 7)
            rings.append(np.stack([outline[:, 0], np.full(len(outline), y), outline[:, 1]], 1))
        body = loft(rings).creased(45)
        paper, accent = finish.pick(PAPERS), finish.pick(ACCENTS)
        texture = label_texture(
            finish, paper, "#f1ead6" if paper == "#20242b" else "#24262b", accent
        )
        ys = np.linspace(high * 0.2, high * 0.72, 6)[:, None]
        grid = np.stack(
            np.broadcast_arrays(
                r * 0.65 * 1.005 * np.interp(ys, [0.02, high * 0.5, high - 0.08], [1, 1.03, 1.0])
                + 0.002,
                ys,
                np.linspace(0.38, -0.38, 3)[None, :] * r,
            ),
            axis=-1,
        )
        mark = Part(
            "label", plate(grid, 0.01), Material(name="label", color=paper, texture=texture)
        )
    white = plastic(finish.pick(["#f2f2ef", "#26282c", *PLASTIC]), "pump")
    collar = cylinder(r * 0.42, 0.08, 0.008, 30).moved(y=high + 0.08)
    stem = cylinder(r * 0.12, 0.16, 0, 14).moved(y=high + 0.18)
    head = cylinder(r * 0.3, 0.05, 0.012, 26).moved(y=high + 0.27)
    spout = tube(
        curve(
            [
                (0, high + 0.27, 0),
                (r * 0.8, high + 0.28, 0),
                (r * 1.25, high + 0.265, 0),
                (r * 1.4, high + 0.225, 0),
            ],
            5,
        ),
        [0.028] * 8 + list(np.linspace(0.028, 0.018, 8)),
        12,
        side=(0, 0, 1),
    )
    return [
        Part("body", body, plastic(finish.pick(PLASTIC), "bottle")),
        Part("cap", joined(collar, stem, head, spout), white),
        mark,
    ]


def _sauce(form: Dice, finish: Dice) -> list[Part]:
    """A squeeze bottle: ketchup, mustard, honey."""
    r, high = form.between(0.17, 0.21), 0.72
    waist = form.between(0.78, 0.95)
    body, line = _turned(
        [
            (r * 0.9, 0.0),
            (r, 0.03),
            (r, 0.16),
            (r * waist, 0.36),
            (r * 0.98, 0.5),
            (r * 0.9, 0.6),
            (r * 0.62, 0.68),
            (r * 0.5, 0.7),
            (r * 0.5, high),
        ]
    )
    body = body.scaled(x=form.between(0.68, 1.0))
    squash = float(np.ptp(body.points[:, 0]) / np.ptp(body.points[:, 2]))
    fill, top = finish.pick(
        [
            ("#c4211c", "#f2f2ef"),
            ("#e8b41c", "#c4211c"),
            ("#5a2a16", "#e8b41c"),
            ("#f3ead0", "#2f7d4f"),
            ("#d9822b", "#26282c"),
            ("#e9edf0", "#2f7fc1"),
        ]
    )
    cone = lathe(
        [
            (0, high - 0.01),
            (r * 0.56, high - 0.01),
            (r * 0.56, high + 0.05),
            (r * 0.2, high + 0.1),
            (r * 0.09, high + 0.25),
            (r * 0.07, high + 0.26),
            (0, high + 0.26),
        ],
        30,
    )
    flip = lathe(
        [
            (0, high - 0.01),
            (r * 0.66, high - 0.01),
            (r * 0.62, high + 0.1),
            (r * 0.5, high + 0.13),
            (0, high + 0.14),
        ],
        30,
    )
    cap = cone if form.chance(0.5) else flip
    mark = label(form, finish, line, 0.1, 0.5, 62)
    mark = Part(mark.name, mark.solid.scaled(x=squash), mark.material)
    return [
        Part("body", body, plastic(fill, "bottle")),
        Part("cap", cap, plastic(top, "cap")),
        mark,
    ]


def _milk(form: Dice, finish: Dice) -> list[Part]:
    """A wide-necked glass bottle, or a canister with a handle."""
    r, high = form.between(0.17, 0.21), 0.8
    if form.chance(0.5):
        body, line = _turned(
            [
                (r * 0.93, 0.0),
                (r, 0.03),
                (r, 0.25),
                (r, 0.48),
                (r * 0.86, 0.58),
                (r * 0.6, 0.68),
                (r * 0.55, 0.75),
                (r * 0.66, high - 0.03),
                (r * 0.66, high),
            ]
        )
        lid = lathe(
            [
                (0, high - 0.02),
                (r * 0.7, high - 0.02),
                (r * 0.7, high + 0.035),
                (r * 0.62, high + 0.045),
                (0, high + 0.05),
            ],
            32,
        )
        return [
            Part(
                "body",
                body,
                glass(finish.pick(["#f4f1e8", "#dfe8e6", "#f2dcc4", "#e8c7cf"]), "bottle"),
            ),
            Part(
                "cap", lid, metal(finish.pick(["#c8a13a", "#b4b7bb", "#24589c", "#a32020"]), "cap")
            ),
            label(form, finish, line, 0.14, 0.42, 55),
        ]
    wide = r * 1.05
    rings = []
    for y, size in (
        (0.0, 0.94),
        (0.02, 1.0),
        (0.25, 1.0),
        (0.5, 1.0),
        (0.6, 0.88),
        (0.68, 0.55),
        (0.72, 0.36),
        (0.79, 0.34),
    ):
        outline = rounded(wide * 2 * size, wide * 2 * size, wide * 0.5 * size, 6)
        rings.append(np.stack([outline[:, 0], np.full(len(outline), y), outline[:, 1]], 1))
    body = loft(rings).creased(45)
    grip = sweep(
        curve(
            [
                (-wide * 0.3, 0.7, 0),
                (-wide * 0.95, 0.68, 0),
                (-wide * 1.3, 0.56, 0),
                (-wide * 1.25, 0.38, 0),
                (-wide * 0.9, 0.3, 0),
            ],
            5,
        ),
        rounded(0.06, 0.05, 0.02, 3),
    )
    cap = cylinder(wide * 0.46, 0.07, 0.008, 28).moved(y=0.81)
    hull = plastic(finish.pick(PLASTIC), "bottle")
    paper, accent = finish.pick(PAPERS), finish.pick(ACCENTS)
    texture = label_texture(finish, paper, "#f1ead6" if paper == "#20242b" else "#24262b", accent)
    ys, z = np.linspace(0.12, 0.48, 4)[:, None], np.linspace(0.48, -0.48, 3)[None, :] * wide
    grid = np.stack(np.broadcast_arrays(wide + 0.001, ys, z), axis=-1)
    return [
        Part("body", body, hull),
        Part("cap", cap, plastic(finish.pick(PLASTIC), "cap")),
        Part("label", plate(grid, 0.006), Material(name="label", color=paper, texture=texture)),
        Part("extras", grip.creased(60), hull),
    ]


def _flask(form: Dice, finish: Dice) -> list[Part]:
    """A drinking bottle for sport: metal or plastic, with a loop or a straw on its lid."""
    r, high = form.between(0.13, 0.16), form.between(0.74, 0.84)
    body, line = _turned(
        [
            (r * 0.92, 0.0),
            (r, 0.025),
            (r, high * 0.5),
            (r, high - 0.12),
            (r * 0.9, high - 0.05),
            (r * 0.66, high - 0.01),
            (r * 0.62, high + 0.02),
        ]
    )
    color = finish.pick(PLASTIC)
    shell: Material = paint(color, "bottle") if finish.chance(0.7) else metal(name="bottle")
    dark = plastic(finish.pick(["#1d1f22", "#f2f2ef", *ACCENTS]), "lid")
    lid = lathe(
        [
            (0, high),
            (r * 0.72, high),
            (r * 0.74, high + 0.02),
            (r * 0.74, high + 0.085),
            (r * 0.66, high + 0.1),
            (0, high + 0.1),
        ],
        32,
    )
    parts = [Part("body", body, shell), Part("cap", lid.creased(35), dark)]
    if form.chance(0.5):
        loop_ = curve(
            [
                (0, high + 0.08, -r * 0.6),
                (0, high + 0.16, -r * 0.55),
                (0, high + 0.19, 0),
                (0, high + 0.16, r * 0.55),
                (0, high + 0.08, r * 0.6),
            ],
            6,
        )
        parts.append(
            Part("extras", sweep(loop_, rounded(0.03, 0.045, 0.01, 2), side=(1, 0, 0)), dark)
        )
    else:
        straw = tube(
            curve([(0, high + 0.09, 0), (r * 0.1, high + 0.15, 0), (r * 0.5, high + 0.18, 0)], 5),
            0.025,
            12,
            side=(0, 0, 1),
        )
        parts += [
            Part("extras", straw, dark),
            Part("extras", box(r * 0.5, 0.03, r * 0.5, 0.008).moved(0, high + 0.11), dark),
        ]
    band = lathe([(0, 0.16), (r * 1.02, 0.16), (r * 1.02, 0.2), (0, 0.2)], 40)
    if form.chance(0.5):
        parts.append(Part("extras", band, dark))
    parts.append(label(form, finish, line, high * 0.3, high * 0.62, 40))
    return parts
