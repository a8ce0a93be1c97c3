"""Whether everything that lies on storage is what it says it is.

Nothing is taken on trust: the index against its id, shards and members against their hashes, tars
against their side-cars, pixels against the content rules, cameras against their angles and against
the seed, the whole against the job.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import multiprocessing
import os
import re
import signal
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from renderer import shards, storage
from renderer.dataset import check_sample, schema
from renderer.dataset import parent as parents
from renderer.dataset.origin import Made, Origin, read_made
from renderer.dataset.problem import Problem
from renderer.members import decode_member, pixels_hash
from renderer.storage import Place

# Called with shards, samples, images and bytes done, and all bytes.
Progress = Callable[["Report", int], None]

# Starting a process costs as much as checking some tens of samples.
BYTES_PER_PROCESS = 64_000_000


@dataclass(kw_only=True)
class Report:
    """What a check found."""

    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What is worth knowing and is not wrong."""
    shards: int = 0
    samples: int = 0
    images: int = 0
    bytes: int = 0

    def add(self, other: Report) -> None:
        self.problems += other.problems
        self.shards += other.shards
        self.samples += other.samples
        self.images += other.images
        self.bytes += other.bytes


@dataclass(frozen=True, kw_only=True)
class ShardWork:
    """One shard to check, with all that is known of it: what a process is handed."""

    folder: str
    entry: dict[str, Any]
    members: tuple[str, ...]
    shapes: dict[str, dict[str, Any]]
    """key -> the shape's fields in job.json"""
    origins: dict[str, Origin]
    """key -> what made the sample"""
    parent: str | None = None
    """Folder of the dataset that this one was stylized from, where it is at hand"""


def verify(
    folder: Place,
    processes: int | None = None,
    progress: Progress | None = None,
    parent: Place | None = None,
) -> Report:
    """Check a whole dataset.

    processes   how many work at it; by default as many as there are CPUs and as pays
    parent      folder of the dataset that a stylized one was made from; by default where its job
                says, or beside it

    Raises FileNotFoundError where there is no dataset, ValueError for a `parent` that is another;
    everything else is a problem in the report.
    """
    report = Report()
    if not storage.exists(folder / shards.INDEX):
        shards.Dataset(folder)  # raises, with the reason
    index = _read(folder / shards.INDEX, schema.INDEX, report)
    if index is None:
        return report
    _check_index(index, report)
    made = _read_made(folder, index, report)
    if made is not None and made.being_added_to(index):
        report.notes.append("shapes or views are being added; the new ones are not looked at")
        made = None
    work = list(_work(folder, index, made, _parent(folder, index, parent, report)))
    _check_keys(folder, index, made, report)
    _check_strays(folder, index, report)
    total = sum(entry["bytes"] for entry in index["shards"])
    for found in _checked(work, processes or _processes(total)):
        report.add(found)
        if progress:
            progress(report, total)
    report.problems.sort()
    return report


def _processes(total: int) -> int:
    return max(1, min(os.cpu_count() or 1, total // BYTES_PER_PROCESS))


def _checked(work: Sequence[ShardWork], processes: int) -> Iterator[Report]:
    if processes == 1 or len(work) < 2:
        yield from map(check_shard, work)
        return
    left = dict(enumerate(work))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_begin) as pool:
        futures = {pool.submit(check_shard, one): number for number, one in left.items()}
        try:
            for future in as_completed(futures):
                yield future.result()
                del left[futures[future]]
        except BrokenProcessPool:
            pass  # no process can be started, or one was killed for its memory: go on in this one
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    yield from map(check_shard, left.values())


def _begin() -> None:
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a traceback
    cv2.setNumThreads(1)  # there is a process for every CPU


# --- the index and the job ---------------------------------------------------------------------


def _read(path: Place, adapter: Any, report: Report) -> Any:
    """A JSON file that fits its schema, or None and problems."""
    try:
        data = storage.read(path)
    except OSError as error:
        reason = "missing" if isinstance(error, FileNotFoundError) else str(error.strerror)
        report.problems.append(Problem(file=path.name, rule="file", detail=reason))
        return None
    wrong = schema.faults(adapter, data)
    report.problems += [Problem(file=path.name, rule="json", detail=fault) for fault in wrong]
    return None if wrong else json.loads(data)


def _check_index(index: Mapping[str, Any], report: Report) -> None:
    def wrong(rule: str, detail: str) -> None:
        report.problems.append(Problem(file=shards.INDEX, rule=rule, detail=detail))

    if (is_ := shards.dataset_id(index)) != index["id"]:
        wrong("id", f"its content has the id {is_[:12]}, it says {index['id'][:12]}")
    by_split: dict[str, list[str]] = {}
    names = Counter(entry["name"] for entry in index["shards"])
    for name, times in names.items():
        if times > 1:
            wrong("splits", f"{name} is listed {times} times")
    for entry in index["shards"]:
        if entry["samples"]:  # a shard of failures alone belongs to no split
            by_split.setdefault(entry["split"], []).append(entry["name"])
        if entry["name"].rpartition("-")[0] != entry["split"]:
            wrong("splits", f"{entry['name']} is said to be of split {entry['split']!r}")
    if by_split != index["splits"]:
        differing = {
            name
            for split in {*by_split, *index["splits"]}
            for name in set(by_split.get(split, ())) ^ set(index["splits"].get(split, ()))
        }
        what = ", ".join(sorted(differing)[:3]) or "their order"
        wrong("splits", f"splits and shards disagree about {what}")


def _read_made(folder: Place, index: Mapping[str, Any], report: Report) -> Made | None:
    try:
        made = read_made(folder, index)
    except FileNotFoundError:
        report.problems.append(Problem(file=shards.JOB, rule="file", detail="missing"))
        return None
    except ValueError as error:
        report.problems.append(Problem(file=shards.JOB, rule="json", detail=str(error)))
        return None
    if made.kind != "render" and made.job != index["job"]:
        detail = f"it is another job than the one in {shards.INDEX}"
        report.problems.append(Problem(file=shards.JOB, rule="job", detail=detail))
    return made


def _check_keys(folder: Place, index: Mapping[str, Any], made: Made | None, report: Report) -> None:
    """No sample twice; every shape of the job is a sample or has failed."""
    where: dict[str, str] = {}
    failed: dict[str, str] = {}
    for entry in index["shards"]:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            sidecar = storage.read_json(shards.sidecar_path(folder / entry["name"]))
            for sample in sidecar["samples"]:
                key = sample["key"]
                if key in where:
                    detail = f"it is in {where[key]} too"
                    report.problems.append(
                        Problem(file=entry["name"], sample=key, rule="twice", detail=detail)
                    )
                where.setdefault(key, entry["name"])
            failed |= {failure["id"]: entry["name"] for failure in sidecar["failed"]}
    for key in sorted(where.keys() & failed.keys()):
        detail = f"it is listed as failed in {failed[key]} too"
        report.problems.append(Problem(file=where[key], sample=key, rule="twice", detail=detail))
    if not index["complete"]:
        planned = f" of {len(made.shapes)}" if made else ""
        detail = f"the job has not finished: {len(where)}{planned} shapes"
        report.problems.append(Problem(file=shards.INDEX, rule="complete", detail=detail))
    if made is None:
        return
    have = where.keys() | failed.keys()
    for key in sorted(have - made.shapes.keys()):
        file = where.get(key) or failed[key]
        detail = f"{shards.JOB} has no such shape"
        report.problems.append(Problem(file=file, sample=key, rule="shapes", detail=detail))
    if index["complete"]:
        for key in sorted(made.shapes.keys() - have):
            detail = "it is in no shard, neither as a sample nor as failed"
            report.problems.append(
                Problem(file=shards.JOB, sample=key, rule="shapes", detail=detail)
            )


def _check_strays(folder: Place, index: Mapping[str, Any], report: Report) -> None:
    named = {shards.tar_path(folder, one["name"], one["sha256"]).name for one in index["shards"]}
    strays = [name for name in storage.names(folder, "*.tar") if name not in named]
    if strays:
        more = f" and {len(strays) - 1} more" if len(strays) > 1 else ""
        report.notes.append(f"{strays[0]}{more}: on storage, and not in the index")
    staging = folder / shards.STAGING
    if index["complete"] and (storage.exists(staging) or storage.in_use(staging)):
        report.notes.append(f"{shards.STAGING} is left over and can be removed")


def _parent(
    folder: Place, index: Mapping[str, Any], given: Place | None, report: Report
) -> Place | None:
    """The parent of a stylized dataset, and a note of whether it was compared with."""
    path = parents.find(folder, index, given)
    if path is not None:
        report.notes.append(f"compared with {path}, which it was stylized from")
    elif isinstance(index["parent"], dict) and "run" in index["parent"]:
        report.notes.append(
            f"not compared with {index['parent'].get('folder')}, which it was stylized from: "
            "it is not at hand; --parent DIR says where it is"
        )
    return path


def _work(
    folder: Place, index: Mapping[str, Any], made: Made | None, parent: Place | None
) -> Iterator[ShardWork]:
    origin_of = made.origin_of() if made else {}
    for entry in index["shards"]:
        keys: list[str] = []
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            sidecar = storage.read_json(shards.sidecar_path(folder / entry["name"]))
            keys = [sample["key"] for sample in sidecar["samples"]]
        yield ShardWork(
            folder=str(folder),
            entry=dict(entry),
            members=tuple(index["members"]),
            shapes={k: dict(made.shapes[k]) for k in keys if made and k in made.shapes},
            origins={k: origin_of[k] for k in keys if k in origin_of},
            parent=str(parent) if parent else None,
        )


# --- one shard ---------------------------------------------------------------------------------


def check_shard(work: ShardWork) -> Report:
    """Everything about one shard and its side-car."""
    report = Report(shards=1)
    folder, entry = storage.place(work.folder), work.entry
    sidecar = _read(shards.sidecar_path(folder / entry["name"]), schema.SIDECAR, report)
    tar = shards.tar_path(folder, entry["name"], entry["sha256"])
    try:
        report.bytes = storage.size(tar)
    except OSError:
        report.problems.append(Problem(file=tar.name, rule="file", detail="missing"))
        return report
    if report.bytes == 0:
        detail = f"0 bytes, {entry['bytes']} expected"
        report.problems.append(Problem(file=tar.name, rule="size", detail=detail))
        return report
    with (
        storage.on_disk(tar) as path,
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        memoryview(data) as view,
    ):
        _check_shard(work, sidecar, file, view, report)
    return report


def _check_shard(
    work: ShardWork,
    sidecar: Mapping[str, Any] | None,
    file: BinaryIO,
    view: memoryview,
    report: Report,
) -> None:
    entry, name = work.entry, work.entry["name"]

    def wrong(rule: str, detail: str, sample: str = "", member: str = "", file: str = name) -> None:
        report.problems.append(
            Problem(file=file, sample=sample, member=member, rule=rule, detail=detail)
        )

    if len(view) != entry["bytes"]:
        wrong("size", f"{len(view)} bytes, {entry['bytes']} expected")
    if (is_ := hashlib.sha256(view).hexdigest()) != entry["sha256"]:
        wrong("sha256", f"{is_[:12]}, the index says {entry['sha256'][:12]}")
    if sidecar is None:
        return
    side = shards.sidecar_path(Path(name)).name
    for what, said, expected in (
        ("shard", sidecar["shard"], name),
        ("sha256", sidecar["sha256"], entry["sha256"]),
        ("samples", len(sidecar["samples"]), entry["samples"]),
    ):
        if said != expected:
            wrong("side-car", f"{what} is {said}, the index says {expected}", file=side)
    _check_tar(sidecar, work.members, file, view, wrong)
    originals = _originals(work, wrong)
    for sample in sidecar["samples"]:
        report.samples += 1
        report.images += sum(member.endswith(".rgba.png") for member in sample["members"])
        _check_sample(work, sample, view, originals, wrong)


Wrong = Callable[..., None]


def _check_tar(
    sidecar: Mapping[str, Any],
    members: Sequence[str],
    file: BinaryIO,
    view: memoryview,
    wrong: Wrong,
) -> None:
    """The tar, read as any other program would, holds what the side-car says and nothing else."""
    said = {
        f"{sample['key']}.{member}": (offset, size)
        for sample in sidecar["samples"]
        for member, (offset, size, _) in sample["members"].items()
    }
    found: dict[str, tuple[int, int]] = {}
    order = []
    end = 0
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for info in tar:
                key, _, member = info.name.partition(".")
                order.append(info.name)
                if info.name in found:
                    wrong("tar", "it is there twice", key, member)
                found[info.name] = (info.offset_data, info.size)
                if not info.isreg() or (info.mtime, info.uid, info.gid) != (0, 0, 0):
                    wrong("tar", "not an ordinary file with mtime, uid and gid 0", key, member)
                end = info.offset_data + -(-info.size // 512) * 512
    except (tarfile.TarError, ValueError, OverflowError) as error:
        wrong("tar", f"cannot be read past byte {end}: {error}")
    rest = bytes(view[end:])
    if any(rest):
        wrong("tar", f"what follows the last member at byte {end} is no end of an archive")
    elif len(rest) < 1024:
        wrong("tar", "it is cut off: the end-of-archive mark is missing")
    for name in said.keys() | found.keys():
        key, _, member = name.partition(".")
        if name not in found:
            wrong("tar", "the side-car has it, the tar does not", key, member)
        elif name not in said:
            wrong("tar", "the tar has it, the side-car does not", key, member)
        elif said[name] != found[name]:
            places = "{0[0]} ({0[1]} bytes), the side-car says {1[0]} ({1[1]} bytes)"
            wrong("tar", "at byte " + places.format(found[name], said[name]), key, member)
    expected = [f"{sample['key']}.{member}" for sample in sidecar["samples"] for member in members]
    if set(expected) == found.keys() and order != expected:
        at = next(
            n for n, (is_, said) in enumerate(zip(order, expected, strict=True)) if is_ != said
        )
        key, _, member = order[at].partition(".")
        wrong("tar", f"it lies where {expected[at]} is expected", key, member)


def _originals(work: ShardWork, wrong: Wrong) -> dict[str, shards.Sample] | None:
    """The samples of the parent's shard of that name; None where there is no parent."""
    if work.parent is None:
        return None
    try:
        return parents.samples_of(storage.place(work.parent), work.entry["name"])
    except (OSError, ValueError, LookupError) as error:
        wrong("parent", f"the parent has no such shard: {_one_line(error)}")
        return None


def _check_sample(
    work: ShardWork,
    sample: Mapping[str, Any],
    view: memoryview,
    originals: Mapping[str, shards.Sample] | None,
    wrong: Wrong,
) -> None:
    key = sample["key"]
    arrays, meta, whole = {}, None, True
    for name in sorted(set(sample["members"]) ^ set(work.members)):
        what = "not among" if name in sample["members"] else "missing from it, and among"
        wrong("members", f"it is {what} the members that the index lists", key, name)
        whole = False
    for name, (offset, size, sha256) in sample["members"].items():
        data = bytes(view[offset : offset + size])
        if len(data) != size:
            wrong("size", f"the tar ends {size - len(data)} bytes before its end", key, name)
            whole = False
            continue
        if storage.sha256(data) != sha256:
            wrong("sha256", "its bytes are not those of the side-car's hash", key, name)
        try:
            value = decode_member(name, data)
        except Exception as error:  # whatever a broken file does to its decoder is the file's fault
            wrong("decode", _one_line(error), key, name)
            whole = False
            continue
        if value is None:
            wrong("decode", "a member of no known kind", key, name)
            whole = False
        elif name == "json":
            for fault in schema.faults(schema.SAMPLE, data):
                wrong("json", fault, key, name)
                whole = False
            if data != storage.canonical_json(value):
                wrong("json", "not in its canonical spelling", key, name)
            meta = value
        else:
            arrays[name] = value
    if not whole or meta is None:
        return
    if pixels_hash(arrays) != sample["pixels"]:
        wrong("pixels", "the decoded arrays are not those of the side-car's hash", key)
    if meta["key"] != key:
        wrong("json", f"key is {meta['key']}", key, "json")
    origin = work.origins.get(key)
    shape = work.shapes.get(key)
    try:
        for rule, member, detail in check_sample.problems(
            meta, arrays, work.members, shape, origin
        ):
            wrong(rule, detail, key, member)
        if origin is not None and origin.restyled:
            for rule, member, detail in parents.outside(arrays):
                wrong(rule, detail, key, member)
        if originals is not None and key not in originals:
            wrong("parent", "the parent's shard has no such sample", key)
        elif originals is not None:
            for rule, member, detail in parents.problems(sample, arrays, originals[key]):
                wrong(rule, detail, key, member)
    except Exception as error:  # arrays of a kind that no check foresaw
        wrong("content", f"it cannot be checked: {_one_line(error)}", key)


def _one_line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error)).strip() or type(error).__name__
