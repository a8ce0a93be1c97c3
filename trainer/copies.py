"""Whole shards of an object store, on this machine's disk while they are trained on.

    $XDG_CACHE_HOME/shapefarm/shards/<dataset id>/<SHA-256 of the shard>

A shard is fetched once, by the process that first wants something in it, and proven by its hash.
FARM_CACHE_GB bounds these files together, beside the decoded pictures that it bounds too: shards of
datasets that no process reads make room, those longest unused first.  What has no room is read
where it lies, a range for each member.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from renderer import storage
from renderer.storage import Place
from trainer import cache
from trainer.errors import DatasetRefused

HASH = re.compile(r"[0-9a-f]{64}")


class Copies:
    """The shards of one dataset. dataset: its id."""

    def __init__(self, dataset: str):
        self._dataset = dataset
        self._known: dict[str, Path | None] = {}
        self._held = -1
        """Keeps the dataset's folder from making room for others."""

    def __del__(self) -> None:
        if self._held >= 0:
            os.close(self._held)

    def path(self, tar: Place, digest: str, size: int) -> Path | None:
        """A shard on the disk, fetched where it is not there yet; None where it has no room.

        Raises DatasetRefused where the store has something else than its hash says.
        """
        if not (HASH.fullmatch(digest) and HASH.fullmatch(self._dataset)):
            return None  # names for files here, out of files that others may have written
        if digest not in self._known:
            try:
                self._known[digest] = self._copied(tar, digest, size)
            except (FileNotFoundError, storage.StoreUnavailable):
                raise
            except OSError:  # nothing can be written here
                self._known[digest] = None
        return self._known[digest]

    def _copied(self, tar: Place, digest: str, size: int) -> Path | None:
        root = cache.folder().parent / "shards"
        folder = root / self._dataset
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._hold(folder)
        kept = folder / digest
        with _locked(folder / f".{digest}.part") as part:
            if kept.exists():
                part.unlink()
                return kept
            with _locked(root / ".lock"):
                if not _room(root, folder, size):
                    part.unlink()
                    return None
                os.truncate(part, size)  # so that others count it
            try:
                storage.fetch(tar, part)
                if storage.sha256_of_file(part) != digest:
                    raise DatasetRefused(f"{tar} is not what its side-car says; verify it")
                os.replace(part, kept)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        return kept

    def _hold(self, folder: Path) -> None:
        if self._held < 0:
            self._held = os.open(folder / ".used", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._held, fcntl.LOCK_SH)
        os.utime(self._held)


def _room(root: Path, ours: Path, size: int) -> bool:
    """Whether there is room for so many bytes, once datasets that nobody reads are gone."""
    bound = min(cache.limit(), _taken(root) + shutil.disk_usage(root).free // 2)
    others = (path for path in root.iterdir() if path.is_dir() and path != ours)
    for other in sorted(others, key=_last_used):
        if _taken(root) + size <= bound:
            break
        if _unused(other):
            shutil.rmtree(other, ignore_errors=True)
    return _taken(root) + size <= bound


def _taken(root: Path) -> int:
    return sum(path.stat().st_size for path in root.glob("*/*") if path.is_file())


def _last_used(folder: Path) -> float:
    with contextlib.suppress(OSError):
        return (folder / ".used").stat().st_mtime
    return 0.0


def _unused(folder: Path) -> bool:
    """Whether no process reads there: all that do hold a shared lock."""
    try:
        with (folder / ".used").open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # nobody ever did
    return True


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[Path]:
    """Alone with a file, which is made where it is not there."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield path
