"""The index of a rendered dataset, from the shards that are on storage."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from renderer import ownership, shapes, shards, storage

if TYPE_CHECKING:
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
    stands = shards.write_index(job.folder, index)
    if complete and stands["shards"] == entries:
        tidy(job.folder, entries)


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


def tidy(folder: storage.Place, entries: Sequence[dict[str, Any]]) -> None:
    """Remove what a finished index with these shards does not name."""
    names = {entry["name"] for entry in entries}
    tars = {shards.tar_path(folder, entry["name"], entry["sha256"]) for entry in entries}
    for name in storage.names(folder, "*-[0-9]*.tar"):
        if (tar := folder / name) not in tars:
            plain = storage.plain_name(tar)
            if plain not in names:
                storage.remove(shards.sidecar_path(folder / plain))
            elif tar == shards.tar_now(folder, plain):
                continue  # made again this very moment: another index will name it
            storage.remove(tar, shards.log_path(tar))
    storage.remove_folder(folder / shards.STAGING)
