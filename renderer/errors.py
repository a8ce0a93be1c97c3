"""What can go wrong in the renderer.

ValueError          what a person asked for is wrong; one line: the thing, the value, the remedy
ItemFailed          one shape cannot become a sample; carries the failure's class and reason
└─ BadInput         the file itself is the cause: trying again cannot help
StoreUnavailable    an object store that does not answer, or refuses; an OSError
"""

from __future__ import annotations


class ItemFailed(Exception):
    """One shape cannot become a sample.

    failure_class is one of bad_input, out_of_memory, timeout, crash, blank, environment.
    """

    def __init__(self, failure_class: str, reason: str, picture: bytes = b""):
        """picture  PNG of the view that is to blame, where there is one"""
        super().__init__(failure_class, reason, picture)
        self.failure_class, self.reason, self.picture = failure_class, reason, picture

    def __str__(self) -> str:
        return f"{self.failure_class}: {self.reason}"


class BadInput(ItemFailed):
    """The shape's own file is the cause; final at once."""

    def __init__(self, reason: str):
        super().__init__("bad_input", reason)
        self.args = (reason,)  # so that it survives being pickled by whoever catches it


class StoreUnavailable(OSError):
    """An object store does not answer, or refuses what it was asked.

    code     the store's own word for it, such as NoSuchBucket
    passing  whether waiting may help
    """

    failure_class = "environment"

    def __init__(self, reason: str, code: str, passing: bool = False):
        super().__init__(reason)
        self.reason, self.code, self.passing = reason, code, passing

    def __reduce__(self) -> tuple[type[StoreUnavailable], tuple[str, str, bool]]:
        return StoreUnavailable, (self.reason, self.code, self.passing)
