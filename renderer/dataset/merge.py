"""Several datasets made one: shards copied byte for byte under new numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from renderer import shards, storage
from renderer.dataset.derived import (
    Progress,
    claim,
    copy_checked,
    distinct,
    entry_of,
    finish,
    open_finished,
    parent_of,
    silent,
    written,
)
from renderer.dataset.origin import limited_to
from renderer.shards import Dataset
from renderer.storage import Place


def merge(folders: Sequence[Place], out: Place, progress: Progress = silent) -> dict[str, Any]:
    """Merge finished datasets into a new one; returns its index.

    Split by split, the shards follow each other in the order of `folders`.  A shape that failed in
    one dataset and is a sample of another counts as a sample.  Run again after an interruption, it
    goes on where it stopped.  `progress` counts bytes.

    Raises ValueError when they do not fit together, naming what differs.
    """
    if len(folders) < 2:
        raise ValueError("one dataset alone cannot be merged; give two or more")
    opened = [open_finished(folder) for folder in folders]
    datasets = [dataset for dataset, _ in opened]
    _check_alike(datasets)
    _check_distinct(datasets)
    sidecars = [[d.sidecar(n) for n in range(len(d.shards))] for d in datasets]
    have = {s["key"] for of_one in sidecars for sidecar in of_one for s in sidecar["samples"]}
    shapes: dict[str, Any] = {}
    origins = []
    for (_, made), of_one in zip(opened, sidecars, strict=True):
        mine = {s["key"] for sidecar in of_one for s in sidecar["samples"]}
        origins += limited_to(made.origins, mine)
        for key, shape in made.shapes.items():
            if key in mine or key not in have:
                shapes.setdefault(key, shape)
    job = {"kind": "merge", "parents": [dataset.id for dataset in datasets]}
    claim(out, "merge", job, [shapes[key] for key in sorted(shapes)], origins)

    entries: list[dict[str, Any]] = []
    numbers: dict[str, int] = {}
    total, done = sum(s["bytes"] for d in datasets for s in d.shards), 0
    failures: set[str] = set()
    for dataset, of_one in zip(datasets, sidecars, strict=True):
        for shard, sidecar in zip(dataset.shards, of_one, strict=True):
            split = shard["split"]
            name = f"{split}-{numbers.setdefault(split, 0):06d}"
            numbers[split] += 1
            failed = [f for f in sidecar["failed"] if f["id"] not in have | failures]
            failures |= {f["id"] for f in failed}
            renamed = {**sidecar, "shard": f"{name}.tar", "failed": failed}
            if written(out, name, [s["key"] for s in sidecar["samples"]]) is None:
                source = shards.tar_path(dataset.folder, shard["name"], shard["sha256"])
                _copy(source, out / f"{name}.tar", shard["sha256"], renamed)
            entries.append(entry_of(out, split, renamed))
            done += shard["bytes"]
            progress(done, total)
    created = distinct(dataset.index["created_with"] for dataset in datasets)
    return finish(
        out,
        sorted(entries, key=lambda entry: str(entry["name"])),
        job=job,
        parent=[parent_of(dataset) for dataset in datasets],
        created_with=created[0] if len(created) == 1 else created,
        conventions=datasets[0].index["conventions"],
        members=datasets[0].index["members"],
        sources=distinct(dataset.index["sources"] for dataset in datasets),
    )


def _copy(source: Place, target: Place, sha256: str, sidecar: Mapping[str, Any]) -> None:
    copy_checked(source, target, sha256)
    log = shards.log_path(source)
    if storage.exists(log):
        storage.write(shards.log_path(storage.by_content(target, sha256)), storage.read(log))
    storage.write(shards.sidecar_path(target), storage.canonical_json(sidecar))


def _check_alike(datasets: Sequence[Dataset]) -> None:
    """Raises ValueError for the first thing in which a dataset differs from the first one."""
    first = datasets[0]
    for other in datasets[1:]:
        pair = f"{first.folder} and {other.folder} cannot be merged"
        for name in sorted({*first.index["conventions"], *other.index["conventions"]}):
            ours, theirs = (d.index["conventions"].get(name) for d in (first, other))
            if ours != theirs:
                raise ValueError(f"{pair}: convention {name!r} is {ours!r} and {theirs!r}")
        lacking = set(first.index["members"]) ^ set(other.index["members"])
        if lacking:
            name = min(lacking)
            lacks = other if name in first.index["members"] else first
            raise ValueError(f"{pair}: {lacks.folder} has no {name} (of {len(lacking)} such)")
        if len(first) and len(other):
            for field in ("size", "depth_scale"):
                ours, theirs = (d[0].meta.get(field) for d in (first, other))
                if ours != theirs:
                    raise ValueError(
                        f"{pair}: {field} is {_spelled(ours)} and {_spelled(theirs)}; render one "
                        "of them again to match"
                    )
            if "points.npy" in first.index["members"]:
                counts = [d[0].decode("points.npy").shape[0] for d in (first, other)]
                if counts[0] != counts[1]:
                    raise ValueError(f"{pair}: clouds of {counts[0]} and of {counts[1]} points")


def _spelled(value: Any) -> str:
    return " x ".join(map(str, value)) if isinstance(value, list) else str(value)


def _check_distinct(datasets: Sequence[Dataset]) -> None:
    """Raises ValueError when two datasets have a sample of the same key."""
    holder: dict[str, Dataset] = {}
    for dataset in datasets:
        for sample in dataset:
            if sample.key in holder:
                raise ValueError(
                    f"{sample.key} is in {holder[sample.key].folder} and in {dataset.folder}; "
                    "leave it out of one with `farm dataset subset`"
                )
            holder[sample.key] = dataset
