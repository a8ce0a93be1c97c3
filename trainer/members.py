"""Members of shards at random, each read in one range and proven by its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renderer import storage
from renderer.shards import Sample, decode_member, tar_path
from renderer.storage import Place
from trainer.copies import Copies
from trainer.errors import DatasetRefused
from trainer.survey import REMEDY, Shard, Survey, check, still_there


class Members:
    """What lies in the shards of some datasets.

    Where it lies is read of a shard's side-car when the shard is first asked for.  Shards of an
    object store are copied to this machine's disk, as far as they have room there.
    """

    def __init__(self, parts: Sequence[Survey]):
        self.parts = parts
        self._tables: dict[tuple[int, int, str], _Table] = {}
        self._copies = [Copies(part.id) for part in parts]

    def decode(self, folder: int, shard: int, row: int, kind: str, view: int = 0) -> Any:
        """A member decoded: `rgba` of a view, `points`, `json`.

        Raises DatasetRefused for a kind that is not there; for a shard that is gone or changed.
        """
        table = self._tables.get((folder, shard, kind))
        if table is None:
            part = self.parts[folder]
            table = _Table.read(part, part.shards[shard], kind)
            self._tables[folder, shard, kind] = table
        name = table.names[view]
        offset, size = table.places[row, view]
        with still_there(table.tar):
            data = self._read(folder, table, offset, size)
        if hashlib.sha256(data).digest() != table.hashes[row, view].tobytes():
            key = self.parts[folder].shards[shard].keys[row]
            raise DatasetRefused(f"{table.tar} was changed: {key}.{name} is another; {REMEDY}")
        return decode_member(name, data)

    def _read(self, folder: int, table: _Table, offset: int, size: int) -> bytes:
        tar = table.tar
        if not isinstance(tar, Path):
            tar = self._copies[folder].path(tar, table.digest, table.bytes) or tar
        try:
            return storage.read_range(tar, offset, size)
        except ValueError:  # it ends before: its hash will tell
            return b""

    def meta(self, folder: int, shard: int, row: int) -> dict[str, Any]:
        """A sample's JSON."""
        meta: dict[str, Any] = self.decode(folder, shard, row, "json")
        return meta


@dataclass(frozen=True, kw_only=True)
class _Table:
    """Where the members of one kind lie in a shard: 48 bytes for each, where JSON takes 500."""

    tar: Place
    digest: str
    """SHA-256 of the shard"""
    bytes: int
    names: tuple[str, ...]
    """One for each view."""
    places: NDArray[np.int64]
    """[rows, views, 2] offset and size"""
    hashes: NDArray[np.uint8]
    """[rows, views, 32] SHA-256"""

    @classmethod
    def read(cls, part: Survey, shard: Shard, kind: str) -> _Table:
        sidecar = json.loads(check(part.folder, shard))
        entries, digest = sidecar["samples"], sidecar["sha256"]
        tar = tar_path(storage.place(part.folder), shard.name, digest)
        first = Sample(tar, entries[0])  # all have the same members
        names = tuple(name for name in first.members if _kind(name) == kind)
        if not names:
            kinds = dict.fromkeys(_kind(name) for name in first.members)
            raise DatasetRefused(f"{part.folder} has no {kind}; it has {', '.join(kinds)}")
        members = [entry["members"][name] for entry in entries for name in names]
        shape = (len(entries), len(names))
        return cls(
            tar=tar,
            digest=digest,
            bytes=shard.bytes,
            names=names,
            places=np.array([m[:2] for m in members], np.int64).reshape(*shape, 2),
            hashes=np.frombuffer(bytes.fromhex("".join(m[2] for m in members)), np.uint8).reshape(
                *shape, 32
            ),
        )


def _kind(member: str) -> str:
    """`rgba` of 00.rgba.png, `points` of points.npy, `json` of json."""
    return member if member == "json" else member.split(".")[-2]
