"""Airplanes: airliners with two or four engines under the wing, business jets with a T-tail, light
aircraft with a high or low wing, twin turboprops, fighters, biplanes.
"""

from __future__ import annotations

import math

import numpy as np

from renderer.shapes.rules.dice import Dice
from renderer.shapes.rules.material import Material, glass, matte, metal, paint, rubber
from renderer.shapes.rules.part import Part
from renderer.shapes.rules.solid import (
    Floats,
    Solid,
    both,
    box,
    circle,
    curve,
    cylinder,
    ellipsoid,
    joined,
    lathe,
    loft,
    plate,
    ring,
    tube,
)

NAME = "airplane"
SYNSET = "02691156"
ALSO = ("plane", "planes", "aeroplane", "aircraft", "jet")
PARTS = ("body", "wings", "tail", "engines", "glass", "gear", "extras")

KINDS = ("airliner", "light", "business", "fighter", "turboprop", "four", "biplane")
BASES = ("#f1f2f4", "#e9edf2", "#f4f1e8", "#d9dde2", "#c9ced6")
ACCENTS = ("#1c3f94", "#c4161c", "#0b7a4b", "#e07b12", "#5a2a82", "#0f8a9a", "#d9b310", "#20242b")
CAMOUFLAGE = ("#6b7683", "#5d6a54", "#8b8468", "#7c8a99", "#4a525a")


def make(form: Dice, finish: Dice) -> list[Part]:
    kind = form.turn(KINDS)
    base, accent = finish.pick(BASES), finish.pick(ACCENTS)
    if kind == "fighter":
        return _fighter(form, finish)
    if kind == "biplane":
        return _biplane(form, accent, finish.pick([*ACCENTS, *BASES]))
    if kind == "light":
        return _light(form, finish, base, accent)
    return _liner(kind, form, finish, base, accent)


class Tube:
    """A fuselage: round rings along x from tail (-L/2) to nose (+L/2)."""

    def __init__(self, line: list[tuple[float, float, float, float]]):
        """line: (x, half width, half height, middle's y) from tail to nose."""
        self.line = np.array(line, float)

    def at(self, x: Floats) -> tuple[Floats, Floats, Floats]:
        values = [np.interp(x, self.line[:, 0], self.line[:, i]) for i in (1, 2, 3)]
        return values[0], values[1], values[2]

    def solid(self, sides: int = 28) -> Solid:
        unit = circle(1.0, sides)  # [S, 2]
        x, wide, tall, y = self.line[1:-1].T[:, :, None]
        rings = np.stack(np.broadcast_arrays(x, y + tall * unit[:, 1], wide * unit[:, 0]), axis=-1)
        ends = [(line[0], line[3], 0.0) for line in (self.line[0], self.line[-1])]
        return loft(rings, *ends).creased(60)

    def patch(self, x: Floats, angle_deg: Floats, lift: float = 0.0) -> Floats:
        """Points of the surface; angle 0 on the right, 90 on top."""
        wide, tall, y = self.at(x)
        a = np.radians(angle_deg)
        return np.stack(
            np.broadcast_arrays(x, y + (tall + lift) * np.sin(a), (wide + lift) * np.cos(a)),
            axis=-1,
        )


def _smooth(line: list[tuple[float, float, float, float]], steps: int = 5) -> Tube:
    dense = curve(line, steps)
    dense[:, 1:3] = np.maximum(dense[:, 1:3], 0.0)
    dense[1:-1, 1:3] = np.maximum(dense[1:-1, 1:3], 1e-3)
    keep = np.concatenate([[True], np.diff(dense[:, 0]) > 1e-4])
    return Tube([tuple(row) for row in dense[keep]])


def _wing(
    root: float, tip: float, span: float, sweep: float, rise: float, thick: float, sections: int = 7
) -> Solid:
    """One wing, its root's leading edge at the origin, reaching span along +z.

    root, tip   chord lengths
    sweep       how far back the tip's leading edge lies
    rise        how far up the tip lies
    """
    t = np.linspace(0, 1, 9)
    upper = thick * 1.9 * (np.sqrt(t) * (1 - t) ** 0.8 * 0.9)
    profile = [(-a, b) for a, b in zip(t, upper, strict=True)]
    profile = [
        *profile[:-1],
        (-1.0, 0.002),
        (-1.0, -0.002),
        *[(-a, -0.55 * b) for a, b in zip(t[-2:0:-1], upper[-2:0:-1], strict=True)],
    ]
    section = np.array(profile)  # [S, 2] (x, y) for chord 1
    rings = []
    for s in [*np.linspace(0, 1, sections), 1.012]:
        chord = root + (tip - root) * min(s, 1)
        close = 1.0 if s <= 1 else 0.55
        x = -sweep * s + chord * (section[:, 0] * close - (1 - close) * 0.4)
        y = rise * s + chord * section[:, 1] * close
        rings.append(np.stack([x, y, np.full_like(x, span * s)], axis=1))
    return loft(rings).creased(35)


def _fin(root: float, tip: float, height: float, sweep: float, thick: float) -> Solid:
    """An upright tail fin on the origin: its root's leading edge."""
    wing = _wing(root, tip, height, sweep, 0, thick, 4)
    flat = wing.scaled(y=0.8).turned("x", -90)
    return flat


def _jet(
    radius: float, length: float, shell: Material, inner: Material
) -> list[tuple[Solid, Material]]:
    """An engine along x about the origin, its mouth to the front."""
    h = length / 2
    cowl = ring(
        [
            (radius * 0.78, h * 0.98),
            (radius * 0.9, h * 1.02),
            (radius, h * 0.8),
            (radius, h * 0.2),
            (radius * 0.9, -h * 0.45),
            (radius * 0.72, -h),
            (radius * 0.68, -h),
            (radius * 0.72, h * 0.5),
        ],
        24,
    )
    fan = lathe(
        [
            (0, -h * 0.9),
            (radius * 0.73, -h * 0.4),
            (radius * 0.76, h * 0.7),
            (radius * 0.2, h * 0.7),
            (0, h * 0.95),
        ],
        20,
    )
    cone = lathe([(0, -h * 1.45), (radius * 0.5, -h * 0.6), (radius * 0.5, 0), (0, 0)], 16)
    return [
        (cowl.creased(50).turned("z", -90), shell),
        (fan.turned("z", -90), inner),
        (cone.turned("z", -90), inner),
    ]


def _propeller(radius: float, blades: int, start: float) -> Solid:
    """A propeller that turns about x, at the origin."""
    out = []
    for i in range(blades):
        outline = (
            np.array(
                [
                    (0.1, 0.05),
                    (0.35, 0.09),
                    (0.7, 0.085),
                    (0.95, 0.05),
                    (1.0, 0.0),
                    (0.9, -0.035),
                    (0.5, -0.05),
                    (0.1, -0.04),
                ]
            )
            * radius
        )
        grid = np.stack(
            [
                np.stack([np.full(4, 0.0), outline[:4, 0], outline[:4, 1]], -1),
                np.stack(
                    [
                        np.full(4, 0.02 * radius),
                        outline[[7, 6, 5, 5], 0] + [0, 0, -0.15 * radius, 0],
                        outline[[7, 6, 5, 5], 1],
                    ],
                    -1,
                ),
            ]
        )
        out.append(plate(grid, 0.03 * radius).turned("x", start + 360 * i / blades))
    return joined(*out)


def _wheel(radius: float, width: float) -> Solid:
    return cylinder(radius, width, radius * 0.25, 20).turned("x", 90)


def _liner(kind: str, form: Dice, finish: Dice, base: str, accent: str) -> list[Part]:
    length = {
        "airliner": form.between(30, 40),
        "four": form.between(48, 60),
        "business": form.between(15, 19),
        "turboprop": form.between(20, 26),
    }[kind]
    r = (
        length
        * {
            "airliner": form.between(0.048, 0.056),
            "four": form.between(0.046, 0.052),
            "business": form.between(0.056, 0.062),
            "turboprop": form.between(0.054, 0.06),
        }[kind]
    )
    h = length / 2
    tube_ = _smooth(
        [
            (-h, 0, 0, r * 0.62),
            (-h + 0.02 * length, r * 0.1, r * 0.16, r * 0.62),
            (-h + 0.13 * length, r * 0.55, r * 0.62, r * 0.36),
            (-h + 0.28 * length, r * 0.95, r * 0.96, r * 0.05),
            (-h + 0.4 * length, r, r, 0),
            (0, r, r, 0),
            (h - 0.16 * length, r, r, 0),
            (h - 0.07 * length, r * 0.88, r * 0.87, -r * 0.08),
            (h - 0.025 * length, r * 0.6, r * 0.58, -r * 0.2),
            (h - 0.005 * length, r * 0.24, r * 0.24, -r * 0.28),
            (h, 0, 0, -r * 0.3),
        ]
    )
    white, color = paint(base, "white"), paint(accent, "livery")
    parts = [Part("body", tube_.solid(), white)]
    # livery: a stripe below the windows or a coloured tail end
    if finish.chance(0.65):
        xs = np.linspace(-h + 0.06 * length, h - 0.06 * length, 40)[None, :]
        low = finish.between(-28, -12)
        angle = np.linspace(low, low + finish.between(10, 22), 4)[:, None]
        parts.append(Part("body", both(plate(tube_.patch(xs, angle), 0.03 * r)), color))
    if finish.chance(0.5):
        xs = np.linspace(-h + 0.03 * length, -h + 0.22 * length, 12)[None, :]
        angle = np.linspace(-30, 210, 20)[:, None]
        parts.append(Part("body", plate(tube_.patch(xs, angle), 0.035 * r), color))
    # wings
    span = (
        length
        * {
            "airliner": form.between(0.44, 0.5),
            "four": form.between(0.46, 0.52),
            "business": form.between(0.44, 0.5),
            "turboprop": form.between(0.5, 0.56),
        }[kind]
    )
    root = length * form.between(0.17, 0.2) * (0.72 if kind == "turboprop" else 1)
    tip = root * form.between(0.24, 0.34) * (1.7 if kind == "turboprop" else 1)
    sweep = span * (form.between(0.42, 0.58) if kind != "turboprop" else form.between(0.0, 0.08))
    high = kind == "turboprop"
    rise = span * (form.between(0.06, 0.11) if not high else 0.01)
    lead = length * (0.14 if kind != "business" else 0.06) * form.between(0.9, 1.1)
    y = r * 0.9 if high else -r * 0.55
    grey = paint(finish.pick(["#c4c9cf", "#d5d9de", base]), "wing")
    wing = _wing(root, tip, span, sweep, rise, 0.11)
    parts.append(Part("wings", both(wing.moved(lead, y)), grey))

    def wing_at(s: float) -> tuple[float, float, float]:
        chord = root + (tip - root) * s
        return lead - sweep * s, y + rise * s, chord

    if kind != "turboprop" and form.chance(0.6):
        chord = tip
        winglet = _fin(chord * 0.9, chord * 0.4, span * 0.1, span * 0.09, 0.09).turned("x", 12)
        parts.append(Part("wings", both(winglet.moved(lead - sweep, y + rise, span)), color))
    # tail
    t_tail = kind == "business" or (kind == "turboprop" and form.chance(0.5))
    fin_height = (
        length * form.between(0.13, 0.16) * (1.1 if kind in ("business", "turboprop") else 1)
    )
    fin_root = length * 0.15
    fin = _fin(fin_root, fin_root * 0.42, fin_height, fin_height * 0.75, 0.09)
    at = -h + 0.18 * length
    parts.append(Part("tail", fin.moved(at, r * 0.7), color))
    half = length * form.between(0.15, 0.19)
    stabilizer = _wing(
        length * 0.09, length * 0.04, half, half * 0.5, half * (0 if t_tail else 0.1), 0.09, 4
    )
    if t_tail:
        spot = (at - fin_height * 0.72, r * 0.7 + fin_height * 0.97)
    else:
        spot = (-h + 0.12 * length, r * 0.5)
    parts.append(Part("tail", both(stabilizer.moved(*spot)), grey))
    # engines
    shell = (
        color if finish.chance(0.4) else paint(finish.pick(["#e4e7ea", "#9aa0a8", base]), "nacelle")
    )
    dark = metal("#3a3d42", "fan")
    if kind in ("airliner", "four"):
        radius, long = r * form.between(0.5, 0.66), length * form.between(0.1, 0.12)
        if kind == "four":
            radius *= 0.75
        for s in (0.33,) if kind == "airliner" else (0.33, 0.62):
            x, wy, chord = wing_at(s)
            for solid, material in _jet(radius, long, shell, dark):
                placed = solid.moved(x + long * 0.28, wy - radius * 1.25, s * span)
                parts.append(Part("engines", both(placed), material))
            pylon = box(chord * 0.5, radius * 0.9, radius * 0.25, 0.05)
            parts.append(
                Part(
                    "engines",
                    both(pylon.moved(x - chord * 0.12, wy - radius * 0.45, s * span)),
                    grey,
                )
            )
    elif kind == "business":
        radius, long = r * form.between(0.46, 0.56), length * form.between(0.15, 0.18)
        x = -h + 0.27 * length
        for solid, material in _jet(radius, long, shell, dark):
            parts.append(Part("engines", both(solid.moved(x, r * 0.5, r * 1.65)), material))
        pylon = box(long * 0.5, r * 0.14, r * 0.9, 0.02).moved(x, r * 0.45, r * 1.05)
        parts.append(Part("engines", both(pylon), grey))
    else:
        x, wy, chord = wing_at(0.3)
        radius, long = r * 0.42, length * 0.16
        nacelle = lathe(
            [
                (0, -long * 0.75),
                (radius * 0.6, -long * 0.4),
                (radius, 0),
                (radius, long * 0.3),
                (radius * 0.75, long * 0.48),
                (radius * 0.3, long * 0.5),
                (0, long * 0.62),
            ],
            20,
        )
        placed = nacelle.turned("z", -90).moved(x - chord * 0.15, wy - radius * 0.35, 0.3 * span)
        parts.append(Part("engines", both(placed), shell))
        prop = _propeller(r * form.between(1.15, 1.35), form.whole(4, 6), form.between(0, 60))
        placed = prop.moved(x - chord * 0.15 + long * 0.53, wy - radius * 0.35, 0.3 * span)
        parts.append(Part("engines", both(placed), matte("#1d1f22", "propeller")))
    # windows
    panes = []
    count = {"airliner": 26, "four": 34, "business": 7, "turboprop": 13}[kind]
    low, high_ = (
        (-h + 0.28 * length, h - 0.16 * length)
        if kind != "business"
        else (-0.1 * length, h - 0.2 * length)
    )
    wide = (high_ - low) / count
    decks = [18.0] + ([48.0] if kind == "four" and form.chance(0.5) else [])
    for deck in decks:
        for i in range(count):
            if deck > 20 and i < count * 0.55:
                continue
            xs = low + (i + np.array([0.24, 0.76])) * wide
            tall = 6.0 if kind != "business" else 10.0
            panes.append(
                plate(tube_.patch(xs[None, :], np.array([[deck - tall], [deck + tall]])), 0.05 * r)
            )
    xs = np.linspace(h - 0.078 * length, h - 0.04 * length, 5)[None, :]
    for a, b in ((18, 44), (50, 86)):
        panes.append(plate(tube_.patch(xs, np.linspace(a, b, 6)[:, None]), 0.06 * r))
    parts.append(Part("glass", both(joined(*panes)).creased(30), glass()))
    if form.chance(0.35) or kind == "turboprop":
        leg, wheel = metal("#8d9298", "strut"), rubber("tyre")
        nose = h - 0.12 * length
        for x, z in ((nose, 0.0), (lead - root * 0.62, r * 1.1)):
            strut = cylinder(r * 0.09, r * 1.5, 0, 8).moved(x, -r * 1.35, z)
            pair = both(_wheel(r * 0.32, r * 0.22).moved(0, 0, r * 0.2)).moved(x, -r * 2.0, z)
            parts.append(Part("gear", strut if not z else both(strut), leg))
            parts.append(Part("gear", pair if not z else both(pair), wheel))
    return parts


def _light(form: Dice, finish: Dice, base: str, accent: str) -> list[Part]:
    high = form.chance(0.55)
    length = form.between(7.2, 8.4)
    h, r = length / 2, form.between(0.52, 0.6)
    body_ = Tube(
        [
            (-h, 0, 0, 0.3),
            (-h + 0.05, 0.06, 0.12, 0.3),
            (-h * 0.5, 0.28, 0.36, 0.16),
            (-h * 0.1, r * 0.92, 0.62, 0.06),
            (h * 0.15, r, 0.66, 0),
            (h * 0.42, r, 0.58, -0.1),
            (h * 0.72, r * 0.9, 0.5, -0.16),
            (h * 0.9, r * 0.75, 0.42, -0.17),
            (h * 0.94, 0.3, 0.25, -0.17),
            (h * 0.95, 0, 0, -0.17),
        ]
    )
    white, color = paint(base, "white"), paint(accent, "livery")
    if finish.chance(0.3):
        white, color = paint(accent, "white"), paint(base, "livery")
    parts = [Part("body", body_.solid(24).creased(35), white)]
    xs = np.linspace(-h * 0.9, h * 0.86, 24)[None, :]
    parts.append(
        Part("body", both(plate(body_.patch(xs, np.linspace(-24, -4, 4)[:, None]), 0.03)), color)
    )
    # cabin
    cabin = Tube(
        [
            (-h * 0.32, 0, 0, 0.5),
            (-h * 0.3, 0.24, 0.1, 0.5),
            (-h * 0.05, r * 0.9, 0.44, 0.58),
            (h * 0.22, r * 0.93, 0.5, 0.56),
            (h * 0.3, r * 0.9, 0.44, 0.5),
            (h * 0.5, r * 0.7, 0.1, 0.38),
            (h * 0.51, 0, 0, 0.38),
        ]
    )
    panes = glass("#26343d")
    parts.append(Part("glass", cabin.solid(20).creased(25), panes))
    if high:
        roof = Tube(
            [
                (-h * 0.34, 0, 0, 0.62),
                (-h * 0.32, 0.2, 0.06, 0.62),
                (-h * 0.02, r * 0.78, 0.2, 0.88),
                (h * 0.24, r * 0.8, 0.2, 0.9),
                (h * 0.27, 0, 0, 0.9),
            ]
        )
        parts.append(Part("body", roof.solid(20).creased(35), white))
    for x0 in (-h * 0.02, h * 0.22):
        frame = [
            (x0, 0.58 + 0.5 * math.sin(a), 0.55 * r / 0.55 * math.cos(a) * 0.96)
            for a in np.linspace(0.0, math.pi, 13)
        ]
        parts.append(Part("body", tube(frame, 0.045, 6, side=(1, 0, 0)), white))
    span = length * form.between(0.62, 0.7)
    root = form.between(1.35, 1.55)
    y = 1.0 if high else -0.35
    lead = h * (0.32 if high else 0.36)
    rise = 0.1 if high else span * 0.09
    wing = _wing(root, root * form.between(0.65, 0.95), span, 0.1, rise, 0.13)
    parts.append(Part("wings", both(wing.moved(lead, y)), white))
    tip = box(root * 0.75, 0.16, 0.16, 0.06, 2).moved(lead - root * 0.45 - 0.1, y + rise, span)
    parts.append(Part("wings", both(tip), color))
    if high:
        strut = tube(
            [(lead - 0.5, -0.4, r * 0.9), (lead - 0.5, y - 0.02 + rise * 0.5, span * 0.5)],
            0.05,
            8,
            side=(1, 0, 0),
        )
        parts.append(Part("wings", both(strut), white))
    fin = _fin(1.25, 0.6, form.between(1.25, 1.5), 0.75, 0.09).moved(-h + 1.05, 0.38)
    parts.append(Part("tail", fin, color))
    stab = _wing(0.9, 0.6, form.between(1.4, 1.7), 0.25, 0, 0.09, 3)
    parts.append(Part("tail", both(stab.moved(-h + 0.95, 0.36)), white))
    nose = h * 0.95
    spinner = (
        lathe([(0.2, -0.1), (0.19, 0.02), (0.12, 0.2), (0, 0.28)], 18)
        .turned("z", -90)
        .moved(nose, -0.17)
    )
    parts.append(Part("engines", spinner, color))
    prop = _propeller(form.between(0.92, 1.05), form.pick([2, 2, 3]), form.between(0, 90)).moved(
        nose + 0.06, -0.17
    )
    parts.append(Part("engines", prop, matte("#1d1f22", "propeller")))
    steel, tyre = metal("#8d9298", "strut"), rubber("tyre")
    main = lead - root * 0.62
    leg = tube(
        [(main, -0.45, 0.4), (main, -0.85, 0.9), (main, -1.15, 1.1)], 0.06, 8, side=(1, 0, 0)
    )
    parts.append(Part("gear", both(leg), steel))
    parts.append(Part("gear", both(_wheel(0.26, 0.2).moved(main, -1.2, 1.2)), tyre))
    tail_dragger = high and form.chance(0.35)
    x = -h + 0.9 if tail_dragger else h * 0.75
    low = -0.25 if tail_dragger else -1.2
    top = 0.2 if tail_dragger else -0.4
    parts.append(Part("gear", tube([(x, top, 0), (x, low, 0)], 0.05, 8), steel))
    parts.append(
        Part("gear", _wheel(0.14 if tail_dragger else 0.24, 0.16).moved(x, low, 0.0), tyre)
    )
    if form.chance(0.4):
        spat = both(ellipsoid(0.45, 0.24, 0.17, 16).moved(main, -1.13, 1.2))
        parts.append(Part("gear", spat, color))
    return parts


def _biplane(form: Dice, accent: str, second: str) -> list[Part]:
    length = form.between(6.6, 7.4)
    h = length / 2
    color, other = paint(accent, "red"), paint(second if second != accent else "#f1f2f4", "livery")
    body_ = _smooth(
        [
            (-h, 0, 0, 0.16),
            (-h + 0.05, 0.05, 0.1, 0.16),
            (-h * 0.4, 0.3, 0.36, 0.06),
            (h * 0.2, 0.46, 0.5, 0),
            (h * 0.62, 0.5, 0.52, 0),
            (h * 0.86, 0.52, 0.52, 0),
            (h * 0.9, 0.3, 0.3, 0),
            (h * 0.91, 0, 0, 0),
        ],
        3,
    )
    parts = [Part("body", body_.solid(22).creased(35), color)]
    span, chord, gap = (
        length * form.between(0.56, 0.62),
        form.between(1.1, 1.25),
        form.between(1.35, 1.55),
    )
    lower = _wing(chord, chord * 0.9, span * form.between(0.88, 1.0), 0.12, 0.15, 0.1)
    upper = _wing(chord, chord * 0.9, span, 0.12, 0.06, 0.1)
    x, y = h * 0.55, -0.35
    stagger = form.between(0.15, 0.45)
    parts += [
        Part("wings", both(lower.moved(x, y)), other),
        Part("wings", both(upper.moved(x + stagger, y + gap)), other),
    ]
    wires = []
    for z in (0.3, span * 0.68):
        for back in (0.2, 0.75):
            foot = 0.0 if z > 0.5 else 0.6
            wires.append(
                tube(
                    [(x - back * chord, y + foot, z), (x + stagger - back * chord, y + gap, z)],
                    0.035,
                    7,
                    side=(1, 0, 0),
                )
            )
    parts.append(Part("wings", both(joined(*wires)), metal("#3b3128", "strut")))
    fin = _fin(0.95, 0.5, form.between(0.95, 1.15), 0.45, 0.08).moved(-h + 0.85, 0.15)
    stab = _wing(0.85, 0.55, 1.25, 0.2, 0, 0.08, 3).moved(-h + 0.9, 0.2)
    parts += [Part("tail", fin, other), Part("tail", both(stab), other)]
    engine = lathe(
        [(0, -0.1), (0.56, -0.1), (0.58, 0.3), (0.5, 0.42), (0.3, 0.42), (0.3, 0.3), (0, 0.3)], 24
    ).turned("z", -90)
    parts.append(Part("engines", engine.moved(h * 0.82), metal("#6c7076", "cowling")))
    spinner = (
        lathe([(0.15, 0), (0.12, 0.15), (0, 0.25)], 14).turned("z", -90).moved(h * 0.82 + 0.42)
    )
    prop = _propeller(form.between(0.95, 1.1), 2, form.between(0, 180)).moved(h * 0.82 + 0.5)
    parts += [Part("engines", spinner, color), Part("engines", prop, matte("#6b4423", "propeller"))]
    screen = ellipsoid(0.2, 0.28, 0.26, 16).moved(h * 0.13, 0.5)
    parts.append(Part("glass", screen, glass("#33434d")))
    seat = ellipsoid(0.34, 0.1, 0.3, 16).moved(-h * 0.06, 0.45)
    parts.append(Part("extras", seat, matte("#26190f", "cockpit")))
    leg = tube([(x - 0.2, -0.4, 0.25), (x - 0.1, -1.0, 0.85)], 0.05, 7, side=(1, 0, 0))
    axle = cylinder(0.04, 1.8, 0, 8).turned("x", 90).moved(x - 0.1, -1.02)
    parts += [
        Part("gear", joined(both(leg), axle), metal("#3b3128", "strut")),
        Part("gear", both(_wheel(0.34, 0.14).moved(x - 0.1, -1.02, 0.92)), rubber("tyre")),
    ]
    skid = tube([(-h + 0.6, 0, 0), (-h + 0.35, -0.3, 0)], 0.05, 7, side=(0, 0, 1))
    parts.append(Part("gear", skid, metal("#3b3128", "strut")))
    return parts


def _fighter(form: Dice, finish: Dice) -> list[Part]:
    length = form.between(14, 17)
    h, r = length / 2, form.between(0.85, 1.0)
    skin = paint(finish.pick(CAMOUFLAGE), "skin")
    dark = matte("#2e3237", "dark")
    body_ = _smooth(
        [
            (-h * 0.93, 0, 0, 0),
            (-h * 0.92, r * 0.75, r * 0.62, 0),
            (-h * 0.5, r * 1.25, r * 0.8, 0),
            (0, r * 1.3, r * 0.85, 0),
            (h * 0.3, r * 1.0, r * 0.78, 0.05),
            (h * 0.55, r * 0.66, r * 0.66, 0.05),
            (h * 0.8, r * 0.4, r * 0.38, -0.05),
            (h * 0.97, r * 0.1, r * 0.09, -0.12),
            (h, 0, 0, -0.13),
        ],
        4,
    )
    parts = [Part("body", body_.solid(28), skin)]
    intake = box(h * 0.5, r * 0.95, r * 0.6, 0.12, 2).moved(h * 0.12, -r * 0.12, r * 1.22)
    mouth = box(0.06, r * 0.75, r * 0.42).moved(h * 0.37 + 0.01, -r * 0.12, r * 1.22)
    parts += [
        Part("body", both(intake), skin),
        Part("body", both(mouth), matte("#0e0f11", "mouth")),
    ]
    delta = form.chance(0.5)
    span = form.between(4.0, 5.2)
    root = length * (form.between(0.4, 0.46) if delta else form.between(0.27, 0.32))
    sweep = root * (0.86 if delta else 0.62)
    wing = _wing(root, root * (0.1 if delta else 0.3), span, sweep, -0.1, 0.05)
    lead = h * (0.2 if delta else 0.08)
    parts.append(Part("wings", both(wing.moved(lead, 0, r * 0.5)), skin))
    if delta and form.chance(0.6):
        canard = _wing(1.6, 0.5, 1.7, 1.0, 0.1, 0.06, 3).moved(h * 0.42, 0.25, r * 0.4)
        parts.append(Part("wings", both(canard), skin))
    twin = form.chance(0.5)
    accent = paint(finish.pick(ACCENTS), "marking") if finish.chance(0.4) else skin
    fin = _fin(length * 0.2, length * 0.08, form.between(2.0, 2.5), length * 0.13, 0.06)
    at = -h * 0.42
    if twin:
        parts.append(Part("tail", both(fin.turned("x", 14).moved(at, r * 0.5, r * 0.9)), accent))
    else:
        parts.append(Part("tail", fin.scaled(y=1.2).moved(at, r * 0.6), accent))
    if not delta or form.chance(0.3):
        stab = _wing(length * 0.15, length * 0.06, 2.3, 1.5, -0.05, 0.05, 3).moved(
            -h * 0.6, 0, r * 0.7
        )
        parts.append(Part("tail", both(stab), skin))
    nozzle = ring([(r * 0.62, 0.5), (r * 0.5, -0.6), (r * 0.42, -0.6), (r * 0.45, 0.4)], 24)
    plug = cylinder(r * 0.46, 0.1, 0, 20)
    pair = joined(nozzle, plug).turned("z", -90)
    place = -h * 0.92 - 0.2
    parts.append(
        Part(
            "engines",
            both(pair.scaled(1, 0.9, 0.9).moved(place, 0, r * 0.5)) if twin else pair.moved(place),
            dark,
        )
    )
    canopy = _smooth(
        [
            (h * 0.16, 0, 0, r * 0.62),
            (h * 0.17, 0.15, 0.1, r * 0.62),
            (h * 0.3, r * 0.44, r * 0.5, r * 0.68),
            (h * 0.42, r * 0.46, r * 0.56, r * 0.62),
            (h * 0.55, r * 0.36, r * 0.36, r * 0.5),
            (h * 0.64, 0.1, 0.08, r * 0.42),
            (h * 0.65, 0, 0, r * 0.42),
        ],
        3,
    )
    parts.append(
        Part("glass", canopy.solid(20), glass(finish.pick(["#1b2730", "#3d3a22", "#20303a"])))
    )
    missile = lathe([(0.12, -1.2), (0.12, 1.0), (0.06, 1.25), (0, 1.3)], 12).turned("z", -90)
    fins = joined(*[box(0.4, 0.5, 0.03).turned("x", a).moved(-1.0) for a in (0, 90)])
    white = paint("#d9dcd8", "missile")
    for s in (0.45, 0.75) if form.chance(0.7) else (0.6,):
        x = lead - sweep * s - root * 0.15
        parts.append(
            Part("extras", both(joined(missile, fins).moved(x, -0.42, r * 0.5 + span * s)), white)
        )
        pylon = box(0.7, 0.36, 0.08).moved(x, -0.2, r * 0.5 + span * s)
        parts.append(Part("extras", both(pylon), skin))
    return parts
