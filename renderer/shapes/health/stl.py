"""STL: binary by its size, else text, as Blender 5.0 tells them apart.

A binary file with one byte too many or too few is text to Blender, and gives nothing; one that
begins with `solid` is binary all the same when its size says so. A text that breaks off gives the
faces up to there without a word.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from renderer.shapes.health.findings import Findings, floats
from renderer.shapes.references import References

HEADER, TRIANGLE = 84, 50  # bytes
LAYOUT = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
AT_ONCE = 1 << 16  # triangles, 3 MB
BLOCK = 1 << 20  # bytes


def read(path: Path, needs: References, findings: Findings) -> None:
    size = os.stat(path).st_size
    with open(path, "rb") as file:
        head = file.read(4096)
        says = int.from_bytes(head[80:84], "little")
        if size == HEADER + TRIANGLE * says:
            file.seek(HEADER)
            while len(part := np.fromfile(file, LAYOUT, AT_ONCE)):
                with np.errstate(invalid="ignore"):  # a signalling NaN is told as any other
                    corners = part["corners"].reshape(-1, 3).astype(np.float64)
                _add(corners, findings)
        elif head.lstrip().startswith((b"solid", b"facet")) and b"\0" not in head:
            file.seek(0)
            _text(file, findings)
        else:
            room = max(0, size - HEADER) / TRIANGLE
            findings.problem(f"says {says} triangles, has room for {room:.1f}")


def _text(file: BinaryIO, findings: Findings) -> None:
    for block in _blocks(file):
        ends = len(re.findall(rb"\bendfacet\b", block))
        corners = re.findall(rb"\bvertex\s+(\S+)\s+(\S+)\s+(\S+)", block)
        if ends != len(re.findall(rb"\bfacet\b", block)) or len(corners) != 3 * ends:
            findings.problem("cut off, or a facet of other than three corners")
            return
        try:
            points = floats(word for corner in corners for word in corner).reshape(-1, 3)
        except ValueError as error:
            findings.problem(f"a corner cannot be read: {error}")
            return
        _add(points, findings)


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """Lower-case text in pieces of whole facets; the last may be cut off."""
    rest = b""
    while chunk := file.read(BLOCK):
        text = rest + chunk.lower()
        end = text.rfind(b"endfacet") + len(b"endfacet")
        if end < len(b"endfacet"):
            end = len(text) if len(text) > 2 * BLOCK else 0  # a facet is seven short lines
        rest = text[end:]
        yield text[:end]
    yield rest


def _add(corners: NDArray[np.float64], findings: Findings) -> None:
    """Corners [3 T, 3] of triangles: every one is used."""
    if len(findings.add_points(corners)):
        findings.problem("coordinates of a face are NaN, infinite or no number")
    findings.add_faces(np.full(len(corners) // 3, 3))
