"""PLY, text and binary: what its header says against what is there.

Blender 5.0 allocates what the header says, and aborts the whole program where that cannot be; it
reads vertices, faces and triangle strips, one element a line where the file is text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renderer.shapes.health.findings import Findings, floats
from renderer.shapes.references import References

LONGEST_HEADER = 1 << 20  # bytes
TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1",
    "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
MOST_CORNERS = 255  # Blender's reader takes faces of 1 to 255
INDICES = ("vertex_indices", "vertex_index")
Columns = dict[str, list[Any] | NDArray[Any]]


@dataclass(frozen=True)
class _Property:
    name: str
    type: str
    count: str | None
    """Type of the count in front of a list; None: a single value."""


@dataclass(frozen=True)
class _Element:
    name: str
    count: int
    properties: tuple[_Property, ...]


def read(path: Path, needs: References, findings: Findings) -> None:
    data = path.read_bytes()
    try:
        order, elements, start = _header(data)
        body: _Binary | _Text = _Text(data, start) if order is None else _Binary(data, start, order)
        bad = np.empty(0, np.int64)
        for element in elements:
            columns = body.take(element)
            if element.name == "vertex":
                bad = findings.add_points(_points(columns))
            elif element.name in ("face", "tristrips"):
                _faces(element.name, columns, bad, findings)
                if element.name == "face":
                    body.end(last=element == elements[-1])
                    break  # nothing after the faces is drawn
    except ValueError as error:
        findings.problem(str(error))


def _header(data: bytes) -> tuple[str | None, list[_Element], int]:
    """Byte order (None: text), elements, and where they begin."""
    end = re.search(rb"(?m)^end_header[ \t]*(\r\n|\n|\r)", data[:LONGEST_HEADER])
    if not data.startswith(b"ply") or not end:
        raise ValueError("no PLY header, or one without an end")
    order: str | None = None
    elements: list[tuple[str, int, list[_Property]]] = []
    for line in data[: end.start()].decode("latin-1").splitlines()[1:]:
        words = line.split()
        try:
            match words:
                case ["format", kind, _]:
                    order = {"ascii": None, "binary_little_endian": "<", "binary_big_endian": ">"}[
                        kind
                    ]
                case ["element", name, count]:
                    elements.append((name, int(count), []))
                case ["property", "list", count, type, name]:
                    elements[-1][2].append(_Property(name, TYPES[type], TYPES[count]))
                case ["property", type, name]:
                    elements[-1][2].append(_Property(name, TYPES[type], None))
                case ["comment" | "obj_info", *_] | []:
                    pass
                case _:
                    raise ValueError
        except (KeyError, IndexError, ValueError):
            raise ValueError(f"header line {line[:80]!r} cannot be read") from None
    if any(count < 0 for _, count, _ in elements):
        raise ValueError("an element with a negative count")
    return order, [_Element(n, c, tuple(p)) for n, c, p in elements], end.end()


def _points(columns: Columns) -> NDArray[np.float64]:
    try:
        with np.errstate(invalid="ignore"):  # a signalling NaN is told later, as any other
            return np.stack([np.asarray(columns[axis], np.float64) for axis in "xyz"], axis=1)
    except KeyError as error:
        raise ValueError(f"vertices without {error}") from None


def _faces(kind: str, columns: Columns, bad: NDArray[np.int64], findings: Findings) -> None:
    name = next((name for name in INDICES if name in columns), None)
    if name is None:
        raise ValueError("faces without vertex_indices")
    corners = np.asarray(columns[f"{name} count"], np.int64)
    indices = np.asarray(columns[name], np.int64)
    if kind == "tristrips":
        pieces = np.split(indices, np.cumsum(corners)[:-1])
        runs = [run for piece in pieces for run in np.split(piece, np.flatnonzero(piece < 0))]
        lengths = np.array([(run >= 0).sum() for run in runs])
        findings.add_faces(np.full(int(np.maximum(lengths - 2, 0).sum()), 3))
        findings.check_indices(indices[indices >= 0], bad)
        return
    if len(corners) and not 1 <= corners.min() <= corners.max() <= MOST_CORNERS:
        raise ValueError(f"faces of {corners.min()} to {corners.max()} corners")
    findings.add_faces(corners)
    findings.check_indices(indices[np.repeat(corners >= 3, corners)], bad)


class _Binary:
    """Elements one after another, in one byte order."""

    def __init__(self, data: bytes, start: int, order: str):
        self.data, self.at, self.order = data, start, order

    def end(self, last: bool) -> None:
        """Bytes too many mean that some before were lost or added: line ends made DOS's."""
        left = self.data[self.at :]
        if last and left.strip(b"\0\r\n\t "):
            raise ValueError(f"{len(left)} bytes after its last face: damaged")

    def take(self, element: _Element) -> Columns:
        if not element.count:
            return _nothing(element)
        layout = self._layout(element)
        room = (len(self.data) - self.at) // max(1, self._smallest(element).itemsize)
        if element.count > room:
            raise ValueError(
                f"says {element.count} x {element.name}, has room for no more than {room}"
            )
        if layout.itemsize * element.count <= len(self.data) - self.at:
            table = np.frombuffer(self.data, layout, element.count, self.at)
            lists = [p.name for p in element.properties if p.count]
            if all((table[f"{n} count"] == table[f"{n} count"][0]).all() for n in lists):
                self.at += table.nbytes
                return {n: table[n].reshape(-1) for n in layout.names or ()}
        return self._walk(element)

    def _layout(self, element: _Element) -> np.dtype[Any]:
        """All rows as long as the first."""
        fields: list[tuple[Any, ...]] = []
        for p in element.properties:
            if p.count:
                before = np.dtype(fields).itemsize if fields else 0
                n = self._value(self.at + before, self.order + p.count)
                fields.append((f"{p.name} count", self.order + p.count))
                fields.append((p.name, self.order + p.type, (n,)))
                self._room(before + n * np.dtype(p.type).itemsize)
            else:
                fields.append((p.name, self.order + p.type))
        return np.dtype(fields)

    def _smallest(self, element: _Element) -> np.dtype[Any]:
        return np.dtype([(p.name, p.count or p.type) for p in element.properties])

    def _room(self, needed: int) -> None:
        if needed > len(self.data) - self.at:
            raise ValueError("cut off within a list, or a list with an absurd count")

    def _value(self, at: int, type: str) -> int:
        size = np.dtype(type).itemsize
        if at + size > len(self.data):
            raise ValueError("cut off within a list")
        value = int(np.frombuffer(self.data, type, 1, at)[0])
        if value < 0:
            raise ValueError("a list with a negative count")
        return value

    def _walk(self, element: _Element) -> Columns:
        """Row by row, where lists differ in length; about 2 microseconds a list."""
        columns: dict[str, list[Any]] = {n: [] for n in _nothing(element)}
        little = "little" if self.order == "<" else "big"
        for row in range(element.count):
            for p in element.properties:
                size = int(p.type[1])
                if not p.count:
                    self.at += size  # a single value beside lists is of no use to anyone here
                    continue
                width = int(p.count[1])
                n = int.from_bytes(
                    self.data[self.at : self.at + width],
                    little,  # type: ignore[arg-type]
                    signed=p.count[0] == "i",
                )
                self.at += width
                if n < 0 or self.at + n * size > len(self.data):
                    raise ValueError(f"cut off in row {row} of {element.count} of {element.name}")
                columns[f"{p.name} count"].append(n)
                columns[p.name].append(self.data[self.at : self.at + n * size])
                self.at += n * size
        flat: Columns = {}
        for p in element.properties:
            if p.count:
                flat[f"{p.name} count"] = columns[f"{p.name} count"]
                flat[p.name] = np.frombuffer(b"".join(columns[p.name]), self.order + p.type)
        return flat


class _Text:
    """Elements a line each."""

    def __init__(self, data: bytes, start: int):
        if b"\0" in data[start : start + (1 << 20)]:
            raise ValueError("NUL bytes in its text: damaged, or binary")
        body = data[start:].replace(b"\r", b"\n")
        self.lines = [line for line in body.split(b"\n") if line and not line.isspace()]
        self.at = 0

    def end(self, last: bool) -> None:
        pass

    def take(self, element: _Element) -> Columns:
        left = len(self.lines) - self.at
        if element.count > left:
            raise ValueError(f"says {element.count} x {element.name}, has {left} lines left")
        if not element.count or not element.properties:
            return _nothing(element)
        lines = self.lines[self.at : self.at + element.count]
        self.at += element.count
        try:
            return _same_width(element, lines) or _each(element, lines)
        except (ValueError, IndexError, OverflowError) as error:
            raise ValueError(f"a {element.name} cannot be read: {error}") from None


def _same_width(element: _Element, lines: list[bytes]) -> Columns | None:
    """Columns where every line has as many words, and lists are equally long; else None."""
    words = b" ".join(lines).split()
    width, odd = divmod(len(words), len(lines))
    if odd:
        return None
    columns: Columns = {}
    at = 0
    for p in element.properties:
        if at >= width:
            return None
        if p.count:
            n = int(words[at])
            if words[at::width].count(words[at]) != len(lines) or n < 0:
                return None
            columns[f"{p.name} count"] = np.full(len(lines), n)
            if at + 1 + n > width:
                return None
            part = [_numbers(words[at + 1 + k :: width], p.type) for k in range(n)]
            columns[p.name] = np.stack(part, axis=1).reshape(-1) if n else np.empty(0)
            at += 1 + n
        else:
            columns[p.name] = _numbers(words[at::width], p.type)
            at += 1
    return columns


def _each(element: _Element, lines: list[bytes]) -> Columns:
    columns: dict[str, list[Any]] = {name: [] for name in _nothing(element)}
    for line in lines:
        words, at = line.split(), 0
        for p in element.properties:
            if at >= len(words):
                raise ValueError(f"no word for {p.name}")
            if p.count:
                n = int(words[at])
                if n < 0 or at + 1 + n > len(words):
                    raise ValueError(f"a list of {n} in a line of {len(words)} words")
                columns[f"{p.name} count"].append(n)
                columns[p.name] += words[at + 1 : at + 1 + n]
                at += 1 + n
            else:
                columns[p.name].append(words[at])
                at += 1
    kinds = {p.name: p.type for p in element.properties}
    return {
        name: values if name not in kinds else _numbers(values, kinds[name])
        for name, values in columns.items()
    }


def _numbers(words: list[bytes], type: str) -> NDArray[Any]:
    if type[0] == "f":
        return floats(words)
    return np.fromiter(map(int, words), np.int64)


def _nothing(element: _Element) -> Columns:
    """Columns of an element without rows."""
    names = [p.name for p in element.properties]
    lists = [f"{p.name} count" for p in element.properties if p.count]
    return {name: [] for name in names + lists}
