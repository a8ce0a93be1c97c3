"""Where shapes come from: one file per source, found by looking into this folder.

An address is a source's name first (`samples/cars`, `shapenet/02958343`), else a path.
A source is a module of this folder with two functions:

    find(rest, up, limit) -> Iterable[Candidate]
        rest    what follows the source's name in the address, without slashes at its ends; the
                whole address where the source is `folder`
        up      "y", "z" or None: the file's up axis as the user gave it, else the source's rule
        limit   only the first so many in order of id are wanted (None: all). A source may give
                more, and in any order; one that makes its shapes need not make more
        raises ValueError, one line, for what the user got wrong: the thing, the value, the remedy

    available() -> Available
        what there is here, for people; never raises for a root that is missing or unset

Reading a folder must stay cheap: a source looks at names, `scan` opens files.
"""

from __future__ import annotations

import dataclasses
import hashlib
import heapq
import importlib
import os
import pkgutil
import stat
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, cast

from renderer.shapes.candidate import Available, Candidate, Category
from renderer.shapes.naming import make_key, printable, with_digest
from renderer.shapes.references import references as references_of
from renderer.shapes.references import roots_of
from renderer.shapes.shape import Shape

__all__ = [
    "Available",
    "Candidate",
    "Category",
    "Progress",
    "Shape",
    "find",
    "identify",
    "paths",
    "scan",
    "source",
    "sources",
]

# Calls with (done, total); total is None while shapes are still being found.
Progress = Callable[[int, int | None], None]

# Hashing waits for the disk (network folders: for every file), and hashlib lets other threads run.
THREADS = min(16, 4 * (os.cpu_count() or 1))
CHUNK = 1 << 20
LARGEST = 16 << 30  # bytes of one file: 150 million triangles as text


class Source(Protocol):
    def find(self, rest: str, up: str | None, limit: int | None) -> Iterable[Candidate]: ...
    def available(self) -> Available: ...


def sources() -> dict[str, Source]:
    """Every source by its name, in order of name."""
    found = {}
    for module in pkgutil.iter_modules(__path__):
        loaded = importlib.import_module(f"{__name__}.{module.name}")
        if hasattr(loaded, "find") and hasattr(loaded, "available"):
            found[module.name] = cast(Source, loaded)
    return dict(sorted(found.items()))


def source(address: str) -> tuple[Source, str]:
    """The source that answers for an address, and what of the address is left for it."""
    named = sources()
    name, _, rest = address.partition("/")
    if name in named and name != "folder":
        return named[name], rest.strip("/")
    return named["folder"], address


def paths(addresses: Iterable[str]) -> Iterator[str]:
    """Those of some addresses that are paths and no source's own."""
    folder = sources()["folder"]
    yield from (address for address in addresses if source(address)[0] is folder)


def scan(
    addresses: Iterable[str],
    up: str | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
) -> tuple[Shape, ...]:
    """The shapes at some addresses, hashed, in order of key; a file found twice counts once.

    addresses   each a source's name first, else a path
    up          "y" or "z" overrides what the source or the format says
    limit       at most so many shapes of each address: the first in order of id
    progress    called with (done, total) now and then

    A shape that cannot be hashed has a `problem` and no hash; it is never left out.
    Raises ValueError for an unknown source, category or folder, a missing root, or no shape at all.
    """
    addresses = [addresses] if isinstance(addresses, str) else list(addresses)
    if not addresses:
        raise ValueError("no shapes: give an address such as samples/cars or path/to/folder")
    found: dict[str, Candidate] = {}
    for address in addresses:
        for candidate in find(address, up, limit, progress, len(found)):
            found.setdefault(os.path.abspath(candidate.path), candidate)
    if not found:
        raise ValueError(f"no shapes at {addresses[0]!r}: no OBJ, GLB, glTF, PLY, STL or OFF in it")
    shapes = _hashed(list(found.values()), progress)
    return tuple(sorted(_told_apart(shapes), key=lambda shape: shape.key))


def find(
    address: str,
    up: str | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
    before: int = 0,
) -> Iterator[Candidate]:
    """The shapes at one address by name, no file opened yet; for the rest see `scan`."""
    if up not in (None, "y", "z"):
        raise ValueError(f"up axis {up!r}: it is y or z")
    if limit is not None and limit < 1:
        raise ValueError(f"limit {limit}: at least 1")
    reader, rest = source(address)
    found = _counted(reader.find(rest, up, limit), before, progress)
    if limit is None:
        return found
    return iter(heapq.nsmallest(limit, found, key=lambda c: (c.id, c.group)))


def _counted(
    found: Iterable[Candidate], before: int, progress: Progress | None
) -> Iterator[Candidate]:
    told = time.monotonic()
    for n, candidate in enumerate(found, start=1):
        if progress and time.monotonic() - told > 0.2:
            progress(before + n, None)
            told = time.monotonic()
        yield candidate


def _hashed(candidates: list[Candidate], progress: Progress | None) -> Iterator[Shape]:
    """Shapes in the order of their candidates, with a short window of files in flight."""
    waiting: deque[Future[Shape]] = deque()
    done = 0
    with ThreadPoolExecutor(THREADS) as pool:
        for candidate in candidates:
            waiting.append(pool.submit(identify, candidate))
            if len(waiting) < 8 * THREADS:
                continue
            yield waiting.popleft().result()
            done += 1
            if progress:
                progress(done, len(candidates))
        while waiting:
            yield waiting.popleft().result()
            done += 1
            if progress:
                progress(done, len(candidates))


def identify(candidate: Candidate) -> Shape:
    """The shape of a candidate: hashed, or with the reason why it cannot be."""
    problem = candidate.problem or _unreadable(candidate.path)
    sha256 = ""
    if problem is None:
        try:
            sha256 = digest(Path(candidate.path))
        except OSError as error:
            problem = f"cannot be read: {error.strerror or error}"
        except ValueError as error:
            problem = str(error)
    return Shape(
        key=make_key(candidate.group, candidate.id),
        id=candidate.id,
        category=candidate.category,
        synset=candidate.synset,
        path=printable(os.path.abspath(candidate.path)),
        sha256=sha256,
        up=candidate.up,
        split=candidate.split,
        problem=problem,
    )


def digest(path: Path) -> str:
    """SHA-256 of a mesh file, then of its MTL, buffers and textures in order of name.

    Raises OSError if one of them cannot be read, ValueError if they are too many or too large.
    """
    total = hashlib.sha256()
    for part in (path, *references_of(path, roots_of(path)).files):
        with open(part, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > LARGEST:  # it may well be a hole without end
                raise ValueError(f"{part.name} has {size} bytes; at most {LARGEST}")
            while chunk := file.read(CHUNK):
                total.update(chunk)
    return total.hexdigest()


def _unreadable(path: str) -> str | None:
    if printable(path) != path:
        return "its name is not UTF-8: rename it"
    try:
        about = os.stat(path)
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    if stat.S_ISDIR(about.st_mode):
        return "a folder with the name of a mesh file"
    if not stat.S_ISREG(about.st_mode):
        return "not an ordinary file"
    return "0 bytes" if about.st_size == 0 else None


def _told_apart(shapes: Iterable[Shape]) -> Iterator[Shape]:
    """Shapes whose keys differ.

    Two addresses may each have a `car-7`. The same file twice counts once; different ones get 8
    hex digits of their content, which is the same on every machine, unlike a path.
    """
    by_key: dict[str, list[Shape]] = {}
    for shape in shapes:
        by_key.setdefault(shape.key, []).append(shape)
    for key, same in by_key.items():
        if len(same) == 1:
            yield same[0]
            continue
        distinct = {shape.sha256 or shape.path: shape for shape in reversed(same)}
        for original, shape in distinct.items():
            renamed = key if len(distinct) == 1 else with_digest(key, original)
            yield dataclasses.replace(shape, key=renamed)
