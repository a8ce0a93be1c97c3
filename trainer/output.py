"""A dataset that a trainer job makes: whose folder it is, its shards, and its index.

    claim(folder, "stylize", job, shapes=..., parent=...)  prepare: job.json, before all else
    shards.stage(staging(folder, name), record, log)       run: keep what is finished
    write(folder, name, keys, failed)                      run: log, shard, then side-car
    written(folder, name)                                  done: what storage says of a shard
    publish(folder, done, complete, ...)                   publish: dataset.json

Datasets have one format, whoever makes them: docs/format.md.  Nothing heavy is imported at the
top, so that a job file may take its dataclasses from here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.metadata
import json
import platform
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from renderer import storage
from renderer.storage import Place
from trainer import atomic

if TYPE_CHECKING:
    from renderer.shards import Record

VERSION = 1
VERSIONS = {
    "shapefarm": "shapefarm",
    "torch": "torch",
    "torchvision": "torchvision",
    "numpy": "numpy",
    "opencv": "opencv-python-headless",
}
"""Of which packages a dataset tells."""


@dataclass(frozen=True, kw_only=True)
class Failed:
    """One item that is not in the dataset."""

    id: str
    failure_class: str
    reason: str
    tries: int


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A shard that is on storage."""

    name: str
    """train-000000"""
    keys: tuple[str, ...]
    images: int
    """`rgba` members"""
    bytes: int
    sha256: str
    failed: tuple[Failed, ...]
    created_with: str
    """JSON list of the versions and devices that its samples were made with."""

    @property
    def samples(self) -> int:
        return len(self.keys)


class Finished(Protocol):
    """What the index wants to know of a shard: a Shard, or a job kind's Done."""

    @property
    def name(self) -> str: ...
    @property
    def samples(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def sha256(self) -> str: ...
    @property
    def created_with(self) -> str: ...


# --- the folder --------------------------------------------------------------------------------


def identity(job: Any, left_out: Iterable[str] = ()) -> dict[str, Any]:
    """What of a job decides its dataset, as JSON; `out` never does: a folder elsewhere holds the
    same dataset."""
    fields = dataclasses.asdict(job)
    kept = {n: v for n, v in fields.items() if n not in {"out", *left_out}}
    found: dict[str, Any] = json.loads(json.dumps(kept, allow_nan=False))
    return found


def claim(
    folder: Place,
    kind: str,
    job: Mapping[str, Any],
    *,
    shapes: Sequence[Mapping[str, Any]],
    parent: Mapping[str, Any] | None = None,
    **more: Any,
) -> None:
    """Make the folder ours by writing job.json, or find that it is.

    job     its identity
    shapes  what the samples are to be of: at least {"key"} each
    parent  what the dataset is made from, as the index will name it
    more    further fields of job.json, such as `origins`

    Raises ValueError, naming what differs, when it is another's or its parent has changed since.
    """
    wanted = {
        "version": VERSION,
        "kind": kind,
        "job": dict(job),
        "parent": parent,
        "shapes": list(shapes),
        **more,
    }
    wanted = json.loads(json.dumps(wanted, allow_nan=False))
    there = owner(folder)
    if there is None:
        if storage.in_use(folder):
            raise ValueError(f"{folder} is in use and is not a dataset; choose another --out")
        if storage.write_if(folder / "job.json", storage.readable_json(wanted), None):
            return
        there = owner(folder) or {}  # somebody was faster
    if there.get("kind") != kind or there.get("job") != wanted["job"]:
        told = _difference(kind, wanted["job"], there)
        raise ValueError(f"{folder} holds another job's dataset ({told}); choose another --out")
    if there != wanted:
        raise ValueError(
            f"what {folder} was begun with has changed since ({_change(there, wanted)}); "
            "put it back, or choose another --out"
        )


def owner(folder: Place) -> dict[str, Any] | None:
    """The folder's job.json; None where it has none. Raises ValueError for another version."""
    try:
        return atomic.read_json(folder / "job.json", VERSION)
    except (FileNotFoundError, NotADirectoryError):
        return None


def check_room(folder: Place, needed: float) -> None:
    """Raises ValueError when the disk is too small for so many bytes."""
    free = storage.free_bytes(folder)
    if needed > free:
        raise ValueError(
            f"{folder} will need about {needed / 1e6:,.1f} MB, and {free / 1e6:,.1f} MB are free "
            "there; choose another --out"
        )


# --- a shard -----------------------------------------------------------------------------------


def staging(folder: Place, name: str) -> Place:
    """Where the finished samples of an unfinished shard wait: see renderer.shards.stage."""
    return folder / ".staging" / name


def write(
    folder: Place, name: str, keys: Sequence[str], failed: Sequence[Failed], seconds: float = 0.0
) -> Shard:
    """Write a shard of the samples that are staged, in this order, and forget the stage."""
    records = _staged(staging(folder, name), keys)
    return write_records(folder, name, records, failed, lambda: seconds)


def write_records(
    folder: Place,
    name: str,
    records: Iterable[Record],
    failed: Sequence[Failed],
    seconds: Callable[[], float],
) -> Shard:
    """Write a shard of samples as they come, and forget what is staged of it.

    records  the log of each has `created_with`
    failed   asked for, as `seconds` is, after the last record
    """
    from renderer import shards

    samples: dict[str, Mapping[str, Any]] = {}
    told: list[dict[str, Any]] = []

    def logged() -> Iterator[Record]:
        for record in records:
            samples[record.key] = dict(record.log)
            yield record

    def log() -> dict[str, Any]:
        told.extend(
            {"id": f.id, "class": f.failure_class, "reason": f.reason, "tries": f.tries}
            for f in sorted(failed, key=lambda f: f.id)
        )
        return {
            "version": VERSION,
            "host": socket.gethostname(),
            "seconds": round(seconds(), 3),
            "samples": samples,
        }

    seen = storage.version(shards.sidecar_path(folder / f"{name}.tar"))
    shards.write_shard(folder, name, logged(), told, log=log, seen=seen)
    storage.remove_folder(staging(folder, name))
    found = written(folder, name)
    assert found is not None, "the shard was just written"
    return found


def written(folder: Place, name: str) -> Shard | None:
    """What storage says of a shard; None where it is missing or not whole."""
    from renderer import shards

    try:
        sidecar = shards.read_versioned(shards.sidecar_path(folder / f"{name}.tar"))
        tar = shards.tar_path(folder, name, sidecar["sha256"])
        log = atomic.read_json(shards.log_path(tar), VERSION)
        size = storage.size(tar)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    samples = sidecar["samples"]
    return Shard(
        name=name,
        keys=tuple(sample["key"] for sample in samples),
        images=sum(member.endswith(".rgba.png") for s in samples for member in s["members"]),
        bytes=size,
        sha256=sidecar["sha256"],
        failed=tuple(
            Failed(id=f["id"], failure_class=f["class"], reason=f["reason"], tries=f["tries"])
            for f in sidecar["failed"]
        ),
        created_with=json.dumps(
            distinct(sample["created_with"] for sample in log["samples"].values())
        ),
    )


def _staged(waiting: Place, keys: Sequence[str]) -> Iterator[Record]:
    from renderer import shards

    for key in keys:
        record = shards.staged(waiting, key)
        assert record is not None, f"{key} was staged and is gone"
        yield record


# --- the index ---------------------------------------------------------------------------------


def publish(
    folder: Place,
    done: Iterable[Finished],
    complete: bool,
    *,
    job: Mapping[str, Any],
    members: Sequence[str],
    parent: Any = None,
    conventions: Mapping[str, Any] | None = None,
    sources: Sequence[Any] = (),
) -> dict[str, Any]:
    """Rewrite the index from the shards that are on storage; returns it.

    job      its identity, the same as in job.json
    members  what every sample has, in the order in which they lie in the tar
    """
    from renderer import shards

    ordered = sorted(done, key=lambda shard: shard.name)
    splits: dict[str, list[str]] = {}
    for shard in ordered:
        if shard.samples:  # webdataset stumbles over a shard without samples
            splits.setdefault(shard.name.rpartition("-")[0], []).append(f"{shard.name}.tar")
    made_with = distinct(one for shard in ordered for one in json.loads(shard.created_with))
    index = {
        "version": shards.VERSION,
        "complete": complete,
        "job": dict(job),
        "parent": parent,
        "created_with": made_with[0] if len(made_with) == 1 else made_with,
        "conventions": dict(shards.CONVENTIONS if conventions is None else conventions),
        "members": list(members),
        "splits": splits,
        "shards": [_entry(shard) for shard in ordered],
        "sources": list(sources),
    }
    whole = shards.write_index(folder, index)
    if complete:
        storage.remove_folder(folder / shards.STAGING)
    return whole


def distinct(values: Iterable[Any]) -> list[Any]:
    """Each JSON value once, in one order whatever the order of the work was."""
    found = {json.dumps(value, sort_keys=True): value for value in values}
    return [found[text] for text in sorted(found)]


def created_with(device_kind: str, device_name: str, **more: Any) -> dict[str, Any]:
    """What a sample is made with, for its log: versions, the device, and whatever else decides."""
    return {**_versions(), "device": {"kind": device_kind, "name": device_name}, **more}


@functools.cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name, package in VERSIONS.items():
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(package)
    return found


# --- details -----------------------------------------------------------------------------------


def _entry(shard: Finished) -> dict[str, Any]:
    """A shard's line in the index."""
    return {
        "name": f"{shard.name}.tar",
        "split": shard.name.rpartition("-")[0],
        "samples": shard.samples,
        "bytes": shard.bytes,
        "sha256": shard.sha256,
    }


def _difference(kind: str, job: Mapping[str, Any], there: Mapping[str, Any]) -> str:
    if there.get("kind") != kind:
        return f"of a {there.get('kind')} job"
    before = there.get("job") or {}
    name = next(n for n in {**before, **job} if before.get(n) != job.get(n))
    return f"{name} {_short(before.get(name))}, not {_short(job.get(name))}"


def _change(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """The first thing of job.json, beside the job, that is not as it was."""
    was, is_ = there.get("parent") or {}, wanted.get("parent") or {}
    for name in {**was, **is_}:
        if was.get(name) != is_.get(name):
            return f"{name} {_short(was.get(name))}, now {_short(is_.get(name))}"
    before = {shape["key"]: shape for shape in there.get("shapes", ())}
    now = {shape["key"]: shape for shape in wanted["shapes"]}
    for word, keys in (
        ("changed:", [k for k in before.keys() & now.keys() if before[k] != now[k]]),
        ("gone:", before.keys() - now.keys()),
        ("new:", now.keys() - before.keys()),
    ):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            return f"{word} {min(keys)}{more}"
    return next(n for n in {**there, **wanted} if there.get(n) != wanted.get(n))


def _short(value: Any) -> str:
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
