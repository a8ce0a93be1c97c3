"""ShapeNetCore v1 and v2 as they are unpacked, under FARM_SHAPENET_ROOT.

    <synset>/<model id>/model.obj                            v1, textures in ./images
    <synset>/<model id>/models/model_normalized.obj          v2, textures in ../images
    <synset>/<model id>.glb                                  the GLB edition

Addresses: `shapenet/cars`, `shapenet/02958343`, `shapenet/cars/<model id>`, `shapenet/all`.
`taxonomy.json` in the root names synsets that we do not know, `all.csv` (id, synsetId,
subSynsetId, modelId, split) gives the official split. Known about the real files: some folders are
empty or hold textures only (google-research/kubric#128); those become candidates with a problem.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from renderer.shapes.candidate import Available, Candidate, Category
from renderer.shapes.naming import printable
from renderer.shapes.synsets import SYNSETS, close, plain, synset_of

ROOT = "FARM_SHAPENET_ROOT"
SYNSET = re.compile(r"\d{8}")
MESHES = ("models/model_normalized.obj", "model.obj", "models/model.obj", "model_normalized.obj")
SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def find(rest: str, up: str | None, limit: int | None) -> Iterator[Candidate]:
    """Models of one category, of one id, or of all categories that are on disk."""
    root = _root()
    wanted, _, model = rest.partition("/")
    offsets = on_disk(root)
    if wanted not in ("", "all"):
        offsets = [_chosen(wanted, root, offsets)]
    if not offsets:
        raise ValueError(f"{ROOT}={root}: no synset folder such as 02958343 in it{_zipped(root)}")
    if not model:
        return models(root, offsets, up, limit)
    if "/" in model or model.startswith(".") or not os.path.lexists(root / offsets[0] / model):
        raise ValueError(f"shapenet: no model {model!r} in {root / offsets[0]}")
    return iter([candidate(root / offsets[0] / model, up)])


def available() -> Available:
    """Categories on disk with the number of model folders in each."""
    try:
        root = _root()
        names = names_of(root)
        counts = [
            Category(name=_shown(offset, names), synset=offset, shapes=_count(root / offset))
            for offset in on_disk(root)
        ]
    except (ValueError, OSError) as error:
        return Available(root=os.environ.get(ROOT) or None, note=str(error))
    return Available(root=str(root), note=f"from {ROOT}", categories=tuple(counts))


def models(
    root: Path, offsets: list[str], up: str | None = None, limit: int | None = None
) -> Iterator[Candidate]:
    """Models of some synset folders of a root, in order of synset and id.

    limit   of each synset no more than so many, the first in order of id
    """
    names, splits = names_of(root), official_split(root)
    for offset in offsets:
        with os.scandir(root / offset) as entries:
            ids = sorted(e.name for e in entries if not e.name.startswith(".") and _is_model(e))
        for name in ids[:limit]:
            yield _candidate(f"{root}/{offset}/{name}", names, splits, up)


def candidate(model: Path, up: str | None = None) -> Candidate:
    """One model's folder."""
    root = model.parent.parent
    return _candidate(str(model), names_of(root), official_split(root), up)


def _candidate(
    model: str,
    names: dict[str, tuple[str, ...]],
    splits: dict[tuple[str, str], str],
    up: str | None,
) -> Candidate:
    mesh, problem = _mesh(model)
    folder, name = os.path.split(model)
    offset, id = os.path.basename(folder), printable(name.removesuffix(".glb"))
    return Candidate(
        group=offset,
        id=id,
        category=_shown(offset, names),
        synset=offset,
        path=mesh,
        up=up or "y",
        split=splits.get((offset, id)),
        problem=problem,
    )


def is_synset_folder(folder: Path) -> bool:
    """Whether a folder is one of ShapeNet's categories, and not a date or a number."""
    if not SYNSET.fullmatch(folder.name):
        return False
    if folder.name in names_of(folder.parent):
        return True
    with os.scandir(folder) as entries:
        some = [entry.path for _, entry in zip(range(20), entries, strict=False)]
    return any(os.path.lexists(f"{model}/{mesh}") for model in some for mesh in MESHES[:2])


def on_disk(root: Path) -> list[str]:
    """Synset folders of a root, in order. Raises OSError if it cannot be listed."""
    with os.scandir(root) as entries:
        return sorted(e.name for e in entries if SYNSET.fullmatch(e.name) and e.is_dir())


def names_of(root: Path) -> dict[str, tuple[str, ...]]:
    """Names per offset: ours, and those of the root's taxonomy.json for offsets we do not know."""
    try:
        listed = json.loads((root / "taxonomy.json").read_bytes())
        theirs = {
            str(one["synsetId"]): tuple(word.strip() for word in str(one["name"]).split(","))
            for one in listed
        }
    except (OSError, ValueError, KeyError, TypeError):
        return SYNSETS  # the file is a convenience; without it an offset is its own name
    return theirs | SYNSETS


def official_split(root: Path) -> dict[tuple[str, str], str]:
    """Split per (synset, model id), from the root's all.csv; empty where there is none."""
    try:
        with open(root / "all.csv", newline="", encoding="utf-8-sig") as file:
            return {
                (row["synsetId"].zfill(8), row["modelId"]): SPLITS[row["split"]]
                for row in csv.DictReader(file)
                if row.get("split") in SPLITS
            }
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, AttributeError) as error:
        columns = "id,synsetId,subSynsetId,modelId,split"
        raise ValueError(
            f"{root / 'all.csv'}: not the split file of ShapeNet ({columns}): {error!r}"
        ) from error


def _root() -> Path:
    value = os.environ.get(ROOT, "")
    if not value:
        raise ValueError(
            f"shapenet: {ROOT} is not set; point it at the folder that holds 02958343 and the like"
        )
    root = Path(os.path.abspath(os.path.expanduser(value)))
    if not root.is_dir():
        raise ValueError(f"shapenet: {ROOT}={value} is no folder; point it at ShapeNetCore")
    if not on_disk(root):  # people point at the folder that they unpacked into
        inner = [d for d in sorted(root.iterdir()) if d.is_dir() and on_disk(d)]
        if len(inner) == 1:
            return inner[0]
    return root


def _chosen(wanted: str, root: Path, offsets: list[str]) -> str:
    names = names_of(root) | {o: (o,) for o in offsets if o not in names_of(root)}
    offset = synset_of(wanted, names)
    there = ", ".join(_shown(o, names) for o in offsets) or "nothing"
    if offset in offsets:
        return str(offset)
    if offset:
        raise ValueError(
            f"shapenet: {_shown(offset, names)} ({offset}) is not in {root}{_zipped(root, offset)};"
            f" there is {there}"
        )
    near = close(wanted, [plain(name) for all_ in names.values() for name in all_])
    meant = f" (did you mean {' or '.join(near)}?)" if near else ""
    raise ValueError(f"shapenet: no category {wanted!r}{meant}; on disk: {there}")


def _zipped(root: Path, offset: str = "*") -> str:
    archives = sorted(path.name for path in root.glob(f"{offset}.zip"))
    return f" ({archives[0]} is: unpack it)" if archives else ""


def _is_model(entry: os.DirEntry[str]) -> bool:
    return entry.name.endswith(".glb") or entry.is_dir()


def _mesh(model: str) -> tuple[str, str | None]:
    """The mesh of a model's folder, or the folder and what is wrong with it."""
    if model.endswith(".glb") and not os.path.isdir(model):
        return model, None
    for name in MESHES:
        if os.path.lexists(f"{model}/{name}"):
            return f"{model}/{name}", None
    try:
        inside = sorted(os.listdir(model))
    except OSError as error:
        return model, f"cannot be read: {error.strerror or error}"
    if not inside:
        return model, "an empty folder"
    return model, f"no mesh: neither model.obj nor models/model_normalized.obj, only {_few(inside)}"


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _shown(offset: str, names: dict[str, tuple[str, ...]]) -> str:
    return names.get(offset, (offset,))[0]


def _count(folder: Path) -> int:
    with os.scandir(folder) as entries:
        return sum(not e.name.startswith(".") and _is_model(e) for e in entries)
