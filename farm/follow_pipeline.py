"""Waits for a pipeline in a terminal: shows its graph, or stops it on Ctrl-C."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import redis
from rich.console import Group, RenderableType
from rich.text import Text

from farm import local
from farm.conductor import FILE
from farm.follow import STOPPED, Interrupt, until_it_rests
from farm.graph import changes, graph, plain
from farm.pipelines import BLOCKED, Pipelines, PipelineView
from farm.records import DONE, FAILED, INTERRUPTED, RUNNING, SUBMITTED, WorkerRecord
from farm.roles import queues
from farm.settings import Settings
from farm.store import Store
from farm.watch import MAX_WORKERS, Watch, duration, worker_table
from farm.words import count, typed

LAST_WORDS_S = 5.0  # how long pipeline.json may take to say how it ended
AROUND = 4  # lines of a picture beside stages and workers


def follow(
    settings: Settings,
    store: Store,
    name: str,
    interrupt: Interrupt,
    *,
    as_json: bool,
    report: Callable[[str], str | None],
) -> int:
    """Wait until a pipeline rests; the exit code: 0 only when every stage is done.

    report  makes the report of an experiment in a folder, and tells where it is, if it can
    """
    pipelines, began = Pipelines(store), time.monotonic()
    with Watch() as watch:
        view = until_it_rests(
            settings, store, lambda: pipelines.view(name, progress=True), shower(watch), interrupt
        )
        if interrupt.asked:
            watch.say("stopping: workers hand back what they hold")
            _interrupt(settings, pipelines, name)
    if interrupt.asked:
        print(STOPPED, file=sys.stderr)
        return 130
    if view is None:
        print(
            f"farm: the farm has forgotten pipeline {name} (its Redis was emptied); the same line "
            "goes on from storage",
            file=sys.stderr,
        )
        return 1
    page, seconds = None, time.monotonic() - began
    if view.record.state == DONE and view.pipeline.experiment:
        _last_words(view)
        page = report(view.record.out)
    return end(view, as_json, seconds, page)


def picture(
    view: PipelineView, workers: Sequence[WorkerRecord], lines: int | None = None
) -> RenderableType:
    """The graph, and who works on it; in about so many lines."""
    roles = {each.stage.role for each in view.stages}
    mine = [worker for worker in workers if roles.intersection(queues(worker.role))][:MAX_WORKERS]
    if not (mine and view.record.active):
        return graph(view, lines)
    rest = None if lines is None else max(1, lines - len(mine) - AROUND)
    return Group(graph(view, rest), Text(), worker_table(mine))


def live(view: PipelineView, workers: Sequence[WorkerRecord]) -> RenderableType:
    """The same for a terminal that is redrawn: no more than it can show."""
    return picture(view, workers, shutil.get_terminal_size().lines - AROUND)


def shower(watch: Watch) -> Callable[[PipelineView, list[WorkerRecord]], None]:
    """Tells what changed since the last look, and draws the graph."""
    before: PipelineView | None = None

    def show(view: PipelineView, workers: list[WorkerRecord]) -> None:
        nonlocal before
        for line in changes(before, view):
            watch.say(line)
        before = view
        watch.draw(lambda: live(view, workers), plain(view))

    return show


def _interrupt(settings: Settings, pipelines: Pipelines, name: str) -> None:
    """Stop one pipeline; and the private farm, if nothing else runs there."""
    store = pipelines.store
    try:
        pipelines.stop(name, INTERRUPTED, SUBMITTED, RUNNING)
        view = pipelines.view(name)
        if settings.private and not local.busy(store):
            local.wish(store, stop=1)
            local.wait_until_gone(settings)
            return
        deadline = time.monotonic() + 10
        stages = view.stages if view else ()
        while any(store.leased(each.stage.id) for each in stages) and time.monotonic() < deadline:
            time.sleep(0.1)
    except redis.RedisError:
        pass  # a farm that is gone has stopped


def _last_words(view: PipelineView) -> None:
    """Wait for pipeline.json to say that all is done."""
    path, deadline = Path(view.record.out) / FILE, time.monotonic() + LAST_WORDS_S
    while time.monotonic() < deadline:
        try:
            if json.loads(path.read_bytes())["state"] == DONE:
                return
        except (OSError, ValueError, KeyError):
            pass
        time.sleep(0.1)


def end(view: PipelineView, as_json: bool, seconds: float, page: str | None = None) -> int:
    """Tell how it ended: every failed stage in a line, or what to look at now.

    page  the report of its experiment
    """
    record = view.record
    if as_json:
        print(json.dumps({**view.as_json(), "seconds": round(seconds, 2), "report": page}))
    if record.state == DONE:
        if not as_json:
            print(typed(_summary(view, seconds, page)))
        return 0
    for each in view.stages:
        if each.state == FAILED:
            reason = f"stage {each.stage.name} failed: {each.reason}; `farm logs {each.stage.id}`"
            print(f"farm: {typed(reason)}", file=sys.stderr)
    if blocked := view.named(BLOCKED):
        bases = Counter(name.partition(".")[0] for name in blocked)
        told = ", ".join(f"{base} ({n})" if n > 1 else base for base, n in bases.items())
        print(f"farm: not started for want of what they need: {told}", file=sys.stderr)
    goes_on = "retry" if record.state == FAILED else "resume"
    why = f"pipeline {record.name} {record.state}, {view.done} of "
    why += f"{count(len(view.stages), 'stage')} done; `farm {goes_on} {record.name}` goes on"
    print(f"farm: {typed(why)}", file=sys.stderr)
    return 1


def _summary(view: PipelineView, seconds: float, page: str | None) -> str:
    out = _short(view.record.out)
    lines = [f"{out}: {count(len(view.stages), 'stage')} done in {duration(seconds)}"]
    width = max(len(each.stage.name) for each in view.stages)
    lines += [f"  {each.stage.name:<{width}}  {_short(each.stage.product)}" for each in view.stages]
    if page:
        lines.append(f"look at it    {_short(page)}")
    elif view.pipeline.experiment:
        lines.append(f"look at it    farm report {out}")
    return "\n".join(lines)


def _short(path: str) -> str:
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path
