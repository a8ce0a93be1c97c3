"""What people do with jobs and pipelines: look at them, stop them, go on with them."""

from __future__ import annotations

import json as json_
import sys
from dataclasses import dataclass
from typing import Annotated, Any

from tyro.conf import Positional, arg

EMPTY = "no jobs yet; try `farm submit render --shapes samples/cars`"
RESTING = 6  # finished jobs that `farm status` shows
FEW = 16  # stages of a pipeline that it shows one by one
JobId = Annotated[str, Positional, arg(metavar="JOB")]
MaybeJobId = Annotated[str, Positional, arg(metavar="[JOB]")]


@dataclass(frozen=True, kw_only=True)
class Status:
    """What is going on: every job and pipeline, or one.

    The beginning of an id is enough, or a pipeline's name.

        farm status
        farm status 3f2a
        farm status aist
    """

    job: MaybeJobId = ""
    """Id of a job, or its beginning; name or id of a pipeline; all of them without."""
    json: bool = False
    """Print one JSON object."""

    def __call__(self) -> int:
        from farm.commands import pipeline
        from farm.words import count, typed

        settings, store = open_farm()
        if store is None:
            print(json_.dumps({"jobs": [], "pipelines": []}) if self.json else typed(EMPTY))
            return 0
        if self.job and (found := pipeline.find(store, self.job)):
            return self._pipeline(settings, store, found.id)
        graphs, stages = _graphs(store, every=self.json) if not self.job else ([], set())
        records = [job_of(store, self.job)] if self.job else store.jobs()
        if not self.job and not self.json:  # what was refused, and told, is nobody's business
            records = [
                record
                for record in records
                if not (record.refused and record.told) and record.id not in stages
            ]
        rest = [record for record in records if not record.active]
        older = [] if self.json else rest[:-RESTING]
        views = [view for r in records if r not in older and (view := store.view(r.id))]
        workers = store.workers(settings.worker_dead_s)
        if self.json:
            facts = [view.as_json() for view in views]
            print(
                json_.dumps(
                    facts[0]
                    if self.job
                    else {
                        "jobs": facts,
                        "pipelines": [view.as_json() for view in graphs],
                        "workers": [worker.name for worker in workers],
                    }
                )
            )
            return 0
        from rich.console import Console

        from farm.graph import graph
        from farm.watch import picture

        if not views and not graphs:
            print(typed(EMPTY))
            return 0
        console = Console(highlight=False)
        for drawn in graphs:
            console.print(graph(drawn, FEW))
        if graphs and views:
            console.print()
        if views:
            console.print(picture(views, workers))
        if older:
            more = count(len(older), "older job")
            print(typed(f"\nand {more}; `farm status --json` has all"))
        for view in views:
            if view.record.refused:
                store.note(view.record.id, told=True)
        return 0

    def _pipeline(self, settings: Any, store: Any, name: str) -> int:
        from rich.console import Console

        from farm.follow_pipeline import picture
        from farm.pipelines import Pipelines

        view = Pipelines(store).view(name, progress=True)
        assert view is not None, "it was found a moment ago"
        if self.json:
            print(json_.dumps(view.as_json()))
        else:
            Console(highlight=False).print(picture(view, store.workers(settings.worker_dead_s)))
        return 0


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Follow the jobs that run, or one, live; or a pipeline.

    farm watch
    """

    job: MaybeJobId = ""
    """Id of a job, or its beginning; name or id of a pipeline; all jobs that run without."""

    def __call__(self) -> int:
        import time

        from farm.commands import pipeline
        from farm.watch import Watch as Screen

        settings, store = open_farm()
        if store is None:
            raise ValueError("no jobs yet; `farm submit render --shapes samples/cars` makes one")
        if self.job and (found := pipeline.find(store, self.job)):
            return pipeline.watch(settings, store, found)
        chosen = job_of(store, self.job).id if self.job else None
        names = [
            record.id
            for record in store.jobs()
            if record.id == chosen or (chosen is None and record.active)
        ]
        if not names:
            print("no job runs; `farm status` lists them all", file=sys.stderr)
            return 0
        with Screen() as screen:
            while True:
                views = [view for name in names if (view := store.view(name))]
                screen.show(views, store.workers(settings.worker_dead_s))
                if not any(view.record.active for view in views):
                    break
                time.sleep(0.25)
        return 0 if all(view.record.state == "done" for view in views) else 1


@dataclass(frozen=True, kw_only=True)
class Pause:
    """Hold a job or a pipeline: its tasks are handed back at once; `farm resume` goes on.

    farm pause 3f2a
    """

    job: JobId
    """Id of a job, or its beginning; or name or id of a pipeline."""

    def __call__(self) -> int:
        return _turn(self.job, "pause")


@dataclass(frozen=True, kw_only=True)
class Resume:
    """Go on with a job or pipeline that was paused, interrupted, cancelled or failed.

    farm resume 3f2a
    """

    job: JobId
    """Id of a job, or its beginning; or name or id of a pipeline."""

    def __call__(self) -> int:
        return _turn(self.job, "resume")


@dataclass(frozen=True, kw_only=True)
class Cancel:
    """Stop a job or a pipeline for good; what is finished stays on storage.

    farm cancel 3f2a
    """

    job: JobId
    """Id of a job, or its beginning; or name or id of a pipeline."""

    def __call__(self) -> int:
        return _turn(self.job, "cancel")


@dataclass(frozen=True, kw_only=True)
class Retry:
    """Try what failed once more: shapes given up (not bad input), tasks, stages of a pipeline.

    farm retry 3f2a
    """

    job: JobId
    """Id of a job, or its beginning; or name or id of a pipeline."""

    def __call__(self) -> int:
        from farm import steering
        from farm.commands import pipeline
        from farm.pipelines import Pipelines
        from farm.words import typed

        _, store = open_farm()
        if found := pipeline.find(store, self.job):
            print(typed(steering.retry_pipeline(Pipelines(store), found)))
        else:
            print(typed(steering.retry_job(store, job_of(store, self.job))))
        return 0


def open_farm() -> tuple[Any, Any]:
    """Settings and store; no store where no farm has ever run."""
    from farm import local
    from farm.settings import load

    settings = load()
    if settings.private and not (settings.home / "redis").exists():
        return settings, None
    return settings, local.open_store(settings)


def job_of(store: Any, name: str) -> Any:
    """The job whose id begins so. Raises ValueError when there is none, or several."""
    from farm.errors import NoSuchJob

    found = [record for record in (store.jobs() if store else ()) if record.id.startswith(name)]
    if not found:
        raise NoSuchJob(name)
    if len(found) > 1:
        raise ValueError(
            f"job {name!r} may be {' or '.join(record.id for record in found)}; type more of it"
        )
    return found[0]


def _graphs(store: Any, every: bool) -> tuple[list[Any], set[str]]:
    """Pipelines to show, and the jobs that are shown with them: those at work, and the newest."""
    from farm.pipelines import Pipelines

    pipelines = Pipelines(store)
    records = pipelines.all()
    shown = [r for r in records if r.active or every or r is records[-1]]
    views = [view for r in shown if (view := pipelines.view(r.id, progress=True))]
    return views, {each.stage.id for view in views for each in view.stages}


def _turn(name: str, verb: str) -> int:
    from farm import steering
    from farm.commands import pipeline
    from farm.pipelines import Pipelines

    _, store = open_farm()
    if found := pipeline.find(store, name):
        print(steering.turn_pipeline(Pipelines(store), found, verb))
    else:
        print(steering.turn_job(store, job_of(store, name), verb))
    return 0


COMMANDS = {
    "status": Status,
    "watch": Watch,
    "pause": Pause,
    "resume": Resume,
    "cancel": Cancel,
    "retry": Retry,
}
