"""The work of one stylize task: give the pictures of a shard another look, then write it whole.

Threads read, decode, encode and hash while the network works; all annotations are carried over as
bytes.  A sample is staged as soon as its last picture is made, so a death costs the batch that was
being made, and on a GPU the one on its way.
"""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from renderer import shards, storage
from renderer.shards import Record
from renderer.storage import Place
from trainer import device, output, stylizer
from trainer.errors import RunFailed
from trainer.jobs.stylize import Done, Job, Task, done
from trainer.output import Failed
from trainer.shard_stream import ShardStream
from trainer.stylizer import Pictures, Started, Stylizer

T = TypeVar("T")
R = TypeVar("R")


class Changed(RunFailed):
    """What is stylized is not what it was when the job began."""

    failure_class = "bad_input"


def make_shard(job: Job, task: Task, lease: Any) -> Done:
    """Stylize what is missing of a shard and commit it.

    lease  what the farm gives a child program (farm/child.py)

    Raises Changed for a shard that is another by now, RunFailed for what the network needs.
    """
    began = time.perf_counter()
    if (already := done(job, task)) is not None:
        return already
    waiting = output.staging(job.folder, task.name)
    given_up: dict[str, Failed] = {}
    staged: set[str] = set()
    todo = []
    for sample in _samples(job, task):
        known = lease.failed.get(sample.key)
        if known is not None:
            given_up[sample.key] = _failed(sample.key, known.reason, known.cls, known.tries)
        elif shards.staged(waiting, sample.key) is not None:
            staged.add(sample.key)
            lease.found(sample.key, shapes=1, images=task.views)
        else:
            todo.append(sample)
    keys = [key for key in task.items if key not in given_up]
    with ShardStream(job.folder, task.name, keys, staged) as stream:
        if todo:
            _stylize(todo, _warm(job, task), waiting, stream, lease)
        lease.commit()
        stream.finish(list(given_up.values()), time.perf_counter() - began)
    result = done(job, task)
    assert result is not None, "the shard was just written"
    return result


def _samples(job: Job, task: Task) -> list[shards.Sample]:
    """The samples of the parent's shard. Raises Changed."""
    data = storage.place(job.data)
    tar = shards.tar_path(data, task.name, task.sha256)
    try:
        sidecar = shards.read_versioned(shards.sidecar_path(data / f"{task.name}.tar"))
        found = [shards.Sample(tar, entry) for entry in sidecar["samples"]]
        same = sidecar["sha256"] == task.sha256 and [s.key for s in found] == list(task.items)
    except (FileNotFoundError, ValueError, LookupError):
        same = False
    if not same:
        raise Changed(
            f"{tar} is not what it was when the job began; put it back, or choose another --out"
        )
    return found


def _warm(job: Job, task: Task) -> Stylizer:
    note = output.owner(job.folder) or {}
    network = str((note.get("parent") or {}).get("network"))
    try:
        return stylizer.warm(job.run, task.step, job.device, job.precision, job.batch, network)
    except (FileNotFoundError, ValueError) as error:
        raise Changed(str(error)) from error


# --- samples ------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class _Opened:
    """A sample of the parent, and what is made of its pictures so far."""

    key: str
    members: dict[str, bytes]
    rgba: Pictures
    """[V, H, W, 4]"""
    colours: Pictures
    """[V, H, W, 3]"""
    left: int
    """Views that are not made yet."""
    broken: bool = False
    """Whether the network gave something else than numbers."""


def _open(sample: shards.Sample) -> _Opened | Failed:
    """Read and decode a sample, once its bytes are proven."""
    try:
        members = _proven(sample)
        names = _pictures(members)
        rgba = np.stack([shards.decode_member(name, members[name]) for name in names])
    except (OSError, ValueError) as error:
        return _failed(sample.key, f"{error}; `farm dataset verify {sample.tar.parent}` tells more")
    return _Opened(
        key=sample.key,
        members=members,
        rgba=rgba,
        colours=np.empty((*rgba.shape[:3], 3), np.uint8),
        left=len(rgba),
    )


def _proven(sample: shards.Sample) -> dict[str, bytes]:
    """A sample's members in one read. Raises ValueError where one is not what its hash says."""
    first = min(at for at, _, _ in sample.members.values())
    end = max(at + size for at, size, _ in sample.members.values())
    data = memoryview(storage.read_range(sample.tar, first, end - first))
    found = {}
    for name, (at, size, sha256) in sample.members.items():
        found[name] = bytes(data[at - first : at - first + size])
        if shards.sha256(found[name]) != sha256:
            raise ValueError(f"{sample.tar.name}: {name} is not what its side-car says")
    return found


def _finish(opened: _Opened, waiting: Place, log: Mapping[str, Any]) -> Failed | Record:
    """Encode the new pictures and stage the sample."""
    if opened.broken:
        return _failed(opened.key, "the network's picture of it is no numbers")
    names = _pictures(opened.members)
    made = {}
    for name, rgba, colours in zip(names, opened.rgba, opened.colours, strict=True):
        made[name] = np.concatenate([colours, rgba[..., 3:]], axis=2)
    members = {
        name: shards.encode_image("rgba", made[name]) if name in made else data
        for name, data in opened.members.items()
    }
    try:
        pixels = shards.pixels_hash(_Decoded(members, made))
    except ValueError as error:
        return _failed(opened.key, str(error))
    record = dataclasses.replace(shards.make_record(opened.key, members, pixels), log=log)
    shards.stage(waiting, record, log)
    return record


class _Decoded(Mapping[str, NDArray[Any]]):
    """The arrays of a sample, each decoded only while it is looked at: there may be gigabytes."""

    def __init__(self, members: Mapping[str, bytes], made: Mapping[str, NDArray[Any]]):
        self._members, self._made = members, made

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name in self._made:
            return self._made[name]
        array: NDArray[Any] = shards.decode_member(name, self._members[name])
        return array

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._members if name != "json")

    def __len__(self) -> int:
        return len(self._members) - 1


def _pictures(members: Iterable[str]) -> list[str]:
    """The members that are stylized, in order of view."""
    return sorted(name for name in members if name.endswith(".rgba.png"))


def _failed(key: str, reason: str, cls: str = "bad_input", tries: int = 1) -> Failed:
    return Failed(id=key, failure_class=cls, reason=reason, tries=tries)


# --- the pipeline -------------------------------------------------------------------------------


@dataclass(kw_only=True)
class _Line:
    """Batches that are being made, and samples that are being written."""

    network: Stylizer
    pool: ThreadPoolExecutor
    finish: Callable[[_Opened], Failed | Record]
    stream: ShardStream
    lease: Any
    batches: deque[tuple[list[tuple[_Opened, int]], Started]] = field(default_factory=deque)
    writing: deque[tuple[Future[Failed | Record], int]] = field(default_factory=deque)
    began: float = field(default_factory=time.perf_counter)
    images: int = 0

    def make(self, batch: list[tuple[_Opened, int]], ahead: int) -> None:
        """Begin with a batch, and take in those before it but for `ahead` of them."""
        rgba = np.stack([opened.rgba[view] for opened, view in batch])
        self.batches.append((batch, self.network.start(rgba)))
        while len(self.batches) > ahead:
            self.take()

    def take(self) -> None:
        """The oldest batch: samples that are whole with it are written."""
        batch, started = self.batches.popleft()
        colours, finite = started.take()
        self.written()  # so no more than a batch is ever lost
        for number, (opened, view) in enumerate(batch):
            opened.colours[view] = colours[number]
            opened.broken |= not finite[number]
            opened.left -= 1
            if not opened.left:
                self.writing.append((self.pool.submit(self.finish, opened), len(opened.rgba)))
        self.images += len(batch)
        rate = self.images / (time.perf_counter() - self.began)
        self.lease.progress(at=f"{rate:.3g} images/s")

    def written(self) -> None:
        """Wait for the samples that are being written, and tell of them."""
        while self.writing:
            future, images = self.writing.popleft()
            self.told(future.result(), images)

    def told(self, came: Failed | Record, images: int = 0) -> None:
        self.stream.put(came)
        if isinstance(came, Failed):
            self.lease.fail(came.id, came.failure_class, came.reason)
        else:
            self.lease.finish(came.key, shapes=1, images=images)


def _stylize(
    samples: Sequence[shards.Sample],
    network: Stylizer,
    waiting: Place,
    stream: ShardStream,
    lease: Any,
) -> None:
    """Stage every sample, and hand it to the stream."""
    on_gpu = network.device.type == "cuda"
    threads = max(2, device.threads() - 1) if on_gpu else 2
    log = {
        "created_with": output.created_with(
            network.device.type, device.name(network.device), precision=network.precision
        )
    }
    with ThreadPoolExecutor(threads) as pool:
        line = _Line(
            network=network,
            pool=pool,
            finish=lambda opened: _finish(opened, waiting, log),
            stream=stream,
            lease=lease,
        )
        batch: list[tuple[_Opened, int]] = []
        for opened in _ahead(pool, _open, samples, _samples_ahead(samples[0], network)):
            if isinstance(opened, Failed):
                line.told(opened)
                continue
            for view in range(len(opened.rgba)):
                batch.append((opened, view))
                if len(batch) >= network.batch:
                    line.make(batch, ahead=int(on_gpu))
                    batch = []
        if batch:
            line.make(batch, ahead=int(on_gpu))
        while line.batches:
            line.take()
        line.written()


def _samples_ahead(sample: shards.Sample, network: Stylizer) -> int:
    """How many samples are read before they are needed: those of two batches."""
    return 1 + 2 * network.batch // max(1, len(_pictures(sample.members)))


def _ahead(
    pool: ThreadPoolExecutor, call: Callable[[T], R], items: Iterable[T], ahead: int
) -> Iterator[R]:
    """call(item) of every item, in order, worked out by threads before it is asked for."""
    coming: deque[Future[R]] = deque()
    for item in items:
        coming.append(pool.submit(call, item))
        if len(coming) > ahead:
            yield coming.popleft().result()
    while coming:
        yield coming.popleft().result()
