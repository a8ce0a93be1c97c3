"""Rockets: as in comics, launchers with boosters, model rockets. Nose up, window to +x."""

from __future__ import annotations

import math

import numpy as np

from renderer.shapes.rules.dice import Dice
from renderer.shapes.rules.material import Material, glass, matte, metal, paint
from renderer.shapes.rules.part import Part
from renderer.shapes.rules.solid import (
    Floats,
    Solid,
    curve,
    cylinder,
    ellipsoid,
    extruded,
    joined,
    lathe,
    plate,
    ring,
)

NAME = "rocket"
SYNSET = "04099429"
ALSO = ("missile", "missiles", "spaceship")
PARTS = ("body", "nose", "fins", "engines", "windows", "boosters", "bands")

KINDS = ("comic", "launcher", "model", "missile")
LIGHT = ("#f1f2f0", "#e3e6ea", "#f3ead2", "#c9ced4")
BRIGHT = ("#c4211c", "#1f5fa8", "#e8a01c", "#2f8f5b", "#5b2a82", "#202327", "#d9622b", "#0f8a9a")


def make(form: Dice, finish: Dice) -> list[Part]:
    kind = form.turn(KINDS)
    base, accent = paint(finish.pick(LIGHT), "hull"), paint(finish.pick(BRIGHT), "accent")
    if kind == "comic" and finish.chance(0.4):
        base, accent = paint(accent.color, "hull"), paint(finish.pick(LIGHT), "accent")
    dark = metal("#4a4e54", "engine")
    return {"comic": _comic, "launcher": _launcher, "model": _model, "missile": _missile}[kind](
        form, finish, base, accent, dark
    )


def fin(outline: list[tuple[float, float]], thick: float, count: int, turn: float = 0.0) -> Solid:
    """Fins around the y axis; outline (outward, up), the first fin towards +x unless turned."""
    one = extruded(np.array(outline), thick, thick * 0.3, 1)
    return joined(*[one.turned("y", turn + 360 * i / count) for i in range(count)])


def bell(radius: float, height: float) -> Solid:
    """An engine bell, its throat at y = 0, its mouth below."""
    t = np.linspace(0, 1, 8)
    r = radius * (0.4 + 0.6 * np.sqrt(t))
    outside = [(float(a), float(-height * b)) for a, b in zip(r, t, strict=True)]
    inside = [(a * 0.9, y) for a, y in outside[::-1]]
    inside[-1] = (inside[-1][0], -height * 0.05)
    return lathe([(0, 0), *outside, *inside, (0, -height * 0.05)], 24).creased(50)


def band(line: Floats, low: float, high: float, lift: float) -> Solid:
    """A painted band around a turned hull."""
    y = np.linspace(low, high, 8)
    r = np.interp(y, line[:, 1], line[:, 0])
    outside = list(zip((r + lift).tolist(), y.tolist(), strict=True))
    return ring(outside + [(max(a - 3 * lift, 1e-3), b) for a, b in outside[::-1]], 40).creased(30)


def _comic(
    form: Dice, finish: Dice, base: Material, accent: Material, dark: Material
) -> list[Part]:
    fat = form.between(0.17, 0.25)
    line = curve(
        [
            (fat * 0.55, 0.0),
            (fat * 0.85, 0.15),
            (fat, 0.4),
            (fat * 0.88, 0.65),
            (fat * 0.5, 0.88),
            (fat * 0.22, 0.96),
        ],
        6,
    )
    cut = float(form.between(0.68, 0.78))
    hull = line[line[:, 1] < cut]
    edge = float(np.interp(cut, line[:, 1], line[:, 0]))
    tip = np.concatenate([[(edge, cut)], line[line[:, 1] > cut]])
    body = lathe([(0, 0), *map(tuple, hull), (edge, cut), (0, cut)], 40).creased(40)
    nose = lathe(
        [
            (0, cut - 0.01),
            (edge + 0.004, cut - 0.01),
            *map(tuple, tip[1:] + [0.004, 0]),
            (0.008, 1.0),
            (0, 1.005),
        ],
        40,
    ).creased(40)
    parts = [Part("body", body, base), Part("nose", nose, accent)]
    count = form.pick([3, 4, 4])
    out = fat * form.between(1.9, 2.4)
    shape = (
        curve([(fat * 0.7, 0.34), (fat * 1.35, 0.24), (out, -0.02), (out * 1.0, -0.13)], 5).tolist()
        + curve([(out * 0.9, -0.12), (fat * 1.3, 0.02), (fat * 0.5, 0.06)], 4).tolist()
    )
    parts.append(Part("fins", fin(shape, 0.028, count, 45), accent))
    parts.append(Part("engines", bell(fat * 0.55, 0.1).moved(y=0.01), dark))
    if form.chance(0.4):
        antenna = joined(
            cylinder(0.006, 0.1, 0, 8).moved(y=1.04),
            ellipsoid(0.014, 0.014, 0.014, 12).moved(y=1.09),
        )
        parts.append(Part("nose", antenna, dark))
    for i in range(form.whole(1, 3)):
        y, size = 0.58 - 0.15 * i, fat * (0.34 - 0.05 * i)
        x = float(np.interp(y, line[:, 1], line[:, 0]))
        frame = ring(
            [
                (size * 0.8, -0.02),
                (size * 1.1, -0.02),
                (size * 1.1, 0.016),
                (size * 0.95, 0.024),
                (size * 0.8, 0.016),
            ],
            28,
        ).turned("z", -90)
        pane = ellipsoid(0.012, size * 0.85, size * 0.85, 22)
        parts += [
            Part("windows", pane.moved(x, y), glass("#2a5f86")),
            Part("windows", frame.moved(x - 0.004, y), metal("#c8a13a", "frame")),
        ]
    parts.append(Part("bands", band(line, 0.1, 0.1 + form.between(0.03, 0.08), 0.004), accent))
    return parts


def _stack(form: Dice, r: float, high: float, nose: float) -> tuple[Solid, Solid, Floats]:
    """A straight hull with its nose."""
    body = lathe([(0, 0), (r, 0), (r, high), (0, high)], 36)
    t = np.linspace(0, 1, 12)
    sharp = form.between(1.3, 2.0)
    profile = [(float(r * (1 - a**sharp)), float(high + nose * a)) for a in t[:-1]]
    return (
        body,
        lathe([(0, high), *profile, (0, high + nose)], 36).creased(40),
        np.array([(r, 0.0), (r, high)]),
    )


def _launcher(
    form: Dice, finish: Dice, base: Material, accent: Material, dark: Material
) -> list[Part]:
    r, high = form.between(0.055, 0.08), form.between(0.7, 0.8)
    body, nose, line = _stack(form, r, high, form.between(0.12, 0.18))
    parts = [Part("body", body, base), Part("nose", nose, base if finish.chance(0.5) else accent)]
    wide = form.chance(0.4)
    if wide:  # a fairing wider than the hull
        fairing = lathe(
            [
                (0, high - 0.05),
                (r, high - 0.05),
                (r * 1.25, high),
                (r * 1.25, high + 0.1),
                (r * 1.0, high + 0.17),
                (r * 0.5, high + 0.23),
                (0, high + 0.26),
            ],
            36,
        )
        parts[1] = Part("nose", fairing.creased(50), parts[1].material)
    parts.append(
        Part(
            "engines",
            joined(
                *[
                    bell(r * 0.36, 0.06).moved(r * 0.52 * math.cos(a), 0, r * 0.52 * math.sin(a))
                    for a in np.arange(4) * math.pi / 2
                ]
            ),
            dark,
        )
    )
    black = matte("#1c1e21", "band")
    for y in ((0.12, 0.14), (high * 0.5, high * 0.5 + 0.05), (high * 0.78, high * 0.8)):
        parts.append(
            Part("bands", band(line, y[0], y[1], 0.0025), black if finish.chance(0.6) else accent)
        )
    count = form.pick([2, 2, 4, 0])
    if count:
        size, long = r * form.between(0.5, 0.75), high * form.between(0.5, 0.7)
        booster, cone, _ = _stack(form, size, long, size * 2.6)
        skirt = bell(size * 0.8, 0.06)
        link = cylinder(size * 0.3, r, 0, 10).turned("z", 90)
        at = r + size * 1.08
        other = accent if finish.chance(0.4) else base
        for i in range(count):
            turn = 90 + 360 * i / count
            for solid, name, material in (
                (booster, "boosters", other),
                (cone, "boosters", accent),
                (skirt, "engines", dark),
            ):
                parts.append(Part(name, solid.moved(at, 0.02).turned("y", turn), material))
            parts.append(
                Part(
                    "boosters",
                    joined(link.moved(r, 0.1), link.moved(r, long * 0.85)).turned("y", turn),
                    dark,
                )
            )
    else:
        shape = [(r * 0.8, 0.16), (r * 2.2, 0.03), (r * 2.2, -0.02), (r * 0.8, 0.0)]
        parts.append(Part("fins", fin(shape, 0.012, 4, 45), accent))
    flag = box_flag(r, high * 0.62, finish)
    parts.append(Part("windows", flag, paint(finish.pick(BRIGHT), "flag")))
    return parts


def box_flag(r: float, y: float, finish: Dice) -> Solid:
    """A painted patch on the hull's +x side."""
    angle = np.radians(np.linspace(32, -32, 9))[None, :]
    rows = np.linspace(y, y + finish.between(0.05, 0.09), 4)[:, None]
    grid = np.stack(
        np.broadcast_arrays(1.01 * r * np.cos(angle), rows, 1.01 * r * np.sin(angle)), axis=-1
    )
    return plate(grid, 0.004)


def _model(
    form: Dice, finish: Dice, base: Material, accent: Material, dark: Material
) -> list[Part]:
    """As hobbyists launch: slim, three or four large fins."""
    r, high = form.between(0.045, 0.065), form.between(0.68, 0.78)
    body, nose, line = _stack(form, r, high, form.between(0.16, 0.26))
    parts = [Part("body", body, base), Part("nose", nose, accent)]
    out, low = form.between(0.14, 0.2), form.between(-0.08, 0.02)
    shape = form.pick(
        [
            [(r * 0.8, 0.26), (out, 0.1), (out, low), (r * 0.8, 0.02)],
            [(r * 0.8, 0.22), (out, 0.2), (out, 0.03), (r * 0.8, 0.01)],
            [(r * 0.8, 0.3), (out, low + 0.03), (out * 0.9, low - 0.03), (r * 0.8, 0.02)],
        ]
    )
    parts.append(Part("fins", fin(shape, 0.014, form.pick([3, 4]), 60), accent))
    parts.append(Part("engines", bell(r * 0.6, 0.045), dark))
    for _ in range(form.whole(1, 2)):
        y = form.between(0.35, high - 0.12)
        parts.append(Part("bands", band(line, y, y + form.between(0.02, 0.07), 0.0025), accent))
    parts.append(Part("windows", box_flag(r, 0.3, finish), matte("#1c1e21", "mark")))
    return parts


def _missile(
    form: Dice, finish: Dice, base: Material, accent: Material, dark: Material
) -> list[Part]:
    """Two stages, swept fins at both."""
    r, high = form.between(0.05, 0.07), form.between(0.72, 0.8)
    body, nose, line = _stack(form, r, high, form.between(0.18, 0.24))
    check = matte("#1c1e21", "check")
    parts = [Part("body", body, base), Part("nose", nose, base)]
    y = high * 0.45
    parts.append(
        Part(
            "bands",
            joined(
                band(line, y, y + 0.02, 0.003),
                band(line, 0.02, 0.08, 0.003),
                band(line, high - 0.03, high - 0.01, 0.003),
            ),
            check,
        )
    )
    # a quartered hull, as on early test rockets
    for start, low, top in (
        (0, 0.1, y - 0.01),
        (180, 0.1, y - 0.01),
        (90, y + 0.03, high - 0.05),
        (270, y + 0.03, high - 0.05),
    ):
        angle = np.radians(np.linspace(start + 45, start - 45, 12))[None, :]
        rows = np.linspace(low, top, 3)[:, None]
        grid = np.stack(
            np.broadcast_arrays(1.008 * r * np.cos(angle), rows, 1.008 * r * np.sin(angle)), axis=-1
        )
        parts.append(Part("bands", plate(grid, 0.004), accent if finish.chance(0.7) else check))
    out = r * form.between(2.6, 3.4)
    parts.append(
        Part(
            "fins",
            fin([(r * 0.8, 0.2), (out, 0.02), (out, -0.07), (r * 0.8, 0.02)], 0.014, 4, 45),
            accent,
        )
    )
    if form.chance(0.6):
        parts.append(
            Part(
                "fins",
                fin(
                    [(r * 0.8, y + 0.14), (out * 0.72, y + 0.02), (r * 0.8, y + 0.02)], 0.012, 4, 45
                ),
                accent,
            )
        )
    parts.append(Part("engines", bell(r * 0.75, 0.07), dark))
    spike = cylinder(0.005, 0.09, 0, 8).moved(y=float(nose.points[:, 1].max()) + 0.03)
    parts.append(Part("nose", spike, dark))
    return parts
