"""Any folder or file of OBJ, GLB, glTF, PLY, STL and OFF, in ShapeNet's layout or not.

A synset folder of ShapeNet's layout, wherever it lies, gives what `shapenet/` would give.
Elsewhere every mesh file below the folder is a shape: its category is the first-level sub-folder,
or the folder's own name for files that lie in it directly; its id is the rest of the path without
the suffix, or the model's folder for `<id>/models/model_normalized.obj` and `<id>/model.obj`. Files
that would share an id all keep their suffix. Hidden files and folders are passed over; what looks
like a shape and cannot be one (an empty folder, one that cannot be listed, a folder called
`car.obj`) is a candidate with a problem.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from renderer.shapes import shapenet
from renderer.shapes.candidate import Available, Candidate
from renderer.shapes.naming import printable

# Up axis by suffix (architecture.md): OBJ and glTF say y, the others come from CAD and scanners.
UP = {".obj": "y", ".glb": "y", ".gltf": "y", ".ply": "z", ".stl": "z", ".off": "z"}


def find(rest: str, up: str | None, limit: int | None) -> Iterator[Candidate]:
    """Every mesh at a path. Raises ValueError if there is no such path or it is no mesh."""
    path = Path(os.path.abspath(os.path.expanduser(rest)))
    if not path.exists():
        raise ValueError(
            f"no folder or file {rest!r}; an address is a path, or begins with modelnet/,"
            " samples/ or shapenet/"
        )
    if path.is_dir():
        try:
            os.scandir(path).close()
        except OSError as error:
            raise ValueError(f"{rest}: cannot be listed: {error.strerror or error}") from error
        return _in_folder(path, up)
    if path.suffix.lower() not in UP:
        raise ValueError(f"{rest}: not one of {', '.join(UP)}")
    return iter([_one(path, up)])


def available() -> Available:
    return Available(root=None, note="any folder or file of OBJ, GLB, glTF, PLY, STL or OFF")


@dataclass(frozen=True)
class _Found:
    """A mesh file, or something that should have held one."""

    path: str
    relative: str
    problem: str | None = None


def _one(path: Path, up: str | None) -> Candidate:
    for mesh in shapenet.MESHES[:2]:
        model = Path(str(path).removesuffix(f"/{mesh}"))
        if model != path and shapenet.is_synset_folder(model.parent):
            return shapenet.candidate(model, up)
    return _candidate(path.parent, _Found(str(path), path.name), up, suffix=False)


def _in_folder(path: Path, up: str | None) -> Iterator[Candidate]:
    if shapenet.is_synset_folder(path):
        yield from shapenet.models(path.parent, [path.name], up)
        return
    if shapenet.is_synset_folder(path.parent) and path.name not in ("models", "images"):
        yield shapenet.candidate(path, up)
        return
    found: list[_Found] = []
    for one in _walk(path):
        if isinstance(one, Path):
            yield from shapenet.models(one.parent, [one.name], up)
        else:
            found.append(one)
    ids = Counter(_named(path, one) for one in found)
    for one in found:
        yield _candidate(path, one, up, suffix=ids[_named(path, one)] > 1)


def _named(top: Path, one: _Found) -> tuple[str, str]:
    """Category and id of a file below a folder."""
    first, slash, rest = one.relative.partition("/")
    category, inside = (first, rest) if slash else (top.name or "shape", first)
    for mesh in shapenet.MESHES:
        if inside.endswith(f"/{mesh}"):
            return printable(category), printable(inside.removesuffix(f"/{mesh}"))
    stem, suffix = os.path.splitext(inside)
    return printable(category), printable(stem if suffix.lower() in UP else inside)


def _candidate(top: Path, one: _Found, up: str | None, suffix: bool) -> Candidate:
    category, id = _named(top, one)
    if suffix:
        id = printable(one.relative.removeprefix(f"{category}/"))
    return Candidate(
        group=category,
        id=id,
        category=category,
        path=one.path,
        up=up or UP.get(os.path.splitext(one.path)[1].lower(), "y"),
        problem=one.problem,
    )


def _walk(top: Path) -> Iterator[_Found | Path]:
    """Mesh files below a folder, and as a Path each synset folder, which is not entered.

    In order of name. Each real folder is read once, under its own name before any symbolic link to
    it, so that a loop of links ends and a link never decides what a shape is called.
    """
    seen: set[tuple[int, int]] = set()
    real, links = [""], list[str]()
    while real or links:
        relative = real.pop() if real else links.pop(0)
        folder = os.path.join(top, relative) if relative else str(top)
        try:
            about = os.stat(folder)
            if (about.st_dev, about.st_ino) in seen:
                continue
            seen.add((about.st_dev, about.st_ino))
            with os.scandir(folder) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            yield _Found(folder, relative, f"cannot be read: {error.strerror or error}")
            continue
        if relative and shapenet.is_synset_folder(Path(folder)):
            yield Path(folder)
            continue
        if relative and not entries:
            yield _Found(folder, relative, "an empty folder")
        below: list[str] = []
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            name = f"{relative}/{entry.name}" if relative else entry.name
            if _is_folder(entry):
                (links if entry.is_symlink() else below).append(name)
                if _is_mesh(entry.name) and next(_walk(Path(entry.path)), None) is None:
                    yield _Found(entry.path, name)  # scan says that it is a folder
            elif _is_mesh(entry.name):
                yield _Found(entry.path, name)
        real.extend(reversed(below))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _is_mesh(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in UP
