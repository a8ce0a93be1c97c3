"""The secrets of the farm's pages: made once, kept in files that only their owner reads.

$FARM_HOME/web/password     what a person types
$FARM_HOME/web/token        what a program that collects metrics sends
$FARM_HOME/web/key          what cookies are signed with
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from farm.secret import make_secret, read_secret

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
    known = file or folder / "password"
    password = (
        read_secret(file, "FARM_WEB_PASSWORD_FILE") if file else make_secret(known, new_password)
    )
    key = make_secret(folder / "key")
    return Secrets(
        password=password,
        token=make_secret(folder / "token"),
        key=hashlib.sha256(f"{key}\n{password}".encode()).digest(),
        file=known,
    )


def new_password() -> str:
    """Sixteen letters and digits in groups of four: 79 bits, which a person can type."""
    drawn = "".join(secrets.choice(ALPHABET) for _ in range(16))
    return "-".join(drawn[at : at + 4] for at in range(0, 16, 4))


def same(given: str, known: str) -> bool:
    """Whether two secrets are the same, in a time that tells nothing of where they differ."""
    digests = [hashlib.sha256(text.encode("utf-8", "replace")).digest() for text in (given, known)]
    return hmac.compare_digest(*digests)
