"""The index of a rendered dataset, from the shards that are on storage."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from renderer import ownership, shapes, shards, storage

if TYPE_CHECKING:
    from pathlib import Path

    from renderer.jobs.render import Done, Job, Scanned


def publish(job: Job, scanned: Scanned, dones: Sequence[Done], complete: bool) -> None:
    """Rewrite the index.

    While a dataset is added to, its readers keep the old index until the new one is complete.
    """
    if scanned.first and not complete:
        return
    entries = _entries(scanned, dones)
    splits: dict[str, list[str]] = {}
    for entry in entries:
        if entry["samples"]:  # webdataset stumbles over a shard without samples
            splits.setdefault(entry["split"], []).append(entry["name"])
    made_with = _created_with(dones)
    index = {
        "version": shards.VERSION,
        "complete": complete,
        "job": ownership.identity(job),
        "parent": None,
        "created_with": made_with[0] if len(made_with) == 1 else made_with,
        "conventions": {**shards.CONVENTIONS, "cameras": job.cameras},
        "members": shards.expected_members(job.pass_names, job.views or 0, job.points),
        "splits": splits,
        "shards": entries,
        "sources": [
            {"address": address, "licence": getattr(shapes.source(address)[0], "LICENCE", None)}
            for address in job.shapes
        ],
    }
    shards.write_index(job.folder, index)
    if complete:
        _tidy(job.folder, {entry["name"] for entry in entries})


def _created_with(dones: Sequence[Done]) -> list[dict[str, Any]]:
    """What all samples were made with, each once: one entry, unless machines differed."""
    found = {
        storage.canonical_json(one): one
        for text in {done.created_with for done in dones}
        for one in json.loads(text)
    }
    return [found[text] for text in sorted(found)]


def _entries(scanned: Scanned, dones: Sequence[Done]) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = [
        {k: v for k, v in vars(shard).items() if k != "keys"} for shard in scanned.kept
    ]
    new: list[dict[str, Any]] = [
        {
            "name": f"{done.name}.tar",
            "split": done.name.rpartition("-")[0],
            "samples": done.shapes,
            "bytes": done.bytes,
            "sha256": done.sha256,
        }
        for done in dones
    ]
    return sorted(kept + new, key=lambda entry: str(entry["name"]))


def _tidy(folder: Path, names: set[str]) -> None:
    """Remove what the finished index no longer names."""
    for tar in folder.glob("*-[0-9]*.tar"):
        if tar.name not in names:
            for path in (tar, shards.sidecar_path(tar), shards.log_path(tar)):
                path.unlink(missing_ok=True)
    storage.remove_folder(folder / shards.STAGING)
