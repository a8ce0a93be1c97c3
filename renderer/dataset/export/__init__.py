"""Datasets in other programs' layouts: one file per format, found by looking into this folder.

A format is a module of this folder with

    README                 what lies where, for people; written beside the files
    check(dataset)         raises ValueError for a dataset that lacks what the format needs
    write(sample, split, folder, shape)
                           writes one sample into a folder that becomes `place(...)` when whole
    place(sample, split, shape) -> str
                           that folder's path within the export
    finish(out, listed)    (optional) what is written last; listed: split -> [(sample's key, shape)]

`shape` is {"id", "category", "synset"} of the sample.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from renderer import shards, storage
from renderer.shards import Dataset, Sample
from renderer.storage import Place

Progress = Callable[[int, int], None]

NOTE = "export.json"
"""What tells whose export a folder is."""


class Format(Protocol):
    README: str

    def check(self, dataset: Dataset) -> None: ...
    def place(self, sample: Sample, split: str, shape: Mapping[str, Any]) -> str: ...
    def write(self, sample: Sample, split: str, folder: Path, shape: Mapping[str, Any]) -> None: ...


def formats() -> dict[str, Format]:
    """Every format by its name."""
    return {
        module.name: cast(Format, importlib.import_module(f"{__name__}.{module.name}"))
        for module in sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name)
        if not module.name.startswith("_")
    }


def export(
    folder: Place, name: str, out: Path, progress: Progress = lambda done, total: None
) -> int:
    """Write a dataset in another layout; returns the number of samples.

    Each sample is written under another name and renamed when it is whole; run again after an
    interruption, those that are there are left as they are.

    Raises FileNotFoundError, or ValueError: an unknown format, a dataset that is not complete or
    lacks something, a folder in use.
    """
    known = formats()
    if name not in known:
        raise ValueError(f"no format {name!r}; there are {', '.join(known)}")
    dataset = Dataset(folder)
    if not dataset.complete:
        raise ValueError(f"{folder} is not complete; let its job finish first: `farm status`")
    if not len(dataset):
        raise ValueError(f"{folder} has no samples to export")
    to = known[name]
    to.check(dataset)
    _claim(out, {"version": shards.VERSION, "format": name, "dataset": dataset.id})
    storage.write(out / "README.md", to.README.encode())
    listed: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    done = 0
    for split in dataset.index["splits"]:
        for sample in Dataset(folder, split):
            shape = shape_of(sample)
            listed.setdefault(split, []).append((sample.key, shape))
            target = out / to.place(sample, split, shape)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                part = target.with_name(f".{target.name}.part")
                storage.remove_folder(part)
                part.mkdir()
                to.write(sample, split, part, shape)
                os.replace(part, target)
            done += 1
            progress(done, len(dataset))
    if finish := getattr(to, "finish", None):
        finish(out, listed)
    return done


def shape_of(sample: Sample) -> dict[str, Any]:
    """`id`, `category` and `synset`; a sample without a shape is told by its key alone."""
    shape = sample.meta.get("shape", {})
    group = shape.get("synset") or shape.get("category")
    head, _, tail = sample.key.partition("-")
    name = sample.key.removeprefix(f"{group}-") if group else tail or head
    return {
        # The key's part: unlike the id it is a good file name everywhere.
        "id": name,
        "category": shape.get("category") or head,
        "synset": shape.get("synset"),
        "group": re.sub(r"[^A-Za-z0-9_-]", "_", group or head),
    }


def _claim(out: Path, note: dict[str, Any]) -> None:
    path = out / NOTE
    if path.exists():
        found = storage.read_json(path)
        if found != note:
            raise ValueError(
                f"{out} holds another export ({found.get('format')} of dataset "
                f"{str(found.get('dataset'))[:12]}); choose another --out"
            )
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is in use; choose another --out, or empty it")
    storage.write(path, storage.readable_json(note))
