"""OBJ: a fast scan of its text, block by block, in some 30 MB whatever its size.

What Blender 5.0 was seen to do, and why these are problems: a face with a vertex, texture or normal
index that is not yet there at its line is dropped (also index 0, and also when the vertex follows
later in the file), unless there is no texture coordinate or normal at all so far; a word that is no
number reads as 0.0; the line after a byte order mark is lost; `\\r` alone ends no line; in UTF-16
every coordinate reads as 0.0.

About 1 microsecond a triangle, most of it splitting text into words.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from renderer.shapes.health.findings import Findings
from renderer.shapes.references import References

BLOCK = 1 << 20  # bytes; as words it takes some thirty times as much
LONGEST_LINE = 64 << 20  # a face of ten million corners is no face
WORST = 2**31 - 1  # an index that no mesh has
DIGITS = b"0123456789-"
TO_SPACE = bytes.maketrans(b"\t\r\v\f", b"    ")
NUMBER = re.compile(
    rb"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|nan|inf(?:inity)?)", re.IGNORECASE
)
CORNER = re.compile(rb"([+-]?\d+)(?:\.0*)?(?:/([+-]?\d*)(?:/([+-]?\d*))?)?")
VERTEX, FACE, TEXTURE, NORMAL = (int.from_bytes(k, "little") for k in (b"v ", b"f ", b"vt", b"vn"))
Ints = NDArray[np.int64]
# Per kind of index: words for people.
KINDS = ("vertex", "texture coordinate", "normal")


def read(path: Path, needs: References, findings: Findings) -> None:
    scan = _Scan(findings)
    with open(path, "rb") as file:
        why = _not_text(file.read(4096))
        file.seek(0)
        for block in _blocks(file):
            if why is None and b"\0" in block:
                why = "NUL bytes in it: damaged, or no OBJ"
            if why is not None:
                findings.problem(why)
                return
            scan.block(block)


def _not_text(head: bytes) -> str | None:
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "UTF-16 text; save it as UTF-8"
    if re.match(rb"\xef\xbb\xbf[ \t]*[vf]", head):
        return "a byte order mark in front of its first vertex; save it as UTF-8 without"
    if b"\0" in head:
        return "binary, no OBJ text"
    if b"\r" in head and b"\n" not in head:
        return "lines end in \\r alone (old Mac); convert them to \\n"
    return None


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """The file in pieces of whole lines; a backslash at a line's end continues it."""
    rest = b""
    while chunk := file.read(BLOCK):
        text = rest + chunk
        end = text.rfind(b"\n")
        while end >= 0 and text[max(0, end - 2) : end].rstrip(b"\r").endswith(b"\\"):
            end = text.rfind(b"\n", 0, end)
        if end < 0 and len(text) > LONGEST_LINE:
            end = len(text) - 1
        rest = text[end + 1 :]
        if end >= 0:
            yield text[: end + 1]
    if rest:
        yield rest


class _Scan:
    """What is known after some blocks."""

    def __init__(self, findings: Findings):
        self.findings = findings
        self.counts = [0, 0, 0]  # vertices, texture coordinates and normals so far
        self.lines = 0
        self.bad = np.empty(0, np.int64)  # vertices whose coordinates are no numbers

    def block(self, text: bytes) -> None:
        text = text.translate(TO_SPACE)
        if b"\\" in text:
            text = re.sub(rb"\\ *\n", b" ", text)
        if not text.endswith(b"\n"):  # nor does the file
            self._last(text[text.rfind(b"\n") + 1 :])
            text += b"\n"
        starts = _starts(text)
        kinds = _kinds(text, starts)
        if (kinds & 255 == 32).any():
            text = re.sub(rb"(?m)^ +", b"", text)
            starts = _starts(text)
            kinds = _kinds(text, starts)
        of = [kinds == kind for kind in (VERTEX, TEXTURE, NORMAL)]
        self._vertices(_lines(text, starts, of[0]), int(of[0].sum()))
        is_face = kinds == FACE
        at = np.flatnonzero(is_face)
        if len(at):
            # How many of each there are above each face's line.
            above = [np.cumsum(k)[is_face] + n for k, n in zip(of, self.counts, strict=True)]
            self._faces(_lines(text, starts, is_face), at, above)
        self.counts = [n + int(k.sum()) for k, n in zip(of, self.counts, strict=True)]
        self.lines += len(kinds)

    def _vertices(self, text: bytes, count: int) -> None:
        if not count:
            return
        points = _points(text, count)
        bad = self.findings.add_points(points)
        self.bad = np.concatenate([self.bad, bad])

    def _faces(self, text: bytes, at: NDArray[np.intp], above: list[Ints]) -> None:
        corners, indices = _corners(text, len(at))
        unreadable = np.flatnonzero(corners < 0)
        if len(unreadable):
            number = self.lines + int(at[unreadable[0]]) + 1
            self.findings.problem(f"line {number}: a face that cannot be read")
            return
        self.findings.add_faces(corners)
        keep = np.repeat(corners >= 3, corners)
        line = np.repeat(at, corners)
        for kind, (index, there) in enumerate(zip(indices, above, strict=True)):
            if index is None:
                continue
            if len(index) and index.min() > 0 and index.max() <= there[0]:
                if not kind:  # all are there above the first of these faces
                    self.findings.check_used(index - 1, self.bad)
                continue
            limit = np.repeat(there, corners)
            # A negative index counts back from the last one above; WORST stands for none given.
            resolved = np.where(index < 0, index + limit, index - 1)
            wrong = ((resolved < 0) | (resolved >= limit)) & keep
            if kind:
                # Blender passes over the indices of what there is none of at all above the face.
                nothing = wrong & (limit == 0) & (index != WORST)
                if nothing.any():
                    self.findings.warn(f"faces name a {KINDS[kind]} where there is none above them")
                wrong &= (limit > 0) & (index != WORST)
            if wrong.any():
                first = int(np.argmax(wrong))
                self.findings.problem(
                    f"line {self.lines + int(line[first]) + 1}: a face has {KINDS[kind]}"
                    f" {int(index[first])}, there are {int(limit[first])} above it"
                )
            elif not kind:
                self.findings.check_used(resolved[keep], self.bad)

    def _last(self, line: bytes) -> None:
        words = line.split(b"#")[0].split()
        if words[:1] in ([b"f"], [b"v"]) and len(words) < 4:
            self.findings.problem("cut off in its last line")


def _starts(text: bytes) -> Ints:
    """Where each line of a text begins, and where the text ends."""
    array = np.frombuffer(text, np.uint8)
    return np.concatenate([[0], np.flatnonzero(array == 10) + 1])


def _kinds(text: bytes, starts: Ints) -> NDArray[np.uint16]:
    """The first two characters of each line, as a number."""
    array = np.frombuffer(text + b"\n", np.uint8)
    kinds: NDArray[np.uint16] = array[starts[:-1]] + np.uint16(256) * array[starts[:-1] + 1]
    return kinds


def _lines(text: bytes, starts: Ints, chosen: NDArray[np.bool_]) -> bytes:
    """Some lines of a text; those that follow each other are cut out in one piece."""
    edges = np.flatnonzero(np.diff(chosen, prepend=False, append=False))
    ends = starts[edges].tolist()
    return b"".join([text[i:j] for i, j in zip(ends[::2], ends[1::2], strict=True)])


def _points(text: bytes, count: int) -> NDArray[np.float64]:
    """Coordinates [count, 3] of so many lines; NaN where a line has no three numbers."""
    if text.count(b"v") == count:
        space = np.frombuffer(b"\n" + text, np.uint8) <= 32
        words = np.diff(np.searchsorted(np.flatnonzero(space[:-1] > space[1:]), _starts(text)))
        if words[0] >= 4 and (words == words[0]).all():
            numbers = _floats(text.replace(b"v", b" "))
            if len(numbers) == (words[0] - 1) * count:
                return numbers.reshape(count, -1)[:, :3]
    return np.array([_point(line) for line in text.splitlines()])


def _floats(text: bytes) -> NDArray[np.float64]:
    """Numbers up to the first word that is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # is said of such a word
        return np.fromstring(text, sep=" ")


def _point(line: bytes) -> tuple[float, float, float]:
    words = line.split(b"#")[0].split()[1:4]
    if len(words) < 3 or not all(NUMBER.fullmatch(word) for word in words):
        return (np.nan, np.nan, np.nan)
    return (float(words[0]), float(words[1]), float(words[2]))


def _corners(text: bytes, count: int) -> tuple[Ints, list[Ints | None]]:
    """Corners per face [count], and vertex, texture and normal index of each corner [corners].

    As in the file (from 1, negative counts back). -1 corners: the line cannot be read. None: no
    corner has such an index.
    """
    first = text[: text.index(b"\n") + 1]
    shape, pattern = text.translate(None, DIGITS), first.translate(None, DIGITS)
    # Without its digits a well-made file repeats one line: "f", "f // //" or "f / / /".
    if shape == pattern * count:
        each = len(first.split()) - 1
        numbers = _plain(text, pattern, each * count)
        if numbers is not None:
            return np.full(count, each, np.int64), numbers
    # Faces of different size: the same, corner by corner.
    lines = text.splitlines()
    patterns = set(shape.split())
    slashes = patterns - {b"f"}
    if b"f" in patterns and (not slashes or slashes == {b"/"} or slashes == {b"//"}):
        counts = np.fromiter((len(line.split()) - 1 for line in lines), np.int64)
        numbers = _plain(text, b"f " + b"".join(slashes), int(counts.sum()))
        if numbers is not None:
            return counts, numbers
    return _slow(lines)


def _plain(text: bytes, pattern: bytes, corners: int) -> list[Ints | None] | None:
    """Indices where every corner has the same slashes; None: not all do.

    pattern  a line, or a corner after `f`, without its digits
    """
    words = pattern.split()
    if words[:1] != [b"f"] or len(set(words[1:])) > 1 or words[1:2] not in ([], [b"/"], [b"//"]):
        return None
    slashes = words[1:2]
    double = text.count(b"//")
    if double and (slashes != [b"//"] or double != corners):
        return None
    digits = text.replace(b"f", b" ").replace(b"/", b" ")
    try:
        numbers = (
            np.fromiter(map(int, digits.split()), np.int64)
            if b"-" in digits
            else np.fromstring(digits, np.int64, sep=" ")  # 7 times faster; only digits here
        )
    except (ValueError, OverflowError):
        return None
    each = 1 if not slashes else 2 if double or slashes == [b"/"] else 3
    if len(numbers) != each * corners:
        return None
    table = numbers.reshape(-1, each).T
    if each == 3:
        return [table[0], table[1], table[2]]
    if each == 1:
        return [table[0], None, None]
    return [table[0], None, table[1]] if double else [table[0], table[1], None]


def _slow(lines: list[bytes]) -> tuple[Ints, list[Ints | None]]:
    """The same for faces of mixed or odd form, corner by corner."""
    counts, found = [], []
    for line in lines:
        corners = [CORNER.fullmatch(word) for word in line.split(b"#")[0].split()[1:]]
        if not all(corners):
            counts.append(-1)
            continue
        counts.append(len(corners))
        found += [corner.groups() for corner in corners if corner]
    table = np.array(
        list(chain.from_iterable((_index(group) for group in one) for one in found)), np.int64
    ).reshape(-1, 3)
    if -1 in counts:
        return np.array(counts, np.int64), [None, None, None]
    return np.array(counts, np.int64), [table[:, 0], table[:, 1], table[:, 2]]


def _index(digits: bytes | None) -> int:
    return max(-WORST, min(int(digits), WORST - 1)) if digits and digits.strip(b"+-") else WORST
