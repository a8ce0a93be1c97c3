"""One worker's attempts at a task: claim it, drive the child program, judge what happens.

A try ends in one of five ways: the child reports the task done; it asks for another try; it
reports an error or dies (the item it was at is charged); the job stopped; the lease was lost.
An item gets a second try in a fresh child here and a third on another worker, where there is one.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farm import confine, kinds, scratch
from farm.address import own_address, redis_url
from farm.child import Meeting
from farm.client import AWAY
from farm.errors import ProgramFailed
from farm.gate import Gate
from farm.log_line import ERROR
from farm.machine import memory_mb
from farm.meeting import Meetings
from farm.program import MACHINE, Program
from farm.records import ItemFailure, JobRecord
from farm.roles import has_enough, queues
from farm.settings import Settings
from farm.store import MOST_STRIKES, Store
from farm.task_log import TaskLog
from farm.version import version

log = logging.getLogger(__name__)

POLL_S = 0.5  # the child's memory and deadlines are looked at this often
PATIENCE_S = 60.0  # what was made must be told: so long a Redis that is away is waited for
HERE = 2  # tries of one item on one worker
BOUNCED = ("version", "held", "avoid", "off")  # claims that were refused for others to make


@dataclass
class Now:
    """What a worker is doing, for its heartbeat; written by the task's thread, read by another."""

    job: str = ""
    task: str = ""
    item: str = ""


class Stopped(Exception):
    """The job does not run any more, or the worker is to stop: hand the task back."""


class Lost(Exception):
    """Another worker has the task."""


class Runner:
    """Runs tasks one after another, with one warm child per package."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        name: str,
        role: str,
        stop: threading.Event,
        gpus: int = 0,
    ):
        self.settings, self.store, self.name, self.role = settings, store, name, role
        self.stop, self.gpus = stop, gpus
        self.meetings = Meetings(store)
        self.address = own_address(redis_url(settings))
        """This machine's, as the farm's others see it."""
        self.gate = Gate(version(), settings.finish_within_s)
        self.busy = threading.Lock()
        """Held with a task in hand, whose thread alone may then touch the child."""
        self.now = Now()
        self.made: dict[str, int] = {}
        """Units made since it started."""
        self.tasks = 0
        self.heard = 0.0
        """When the last message came, by time.monotonic()."""
        self.ready: int | None = None
        """Process id of the child that has said that it is ready."""
        self._program: Program | None = None
        self._memory_mb = settings.memory_mb or memory_mb() * 0.8
        self._environment = {**os.environ, **settings.environment()}

    def run(self, job: str, task: str) -> str:
        """Try one task: "done", or what became of it. "bounce": send its message again."""
        if self.gate.closed:
            return "bounce"
        with self.busy:
            return self._run(job, task)

    def _run(self, job: str, task: str) -> str:
        if not (confine.PLAIN.fullmatch(job) and confine.PLAIN.fullmatch(task)):
            return "gone"  # no job and no task of ours: they are parts of paths here
        record = self.store.job(job)
        if record is None:
            return "gone"
        kind = kinds.load(record.kind, self.settings.kind_packages)
        try:
            value = kind.read_job(record.job)
        except ValueError as refused:  # the controller has read it: somebody has changed it since
            self.store.turn(job, "failed", "running", reason=str(refused))
            return "refused"
        gpus = kind.gpus(value)
        if not has_enough(self.gpus, gpus):
            return "bounce"
        if kind.together(value) > 1 and not self.meetings.join(job, record.role):
            return "bounce"
        token = uuid.uuid4().hex
        claimed = self._claim(record, task, token, gpus)
        if claimed in BOUNCED:
            return "bounce"
        if claimed != "ok":
            return claimed
        text = self.store.task(job, task)
        if text is None:
            self.store.release(job, task, self.name, token)
            return "gone"
        try:
            attempt = Attempt(self, kind, record, value, text, task, token)
        except ValueError as refused:
            log.warning("refused job=%s task=%s: %s", job, task, refused)
            self.store.bury(job, task, self.name, token, f"bad_input: {refused}")
            return "refused"
        self.now = Now(job=job, task=task)
        avoid = False
        try:
            avoid = attempt.until_done()
            if not avoid:
                self.tasks += 1
            return "handed on" if avoid else "done"
        except Lost:
            self.drop()
            return "lost"
        except Stopped:
            self.drop()
            return "stopped"
        finally:
            self.now = Now()
            attempt.log.close(tell=not attempt.done)
            # A worker that stops lets the lease run out, rather than wait for a Redis that is away.
            _patiently(
                lambda: self.store.release(job, task, self.name, token, avoid=avoid),
                patience_s=0.0 if self.stop.is_set() else PATIENCE_S,
            )

    def program(self, package: str, reach: str = MACHINE) -> Program:
        """The warm child, or a fresh one where it reaches further, or not as far."""
        program = self._program
        wanted = (package, reach)
        if program and (program.package, program.reach) == wanted and program.alive():
            if program.rss_mb() < self.settings.recycle_mb:
                return program
            log.info("recycled child pid=%d rss_mb=%.0f", program.pid, program.rss_mb())
        self.close()
        self._program = Program(package, self._environment, reach)
        return self._program

    def rest(self) -> None:
        """Give back what a child without a task holds; one with a task sees to it itself."""
        if self._program and self.busy.acquire(blocking=False):
            try:
                self.drop()
            finally:
                self.busy.release()

    def drop(self) -> None:
        """Kill the child at once."""
        if self._program:
            self._program.kill()
            self._program = None

    def close(self) -> None:
        """Let the child go."""
        if self._program:
            self._program.close()
            self._program = None

    def rss_mb(self) -> float:
        """Of the child, where there is one; asked for by another thread too."""
        program = self._program
        return program.rss_mb() if program else 0.0

    def too_large(self, rss_mb: float) -> bool:
        return rss_mb > self._memory_mb

    def others(self, kind: str, queue: str, gpus: int) -> bool:
        """Whether another live worker takes such tasks of this kind."""
        return any(
            worker.name != self.name
            and worker.takes_tasks
            and queue in queues(worker.role)
            and has_enough(worker.gpus, gpus)
            and self.store.strikes(kind, worker.name) < MOST_STRIKES
            for worker in self.store.workers(self.settings.worker_dead_s)
        )

    def _claim(self, record: JobRecord, task: str, token: str, gpus: int) -> str:
        def claim(alone: bool) -> str:
            return self.store.claim(
                record.id,
                task,
                self.name,
                token,
                kind=record.kind,
                lease_s=self.settings.lease_s,
                alone=alone,
                version=self.gate.version,
            )

        claimed = claim(alone=False)
        if claimed in ("avoid", "off") and not self.others(record.kind, record.role, gpus):
            claimed = claim(alone=True)
        return claimed


class Attempt:
    """One claimed task.

    Raises ValueError for one that does not fit its kind, or leads out of the storage roots.
    """

    def __init__(
        self,
        runner: Runner,
        kind: kinds.Kind,
        record: JobRecord,
        value: Any,
        task_json: str,
        name: str,
        token: str,
    ):
        self.runner, self.store, self.settings = runner, runner.store, runner.settings
        self.kind, self.job, self.name, self.token = kind, record.id, name, token
        self.queue, self.gpus = record.role, kind.gpus(value)
        task_value = kind.read_task(task_json)
        confine.check(self.settings, kind, value, task_value)
        self.job_value, self.task_value = json.loads(record.job), json.loads(task_json)
        self.units = kind.module.units(value, task_value)
        self.together = kind.together(value)
        self.reach = kind.reach(record.job)
        self.round = 0
        self.log = TaskLog(
            log_path(self.settings, record.id, name),
            runner.name,
            lambda lines, keep: self.store.log(record.id, name, lines, keep),
        )
        self._renewed = self._sure = time.monotonic()
        """When it was last tried to renew the lease, and when Redis last said that it holds."""
        self._live: dict[str, int] = {}
        self._made: dict[str, int] = {}
        self._began = 0.0
        self._program: Program | None = None
        self._struck: set[str] = set()
        """Items that failed here; they count against this worker until it makes them."""
        self.done = False
        """Whether its product is on record: its live log is on its way out."""

    def until_done(self) -> bool:
        """Try until the task is committed (False) or should go to another worker (True)."""
        while True:
            failures = self._try()
            if failures is None:
                return False
            open_tries = [
                failure.tries
                for failure in failures
                if not self.store.final(failure, self.settings.tries)
            ]
            if any(tries >= HERE for tries in open_tries) and self.runner.others(
                self.kind.name, self.queue, self.gpus
            ):
                return True

    def _try(self) -> list[ItemFailure] | None:
        """One try in the child: None when the task is over, else what failed in it."""
        failed: list[ItemFailure] = []
        self._live, self._made = {}, {}
        self._began = time.monotonic()
        program, item, said = None, None, ""
        try:
            program = self._program = self._start()
            program.send(
                {
                    "run": {
                        "kind": self.kind.name,
                        "job": self.job_value,
                        "task": self.task_value,
                        "failed": self._final(),
                    }
                }
            )
            last = time.monotonic()
            while True:
                event = self._next(program, item, last)
                last = time.monotonic()
                match event["event"]:
                    case "start":
                        item, said = event["item"], ""
                    case "progress":
                        said = str(event["values"].get("at", said))
                    case "found":
                        _count(self._live, event["units"])
                    case "finish":
                        item = None
                        for counts in (self._live, self._made, self.runner.made):
                            _count(counts, event["units"])
                    case "failed":
                        item = None
                        failed.append(self._failed(event["item"], event["class"], event["reason"]))
                    case "commit":
                        program.send({"commit": self._may_commit()})
                    case "meet":
                        program.send({"meet": self._meet(program, event)})
                        last = time.monotonic()
                    case "stands":
                        program.send({"stands": self._stands(event["sizes"])})
                    case "done":
                        self._commit(event["done"])
                        return None
                    case "retry":
                        self.log.note("asks for another try")
                        self.runner.drop()
                        return failed
                    case "lost":
                        raise Lost
                    case "error":
                        return [*failed, self._error(event)]
                self.runner.now.item = said or item or ""
                self.log.item = item or ""
        except ProgramFailed as death:
            self.log.note(f"{item or 'no item'}: {death}")
            self._blame_machine()
            failure = self._failed(item or self.name, death.failure_class, death.reason)
            self.runner.drop()
            self._bury_if_final(failure, stop=False)
            return [*failed, failure]

    def _start(self) -> Program:
        """A child that has said that it is ready."""
        program = self.runner.program(self.kind.program, self.reach)
        fresh = program.pid != self.runner.ready
        program.log_to(self.log)
        self.log.note(f"{self.name} on {self.runner.name}, child {program.pid}")
        if fresh:
            deadline = time.monotonic() + self.settings.start_timeout_s
            while program.receive(POLL_S) is None:  # its first event is "ready"
                self._renew()
                if time.monotonic() > deadline:
                    raise ProgramFailed("timeout", "was not ready in time")
            self.runner.ready = program.pid
        return program

    def _next(self, program: Program, item: str | None, last: float) -> dict[str, Any]:
        """The child's next event; meanwhile the lease, the deadlines and the memory are kept."""
        while True:
            event = program.receive(POLL_S)
            self._renew()
            self.log.flush()
            if event is not None:
                return event
            rss = program.rss_mb()
            if self.runner.too_large(rss):
                raise ProgramFailed("out_of_memory", f"grew to {rss:.0f} MB")
            if time.monotonic() - last > self.settings.item_timeout_s:
                raise ProgramFailed(
                    "timeout", f"nothing heard for {self.settings.item_timeout_s:g} s"
                )

    def _renew(self) -> None:
        """Keep the lease. Raises Stopped or Lost."""
        if self.runner.stop.is_set():
            raise Stopped
        if self.runner.gate.must_drop(self._left_s()):
            self.log.note(f"handed back: {self.runner.gate.paused}")
            raise Stopped
        if time.monotonic() - self._renewed < self.settings.renew_s:
            return
        try:
            answer = self.store.renew(
                self.job, self.name, self.runner.name, self.token, self.settings.lease_s, self._live
            )
        except AWAY as error:
            log.warning("no answer from Redis, working on: %s", error)
            answer = "ok"
        else:
            self._sure = time.monotonic()
        self._renewed = time.monotonic()
        if answer == "lost":
            raise Lost
        if answer == "stop":
            raise Stopped

    def _meet(self, program: Program, event: dict[str, Any]) -> dict[str, Any]:
        """Wait until the workers of this job's tasks have met. Raises Stopped when too few come."""
        said = self.runner.now.item
        while True:
            try:
                found = self.runner.meetings.meet(
                    self.job,
                    self.name,
                    f"{self.token} {self.runner.name}",
                    queue=self.queue,
                    host=self.runner.address,
                    port=event["port"],
                    nodes=self.together,
                    sizes=event["sizes"],
                    after=self.round,
                    gather_s=self.settings.gather_s,
                    regroup_s=self.settings.regroup_s,
                )
            except AWAY as error:
                log.warning("no answer from Redis, waiting to meet: %s", error)
            else:
                if isinstance(found, Meeting):
                    break
                if found.late:
                    self.log.note(f"handed back: {found.here} of {found.wanted} workers came")
                    raise Stopped
                self.runner.now.item = f"{found.here} of {found.wanted} workers are here"
            program.receive(POLL_S)  # it says nothing; if it dies, this tells
            self._renew()
        self.round, self.runner.now.item = found.round, said
        self.log.note(f"round {found.round}: number {found.place} of {found.size} workers")
        return dataclasses.asdict(found)

    def _stands(self, sizes: list[int]) -> bool:
        """Whether the round goes on; without Redis only until the lease must have run out."""
        try:
            return self.runner.meetings.stands(self.job, self.round, sizes)
        except AWAY as error:
            log.warning("no answer from Redis, working on: %s", error)
            return time.monotonic() - self._sure < self.settings.lease_s

    def _left_s(self) -> float | None:
        """Seconds to the end of the task, at the pace of this try; None while that is unknown."""
        waits = [
            (number - self._live.get(unit, 0)) * (time.monotonic() - self._began) / made
            for unit, number in self.units.items()
            if (made := self._made.get(unit, 0))
        ]
        return max(waits) if waits else None

    def _may_commit(self) -> bool:
        """Whether the lease still holds; waits for a Redis that is away."""
        while not self.runner.stop.is_set():
            try:
                answer = self.store.renew(
                    self.job,
                    self.name,
                    self.runner.name,
                    self.token,
                    self.settings.lease_s,
                    self._live,
                )
                self._renewed = time.monotonic()
                return answer != "lost"
            except AWAY as error:
                log.warning("no answer from Redis, waiting to commit: %s", error)
                self.runner.stop.wait(POLL_S)
        return False

    def _commit(self, value: Any) -> None:
        done = self.kind.read_done(json.dumps(value))
        self.log.note("done")
        if self.log.sent or done.failed:
            self.log.flush(at_once=True)
        made = made_units(self.units, done)
        _patiently(
            lambda: self.store.commit(
                self.job, self.name, self.runner.name, self.token, kinds.canonical(done), made
            )
        )
        self.done = True
        listed = listed_failures(done, self.name)
        if listed:
            _patiently(lambda: self.store.list_failures(self.job, listed))
        made_here = self._struck - {failure.item for failure in listed}
        if made_here:
            _patiently(
                lambda: self.store.pardon(self.kind.name, self.runner.name, self.job, made_here)
            )

    def _final(self) -> list[dict[str, Any]]:
        """The items of this task that were given up, as the child wants them."""
        found = self.store.failures_of(self.job, self.name)
        return [
            {
                "item": failure.item,
                "cls": failure.cls,
                "reason": failure.reason,
                "tries": failure.tries,
            }
            for failure in found
        ]

    def _failed(self, item: str, cls: str, reason: str) -> ItemFailure:
        tail = self._program.tail if self._program else ""
        failure = ItemFailure(
            item=item,
            cls=cls,
            reason=reason,
            tries=0,
            task=self.name,
            worker=self.runner.name,
            tail=tail[-2000:],
        )
        self.log.add(f"{item} failed as {cls}: {reason}", ERROR)
        self._struck.add(item)
        return self.store.failed(self.job, failure, kind=self.kind.name, most=self.settings.tries)

    def _error(self, event: dict[str, Any]) -> ItemFailure:
        """The child's run() raised: charged to its item, or to the task."""
        self._drain()
        self._blame_machine()
        failure = self._failed(event["item"] or self.name, event["class"], event["reason"])
        self.runner.drop()
        self._bury_if_final(failure, stop=bool(event["stop"]))
        return failure

    def _drain(self) -> None:
        """Take in what is left of stderr: the traceback."""
        try:
            if self._program:
                self._program.receive(0.05)
        except ProgramFailed:
            pass

    def _blame_machine(self) -> None:
        """A full disk here is no fault of the task's: raises Stopped, and the worker rests."""
        self.runner.drop()  # with it goes what it had in its temporary folder
        lacking = scratch.lacking()
        if lacking:
            self.runner.gate.lack(lacking)
            self.log.note(f"handed back: {lacking}")
            raise Stopped

    def _bury_if_final(self, failure: ItemFailure, stop: bool) -> None:
        """A task that failed for no item's sake is given up after its last try."""
        if failure.item != self.name or not self.store.final(failure, self.settings.tries):
            return
        reason = f"{failure.cls}: {failure.reason}"
        self.store.bury(self.job, self.name, self.runner.name, self.token, reason)
        if stop or self.together > 1:  # the others can do nothing without it
            self.store.turn(self.job, "failed", "running", reason=failure.reason)
        raise Stopped


def log_path(settings: Settings, job: str, task: str) -> Path:
    """Where the log of a task lies, on the machine that ran it."""
    return settings.task_logs / job / f"{task}.log"


def made_units(units: dict[str, int], done: Any) -> dict[str, int]:
    """Units a Done made: its own fields of those names, else the task's."""
    return {unit: int(getattr(done, unit, number)) for unit, number in units.items()}


def listed_failures(done: Any, task: str) -> list[ItemFailure]:
    """The failures that a Done lists."""
    return [
        ItemFailure(
            item=failure.id,
            cls=failure.failure_class,
            reason=failure.reason,
            tries=failure.tries,
            task=task,
        )
        for failure in done.failed
    ]


def _count(counts: dict[str, int], units: dict[str, int]) -> None:
    for unit, number in units.items():
        counts[unit] = counts.get(unit, 0) + number


def _patiently(call: Any, patience_s: float = PATIENCE_S) -> None:
    """Call until Redis answers: what was made must be told."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            call()
            return
        except AWAY:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
