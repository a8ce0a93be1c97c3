"""A run in an object store: worked on in a folder of this machine, sent there at every checkpoint.

    s3://lab/runs/rn/
      run.manifest.json                         what the run is: name, size and SHA-256 of its files
      metrics.5f2a0d1c9be07a34.jsonl            each under a name of its own
      checkpoints/00000200/network.91b7….safetensors

The manifest is replaced last, on the condition that it is the one this process knows: the files
that it names are always those of one moment, and of two machines that train the same run, one that
was thought dead and the one that took over, the second finds that it is not alone and stops.
What is lost with a machine is the work since the last checkpoint.
Names are drawn, not made of the content: two machines may come to the same content, and what the
one takes away again must not be the other's.

The folder's .mirror.json has the address and the manifest that was read or written last.
tensorboard/ is a view of metrics.jsonl and stays behind.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from renderer import storage
from renderer.storage import Address, Place
from trainer import atomic, cache
from trainer.errors import RunFailed

T = TypeVar("T")

VERSION = 1
MANIFEST, NOTE = "run.manifest.json", ".mirror.json"
LEFT_OUT = ("tensorboard", "evaluations", "report")
"""Folders of a run that are not mirrored: views of it, or written by other jobs."""
OPTIMIZER = "optimizer.safetensors"
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}")
"""Of a file or folder of a run."""
TRIES = 5


class Overtaken(RunFailed):
    """Another machine goes on with the run."""

    failure_class = "environment"


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of a run."""

    size: int
    sha256: str
    mark: str
    """In the name of its object."""

    def holds(self, other: File | None) -> bool:
        return other is not None and other.sha256 == self.sha256

    def place(self, address: Address, name: str) -> Address:
        """Where it lies. address: the run's, name: its own in the run's folder"""
        return (address / name).marked(self.mark)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The files of a run at one moment."""

    files: Mapping[str, File] = field(default_factory=dict)
    """By their names in the run's folder."""
    seen: str | None = None
    """Version of the object; None: there is none yet."""


@dataclass(frozen=True, kw_only=True)
class Note:
    """What a folder is a mirror of, as of the last time that it was brought or sent."""

    address: Address
    files: Mapping[str, File]
    seen: str | None
    times: dict[str, list[int]]
    """Of the files that are here: mtime in ns, size."""


# --- whoever looks -------------------------------------------------------------------------------


def is_there(address: Address) -> bool:
    return storage.exists(address / MANIFEST)


def read_file(address: Address, name: str) -> bytes:
    """One file of a run. Raises FileNotFoundError where there is no run, or no such file in it."""

    def read() -> bytes:
        manifest = _manifest(address)
        if name not in manifest.files:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(address / name))
        return storage.read(manifest.files[name].place(address, name))

    return _while_it_moves(read)


def copy(address: Address, checkpoints: bool) -> Path:
    """A folder with the run as it is now, for reading; optimizers are left out.

    checkpoints  whether the networks are wanted too

    Raises FileNotFoundError where there is no run.
    """
    folder = _root(address) / "copy" / address.name
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def wanted(name: str) -> bool:
        return not name.endswith(OPTIMIZER) and (checkpoints or not name.startswith("checkpoints/"))

    def bring() -> None:
        manifest = _manifest(address)
        if manifest.seen is None:
            raise FileNotFoundError(errno.ENOENT, "no run", str(address))
        _bring(address, manifest, folder, wanted)

    with _locked(folder.parent / ".lock"):
        _while_it_moves(bring)
    return folder


# --- whoever works -------------------------------------------------------------------------------


def begin(address: Address, files: Mapping[str, bytes]) -> bool:
    """Make a run of these files; whether nobody else has."""
    made = {}
    for name, data in files.items():
        digest = hashlib.sha256(data).hexdigest()
        made[name] = File(size=len(data), sha256=digest, mark=_mark())
        storage.write(made[name].place(address, name), data)
    return _put(address, made, None) is not None


@contextlib.contextmanager
def working(place: Place) -> Iterator[Path]:
    """A folder to train in: the run's own, or one with all of it that goes when the block ends.

    What is to outlive the machine is sent by `push`.
    """
    if isinstance(place, Path):
        yield place
        return
    root = _root(place) / "work"
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.ExitStack() as held:
        with _locked(root / ".lock"):
            _sweep(root)
            top = Path(tempfile.mkdtemp(dir=root))
            held.callback(shutil.rmtree, top, ignore_errors=True)
            held.enter_context(_locked(top / ".lock"))
        folder = top / place.name
        folder.mkdir()
        _while_it_moves(lambda: _take(place, folder))
        yield folder


def refresh(folder: Path) -> None:
    """Have in a working folder what another machine has sent; nothing happens in a run's own."""
    if note := _noted(folder):
        _while_it_moves(lambda: _take(note.address, folder))


def push(folder: Path) -> None:
    """Send what is new in a working folder; nothing happens in a run's own.

    Raises Overtaken when another machine has sent something since.
    """
    note = _noted(folder)
    if note is None:
        return
    address, known = note.address, note.files
    files, times = _look(folder, note)
    new = {name: one for name, one in files.items() if known.get(name) != one}
    for name, one in new.items():
        storage.send(folder / name, one.place(address, name))
    seen = _put(address, files, note.seen)
    if seen is None:
        storage.remove(*(one.place(address, name) for name, one in new.items()))
        raise Overtaken(f"another machine goes on with {address}; this one stops")
    _write_note(folder, Note(address=address, files=files, seen=seen, times=times))
    old = (one.place(address, name) for name, one in known.items() if files.get(name) != one)
    storage.remove(*old)


# --- details -------------------------------------------------------------------------------------


def _manifest(address: Address) -> Manifest:
    """As it is now; an empty one where there is none."""
    path = address / MANIFEST
    while True:
        seen = storage.version(path)
        if seen is None:
            return Manifest()
        with contextlib.suppress(FileNotFoundError):
            value = atomic.read_json(path, VERSION)
            if storage.version(path) == seen:
                files = {_checked(path, name): File(**f) for name, f in value["files"].items()}
                return Manifest(files=files, seen=seen)


def _checked(manifest: Place, name: str) -> str:
    """A name out of a manifest, which others may have written. Raises ValueError."""
    if not all(NAME.fullmatch(part) for part in name.split("/")):
        raise ValueError(f"{manifest}: {name[:100]!r} is no name of a run's file")
    return name


def _put(address: Address, files: Mapping[str, File], seen: str | None) -> str | None:
    """The version of the manifest that was written; None when another one is there."""
    value = {"version": VERSION, "files": {name: asdict(files[name]) for name in sorted(files)}}
    return storage.swap(address / MANIFEST, storage.readable_json(value), seen)


def _take(address: Address, folder: Path) -> None:
    """Everything of a run that going on with it needs: of the optimizers, the last step's."""
    manifest = _manifest(address)
    spared = set(sorted(name for name in manifest.files if name.endswith(OPTIMIZER))[:-1])
    _bring(address, manifest, folder, lambda name: name not in spared)
    note = _noted(folder)
    assert note is not None, "it was just written"
    for name in spared:  # the run has them, and nobody looks into them
        (folder / name).touch()
        note.times[name] = _time(folder / name)
    _write_note(folder, note)


def _bring(
    address: Address, manifest: Manifest, folder: Path, wanted: Callable[[str], bool]
) -> None:
    """Have in a folder what is wanted of a manifest; what is not in it goes."""
    there, times = _look(folder, _noted(folder))
    for name in there.keys() - manifest.files.keys():
        (folder / name).unlink(missing_ok=True)
    kept = {name for name, one in there.items() if one.holds(manifest.files.get(name))}
    missing = [name for name in manifest.files if wanted(name) and name not in kept]

    def fetch(name: str) -> None:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        one = manifest.files[name]
        storage.fetch(one.place(address, name), part)
        if storage.sha256_of_file(part) != one.sha256:
            raise ValueError(f"{one.place(address, name)} is not what {MANIFEST} says")
        os.replace(part, target)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fetch, missing))
    now = {**{n: times[n] for n in kept}, **{n: _time(folder / n) for n in missing}}
    _write_note(folder, Note(address=address, files=manifest.files, seen=manifest.seen, times=now))


def _look(folder: Path, note: Note | None) -> tuple[dict[str, File], dict[str, list[int]]]:
    """The files of a folder, and their times; one whose time is as noted is not read again."""
    files, times = {}, {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        parts = name.split("/")
        if parts[0] in LEFT_OUT or any(p.startswith(".") for p in parts) or not path.is_file():
            continue
        times[name] = _time(path)
        before = note.files.get(name) if note else None
        if before and note and note.times.get(name) == times[name]:
            files[name] = before
            continue
        digest = storage.sha256_of_file(path)
        found = File(size=times[name][1], sha256=digest, mark=_mark())
        files[name] = before if before and found.holds(before) else found
    return files, times


def _mark() -> str:
    return secrets.token_hex(8)


def _time(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_mtime_ns, stat.st_size]


def _noted(folder: Path) -> Note | None:
    try:
        value = atomic.read_json(folder / NOTE, VERSION)
    except FileNotFoundError:
        return None
    address = storage.place(value["address"])
    assert isinstance(address, Address), "only they are noted"
    files = {name: File(**one) for name, one in value["files"].items()}
    return Note(address=address, files=files, seen=value["seen"], times=value["times"])


def _write_note(folder: Path, note: Note) -> None:
    value = {"version": VERSION, **asdict(note), "address": str(note.address)}
    atomic.write_json(folder / NOTE, value)


def _while_it_moves(ask: Callable[[], T]) -> T:
    """The answer; anew where a file went while its manifest was read, because a newer one has
    other files."""
    for _ in range(TRIES - 1):
        with contextlib.suppress(FileNotFoundError):
            return ask()
    return ask()


def _root(address: Address) -> Path:
    name = hashlib.sha256(str(address).encode()).hexdigest()[:16]
    return cache.folder().parent / "runs" / name


def _sweep(root: Path) -> None:
    """Remove what processes that were killed have left."""
    for top in root.iterdir():
        with contextlib.suppress(OSError), (top / ".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(top, ignore_errors=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
