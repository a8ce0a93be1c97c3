"""Pipelines in Redis: which there are, what of them was started, how they stand.

    farm:pipelines              zset    id -> when it was submitted
    farm:pipeline:<id>          hash    name, file, out, state, reason, digest of the plan ...
    farm:pipeline:<id>:plan     text    the stages and the experiment, as JSON
    farm:pipeline:<id>:started  set     stages whose job was recorded since the last submission

How a stage stands is its job's state, once it was started; so a job that somebody pauses or tries
again by its own id is seen here as well, and nothing is told twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from farm import kinds
from farm.pipeline import Pipeline, Stage, about
from farm.records import (
    ACTIVE,
    CANCELLED,
    DONE,
    FAILED,
    INTERRUPTED,
    PAUSED,
    RUNNING,
    SUBMITTED,
    JobRecord,
    View,
)
from farm.store import Store

ALL = "farm:pipelines"
WAITING, BLOCKED = "waiting", "blocked"
"""States of a stage that was not started: it waits for others, or for one that will not come."""
LOST = (FAILED, CANCELLED, BLOCKED)
HELD = (PAUSED, INTERRUPTED)


@dataclass(frozen=True, kw_only=True)
class PipelineRecord:
    id: str
    name: str
    file: str
    out: str
    state: str
    digest: str
    """Of the plan: it is read again only when it has changed."""
    reason: str = ""
    workers: int = 0
    """At most so many tasks of a stage at once; 0: no limit."""
    submitted: float = 0.0
    changed: float = 0.0

    @property
    def active(self) -> bool:
        return self.state in ACTIVE

    @property
    def ended(self) -> bool:
        """Whether it rests because nothing could go on, not because somebody stopped it."""
        return self.state == FAILED or (self.state in (*HELD, CANCELLED) and bool(self.reason))


@dataclass(frozen=True, kw_only=True)
class StageView:
    """A stage at one moment."""

    stage: Stage
    state: str
    reason: str = ""
    view: View | None = None
    """Of its job, once it was started and where it was asked for."""


@dataclass(frozen=True, kw_only=True)
class PipelineView:
    """A pipeline at one moment; stages after what they need."""

    record: PipelineRecord
    pipeline: Pipeline
    stages: tuple[StageView, ...]

    @property
    def counts(self) -> dict[str, int]:
        """State -> number of stages."""
        found: dict[str, int] = {}
        for stage in self.stages:
            found[stage.state] = found.get(stage.state, 0) + 1
        return found

    @property
    def done(self) -> int:
        return self.counts.get(DONE, 0)

    def named(self, *states: str) -> list[str]:
        return [each.stage.name for each in self.stages if each.state in states]

    def as_json(self) -> dict[str, Any]:
        record = self.record
        return {
            "pipeline": record.id,
            "name": record.name,
            "file": record.file,
            "out": record.out,
            "state": record.state,
            "reason": record.reason,
            "done": self.done,
            "stages": {
                each.stage.name: {
                    "kind": each.stage.kind,
                    "state": each.state,
                    "reason": each.reason,
                    "needs": list(each.stage.needs),
                    "product": each.stage.product,
                    "job": each.stage.id,
                    **({"progress": each.view.as_json()} if each.view else {}),
                }
                for each in self.stages
            },
        }

    def as_file(self) -> dict[str, Any]:
        """What pipeline.json says."""
        facts = about(self.pipeline)
        facts |= {"state": self.record.state, "reason": self.record.reason}
        for each in self.stages:
            facts["stages"][each.stage.name] |= {"state": each.state, "reason": each.reason}
        return facts


class Pipelines:
    """The farm's memory of pipelines, beside its jobs."""

    def __init__(self, store: Store):
        self.store = store
        self.client: Any = store.client
        self._plans: dict[str, tuple[str, Pipeline]] = {}

    def submit(self, pipeline: Pipeline, workers: int = 0) -> str:
        """Record a pipeline, or take up the one there is: every stage is looked at again.

        Returns "joined" for the same one at work, else the state it was in ("" for none).
        """
        key, plan = _key(pipeline.id), kinds.canonical(pipeline)
        digest = hashlib.sha256(plan).hexdigest()
        was, before = self.client.hmget(key, "state", "digest")
        if was in ACTIVE and before == digest:
            return "joined"
        now = time.time()
        facts = {
            "name": pipeline.name,
            "file": pipeline.file,
            "out": pipeline.out,
            "digest": digest,
            "workers": workers,
            "state": RUNNING,
            "reason": "",
            "submitted": now,
            "changed": now,
        }
        with self.client.pipeline() as pipe:
            pipe.hset(key, mapping=facts)
            pipe.set(f"{key}:plan", plan)
            pipe.delete(f"{key}:started")
            pipe.zadd(ALL, {pipeline.id: now})
            pipe.execute()
        return str(was or "")

    def all(self) -> list[PipelineRecord]:
        """Every pipeline, oldest submission first; what somebody else wrote there is none."""
        names = self.client.zrange(ALL, 0, -1)
        with self.client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hgetall(_key(name))
            found = pipe.execute()
        records = []
        for name, facts in zip(names, found, strict=True):
            with contextlib.suppress(KeyError, ValueError):
                records.append(_record(name, facts))
        return records

    def get(self, name: str) -> PipelineRecord | None:
        facts = self.client.hgetall(_key(name))
        return _record(name, facts) if facts else None

    def plan(self, record: PipelineRecord) -> Pipeline:
        """What a pipeline consists of."""
        digest, pipeline = self._plans.get(record.id, ("", None))
        if pipeline is None or digest != record.digest:
            pipeline = _pipeline(self.client.get(f"{_key(record.id)}:plan"))
            self._plans[record.id] = record.digest, pipeline
        return pipeline

    def busy(self) -> bool:
        """Whether a pipeline has stages to start."""
        return any(record.active for record in self.all())

    def view(self, name: str, progress: bool = False) -> PipelineView | None:
        """How every stage stands; with what their jobs have made where `progress` asks."""
        record = self.get(name)
        if record is None:
            return None
        started = set(self.client.smembers(f"{_key(name)}:started"))
        pipeline = self.plan(record)
        stages = pipeline.stages
        with self.client.pipeline(transaction=False) as pipe:
            for stage in stages:
                pipe.hmget(f"farm:{stage.id}", "state", "reason")
            jobs = pipe.execute()
        states: dict[str, str] = {}
        reasons: dict[str, str] = {}
        for stage, (state, reason) in zip(stages, jobs, strict=True):
            known = stage.name in started and state is not None
            states[stage.name] = state if known else _waits(stage, states)
            reasons[stage.name] = (reason or "") if known else _why(stage, states)
        views = {
            stage.name: self.store.view(stage.id)
            for stage in stages
            if progress and states[stage.name] not in (WAITING, BLOCKED)
        }
        return PipelineView(
            record=record,
            pipeline=pipeline,
            stages=tuple(
                StageView(
                    stage=stage,
                    state=states[stage.name],
                    reason=reasons[stage.name],
                    view=views.get(stage.name),
                )
                for stage in stages
            ),
        )

    def start(self, record: PipelineRecord, stage: Stage) -> None:
        """Record a stage's job, then that it was started: a death in between repeats the first.

        A job that somebody works on already is taken up as it is.
        """
        self.store.submit(
            JobRecord(
                id=stage.id,
                kind=stage.kind,
                role=stage.role,
                job=stage.job,
                state="",
                label=f"{record.name}/{stage.name}",
                workers=record.workers,
            )
        )
        self.client.sadd(f"{_key(record.id)}:started", stage.name)
        now = self.get(record.id)
        if now and now.state in (*HELD, CANCELLED):  # somebody stopped it meanwhile
            self.store.turn(stage.id, now.state, SUBMITTED, RUNNING)

    def turn(self, name: str, to: str, *before: str, reason: str = "") -> bool:
        """Change a pipeline's state if it is in one of these; whether it did."""
        return self.store.turn(f"pipeline:{name}", to, *before, reason=reason)

    # what people do

    def stop(self, name: str, to: str, *before: str) -> bool:
        """Pause, interrupt or cancel a pipeline and the jobs of its stages; whether it was so."""
        if not self.turn(name, to, *before):
            return False
        for stage in self._started(name):
            self.store.turn(stage.id, to, *(b for b in (SUBMITTED, RUNNING, *HELD) if b in before))
        return True

    def resume(self, name: str) -> bool:
        """Go on with a pipeline at rest: stages that are not done start anew."""
        view = self.view(name)
        if view is None or view.record.active:
            return False
        self._again(name, [n for n in view.named(*LOST, *HELD) if n not in view.named(BLOCKED)])
        return self.turn(name, RUNNING, view.record.state)

    def retry(self, name: str) -> list[str]:
        """Try the stages that failed once more, and what was given up in them; their names."""
        view = self.view(name)
        if view is None:
            return []
        failed = [each.stage for each in view.stages if each.state == FAILED]
        for stage in failed:
            self.store.retry(stage.id)
        self._again(name, [stage.name for stage in failed])
        if failed and view.record.ended:
            self.turn(name, RUNNING, view.record.state)
        return [stage.name for stage in failed]

    def wake(self, job: str) -> None:
        """A job goes on by its own id: pipelines that ended for want of it go on as well."""
        for record in self.all():
            if record.ended and any(stage.id == job for stage in self.plan(record).stages):
                self.turn(record.id, RUNNING, record.state)

    def _started(self, name: str) -> list[Stage]:
        record = self.get(name)
        started = self.client.smembers(f"{_key(name)}:started")
        return [s for s in self.plan(record).stages if s.name in started] if record else []

    def _again(self, name: str, stages: Iterable[str]) -> None:
        if stages := list(stages):
            self.client.srem(f"{_key(name)}:started", *stages)


def _waits(stage: Stage, states: Mapping[str, str]) -> str:
    return BLOCKED if any(states[need] in LOST for need in stage.needs) else WAITING


def _why(stage: Stage, states: Mapping[str, str]) -> str:
    lost = [need for need in stage.needs if states[need] in LOST]
    if lost:
        return f"needs {lost[0]}, which is {states[lost[0]]}"
    waits = [need for need in stage.needs if states[need] != DONE]
    return f"waits for {', '.join(waits)}" if waits else ""


def _key(name: str) -> str:
    return f"farm:pipeline:{name}"


def _pipeline(plan: str) -> Pipeline:
    facts = json.loads(plan)
    stages = tuple(Stage(**{**s, "needs": tuple(s["needs"])}) for s in facts.pop("stages"))
    told = {text: tuple(names) for text, names in facts.pop("references").items()}
    return Pipeline(stages=stages, references=told, **facts)


def _record(name: str, facts: Mapping[str, str]) -> PipelineRecord:
    return PipelineRecord(
        id=name,
        name=facts["name"],
        file=facts["file"],
        out=facts["out"],
        state=facts["state"],
        digest=facts["digest"],
        reason=facts.get("reason", ""),
        workers=int(facts.get("workers") or 0),
        submitted=float(facts.get("submitted") or 0),
        changed=float(facts.get("changed") or 0),
    )
