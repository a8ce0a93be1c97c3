"""`farm submit KIND`: a job of any kind, from its own dataclass; or a pipeline of them."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PIPELINE = "pipeline"
LABELLED = 4  # addresses named in a job's label


@dataclass(frozen=True, kw_only=True)
class Options:
    workers: int | None = None
    """So many workers; by default one for each GPU, or for each core without one."""
    dry_run: bool = False
    """Only say what would be done: shapes, images, hours and bytes."""
    wait: bool = True
    """Wait for it, showing how it goes; else it goes on in the background."""
    json: bool = False
    """Print one JSON object instead of words."""

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"--workers {self.workers}: at least 1")


@dataclass(frozen=True, kw_only=True)
class FromFile:
    """A job from a file of JSON: its options as fields, read strictly."""

    job: Path
    """File of JSON, such as {"shapes": ["samples/cars"], "views": 24}."""


class Kinds(Mapping[str, Any]):
    """Word -> command, for every job kind that a file defines, and for pipelines of them."""

    @property
    def about(self) -> str:
        return f"start a job, or a pipeline of jobs, or go on with it: {', '.join(self)}"

    @functools.cached_property
    def _packages(self) -> tuple[str, ...]:
        from farm.settings import load

        return load().kind_packages

    @functools.cached_property
    def _names(self) -> tuple[str, ...]:
        from farm import kinds

        return (*kinds.find(self._packages), PIPELINE)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(name)
        if name == PIPELINE:
            from farm.commands import pipeline

            return pipeline.Submit
        return Submit(name, self._packages)


class Submit:
    """One kind's command; its class is made from the kind's Job."""

    def __init__(self, name: str, packages: tuple[str, ...]):
        from farm import kinds

        self.kind = kinds.load(name, packages)
        self.about = str(self.kind.module.Job.__doc__)

    def choose(self, arguments: list[str]) -> type:
        """What to parse: the Job's own options, or --job FILE in their place; and, where they
        depend on what was chosen, the options of that."""
        wants_help = "-h" in arguments or "--help" in arguments
        from_file = any(word == "--job" or word.startswith("--job=") for word in arguments)
        parts: list[Any] = [("job", _shown(self.kind))]
        if from_file and not wants_help:
            parts = [("file", FromFile)]
        elif hasattr(self.kind.module, "more_options"):
            more = self.kind.module.more_options(arguments)
            if more is not None:
                parts.append(("more", more, dataclasses.field(default_factory=more)))
        made = dataclasses.make_dataclass(
            "Submit",
            [*parts, ("farm", Options)],
            frozen=True,
            kw_only=True,
            namespace={"__call__": functools.partialmethod(_call, kind=self.kind)},
        )
        made.__doc__ = f"{self.about.strip()}\n\n{_example(self.kind)}"
        return made


def _shown(kind: Any) -> type:
    """The kind's Job, whose hidden fields are no options."""
    from typing import get_type_hints

    from tyro.conf import Suppress

    job: type = kind.module.Job
    hidden = getattr(kind.module, "HIDDEN", ())
    if not hidden:
        return job
    hints: Any = get_type_hints(job)
    hide: Any = Suppress
    fields = {field.name: field for field in dataclasses.fields(job)}
    again = [
        (
            name,
            hide[hints[name]],
            dataclasses.field(
                default=fields[name].default, default_factory=fields[name].default_factory
            ),
        )
        for name in hidden
    ]
    made = dataclasses.make_dataclass(job.__name__, again, bases=(job,), frozen=True, kw_only=True)
    made.__doc__ = job.__doc__
    return made


def _example(kind: Any) -> str:
    return str(
        getattr(
            kind.module,
            "EXAMPLE",
            f"--job FILE reads these options from JSON; "
            f"the same line again goes on where {kind.name} stopped.",
        )
    )


def _call(parsed: Any, kind: Any) -> int:
    from farm import kinds

    file, more = getattr(parsed, "file", None), getattr(parsed, "more", None)
    job = kinds.read_file(kind, file.job) if file else parsed.job
    if more is not None:
        job = kind.module.with_options(job, more)
    return submit(kind, job, parsed.farm)


def submit(kind: Any, job: Any, options: Options) -> int:
    """Record a job and, unless told otherwise, wait for it; the exit code."""
    from farm import confine, kinds
    from farm.settings import load, look_for_shapes

    settings = load()
    look_for_shapes(settings)
    job = kind.module.resolve(job, Path.cwd())
    text = kinds.canonical(job).decode()
    kind.read_job(text)
    confine.check(settings, kind, job)
    if options.dry_run:
        return _dry_run(kind, job, options.json)
    from farm import local
    from farm.follow import Interrupt, follow
    from farm.records import JobRecord
    from farm.words import typed

    store = local.open_store_with_roots(settings)
    record = JobRecord(
        id=kind.job_id(job),
        kind=kind.name,
        role=kind.queue(job),
        job=text,
        state="",
        label=_label(kind, job),
        workers=0 if settings.private else options.workers or 0,
    )
    if settings.private and options.workers:
        local.wish(store, workers=options.workers)
    with Interrupt() as interrupt:  # from now on Ctrl-C has a job to stop
        was = store.submit(record)
        if options.wait:
            return follow(
                settings, store, kind, record.id, interrupt, as_json=options.json, was=was
            )
    if options.json:
        print(
            json.dumps(
                {
                    "job": record.id,
                    "kind": kind.name,
                    "state": "submitted",
                    "out": getattr(job, "out", None),
                }
            )
        )
    else:
        print(typed(f"{record.id}  `farm watch {record.id}` shows how it goes"))
    return 0


def _dry_run(kind: Any, job: Any, as_json: bool) -> int:
    estimate = kind.module.estimate(job, kind.module.scan(job))
    if as_json:
        print(json.dumps({"kind": kind.name, "out": job.out, **estimate}))
        return 0
    shown = dict(estimate)
    if "bytes" in shown:
        shown["MB"] = round(shown.pop("bytes") / 1e6, 1)
    print(f"would make {job.out}")
    for name, value in shown.items():
        print(f"  {name.replace('_', ' '):<12} {value}")
    return 0


def _label(kind: Any, job: Any) -> str:
    """What it makes of what, for people; paths as seen from here."""
    values = [getattr(job, name, ()) for name in getattr(kind.module, "LABEL", ("shapes",))]
    texts = [text for value in values for text in ((value,) if isinstance(value, str) else value)]
    names = [_short(text) for text in texts]
    shapes = " ".join(names[:LABELLED])
    if len(names) > LABELLED:
        shapes += f" and {len(names) - LABELLED} more"
    out = _short(job.out or "")
    return f"{shapes} → {out}" if shapes else out


def _short(text: str) -> str:
    try:
        return str(Path(text).relative_to(Path.cwd()))
    except ValueError:
        return text


COMMANDS: dict[str, Any] = {"submit": Kinds()}
