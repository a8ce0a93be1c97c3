"""A stylized dataset against the one it was made from: all but the colours must be the same.

The parent need not be at hand: the dataset is whole without it, and can be checked without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renderer import shards
from renderer.dataset.check_sample import Finding
from renderer.members import decode_member
from renderer.shards import Dataset, Sample
from renderer.storage import Address, Place, place

STYLIZE = "stylize"
"""The kind of job whose datasets have a parent of the same shapes and annotations."""


def find(folder: Place, index: Mapping[str, Any], given: Place | None = None) -> Place | None:
    """Where the parent of a stylized dataset lies: as given, where its job says, or beside it.

    None where it is not at hand, or is another dataset by now.
    Raises FileNotFoundError, ValueError for a given folder that is not the parent.
    """
    parent = index["parent"]
    if not isinstance(parent, dict) or "run" not in parent:
        if given:
            raise ValueError(f"{folder} has no parent to be compared with: it was not stylized")
        return None
    if given:
        if (is_ := Dataset(given).id) != parent["id"]:
            raise ValueError(
                f"{given} is not the parent of {folder}: it is {is_[:12]}, "
                f"the parent was {parent['id'][:12]}"
            )
        return given
    beside = folder.parent if isinstance(folder, Address) else folder.absolute().parent
    for path in (place(index["job"].get("data", "")), beside / parent["folder"]):
        try:
            if Dataset(path).id == parent["id"]:
                return path
        except (OSError, ValueError, LookupError):
            continue
    return None


def samples_of(folder: Place, name: str) -> dict[str, Sample]:
    """Key -> sample of a shard of the parent. Raises OSError, ValueError."""
    return {sample.key: sample for sample in shards.samples_of(folder, name)}


def problems(
    entry: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], parent: Sample
) -> Iterator[Finding]:
    """How a stylized sample differs from its parent in more than colours.

    entry   of the side-car
    arrays  member -> decoded array
    """
    members: Mapping[str, tuple[int, int, str]] = entry["members"]
    for name in sorted(members.keys() ^ parent.members.keys()):
        yield "parent", name, "it is in only one of this dataset and its parent"
    for name in members.keys() & parent.members.keys():
        if not name.endswith(".rgba.png"):
            if members[name][2] != parent.members[name][2]:
                yield "parent", name, "its bytes are not those of the parent"
            continue
        original = decode_member(name, parent.read(name))
        if original.shape != arrays[name].shape:
            yield "parent", name, f"{arrays[name].shape}, the parent has {original.shape}"
        elif (apart := arrays[name][..., 3] != original[..., 3]).any():
            yield "parent", name, f"alpha is not the parent's in {np.count_nonzero(apart)} pixels"


def outside(arrays: Mapping[str, NDArray[Any]]) -> Iterator[Finding]:
    """Colours where a stylized picture has none: alpha is 0."""
    for name, array in arrays.items():
        if name.endswith(".rgba.png") and array[array[..., 3] == 0].any():
            yield "content", name, "transparent pixels have a colour"
