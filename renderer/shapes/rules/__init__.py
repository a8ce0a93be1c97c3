"""The rules by which sample shapes are made: one file per category, found by looking here.

A category's file is named by its plural (`cars.py`) and has:

    NAME      what one of them is called: "car"
    SYNSET    ShapeNet's own WordNet offset for the category, also its number in the dice
    ALSO      other names people use for it
    PARTS     every part it may have, in the order in which they are written. Part masks number
              them in that order, so what every one of them has comes first
    make(form, finish) -> list[Part]
              a shape, whose size and place do not matter. `form` decides its kind and
              proportions, `finish` its colours and materials: repainting never reshapes

A shape is a list of parts, each a solid and its material; several entries may share a part's name.
Solids are closed and may overlap. What is seen through (a window) is opaque and dark.

The frame of every shape, as ShapeNet has it: y up, bounding-box diagonal 1, its middle at the
origin. The front looks along +x, where azimuth 0 sees it: a car's or airplane's nose, the side of a
chair, sofa or bench one sits down from, the face of a guitar (its neck up), a bottle's label, a
laptop's keyboard. A mug's handle points to +x. Tables are long along z, as one sits down at them.

    solid.py        closed meshes: boxes, lofts, lathes, sweeps, extrusions, thin plates
    normals.py      smooth and sharp edges
    material.py     paint, metal, wood, cloth ...        texture.py     the pictures on them
    dice.py         chance that is the same on every machine
    wavefront.py    OBJ, MTL and PNG

To add a category, add its file; to change one, raise VERSION in `samples.py`.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Protocol, cast

from renderer.shapes.rules.dice import Dice
from renderer.shapes.rules.part import Part

__all__ = ["Part", "Rule", "make", "rules"]

FORM, FINISH = 0, 1  # streams of the dice


class Rule(Protocol):
    NAME: str
    SYNSET: str
    ALSO: tuple[str, ...]
    PARTS: tuple[str, ...]

    def make(self, form: Dice, finish: Dice) -> list[Part]: ...


def rules() -> dict[str, Rule]:
    """Every category's rule by the category's plural, in order of name."""
    found = {}
    for module in pkgutil.iter_modules(__path__):
        loaded = importlib.import_module(f"{__name__}.{module.name}")
        if hasattr(loaded, "SYNSET"):
            found[module.name] = cast(Rule, loaded)
    return dict(sorted(found.items()))


def make(rule: Rule, index: int) -> list[Part]:
    """Shape number `index` of a category, its parts in the order of PARTS."""
    number = int(rule.SYNSET)
    parts = rule.make(Dice(number, index, FORM), Dice(number, index, FINISH))
    return sorted(parts, key=lambda part: rule.PARTS.index(part.name))
