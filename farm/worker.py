"""A worker for one role and one GPU or slot: a Celery worker with one thread and one child.

It consumes its role's queue, keeps its record fresh, and stops within seconds: a task in hand is
handed back, its fragments make that cheap. It never imports numpy, bpy or torch.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import socket
import threading
import time
import warnings
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import redis
from celery import signals
from celery.platforms import SecurityWarning

from farm import kinds, machine, scratch
from farm.address import redis_url
from farm.app import TASK, make_app, send
from farm.attempt import Now, Runner
from farm.child import die_with_parent
from farm.own_log import Recent, configure
from farm.presence import MARK, Presence
from farm.records import DRAIN, WorkerRecord
from farm.roles import CPU, queues
from farm.settings import Settings
from farm.store import WORKER_LOGS, Store, connect
from farm.version import version

log = logging.getLogger(__name__)

BEAT_S = 2.0
LOOK_S = 2.0  # a person has the machine within this, finish_within_s and a moment
OFF_S = 10.0
RATE_S = 30.0  # rates are told over the last half minute
LAST_S = 8.0  # a worker that was told to stop has ended after so long
AWAY_S = 3 * BEAT_S
IDLE_S = 3.0  # a queue with messages beside an idle worker for this long: something is wrong
STUCK_S = 12.0  # and for this long: its consumer hangs


def work(settings: Settings, role: str, slot: str = "0") -> int:
    """Be a worker until told to stop; the exit code."""
    name = _name(role, slot)
    os.environ[MARK] = name
    cards = machine.visible(os.environ.get(machine.CARDS), machine.gpus())
    presence = Presence(settings, cards)
    stop = threading.Event()
    store = Store(connect(redis_url(settings)))
    runner = Runner(settings, store, name, role, stop, gpus=len(cards))
    app = make_app(settings)

    @app.task(name=TASK, bind=True)  # type: ignore[untyped-decorator]
    def run(self: Any, job: str, task: str) -> str:
        return _run(app, runner, job, task, self.request.shadow)

    scratch.sweep()
    _begin(store, name, kinds.find(settings.kind_packages))
    heart = Heart(settings, runner, store, machine.cards_name(cards))
    logging.getLogger().addHandler(heart.recent)
    if presence.wanted:
        runner.gate.yield_to(presence.look())
        threading.Thread(
            target=_look_out, args=(presence, runner), name="presence", daemon=True
        ).start()

    @signals.worker_shutting_down.connect(weak=False)  # type: ignore[untyped-decorator]
    def stopping(**_: Any) -> None:
        stop.set()
        last = threading.Timer(LAST_S, _end, [runner])
        last.daemon = True
        last.start()

    worker = app.Worker(
        hostname=name,
        pool="threads",
        concurrency=1,
        queues=queues(role),
        loglevel="WARNING",
        without_gossip=True,
        without_mingle=True,
        optimization="fair",
        quiet=True,
    )
    heart.tap = Tap(worker, queues(role))
    heart.start()
    # For a job that waits already, the child loads Blender or torch while Celery connects.  Linux
    # ties it to this thread, which lasts as long as the worker.
    waiting = [job for job in store.jobs() if job.active and job.role in queues(role)]
    if waiting and not runner.gate.closed:
        kind = kinds.load(waiting[0].kind, settings.kind_packages)
        with runner.busy:
            runner.program(kind.program, kind.reach(waiting[0].job))
    try:
        worker.start()
    finally:
        stop.set()
        runner.drop()
        heart.join(5.0)
        logging.getLogger().removeHandler(heart.recent)
        with contextlib.suppress(redis.RedisError):
            heart.tell()
            store.leave(name)
    return int(worker.exitcode or 0)


def _name(role: str, slot: str) -> str:
    return f"{role}-{slot}@{socket.gethostname()}"


def _begin(store: Store, name: str, names: Iterable[str]) -> None:
    """Forget what a worker of this name was about before it was started anew."""
    while True:
        try:
            store.release_all(name)
            store.forgive(name, names)
            if store.held(name) == DRAIN:
                store.resume(name)
            return
        except redis.BusyLoadingError as error:  # a start takes longer than to wait for room
            log.warning("waits for Redis: %s", error)
            time.sleep(1.0)


def _run(app: Any, runner: Runner, job: str, task: str, name: str | None) -> str:
    """One message, whatever happens: a worker never dies of a task."""
    runner.heard = time.monotonic()
    try:
        outcome = runner.run(job, task)
        if outcome == "bounce":
            if record := runner.store.job(job):
                send(app, record.role, job, task, name)
            # Leave the others time to take it. Chance, or two workers with a task each that is
            # for the other one would pick up their own again for ever.
            runner.stop.wait(random.uniform(0.1, 0.9))
        log.info("%s %s %s", job, task, outcome, extra={"job": job, "task": task})
        return outcome
    except Exception:
        log.exception("job=%s task=%s", job, task, extra={"job": job, "task": task})
        runner.drop()
        time.sleep(1.0)  # whatever it was, do not spin on it
        return "error"


def _look_out(presence: Presence, runner: Runner) -> None:
    """Have the worker rest while somebody else wants the machine. Ends with the worker."""
    while not runner.stop.wait(LOOK_S):
        try:
            runner.gate.yield_to(presence.look())
        except Exception:
            log.exception("cannot tell who else is here")
        if runner.gate.closed:
            runner.rest()


def _end(runner: Runner) -> None:
    """End at once: Celery waits for a Redis that is away. The lease runs out by itself."""
    log.warning("has not ended in %g s, as when Redis is away: ends now", LAST_S)
    runner.drop()
    os._exit(os.EX_OK)


class Tap:
    """Whether Celery hands messages to this worker; one that rests leaves them to others."""

    def __init__(self, worker: Any, names: Sequence[str]):
        self._worker, self._names = worker, names
        self._blocked = False

    def turn(self, on: bool) -> None:
        """Open or close it, where it is not so already. From any thread."""
        consumer = getattr(self._worker, "consumer", None)
        tasks = getattr(consumer, "task_consumer", None)
        if consumer is None or tasks is None:
            return  # not connected: the next heartbeat tries again
        for name in self._names:
            if tasks.consuming_from(name) != on:
                consumer.call_soon(
                    consumer.add_task_queue if on else consumer.cancel_task_queue, name
                )

    def free(self) -> bool:
        """Have kombu forget the message that it counts as in hand for ever; whether it did.

        When Redis is lost between a message and its acknowledgement, Celery 5.7 notes that in its
        log and goes on, but kombu then waits for that message before it asks for another. For a
        worker that is idle, at two looks: at one, a message may just have come. It is put back,
        where the lease says what it is worth.
        """
        consumer = getattr(self._worker, "consumer", None)
        tasks = getattr(consumer, "task_consumer", None)
        blocked = tasks is not None and not tasks.channel.qos.can_consume()
        before, self._blocked = self._blocked, blocked
        if consumer is None or tasks is None or not (blocked and before):
            return False
        consumer.call_soon(tasks.channel.qos.restore_unacked)
        return True


class Idle:
    """How long messages have waited beside a worker that does nothing."""

    def __init__(self, now: float):
        self._since = self._looked = now

    def seconds(self, now: float, waits: bool, heard: float) -> float:
        """So long, if messages wait now; heard: when the last one came.

        Looks that lie far apart tell that Redis was away, or this process was stopped: the time
        begins anew then, for Celery has yet to find Redis again.
        """
        if not waits or now - self._looked > AWAY_S:
            self._since = now
        self._looked = now
        return now - max(self._since, heard)


class Heart(threading.Thread):
    """Says every two seconds that the worker is there and what it does, and hears its orders."""

    def __init__(self, settings: Settings, runner: Runner, store: Store, gpu: str):
        super().__init__(name="heart", daemon=True)
        self.settings, self.runner, self.store = settings, runner, store
        self.recent = Recent(runner.name)
        self.tap: Tap | None = None
        self._off: dict[str, str] = {}
        self._off_at = 0.0
        self._said = ""
        self._facts: dict[str, Any] = {
            "name": runner.name,
            "role": runner.role,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": version(),
            "device": os.environ.get(machine.CARDS, ""),
            "gpu": gpu,
            "gpus": runner.gpus,
            "started": time.time(),
        }
        self._idle = Idle(time.monotonic())
        self._samples: deque[tuple[float, dict[str, int]]] = deque()

    def run(self) -> None:
        while True:
            try:
                self.runner.gate.lack(scratch.lacking())
                self.runner.gate.order(self.store.beat(self.record()))
                self._obey()
                self.tell()
                self._watch_consumer()
            except redis.RedisError as error:
                log.warning("no heartbeat: %s", error)
            if self.runner.stop.wait(BEAT_S):
                return

    def tell(self) -> None:
        """Put what the worker has logged since into its live log."""
        name = self.runner.name
        self.recent.send(lambda lines, keep: self.store.log(WORKER_LOGS, name, lines, keep))

    def record(self) -> WorkerRecord:
        now: Now = self.runner.now
        moment, made = time.monotonic(), dict(self.runner.made)
        self._samples.append((moment, made))
        while moment - self._samples[0][0] > RATE_S:
            self._samples.popleft()
        then, before = self._samples[0]
        rates = (
            {
                unit: round((n - before.get(unit, 0)) / (moment - then), 2)
                for unit, n in made.items()
            }
            if now.job and moment > then
            else {}
        )
        return WorkerRecord(
            **self._facts,
            job=now.job,
            task=now.task,
            item=now.item,
            rss_mb=round(self.runner.rss_mb()),
            rates=rates,
            tasks=self.runner.tasks,
            made=made,
            paused=self.runner.gate.paused,
            refused=self.runner.gate.refused,
            off=self._taken_off(),
        )

    def _obey(self) -> None:
        """Take messages or leave them, as the gate says."""
        closed = self.runner.gate.closed
        if closed != self._said:
            log.warning("takes no tasks: %s", closed) if closed else log.info("takes tasks again")
            self._said = closed
        if self.tap:
            self.tap.turn(on=not closed)
        if closed:
            self.runner.rest()

    def _taken_off(self) -> dict[str, str]:
        """The kinds that it is taken off; asked now and then, for it changes rarely."""
        now = time.monotonic()
        if now - self._off_at > OFF_S:
            self._off_at = now
            self._off = self.store.off(self.runner.name, kinds.find(self.settings.kind_packages))
        return self._off

    def _watch_consumer(self) -> None:
        """After a lost connection Celery's consumer may hang for ever, saying nothing
        (celery#8030, #10205): free it, or else end, and be started anew."""
        waits = (
            not self.runner.now.job
            and not self.runner.gate.closed
            and any(map(self.store.queue_length, queues(self.runner.role)))
        )
        idle_s = self._idle.seconds(time.monotonic(), waits, self.runner.heard)
        if idle_s > STUCK_S:
            log.error("messages wait and none comes: starting anew")
            self.runner.drop()
            os._exit(os.EX_TEMPFAIL)
        if idle_s > IDLE_S and self.tap and self.tap.free():
            log.warning("messages wait behind one that was not acknowledged: put back")


def main(settings: Settings, role: str, slot: str, with_parent: bool) -> int:
    """`farm worker`; with_parent: die with the process that started this one.

    Raises ValueError for working hours that cannot be read.
    """
    if with_parent:
        die_with_parent()
    if role == CPU:
        os.environ |= {**machine.showing([]), "FARM_DEVICE": "CPU"}
    # What becomes of every task, its live log tells; stderr may be a file that grows for months.
    configure(settings, _name(role, slot), logging.WARNING)
    logging.getLogger("celery").setLevel(logging.WARNING)
    # Containers run as root; only JSON is accepted, which is what the warning is about.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    return work(settings, role, slot)
