"""`farm submit pipeline`: a file of jobs that read what others make."""

from __future__ import annotations

import json as json_
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from farm.pipeline import Pipeline
    from farm.pipelines import PipelineRecord


PATIENCE_S = 3.0
LOOKS = "looking at what the first stages read"


@dataclass(frozen=True, kw_only=True)
class Submit:
    """Run a file of jobs that read what others make.

        farm submit pipeline docs/examples/aist-tiny.toml

    Everything is checked before anything starts. A stage starts as soon as what it needs is done;
    one that fails stops only those that need it. The same line again goes on where it stopped.
    """

    file: Annotated[Path, Positional, arg(metavar="FILE")]
    """TOML file of stages; docs/pipelines.md tells what is in it."""
    workers: int | None = None
    """So many workers for each stage; by default one for each GPU, or for each core without one."""
    dry_run: bool = False
    """Only check, and say what would be done."""
    wait: bool = True
    """Wait for it, showing how it goes; else it goes on in the background."""
    json: bool = False
    """Print one JSON object instead of words."""

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"--workers {self.workers}: at least 1")

    def __call__(self) -> int:
        from farm.pipeline import PipelineRefused, read
        from farm.settings import load

        settings = load()
        try:
            pipeline = read(self.file, Path.cwd(), settings.kind_packages)
            _claim(pipeline)
            sizes = _sizes(pipeline, settings)
        except PipelineRefused as refused:
            from farm.words import typed

            for line in refused.lines:
                print(f"farm: {typed(line)}", file=sys.stderr)
            return 2
        if self.dry_run:
            return _dry_run(pipeline, sizes, self.json)
        return _submit(pipeline, settings, self)


def _submit(pipeline: Pipeline, settings: Any, asked: Submit) -> int:
    from farm import confine, kinds, local
    from farm.follow import Interrupt
    from farm.follow_pipeline import follow
    from farm.pipelines import Pipelines
    from farm.words import typed

    if settings.storage_roots:
        confine.refuse([pipeline.out], "write", settings.storage_roots)
    for stage in pipeline.stages:
        kind = kinds.load(stage.kind, settings.kind_packages)
        confine.check(settings, kind, kind.read_job(stage.job))
    store = local.open_store_with_roots(settings)
    if settings.private and asked.workers:
        local.wish(store, workers=asked.workers)
    with Interrupt() as interrupt:
        Pipelines(store).submit(pipeline, workers=0 if settings.private else asked.workers or 0)
        if asked.wait:
            return follow(
                settings, store, pipeline.id, interrupt, as_json=asked.json, report=_report
            )
    if asked.json:
        facts = {"pipeline": pipeline.id, "name": pipeline.name, "state": "running"}
        print(json_.dumps({**facts, "out": pipeline.out}))
    else:
        print(typed(f"{pipeline.id}  `farm watch {pipeline.name}` shows how it goes"))
    return 0


def _report(out: str) -> str | None:
    """Make the report of an experiment: its page; None where it cannot be made here."""
    from farm.words import typed

    try:
        from trainer.experiment_page import make

        return str(make(out))
    except ModuleNotFoundError:  # a machine without the train extra
        return None
    except (ValueError, OSError) as error:
        print(f"farm: no report: {typed(str(error))}", file=sys.stderr)
        return None


def _claim(pipeline: Pipeline) -> None:
    """Raises PipelineRefused where the folder is another pipeline's, or no folder."""
    from farm.conductor import FILE
    from farm.pipeline import VERSION, PipelineRefused

    out = Path(pipeline.out)
    try:
        found = json_.loads((out / FILE).read_bytes())
        name, version = found["name"], found["version"]
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise PipelineRefused(
            pipeline.file, [f"out = {out}: it is no folder; choose another out"]
        ) from None
    except (ValueError, KeyError, TypeError):
        name, version = None, VERSION
    if name != pipeline.name:
        whose = f"pipeline {name!r}" if name else f"a {FILE} that is no pipeline's"
        raise PipelineRefused(pipeline.file, [f"out = {out}: holds {whose}; choose another out"])
    if version != VERSION:
        raise PipelineRefused(
            pipeline.file,
            [f"{out / FILE} has version {version!r}; this program reads version {VERSION}"],
        )


def _sizes(pipeline: Pipeline, settings: Any) -> dict[str, dict[str, Any]]:
    """What the stages that need no other would make, by their kinds' own scan.

    Raises PipelineRefused for what they refuse. A lab's storage and shapes are its controller's
    to look at.
    """
    from farm import kinds
    from farm.pipeline import PipelineRefused

    if not settings.private:
        return {}
    found: dict[str, dict[str, Any]] = {}
    problems = []
    patience = threading.Timer(PATIENCE_S, print, (LOOKS,), {"file": sys.stderr, "flush": True})
    patience.daemon = True
    patience.start()
    for stage in pipeline.stages:
        if stage.needs:
            continue
        kind = kinds.load(stage.kind, settings.kind_packages)
        job = kind.read_job(stage.job)
        try:
            found[stage.name] = kind.module.estimate(job, kind.module.scan(job))
        except (ValueError, OSError) as error:
            problems.append(f"stage {stage.name}: {' '.join(str(error).split())}")
    patience.cancel()
    if problems:
        raise PipelineRefused(pipeline.file, problems)
    return found


def _dry_run(pipeline: Pipeline, sizes: dict[str, dict[str, Any]], as_json: bool) -> int:
    from farm.pipeline import about
    from farm.words import count

    if as_json:
        facts = about(pipeline)
        for name, size in sizes.items():
            facts["stages"][name]["estimate"] = size
        print(json_.dumps({**facts, "out": pipeline.out}))
        return 0
    print(f"would make {pipeline.out}: {count(len(pipeline.stages), 'stage')}")
    names = max(len(stage.name) for stage in pipeline.stages)
    kinds = max(len(stage.kind) for stage in pipeline.stages)
    for stage in pipeline.stages:
        told = [f"needs {', '.join(stage.needs)}"] if stage.needs else []
        told += [f"{number} {what}" for what, number in sizes.get(stage.name, {}).items() if number]
        where = "" if stage.product.startswith(f"{pipeline.out}/") else f"  → {stage.product}"
        print(f"  {stage.name:<{names}}  {stage.kind:<{kinds}}  {', '.join(told)}{where}".rstrip())
    return 0


# --- what `farm status`, `pause` ... do with one --------------------------------------------------


def find(store: Any, name: str) -> PipelineRecord | None:
    """The pipeline of that name, or whose id begins so; None where it can only be a job.

    Raises ValueError where it may be several things.
    """
    from farm.pipelines import Pipelines

    records = Pipelines(store).all() if store and name else []
    named = [record for record in records if record.name == name]
    if len(named) == 1:
        return named[0]
    found = named or [record for record in records if record.id.startswith(name)]
    jobs = [record.id for record in store.jobs() if record.id.startswith(name)] if found else []
    if len(found) + len(jobs) > 1:
        ids = " or ".join([record.id for record in found] + jobs)
        raise ValueError(f"{name!r} may be {ids}; type one of these")
    return found[0] if found else None


def watch(settings: Any, store: Any, record: PipelineRecord) -> int:
    """Follow a pipeline until it rests; 0 when it is done."""
    import time

    from farm.follow_pipeline import live
    from farm.graph import changes, plain
    from farm.pipelines import Pipelines
    from farm.watch import Watch

    pipelines, before = Pipelines(store), None
    with Watch() as screen:
        while view := pipelines.view(record.id, progress=True):
            workers = store.workers(settings.worker_dead_s)
            for line in changes(before, view):
                screen.say(line)
            screen.draw(lambda v=view, w=workers: live(v, w), plain(view))  # type: ignore[misc]
            if not view.record.active:
                return 0 if view.record.state == "done" else 1
            before = view
            time.sleep(0.25)
    return 1


COMMANDS: dict[str, Any] = {}  # farm.commands.submit has the word
