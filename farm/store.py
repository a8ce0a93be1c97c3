"""Job, task, lease, failure and worker records in Redis, behind a few functions.

Keys of one job, `farm:<job>:<part>`:

    (none)    hash    kind, role, job, state, reason ...
    tasks     hash    task -> its JSON
    todo      list    tasks not yet in the window, in order
    queued    zset    tasks whose message was sent -> when
    leases    hash    task -> "token worker"      leased  zset  task -> when the lease runs out
    done      hash    task -> its Done as JSON    committed  list of tasks, in order of commit
    dead      hash    task -> why it was given up
    live      hash    task -> units made so far in the current try
    total, made       hash    unit -> count
    failures  hash    item -> the failure, final  tries   hash  item -> the failure, so far
    final     hash    task -> its items that were given up, as a JSON list
    avoid     hash    task -> the worker that should not try it again
    expired   hash    task -> how often its lease ran out
    again     set     tasks to be done again, though their product is on storage (`farm retry`)
    log:<task> stream  the last lines of a task that runs or has failed, for a day
    logs      zset    tasks that have such a log -> when its last line came

Keys of the farm are told beside their names below.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from farm import scripts
from farm.client import AWAY, Client
from farm.records import (
    ACTIVE,
    DONE,
    DRAIN,
    FAILED,
    PAUSE,
    RESTING,
    SUBMITTED,
    Census,
    ItemFailure,
    JobRecord,
    Orders,
    View,
    WorkerRecord,
)
from farm.words import plain

JOBS = "farm:jobs"
WORKERS, SEEN = "farm:workers", "farm:seen"
LOCK, TICKED = "farm:controller", "farm:ticked"  # who controls, and when it last said so
LAST = "farm:controlled"  # who did so last, also once the lock has run out
COUNTS = "farm:counts"
"""hash of numbers that only grow, since the farm began: "tasks" done, "units images" made, "leases
expired", "messages lost", "failures crash" (tries), "given up crash" (items), "retries" """
WORKER_LOGS = "workers"
"""In the place of a job: the live logs of workers, by name."""
VERSION = "farm:version"  # the controller's, which workers must have
HOLDS = "farm:holds"
"""hash: worker -> what a person asks of it, PAUSE or DRAIN"""
PARTS = (
    "tasks",
    "todo",
    "queued",
    "done",
    "committed",
    "dead",
    "live",
    "total",
    "made",
    "failures",
    "tries",
    "final",
    "avoid",
    "expired",
    "meeting",
    "here",
    "later",
)
BULK = 1000  # commands per round trip when a plan is recorded
LOG_S = 86_400  # a live log stays for so long after its last line
MOST_LOGS = 1000  # live logs of one job
WORKER_FIELDS = frozenset(field.name for field in dataclasses.fields(WorkerRecord))
MOST_STRIKES = 3  # distinct items of one kind, before a worker is taken off that kind


def connect(url: str, patience_s: float = 10.0) -> redis.Redis:
    """A client that outlives a Redis that is killed and started again.

    url is redis-py's (unix:// or redis://). Nothing here blocks on the server, so its answers
    come within the timeout; a lost connection is tried again for about patience_s.
    """
    backoff = ExponentialBackoff(cap=1.0, base=0.05)
    return Client.from_url(
        url,
        decode_responses=True,
        socket_timeout=20.0,
        socket_connect_timeout=5.0,
        retry=Retry(backoff, 4 + int(patience_s)),
        retry_on_error=[*AWAY],
    )


def _key(job: str, part: str = "") -> str:
    return f"farm:{job}:{part}" if part else f"farm:{job}"


def _keys(job: str, *parts: str) -> list[str]:
    return [_key(job, part) for part in parts]


class Store:
    """The farm's memory. Every function is one round trip or a few; none scans all keys."""

    def __init__(self, client: redis.Redis):
        self.client: Any = client  # redis-py's types know nothing of decode_responses
        script = client.register_script
        self._dispatch, self._claim = script(scripts.DISPATCH), script(scripts.CLAIM)
        self._renew, self._commit = script(scripts.RENEW), script(scripts.COMMIT)
        self._release, self._expire = script(scripts.RELEASE), script(scripts.EXPIRE)
        self._vanished, self._expired = script(scripts.VANISHED), script(scripts.EXPIRED)
        self._beat, self._lock = script(scripts.BEAT), script(scripts.LOCK)
        self._turn, self._log = script(scripts.TURN), script(scripts.LOG)
        self._forget, self._active = script(scripts.FORGET), script(scripts.ACTIVE)

    # jobs

    def submit(self, record: JobRecord) -> str:
        """Record a job, or take up the one there is.

        Returns "joined" for one that is being worked on, else the state it was in ("" for none).
        """
        key = _key(record.id)
        facts = {
            name: value
            for name, value in _flat(record).items()
            if name not in ("state", "tasks", "rates", "started")
        }
        was = self.client.hget(key, "state") or ""
        if was in ACTIVE:
            self.client.hset(key, "workers", record.workers)
            return "joined"
        now = time.time()
        with self.client.pipeline() as pipe:
            pipe.hset(
                key,
                mapping={
                    **facts,
                    "state": SUBMITTED,
                    "reason": "",
                    "fault": "",
                    "submitted": now,
                    "changed": now,
                    "started": now,
                },
            )
            pipe.zadd(JOBS, {record.id: now})
            pipe.execute()
        return str(was)

    def job(self, job: str) -> JobRecord | None:
        facts = self.client.hgetall(_key(job))
        return _record(job, facts) if facts else None

    def jobs(self) -> list[JobRecord]:
        """Every job, oldest submission first; what somebody else wrote there is none."""
        return self._jobs(self.client.zrange(JOBS, 0, -1))

    def active(self) -> list[JobRecord]:
        """The jobs that are worked on, oldest submission first; those at rest may be many."""
        return self._jobs(self._active(keys=[JOBS], args=[_key(""), *ACTIVE]))

    def _jobs(self, names: list[str]) -> list[JobRecord]:
        with self.client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hgetall(_key(name))
            found = pipe.execute()
        records = []
        for name, facts in zip(names, found, strict=True):
            # Whoever may submit may write here, and must not bring down who reads it.
            with contextlib.suppress(KeyError, ValueError, TypeError):
                records.append(_record(name, facts))
        return records

    def turn(self, job: str, to: str, *before: str, reason: str = "") -> bool:
        """Change a job's state if it is in one of these; whether it did."""
        if not self._turn(keys=[_key(job)], args=[to, *before]):
            return False
        self.client.hset(_key(job), "reason", reason)
        return True

    def note(self, job: str, **facts: Any) -> None:
        """Set fields of a job that is on record."""
        if self.client.exists(_key(job)):
            self.client.hset(
                _key(job), mapping={name: _text(value) for name, value in facts.items()}
            )

    # plans

    def plan(
        self,
        job: str,
        planned: Iterable[tuple[str, bytes, Mapping[str, int], str | None, Mapping[str, int]]],
    ) -> int:
        """Record a whole plan in place of an older one; how many tasks.

        planned yields name, task JSON, units, and for a task whose product is on storage its Done
        as JSON and its units, else None and nothing. Leases that are held stay.
        """
        client = self.client
        client.unlink(*_keys(job, *PARTS))
        leased = set(client.hkeys(_key(job, "leases")))
        total: dict[str, int] = {}
        made: dict[str, int] = {}
        count = 0
        batch: list[tuple[str, bytes, str | None]] = []
        for name, task, units, done, done_units in planned:
            _add(total, units)
            _add(made, done_units)
            batch.append((name, task, done))
            count += 1
            if len(batch) == BULK:
                self._record(job, batch, leased)
                batch = []
        if batch:
            self._record(job, batch, leased)
        with client.pipeline() as pipe:
            if total:
                pipe.hset(_key(job, "total"), mapping=total)
            for unit, number in made.items():
                pipe.hincrby(_key(job, "made"), unit, number)
            pipe.hset(_key(job), "tasks", count)
            pipe.execute()
        return count

    def _record(
        self, job: str, batch: list[tuple[str, bytes, str | None]], leased: set[str]
    ) -> None:
        tasks = {name: task for name, task, _ in batch}
        done = {name: text for name, _, text in batch if text is not None}
        todo = [name for name, _, text in batch if text is None and name not in leased]
        with self.client.pipeline(transaction=False) as pipe:
            pipe.hset(_key(job, "tasks"), mapping=tasks)
            if done:
                pipe.hset(_key(job, "done"), mapping=done)
                pipe.rpush(_key(job, "committed"), *done)
            if todo:
                pipe.rpush(_key(job, "todo"), *todo)
            pipe.execute()

    def task(self, job: str, task: str) -> str | None:
        return _maybe(self.client.hget(_key(job, "tasks"), task))

    def dones(self, job: str, start: int = 0) -> list[str]:
        """The Dones committed since the start-th, as JSON, in order of commit."""
        names = self.client.lrange(_key(job, "committed"), start, -1)
        found: list[str] = []
        for at in range(0, len(names), BULK):
            found += [
                text
                for text in self.client.hmget(_key(job, "done"), names[at : at + BULK])
                if text is not None
            ]
        return found

    def newest(self, job: str, most: int) -> list[str]:
        """Names of the tasks committed last, the newest first."""
        return list(reversed(self.client.lrange(_key(job, "committed"), -most, -1)))

    def dead(self, job: str) -> dict[str, str]:
        """Tasks that were given up, and why."""
        return dict(self.client.hgetall(_key(job, "dead")))

    def dispatch(self, job: str, number: int) -> list[str]:
        """Move up to this many tasks into the window: their names."""
        return list(self._dispatch(keys=_keys(job, "", "todo", "queued"), args=[number]))

    # leases

    def claim(
        self,
        job: str,
        task: str,
        worker: str,
        token: str,
        *,
        kind: str,
        lease_s: float,
        alone: bool,
        version: str = "",
    ) -> str:
        """ "ok", or why not: stop, done, leased, version, held; avoid and off (not when alone).

        version  of the worker, which the controller's must be
        """
        keys = _keys(job, "", "queued", "leases", "leased", "done", "dead", "avoid", "live")
        return str(
            self._claim(
                keys=[*keys, _strikes(kind, worker)],
                args=[
                    *(task, worker, token, lease_s, int(alone), MOST_STRIKES, version),
                    *(VERSION, HOLDS),
                ],
            )
        )

    def renew(
        self,
        job: str,
        task: str,
        worker: str,
        token: str,
        lease_s: float,
        live: Mapping[str, int] | None = None,
    ) -> str:
        """ "ok"; "stop" when the job no longer runs; "lost" when the task is another's or done."""
        return str(
            self._renew(
                keys=_keys(job, "", "leases", "leased", "done", "live"),
                args=[task, worker, token, lease_s, json.dumps(live) if live else ""],
            )
        )

    def commit(
        self, job: str, task: str, worker: str, token: str, done: bytes, units: Mapping[str, int]
    ) -> bool:
        """Record a Done; False if the lease is another's. An empty token: found on storage."""
        pairs = [part for unit in units.items() for part in unit]
        keys = _keys(
            job, "leases", "leased", "done", "committed", "live", "made", "queued", "", "again"
        )
        keys += [COUNTS, *_keys(job, "final", f"log:{task}", "logs")]
        return bool(self._commit(keys=keys, args=[task, worker, token, done, *pairs]))

    def release(self, job: str, task: str, worker: str, token: str, avoid: bool = False) -> None:
        """Hand a task back; with avoid, another worker should take it."""
        self._release(
            keys=_keys(job, "leases", "leased", "live", "todo", "avoid", "queued"),
            args=[task, worker, token, worker if avoid else ""],
        )

    def release_all(self, worker: str) -> None:
        """Hand back what a worker of this name held before it was started anew."""
        for record in self.jobs():
            for task, lease in self.client.hgetall(_key(record.id, "leases")).items():
                token, _, holder = lease.partition(" ")
                if holder == worker:
                    self.release(record.id, task, worker, token)

    def expired(self, job: str) -> list[str]:
        """Tasks whose lease has run out."""
        return list(self._expired(keys=_keys(job, "leased")))

    def expire(self, job: str, task: str) -> int:
        """Put a task whose lease has run out back; how often that happened to it."""
        keys = [*_keys(job, "leases", "leased", "live", "todo", "expired"), COUNTS]
        return int(self._expire(keys=keys, args=[task]))

    def queued(self, job: str, age_s: float) -> list[str]:
        """Tasks whose messages were sent at least so many seconds ago and that nobody has taken."""
        seconds, micros = self.client.time()
        latest = seconds + micros / 1e6 - age_s
        return list(self.client.zrangebyscore(_key(job, "queued"), "-inf", latest))

    def vanished(self, job: str, age_s: float, names: Iterable[str]) -> list[str]:
        """Put back these tasks, where their messages are still that old: their names."""
        keys = [*_keys(job, "queued", "todo"), COUNTS]
        return list(self._vanished(keys=keys, args=[age_s, *names]))

    def window(self, job: str) -> int:
        """Tasks queued or leased."""
        with self.client.pipeline(transaction=False) as pipe:
            pipe.zcard(_key(job, "queued"))
            pipe.hlen(_key(job, "leases"))
            queued, leased = pipe.execute()
        return int(queued) + int(leased)

    def leased(self, job: str) -> int:
        return int(self.client.hlen(_key(job, "leases")))

    # failures

    def failed(self, job: str, failure: ItemFailure, *, kind: str, most: int) -> ItemFailure:
        """Count one failed try of an item; the failure as it now stands.

        It is final, and listed, when it is bad input or the most-th try.
        """
        before = self.client.hget(_key(job, "tries"), failure.item)
        tries = 1 + (json.loads(before)["tries"] if before else 0)
        failure = dataclasses.replace(failure, tries=tries)
        final = failure.cls == "bad_input" or tries >= most
        text = json.dumps(dataclasses.asdict(failure))
        mark = f"{job} {failure.item}"
        with self.client.pipeline() as pipe:
            pipe.hset(_key(job, "tries"), failure.item, text)
            pipe.hincrby(COUNTS, f"failures {failure.cls}")
            pipe.hincrby(COUNTS, f"given up {failure.cls}" if final else "retries")
            if final:
                pipe.hset(_key(job, "failures"), failure.item, text)
                pipe.hset(
                    _key(job, "final"),
                    failure.task,
                    json.dumps([*self._final(job, failure.task), failure.item]),
                )
            elif failure.item != failure.task:
                pipe.sadd(_strikes(kind, failure.worker), mark)
            pipe.execute()
        if final:  # it failed everywhere: the item's fault, no worker's
            with self.client.pipeline(transaction=False) as pipe:
                for worker in self.client.hkeys(WORKERS):
                    pipe.srem(_strikes(kind, worker), mark)
                pipe.execute()
        return failure

    def pardon(self, kind: str, worker: str, job: str, items: Iterable[str]) -> None:
        """Take back what a worker was charged with: it has made these items after all."""
        marks = [f"{job} {item}" for item in items]
        if marks:
            self.client.srem(_strikes(kind, worker), *marks)

    def final(self, failure: ItemFailure, most: int) -> bool:
        return failure.cls == "bad_input" or failure.tries >= most

    def list_failures(self, job: str, failures: Iterable[ItemFailure]) -> None:
        """List failures that storage tells of, where they are not listed yet."""
        with self.client.pipeline(transaction=False) as pipe:
            for failure in failures:
                pipe.hsetnx(
                    _key(job, "failures"), failure.item, json.dumps(dataclasses.asdict(failure))
                )
            pipe.execute()

    def failures(self, job: str) -> list[ItemFailure]:
        """The items given up."""
        return [_failure(text) for text in self.client.hvals(_key(job, "failures"))]

    def some_failures(self, job: str, most: int) -> list[ItemFailure]:
        """So many of the items given up, whichever; the cost does not grow with their number."""
        return self._some(_key(job, "failures"), most)

    def some_tried(self, job: str, most: int) -> list[ItemFailure]:
        """So many of the items that failed and were not given up."""
        tried = self._some(_key(job, "tries"), 4 * most)
        if not tried:
            return []
        given_up = self.client.hmget(_key(job, "failures"), [failure.item for failure in tried])
        return [f for f, text in zip(tried, given_up, strict=True) if text is None][:most]

    def some_dead(self, job: str, most: int) -> dict[str, str]:
        """So many of the tasks that were given up, and why."""
        return self._part(_key(job, "dead"), most)

    def _some(self, key: str, most: int) -> list[ItemFailure]:
        return [_failure(text) for text in self._part(key, most).values()]

    def _part(self, key: str, most: int) -> dict[str, str]:
        """So many fields of a hash, in order of name."""
        found: dict[str, str] = {}
        cursor = 0
        while len(found) < most:
            cursor, part = self.client.hscan(key, cursor, count=most)
            found |= part
            if not cursor:
                break
        return {name: found[name] for name in sorted(found)[:most]}

    def failures_of(self, job: str, task: str) -> list[ItemFailure]:
        """The items of a task that were given up."""
        items = self._final(job, task)
        found = self.client.hmget(_key(job, "failures"), items) if items else []
        return [_failure(text) for text in found if text]

    def _final(self, job: str, task: str) -> list[str]:
        return list(json.loads(self.client.hget(_key(job, "final"), task) or "[]"))

    def tried(self, job: str) -> list[ItemFailure]:
        """Every item that failed at least once."""
        return [_failure(text) for text in self.client.hvals(_key(job, "tries"))]

    def give_up(self, job: str, task: str, reason: str) -> None:
        """A task that cannot be done, whatever its items."""
        self.client.hset(_key(job, "dead"), task, reason)

    def bury(self, job: str, task: str, worker: str, token: str, reason: str) -> None:
        """Give a task up and its lease back, for good."""
        self.give_up(job, task, reason)
        self.release(job, task, worker, token)

    def retry(self, job: str) -> int:
        """Have the tasks done again that were given up, or gave up items; how many.

        Bad input is not tried again. The job is planned anew.
        """
        names = {failure.task for failure in self.failures(job) if failure.cls != "bad_input"}
        names |= set(self.dead(job))
        if names:
            self.client.sadd(_key(job, "again"), *names)
            self.turn(job, SUBMITTED, *RESTING, FAILED, DONE)
        return len(names)

    def again(self, job: str) -> set[str]:
        """Tasks that were asked to be done again."""
        return set(self.client.smembers(_key(job, "again")))

    # live logs

    def log(self, job: str, task: str, lines: list[str], keep: int) -> None:
        """Add lines to the live log of a task (or, of WORKER_LOGS, a worker); `keep` stay."""
        prefix = _key(job, "log:")
        self._log(
            keys=[prefix + task, _key(job, "logs")],
            args=[keep, LOG_S, MOST_LOGS, task, prefix, *lines],
        )

    def logs(self, job: str) -> dict[str, float]:
        """Tasks that have a live log, and when its last line came, in Redis's time."""
        return dict(self.client.zrange(_key(job, "logs"), 0, -1, withscores=True))

    def log_lines(self, job: str, after: Mapping[str, str]) -> dict[str, list[tuple[str, str]]]:
        """Lines of live logs, each with its id, that came after the id given ("": all)."""
        with self.client.pipeline(transaction=False) as pipe:
            for task, last in after.items():
                pipe.xrange(_key(job, f"log:{task}"), min=f"({last}" if last else "-")
            found = pipe.execute()
        return {
            task: [(at, fields["line"]) for at, fields in entries]
            for task, entries in zip(after, found, strict=True)
        }

    # workers

    def beat(self, record: WorkerRecord) -> Orders:
        """A worker says that it is there; what it is told."""
        version, hold = self._beat(
            keys=[WORKERS, SEEN],
            args=[record.name, json.dumps(dataclasses.asdict(record)), VERSION, HOLDS],
        )
        return Orders(version=str(version), hold=str(hold))

    def leave(self, worker: str) -> None:
        """A worker says goodbye."""
        self.client.hdel(WORKERS, worker)
        self.client.zrem(SEEN, worker)

    def forget_workers(self, age_s: float) -> list[str]:
        """Forget the workers not seen for so many seconds: their names."""
        return list(self._forget(keys=[WORKERS, SEEN], args=[age_s]))

    def pause(self, worker: str) -> None:
        """Have a worker hand its task back and rest; also once it is started anew."""
        self.client.hset(HOLDS, worker, PAUSE)

    def drain(self, worker: str) -> None:
        """Have a worker finish its task and take no more, until it is started anew.

        It is drained when its record says that it is paused and has no job.
        """
        self.client.hset(HOLDS, worker, DRAIN)

    def resume(self, worker: str) -> bool:
        """Have a worker go on; whether it was held."""
        return bool(self.client.hdel(HOLDS, worker))

    def holds(self) -> dict[str, str]:
        """The workers that are held -> PAUSE or DRAIN."""
        return dict(self.client.hgetall(HOLDS))

    def held(self, worker: str) -> str:
        """PAUSE, DRAIN or ""."""
        return str(self.client.hget(HOLDS, worker) or "")

    def off(self, worker: str, kinds: Iterable[str]) -> dict[str, str]:
        """The kinds that a worker is taken off, and what failed there, in words."""
        names = list(kinds)
        with self.client.pipeline(transaction=False) as pipe:
            for kind in names:
                pipe.smembers(_strikes(kind, worker))
            found = dict(zip(names, pipe.execute(), strict=True))
        return {
            kind: self._why_off(marks)
            for kind, marks in found.items()
            if len(marks) >= MOST_STRIKES
        }

    def _why_off(self, marks: set[str]) -> str:
        """ "3 items failed here: crash, killed by SIGSEGV" from the strikes of a worker."""
        told = ""
        for mark in sorted(marks):
            job, _, item = mark.partition(" ")
            if text := self.client.hget(_key(job, "tries"), item):
                failure = json.loads(text)
                told = f": {failure['cls']}, {failure['reason']}"
        return f"{len(marks)} items failed here{told}"

    def forgive(self, worker: str, kinds: Iterable[str]) -> None:
        """A worker started anew: its strikes are forgotten."""
        keys = [_strikes(kind, worker) for kind in kinds]
        if keys:
            self.client.delete(*keys)

    def workers(self, dead_s: float | None = None) -> list[WorkerRecord]:
        """Workers by name; with dead_s only those seen within so many seconds."""
        seconds, micros = self.client.time()
        now = seconds + micros / 1e6
        with self.client.pipeline(transaction=False) as pipe:
            pipe.hgetall(WORKERS)
            pipe.zrange(SEEN, 0, -1, withscores=True)
            records, seen = pipe.execute()
        ages = {name: now - score for name, score in seen}
        found = [
            _worker(text, round(ages.get(name, 1e9), 1)) for name, text in sorted(records.items())
        ]
        return [worker for worker in found if dead_s is None or worker.age_s <= dead_s]

    def strikes(self, kind: str, worker: str) -> int:
        return int(self.client.scard(_strikes(kind, worker)))

    # the controller

    def lock(self, holder: str, ttl_s: float, version: str = "") -> str:
        """Be, or stay, the one controller; workers of another version then get nothing.

        Returns "kept"; "new" when somebody else was it since; "" when somebody else is.
        """
        keys = [LOCK, TICKED, VERSION, LAST]
        return str(self._lock(keys=keys, args=[holder, int(ttl_s * 1000), version]))

    def holder(self) -> str:
        """Who holds the controller's lock; "" for nobody."""
        return str(self.client.get(LOCK) or "")

    def unlock(self, holder: str) -> None:
        if self.holder() == holder:
            self.client.delete(LOCK)

    def messages(self, queue: str) -> list[str]:
        """The messages that wait in one of Celery's queues, as kombu writes them."""
        return list(self.client.lrange(queue, 0, -1))

    def queue_length(self, queue: str) -> int:
        """Messages that wait in one of Celery's queues."""
        return int(self.client.llen(queue))

    # for people

    def view(self, job: str) -> View | None:
        """A job at this moment; its cost does not grow with the job."""
        return next(iter(self.views([job])), None)

    def views(self, jobs: Sequence[str]) -> list[View]:
        """The same of several that are on record, in one round trip."""
        with self.client.pipeline(transaction=False) as pipe:
            for job in jobs:
                pipe.hgetall(_key(job))
                pipe.hgetall(_key(job, "total"))
                pipe.hgetall(_key(job, "made"))
                pipe.hvals(_key(job, "live"))
                for part in ("done", "leases", "dead", "failures", "tries"):
                    pipe.hlen(_key(job, part))
                pipe.zcard(_key(job, "queued"))
                pipe.llen(_key(job, "todo"))
            found = pipe.execute()
        each = len(found) // max(1, len(jobs))
        answers = (found[at : at + each] for at in range(0, len(found), each or 1))
        return [_view(job, *parts) for job, parts in zip(jobs, answers, strict=True) if parts[0]]

    def census(self, queues: Sequence[str]) -> Census:
        """Figures of the whole farm, in one round trip."""
        with self.client.pipeline(transaction=False) as pipe:
            pipe.get(LOCK)
            pipe.get(TICKED)
            pipe.hgetall(COUNTS)
            for queue in queues:
                pipe.llen(queue)
            holder, ticked, counts, *lengths = pipe.execute()
        return Census(
            holder=holder or "",
            ticked=float(ticked or 0),
            counts={name: int(number) for name, number in counts.items()},
            queues=dict(zip(queues, lengths, strict=True)),
        )


def _view(
    job: str,
    facts: Mapping[str, str],
    total: Mapping[str, str],
    made: Mapping[str, str],
    live: Iterable[str],
    done: int,
    leased: int,
    dead: int,
    failed: int,
    tried: int,
    queued: int,
    todo: int,
) -> View:
    counts = {unit: int(made.get(unit, 0)) for unit in total}
    for text in live:
        _add(counts, json.loads(text))
    return View(
        record=_record(job, facts),
        total={unit: int(n) for unit, n in total.items()},
        made=counts,
        failures=failed,
        retried=max(0, tried - failed),
        tasks={
            "total": int(facts.get("tasks") or 0),
            "done": done,
            "leased": leased,
            "queued": queued,
            "waiting": todo,
            "dead": dead,
        },
    )


def _strikes(kind: str, worker: str) -> str:
    return f"farm:strikes:{kind}:{worker}"


def _failure(text: str) -> ItemFailure:
    """A failure; what a child had to say of it may hold names from anywhere."""
    failure = ItemFailure(**json.loads(text))
    return dataclasses.replace(failure, reason=plain(failure.reason), tail=plain(failure.tail))


def _worker(text: str, age_s: float) -> WorkerRecord:
    """A record of any version: one that is upgraded last has fields that are not known here."""
    facts = {name: value for name, value in json.loads(text).items() if name in WORKER_FIELDS}
    return WorkerRecord(**{**facts, "age_s": age_s})


def _add(counts: dict[str, int], units: Mapping[str, int]) -> None:
    for unit, number in units.items():
        counts[unit] = counts.get(unit, 0) + number


def _maybe(value: Any) -> str | None:
    return None if value is None else str(value)


def _text(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | bool) else value


def _flat(record: JobRecord) -> dict[str, Any]:
    facts = dataclasses.asdict(record)
    facts.pop("id")
    return {name: _text(value) for name, value in facts.items()}


def _record(job: str, facts: Mapping[str, str]) -> JobRecord:
    return JobRecord(
        id=job,
        kind=facts["kind"],
        role=facts["role"],
        job=facts["job"],
        state=facts["state"],
        reason=plain(facts.get("reason", "")),
        fault=facts.get("fault", ""),
        told=facts.get("told") == "true",
        label=plain(facts.get("label", "")),
        workers=int(facts.get("workers") or 0),
        tasks=int(facts.get("tasks") or 0),
        submitted=float(facts.get("submitted") or 0),
        started=float(facts.get("started") or 0),
        changed=float(facts.get("changed") or 0),
        rates=dict(json.loads(facts.get("rates") or "{}")),
    )
