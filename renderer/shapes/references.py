"""Which other files a mesh file needs (MTL, textures, buffers), and which of them may be read.

A mesh comes from anywhere and names files as it likes: `../../etc/passwd`, `C:\\work\\a.png`. Only
what lies in the model's own folder, or in ShapeNet's `../images`, is ever opened; symbolic links
count by where they lead. A name is looked for as Blender 5.0's importers look for it, so that what
is hashed is what is rendered, and then with the remedies listed at `find_named`.

Nothing here needs bpy or trimesh, and no more than a few MB are held at a time.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

CHUNK = 4 << 20  # bytes read at a time
LONGEST_MTL = 16 << 20  # a material library above this is no material library
LONGEST_JSON = 256 << 20  # of a glTF, with what is embedded in it
MOST_NAMES = 10_000  # other files of one mesh: each missing one costs a look at its folder
LONGEST_NAME = 4096  # Linux's PATH_MAX; a longer line names no file

# Options of map_* and how many values each may take; source: the MTL specification, section
# "Options for texture map statements", and the two that exporters of PBR materials add.
OPTIONS = {
    b"-blendu": 1, b"-blendv": 1, b"-boost": 1, b"-bm": 1, b"-cc": 1, b"-clamp": 1,
    b"-imfchan": 1, b"-mm": 2, b"-o": 3, b"-s": 3, b"-t": 3, b"-texres": 1, b"-type": 1,
    b"-colorspace": 1,
}  # fmt: skip
NUMBERS = {b"-o", b"-s", b"-t", b"-mm"}  # may have fewer values than they could
NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
TEXTURE = re.compile(
    rb"^[ \t]*((?:map_\w+|norm|bump|disp|decal|refl)[ \t]+[^\r\n]*)", re.MULTILINE | re.IGNORECASE
)
SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)  # two letters: `c:` is a Windows drive


@dataclass(frozen=True, kw_only=True)
class References:
    files: tuple[Path, ...] = ()
    """What is there and may be read, in order of name; hashed with the mesh."""
    missing: tuple[str, ...] = ()
    """Names, as the file has them, of what is not there."""
    outside: tuple[str, ...] = ()
    """Names that lead outside the roots: never opened. One whose last part is a file in the model's
    own folder is in `found` too."""
    found: tuple[tuple[str, Path], ...] = ()
    """Each name that leads to one of `files`, so that a renderer can mend a path."""
    buffers: tuple[str, ...] = ()
    """Those of `missing` and `outside` that hold the geometry itself (glTF)."""
    followed: tuple[str, ...] = ()
    """Those of `outside` that are there and that Blender would read all the same: an OBJ's MTL."""

    def named(self, name: str) -> Path | None:
        """The file that a name in the mesh leads to, as `found` has it or as a glTF's URI."""
        found = dict(self.found)
        return found.get(name) or found.get(unquote(name.removeprefix("file:")))


def roots_of(path: Path) -> tuple[Path, ...]:
    """The folders that a mesh's other files may lie in."""
    if path.parent.name == "models":  # ShapeNet v2
        return (path.parent, path.parent.parent / "images")
    return (path.parent,)


def references(path: Path, roots: tuple[Path, ...]) -> References:
    """What a mesh file refers to.

    Raises OSError if the file itself cannot be read, ValueError if it names too many others.

    path    OBJ, GLB or glTF; the other formats refer to nothing that Blender reads
    roots   folders that may be read, see `roots_of`
    """
    collected = _Collected(path.parent, Roots(roots))
    suffix = path.suffix.lower()
    if suffix == ".obj":
        _of_obj(path, collected)
    elif suffix in (".gltf", ".glb"):
        _of_gltf(path, collected)
    return collected.done()


class Roots:
    """Folders that may be read, and where paths really lead; each folder is looked at once."""

    def __init__(self, folders: Iterable[Path]):
        self.known: dict[str, str] = {}
        self.folders = tuple(self.real(str(folder)) for folder in folders)

    def real(self, path: str) -> str:
        """Where a path leads once all links are followed. Raises ValueError for a NUL in it."""
        above, name = os.path.split(path)
        if name in ("", ".", ".."):
            return os.path.realpath(path)
        if above not in self.known:
            self.known[above] = os.path.realpath(above)
        plain = os.path.join(self.known[above], name)
        return os.path.realpath(plain) if os.path.islink(plain) else plain

    def hold(self, path: str) -> bool:
        real = self.real(path)
        return any(real == f or real.startswith(f.rstrip(os.sep) + os.sep) for f in self.folders)

    def hold_file(self, path: str) -> bool:
        """Whether it is an ordinary file within (a FIFO would never end)."""
        try:
            return stat.S_ISREG(os.stat(path).st_mode) and self.hold(path)
        except OSError:
            return False


def find_named(name: str, folder: Path, roots: Roots) -> tuple[Path | None, bool]:
    """The file that a name in a file of `folder` stands for, and whether the name leads outside.

    In this order: the name as it is; with / for \\; with `\\ ` for a space; only its last part, in
    the folder itself (Blender does so too, and it mends absolute paths of another machine); and
    that in any letter case.
    """
    if "\0" in name or len(name) > LONGEST_NAME:
        return None, False
    # `..` behind a link leads elsewhere than it seems; then the path is left as it is.
    tidy = str if os.path.islink(folder) else os.path.normpath
    plain = name.replace("\\", "/")
    last = plain.rsplit("/", 1)[-1]
    outside = not roots.hold(tidy(os.path.join(folder, plain)))
    for wanted in dict.fromkeys((name, plain, name.replace("\\ ", " "), last)):
        path = tidy(os.path.join(folder, wanted))
        if roots.hold_file(path):
            return Path(path), outside
    parent = str(folder) if outside else tidy(os.path.dirname(os.path.join(folder, plain)))
    other = _any_case(parent, last)
    if other is not None and roots.hold_file(other):
        return Path(other), outside
    return None, outside


def _any_case(folder: str, name: str) -> str | None:
    try:
        with os.scandir(folder) as entries:
            same = sorted(e.name for e in entries if e.name.lower() == name.lower())
    except (OSError, ValueError):
        return None
    return os.path.join(folder, same[0]) if same else None


class _Collected:
    """References as they are met."""

    def __init__(self, folder: Path, roots: Roots):
        self.folder, self.roots = folder, roots
        self.named: dict[str, Path | None] = {}
        self.outside: set[str] = set()
        self.buffers: set[str] = set()
        self.followed: set[str] = set()

    def add(self, name: str, folder: Path | None = None, buffer: bool = False) -> Path | None:
        if name not in self.named:
            if len(self.named) >= MOST_NAMES:
                raise ValueError(f"it names more than {MOST_NAMES} other files")
            self.named[name], outside = find_named(name, folder or self.folder, self.roots)
            if outside:
                self.outside.add(name)
        if buffer and self.named[name] is None:
            self.buffers.add(name)
        return self.named[name]

    def done(self) -> References:
        found = {name: path for name, path in self.named.items() if path is not None}
        lost = {name for name, path in self.named.items() if path is None}
        by_name = {os.path.relpath(p, self.folder).replace(os.sep, "/"): p for p in found.values()}
        return References(
            files=tuple(by_name[name] for name in sorted(by_name)),
            missing=tuple(sorted(lost - self.outside)),
            outside=tuple(sorted(self.outside)),
            found=tuple(sorted(found.items())),
            buffers=tuple(sorted(self.buffers)),
            followed=tuple(sorted(self.followed)),
        )


def _of_obj(path: Path, collected: _Collected) -> None:
    libraries = []
    for line in lines_with(path, b"mtllib"):
        libraries += _libraries(line, collected)
    for name in collected.outside:  # so far these are libraries
        if os.path.exists(os.path.join(path.parent, name.replace("\\", "/"))):
            collected.followed.add(name)
    # Blender also reads the library that has the mesh's own name, whether it is named or not.
    own = path.with_suffix(".mtl")
    if collected.roots.hold_file(str(own)):
        libraries.append(collected.add(own.name))
    for library in dict.fromkeys(library for library in libraries if library is not None):
        with open(library, "rb") as file:
            text = file.read(LONGEST_MTL)
        for match in TEXTURE.finditer(text):
            name = texture_name(match[1])
            if name:
                collected.add(name, library.parent)


def lines_with(path: Path, word: bytes, chunk: int = CHUNK) -> Iterator[bytes]:
    """What follows `word` on each line that begins with it; without reading the whole file at once.

    bytes.find looks at several GB a second, a regular expression over a 50 MB mesh takes seconds.
    """
    with open(path, "rb") as file:
        rest = b""
        while part := file.read(chunk):
            text = rest + part
            end = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
            if not end:  # no line is as long as this in a mesh
                end = max(0, len(text) - LONGEST_NAME)
            yield from _lines_with(text[:end], word)
            rest = text[end:]
        yield from _lines_with(rest, word)


def _lines_with(text: bytes, word: bytes) -> Iterator[bytes]:
    at = text.find(word)
    while at >= 0:
        start = max(text.rfind(b"\n", 0, at), text.rfind(b"\r", 0, at)) + 1
        ends = [end for end in (text.find(b"\n", at), text.find(b"\r", at)) if end >= 0]
        end = min(ends, default=len(text))
        if not text[start:at].strip():
            yield text[at + len(word) : end]
        at = text.find(word, end)


def _libraries(line: bytes, collected: _Collected) -> list[Path | None]:
    """The libraries of one mtllib line: a name with spaces, or several names."""
    whole = _text(line)
    if not whole or len(whole) > LONGEST_NAME:
        return []
    if " " in whole or "\t" in whole:
        path, outside = find_named(whole, collected.folder, collected.roots)
        if path is None and not outside:
            names = re.findall(r"\S.*?\.mtl(?=\s|$)", whole, re.IGNORECASE)
            if len(names) > 1:
                return [collected.add(name.strip("\"'")) for name in names]
    return [collected.add(whole)]


def texture_name(statement: bytes) -> str:
    """The file name in a statement such as `map_Kd -s 1 1 1 -bm 0.5 a b.png`; may have spaces."""
    rest = statement.strip().partition(b" ")[2] if b" " in statement else b""
    if b"\t" in statement.split(b" ")[0]:
        rest = statement.strip().partition(b"\t")[2]
    rest = rest.strip()
    while rest.startswith(b"-"):
        option, _, after = rest.partition(b" ")
        values = OPTIONS.get(option.lower())
        if values is None:
            break  # a file whose name begins with a dash
        rest = after.strip()
        for n in range(values):
            value, _, after = rest.partition(b" ")
            if n and option.lower() in NUMBERS and not NUMBER.fullmatch(value):
                break
            rest = after.strip()
    return _text(rest)


def _text(name: bytes) -> str:
    """A name as the file system has it, without the quotes that some exporters put around it."""
    return os.fsdecode(name.strip()).strip("\"'").strip()


def _of_gltf(path: Path, collected: _Collected) -> None:
    try:
        document = gltf_json(path)
    except ValueError:
        return  # health says what is wrong with it
    for kind in ("buffers", "images"):
        listed = document.get(kind)
        for one in listed if isinstance(listed, list) else ():
            uri = one.get("uri") if isinstance(one, dict) else None
            if not isinstance(uri, str) or uri.startswith("data:"):
                continue
            if SCHEME.match(uri) and not uri.startswith("file:"):
                collected.named[uri] = None
                collected.outside.add(uri)
                if kind == "buffers":
                    collected.buffers.add(uri)
            else:
                collected.add(unquote(uri.removeprefix("file:")), buffer=kind == "buffers")


def gltf_json(path: Path) -> dict[str, Any]:
    """The JSON of a glTF or GLB file. Raises ValueError, one line, if it has none."""
    with open(path, "rb") as file:
        head, size = file.read(20), os.fstat(file.fileno()).st_size
        if head[:4] == b"glTF":
            if len(head) < 20:
                raise ValueError("cut off: no GLB header")
            length, kind = int.from_bytes(head[12:16], "little"), head[16:20]
            if kind != b"JSON":
                raise ValueError("the first chunk of the GLB is not JSON")
            if length > LONGEST_JSON:
                raise ValueError(f"{length} bytes of JSON; at most {LONGEST_JSON}")
            text = file.read(min(length, size))  # asked for more, Python would make room for it
            if len(text) < length:
                raise ValueError(f"cut off: {len(text)} of {length} bytes of JSON")
        else:
            if size > LONGEST_JSON:
                raise ValueError(f"{size} bytes of JSON; at most {LONGEST_JSON}")
            text = head + file.read()
    try:
        document = json.loads(text.decode("utf-8"), parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise ValueError("no valid JSON: not an object")
    return document


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")
