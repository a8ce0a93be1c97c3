"""A health report on many shapes: which are broken, how large they are, which are the same."""

from __future__ import annotations

import os
import statistics
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from multiprocessing import get_context

from renderer.shapes import identify
from renderer.shapes.candidate import Candidate
from renderer.shapes.health import inspect

ALONE = 100  # shapes; below this starting processes costs more than it saves
TOGETHER = 16  # shapes handed to a process at once


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One shape after a look at it."""

    key: str
    path: str
    category: str
    sha256: str = ""
    bytes: int = 0
    vertices: int = 0
    faces: int = 0
    triangles: int = 0
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    """Files it names that are not there, or that lie outside its folder."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Smallest, middle and largest of some numbers, and their sum."""

    min: int = 0
    median: int = 0
    max: int = 0
    total: int = 0


@dataclass(frozen=True, kw_only=True)
class Report:
    """The health of the shapes at one address."""

    address: str
    shapes: int
    ok: int
    warned: int
    broken: int
    triangles: Spread
    """Of the shapes that are not broken."""
    bytes: Spread
    """Sizes of the mesh files."""
    categories: dict[str, int]
    duplicates: tuple[tuple[str, ...], ...]
    """Keys of shapes whose mesh, materials and textures are byte for byte the same."""
    problems: tuple[Checked, ...]
    warnings: tuple[Checked, ...]
    missing: int
    """How many files are named and not there, over all shapes."""


def check(candidates: Sequence[Candidate], processes: int | None = None) -> Iterator[Checked]:
    """Looks at shapes, in their order; in several processes where there are many."""
    processes = processes or os.cpu_count() or 1
    if len(candidates) < ALONE or processes == 1:
        yield from map(look_at, candidates)
        return
    rest = iter(candidates)
    waiting: deque[Future[list[Checked]]] = deque()
    # Spawned, for the caller may have threads.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        while part := list(islice(rest, TOGETHER)):
            waiting.append(pool.submit(_look_at_all, part))
            if len(waiting) > 4 * processes:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def look_at(candidate: Candidate) -> Checked:
    """One shape, hashed and inspected."""
    shape = identify(candidate)
    named = Checked(key=shape.key, path=shape.path, category=shape.category)
    if shape.problem:
        return replace(named, problems=(shape.problem,))
    health = inspect(shape.path)
    return replace(
        named,
        sha256=shape.sha256,
        bytes=health.bytes,
        vertices=health.vertices,
        faces=health.faces,
        triangles=health.triangles,
        problems=health.problems,
        warnings=health.warnings,
        missing=health.references.missing + health.references.outside,
    )


def report(address: str, checked: Iterable[Checked]) -> Report:
    """What is worth telling of the shapes at an address."""
    shapes = list(checked)
    fit = [shape for shape in shapes if not shape.problems]
    warned = [shape for shape in fit if shape.warnings]
    same: dict[str, list[str]] = {}
    for shape in shapes:
        if shape.sha256:
            same.setdefault(shape.sha256, []).append(shape.key)
    return Report(
        address=address,
        shapes=len(shapes),
        ok=len(fit) - len(warned),
        warned=len(warned),
        broken=len(shapes) - len(fit),
        triangles=_spread([shape.triangles for shape in fit]),
        bytes=_spread([shape.bytes for shape in shapes if shape.bytes]),
        categories=dict(sorted(Counter(shape.category for shape in shapes).items())),
        duplicates=tuple(tuple(sorted(keys)) for keys in same.values() if len(keys) > 1),
        problems=tuple(shape for shape in shapes if shape.problems),
        warnings=tuple(warned),
        missing=sum(len(shape.missing) for shape in shapes),
    )


def _look_at_all(candidates: list[Candidate]) -> list[Checked]:
    return [look_at(candidate) for candidate in candidates]


def _spread(numbers: list[int]) -> Spread:
    if not numbers:
        return Spread()
    return Spread(
        min=min(numbers),
        median=int(statistics.median(numbers)),
        max=max(numbers),
        total=sum(numbers),
    )
