"""What a source finds: shapes that are named but not yet hashed, and what it has on offer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A shape as its source found it; `scan` hashes it and makes it a Shape."""

    group: str
    """First part of the key: the synset where there is one, else the category."""
    id: str
    """The model's name in its source; unique within its group."""
    category: str
    """What it is, for people: `car`."""
    synset: str | None = None
    """WordNet offset as ShapeNet writes it (`02958343`), where known."""
    path: str
    """The mesh file, absolute."""
    up: str
    """Which axis of the file points up: `y` or `z`."""
    split: str | None = None
    """The source's own split: train, val or test; None where it has none."""
    problem: str | None = None
    """Why there is nothing to read (an empty folder, textures only); one line."""


@dataclass(frozen=True, kw_only=True)
class Category:
    """One kind of shapes that a source has."""

    name: str
    synset: str | None = None
    shapes: int | None = None
    """How many; None: as many as one asks for."""


@dataclass(frozen=True, kw_only=True)
class Available:
    """What a source has here, for `farm shapes list`."""

    root: str | None
    """The folder it reads; None: not set, or the source needs none."""
    note: str
    """One line for people: where the root comes from, or what to do where it is missing."""
    categories: tuple[Category, ...] = ()
