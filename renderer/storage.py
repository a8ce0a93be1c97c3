"""Where datasets and runs lie: in a local or network folder, or in an object store.

Every read and write of a dataset goes through here.  A place is a Path or an address of
`renderer.s3`; both are joined by `/` and have `name`, `parent`, `with_suffix`.
Writing is atomic.  In a folder: a temporary name beside it, flushed to disk, then renamed.
In an object store nothing can be renamed: what readers must not see change under their hands is
named by its content (`by_content`), and what decides is written on a condition (`write_if`).
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import hashlib
import json
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from renderer import s3
from renderer.errors import StoreUnavailable as StoreUnavailable
from renderer.s3 import Address as Address
from renderer.s3 import impatient as impatient

if TYPE_CHECKING:
    from hashlib import _Hash

Place = Path | Address
LONGEST_JSON = 1 << 30  # bytes: the note of a job on a million shapes has 300 MB


def place(text: str | Place) -> Place:
    """A path, or the address that begins with s3://. Raises ValueError for a misspelled one."""
    if isinstance(text, str) and text.startswith(s3.SCHEME):
        return s3.parse(text)
    return text if isinstance(text, Address) else Path(text)


def absolute(text: str, cwd: Path) -> str:
    """A place in full, as jobs keep it: `~` and `..` resolved; an address is whole as it is."""
    if text.startswith(s3.SCHEME):
        return str(s3.parse(text))
    return os.path.normpath(cwd / Path(text).expanduser())


def absolute_path(text: str, cwd: Path) -> str:
    """The same, of what can only be on a disk. Raises ValueError for an address."""
    if text.startswith(s3.SCHEME):
        raise ValueError(f"{text}: this cannot be in an object store; give a folder or file")
    return absolute(text, cwd)


def short(path: str | Place) -> str:
    """A place as seen from here."""
    path = place(path)
    if isinstance(path, Path):
        with contextlib.suppress(ValueError):
            return str(path.relative_to(Path.cwd()))
    return str(path)


def canonical_json(value: Any) -> bytes:
    """The one spelling of a JSON value that is hashed: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def readable_json(value: Any, lines: str = "") -> bytes:
    """JSON for files that people open too.

    lines   name of a list in an object; each of its entries takes one line, and a million of them
            a quarter of the time and a third of the memory
    """
    if not lines:
        return (json.dumps(value, indent=1, allow_nan=False) + "\n").encode()
    empty = f'\n "{lines}": []'  # text within JSON has no line ends: there is one such line
    head, _, tail = readable_json({**value, lines: []}).decode().partition(empty)
    entries = ",".join(f"\n  {json.dumps(entry, allow_nan=False)}" for entry in value[lines])
    return f'{head}\n "{lines}": [{entries}\n ]{tail}'.encode()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@contextlib.contextmanager
def replacing(path: Place, digest: _Hash | None = None) -> Iterator[BinaryIO]:
    """A file open for writing that becomes `path` only when the block ends without an error.

    digest  SHA-256 of what is written, as it stands at the end; an object store then names the
            object by it: see by_content
    """
    if isinstance(path, Address):
        with tempfile.NamedTemporaryFile(prefix=f".{path.name}.", suffix=".part") as file:
            yield file  # type: ignore[misc]  # a wrapper around a BinaryIO
            file.flush()
            s3.upload(path.marked(digest.hexdigest()[:16]) if digest else path, Path(file.name))
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def by_content(path: Place, digest: str) -> Place:
    """Where what was written as `path` lies: in an object store, under a name of its own.

    `train-000000.tar` is `train-000000.5f2a0d1c9be07a34.tar` there: another content has another
    name, so that no reader's object is ever replaced, and the same content is the same object.

    digest  SHA-256 of the content
    """
    return path.marked(digest[:16]) if isinstance(path, Address) else path


def plain_name(path: Place) -> str:
    """The name that what lies there was written as, before `by_content`."""
    if isinstance(path, Address):
        return re.sub(r"\.[0-9a-f]{16}(?=\.\w+$)", "", path.name)
    return path.name


def write(path: Place, data: bytes) -> None:
    if isinstance(path, Address):
        s3.write(path, data)
        return
    with replacing(path) as file:
        file.write(data)


def version(path: Place) -> str | None:
    """What `write_if` wants to know of what lies there now; None where nothing does.

    Always None in a folder, where leases and renames decide.
    """
    return s3.version(path) if isinstance(path, Address) else None


def write_if(path: Place, data: bytes, seen: str | None) -> bool:
    """Write, unless somebody has written there since `version` said `seen`; whether it was.

    In a folder it always is.
    """
    if isinstance(path, Address):
        return swap(path, data, seen) is not None
    write(path, data)
    return True


def swap(path: Address, data: bytes, seen: str | None) -> str | None:
    """The same of an object: the version of what was written; None where somebody was faster."""
    return s3.write_if(path, data, seen)


def read(path: Place) -> bytes:
    """Raises FileNotFoundError; ValueError for what is no ordinary file."""
    if isinstance(path, Address):
        return s3.read(path)
    with _ordinary(path) as file:
        return file.read()


def _ordinary(path: Path) -> FileIO:
    """A file that is open for reading: no pipe, whose reader would wait for a writer for ever."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
    if kind != stat.S_IFREG:
        os.close(descriptor)
        if kind == stat.S_IFDIR:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise ValueError(f"{path} is no ordinary file")
    return FileIO(descriptor)


def read_json(path: Place) -> Any:
    """Raises FileNotFoundError, or ValueError that names the file."""
    if isinstance(path, Address):
        data = s3.read_range(path, 0, LONGEST_JSON + 1)
        if len(data) > LONGEST_JSON:
            raise ValueError(f"{path} has more than {LONGEST_JSON} bytes of JSON")
    else:
        if (long := path.stat().st_size) > LONGEST_JSON:
            raise ValueError(f"{path} has {long} bytes of JSON; at most {LONGEST_JSON}")
        data = read(path)
    try:
        return json.loads(data)
    except ValueError as error:  # also of bytes that are no UTF-8
        raise ValueError(f"{path} is not JSON: {error}") from error
    except RecursionError:
        raise ValueError(f"{path} is not JSON of ours: nested too deeply") from None


def read_range(path: Place, offset: int, size: int) -> bytes:
    """Raises ValueError when the file ends before."""
    if isinstance(path, Address):
        data = s3.read_range(path, offset, size)
    else:
        with _ordinary(path) as file:
            # Asked for more than there is, Python would make room for all of it first.
            fits = min(offset, size) >= 0 and offset + size <= os.fstat(file.fileno()).st_size
            data = os.pread(file.fileno(), size, offset) if fits else b""
    if len(data) != size:
        raise ValueError(f"{path} ends before byte {offset + size}")
    return data


def size(path: Place) -> int:
    """Bytes of a file. Raises FileNotFoundError."""
    return s3.size(path) if isinstance(path, Address) else path.stat().st_size


def exists(path: Place) -> bool:
    """Whether there is such a file."""
    return s3.version(path) is not None if isinstance(path, Address) else path.exists()


def names(folder: Place, pattern: str) -> list[str]:
    """Names of the files right in a folder that fit a pattern of fnmatch, sorted."""
    if isinstance(folder, Address):
        return sorted(name for name in s3.names(folder) if fnmatch.fnmatch(name, pattern))
    return sorted(path.name for path in folder.glob(pattern))


def folders(folder: Address) -> list[str]:
    """Names of the folders right in a folder of an object store, sorted."""
    depth = len(folder.key.split("/"))
    paths = (one.key.split("/") for one in s3.under(folder))
    return sorted({path[depth] for path in paths if len(path) > depth + 1})


def in_use(folder: Place) -> bool:
    """Whether anything lies there."""
    if isinstance(folder, Address):
        return s3.version(folder) is not None or any(True for _ in s3.under(folder))
    return folder.exists() and (not folder.is_dir() or any(folder.iterdir()))


@contextlib.contextmanager
def on_disk(path: Place) -> Iterator[Path]:
    """The file as one on this machine's disk, to be read; of an object, a copy that then goes."""
    if isinstance(path, Address):
        with tempfile.TemporaryDirectory(prefix="shapefarm-") as folder:
            fetch(path, Path(folder) / path.name)
            yield Path(folder) / path.name
    else:
        yield path


def fetch(path: Place, file: Path) -> None:
    """Copy what lies there into a file of this machine's disk. Raises FileNotFoundError."""
    if isinstance(path, Address):
        s3.download(path, file)
    else:
        shutil.copyfile(path, file)


def send(file: Path, path: Place) -> None:
    """Copy a file of this machine's disk there, so that it appears whole."""
    if isinstance(path, Address):
        s3.upload(path, file)
    else:
        with file.open("rb") as source, replacing(path) as target:
            shutil.copyfileobj(source, target, 1 << 20)


def sha256_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove(*paths: Place) -> None:
    """Remove files; those that are not there are no error."""
    s3.remove(path for path in paths if isinstance(path, Address))
    for path in paths:
        if isinstance(path, Path):
            path.unlink(missing_ok=True)


def remove_folder(path: Place) -> None:
    """Remove a folder and what is in it; one that is not there is no error."""
    if isinstance(path, Address):
        s3.remove(s3.under(path))
    else:
        shutil.rmtree(path, ignore_errors=True)


def free_bytes(path: Place) -> int:
    """Free space where `path` is or will be; an object store has no end."""
    if isinstance(path, Address):
        return sys.maxsize
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
