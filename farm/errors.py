"""What can go wrong in the farm.

ValueError            what a person asked for is wrong; one line: the thing, the value, the remedy
FarmError             the farm cannot do it now
├─ UnknownKind        no such job kind (also a ValueError)
├─ BadJson            a specification that does not fit its type (also a ValueError)
├─ NoSuchJob          no job of that name is on record (also a ValueError)
├─ BrokerFailed       Redis cannot be started or reached
├─ ProgramFailed      a child program died or was killed; carries its class and reason
├─ OtherRoots         the private farm is at work with other folders of shapes
└─ FarmBusy           another controller, or another farm, holds the lock
"""

from __future__ import annotations

from collections.abc import Iterable


class FarmError(Exception):
    """The farm cannot do it; the message is one line for a person."""


class UnknownKind(FarmError, ValueError):
    """A job kind that no file defines."""

    def __init__(self, name: str, known: Iterable[str]):
        super().__init__(name, tuple(known))
        self.name, self.known = name, tuple(known)

    def __str__(self) -> str:
        return f"no job kind {self.name!r}; there are {', '.join(self.known) or 'none'}"


class BadJson(FarmError, ValueError):
    """JSON that does not fit its type: unknown, missing or ill-typed fields, by name."""

    def __init__(self, thing: str, problem: str):
        super().__init__(thing, problem)
        self.thing, self.problem = thing, problem

    def __str__(self) -> str:
        return f"{self.thing}: {self.problem}"


class NoSuchJob(FarmError, ValueError):
    """No job of that name is on record."""

    def __init__(self, job: str):
        super().__init__(job)
        self.job = job

    def __str__(self) -> str:
        return f"no job {self.job!r} here; `farm status` lists them"


class BrokerFailed(FarmError):
    """Redis cannot be started or reached."""

    def __init__(self, where: str, reason: str, remedy: str):
        super().__init__(where, reason, remedy)
        self.where, self.reason, self.remedy = where, reason, remedy

    def __str__(self) -> str:
        return f"Redis at {self.where}: {self.reason}; {self.remedy}"


class ProgramFailed(FarmError):
    """A child program died, hung or grew too large.

    failure_class is one of out_of_memory, timeout, crash, environment, bad_input.
    """

    def __init__(self, failure_class: str, reason: str):
        super().__init__(failure_class, reason)
        self.failure_class, self.reason = failure_class, reason

    def __str__(self) -> str:
        return f"{self.failure_class}: {self.reason}"


class FarmBusy(FarmError):
    """Somebody else holds the lock."""

    def __init__(self, what: str, holder: str):
        super().__init__(what, holder)
        self.what, self.holder = what, holder

    def __str__(self) -> str:
        return f"{self.what} is already held by {self.holder}"


class OtherRoots(FarmError):
    """The private farm works on a job, and looks for shapes elsewhere than this command."""

    def __init__(self, name: str, ours: str, theirs: str):
        super().__init__(name, ours, theirs)
        self.name, self.ours, self.theirs = name, ours, theirs

    def __str__(self) -> str:
        return (
            f"{self.name} is {self.ours} here, and {self.theirs or 'not set'} in the farm that "
            "works on a job; wait for it, or `farm down` first"
        )
