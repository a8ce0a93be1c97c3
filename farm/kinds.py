"""Job kinds, found by folder; strict JSON in and out.

A kind is a module of `renderer.jobs`, `trainer.jobs` or a package of FARM_KIND_PACKAGES; its
file name is its name. It imports nothing heavy at its top and has

    ROLE                    queue, and workers that take it (farm.roles): "render", "train"
    NOT_IDENTITY            names of the Job's fields that do not change the result
    Job                     frozen keyword-only dataclass; field docstrings are the help of
                            `farm submit`; ValueError of __post_init__ is told in one line.
                            Has `out: str | None`; `max_failures: str` where it has many items
    Task                    frozen dataclass, `name: str` unique in its job
    Done                    frozen dataclass: `name`, the units made as fields (shapes, images),
                            `failed`: tuple of what has id, failure_class, reason, tries
    resolve(job, cwd)       the job with full paths and every default filled in
    scan(job)               reads storage once; ValueError or OSError refuses the job
    plan(job, scanned)      iterator of Tasks; pure
    prepare(job, scanned)   claims the output folder, or refuses it by ValueError
    units(job, task)        what a task will make: {"shapes": 3, "images": 15}
    done(job, task)         Done of a task whose product is on storage, else None
    publish(job, scanned, dones, complete)   rewrites the index
    estimate(job, scanned)  for --dry-run: shapes, images, cpu_hours, bytes ...
    summary(job, dones)     for people, at the end
    run(job, task, lease)   Done; in a child program (farm.child), heavy imports inside, safe to
                            run twice. A product that lists failures other than bad_input which
                            are not in lease.failed is made again: `farm retry` asks for it

and may have

    EXAMPLE                 the end of its help
    LABEL                   names of the Job's fields that tell people what it makes of what
    HIDDEN                  names of the Job's fields that are no options: only JSON has them
    PRODUCT                 name of the Job's field with the folder that a pipeline's other stages
                            mean by @stage; "out" without it. resolve() reads nothing of what other
                            jobs make: a pipeline resolves all of its jobs before any starts
    more_options(words)     options that depend on the words of a command line: a dataclass with
                            defaults, or None
    with_options(job, chosen)   the job with an instance of that dataclass taken in
    together(job)           how many of its tasks need each other: they run at the same time, in
                            processes that lease.meet() brings together
    gpus(job)               how many GPUs one task wants
    result(job, dones)      what `--json` prints of a finished job beside its counts
    reads(job, task), writes(job, task)    full paths and s3:// addresses that a job (task None) or
                            one of its tasks reads and writes, by name; a farm with storage roots
                            refuses a kind without them
    NETWORK                 whether its child program speaks to other machines; it is kept from it
                            otherwise, unless the job has s3:// addresses
    far(job)                whether it reads an object store of which its own fields say nothing
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import importlib.util
import json
import math
import pkgutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from farm.errors import BadJson, UnknownKind
from farm.roles import CPU

T = TypeVar("T")

PACKAGES = ("renderer.jobs", "trainer.jobs")
LONGEST = 64 << 20  # bytes of JSON: a task of 100,000 shapes has 40 MB
NEEDED = (
    "ROLE",
    "Job",
    "Task",
    "Done",
    "resolve",
    "units",
    "scan",
    "plan",
    "prepare",
    "done",
    "publish",
    "estimate",
    "summary",
    "run",
)


@dataclass(frozen=True)
class Kind:
    """One job kind: its name, the package of its file and the module itself."""

    name: str
    package: str
    module: ModuleType

    @property
    def program(self) -> str:
        """The package that `python -m` runs as this kind's child program."""
        return self.package.rpartition(".")[0]

    @property
    def role(self) -> str:
        """Its queue, and the workers that take it; see queue()."""
        return str(self.module.ROLE)

    def queue(self, job: Any) -> str:
        """Where a job's tasks wait: its role's, or that of what needs no GPU (farm.roles)."""
        return CPU if getattr(job, "device", None) == "cpu" else self.role

    def together(self, job: Any) -> int:
        """How many of a job's tasks must run at the same time, to run at all."""
        return int(self.module.together(job)) if hasattr(self.module, "together") else 1

    def gpus(self, job: Any) -> int:
        """How many GPUs a worker needs for one of a job's tasks, if it has any."""
        return int(self.module.gpus(job)) if hasattr(self.module, "gpus") else 1

    def reach(self, job: str) -> str:
        """How far a job's child program reaches, by the job's JSON: as farm.program has it."""
        far = "s3://" in job
        if not far and hasattr(self.module, "far"):
            far = self.module.far(self.read_job(job))
        if far:
            return "cloud"
        return "network" if getattr(self.module, "NETWORK", False) else "machine"

    def job_id(self, job: Any) -> str:
        """Twelve hex digits that name the job: the same job has the same ones."""
        left_out: frozenset[str] = getattr(self.module, "NOT_IDENTITY", frozenset())
        facts = {
            key: value for key, value in dataclasses.asdict(job).items() if key not in left_out
        }
        return hashlib.sha256(canonical({"kind": self.name, "job": facts})).hexdigest()[:12]

    def read_job(self, text: str | bytes, thing: str = "job") -> Any:
        """The Job that JSON text describes.

        Raises BadJson, naming each unknown, missing or ill-typed field, in one line; ValueError
        for a value that will not do.
        """
        job = read(self.module.Job, text, thing)
        allowed_failures(getattr(job, "max_failures", "0"), 1)
        return job

    def read_task(self, text: str | bytes) -> Any:
        return read(self.module.Task, text, "task")

    def read_done(self, text: str | bytes) -> Any:
        return read(self.module.Done, text, "done")


def find(packages: Iterable[str] = ()) -> dict[str, str]:
    """Name of every kind -> the package of its file, imports none of them."""
    found: dict[str, str] = {}
    for package in (*PACKAGES, *packages):
        for name in _modules(package):
            found.setdefault(name, package)
    return dict(sorted(found.items()))


def load(name: str, packages: Iterable[str] = ()) -> Kind:
    """The kind of that name.

    Raises UnknownKind with the names there are; TypeError for a file that lacks a part.
    """
    known = find(packages)
    if name not in known:
        raise UnknownKind(name, known)
    module = importlib.import_module(f"{known[name]}.{name}")
    lacking = [part for part in NEEDED if not hasattr(module, part)]
    if lacking:
        raise TypeError(f"{module.__name__} is not a job kind: it lacks {', '.join(lacking)}")
    return Kind(name, known[name], module)


def canonical(value: Any) -> bytes:
    """Canonical JSON: sorted keys, no spaces, UTF-8; NaN and infinities are refused."""
    text = json.dumps(
        value,
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
        default=_fields,
    )
    return text.encode()


def _fields(value: Any) -> dict[str, Any]:
    """A dataclass as JSON has it; asdict() would copy what is in it, three times as slowly."""
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        raise TypeError(f"{type(value).__name__} is nothing that JSON has")
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def read(type_: type[T], text: str | bytes, thing: str) -> T:
    """A dataclass from JSON, strictly: no unknown field, no text for a number.

    Raises BadJson naming the fields, in one line. ValueError of a `__post_init__` comes as it is.
    """
    from pydantic import ValidationError

    if len(text) > LONGEST:
        raise BadJson(thing, f"{len(text)} bytes, more than the {LONGEST} of any job or task")
    try:
        json.loads(
            text, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_no_duplicates
        )
    except RecursionError:
        raise BadJson(thing, "not strict JSON: nested too deeply") from None
    except ValueError as error:
        raise BadJson(thing, f"not strict JSON: {error}") from None
    try:
        adapter = _adapter(type_)  # type: ignore[arg-type]  # a class can be hashed
        found: T = adapter.validate_json(text, strict=True, extra="forbid")
        return found
    except ValidationError as error:
        raise BadJson(thing, "; ".join(_problems(error))) from None


def read_file(kind: Kind, path: Path) -> Any:
    """A Job from a file of JSON. Raises BadJson; OSError when it cannot be read."""
    size = path.stat().st_size
    if size > LONGEST:
        raise BadJson(str(path), f"{size} bytes, more than the {LONGEST} of any job")
    return kind.read_job(path.read_bytes(), str(path))


@functools.cache
def _adapter(type_: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(type_)


def _problems(error: Any) -> Iterator[str]:
    for problem in error.errors(include_url=False, include_context=False):
        where = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "value_error":
            yield f"{where}: {message}" if where else message
        elif problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            yield f"unknown field {where!r}"
        elif problem["type"] in ("missing", "missing_argument", "missing_keyword_only_argument"):
            yield f"field {where!r} is missing"
        else:
            yield f"field {where!r} ({problem['input']!r}): {message[0].lower()}{message[1:]}"


def _modules(package: str) -> list[str]:
    """Names of the modules in a package's folder; none where it is not installed."""
    try:
        spec = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        return []
    if spec is None or not spec.submodule_search_locations:
        return []
    return [
        info.name
        for info in pkgutil.iter_modules(spec.submodule_search_locations)
        if not info.name.startswith("_")
    ]


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is too large a number")
    return number


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"field {key!r} is there twice")
        found[key] = value
    return found


def allowed_failures(most: str, whole: int) -> int:
    """How many failures a `--max-failures` of "10%" or "25" lets pass, of so many.

    A share is rounded up, so that one broken shape in a small folder does not stop a job.
    Raises ValueError for anything else.
    """
    try:
        if most.endswith("%"):
            share = float(most[:-1])
            if 0 <= share <= 100:
                return math.ceil(whole * share / 100)
        elif int(most) >= 0:
            return int(most)
    except ValueError:
        pass
    raise ValueError(f"--max-failures {most}: give a share such as 10% or a count such as 25")
