"""Waits for a job in a terminal: shows it, ends it well, or stops it on Ctrl-C."""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from types import FrameType
from typing import Any, TypeVar

import redis

from farm import kinds, local
from farm.pipelines import PipelineView
from farm.records import (
    ACTIVE,
    DONE,
    INTERRUPTED,
    RUNNING,
    SUBMITTED,
    View,
    WorkerRecord,
)
from farm.settings import Settings
from farm.store import Store
from farm.watch import Watch
from farm.words import typed

POLL_S = 0.4
RECONNECT_S = 3.0  # a Redis away for longer may be a farm that ended: start it again
Seen = TypeVar("Seen", View, PipelineView)
STOPPED = "farm: interrupted; the same line goes on from here"


class Interrupt:
    """Notes Ctrl-C, SIGTERM and SIGHUP; a second one ends at once."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            os._exit(130)
        self.asked = True


def follow(
    settings: Settings,
    store: Store,
    kind: kinds.Kind,
    job: str,
    interrupt: Interrupt,
    *,
    as_json: bool,
    was: str = "",
) -> int:
    """Wait until a job rests; the exit code. Prints its summary, or one line of why not."""
    began = time.monotonic()
    with Watch() as watch:
        show = functools.partial(_show, watch)
        view = until_it_rests(settings, store, lambda: store.view(job), show, interrupt)
        if interrupt.asked:
            watch.say("stopping: workers hand back what they hold")
            _interrupt(settings, store, job, watch)
    if interrupt.asked:
        print(STOPPED, file=sys.stderr)
        return 130
    if view is None:
        print(
            f"farm: the farm has forgotten job {job} (its Redis was emptied); the same line "
            "goes on from storage",
            file=sys.stderr,
        )
        return 1
    return _end(settings, store, kind, view, as_json, was, time.monotonic() - began)


def until_it_rests(
    settings: Settings,
    store: Store,
    look: Callable[[], Seen | None],
    show: Callable[[Seen, list[WorkerRecord]], None],
    interrupt: Interrupt,
) -> Seen | None:
    """What is followed, when it rests or when Ctrl-C was asked (None); None if it is forgotten.

    A private farm that has ended, or whose Redis is away for long, is started again.

    look  how it stands; None: it is on record no more
    show  is told of each look, and who works
    """
    answered = time.monotonic()
    while True:
        try:
            view = look()
            if view is None:
                return None
            workers = store.workers(settings.worker_dead_s)
            answered = time.monotonic()
            show(view, workers)
            if view.record.state not in ACTIVE:
                return view
            if settings.private and not local.running(settings):
                local.open_store(settings)
        except redis.RedisError:
            if settings.private and time.monotonic() - answered > RECONNECT_S:
                local.open_store(settings)
        if interrupt.asked:
            return None
        time.sleep(POLL_S)


def _show(watch: Watch, view: View, workers: list[WorkerRecord]) -> None:
    if view.record.fault == "use":
        watch.clear()
        return
    if not view.record.active:  # why it stopped is told in one line, at the end
        view = replace(view, record=replace(view.record, reason=""))
    watch.show([view], workers)


def _interrupt(settings: Settings, store: Store, job: str, watch: Watch) -> None:
    """Stop one job; and the private farm, if nothing else runs there."""
    try:
        store.turn(job, INTERRUPTED, SUBMITTED, RUNNING)
        if view := store.view(job):
            watch.show([view], [])
        if settings.private and not local.busy(store):
            local.wish(store, stop=1)
            local.wait_until_gone(settings)
            return
        deadline = time.monotonic() + 10
        while store.leased(job) and time.monotonic() < deadline:
            time.sleep(0.1)
    except redis.RedisError:
        pass  # a farm that is gone has stopped


def _end(
    settings: Settings,
    store: Store,
    kind: kinds.Kind,
    view: View,
    as_json: bool,
    was: str,
    seconds: float,
) -> int:
    record = view.record
    job = kind.read_job(record.job)
    done, told = record.state == DONE, hasattr(kind.module, "result")
    dones = [kind.read_done(text) for text in store.dones(record.id)] if done else []
    if as_json:
        facts = view.as_json()
        failures = [
            {"item": f.item, "class": f.cls, "reason": f.reason, "tries": f.tries}
            for f in store.failures(record.id)
        ]
        print(
            json.dumps(
                {
                    **facts,
                    "out": getattr(job, "out", None),
                    "failed": failures,
                    "seconds": round(seconds, 2),
                    **(kind.module.result(job, dones) if dones and told else {}),
                }
            )
        )
    if done and not as_json:
        if was == DONE:
            print(
                "this job was finished before; nothing was missing"
                if seconds < 60
                else "this job was finished before; what was missing is made",
                file=sys.stderr,
            )
        print(typed(kind.module.summary(job, dones)))
    if done:
        return 0
    why = record.reason or f"{record.state}; `farm resume {record.id}` goes on"
    print(f"farm: {typed(why)}", file=sys.stderr)
    if record.refused:
        store.note(record.id, told=True)
    return 2 if record.fault == "use" else 1
