"""Mugs: straight, tapered, round, espresso cups, beer mugs, camping mugs. The handle is at +x."""

from __future__ import annotations

import math

import numpy as np

from renderer.shapes.rules.dice import Dice
from renderer.shapes.rules.material import Material, matte, metal, paint, plastic
from renderer.shapes.rules.part import Part
from renderer.shapes.rules.solid import (
    Floats,
    Solid,
    circle,
    curve,
    lathe,
    plate,
    ring,
    rounded,
    sweep,
)
from renderer.shapes.rules.texture import bands_texture, label_texture

NAME = "mug"
SYNSET = "03797390"
ALSO = ("cup", "cups")
PARTS = ("body", "handle", "print", "drink", "rim")

KINDS = ("straight", "tapered", "belly", "espresso", "beer", "enamel", "flared")
COLORS = (
    "#f1efe8",
    "#c0392b",
    "#24589c",
    "#2e8b57",
    "#e0a526",
    "#2b2c2f",
    "#7d4e8a",
    "#e27d60",
    "#3fa7a3",
    "#d8c3a5",
    "#8d99ae",
    "#f4b6c2",
)


def make(form: Dice, finish: Dice) -> list[Part]:
    kind = form.turn(KINDS)
    high = 0.1
    wide = {"espresso": form.between(0.62, 0.78), "beer": form.between(0.34, 0.4)}.get(
        kind, form.between(0.38, 0.48)
    )
    r = wide * high
    wall = r * (0.08 if kind != "beer" else 0.12)
    if kind == "enamel":
        wall = r * 0.04
    line = _outline(kind, form, r, high)
    color = finish.pick(COLORS)
    glaze: Material = paint(color, "glaze")
    if kind == "beer" and finish.chance(0.6):
        glaze = plastic(finish.pick(["#c9d6d8", "#b8c9c4", "#d9b56a"]), "glass")
    elif finish.chance(0.2):
        glaze = matte(color, "clay")
    inner_line = np.stack([line[:, 0] - wall, line[:, 1]], 1)
    floor = wall * 1.4
    inner_line = inner_line[inner_line[:, 1] > floor * 1.6]
    lip = [
        (line[-1, 0] - wall * 0.25, high + wall * 0.28),
        (line[-1, 0] - wall * 0.75, high + wall * 0.28),
    ]
    bottom = [(0, wall * 0.5), (line[0, 0] * 0.78, wall * 0.5), (line[0, 0] * 0.86, 0)]
    vessel = lathe(
        [
            *bottom,
            *map(tuple, line),
            *lip,
            *map(tuple, inner_line[::-1]),
            (inner_line[0, 0] * 0.8, floor),
            (0, floor),
        ],
        48,
    ).creased(55)
    parts = [Part("body", vessel, glaze)]
    other = finish.pick(COLORS)
    same = finish.chance(0.7)
    parts.append(
        Part(
            "handle", _handle(kind, form, line, r, high), glaze if same else paint(other, "second")
        )
    )
    inside = float(np.interp(high * 0.8, inner_line[:, 1], inner_line[:, 0]))
    if form.chance(0.5):
        level = high * 0.8
        drink = matte(
            finish.pick(["#3b2214", "#5a3a22", "#8c5a2b", "#c49a6c"])
            if kind != "beer"
            else "#d9981e",
            "drink",
        )
        parts.append(
            Part(
                "drink",
                lathe(
                    [
                        (0, level - 0.002),
                        (inside * 0.99, level - 0.002),
                        (inside * 0.99, level),
                        (0, level),
                    ],
                    40,
                ),
                drink,
            )
        )
        if kind == "beer":
            foam = lathe(
                [
                    (0, level),
                    (inside * 0.985, level),
                    (inside * 0.985, high * 0.97),
                    (inside * 0.7, high * 1.06),
                    (0, high * 1.08),
                ],
                40,
            )
            parts.append(Part("drink", foam.creased(50), matte("#f7f1dd", "foam")))
    if kind == "enamel":
        hem = ring(
            [
                (line[-1, 0] - wall * 1.4 + wall * 1.6 * (1 + a), high + wall * 1.6 * b)
                for a, b in circle(1.0, 8)
            ],
            48,
        )
        parts.append(
            Part(
                "rim",
                hem,
                metal("#24272c", "hem") if finish.chance(0.5) else paint(other, "second"),
            )
        )
    parts += _print(form, finish, line, high, color, other)
    return parts


def _outline(kind: str, form: Dice, r: float, high: float) -> Floats:
    """The outer wall (radius, y) from foot to lip."""
    if kind == "beer":
        knots = [(1.0, 0.0), (1.0, 0.08), (0.94, 0.14), (0.94, 0.86), (0.98, 1.0)]
    elif kind == "tapered":
        foot = form.between(0.66, 0.8)
        knots = [(foot, 0.0), (foot + 0.03, 0.04), ((foot + 1) / 2 + 0.03, 0.5), (1.0, 1.0)]
    elif kind == "belly":
        knots = [(0.62, 0.0), (0.8, 0.08), (1.0, 0.35), (0.98, 0.6), (0.86, 0.85), (0.88, 1.0)]
    elif kind == "espresso":
        knots = [(0.5, 0.0), (0.62, 0.06), (0.88, 0.38), (0.97, 0.7), (1.0, 1.0)]
    elif kind == "flared":
        knots = [(0.72, 0.0), (0.78, 0.05), (0.8, 0.4), (0.86, 0.75), (1.05, 1.0)]
    else:
        knots = [(0.92, 0.0), (0.98, 0.03), (1.0, 0.08), (1.0, 0.5), (1.0, 1.0)]
    return curve([(a * r, b * high) for a, b in knots], 5)


def _handle(kind: str, form: Dice, line: Floats, r: float, high: float) -> Solid:
    top, low = form.between(0.76, 0.86), form.between(0.18, 0.3)
    if kind == "espresso":
        low = 0.38
    out = high * form.between(0.28, 0.38) * (0.8 if kind == "espresso" else 1.0)

    def at(share: float) -> float:
        return float(np.interp(share * high, line[:, 1], line[:, 0])) - r * 0.05

    a, b = (at(top), top * high), (at(low), low * high)
    edge = max(a[0], b[0]) + out
    style = form.pick(["round", "square", "ear"])
    if style == "round":
        knots = [
            a,
            (a[0] + out * 0.6, a[1] + 0.006),
            (edge, (a[1] * 0.6 + b[1] * 0.4)),
            (edge - out * 0.25, b[1] + 0.008),
            (b[0] + out * 0.3, b[1] - 0.001),
            b,
        ]
    elif style == "square":
        knots = [
            a,
            (edge - out * 0.2, a[1]),
            (edge, a[1] - 0.01),
            (edge, b[1] + 0.01),
            (edge - out * 0.2, b[1]),
            b,
        ]
    else:
        knots = [
            a,
            (a[0] + out * 0.7, a[1] + 0.008),
            (edge, a[1] - 0.012),
            (edge - out * 0.35, b[1] + 0.018),
            (b[0] + out * 0.12, b[1] + 0.002),
            b,
        ]
    path = np.pad(curve(knots, 7), ((0, 0), (0, 1)))
    thick = high * form.between(0.07, 0.09)
    section = rounded(thick * form.between(1.1, 1.8), thick, thick * 0.45, 3)
    size = 1 + 0.25 * np.abs(np.linspace(-1, 1, len(path))) ** 3
    return sweep(path, section, size).creased(60)


def _print(
    form: Dice, finish: Dice, line: Floats, high: float, color: str, other: str
) -> list[Part]:
    """Bands around the mug or a picture on its two sides."""
    style = finish.pick(["none", "bands", "picture", "picture", "half"])
    if style == "none" or other == color:
        return []
    lift = 0.0012
    low, top = {"bands": (0.32, 0.68), "picture": (0.2, 0.82), "half": (0.08, 0.42)}[style]
    y = np.linspace(low * high, top * high, 8)[:, None]
    radius = np.interp(y, line[:, 1], line[:, 0]) + lift * 0.3
    if style == "picture":
        paper = Material(
            name="print",
            color=other,
            specular=0.3,
            shininess=120,
            texture=label_texture(finish, "#f6f3ea", "#24262b", other),
        )
        half = math.radians(38)
        middles, columns = [90, 270], 12
    else:
        texture = bands_texture([other, color, other], [1, finish.between(0.3, 2), 1])
        paper = Material(name="print", color=other, specular=0.3, shininess=120, texture=texture)
        half, middles, columns = math.radians(156), [180], 40
    out = []
    for middle in middles:
        angle = math.radians(middle) + np.linspace(half, -half, columns)[None, :]
        grid = np.stack(
            np.broadcast_arrays(radius * np.cos(angle), y, radius * np.sin(angle)), axis=-1
        )
        out.append(Part("print", plate(grid, lift).creased(60), paper))
    return out
