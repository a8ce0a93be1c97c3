"""A part of a shape."""

from __future__ import annotations

from dataclasses import dataclass

from renderer.shapes.rules.material import Material
from renderer.shapes.rules.solid import Solid


@dataclass(frozen=True)
class Part:
    name: str
    """One of the category's PARTS."""
    solid: Solid
    material: Material
