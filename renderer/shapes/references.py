"""Which other files a mesh file needs: its MTL, textures and buffers, and which may be read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class References:
    files: tuple[Path, ...] = ()
    missing: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()


def roots_of(path: Path) -> tuple[Path, ...]:
    if path.parent.name == "models":
        return (path.parent, path.parent.parent / "images")
    return (path.parent,)


def references(path: Path, roots: tuple[Path, ...]) -> References:
    return References()
