"""What is wrong with a dataset: one line per finding."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, order=True)
class Problem:
    """One thing that is wrong, precisely enough to find it."""

    file: str
    """Name within the dataset's folder."""
    sample: str = ""
    """Key, where it concerns one sample."""
    member: str = ""
    """`00.rgba.png`, where it concerns one member; `view 3` where it concerns one view."""
    rule: str
    """One word that scripts can match: sha256, tar, side-car, decode, content, camera ..."""
    detail: str

    def __str__(self) -> str:
        where = " ".join(part for part in (self.file, self.sample, self.member) if part)
        return f"{where}: {self.rule}: {self.detail}"
