"""A shape: one 3D model of a source, named and hashed, not yet read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)  # there may be a million
class Shape:
    key: str
    """Name of its sample in a dataset: `<category or synset>-<model id>`."""
    id: str
    """The model's name in its source."""
    category: str
    """What it is, for people: `car`."""
    synset: str | None
    """WordNet offset as ShapeNet writes it (`02958343`), where known."""
    path: str
    """The mesh file."""
    sha256: str
    """Of the mesh file, then of its MTL and textures in order of name; empty with a problem."""
    up: str
    """Which axis of the file points up: `y` or `z`."""
    split: str | None = None
    """The source's own split, where it has one."""
    problem: str | None = None
    """Why it cannot even be hashed (an empty folder, no bytes); such a shape fails as bad input."""
