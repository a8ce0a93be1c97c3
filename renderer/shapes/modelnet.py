"""ModelNet10 and ModelNet40 as they are unpacked, under FARM_MODELNET_ROOT.

    [ModelNet40/]<class>/{train,test}/<class>_0001.off

Addresses: `modelnet/chair`, `modelnet/all`, `modelnet/ModelNet10/chair` where the root holds both
(ModelNet40 is taken otherwise). The folders are the official split; z is up.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from renderer.shapes.candidate import Available, Candidate, Category
from renderer.shapes.synsets import close, plain, singulars

ROOT = "FARM_MODELNET_ROOT"
SPLITS = ("train", "val", "test")
EDITIONS = ("ModelNet40", "ModelNet10", "modelnet40", "modelnet10")


def find(rest: str, up: str | None, limit: int | None) -> Iterator[Candidate]:
    """Models of one class, or of all classes that are on disk."""
    root = _root()
    first, _, others = rest.partition("/")
    if first in EDITIONS and (root / first).is_dir():
        root, rest = root / first, others
    else:
        root = _edition(root)
    there = classes(root)
    if not there:
        raise ValueError(f"{ROOT}={root}: no class folder in it (<class>/train/<class>_0001.off)")
    chosen = there if rest in ("", "all") else [_chosen(rest, root, there)]
    return models(root, chosen, up)


def available() -> Available:
    """Classes on disk with the number of models in each."""
    try:
        root = _edition(_root())
        counts = [
            Category(name=name, shapes=sum(1 for _ in models(root, [name])))
            for name in classes(root)
        ]
    except (ValueError, OSError) as error:
        return Available(root=os.environ.get(ROOT) or None, note=str(error))
    return Available(root=str(root), note=f"from {ROOT}", categories=tuple(counts))


def models(root: Path, chosen: list[str], up: str | None = None) -> Iterator[Candidate]:
    """Models of some classes, in order of class, split and name."""
    for name in chosen:
        for split in SPLITS:
            folder = root / name / split
            if not folder.is_dir():
                continue
            with os.scandir(folder) as entries:
                files = sorted(e.name for e in entries if e.name.lower().endswith(".off"))
            for file in files:
                yield Candidate(
                    group=name,
                    id=file[: -len(".off")],
                    category=name.replace("_", " "),
                    path=f"{folder}/{file}",
                    up=up or "z",
                    split=split,
                )


def classes(root: Path) -> list[str]:
    """Class folders of a root, in order: those that hold a train or a test folder."""
    with os.scandir(root) as entries:
        names = sorted(e.name for e in entries if e.is_dir())
    return [n for n in names if any((root / n / split).is_dir() for split in SPLITS)]


def _root() -> Path:
    value = os.environ.get(ROOT, "")
    if not value:
        raise ValueError(f"modelnet: {ROOT} is not set; point it at the folder of ModelNet10 or 40")
    root = Path(os.path.abspath(os.path.expanduser(value)))
    if not root.is_dir():
        raise ValueError(f"modelnet: {ROOT}={value} is no folder; point it at ModelNet10 or 40")
    return root


def _edition(root: Path) -> Path:
    if classes(root):
        return root
    return next((root / name for name in EDITIONS if (root / name).is_dir()), root)


def _chosen(wanted: str, root: Path, there: list[str]) -> str:
    by_word = {plain(name): name for name in there}
    for word in singulars(plain(wanted)):
        if word in by_word:
            return by_word[word]
    near = close(wanted, list(by_word))
    meant = f" (did you mean {' or '.join(near)}?)" if near else ""
    raise ValueError(f"modelnet: no class {wanted!r}{meant}; in {root} there is {', '.join(there)}")
