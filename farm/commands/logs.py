"""Logs of jobs, tasks and workers, across machines."""

from __future__ import annotations

import json as json_
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from tyro.conf import Positional, arg


@dataclass(frozen=True, kw_only=True)
class Logs:
    """Why things failed, and what a task's program says, on whatever machine it runs.

    With a job alone: what failed, with class, reason and the last lines of the child's log.
    With --task, --worker or --follow: the lines themselves. The last ones of a task that runs or
    has failed are in Redis; the whole log is where it ran, or in FARM_LOGS_ROOT.

        farm logs 3f2a
        farm logs 3f2a --task train-000012
        farm logs 3f2a -f
        farm logs --worker render-0@gpu3
    """

    job: Annotated[str, Positional, arg(metavar="[JOB]")] = ""
    """Id of a job, or its beginning; name or id of a pipeline: of its stages that failed."""
    task: str = ""
    """Lines of this task."""
    worker: str = ""
    """Lines of this worker's own log, and of the tasks it has or had."""
    follow: Annotated[bool, arg(aliases=["-f"])] = False
    """Go on with new lines as they come, until the job rests."""
    all: bool = False
    """Also what went well on a later try."""
    json: bool = False
    """Print one JSON object; of lines, one each."""

    def __post_init__(self) -> None:
        if not self.job and not self.worker:
            raise ValueError("JOB or --worker must be given")
        if self.task and not self.job:
            raise ValueError("--task: give the job it is a task of, too")

    def __call__(self) -> int:
        from farm.commands import pipeline
        from farm.commands.jobs import job_of, open_farm

        settings, store = open_farm()
        if self.task or self.worker or self.follow:
            if store is None:
                raise ValueError("no farm has run here yet")
            record = job_of(store, self.job) if self.job else None
            if self.worker:
                return self._print(_worker_lines(store, self.worker, record, self.follow))
            assert record is not None, "--task and --follow come with a job"
            return self._print(self._lines(settings, store, record))
        if found := pipeline.find(store, self.job):
            return self._pipeline(settings, store, found)
        return self._failures(settings, store, job_of(store, self.job))

    def _lines(self, settings: Any, store: Any, record: Any) -> Iterator[Any]:
        """Of one task or all of a job: the whole log where it is at hand, else the live one."""
        from farm.attempt import log_path
        from farm.log_reader import LiveLogs, follow, in_file

        live = LiveLogs(store)
        if not self.follow:
            if store.task(record.id, self.task) is None:
                raise ValueError(f"--task {self.task}: job {record.id} has no such task")
            path = log_path(settings, record.id, self.task)
            here = list(in_file(path, record.id, self.task)) if path.is_file() else []
            workers = {line.worker for line in here}
            found = live.look(record.id, lambda name: name == self.task)
            there = [line for line in found if line.worker not in workers]
            place = f"$FARM_HOME/logs/{record.id}/{self.task}.log"
            if not here and not there:
                raise ValueError(
                    f"--task {self.task}: no line in Redis: it has not begun, or went well; "
                    f"all it said is on the machine that ran it, in {place}"
                )
            yield from sorted(here + there, key=lambda line: line.time)
            if there:
                names = " and ".join(dict.fromkeys(line.worker for line in there))
                print(
                    f"farm: the last lines of {names}; all are there, in {place}", file=sys.stderr
                )
            return

        def on() -> bool:
            now = store.job(record.id)
            return bool(now and now.active)

        yield from follow(lambda: live.look(record.id, lambda name: self.task in ("", name)), on)

    def _print(self, lines: Iterable[Any]) -> int:
        for line in lines:
            if self.json:
                print(line.as_json(), flush=True)
                continue
            where = line.worker if self.task else f"{line.task or line.job} {line.worker}".strip()
            print(line.for_people(where), flush=True)
        return 0

    def _pipeline(self, settings: Any, store: Any, found: Any) -> int:
        from farm.pipelines import Pipelines

        view = Pipelines(store).view(found.id)
        failed = [e.stage.id for e in view.stages if e.state == "failed"] if view else []
        if self.json:
            stages = [_as_json(store, store.job(job), self.all) for job in failed]
            print(json_.dumps({"pipeline": found.id, "stages": stages}))
            return 0
        for job in failed:
            self._failures(settings, store, store.job(job))
        if not failed:
            print(f"pipeline {found.name}: no stage failed")
        return 0

    def _failures(self, settings: Any, store: Any, record: Any) -> int:
        from farm.words import plain

        if self.json:
            print(json_.dumps(_as_json(store, record, self.all)))
            return 0
        final, more = _failed(store, record)
        failures = final + (more if self.all else [])
        dead = store.dead(record.id)
        folder = settings.task_logs / record.id
        print(
            f"{record.kind} {record.id} {record.state}"
            + (f": {record.reason}" if record.reason else "")
        )
        for task, reason in sorted(dead.items()):
            print(f"  task {task} was given up: {plain(reason)}")
        for failure in failures:
            print(
                f"  {plain(failure.item)}  {failure.cls}  {failure.reason}"
                f"  ({failure.tries} {'try' if failure.tries == 1 else 'tries'}, {failure.task}"
                + (f" on {failure.worker})" if failure.worker else ")")
            )
            for line in failure.tail.splitlines()[-6:]:
                print(f"      {line}")
        if not failures and not dead:
            print("  nothing failed")
        if more and not self.all:
            print(f"  {len(more)} failed and went well on a later try (--all shows them)")
        if folder.is_dir():
            print(f"  whole logs of this machine's workers: {folder}")
        return 0


def _worker_lines(store: Any, worker: str, record: Any, on: bool) -> Iterator[Any]:
    """A worker's own lines and those of its tasks, of one job or of all that are active."""
    from farm.log_reader import LiveLogs, follow
    from farm.store import WORKER_LOGS

    live = LiveLogs(store)
    known = sorted(store.logs(WORKER_LOGS))
    if worker not in known:
        there = f"there are {', '.join(known)}" if known else "none has said anything for a day"
        raise ValueError(f"--worker {worker}: no log of such a worker; {there}")

    def look() -> list[Any]:
        jobs = [record] if record else [job for job in store.jobs() if job.active]
        lines = live.look(WORKER_LOGS, lambda name: name == worker)
        for job in jobs:
            lines += [line for line in live.look(job.id) if line.worker == worker]
        return sorted(lines, key=lambda line: line.time)

    def works() -> bool:
        now = store.job(record.id) if record else None
        return record is None or bool(now and now.active)

    return follow(look, works) if on else iter(look())


def _failed(store: Any, record: Any) -> tuple[list[Any], list[Any]]:
    """What was given up, in order of name; and what failed and went well later."""
    final = store.failures(record.id)
    names = {failure.item for failure in final}
    more = [failure for failure in store.tried(record.id) if failure.item not in names]
    return sorted(final, key=lambda f: f.item), more


def _as_json(store: Any, record: Any, every: bool) -> dict[str, Any]:
    import dataclasses

    final, more = _failed(store, record)
    return {
        "job": record.id,
        "reason": record.reason,
        "tasks": store.dead(record.id),
        "failures": [dataclasses.asdict(f) for f in final + (more if every else [])],
    }


COMMANDS = {"logs": Logs}
