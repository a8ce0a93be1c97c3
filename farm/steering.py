"""What people do with jobs and pipelines, from wherever they are: pause, resume, cancel, retry.

Each tells what came of it in one line. ValueError: it cannot be done as things stand.
"""

from __future__ import annotations

from farm.pipelines import PipelineRecord, Pipelines
from farm.records import (
    CANCELLED,
    FAILED,
    INTERRUPTED,
    PAUSED,
    RUNNING,
    SUBMITTED,
    JobRecord,
)
from farm.store import Store
from farm.words import count

TURNS = {
    "pause": (PAUSED, (SUBMITTED, RUNNING)),
    "resume": (SUBMITTED, (PAUSED, INTERRUPTED, CANCELLED, FAILED)),
    "cancel": (CANCELLED, (SUBMITTED, RUNNING, PAUSED, INTERRUPTED)),
}
"""What a word makes of a job or pipeline, and in which states it means anything."""


def turn_job(store: Store, record: JobRecord, verb: str) -> str:
    """Pause, resume or cancel a job."""
    to, before = TURNS[verb]
    if record.state == to or (to == SUBMITTED and record.active):
        return f"job {record.id} is {record.state} already"
    if not store.turn(record.id, to, *before):
        now = store.job(record.id) or record
        raise ValueError(f"job {record.id} is {now.state}: there is nothing to {verb}")
    if to == SUBMITTED:
        Pipelines(store).wake(record.id)
    return f"job {record.id} is {to if to != SUBMITTED else 'running again'}"


def retry_job(store: Store, record: JobRecord) -> str:
    """Have what was given up tried once more."""
    if record.active:
        raise ValueError(f"job {record.id} is {record.state}; wait for it, or pause it first")
    number = store.retry(record.id)
    if not number:
        return f"job {record.id}: nothing to try again"
    Pipelines(store).wake(record.id)
    return (
        f"job {record.id}: {count(number, 'task')} {'is' if number == 1 else 'are'} tried again; "
        f"`farm watch {record.id}`"
    )


def turn_pipeline(pipelines: Pipelines, record: PipelineRecord, verb: str) -> str:
    """Pause, resume or cancel a pipeline with the jobs of its stages."""
    to, before = TURNS[verb]
    if record.state == to or (verb == "resume" and record.active):
        return f"pipeline {record.name} is {record.state} already"
    done = (
        record.state in before and pipelines.resume(record.id)
        if verb == "resume"
        else pipelines.stop(record.id, to, *before)
    )
    if not done:
        raise ValueError(f"pipeline {record.name} is {record.state}: there is nothing to {verb}")
    return f"pipeline {record.name} is {to if verb != 'resume' else 'running again'}"


def retry_pipeline(pipelines: Pipelines, record: PipelineRecord) -> str:
    """Try the stages that failed once more; their names, or that there are none."""
    stages = pipelines.retry(record.id)
    if not stages:
        return f"pipeline {record.name}: nothing to try again"
    told = f"{', '.join(stages)} tried again; `farm watch {record.name}`"
    return f"pipeline {record.name}: {told}"
