"""Cars: sedan, hatchback, estate, SUV, van, pickup, sports car, taxi.

Two lofts along the length make the shell: the lower body with its wheel arches, and the cabin. Both
are functions of the place along the car, so windows are patches of the cabin's own surface.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from renderer.shapes.rules.dice import Dice
from renderer.shapes.rules.material import Material, glass, matte, metal, paint, plastic, rubber
from renderer.shapes.rules.part import Part
from renderer.shapes.rules.solid import (
    Floats,
    Solid,
    both,
    box,
    curve,
    cylinder,
    ellipsoid,
    facing,
    joined,
    lathe,
    loft,
    plate,
    ring,
    tube,
)
from renderer.shapes.rules.texture import number_plate

NAME = "car"
SYNSET = "02958343"
ALSO = ("auto", "automobile")
PARTS = ("body", "glass", "wheels", "lights", "bumpers", "mirrors", "interior", "extras")

Line = Callable[[Floats], Floats]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A kind of car; lengths in metres, places along it from 0 (tail) to 1 (nose)."""

    length: tuple[float, float]
    width: tuple[float, float]
    height: tuple[float, float]
    wheel: tuple[float, float]
    clearance: float
    belt: float
    """Height of the window sill, as a share of the whole height."""
    hood: float
    """Height of the nose's upper edge, likewise."""
    deck: float
    """Height of the tail's upper edge, likewise."""
    cabin: tuple[float, float, float, float]
    """Foot of the rear screen, roof's rear end, roof's front end, foot of the windscreen."""
    axles: tuple[float, float] = (0.2, 0.8)
    lean: float = 14.0
    """How far the side windows lean inward, in degrees."""
    doors: int = 2
    """On each side."""


PLANS = {
    "sedan": Plan(
        length=(4.5, 4.9),
        width=(1.78, 1.88),
        height=(1.40, 1.48),
        wheel=(0.31, 0.34),
        clearance=0.19,
        belt=0.64,
        hood=0.53,
        deck=0.63,
        cabin=(0.11, 0.27, 0.57, 0.74),
    ),
    "hatchback": Plan(
        length=(3.7, 4.2),
        width=(1.68, 1.78),
        height=(1.45, 1.55),
        wheel=(0.29, 0.32),
        clearance=0.18,
        belt=0.60,
        hood=0.54,
        deck=0.60,
        cabin=(0.015, 0.13, 0.56, 0.77),
        axles=(0.17, 0.82),
    ),
    "suv": Plan(
        length=(4.4, 4.8),
        width=(1.84, 1.95),
        height=(1.68, 1.82),
        wheel=(0.37, 0.41),
        clearance=0.27,
        belt=0.62,
        hood=0.57,
        deck=0.62,
        cabin=(0.015, 0.08, 0.58, 0.72),
        axles=(0.19, 0.81),
        lean=10,
    ),
    "sports": Plan(
        length=(4.2, 4.6),
        width=(1.84, 1.95),
        height=(1.16, 1.26),
        wheel=(0.31, 0.34),
        clearance=0.13,
        belt=0.66,
        hood=0.58,
        deck=0.67,
        cabin=(0.10, 0.33, 0.48, 0.68),
        axles=(0.19, 0.79),
        lean=22,
        doors=1,
    ),
    "van": Plan(
        length=(4.6, 5.3),
        width=(1.85, 1.98),
        height=(1.90, 2.15),
        wheel=(0.32, 0.35),
        clearance=0.21,
        belt=0.56,
        hood=0.47,
        deck=0.56,
        cabin=(0.01, 0.03, 0.72, 0.86),
        axles=(0.18, 0.83),
        lean=5,
    ),
    "pickup": Plan(
        length=(5.1, 5.6),
        width=(1.86, 2.0),
        height=(1.74, 1.88),
        wheel=(0.38, 0.43),
        clearance=0.30,
        belt=0.62,
        hood=0.58,
        deck=0.42,
        cabin=(0.38, 0.42, 0.60, 0.71),
        axles=(0.2, 0.81),
        lean=10,
    ),
    "estate": Plan(
        length=(4.5, 4.9),
        width=(1.76, 1.86),
        height=(1.44, 1.52),
        wheel=(0.31, 0.34),
        clearance=0.19,
        belt=0.62,
        hood=0.54,
        deck=0.62,
        cabin=(0.012, 0.10, 0.58, 0.75),
        axles=(0.2, 0.8),
    ),
}
KINDS = ("sedan", "suv", "hatchback", "sports", "van", "pickup", "estate")

COLORS = (
    "#b3151b",
    "#1d4f9c",
    "#e9ebee",
    "#2b2d30",
    "#a9adb2",
    "#1f6b3f",
    "#e8b417",
    "#d9621e",
    "#5c1a2b",
    "#6fa8d6",
    "#c9b98f",
    "#3d4c7a",
    "#0f8a8a",
    "#f2f2ee",
    "#7a1fa0",
    "#8fb339",
)


class Shell:
    """The surfaces of one car: x from tail (-L/2) to nose (+L/2), ground at y = 0."""

    def __init__(self, plan: Plan, dice: Dice):
        self.plan = plan
        self.length = dice.between(*plan.length)
        self.width = dice.between(*plan.width)
        self.height = dice.between(*plan.height)
        self.wheel = dice.between(*plan.wheel)
        self.arch = self.wheel * dice.between(1.13, 1.2)
        self.clearance = plan.clearance * dice.between(0.92, 1.1)
        self.belt = plan.belt * self.height
        self.sill = plan.cabin[0], plan.cabin[3]
        self.bow = dice.between(0.09, 0.16)
        self.round = dice.between(0.08, 0.14)
        self.axles = tuple(self.place(share) for share in plan.axles)
        self.slant = math.tan(math.radians(plan.lean + dice.between(-2, 3)))
        hood = plan.hood * dice.between(0.97, 1.05) * self.height
        deck = plan.deck * dice.between(0.98, 1.03) * self.height
        foot, front = plan.cabin[0], plan.cabin[3]
        self._lower = np.array(
            [
                (0.0, deck - 0.03),
                (max(foot * 0.5, 0.004), deck),
                (max(foot, 0.02), deck),
                *(((foot + 0.02), self.belt),) * (deck < self.belt - 0.1),
                ((foot + front) / 2, self.belt),
                (front - 0.02, self.belt - 0.02),
                (front + 0.45 * (1 - front), hood + 0.6 * (self.belt - hood) * 0.6),
                (0.97, hood),
                (1.0, hood - 0.05),
            ]
        )
        rear, roof_rear, roof_front, cowl = plan.cabin
        shift = dice.between(-0.015, 0.015)
        crown = 0.03 * self.height
        roof = self.height - 0.012
        self._roof = np.array(
            [
                (rear, self.belt - 0.05),
                (roof_rear + shift, roof - crown),
                ((roof_rear + roof_front) / 2, roof),
                (roof_front + shift, roof - crown * 0.8),
                (cowl, self.belt - 0.06),
            ]
        )
        # a hand's width of metal between wheel arch and hood
        ends = np.array([axle + side * self.arch for axle in self.axles for side in (-1, 0, 1)])
        room = float(self.lower_top(ends).min()) - 0.07
        fit = min(1.0, room / (self.wheel + self.arch))
        self.wheel, self.arch = self.wheel * fit, self.arch * fit

    def place(self, share: float) -> float:
        return (share - 0.5) * self.length

    def share(self, x: Floats) -> Floats:
        return x / self.length + 0.5

    def plan_width(self, x: Floats) -> Floats:
        """Half the width along the car: narrower towards both ends."""
        u = np.abs(2 * self.share(x) - 1)
        half: Floats = self.width / 2 * (1 - 0.10 * u**5)
        return half

    def lower_top(self, x: Floats) -> Floats:
        return np.interp(self.share(x), self._lower[:, 0], self._lower[:, 1])

    def bottom(self, x: Floats) -> Floats:
        low: Floats = self.clearance + 0.10 * np.clip(
            (np.abs(2 * self.share(x) - 1) - 0.86) / 0.14, 0, 1
        )
        for axle in self.axles:
            inside = np.clip(self.arch**2 - (x - axle) ** 2, 0, None)
            low = np.maximum(low, np.where(inside > 0, self.wheel + np.sqrt(inside), 0))
        return low

    def roof(self, x: Floats) -> Floats:
        """Height of the cabin, its corners rounded off."""
        share = self.share(x)
        reach = 0.018
        around = [
            np.interp(share + d * reach, self._roof[:, 0], self._roof[:, 1])
            for d in (-1, -0.5, 0, 0.5, 1)
        ]
        height: Floats = np.mean(around, axis=0)
        return height

    def bowed(self, points: Floats) -> Floats:
        """Nose and tail curved as seen from above."""
        out = points.copy()
        out[..., 0] -= (
            self.bow
            * (points[..., 2] / (self.width / 2)) ** 2
            * np.clip(2 * points[..., 0] / self.length, -1, 1) ** 3
        )
        return out

    # the lower body

    def body(self) -> Solid:
        half = self.length / 2
        xs = [np.linspace(-half, half, 34)]
        for axle in self.axles:
            xs.append(axle + self.arch * np.cos(np.linspace(0, math.pi, 17)) * 0.9999)
            xs.append(np.array([axle - self.arch * 1.0005, axle + self.arch * 1.0005]))
        xs.append(np.array([-half + 0.02, -half + 0.06, half - 0.06, half - 0.02]))
        x = np.unique(np.round(np.concatenate(xs), 4))
        x = x[np.concatenate([[True], np.diff(x) > 3e-4])]
        top, low, wide = self.lower_top(x), self.bottom(x), self.plan_width(x)
        # the ends close like a pillow
        depth = 0.09
        inward = np.clip((np.abs(x) - (half - depth)) / depth, 0, 1)
        close = 1 - 0.55 * (1 - np.sqrt(1 - 0.97 * inward**2))
        middle = (top + low) / 2
        top, low = middle + (top - middle) * (0.55 + 0.45 * close), middle + (low - middle) * close
        wide = wide * (0.75 + 0.25 * close)
        r = np.minimum(self.round, 0.3 * (top - low))
        lower = np.minimum(0.05, 0.2 * (top - low))
        arc = np.linspace(0, math.pi / 2, 5)
        column = [(0 * x, low), (0.6 * wide, low)]
        column += [
            (wide - lower + lower * math.sin(a), low + lower - lower * math.cos(a))
            for a in arc[::2]
        ]
        for share in (0.25, 0.5, 0.75):
            y = low + lower + share * (top - r - low - lower)
            column.append((wide * (1 + 0.022 * math.sin(share * math.pi)), y))
        column += [(wide - r + r * math.cos(a), top - r + r * math.sin(a)) for a in arc]
        column += [(0.5 * (wide - r), top + 0.015), (0 * x, top + 0.02)]
        z = np.stack([c[0] for c in column], axis=1)  # [K, C]
        y = np.stack([c[1] for c in column], axis=1)
        right = np.stack([np.broadcast_to(x[:, None], z.shape), y, z], axis=-1)
        left = right[:, -2:0:-1] * [1, 1, -1]
        return loft(self.bowed(np.concatenate([right, left], axis=1))).creased(32)

    # the cabin

    def half_width(self, x: Floats, y: Floats) -> Floats:
        return self.plan_width(x) - 0.05 - (y - self.belt) * self.slant

    def corner(self, x: Floats) -> Floats:
        return np.minimum(0.10, 0.6 * np.maximum(self.roof(x) - self.belt + 0.15, 0.02))

    def side(self, x: Floats, v: Floats) -> Floats:
        """Points of the right side: v from 0 at the sill to 1 under the roof's round edge."""
        top = self.roof(x) - self.corner(x)
        y = self.belt + v * (top - self.belt)
        return self.bowed(np.stack(np.broadcast_arrays(x, y, self.half_width(x, y)), axis=-1))

    def upper(self, x: Floats, s: Floats) -> Floats:
        """Points of the roof and screens: s from -1 (left) to 1 (right) between the round edges."""
        y, r = self.roof(x), self.corner(x)
        z = s * (self.half_width(x, y - r) - r)
        return self.bowed(np.stack(np.broadcast_arrays(x, y + 0.02 * (1 - s**2), z), axis=-1))

    def cabin(self) -> Solid:
        rear, front = (self.place(s) for s in self.sill)
        x = np.linspace(rear, front, 36)
        base = np.full_like(x, self.belt - 0.16)
        r = self.corner(x)
        arc = np.linspace(0, math.pi / 2, 5)
        top = self.roof(x)
        column = [(0 * x, base), (self.half_width(x, base), base)]
        for v in (0.0, 0.33, 0.67):
            y = base + 0.03 + v * (top - r - base - 0.03)
            column.append((self.half_width(x, y), y))
        wide = self.half_width(x, top - r)
        column += [(wide - r + r * math.cos(a), top - r + r * math.sin(a)) for a in arc]
        column += [(0.5 * (wide - r), top + 0.015), (0 * x, top + 0.02)]
        z = np.stack([c[0] for c in column], axis=1)
        y = np.stack([c[1] for c in column], axis=1)
        right = np.stack([np.broadcast_to(x[:, None], z.shape), y, z], axis=-1)
        left = right[:, -2:0:-1] * [1, 1, -1]
        return loft(self.bowed(np.concatenate([right, left], axis=1))).creased(32)

    def rise(self, height: float, front: bool) -> float:
        """Where the roof line passes a height (a share from sill to roof), from either end."""
        rear, nose = (self.place(s) for s in self.sill)
        x = np.linspace(rear, nose, 400)
        y = self.belt + height * (self.height - 0.04 - self.belt)
        above = x[self.roof(x) >= y]
        return float(above[-1] if front else above[0])


def make(form: Dice, finish: Dice) -> list[Part]:
    kind = form.turn(KINDS)
    plan = PLANS[kind]
    car = Shell(plan, form)
    color = finish.pick(COLORS)
    body = paint(color)
    dark = plastic("#1b1c1e", "trim")
    trim = dark if finish.chance(0.6) else metal(name="chrome")
    bumper = (
        body if kind in ("sedan", "sports", "hatchback", "estate") and finish.chance(0.6) else dark
    )
    parts = [Part("body", car.body(), body), Part("body", car.cabin(), body)]
    parts += _windows(car, kind, form)
    parts += _wheels(car, kind, form, finish)
    parts += _ends(car, kind, form, finish, bumper, trim)
    parts += _sides(car, kind, form, body, dark)
    parts += _extras(car, kind, form, finish, body, dark)
    # what is seen below the arches
    inner = car.axles[1] - car.axles[0] + 2 * car.arch
    middle = (car.axles[0] + car.axles[1]) / 2
    ends = np.array([middle - inner / 2, middle + inner / 2])
    top = min(car.wheel + car.arch + 0.02, float(car.lower_top(ends).min()) - 0.09)
    floor = box(inner, top - car.clearance, car.width - 0.62)
    y = (top + car.clearance) / 2
    parts.append(Part("interior", floor.moved(middle, y), matte("#101113", "underside")))
    return parts


def _windows(car: Shell, kind: str, form: Dice) -> list[Part]:
    pane = glass()
    s = np.linspace(-0.9, 0.9, 13)[None, :]
    out = []
    for ahead in (True, False):
        low, high = car.rise(0.10, ahead), car.rise(0.88, ahead)
        if kind == "van" and not ahead and form.chance(0.4):
            continue
        x = np.linspace(low, high, 10)[:, None]
        # toward the roof in the plate's v
        out.append(plate(car.upper(x, s), 0.022))
    rear, front = car.rise(0.30, False), car.rise(0.34, True)
    closed = kind == "van" and form.chance(0.5)  # a delivery van has no rear side windows
    if kind == "sports":
        cuts = [rear + 0.12, front - 0.02]
    elif kind == "pickup":
        cuts = [rear + 0.05, front]
        if form.chance(0.6):
            cuts.insert(1, rear + 0.45 * (front - rear))
    else:
        inner = car.plan.doors
        cuts = list(np.linspace(rear + 0.1, front, inner + 1))
        if kind in ("suv", "estate", "van"):
            cuts = list(np.linspace(rear + 0.06, front, 4))
    if closed:
        cuts = cuts[-2:]
    v = np.linspace(0.10, 0.97, 6)[:, None]
    for a, b in pairwise(cuts):
        x = np.linspace(a + 0.035, b - 0.035, 9)[None, :]
        out.append(both(plate(car.side(x, v), 0.022)))
    return [Part("glass", solid.creased(30), pane) for solid in out]


def _wheels(car: Shell, kind: str, form: Dice, finish: Dice) -> list[Part]:
    r = car.wheel
    wide = form.between(0.19, 0.23) * (1.2 if kind == "sports" else 1.0)
    rim = r * form.between(0.62, 0.72)
    h = wide / 2
    tyre = ring(
        [
            (rim, -h * 0.8),
            (rim + 0.02, -h),
            (r - 0.03, -h),
            (r, -h + 0.035),
            (r, h - 0.035),
            (r - 0.03, h),
            (rim + 0.02, h),
            (rim, h * 0.8),
        ],
        32,
    )
    barrel = lathe(
        [(0, -h * 0.8), (rim + 0.004, -h * 0.8), (rim + 0.004, h * 0.2), (0, h * 0.2)], 24
    )
    lip = ring(
        [
            (rim + 0.004, h * 0.25),
            (rim + 0.004, h * 0.9),
            (rim - 0.015, h * 0.9),
            (rim - 0.03, h * 0.25),
        ],
        28,
    )
    spokes = []
    style = form.pick(["spokes", "spokes", "wide", "disc"])
    count = form.whole(5, 10) if style == "spokes" else form.whole(5, 6)
    if style == "disc":
        spokes.append(
            lathe(
                [
                    (0, h * 0.3),
                    (rim * 0.97, h * 0.3),
                    (rim * 0.9, h * 0.6),
                    (rim * 0.4, h * 0.55),
                    (rim * 0.3, h * 0.8),
                    (0, h * 0.8),
                ],
                28,
            )
        )
    else:
        across = rim * (0.16 if style == "spokes" else 0.42)
        for i in range(count):
            bar = box(rim * 0.96, h * 0.4, across, 0.01 if count < 7 else 0.0).moved(
                rim * 0.5, h * 0.5
            )
            spokes.append(bar.turned("y", 360 * i / count))
        spokes.append(cylinder(rim * 0.26, h * 0.5, 0.01, 20).moved(y=h * 0.55))
    black = finish.chance(0.2)
    alloy = metal("#26282b", "alloy") if black else metal("#c3c6ca", "alloy")
    wheel = [
        (tyre.creased(30), rubber("tyre")),
        (barrel, matte("#17181a", "brake")),
        (joined(lip, *spokes), alloy),
    ]
    out = []
    z = car.width / 2 - h - 0.012
    for axle in car.axles:
        for solid, material in wheel:
            placed = solid.turned("x", 90).moved(axle, r, z)
            out.append(Part("wheels", both(placed), material))
    return sorted(out, key=lambda part: part.material.name)


def _ends(
    car: Shell, kind: str, form: Dice, finish: Dice, bumper: Material, trim: Material
) -> list[Part]:
    """Lights, bumpers, grille and number plates."""
    half = car.length / 2
    out: list[Part] = []

    def surface(z: float) -> float:
        return half - car.bow * (z / (car.width / 2)) ** 2

    nose = float(car.lower_top(np.array([half * 0.97]))[0])
    tail = float(car.lower_top(np.array([-half * 0.97]))[0])
    # head lights
    y = nose - form.between(0.12, 0.16)
    wide, tall = form.between(0.15, 0.2), form.between(0.055, 0.09)
    z = car.width / 2 - wide - 0.06
    style = form.pick(["round", "long", "square"])
    lamp = plastic("#fdf6d8", "headlight")
    if style == "round":
        light = ellipsoid(0.07, tall * 1.25, tall * 1.25)
    elif style == "long":
        light = ellipsoid(0.09, tall * 0.8, wide * 1.05)
    else:
        light = box(0.12, tall * 1.7, wide * 1.5, 0.03, 2)
    x = surface(z) - (0.05 if style != "square" else 0.045)
    out.append(Part("lights", both(light.turned("y", -12).moved(x, y, z)), lamp))
    # tail lights
    red = plastic("#c8141c", "taillight")
    upright = kind in ("suv", "van", "hatchback", "estate", "pickup")
    if upright:
        light = box(0.14, form.between(0.26, 0.36), 0.14, 0.03, 2)
        z = car.width / 2 - 0.14
        y = tail - 0.24
    else:
        light = box(0.12, form.between(0.09, 0.14), form.between(0.32, 0.5), 0.03, 2)
        z = car.width / 2 - 0.32
        y = tail - 0.17
    out.append(Part("lights", both(light.turned("y", 8).moved(-surface(z) + 0.045, y, z)), red))
    # bumpers follow the bow
    wide = car.width * 0.97
    zs = np.linspace(-wide / 2, wide / 2, 15)
    tall = form.between(0.08, 0.11)
    for sign, y in ((1, car.clearance + 0.20), (-1, car.clearance + 0.22)):
        xs = sign * (half - 0.045 - car.bow * (zs / (car.width / 2)) ** 2)
        path = np.stack([xs, np.full_like(zs, y), zs], axis=1)
        out.append(Part("bumpers", tube(path, tall, 12, side=(0, 1, 0)), bumper))
    # grille
    grille = form.pick(["bars", "one", "wide"])
    y = nose - form.between(0.17, 0.21)
    wide = car.width * (0.34 if grille != "wide" else 0.5)
    tall = form.between(0.13, 0.2) * (0.7 if kind == "sports" else 1.15)
    out.append(
        Part(
            "bumpers",
            box(0.06, tall, wide, 0.02, 2).moved(half - 0.022, y),
            plastic("#0c0d0f", "grille"),
        )
    )
    if grille == "bars":
        bars = [
            box(0.02, 0.016, wide * 0.94, 0.004).moved(half + 0.011, y + d * tall * 0.25)
            for d in (-1, 0, 1)
        ]
        out.append(Part("bumpers", joined(*bars), trim))
    sign_ = Material(name="plate", color="#f4f4f0", texture=number_plate(finish))
    y = car.clearance + 0.2
    parts = [
        facing(0.52, 0.12, 0.012).moved(half + tall * 0 + 0.062, y),
        facing(0.52, 0.12, 0.012).turned("y", 180).moved(-half - 0.062, y + 0.02),
    ]
    out.append(Part("bumpers", joined(*parts), sign_))
    return out


def _sides(car: Shell, kind: str, form: Dice, body: Material, dark: Material) -> list[Part]:
    """Mirrors, door gaps and handles."""
    out = []
    x = car.rise(0.22, True) - 0.12
    z = float(car.half_width(np.array(x), np.array(car.belt)))
    mirror = box(0.1, 0.12, 0.2, 0.045, 3).turned("y", 8).moved(x, car.belt + 0.07, z + 0.13)
    arm = box(0.05, 0.03, 0.12).moved(x, car.belt + 0.02, z + 0.03)
    out.append(Part("mirrors", both(joined(mirror, arm)), body if form.chance(0.6) else dark))
    rear, front = car.rise(0.3, False), car.rise(0.3, True)
    low, high = car.clearance + 0.1, car.belt - 0.09
    if kind == "sports":
        gaps = [front - 0.05, (rear + front) / 2 - 0.25]
    elif kind == "pickup":
        gaps = [front, rear + 0.1]
    else:
        gaps = [
            front + 0.02,
            (front + max(rear, car.axles[0])) / 2 + 0.1,
            max(rear, car.axles[0]) + 0.15,
        ]
    ys = np.linspace(low, high, 5)
    lines, handles = [], []
    for gap in gaps:
        if any(abs(gap - axle) < car.arch + 0.03 for axle in car.axles):
            gap = car.axles[0] + car.arch + 0.05 if gap < 0 else car.axles[1] - car.arch - 0.05
        wide = car.plan_width(np.full_like(ys, gap)) * 1.012
        path = np.stack([np.full_like(ys, gap), ys, wide], axis=1)
        lines.append(tube(path, 0.010, 6, side=(1, 0, 0)))
    for gap in gaps[1:]:
        z = float(car.plan_width(np.array(gap))) + 0.012
        handles.append(box(0.16, 0.035, 0.05, 0.015).moved(gap + 0.18, high - 0.03, z))
    out.append(Part("body", both(joined(*lines)), matte("#0b0b0c", "gap")))
    out.append(
        Part("extras", both(joined(*handles)), dark if form.chance(0.5) else metal(name="chrome"))
    )
    return out


def _extras(
    car: Shell, kind: str, form: Dice, finish: Dice, body: Material, dark: Material
) -> list[Part]:
    out = []
    half = car.length / 2
    if kind == "pickup":
        back = car.place(car.plan.cabin[0]) + 0.02
        floor = float(car.lower_top(np.array([-half * 0.9]))[0])
        tall = car.belt - floor + 0.02
        wall = 0.07
        y = floor + tall / 2 - 0.03
        long = back + half - 0.06
        side = box(long, tall, wall, 0.02, 2).moved(back - long / 2, y, car.width / 2 - 0.075)
        gate = box(wall, tall, car.width - 0.16, 0.02, 2).moved(back - long + wall / 2, y)
        out.append(Part("body", joined(both(side), gate), body))
        bed = box(long - 0.1, 0.02, car.width - 0.22).moved(back - long / 2, floor + 0.03)
        out.append(Part("interior", bed, matte("#2a2b2d", "bed")))
    if kind in ("suv", "estate") and form.chance(0.75):
        rear, front = car.rise(0.8, False) + 0.2, car.rise(0.85, True) - 0.2
        xs = np.linspace(rear, front, 9)
        z = float(car.half_width(np.array(0.0), np.array(car.height))) - 0.13
        ys = car.roof(xs) + 0.05
        ys[[0, -1]] -= 0.06
        rail = tube(np.stack([xs, ys, np.full_like(xs, z)], axis=1), 0.022, 8, side=(0, 0, 1))
        out.append(Part("extras", both(rail), dark if form.chance(0.5) else metal(name="chrome")))
    if kind == "sports" and form.chance(0.7):
        y = float(car.lower_top(np.array([-half * 0.9]))[0])
        wing = box(0.28, 0.035, car.width * 0.86, 0.015).turned("z", -6)
        posts = both(box(0.12, 0.2, 0.04, 0.01).moved(0.02, -0.09, car.width * 0.3))
        out.append(Part("extras", joined(wing, posts).moved(-half + 0.22, y + 0.2), body))
    if kind == "sedan" and form.chance(0.35):
        sign = box(0.16, 0.13, 0.42, 0.03, 2).moved(car.place(0.43), car.height + 0.07)
        out.append(Part("extras", sign, plastic("#ffd93b", "taxi")))
    if kind == "hatchback" and form.chance(0.5):
        back = car.rise(0.97, False)
        lip = box(0.26, 0.03, car.width * 0.66, 0.012).turned("z", 4)
        out.append(Part("extras", lip.moved(back - 0.07, car.height - 0.045), dark))
    if kind in ("sports", "hatchback") and form.chance(0.35):
        stripe = paint(finish.pick(["#f4f4f2", "#111214", "#d01818"]), "stripe")
        x = np.linspace(car.rise(0.97, False), car.rise(0.95, True), 16)[:, None]
        for s in (-0.28, 0.28):
            grid = car.upper(x, np.linspace(s - 0.13, s + 0.13, 4)[None, :])
            out.append(Part("extras", plate(grid, 0.012), stripe))
        x = np.linspace(car.place(car.plan.cabin[3]) + 0.01, half - 0.13, 14)[:, None]
        for s in (-0.17, 0.17):
            across = np.linspace(s - 0.08, s + 0.08, 4)[None, :]
            surface = (x, car.lower_top(x) + 0.028, across)
            grid = car.bowed(np.stack(np.broadcast_arrays(*surface), axis=-1))
            out.append(Part("extras", plate(grid, 0.02), stripe))
    pipe = both(cylinder(0.035, 0.14, 0.0, 14).turned("z", 90).moved(0, 0, car.width * 0.28))
    out.append(
        Part("extras", pipe.moved(-half + 0.06, car.clearance + 0.06), metal("#8b8e92", "pipe"))
    )
    if form.chance(0.4):
        path = curve([(0, 0, 0), (-0.06, 0.14, 0), (-0.16, 0.3, 0)], 3)
        at = car.rise(0.97, False) + 0.25
        y = float(car.roof(np.array(at)))
        out.append(Part("extras", tube(path, 0.011, 6).moved(at, y), dark))
    return out
