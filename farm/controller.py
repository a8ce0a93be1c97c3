"""The life of a job: scan, prepare, plan, dispatch, reconcile, publish, finish.

One process that can be killed and started at any moment: what it knows is in Redis and on
storage. Slow work on storage (scanning, planning, rewriting an index) runs in threads, so that
dispatching never waits for it.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import kombu.exceptions
import redis

from farm import confine, jail, kinds
from farm.address import redis_url
from farm.app import carried, make_app, send, shown
from farm.attempt import listed_failures, made_units
from farm.child import die_with_parent, told
from farm.conductor import Conductor
from farm.errors import FarmBusy
from farm.meeting import Meetings
from farm.own_log import configure
from farm.pipelines import Pipelines
from farm.records import DONE, FAILED, RUNNING, SUBMITTED, JobRecord, View, WorkerRecord
from farm.roles import Slots
from farm.settings import Settings, look_for_shapes
from farm.store import BULK, Store, connect
from farm.version import version
from renderer import storage

log = logging.getLogger(__name__)

LOCK_S = 8.0
PLANNERS = 3  # jobs that are planned at once: a train job's look at its data is a process of torch
RATE_S = 60.0  # rates are told over the last minute
PUBLISH_SHARE = 10  # rewriting the index takes at most a tenth of the time
FORGET_S = 3600.0  # a worker that is gone is shown for so long
QUEUE_S = 2.0  # the messages of a queue are looked through at most this often
LOOK_SHARE = 10  # looking at the workers takes at most a tenth of the time: a thousand are 0.1 s
MOST_SENT = 500  # messages in one tick, half a second: a tick must be over long before LOCK_S is
LOST_LEASES = 8  # a task whose worker vanished this often is given up: it takes machines down


class Controller:
    """Looks at every active job once per tick."""

    def __init__(self, settings: Settings, store: Store):
        self.settings, self.store = settings, store
        self.app = make_app(settings)
        self.holder = f"{_processes()} {os.getpid()} {uuid.uuid4().hex[:6]}"
        self.lives: dict[str, Life] = {}
        self.sent = 0
        self.room = MOST_SENT
        self._workers: list[WorkerRecord] = []
        self._look_after = 0.0
        self._tidied = 0.0
        self._messages: dict[str, tuple[float, frozenset[tuple[str, str]]]] = {}
        self.threads = ThreadPoolExecutor(4, thread_name_prefix="storage")
        # Looking at what jobs read takes long, many of a pipeline's may begin at once, and those
        # that run want their indexes written meanwhile.
        self.planners = ThreadPoolExecutor(PLANNERS, thread_name_prefix="planner")
        self.meetings = Meetings(store)
        self.conductor = Conductor(Pipelines(store), self.threads, settings.storage_roots)

    def tick(self) -> bool:
        """One look at everything; whether tasks went out.

        Raises FarmBusy when another controller is at work.
        """
        self._keep_lock()
        self.conductor.tick()
        self._tidy()
        records = self.store.active()
        for gone in set(self.lives) - {record.id for record in records}:
            self.lives.pop(gone).close()
        workers = self._look() if records else []
        able = [(each.role, each.gpus) for each in workers if each.takes_tasks]
        slots, whole = Slots(able), Slots(able)
        before, self.room = self.sent, MOST_SENT
        for record in records:
            try:
                if record.id not in self.lives:
                    self.lives[record.id] = Life(self, record)
                life = self.lives[record.id]
                # The oldest job is served first; what it leaves is the next one's.
                used = life.tick(
                    record, slots.of(record.role, life.gpus), whole.of(record.role, life.gpus)
                )
                slots.take(record.role, used, life.gpus)
            except (redis.RedisError, kombu.exceptions.OperationalError):
                raise
            except storage.StoreUnavailable as error:
                if not (error.passing and record.state == RUNNING):
                    self.fail(record.id, error)
                log.warning("job=%s %s", record.id, error)  # what was not written is written later
            except Exception as error:  # whatever a kind does wrong is its job's end, not ours
                self.fail(record.id, error)
        return self.sent > before

    def _look(self) -> list[WorkerRecord]:
        """The live workers, as they were a moment ago where there are many."""
        started = time.monotonic()
        if started >= self._look_after:
            self._workers = self.store.workers(self.settings.worker_dead_s)
            now = time.monotonic()
            self._look_after = now + min(self.settings.worker_dead_s, LOOK_SHARE * (now - started))
        return self._workers

    def holds(self) -> bool:
        """Whether the lock is nobody else's by now; for threads, whose work may outlast it."""
        return self.store.holder() in (self.holder, "")

    def waiting(self, role: str) -> frozenset[tuple[str, str]]:
        """Job and task of every message that waits in a role's queue, a moment ago."""
        seen, found = self._messages.get(role, (-QUEUE_S, frozenset()))
        if time.monotonic() - seen >= QUEUE_S:
            carries = map(carried, self.store.messages(role))
            seen, found = time.monotonic(), frozenset(each for each in carries if each)
            self._messages[role] = seen, found
        return found

    def _keep_lock(self) -> None:
        """Be the one controller. Raises FarmBusy when another one is."""
        locked = self.store.lock(self.holder, LOCK_S, version())
        if locked != "kept":  # but one that was away or slow, and that nobody replaced, goes on
            self._forget()
        if not locked:
            self._take_over()

    def _forget(self) -> None:
        """What was known may be old: the lock was another's meanwhile. Redis knows the rest."""
        for life in self.lives.values():
            life.close()
        self.lives = {}
        self.conductor = Conductor(Pipelines(self.store), self.threads, self.settings.storage_roots)

    def _tidy(self) -> None:
        """Once a minute, forget the workers that are gone for good."""
        if time.monotonic() - self._tidied > 60:
            self._tidied = time.monotonic()
            self.store.forget_workers(FORGET_S)

    def fail(self, job: str, error: BaseException) -> None:
        """Stop a job: its storage or its specification will not do."""
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, OSError) and error.strerror:
            life = self.lives.get(job)
            reason = told(error, getattr(life.job, "out", None) if life else None)
        if not isinstance(error, ValueError | OSError):
            log.error("job=%s", job, exc_info=error)
            reason = f"{type(error).__name__}: {reason}"
        if not self.settings.private and any(name in reason for name in self.settings.roots):
            reason += f" (on the controller's machine, {socket.gethostname()})"
        self.store.note(job, fault="use" if isinstance(error, ValueError) else "farm")
        self.store.turn(job, FAILED, SUBMITTED, RUNNING, reason=reason)

    def _take_over(self) -> None:
        """Take the lock of a controller that died here. Raises FarmBusy if it lives."""
        holder = self.store.holder()
        where, _, rest = holder.partition(" ")
        if where != _processes() or os.path.exists(f"/proc/{rest.split()[0]}"):
            raise FarmBusy("the controller's lock", holder or "another controller")
        log.info("taking over from a controller that is gone: %s", holder)
        self.store.unlock(holder)
        if not self.store.lock(self.holder, LOCK_S, version()):
            raise FarmBusy("the controller's lock", "another controller")

    def close(self) -> None:
        for threads in (self.planners, self.threads):
            threads.shutdown(wait=False, cancel_futures=True)
        self.store.unlock(self.holder)


class Life:
    """One active job, as this controller process knows it; Redis and storage know it too."""

    def __init__(self, controller: Controller, record: JobRecord):
        self.controller, self.store = controller, controller.store
        self.settings = controller.settings
        self.id = record.id
        self.kind = kinds.load(record.kind, self.settings.kind_packages)
        self.job = self.kind.read_job(record.job)
        self.together, self.gpus = self.kind.together(self.job), self.kind.gpus(self.job)
        confine.check(self.settings, self.kind, self.job)
        self.scanned: Any = None
        self.dones: dict[str, Any] = {}
        self._seen = 0
        self._closed = threading.Event()
        self._slow: Future[None] | None = None
        self._ready = False
        self._published = -1
        self._publish_after = 0.0
        self._samples: deque[tuple[float, dict[str, int]]] = deque()
        self._grown = 0
        self._rated = 0.0
        self._missing: tuple[float, set[str]] = (0.0, set())

    def tick(self, record: JobRecord, slots: int, able: int) -> int:
        """Do what is due; how many slots this job uses.

        slots  what older jobs have left
        able   all there are of workers that can do its tasks

        Raises what storage or the kind raised.
        """
        finished = self._slow is not None and self._slow.done()
        if self._slow and finished:
            slow, self._slow = self._slow, None
            try:
                slow.result()
            except InterruptedError as error:  # the lock was another's for a moment
                log.warning("job=%s: %s; again", self.id, error)
                return 0
        if record.state == SUBMITTED:
            # What has just finished may be the plan, and this record older than that.
            if self._slow is None and not finished:
                self._ready = False
                self._slow = self.controller.planners.submit(self._plan)
            return 0
        if not self._ready and self._slow is None:
            # Started anew amid a job: tasks go out at once, the index waits for the scan.
            self._slow = self.controller.planners.submit(self._scan)
        self._reconcile(record)
        if self.together > 1:
            used = self._gather(record, slots)
        else:
            self._say(record, "" if able or self.settings.private else self._nobody(record))
            used = self._dispatch(record, slots)
        self._take_in()
        self._publish()
        view = self.store.view(self.id)
        if view:
            self._rate(view)
            self._stop_or_finish(record, view)
        return used

    def close(self) -> None:
        self._closed.set()

    # storage, in a thread

    def _scan(self) -> None:
        self.scanned = self.kind.module.scan(self.job)
        self.kind.module.prepare(self.job, self.scanned)
        self._ready = True

    def _plan(self) -> None:
        started = time.monotonic()
        self.scanned = self.kind.module.scan(self.job)
        self.kind.module.prepare(self.job, self.scanned)
        self._go_on()
        count = self.store.plan(self.id, self._planned())
        self.dones, self._seen, self._published = {}, 0, -1
        self._samples.clear()
        self._grown = 0
        self._ready = True
        if not self._closed.is_set():
            self.store.turn(self.id, RUNNING, SUBMITTED)
        log.info("planned job=%s tasks=%d seconds=%.1f", self.id, count, time.monotonic() - started)

    def _planned(
        self,
    ) -> Iterator[tuple[str, bytes, Mapping[str, int], str | None, Mapping[str, int]]]:
        module, again = self.kind.module, self.store.again(self.id)
        for number, task in enumerate(module.plan(self.job, self.scanned)):
            if self._closed.is_set() or number % BULK == 0:
                self._go_on()
            confine.check(self.settings, self.kind, self.job, task)
            units = module.units(self.job, task)
            done = None if task.name in again else module.done(self.job, task)
            if done is None:
                yield task.name, kinds.canonical(task), units, None, {}
            else:
                self.store.list_failures(self.id, listed_failures(done, task.name))
                yield (
                    task.name,
                    kinds.canonical(task),
                    units,
                    kinds.canonical(done).decode(),
                    made_units(units, done),
                )
        self._go_on()

    def _go_on(self) -> None:
        """Raises InterruptedError once this job is no longer ours to plan."""
        if self._closed.is_set():
            raise InterruptedError("the job was stopped while it was planned")
        if not self.controller.holds():
            raise InterruptedError("another controller came while the job was planned")

    # every tick

    def _reconcile(self, record: JobRecord) -> None:
        """Expected minus committed: leases that ran out, messages that vanished."""
        for name in self.store.expired(self.id):
            text = self.store.task(self.id, name)
            if text is None:
                continue
            task = self.kind.read_task(text)
            try:
                with storage.impatient():  # other jobs wait meanwhile
                    done = self.kind.module.done(self.job, task)
            except storage.StoreUnavailable as error:
                log.warning("job=%s task=%s %s; asked again", self.id, name, error)
                continue
            if done is not None and name not in self.store.again(
                self.id
            ):  # committed to storage, and died before saying so
                self.store.list_failures(self.id, listed_failures(done, name))
                self.store.commit(
                    self.id,
                    name,
                    "",
                    "",
                    kinds.canonical(done),
                    made_units(self.kind.module.units(self.job, task), done),
                )
                continue
            times = self.store.expire(self.id, name)
            log.warning("lease ran out job=%s task=%s times=%d", self.id, name, times)
            if times >= LOST_LEASES:
                self.store.give_up(self.id, name, f"crash: its worker vanished {times} times")
        lost = self._lost(record)
        if lost:
            for name in self.store.vanished(self.id, self.settings.vanished_s, lost):
                log.warning("message vanished job=%s task=%s", self.id, name)

    def _lost(self, record: JobRecord) -> set[str]:
        """Tasks sent a while ago that nobody has taken, and whose messages are gone.

        Missing twice: the first time a worker may just be about to claim it.
        """
        looked, missing = self._missing
        if time.monotonic() - looked < QUEUE_S:
            return set()
        sent = self.store.queued(self.id, self.settings.vanished_s)
        waiting = self.controller.waiting(record.role) if sent else frozenset()
        now = {name for name in sent if (self.id, name) not in waiting}
        self._missing = time.monotonic(), now
        return now & missing

    def _dispatch(self, record: JobRecord, slots: int) -> int:
        """Keep the window full; how many slots that takes."""
        room = self.settings.window * slots
        used = self.store.window(self.id)
        if record.workers:
            room = min(room, record.workers)
        if used < room:
            used += self._send(record, min(room - used, self.controller.room))
        return math.ceil(used / self.settings.window)

    def _gather(self, record: JobRecord, slots: int) -> int:
        """Dispatch tasks that run side by side, once there are workers for all of them; how many
        slots they take. One that was lost by a run that has begun goes out at once."""
        used = self.store.window(self.id)
        lacking = ""
        if not self.controller.meetings.begun(self.id):
            if slots < self.together:
                each = f" with {self.gpus} GPUs each" if self.gpus > 1 else ""
                lacking = f"waits for {self.together} workers{each} at once; "
                lacking += f"{slots} could begin now"
                if self.settings.private:
                    lacking += f"; --workers {self.together} starts as many here"
            else:
                lacking = self.controller.meetings.hinders(self.id, record.role)
        self._say(record, lacking)
        return used if lacking else used + self._send(record, self.together)

    def _nobody(self, record: JobRecord) -> str:
        """Why nothing moves where no worker can do it."""
        having = f" and has {self.gpus} GPUs" if self.gpus > 1 else ""
        return f"waits for a worker that takes {record.role} tasks{having}; see `farm workers`"

    def _say(self, record: JobRecord, waits: str) -> None:
        """Have the record tell what a running job waits for; "" for nothing."""
        if waits != record.reason:
            self.store.note(self.id, reason=waits)

    def _send(self, record: JobRecord, number: int) -> int:
        """Send so many tasks out, as far as there are any; how many went."""
        names = self.store.dispatch(self.id, number)
        for name in names:
            send(self.controller.app, record.role, self.id, name, shown(record.kind, self.id))
            self.controller.sent += 1
        self.controller.room = max(0, self.controller.room - len(names))
        return len(names)

    def _take_in(self) -> None:
        """Read the Dones committed since the last look."""
        for text in self.store.dones(self.id, self._seen):
            done = self.kind.read_done(text)
            self.dones[done.name] = done
            self._seen += 1

    def _publish(self) -> None:
        """Rewrite the index after commits; rarely when that takes long."""
        if (
            not self._ready
            or self._slow
            or len(self.dones) == self._published
            or time.monotonic() < self._publish_after
        ):
            return
        dones = list(self.dones.values())
        self._slow = self.controller.threads.submit(self._write_index, dones, False)

    def _write_index(self, dones: list[Any], complete: bool) -> None:
        started = time.monotonic()
        self.kind.module.publish(self.job, self.scanned, dones, complete)
        if not self.controller.holds() and self.store.turn(self.id, RUNNING, DONE):
            # Stopped amid writing, we may just have put an old index in the place of the last one.
            log.warning("an index came late: written again job=%s", self.id)
        seconds = time.monotonic() - started
        self._published = len(dones)
        self._publish_after = time.monotonic() + max(
            self.settings.publish_s, PUBLISH_SHARE * seconds
        )

    def _rate(self, view: View) -> None:
        """Keep units per second over the last minute in the job's record."""
        now = time.monotonic()
        if now - self._rated < 1.0:
            return
        self._rated = now
        if not self._moves(view.made):
            self._samples = deque([(now, view.made)])
            return
        self._samples.append((now, view.made))
        while now - self._samples[0][0] > RATE_S:
            self._samples.popleft()
        then, before = self._samples[0]
        if now - then >= 1.0:
            self.store.note(
                self.id,
                rates={
                    unit: max(0.0, (number - before.get(unit, 0)) / (now - then))
                    for unit, number in view.made.items()
                },
            )

    def _moves(self, made: dict[str, int]) -> bool:
        """Whether units are being made, from the second time on that their number has grown.

        What comes first after a start may be what an earlier try had made; and a number that has
        fallen tells of a new try.
        """
        before = self._samples[-1][1] if self._samples else made
        if any(made.get(unit, 0) < number for unit, number in before.items()):
            self._grown = 0
        elif made != before:
            self._grown += 1
        return self._grown > 1

    def _stop_or_finish(self, record: JobRecord, view: View) -> None:
        """Too many failures end a job; so does the last task."""
        most, reason = getattr(self.job, "max_failures", "100%"), None
        whole = next(iter(view.total.values()), 0)
        failures = view.failures
        if failures > kinds.allowed_failures(most, whole):
            unit = next(iter(view.total), "items")
            reason = f"{failures} of {whole} {unit} failed, more than --max-failures {most}; "
            reason += self._why()
            self.store.turn(self.id, FAILED, RUNNING, reason=reason)
            return
        over = view.tasks["done"] + view.tasks["dead"] >= view.tasks["total"]
        if not over or not self._ready or self._slow or len(self.dones) < view.tasks["done"]:
            return
        self._slow = self.controller.threads.submit(self._finish, list(self.dones.values()))

    def _why(self) -> str:
        """What most of the failures were, in words."""
        told = Counter(
            f"{failure.cls}: {failure.reason}" for failure in self.store.failures(self.id)
        )
        why, times = told.most_common(1)[0]
        return f"{why} ({times} times)" if times > 1 else why

    def _finish(self, dones: list[Any]) -> None:
        """Write the last index and end the job."""
        dead = sorted(self.store.dead(self.id).items())
        self._write_index(dones, complete=not dead)
        if not self.controller.holds():
            return
        if not dead:
            self.store.turn(self.id, DONE, RUNNING)
            return
        name, why = dead[0]
        number = len(dead) + len(dones)
        if number > 1:
            why = f"{len(dead)} of {number} tasks could not be done; {name}: {why}"
        self.store.turn(self.id, FAILED, RUNNING, reason=why)


def _processes() -> str:
    """The host, and whose process ids these are: containers count their own."""
    try:
        return f"{socket.gethostname()}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{socket.gethostname()}/{uuid.uuid4().hex}"  # cannot tell: never take over


def control(controller: Controller, stop: threading.Event) -> int:
    """Be the controller until told to stop; waits while another one holds the lock."""
    settings = controller.settings
    waiting, pause_s = False, settings.tick_s
    while not stop.wait(pause_s):
        pause_s = settings.tick_s
        try:
            if controller.tick():  # tasks are short: look again soon, or workers wait for us
                pause_s /= 4
            waiting = False
        except FarmBusy as busy:
            if not waiting:
                log.warning("%s; waiting", busy)
            waiting = True
        except (redis.RedisError, kombu.exceptions.OperationalError) as error:
            log.warning("no answer from Redis: %s", error)
    controller.close()
    return os.EX_OK


def main(settings: Settings, with_parent: bool) -> int:
    """`farm controller`; with_parent: die with the process that started this one."""
    if with_parent:
        die_with_parent()
    configure(settings, f"controller@{socket.gethostname()}")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    look_for_shapes(settings)
    controller = Controller(settings, Store(connect(redis_url(settings))))
    # It reads what jobs name. Redis's password has been read by now.
    own = (str(settings.home), settings.roots["FARM_SAMPLES_ROOT"])
    for lacking in jail.close(settings, network=True, writes=own):
        log.warning("%s", lacking)
    return control(controller, stop)
