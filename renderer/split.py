"""Which shapes train, which validate, which test."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from renderer import storage
from renderer.shapes.shape import Shape

SPLITS = ("train", "val", "test")
RATIO = "70/10/20"


def parse_ratio(split: str) -> tuple[float, float, float] | None:
    """(0.7, 0.1, 0.2) of `70/10/20`; None for what is no ratio.

    Raises ValueError when the three do not add up to 100.
    """
    match = re.fullmatch(r"(\d+)/(\d+)/(\d+)", split)
    if not match:
        return None
    parts = [int(part) for part in match.groups()]
    if sum(parts) != 100:
        raise ValueError(f"--split {split}: the three must add up to 100, not {sum(parts)}")
    train, val, test = (part / 100 for part in parts)
    return train, val, test


def assign(shapes: Sequence[Shape], split: str) -> dict[str, str]:
    """Key -> split.

    split  `auto`: the source's own where it has one, else 70/10/20; a ratio; or a list file

    Raises ValueError for a list file that does not name every shape.
    """
    if split == "auto":
        given = {shape.key: shape.split for shape in shapes if shape.split}
        rest = [shape for shape in shapes if not shape.split]
        return given | _by_ratio(rest, parse_ratio(RATIO) or (1, 0, 0))
    ratio = parse_ratio(split)
    return _by_ratio(shapes, ratio) if ratio else _by_list(shapes, Path(split))


def _by_ratio(shapes: Sequence[Shape], ratio: tuple[float, float, float]) -> dict[str, str]:
    """Per category, in order of the SHA-256 of the id, cut at round(0.7 n) and round(0.8 n).

    From three shapes on every part that is asked for has at least one: of three, the roundings
    alone would leave validation empty.
    """
    by_category: dict[str, list[Shape]] = {}
    for shape in shapes:
        by_category.setdefault(shape.synset or shape.category, []).append(shape)
    found = {}
    train, val, test = ratio
    for same in by_category.values():
        same.sort(key=lambda s: (hashlib.sha256(s.id.encode()).digest(), s.key))
        n = len(same)
        first, second = round(train * n), round((train + val) * n)
        if n >= 3:
            first = min(max(first, int(train > 0)), n - int(val > 0) - int(test > 0))
            second = min(max(second, first + int(val > 0)), n - int(test > 0))
        for number, shape in enumerate(same):
            found[shape.key] = SPLITS[(number >= first) + (number >= second)]
    return found


def _by_list(shapes: Sequence[Shape], path: Path) -> dict[str, str]:
    listed = read_list(path)
    found = {}
    for shape in shapes:
        split = listed.get(shape.key) or listed.get(shape.id)
        if split is None:
            raise ValueError(f"--split {path} does not name {shape.key} (nor {shape.id})")
        found[shape.key] = split
    return found


def read_list(path: Path) -> Mapping[str, str]:
    """Shape -> split of a list file.

    Lines `name,split` or `name split`; a first line with a column `split` may name the columns
    (`id`, `modelId` or `key`), as ShapeNet's all.csv does.

    Raises ValueError that names the file and the line.
    """
    try:
        text = storage.read(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"--split {path}: not a text file: {error}") from error
    except OSError as error:
        raise ValueError(
            f"--split {path}: neither a ratio such as {RATIO} nor a list file: {error.strerror}"
        ) from error
    reader = csv.reader(text.replace("\t", ",").splitlines())
    rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    rows = [(n, row[0].split() if len(row) == 1 else row) for n, row in rows if any(row)]
    name, column = 0, 1
    if rows and "split" in rows[0][1]:
        header = rows.pop(0)[1]
        column = header.index("split")
        known = [c for c in ("key", "modelId", "id") if c in header]
        if not known:
            raise ValueError(f"{path} has no column key, modelId or id")
        name = header.index(known[0])
    found = {}
    for line, row in rows:
        if len(row) <= max(name, column) or row[column] not in SPLITS:
            raise ValueError(f"{path}, line {line}: {','.join(row)!r} is no shape and split")
        found[row[name]] = row[column]
    return found
