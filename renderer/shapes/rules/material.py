"""What a part is made of, as a Wavefront material can say it, and the usual ones.

Everything is opaque, glass too: then what the picture shows is what depth and points describe.
"""

from __future__ import annotations

from dataclasses import dataclass

from renderer.shapes.rules.dice import Dice
from renderer.shapes.rules.texture import Texture, cloth_texture, wood_texture


@dataclass(frozen=True, kw_only=True)
class Material:
    name: str
    color: str
    """As a screen shows it: `#rrggbb`."""
    specular: float = 0.2
    """Ks, 0 to 1."""
    shininess: float = 50.0
    """Ns, 0 to 1000: the higher, the sharper the highlight."""
    texture: Texture | None = None
    """Takes the place of the colour."""

    @property
    def linear(self) -> tuple[float, float, float]:
        """The colour as light adds up, which is what renderers take Kd for."""
        r, g, b = (int(self.color[i : i + 2], 16) / 255 for i in (1, 3, 5))
        return (_to_linear(r), _to_linear(g), _to_linear(b))


def _to_linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)


def paint(color: str, name: str = "paint") -> Material:
    return Material(name=name, color=color, specular=0.6, shininess=420)


def matte(color: str, name: str = "matte") -> Material:
    return Material(name=name, color=color, specular=0.05, shininess=10)


def plastic(color: str, name: str = "plastic") -> Material:
    return Material(name=name, color=color, specular=0.35, shininess=160)


def metal(color: str = "#b4b7bb", name: str = "metal") -> Material:
    return Material(name=name, color=color, specular=0.9, shininess=300)


def glass(color: str = "#1b2730", name: str = "glass") -> Material:
    return Material(name=name, color=color, specular=0.9, shininess=800)


def rubber(name: str = "rubber") -> Material:
    return matte("#1c1c1e", name)


WOODS = {
    "oak": ("#c89a62", "#9a6a38"),
    "walnut": ("#7a4d2c", "#4b2c18"),
    "pine": ("#e0bd84", "#c0904f"),
    "cherry": ("#a85a35", "#7a3a20"),
    "maple": ("#e6cfa4", "#cda972"),
    "ebony": ("#40302a", "#261b17"),
    "mahogany": ("#7d3322", "#561f14"),
}


def wood(dice: Dice, name: str = "wood", kinds: tuple[str, ...] = tuple(WOODS)) -> Material:
    light, dark = WOODS[dice.pick(kinds)]
    return Material(
        name=name,
        color=light,
        specular=0.2,
        shininess=dice.between(40, 200),
        texture=wood_texture(dice, light, dark),
    )


def cloth(dice: Dice, color: str, name: str = "cloth") -> Material:
    return Material(
        name=name, color=color, specular=0.04, shininess=8, texture=cloth_texture(dice, color)
    )


def leather(color: str, name: str = "leather") -> Material:
    return Material(name=name, color=color, specular=0.4, shininess=90)
