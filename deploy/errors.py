"""What can go wrong when the farm is put on machines.

FarmError
├─ InventoryRefused   lab.toml will not do (also a ValueError)
├─ HostFailed         one machine cannot do it: what, and the remedy
└─ BuildFailed        no wheel could be built
"""

from __future__ import annotations

from collections.abc import Iterable

from farm.errors import FarmError


class InventoryRefused(FarmError, ValueError):
    """An inventory that will not do: one line for each thing that is wrong."""

    def __init__(self, file: str, problems: Iterable[str]):
        super().__init__(file, tuple(problems))
        self.file, self.problems = file, tuple(problems)

    def __str__(self) -> str:
        return "; ".join(f"{self.file}: {problem}" for problem in self.problems)


class HostFailed(FarmError):
    """One machine cannot do it."""

    def __init__(self, what: str, remedy: str, about: str = "host"):
        super().__init__(what, remedy, about)
        self.what, self.remedy, self.about = what, remedy, about

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}" if self.remedy else self.what


class BuildFailed(FarmError):
    """No wheel could be built."""

    def __init__(self, command: str, tail: str):
        super().__init__(command, tail)
        self.command, self.tail = command, tail

    def __str__(self) -> str:
        return f"{self.command} failed: {self.tail}; --wheel FILE takes one that is there"
