"""Decoded pictures, kept for all processes of this machine.

    $XDG_CACHE_HOME/shapefarm/decoded/<dataset id>/rgba.slots      (~/.cache without the variable)

A file holds the pictures of one pass of one dataset in slots of one size:

    header [4096]    JSON: what the slots are, and the boot that they were written in
    states [slots]   1 where a slot is written; up to a whole page
    slots  [slots * bytes of a picture]

A state is set after its slot.  Two processes that write the same slot write the same bytes.
When a machine fails the two may reach the disk in any order, so what an earlier boot wrote is not
believed.

FARM_CACHE_GB (8 without it; 0: no cache) bounds all files together.  What has no room is decoded
each time; where nothing can be written, everything is.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import mmap
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

VERSION = 1
_PAGE = 4096
NETWORKS = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "gpfs", "lustre",
    "nfs", "nfs4", "smb3", "virtiofs", "wekafs",
})  # fmt: skip
EVERYBODYS = Path("/var/tmp")


def limit() -> int:
    """Bytes that the caches of this machine may take together.

    Raises ValueError for a FARM_CACHE_GB that is no number from 0 on.
    """
    text = os.environ.get("FARM_CACHE_GB", "8")
    try:
        gigabytes = float(text)
    except ValueError:
        gigabytes = math.nan
    if not 0 <= gigabytes < math.inf:
        raise ValueError(f"FARM_CACHE_GB={text}: gigabytes from 0 on are wanted, such as 8")
    return int(gigabytes * 1e9)


def folder() -> Path:
    """Where decoded pictures are kept: /var/tmp/shapefarm-<user> where the usual folder is on a
    network, whose other machines would take it for theirs and which PNGs cross faster."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "shapefarm"
    with contextlib.suppress(OSError):
        if file_system(base, Path("/proc/self/mountinfo").read_text()) in NETWORKS:
            base = EVERYBODYS / f"shapefarm-{os.getuid()}"
    return base / "decoded"


def file_system(path: Path, mounts: str) -> str:
    """The type of the file system a path is on.

    mounts  the text of /proc/self/mountinfo: proc_pid_mountinfo(5)
    """
    here, found, longest = Path(os.path.realpath(path)), "", -1
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        # Spaces in names are written as \040.
        point = before.split(" ")[4].encode().decode("unicode_escape")
        if here.is_relative_to(point) and len(point) >= longest:  # of two at a place the later
            found, longest = after.split(" ")[0], len(point)
    return found


def boot() -> str:
    """Changes whenever the machine starts; empty where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


class Cache:
    """The decoded pictures of one dataset.

    dataset  its id
    slots    pictures of one pass; where not all have room, the first are kept

    Raises ValueError for a FARM_CACHE_GB that is no number from 0 on.
    """

    def __init__(self, dataset: str, slots: int):
        self.dataset, self.slots = dataset, slots
        self._files: dict[str, _Slots | None] = {}
        self._tried: set[str] = set()
        self._lock = threading.Lock()
        limit()  # a value that makes no sense is told before anything runs

    def get(self, kind: str, slot: int) -> Array | None:
        """A picture, in memory that cannot be written to; None where it has to be decoded."""
        if kind not in self._files:
            self._files.setdefault(kind, _existing(self.dataset, kind))
        file = self._files[kind]
        return file.get(slot) if file else None

    def put(self, kind: str, slot: int, image: Array) -> None:
        """Keep a picture where there is room; nothing goes wrong where there is none."""
        if not self._files.get(kind):
            with self._lock:
                if kind not in self._tried:
                    self._tried.add(kind)
                    self._files[kind] = _made(self.dataset, kind, self.slots, image)
        if file := self._files[kind]:
            file.put(slot, image)


class _Slots:
    """One file of slots, mapped for reading."""

    def __init__(self, file: int, header: dict[str, Any]):
        self.file = file
        self.shape, self.dtype = tuple(header["shape"]), np.dtype(header["dtype"])
        self.count: int = header["slots"]
        self.first = _first(self.count)
        self.size = math.prod(self.shape) * self.dtype.itemsize
        mapped = mmap.mmap(file, 0, prot=mmap.PROT_READ)
        self.states = np.frombuffer(mapped, np.uint8, self.count, _PAGE)
        self.images = np.frombuffer(mapped, self.dtype, -1, self.first).reshape(
            self.count, *self.shape
        )
        self.broken = False
        weakref.finalize(self, os.close, file)

    def get(self, slot: int) -> Array | None:
        if slot >= self.count or not self.states[slot]:
            return None
        image: Array = self.images[slot]
        return image

    def put(self, slot: int, image: Array) -> None:
        if slot >= self.count or self.broken:
            return
        if image.shape != self.shape or image.dtype != self.dtype:
            return
        try:
            # Not through the map: a full disk would end the process instead of raising.
            _write(
                self.file, np.ascontiguousarray(image).data.cast("B"), self.first + slot * self.size
            )
            _write(self.file, memoryview(b"\1"), _PAGE + slot)
        except OSError:
            self.broken = True


def _write(file: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(file, data, offset)
        data, offset = data[written:], offset + written


def _first(slots: int) -> int:
    """Offset of the first slot."""
    return _PAGE + -(-slots // _PAGE) * _PAGE


def _existing(dataset: str, kind: str) -> _Slots | None:
    """The file of a pass, where there is one of this boot."""
    try:
        file = os.open(_path(dataset, kind), os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        header = json.loads(os.pread(file, _PAGE, 0).rstrip(b"\0"))
        if {**header, **_marks(dataset, kind)} == header and limit() and boot():
            os.utime(file)
            fcntl.flock(file, fcntl.LOCK_SH)
            return _Slots(file, header)
    except (OSError, ValueError, LookupError, TypeError):
        pass  # no header of ours
    os.close(file)
    return None


def _made(dataset: str, kind: str, slots: int, image: Array) -> _Slots | None:
    """The file of a pass: a new one where none is there, as large as the bound allows."""
    bound = limit()
    if not bound or not boot():
        return None
    root = folder()
    try:
        for place in (root.parent, root):
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = _path(dataset, kind)
        with _locked(root / "lock"):
            path.parent.mkdir(exist_ok=True)
            return _existing(dataset, kind) or _new(
                path, _marks(dataset, kind), slots, image, bound
            )
    except OSError:
        return None


def _path(dataset: str, kind: str) -> Path:
    root = folder()
    if EVERYBODYS in root.parents and root.parent.lstat().st_uid != os.getuid():
        raise PermissionError(f"{root.parent} is another user's")
    return root / dataset / f"{kind}.slots"


def _marks(dataset: str, kind: str) -> dict[str, Any]:
    """What a header says of a file that is believed."""
    return {"version": VERSION, "boot": boot(), "dataset": dataset, "kind": kind}


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _new(path: Path, marks: dict[str, Any], slots: int, image: Array, bound: int) -> _Slots | None:
    for old in (path, *path.parent.glob(".*.part")):
        old.unlink(missing_ok=True)
    _make_room(bound - _first(slots) - slots * image.nbytes, keep=path.parent)
    room = min(bound - _taken(_files(path.parents[1])), shutil.disk_usage(path.parent).free // 2)
    count = min(slots, (room - _first(slots)) // image.nbytes)
    if count < 1:
        return None
    header = {**marks, "slots": count, "shape": image.shape, "dtype": image.dtype.str}
    file, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    try:
        # Sparse: the disk is used as slots are written.
        os.ftruncate(file, _first(count) + count * image.nbytes)
        _write(file, memoryview(json.dumps(header).encode()), 0)
        fcntl.flock(file, fcntl.LOCK_SH)
        os.replace(temporary, path)
    except OSError:
        os.close(file)
        Path(temporary).unlink(missing_ok=True)
        raise
    return _Slots(file, header)


def _files(root: Path) -> list[Path]:
    return [path for path in root.glob("*/*") if path.is_file()]


def _taken(files: list[Path]) -> int:
    """What they will take when they are full."""
    return sum(path.stat().st_size for path in files)


def _make_room(others: int, keep: Path) -> None:
    """Remove files of other datasets, those longest unused first, until all take `others` bytes.

    Files that a process reads stay.
    """
    files = _files(keep.parent)
    taken = _taken(files)
    for path in sorted(files, key=lambda path: path.stat().st_mtime):
        if taken <= others:
            return
        size = path.stat().st_size
        if path.parent != keep and _unused(path):
            path.unlink()
            taken -= size
            with contextlib.suppress(OSError):
                path.parent.rmdir()  # where it was the last


def _unused(path: Path) -> bool:
    """Whether no process has it open: all that do hold a shared lock."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
