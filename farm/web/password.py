"""The secrets of the farm's pages: made once, kept in files that only their owner reads.

$FARM_HOME/web/password     what a person types
$FARM_HOME/web/token        what a program that collects metrics sends
$FARM_HOME/web/key          what cookies are signed with
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
"""Letters and digits that nobody mistakes for one another."""


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """What the pages of one farm know; a repr shows none of it."""

    password: str = field(repr=False)
    token: str = field(repr=False)
    key: bytes = field(repr=False)
    """Of cookies. With another password, everyone who was logged in is not."""
    file: Path
    """Where the password is."""


def load(home: Path, file: Path | None = None) -> Secrets:
    """The secrets under a FARM_HOME, made on first use; the password from `file` where it is given.

    Raises ValueError, naming the file, where others can read it or there is nothing in it.
    """
    folder = home / "web"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    password = read(file) if file else made(folder / "password", new_password)
    key = made(folder / "key", secrets.token_hex)
    return Secrets(
        password=password,
        token=made(folder / "token", secrets.token_urlsafe),
        key=hashlib.sha256(f"{key}\n{password}".encode()).digest(),
        file=file or folder / "password",
    )


def new_password() -> str:
    """Sixteen letters and digits in groups of four: 79 bits."""
    drawn = "".join(secrets.choice(ALPHABET) for _ in range(16))
    return "-".join(drawn[at : at + 4] for at in range(0, 16, 4))


def made(path: Path, new: Callable[[], str]) -> str:
    """What is in the file; a new secret where there is none yet. Two who make it get the same."""
    if not path.exists():
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:  # of mode 0600
                stream.write(new() + "\n")
                stream.flush()
                os.fsync(stream.fileno())
            os.link(temporary, path)
        except FileExistsError:
            pass  # another process was first: its secret counts
        finally:
            os.unlink(temporary)
    return read(path)


def read(path: Path) -> str:
    """The secret in a file. Raises ValueError where others can read it, or it is empty."""
    try:
        with path.open("rb") as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            text = stream.read(4096)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; it should hold a password") from None
    if mode & 0o077:
        raise ValueError(f"{path}: others can read it (mode {mode:04o}); chmod 600 {path}")
    try:
        found = text.decode().strip()
    except UnicodeDecodeError:
        found = ""
    if not found:
        raise ValueError(f"{path}: it should hold a password, in UTF-8")
    return found


def same(given: str, known: str) -> bool:
    """Whether two secrets are the same, in a time that tells nothing of where they differ."""
    digests = [hashlib.sha256(text.encode("utf-8", "replace")).digest() for text in (given, known)]
    return hmac.compare_digest(*digests)
