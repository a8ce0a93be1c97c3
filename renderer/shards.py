"""The shared data format: WebDataset shards that can be trusted, and the reader for them.

    dataset.json        the index: which shards, which splits, what every sample has
    train-000000.tar    a shard: ordinary tar, one sample per shape
    train-000000.json   its side-car: where every member lies, hashes, the shapes that failed

A shard is the concatenation of its samples' tar records, so a finished sample waits in `.staging/`
as it will lie in the shard, and is never made twice.  `docs/format.md` is the page for readers.
"""

from __future__ import annotations

import bisect
import functools
import hashlib
import io
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from renderer import storage
from renderer.content import describe_view
from renderer.members import PASSES, decode_member, encode_image, pixels_hash, view_name
from renderer.storage import Place, canonical_json, place, sha256

__all__ = [
    "VERSION",
    "Dataset",
    "Place",
    "Sample",
    "View",
    "canonical_json",
    "decode_member",
    "describe_view",
    "encode_image",
    "pixels_hash",
    "place",
    "sha256",
    "view_name",
]

VERSION = 1
PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}")
"""Names of shards, samples and members: each can be a file's name and no path."""
ID = re.compile(r"[0-9a-f]{64}")
INDEX, JOB, STAGING, FAILED = "dataset.json", "job.json", ".staging", "failed"

CONVENTIONS: Mapping[str, Any] = {
    "world": "the shape's normalized frame: right-handed, y up, bounding-box diagonal 1, centred",
    "camera": "OpenCV: x right, y down, z forward; world_to_camera 4x4 row-major",
    "pixels": "centres at half-integers",
    "rgba": "8 bits, sRGB-encoded, view transform Standard, straight alpha, transparent background",
    "depth": "16 bits, depth = value * depth_scale along the optical axis, 0 = nothing hit",
    "normal": "16 bits, world frame, unit, n = value / 32767.5 - 1, background (0, 0, 0)",
    "albedo": "8 bits, sRGB-encoded",
    "mask": "8 bits, part ids by first appearance in the file (255 and later: 255), 0 = background",
    "materials": "opaque: transparency in the source is not rendered",
}
DEPTH_SCALE = 5e-5

_BLOCK, _RECORD = 512, 10240


# --- writing ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Record:
    """A finished sample as it lies in a tar: bytes, and where its members are in them."""

    key: str
    data: bytes
    members: Mapping[str, tuple[int, int, str]]
    """member -> offset in `data`, size, SHA-256"""
    pixels: str
    """SHA-256 of the decoded arrays"""
    log: Mapping[str, Any] = field(default_factory=dict)
    """What may differ between two runs: seconds, versions, device"""

    def entry(self, offset: int) -> dict[str, Any]:
        """Its entry in the side-car of a shard in which it begins at `offset`."""
        return {
            "key": self.key,
            "members": {n: [offset + at, size, sha] for n, (at, size, sha) in self.members.items()},
            "pixels": self.pixels,
        }


def make_record(key: str, members: Mapping[str, bytes], pixels: str) -> Record:
    """The tar records of one sample: PAX, and nothing in them that could differ between runs."""
    buffer = io.BytesIO()
    places: dict[str, tuple[int, int, str]] = {}
    # Closing would add the end-of-archive mark, which belongs to the shard.
    tar = tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115
    for name, data in members.items():
        info = tarfile.TarInfo(f"{key}.{name}")
        info.size, info.mode = len(data), 0o644
        tar.addfile(info, io.BytesIO(data))
        padded = -(-len(data) // _BLOCK) * _BLOCK
        places[name] = (tar.offset - padded, len(data), storage.sha256(data))
    return Record(key=key, data=buffer.getvalue(), members=places, pixels=pixels)


def stage(folder: Place, record: Record, log: Mapping[str, Any]) -> None:
    """Keep a finished sample until its shard is whole; the JSON comes last and makes it valid."""
    storage.write(folder / f"{record.key}.tar", record.data)
    note = {
        "version": VERSION,
        "sha256": storage.sha256(record.data),
        "log": log,
        **record.entry(0),
    }
    storage.write(folder / f"{record.key}.json", storage.canonical_json(note))


def staged(folder: Place, key: str) -> Record | None:
    """The finished sample of an earlier try, or None where there is none that can be trusted."""
    try:
        note = storage.read_json(folder / f"{key}.json")
        data = storage.read(folder / f"{key}.tar")
        if (note["version"], note["key"]) != (VERSION, key):
            return None
        if storage.sha256(data) != note["sha256"]:
            return None
        members = {name: (at, size, sha) for name, (at, size, sha) in note["members"].items()}
        return Record(key=key, data=data, members=members, pixels=note["pixels"], log=note["log"])
    except (FileNotFoundError, ValueError, LookupError, TypeError, AttributeError):
        return None  # missing, cut off, or no note of ours


def write_shard(
    folder: Place,
    name: str,
    records: Iterable[Record],
    failed: Sequence[Mapping[str, Any]],
    *,
    log: Callable[[], Mapping[str, Any]] | None = None,
    seen: str | None = None,
) -> dict[str, Any]:
    """Write `name`.tar, its log and then its side-car, which makes it count; returns the side-car.

    failed, log  asked for after the last record
    seen         `storage.version` of the side-car that this one replaces

    Where somebody else's side-car came first, theirs stands and is returned.  Our tar is not taken
    away: a third may be about to name the same content.  The finished index does it.
    """
    entries, offset, digest = [], 0, hashlib.sha256()
    with storage.replacing(folder / f"{name}.tar", digest) as file:
        for record in records:
            entries.append(record.entry(offset))
            file.write(record.data)
            digest.update(record.data)
            offset += len(record.data)
        end = b"\0" * (-(-(offset + 2 * _BLOCK) // _RECORD) * _RECORD - offset)
        file.write(end)
        digest.update(end)
    tar = tar_path(folder, name, digest.hexdigest())
    if log is not None:
        storage.write(log_path(tar), storage.readable_json(log()))
    sidecar = {
        "version": VERSION,
        "shard": f"{name}.tar",
        "sha256": digest.hexdigest(),
        "samples": entries,
        "failed": list(failed),
    }
    path = sidecar_path(folder / f"{name}.tar")
    if storage.write_if(path, storage.canonical_json(sidecar), seen):
        return sidecar
    return read_versioned(path)


def dataset_id(index: Mapping[str, Any]) -> str:
    parts = ("version", "job", "conventions", "splits", "shards")
    return storage.sha256(storage.canonical_json({part: index[part] for part in parts}))


def write_index(folder: Place, index: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the index whole; returns the one that stands, with its id.

    In an object store, where a late double may still be writing, one that tells of more stays, and
    so does one whose shards are those that the side-cars tell of while ours are not.
    """
    whole = {"version": index["version"], "id": dataset_id(index), **index}
    path = folder / INDEX
    while True:
        seen = storage.version(path)
        if seen is not None:
            there = read_versioned(path)
            if is_further(there, whole) or _is_old(folder, there, whole):
                return there
        if storage.write_if(path, storage.readable_json(whole), seen):
            return whole


def _is_old(folder: Place, there: Mapping[str, Any], index: Mapping[str, Any]) -> bool:
    """Whether a shard in which two indexes differ has been replaced since it was listed."""
    before = {shard["name"]: shard["sha256"] for shard in there["shards"]}
    return any(
        shard["name"] in before
        and before[shard["name"]] != shard["sha256"]
        and read_versioned(sidecar_path(folder / shard["name"]))["sha256"] != shard["sha256"]
        for shard in index["shards"]
    )


def is_further(there: Mapping[str, Any], index: Mapping[str, Any]) -> bool:
    """Whether an index tells of more of the same job than another does."""
    same = there["job"] == index["job"]
    reached = ((one["complete"], len(one["shards"])) for one in (there, index))
    return same and next(reached) > next(reached)


# --- reading ---------------------------------------------------------------------------------


def read_versioned(path: Place) -> dict[str, Any]:
    """A JSON file of this format.

    Raises FileNotFoundError, or ValueError for another version or for what is no JSON object.
    """
    value = storage.read_json(path)
    if not isinstance(value, dict) or "version" not in value:
        raise ValueError(f"{path} is not a file of this format: it has no version")
    if value["version"] != VERSION:
        raise ValueError(
            f"{path} has version {value['version']!r}; this program reads version {VERSION}"
        )
    return value


class View:
    """One picture of a shape with its camera; every pass is decoded when it is asked for."""

    def __init__(self, sample: Sample, number: int, meta: Mapping[str, Any]):
        self.sample, self.number, self.meta = sample, number, meta
        self._prefix = view_name(number, len(sample.meta["views"]))

    def __repr__(self) -> str:
        return f"View({self.sample.key!r}, {self.number})"

    def has(self, kind: str) -> bool:
        return f"{self._prefix}.{kind}.png" in self.sample.members

    def raw(self, kind: str) -> NDArray[Any]:
        """The pass as it is stored: see the format page."""
        image: NDArray[Any] = self.sample.decode(f"{self._prefix}.{kind}.png")
        return image

    @functools.cached_property
    def rgba(self) -> NDArray[np.uint8]:
        """[H, W, 4] sRGB-encoded, straight alpha."""
        return self.raw("rgba")

    @functools.cached_property
    def depth(self) -> NDArray[np.float32]:
        """[H, W] along the optical axis, in units of the shape's diagonal; 0 = nothing hit."""
        return np.asarray(self.raw("depth") * np.float32(self.sample.meta["depth_scale"]))

    @functools.cached_property
    def normal(self) -> NDArray[np.float32]:
        """[H, W, 3] unit, world frame; (0, 0, 0) in the background."""
        stored = self.raw("normal")
        normal = stored / np.float32(32767.5) - 1
        normal[(stored == 0).all(axis=2)] = 0
        return np.asarray(normal, np.float32)

    @functools.cached_property
    def albedo(self) -> NDArray[np.uint8]:
        """[H, W, 3] sRGB-encoded."""
        return self.raw("albedo")

    @functools.cached_property
    def mask(self) -> NDArray[np.uint8]:
        """[H, W] part ids; 0 = background."""
        return self.raw("mask")

    @functools.cached_property
    def intrinsics(self) -> NDArray[np.float64]:
        """[3, 3] pixels."""
        return np.array(self.meta["intrinsics"])

    @functools.cached_property
    def world_to_camera(self) -> NDArray[np.float64]:
        """[4, 4]"""
        return np.array(self.meta["world_to_camera"])

    @property
    def azimuth_deg(self) -> float:
        return float(self.meta["azimuth_deg"])

    @property
    def elevation_deg(self) -> float:
        return float(self.meta["elevation_deg"])

    @property
    def distance(self) -> float:
        return float(self.meta["distance"])


class Sample:
    """One shape: its views, its point cloud, and what is known about it."""

    def __init__(self, tar: Place, entry: Mapping[str, Any]):
        self.tar = tar
        self.key: str = entry["key"]
        self.pixels: str = entry["pixels"]
        places = sorted(entry["members"].items(), key=lambda item: int(item[1][0]))
        # They become names of files where a dataset is exported, and may be anyone's work.
        for name in (self.key, *entry["members"]):
            if not PLAIN.fullmatch(name):
                raise ValueError(f"{name[:80]!r} in the side-car of {tar} is no name of a member")
        self.members: dict[str, tuple[int, int, str]] = {
            name: (int(at), int(size), sha) for name, (at, size, sha) in places
        }

    def __repr__(self) -> str:
        return f"Sample({self.key!r})"

    def read(self, member: str) -> bytes:
        """The bytes of one member: `00.rgba.png`, `points.npy`, `json`.

        Raises KeyError for one it does not have.
        """
        if member not in self.members:
            raise KeyError(f"{self.key} has no {member}; it has {', '.join(self.members)}")
        offset, size, _ = self.members[member]
        return storage.read_range(self.tar, offset, size)

    def decode(self, member: str) -> Any:
        return decode_member(member, self.read(member))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Every member that is an array, decoded."""
        return {name: self.decode(name) for name in self.members if name != "json"}

    @functools.cached_property
    def meta(self) -> dict[str, Any]:
        meta: dict[str, Any] = self.decode("json")
        return meta

    @functools.cached_property
    def views(self) -> tuple[View, ...]:
        return tuple(View(self, number, meta) for number, meta in enumerate(self.meta["views"]))

    @functools.cached_property
    def points(self) -> NDArray[np.float32]:
        """[N, 3] uniform by area on the surface, world frame."""
        points: NDArray[np.float32] = self.decode("points.npy")
        return points

    @functools.cached_property
    def normals(self) -> NDArray[np.float32]:
        """[N, 3] unit, of the same points."""
        normals: NDArray[np.float32] = self.decode("normals.npy")
        return normals

    @property
    def category(self) -> str:
        return str(self.meta["shape"]["category"])


class Dataset:
    """A dataset on storage, sample by sample, read in place.

    >>> Dataset("data/cars")[0].views[0].rgba
    >>> Dataset("s3://bucket/cars")[0].views[0].rgba

    What it holds is fixed when it is opened: a dataset that is still growing shows the shards that
    its index named then.

    Raises FileNotFoundError where there is no dataset, ValueError for another version or split.
    """

    def __init__(self, folder: str | Place, split: str | None = None):
        self.folder, self.split = place(folder), split
        try:
            self.index = read_versioned(self.folder / INDEX)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FileNotFoundError(
                f"no dataset in {folder}: it has no {INDEX}; `farm submit render` makes one"
            ) from error
        found = str(self.index.get("id"))
        if not ID.fullmatch(found):  # caches are named by it
            raise ValueError(f"{found[:80]!r} in {folder} is no id of a dataset")
        if split is not None and split not in self.index["splits"]:
            raise ValueError(
                f"no split {split!r} in {folder}; there are {', '.join(self.index['splits'])}"
            )
        self.shards: list[dict[str, Any]] = [
            s for s in self.index["shards"] if split in (None, s["split"])
        ]
        for shard in self.shards:
            if not PLAIN.fullmatch(shard["name"]):
                raise ValueError(f"{shard['name'][:80]!r} in {folder} is no name of a shard")
        self._ends = list(np.cumsum([s["samples"] for s in self.shards], dtype=int))
        self._samples = functools.lru_cache(maxsize=32)(self._read_samples)

    def __repr__(self) -> str:
        return f"Dataset({str(self.folder)!r}, {len(self)} samples)"

    @property
    def id(self) -> str:
        return str(self.index["id"])

    @property
    def complete(self) -> bool:
        return bool(self.index["complete"])

    def __len__(self) -> int:
        return int(self._ends[-1]) if self._ends else 0

    @overload
    def __getitem__(self, number: int) -> Sample: ...
    @overload
    def __getitem__(self, number: slice) -> list[Sample]: ...
    def __getitem__(self, number: int | slice) -> Sample | list[Sample]:
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        if not -len(self) <= number < len(self):
            raise IndexError(f"sample {number} of {len(self)}")
        number %= len(self)
        shard = bisect.bisect_right(self._ends, number)
        first = self._ends[shard - 1] if shard else 0
        return self._samples(shard)[number - first]

    def __iter__(self) -> Iterator[Sample]:
        for shard in range(len(self.shards)):
            yield from self._samples(shard)

    def sidecar(self, shard: int) -> dict[str, Any]:
        return read_versioned(sidecar_path(self.folder / self.shards[shard]["name"]))

    def _read_samples(self, shard: int) -> list[Sample]:
        return samples_of(self.folder, self.shards[shard]["name"])

    def failed(self) -> Iterator[dict[str, Any]]:
        """The shapes that could not be rendered, with class and reason."""
        for shard in range(len(self.shards)):
            yield from self.sidecar(shard)["failed"]


def samples_of(folder: Place, name: str) -> list[Sample]:
    """The samples of a shard such as train-000000, by its side-car."""
    sidecar = read_versioned(sidecar_path(_plain(folder, name)))
    tar = tar_path(folder, name, sidecar["sha256"])
    return [Sample(tar, entry) for entry in sidecar["samples"]]


def tar_path(folder: Place, name: str, digest: str) -> Place:
    """Where a shard lies. digest: its SHA-256, as its side-car and the index have it."""
    return storage.by_content(_plain(folder, name), digest)


def tar_now(folder: Place, name: str) -> Place:
    """Where a shard lies by its side-car. Raises FileNotFoundError."""
    sidecar = read_versioned(sidecar_path(_plain(folder, name)))
    return tar_path(folder, name, sidecar["sha256"])


def _plain(folder: Place, name: str) -> Place:
    return folder / f"{name.removesuffix('.tar')}.tar"


def sidecar_path(tar: Place) -> Place:
    """Of the shard by its plain name, `folder / "train-000000.tar"`."""
    return tar.with_suffix(".json")


def log_path(tar: Place) -> Place:
    """Of the shard where it lies: see tar_path."""
    return tar.with_suffix(".log.json")


def shard_number(name: str) -> int:
    """17 of `train-000017.tar`."""
    match = re.fullmatch(r".*-(\d+)\.tar", name)
    if not match:
        raise ValueError(f"{name} is not the name of a shard")
    return int(match[1])


def expected_members(passes: Sequence[str], views: int, points: int) -> list[str]:
    """The members of a rendered sample, in the order in which they lie in the tar."""
    images = [
        f"{view_name(view, views)}.{kind}.png"
        for view in range(views)
        for kind in PASSES
        if kind in passes
    ]
    return ["json", *images, *(["points.npy", "normals.npy"] if points else [])]
