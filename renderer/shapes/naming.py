"""The rule by which a shape's key is made from its group and id."""

from __future__ import annotations

import hashlib
import os
import re

LONGEST = 100  # characters; old tar readers cut member names, and a view's suffix still follows
DIGITS = 8  # of the SHA-256: what tells two originals apart that look alike once cleaned


def make_key(group: str, id: str) -> str:
    """The name of a shape's sample: `<category or synset>-<model id>`.

    Only A-Z a-z 0-9 _ and - remain, for WebDataset splits a name at its first dot and file
    systems disagree about the rest. Another character becomes `_`, what is longer than 100
    characters is cut, and in both cases `-` and 8 hex digits of the original's SHA-256 follow.

    >>> make_key("02958343", "da1eda59")
    '02958343-da1eda59'
    """
    original = f"{group}-{id}"
    clean = re.sub(r"[^A-Za-z0-9_-]", "_", original)
    if clean == original and len(clean) <= LONGEST:
        return clean
    return with_digest(clean, original)


def with_digest(clean: str, original: str) -> str:
    """`clean`, cut where needed, with 8 hex digits that only `original` has."""
    digest = hashlib.sha256(original.encode("utf-8", "surrogateescape")).hexdigest()[:DIGITS]
    return f"{clean[: LONGEST - DIGITS - 1]}-{digest}"


def printable(name: str) -> str:
    """A file name that can be written as JSON: bytes that are no UTF-8 are shown as `\\xff`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
