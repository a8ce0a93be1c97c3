"""Any folder or file of meshes."""
from __future__ import annotations

from collections.abc import Iterator

from renderer.shapes.candidate import Available, Candidate


def find(rest: str, up: str | None, limit: int | None) -> Iterator[Candidate]:
    yield from ()


def available() -> Available:
    return Available(root=None, note="any folder or file of OBJ, GLB, glTF, PLY, STL or OFF")
