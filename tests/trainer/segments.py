"""Datasets of segments, as `farm submit segment` leaves them: pictures, and nothing about them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from renderer import shards, storage
from renderer.content import describe_view
from renderer.members import encode_image, pixels_hash
from renderer.shards import Dataset

Pictures = Mapping[str, list[NDArray[np.uint8]]]


def pictures_of(dataset: Path, split: str, view: int = 0) -> list[NDArray[np.uint8]]:
    """One view of every shape of a split."""
    return [sample.views[view].rgba for sample in Dataset(dataset, split)]


def make_segments(folder: Path, splits: Pictures) -> Path:
    """A dataset of pictures uint8 [S, S, 4]: members json and 00.rgba.png, no cameras, no shape."""
    entries, names = [], {}
    size = 0
    for split, pictures in splits.items():
        records = []
        for number, picture in enumerate(pictures):
            size = picture.shape[0]
            key = f"{split}-{number:04d}-0"
            meta = {
                "version": shards.VERSION, "key": key, "seed": 0, "size": [size, size],
                "views": [describe_view(picture)],
                "photo": {"file": f"{number}.png", "sha256": "0" * 64, "segment": 0,
                          "label": "car", "score": 1.0, "box": [0, 0, size, size]},
            }  # fmt: skip
            members = {
                "json": storage.canonical_json(meta),
                "00.rgba.png": encode_image("rgba", picture),
            }
            pixels = pixels_hash({"00.rgba.png": picture})
            records.append(shards.make_record(key, members, pixels))
        sidecar = shards.write_shard(folder, f"{split}-000000", iter(records), [])
        tar = folder / f"{split}-000000.tar"
        entries.append(
            {"name": tar.name, "split": split, "samples": len(records),
             "bytes": tar.stat().st_size, "sha256": sidecar["sha256"]}
        )  # fmt: skip
        names[split] = [tar.name]
    index = {
        "version": shards.VERSION, "complete": True, "job": {"photos": "by hand"}, "parent": None,
        "created_with": {"numpy": np.__version__}, "conventions": dict(shards.CONVENTIONS),
        "members": ["json", "00.rgba.png"], "splits": names, "shards": entries, "sources": [],
    }  # fmt: skip
    shards.write_index(folder, index)
    return folder
