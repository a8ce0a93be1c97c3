"""A part of a dataset as a dataset of its own: fewer categories, splits, views or samples."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from renderer import storage
from renderer.dataset.derived import (
    Progress,
    claim,
    entry_of,
    finish,
    open_finished,
    parent_of,
    silent,
    written,
)
from renderer.dataset.origin import Made, Origin, limited_to
from renderer.jobs.render import MAX_SHARD_SIZE, MIN_TASKS
from renderer.members import decode_member, pixels_hash, view_name
from renderer.shards import Dataset, Record, Sample, make_record, write_shard
from renderer.storage import Place


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What of a dataset is wanted."""

    categories: tuple[str, ...] = ()
    """Names or synsets; all of them without."""
    splits: tuple[str, ...] = ()
    """All of them without."""
    views: str | None = None
    """`3`: the first three; `0,2,4` or `2,`: these."""
    limit: int | None = None
    """At most so many samples, taken evenly from every category and split."""
    keys: tuple[str, ...] | None = None
    """Exactly these samples."""

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"--limit {self.limit}: at least 1")


def read_keys(path: Path) -> tuple[str, ...]:
    """One key per line; empty lines and lines that begin with # do not count."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def subset(
    folder: Place, out: Place, choice: Choice, progress: Progress = silent
) -> dict[str, Any]:
    """Write the chosen part of a finished dataset as a new one; returns its index.

    Every member is copied byte for byte; with fewer views, the JSON and the names of the images
    follow.  Run again after an interruption, it goes on where it stopped.

    Raises ValueError when nothing fits the choice, or for what the dataset does not have.
    """
    dataset, made = open_finished(folder)
    chosen = choose(dataset, made, choice)
    keys = [sample.key for samples in chosen.values() for sample in samples]
    views = view_numbers(choice.views, _views_of(dataset)) if choice.views else None
    origins = limited_to(made.origins, keys)
    if views is not None:
        origins = [Origin(**{**vars(o), "views": o.with_views(views)}) for o in origins]
    job = {
        "kind": "subset",
        "parent": dataset.id,
        "categories": list(choice.categories),
        "splits": list(choice.splits),
        "views": views,
        "limit": choice.limit,
        "keys": None if choice.keys is None else sorted(choice.keys),
    }
    claim(out, "subset", job, [made.shapes[key] for key in sorted(keys)], origins)

    size = max(1, min(MAX_SHARD_SIZE, len(keys) // MIN_TASKS))
    entries, done = [], 0
    for split, samples in chosen.items():
        for number, start in enumerate(range(0, len(samples), size)):
            part, name = samples[start : start + size], f"{split}-{number:06d}"
            sidecar = written(out, name, [sample.key for sample in part])
            if sidecar is None:
                sidecar = write_shard(out, name, _records(part, views), [])
            entries.append(entry_of(out, split, sidecar))
            done += len(part)
            progress(done, len(keys))
    members = dataset.index["members"]
    return finish(
        out,
        sorted(entries, key=lambda entry: str(entry["name"])),
        job=job,
        parent=parent_of(dataset),
        created_with=dataset.index["created_with"],
        conventions=dataset.index["conventions"],
        members=members if views is None else _names(members, views, _views_of(dataset)),
        sources=dataset.index["sources"],
    )


def choose(dataset: Dataset, made: Made, choice: Choice) -> dict[str, list[Sample]]:
    """Split -> the chosen samples, in the dataset's order.

    Raises ValueError.
    """
    for split in choice.splits:
        if split not in dataset.index["splits"]:
            have = ", ".join(dataset.index["splits"])
            raise ValueError(f"no split {split!r} in {dataset.folder}; there are {have}")
    group_of = {key: _group(shape) for key, shape in made.shapes.items()}
    known = {word for words in group_of.values() for word in words}
    for category in choice.categories:
        if category not in known:
            have = ", ".join(sorted({words[0] for words in group_of.values()}))
            raise ValueError(f"no category {category!r} in {dataset.folder}; there are {have}")
    wanted = None if choice.keys is None else set(choice.keys)
    found: list[tuple[str, Sample]] = []
    for split in dataset.index["splits"]:
        if choice.splits and split not in choice.splits:
            continue
        for sample in Dataset(dataset.folder, split):
            words = group_of.get(sample.key, ())
            if choice.categories and not set(words) & set(choice.categories):
                continue
            if wanted is None or sample.key in wanted:
                found.append((split, sample))
    if wanted is not None and (absent := wanted - {sample.key for _, sample in found}):
        raise ValueError(
            f"{min(absent)} is not among the chosen samples of {dataset.folder}"
            + (f", nor are {len(absent) - 1} more" if len(absent) > 1 else "")
        )
    if not found:
        raise ValueError(
            f"no sample of {dataset.folder} fits the choice; leave something of it out"
        )
    if choice.limit is not None:
        kept = _evenly(found, group_of, choice.limit)
        found = [(split, sample) for split, sample in found if sample.key in kept]
    chosen: dict[str, list[Sample]] = {}
    for split, sample in found:
        chosen.setdefault(split, []).append(sample)
    return chosen


def _group(shape: Mapping[str, Any]) -> tuple[str, ...]:
    """The words by which a shape's category can be named."""
    return tuple(word for word in (shape.get("category"), shape.get("synset")) if word)


def _evenly(
    found: Sequence[tuple[str, Sample]], group_of: Mapping[str, tuple[str, ...]], limit: int
) -> set[str]:
    """Keys of `limit` samples: of every category and split the same share, chosen by hash."""
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for split, sample in found:
        groups.setdefault((split, group_of.get(sample.key, ())), []).append(sample.key)
    ranked = []
    for keys in groups.values():
        hashed = sorted((hashlib.sha256(key.encode()).digest(), key) for key in keys)
        ranked += [((rank + 0.5) / len(keys), *one) for rank, one in enumerate(hashed)]
    return {key for _, _, key in sorted(ranked)[:limit]}


def view_numbers(text: str, views: int) -> list[int]:
    """The views that `3` (the first three) or `0,2,4` (these) stand for.

    Raises ValueError for what is neither, or is not there.
    """
    try:
        if "," in text:
            numbers = [int(part) for part in text.split(",") if part.strip()]
        else:
            numbers = list(range(int(text)))
    except ValueError:
        raise ValueError(f"--views {text}: a count such as 3, or numbers such as 0,2,4") from None
    if not numbers or len(set(numbers)) != len(numbers):
        raise ValueError(f"--views {text} names no view, or one twice")
    if min(numbers) < 0 or max(numbers) >= views:
        raise ValueError(f"--views {text}: the dataset has {views} views, 0 to {views - 1}")
    return numbers


def select_views(members: Mapping[str, bytes], views: Sequence[int]) -> dict[str, bytes]:
    """The members of a sample with only some of its views, in this order."""
    meta = decode_member("json", members["json"])
    before = len(meta["views"])
    meta["views"] = [meta["views"][view] for view in views]
    renamed = {"json": storage.canonical_json(meta)}
    for number, view in enumerate(views):
        old, new = view_name(view, before), view_name(number, len(views))
        for name, data in members.items():
            if name.startswith(f"{old}."):
                renamed[f"{new}.{name.partition('.')[2]}"] = data
    rest = {n: d for n, d in members.items() if n != "json" and not n.split(".")[0].isdigit()}
    return renamed | rest


def _names(members: Sequence[str], views: Sequence[int], before: int) -> list[str]:
    first = view_name(0, before)
    kinds = [name.partition(".")[2] for name in members if name.startswith(f"{first}.")]
    rest = [name for name in members if name != "json" and not name.split(".")[0].isdigit()]
    images = [f"{view_name(n, len(views))}.{kind}" for n in range(len(views)) for kind in kinds]
    return ["json", *images, *rest]


def _views_of(dataset: Dataset) -> int:
    return len({n.split(".")[0] for n in dataset.index["members"] if n.split(".")[0].isdigit()})


def _records(samples: Sequence[Sample], views: Sequence[int] | None) -> Iterator[Record]:
    for sample in samples:
        # As they lie in the tar: the side-car has them in order of name.
        names = sorted(sample.members, key=lambda name: sample.members[name][0])
        members = {name: sample.read(name) for name in names}
        for name, data in members.items():
            if storage.sha256(data) != sample.members[name][2]:
                raise ValueError(
                    f"{sample.tar}: {sample.key}: {name} is not what its side-car says; "
                    f"`farm dataset verify {sample.tar.parent}` tells what is wrong"
                )
        pixels = sample.pixels
        if views is not None:
            members = select_views(members, views)
            arrays = {n: decode_member(n, d) for n, d in members.items() if n != "json"}
            pixels = pixels_hash(arrays)
        yield make_record(sample.key, members, pixels)
