"""What the controller does with pipelines: starts the stages that may start, ends what is over.

It knows nothing that is not in Redis: a new one goes on where a dead one stopped.
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from concurrent.futures import Executor, Future
from pathlib import Path

import redis

from farm import confine
from farm.child import told
from farm.pipelines import HELD, WAITING, PipelineRecord, Pipelines, PipelineView, StageView
from farm.records import ACTIVE, CANCELLED, DONE, FAILED, PAUSED, RUNNING

log = logging.getLogger(__name__)

FILE = "pipeline.json"


class Conductor:
    """Looks at every pipeline that is at work, once per tick."""

    def __init__(self, pipelines: Pipelines, threads: Executor, roots: tuple[str, ...] = ()):
        """roots: storage roots, beneath which alone a pipeline's folder may lie; none: anywhere."""
        self.pipelines, self.threads, self.roots = pipelines, threads, roots
        self._written: dict[str, str] | None = None
        """What was last written of each; None before the first look."""
        self._writes: dict[str, Future[None]] = {}

    def tick(self) -> None:
        """Start what may start; write down how every stage stands."""
        records = {record.id: record for record in self.pipelines.all()}
        if self._written is None:  # a controller before us may have died amid its last words
            self._written = dict.fromkeys(records, "")
        for name, record in records.items():
            if not record.active and name not in self._written:
                continue
            try:
                if self.roots:
                    confine.refuse([record.out], "write", self.roots)
                if record.active:
                    self._conduct(record)
                # At rest, because it has just ended or somebody stopped it: once more.
                if self._write(name) and not record.active:
                    del self._written[name]
            except redis.RedisError:
                raise
            except Exception as error:  # one pipeline's end, not ours
                self._fail(record, error)

    def _conduct(self, record: PipelineRecord) -> None:
        view = self.pipelines.view(record.id)
        if view is None:
            return
        ready = [each.stage for each in view.stages if _ready(each, view)]
        for stage in ready:
            log.info("starts pipeline=%s stage=%s job=%s", record.name, stage.name, stage.id)
            self.pipelines.start(record, stage)
        if not ready and not view.named(*ACTIVE):
            state, reason = ending(view)
            log.info("ends pipeline=%s state=%s", record.name, state)
            self.pipelines.turn(record.id, state, RUNNING, reason=reason)

    def _write(self, name: str) -> bool:
        """Have pipeline.json rewritten if it would differ; whether it says all there is to say.

        Raises what the last writing raised.
        """
        assert self._written is not None, "tick() fills it"
        write = self._writes.get(name)
        if write and not write.done():
            return False
        if write:
            self._writes.pop(name).result()
        view = self.pipelines.view(name)
        if view is None:
            return True
        text = json.dumps(view.as_file(), indent=1) + "\n"
        if self._written.get(name) == text:
            return True
        self._written[name] = text
        path = Path(view.record.out) / FILE
        self._writes[name] = self.threads.submit(_replace, path, text, view.record.active)
        return False

    def _fail(self, record: PipelineRecord, error: Exception) -> None:
        reason = told(error, record.out) if isinstance(error, OSError) else str(error)
        if not isinstance(error, OSError | ValueError):
            log.error("pipeline=%s", record.name, exc_info=error)
        if self._written:
            self._written.pop(record.id, None)
        self.pipelines.turn(record.id, FAILED, RUNNING, reason=reason.splitlines()[0])


def _ready(each: StageView, view: PipelineView) -> bool:
    """Whether a stage waits for nothing more."""
    return each.state == WAITING and set(view.named(DONE)).issuperset(each.stage.needs)


def ending(view: PipelineView) -> tuple[str, str]:
    """State and reason of a pipeline of which nothing runs and nothing can start."""
    if view.done == len(view.stages):
        return DONE, ""
    if held := view.named(*HELD):
        return PAUSED, f"stage {held[0]} is held"
    failed, cancelled = view.named(FAILED), view.named(CANCELLED)
    lost = failed or cancelled
    first = next((each for each in view.stages if each.stage.name in lost), None)
    state = FAILED if failed else CANCELLED
    reason = f"{_listed(lost)} {state}"
    if first and first.reason:
        reason += f": {first.reason}" if len(lost) == 1 else f"; {lost[0]}: {first.reason}"
    blocked = len(view.stages) - view.done - len(lost)
    if blocked:
        needed = "1 stage needs" if blocked == 1 else f"{blocked} stages need"
        reason += f" ({needed} what is missing)"
    return state, reason


def _listed(names: list[str]) -> str:
    if len(names) == 1:
        return f"stage {names[0]}"
    return f"{len(names)} stages ({', '.join(names)})"


def _replace(path: Path, text: str, make: bool) -> None:
    """Write a file whole or not at all; where its folder is gone, only if it is to be made."""
    if make:
        path.parent.mkdir(parents=True, exist_ok=True)
    elif not path.parent.is_dir():
        return
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
