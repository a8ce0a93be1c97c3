"""OFF, which Blender cannot import: text to arrays.

ModelNet's own quirk is read: in hundreds of its files the counts follow `OFF` without a line end
(`OFF490 518 0`). Also `COFF`, `NOFF`, `STOFF` (what follows the coordinates of a vertex is passed
over), comments, and colours after a face's indices. One vertex and one face a line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HEADER = re.compile(rb"\s*(?:ST)?C?N?(4?n?)OFF[ \t]*(BINARY)?")


@dataclass(frozen=True, kw_only=True)
class Off:
    vertices: NDArray[np.float64]
    """[V, 3], as in the file; may be NaN."""
    corners: NDArray[np.int64]
    """[F], how many corners each face has."""
    indices: NDArray[np.int64]
    """[corners.sum()], vertices of all faces in turn, from 0; may be out of range."""


def read_off(path: Path) -> Off:
    """The mesh of an OFF file.

    Raises ValueError, one line, where the text does not hold what it says. What it says is compared
    with what is there before anything is allocated.
    """
    text = path.read_bytes().replace(b"\r", b"\n")
    if b"#" in text:
        text = re.sub(rb"#[^\n]*", b"", text)
    head = HEADER.match(text)
    if not head:
        raise ValueError("does not begin with OFF")
    if head[2]:
        raise ValueError("binary OFF; save it as text")
    if head[1]:
        raise ValueError("OFF of other than three dimensions")
    if b"\0" in text:
        raise ValueError("NUL bytes in it: damaged, or no OFF")
    lines = [line for line in text[head.end() :].split(b"\n") if line and not line.isspace()]
    try:
        vertices, faces = (int(word) for word in lines[0].split()[:2])
    except (IndexError, ValueError):
        raise ValueError("no counts of vertices and faces after OFF") from None
    there = len(lines) - 1
    if vertices < 0 or faces < 0 or vertices + faces > there:
        raise ValueError(f"says {vertices} vertices and {faces} faces, has {there} lines")
    corners, indices = _faces(lines[1 + vertices : 1 + vertices + faces])
    return Off(vertices=_vertices(lines[1 : 1 + vertices]), corners=corners, indices=indices)


def _vertices(lines: list[bytes]) -> NDArray[np.float64]:
    if not lines:
        return np.empty((0, 3))
    try:
        words = b" ".join(lines).split()
        width, odd = divmod(len(words), len(lines))
        if odd or width < 3:
            words, width = [word for line in lines for word in line.split()[:3]], 3
        if len(words) != width * len(lines):
            raise ValueError("a vertex has fewer than 3 coordinates")
        columns = [np.fromiter(map(float, words[k::width]), np.float64) for k in range(3)]
    except ValueError as error:
        raise ValueError(f"a vertex cannot be read: {error}") from None
    return np.stack(columns, axis=1)


def _faces(lines: list[bytes]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if not lines:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    try:
        words = b" ".join(lines).split()
        width, odd = divmod(len(words), len(lines))
        each = int(words[0])
        if not odd and 0 < each < width and words[::width].count(words[0]) == len(lines):
            columns = [np.fromiter(map(int, words[k::width]), np.int64) for k in range(1, each + 1)]
            return np.full(len(lines), each, np.int64), np.stack(columns, axis=1).ravel()
        corners, indices = [], list[int]()
        for line in lines:
            first, *others = line.split()
            corners.append(int(first))
            if not 0 <= corners[-1] <= len(others):
                raise ValueError(f"it says {corners[-1]} corners and has {len(others)}")
            indices += map(int, others[: corners[-1]])
        return np.array(corners, np.int64), np.array(indices, np.int64)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"a face cannot be read: {error}") from None
