"""The work of one render task: make the shapes of a shard, then write the shard whole."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from renderer import growth, machine, shards, storage
from renderer.errors import ItemFailed
from renderer.jobs.render import PASSES, Done, Failed, Job, Task, done
from renderer.sample import Recipe, make_sample
from renderer.shapes.shape import Shape
from renderer.storage import Place

if TYPE_CHECKING:
    from renderer.blender.session import Session

_session: Session | None = None  # Blender exists once per process


def make_shard(job: Job, task: Task, lease: Any) -> Done:
    """Render what is missing of a shard and commit it.

    lease  what the farm gives a child program (farm/child.py)

    Raises lease.Retry when a shape failed in a way that another try may mend.
    """
    started, staging = time.perf_counter(), job.folder / shards.STAGING / task.name
    seen = storage.version(shards.sidecar_path(job.folder / f"{task.name}.tar"))
    if (already := done(job, task)) is not None:
        if not _is_worth_a_retry(already, lease):
            return already
        _unpack(job, task, already, staging)
    failed = _make_samples(job, task, lease, staging)
    lease.commit()
    keys = [key for key in task.items if key not in failed]
    logs: dict[str, Mapping[str, Any]] = {}

    def records() -> Iterator[shards.Record]:
        for record in _records(staging, keys):
            logs[record.key] = record.log
            yield record
        lease.commit()  # again: writing a large shard takes its time, and now it gets its name

    def log() -> dict[str, Any]:
        return {
            "version": shards.VERSION,
            "host": machine.host(),
            "seconds": round(time.perf_counter() - started, 3),
            "samples": logs,
        }

    told = [
        {"id": f.id, "class": f.failure_class, "reason": f.reason, "tries": f.tries}
        for f in sorted(failed.values(), key=lambda f: f.id)
    ]
    shards.write_shard(job.folder, task.name, records(), told, log=log, seen=seen)
    storage.remove_folder(staging)
    result = done(job, task)
    assert result is not None, "the shard was just written"
    return result


def _is_worth_a_retry(already: Done, lease: Any) -> bool:
    """Whether a shape was given up that `farm retry` asks for again."""
    return any(
        failed.failure_class != "bad_input" and failed.id not in lease.failed
        for failed in already.failed
    )


def _unpack(job: Job, task: Task, already: Done, staging: Place) -> None:
    """Stage what the shard has, so that only what it lacks is rendered."""
    tar = shards.tar_path(job.folder, task.name, already.sha256)
    logs = storage.read_json(shards.log_path(tar))["samples"]
    for sample in shards.samples_of(job.folder, task.name):
        members = {name: sample.read(name) for name in sample.members}
        record = shards.make_record(sample.key, members, sample.pixels)
        shards.stage(staging, record, logs[sample.key])


def _make_samples(job: Job, task: Task, lease: Any, staging: Place) -> dict[str, Failed]:
    """Stage every sample of the task; the shapes that failed for good, by key."""
    recipe, made = recipe_of(job), growth.made_before(job, task)
    failed = {
        item: Failed(id=item, failure_class=f.cls, reason=f.reason, tries=f.tries)
        for item, f in lease.failed.items()
        if item in task.items
    }
    again = False
    for shape in task.shapes:
        if shape.key in failed:
            continue
        if shards.staged(staging, shape.key) is None:
            lease.start(shape.key)
            try:
                _stage_sample(job, staging, shape, recipe, made.get(shape.key), lease)
            except (ItemFailed, MemoryError) as error:
                failure = _failed(shape, error)
                if picture := getattr(error, "picture", b""):
                    storage.write(job.folder / shards.FAILED / f"{shape.key}.png", picture)
                lease.fail(shape.key, failure.failure_class, failure.reason)
                if failure.failure_class == "bad_input":
                    failed[shape.key] = failure
                else:
                    again = True
                continue
        lease.finish(shape.key, shapes=1, images=recipe.views)
    if again:
        raise lease.Retry
    return failed


def _stage_sample(
    job: Job,
    staging: Place,
    shape: Shape,
    recipe: Recipe,
    made: shards.Sample | None,
    lease: Any,
) -> None:
    began = time.perf_counter()
    rendered = 0

    def progress(view: int) -> None:
        nonlocal rendered
        rendered += 1
        lease.progress(view=view)

    record = make_sample(warm_session, shape, recipe, made=made, progress=progress)
    log = {
        "seconds": round(time.perf_counter() - began, 3),
        "created_with": growth.created_with(made) if made and not rendered else _created_with(),
    }
    shards.stage(staging, record, log)


def warm_session() -> Session:
    """Blender in this process, loaded at the first call."""
    global _session
    if _session is None:
        from renderer.blender import open_session

        _session = open_session(machine.threads())
    return _session


def recipe_of(job: Job) -> Recipe:
    assert job.views is not None, "resolve() gives the number of views"
    return Recipe(
        cameras=job.cameras,
        views=job.views,
        size=job.size,
        spp=job.spp,
        passes=tuple(name for name in PASSES if name in job.pass_names),
        points=job.points,
        seed=job.seed,
    )


def _created_with() -> Mapping[str, Any]:
    device = warm_session().device
    return machine.created_with(device.kind, device.name)


def _failed(shape: Shape, error: Exception) -> Failed:
    if isinstance(error, ItemFailed):
        failure_class, reason = error.failure_class, error.reason
    else:
        failure_class, reason = "out_of_memory", "this machine's memory does not hold it"
    return Failed(id=shape.key, failure_class=failure_class, reason=reason, tries=1)


def _records(staging: Place, keys: Sequence[str]) -> Iterator[shards.Record]:
    for key in keys:
        record = shards.staged(staging, key)
        assert record is not None, f"{key} was staged and is gone"
        yield record
