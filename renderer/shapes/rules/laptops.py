"""Laptops, open; the keyboard looks along +x, the screen behind it."""

from __future__ import annotations

from renderer.shapes.rules.dice import Dice
from renderer.shapes.rules.material import Material, glass, matte, metal, plastic
from renderer.shapes.rules.part import Part
from renderer.shapes.rules.solid import both, box, cylinder, extruded, facing, joined, rounded
from renderer.shapes.rules.texture import screen_texture

NAME = "laptop"
SYNSET = "03642806"
ALSO = ("notebook", "notebooks")
PARTS = ("base", "lid", "screen", "keys", "touchpad", "ports")

SHELLS = (
    "#b9bdc2",
    "#2b2d31",
    "#8a9096",
    "#d9d4cc",
    "#c9a7a0",
    "#3a4a63",
    "#eceef0",
    "#5b5f66",
    "#8c2f36",
)


def make(form: Dice, finish: Dice) -> list[Part]:
    wide, deep = form.between(0.29, 0.38), form.between(0.2, 0.26)
    thick, lid = form.between(0.012, 0.032), form.between(0.006, 0.014)
    corner = form.between(0.004, 0.02)
    color = finish.pick(SHELLS)
    shell: Material = metal(color, "shell") if finish.chance(0.6) else plastic(color, "shell")
    dark = sum(int(color[i : i + 2], 16) for i in (1, 3, 5)) < 300
    key_color = plastic(
        "#1a1b1d" if finish.chance(0.75) and not dark else finish.pick(["#e8e9ea", "#101113"]),
        "keys",
    )
    base = extruded(rounded(deep, wide, corner, 5), thick, min(0.4 * corner, thick * 0.3)).turned(
        "x", 90
    )
    parts = [Part("base", base.moved(y=thick / 2), shell)]

    # keyboard: five rows of keys and a space bar
    numbers = wide > 0.345 and form.chance(0.6)
    room, start = wide * 0.9, -deep * 0.36
    rows, pitch = 6, deep * 0.53 / 6
    top = thick + 0.0008
    across = 17 if numbers else 14
    step = room / across
    keys = []
    for row in range(rows):
        x = start + pitch * (row + 0.5)
        if row == rows - 1:
            pieces = [(0.0, 1), (1, 1), (2, 1), (3, 1), (4, across * 0.36), (4 + across * 0.36, 1)]
            at = 5 + across * 0.36
            while at < across - 0.5:
                pieces.append((at, min(1, across - at)))
                at += 1
        else:
            shift = (0, 0, 0.5, 0.75, 1.25)[row]
            pieces = [(0.0, 1 + shift)] + [
                (1 + shift + i, 1.0) for i in range(int(across - 2 - shift))
            ]
            at = 1 + shift + int(across - 2 - shift)
            pieces.append((at, across - at))
        tall = pitch * (0.55 if row == 0 else 0.84)
        for left, size in pieces:
            # seen from +x, left is +z
            z = room / 2 - (left + size / 2) * step
            keys.append(box(tall, 0.0022, max(size - 0.14, 0.3) * step, 0.0006).moved(x, top, z))
    well = box(pitch * rows + 0.006, 0.001, room + 0.006).moved(start + pitch * rows / 2, thick)
    parts += [Part("base", well, matte("#131416", "well")), Part("keys", joined(*keys), key_color)]
    if form.chance(0.2):
        nub = cylinder(0.0035, 0.004, 0.001, 14).moved(
            start + pitch * 3.5, top + 0.002, room * 0.05
        )
        parts.append(Part("keys", nub, plastic("#c4211c", "nub")))
    pad_wide = wide * form.between(0.26, 0.42)
    pad = box(deep * 0.27, 0.0016, pad_wide, 0.0004).moved(
        deep * 0.325, thick, room * (0.06 if numbers else 0)
    )
    parts.append(Part("touchpad", pad, matte("#46494e" if dark else "#8d9298", "pad")))

    # lid: upright, its foot at the origin, then laid back
    angle = form.between(12, 38)
    tall = deep * form.between(0.95, 1.02)
    frame = extruded(rounded(wide, tall, corner, 5), lid, min(0.4 * corner, lid * 0.3)).turned(
        "y", 90
    )
    bezel = matte("#0d0e10", "bezel")
    rim = form.between(0.008, 0.018)
    glass_ = box(0.002, tall - 0.012, wide - 0.012, 0.0005).moved(lid / 2)
    picture = facing(wide - 2 * rim, tall - 2 * rim - 0.008, 0.0012).moved(lid / 2 + 0.0014, 0.004)
    view = Material(
        name="screen", color="#5a7fa8", specular=0.4, shininess=400, texture=screen_texture(finish)
    )
    eye = (
        cylinder(0.002, 0.0015, 0, 12).turned("z", 90).moved(lid / 2 + 0.0014, tall / 2 - rim * 0.5)
    )
    logo = (
        cylinder(0.016, 0.002, 0, 20)
        .turned("z", 90)
        .scaled(y=form.between(0.6, 1.2))
        .moved(-lid / 2 - 0.0006)
    )
    back = metal("#e3e5e8" if dark else "#4b4f55", "logo")
    hinge = -deep / 2 + 0.006
    for solid, name, material in (
        (frame, "lid", shell),
        (glass_, "lid", bezel),
        (logo, "lid", back),
        (eye, "lid", glass("#20344a", "eye")),
        (picture, "screen", view),
    ):
        placed = solid.moved(0, tall / 2, 0).turned("z", angle).moved(hinge - 0.004, thick + 0.003)
        parts.append(Part(name, placed, material))
    bars = both(
        cylinder(min(0.006, thick * 0.45), wide * 0.16, 0.001, 16)
        .turned("x", 90)
        .moved(hinge - 0.001, thick, wide * 0.3)
    )
    parts.append(Part("base", bars, matte("#2a2c2f", "hinge")))
    ports = [
        box(0.012, min(0.006, thick * 0.4), 0.002).moved(
            -deep * 0.3 + 0.022 * i, thick * 0.5, wide / 2
        )
        for i in range(form.whole(2, 4))
    ]
    parts.append(Part("ports", both(joined(*ports)), matte("#0a0a0b", "port")))
    foot = [
        cylinder(0.008, 0.003, 0, 14).moved(x * (deep / 2 - 0.03), -0.001, z * (wide / 2 - 0.03))
        for x in (-1, 1)
        for z in (-1, 1)
    ]
    parts.append(Part("ports", joined(*foot), matte("#141516", "feet")))
    return parts
