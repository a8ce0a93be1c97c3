"""Secrets in files: made at random, read only where nobody else can read them."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

LONGEST = 4096  # bytes; a password is no book
BYTES = 32  # of chance, in a secret made here: too many to be guessed, with no salt needed

NAMES = re.compile(
    r"^FARM_BROKER_|PASSW|SECRET|TOKEN|CREDENTIAL|API_?KEY|ACCESS_KEY|_AUTH$|^SSH_AUTH_SOCK$",
    re.IGNORECASE,
)
"""Variables that a program which opens other people's files has no business with."""
CLOUD = re.compile(r"^AWS_")
"""Those that speak to an object store, which a job on s3:// needs."""


def without_secrets(environ: Mapping[str, str], *, cloud: bool) -> dict[str, str]:
    """An environment for a child program; cloud: its job reads or writes s3:// addresses."""
    return {
        name: value
        for name, value in environ.items()
        if not (CLOUD.match(name) or NAMES.search(name)) or (cloud and CLOUD.match(name))
    }


def read_secret(path: Path, name: str) -> str:
    """The secret in a file, without the line's end.

    name    what names the file, for messages: FARM_BROKER_PASSWORD_FILE
    Raises ValueError, one line, for a file that is not there, that others may read, or empty.
    """
    try:
        with path.open("rb") as file:
            about = os.fstat(file.fileno())
            text = file.read(LONGEST + 1)
    except OSError as error:
        raise ValueError(f"{name}: {path}: {(error.strerror or str(error)).lower()}") from None
    if not stat.S_ISREG(about.st_mode):
        raise ValueError(f"{name}: {path} is no ordinary file")
    if about.st_mode & 0o077:
        mode = stat.S_IMODE(about.st_mode)
        raise ValueError(f"{name}: {path} has mode {mode:04o}, so others may use it; chmod 600 it")
    try:
        secret = text.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"{name}: {path} is not text") from None
    if not secret or len(text) > LONGEST or "\n" in secret or "\0" in secret:
        raise ValueError(f"{name}: {path} must hold one line with the secret and nothing else")
    return secret


def drawn() -> str:
    return secrets.token_urlsafe(BYTES)


def make_secret(path: Path, new: Callable[[], str] = drawn) -> str:
    """The secret in a file of mode 0600, made at random where there is none yet.

    new  draws one

    Raises ValueError as read_secret does, OSError where it cannot be written.
    """
    if path.exists():
        return read_secret(path, "the secret")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(new() + "\n")
        with contextlib.suppress(FileExistsError):
            os.link(made, path)  # unlike a rename it replaces no secret that is in use
    finally:
        made.unlink()
    return read_secret(path, "the secret")
