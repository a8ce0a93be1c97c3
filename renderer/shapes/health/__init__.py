"""Is a mesh file fit to be rendered? Looked at before Blender or trimesh may open it.

Blender's importers do not raise for a bad OBJ, read NaN as 0.0, drop the faces that they cannot
read, and abort the whole program for a PLY that claims four billion faces. So what cannot be
rendered right is a problem (the shape fails as bad input, with this reason), and what can be, but
not as its maker meant it, is a warning. Every rule here was compared with what Blender 5.0.1 makes
of such a file.

One module per format; each reads the file in time and memory proportional to its size, whatever
it claims. Nothing here needs bpy or trimesh.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from renderer.shapes.health import textures
from renderer.shapes.health.findings import Findings
from renderer.shapes.references import References, references, roots_of

__all__ = ["Health", "inspect"]

# File name suffix -> module of this package.
FORMATS = {"obj": "obj", "glb": "gltf", "gltf": "gltf", "ply": "ply", "stl": "stl", "off": "off"}

MALFORMED = (
    ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError, MemoryError,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Health:
    """What one mesh file holds, and what is wrong with it."""

    format: str
    """obj, glb, gltf, ply, stl or off."""
    bytes: int
    """Size of the mesh file alone."""
    vertices: int = 0
    faces: int = 0
    """Polygons of three corners and more."""
    triangles: int = 0
    """What the polygons are once cut into triangles."""
    problems: tuple[str, ...] = ()
    """Why it cannot be rendered right; empty: it can."""
    warnings: tuple[str, ...] = ()
    """What is rendered all the same: missing textures, odd but harmless content."""
    references: References = field(default_factory=References)
    """The other files that it needs."""

    @property
    def ok(self) -> bool:
        return not self.problems


def inspect(path: Path | str) -> Health:
    """The health of one file. Never raises for what the file is or holds."""
    path = Path(path)
    format = path.suffix.lower().removeprefix(".")
    findings, needs, size = Findings(), References(), 0
    try:
        size = os.stat(path).st_size
        if not path.is_file():
            kind = "a folder with the name of a mesh file" if path.is_dir() else "no ordinary file"
            return Health(format=format, bytes=0, problems=(kind,))
        if format not in FORMATS:
            return Health(format=format, bytes=size, problems=(f"{format or 'no'} format we know",))
        if size == 0:
            return Health(format=format, bytes=0, problems=("0 bytes",))
        needs = references(path, roots_of(path))
        reader = importlib.import_module(f"{__name__}.{FORMATS[format]}")
        reader.read(path, needs, findings)
        textures.check(
            ((file.name, file) for file in needs.files if file.suffix.lower() != ".mtl"), findings
        )
    except MALFORMED as error:
        # A reader stumbled on what it did not foresee: the file's fault, and it cannot be rendered.
        findings.problem(f"malformed: {type(error).__name__} {error}"[:200])
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
        return Health(format=format, bytes=0, problems=(reason,))
    findings.conclude()
    missing = [name for name in needs.missing if name not in needs.buffers]
    if missing:
        findings.warn(f"missing: {_few(missing)}")
    if needs.followed:
        findings.problem(f"a material library outside of its folder: {_few(needs.followed)}")
    if needs.outside:
        findings.warn(f"outside the model's folder, not read: {_few(needs.outside)}")
    return Health(
        format=format,
        bytes=size,
        vertices=findings.vertices,
        faces=findings.faces,
        triangles=findings.triangles,
        problems=tuple(findings.problems),
        warnings=tuple(findings.warnings),
        references=needs,
    )


def _few(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
