"""What a dataset holds, from its index and side-cars alone: also while it grows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from renderer.dataset.origin import Made, read_made
from renderer.shards import Dataset
from renderer.split import SPLITS
from renderer.storage import Place


def info(folder: Place) -> dict[str, Any]:
    """The facts, as JSON.

    Raises FileNotFoundError where there is no dataset, ValueError for another version.
    """
    dataset = Dataset(folder)
    index = dataset.index
    try:
        made: Made | None = read_made(folder, index)
    except FileNotFoundError:
        made = None
    members = index["members"]
    views = len({name.split(".")[0] for name in members if name.split(".")[0].isdigit()})
    counts: dict[str, Counter[str]] = {}
    failed = []
    for number, shard in enumerate(dataset.shards):
        sidecar = dataset.sidecar(number)
        of_split = counts.setdefault(shard["split"], Counter())
        for sample in sidecar["samples"]:
            of_split[_category(dataset, made, sample["key"])] += 1
        failed += sidecar["failed"]
    samples = len(dataset)
    return {
        "folder": str(folder),
        "id": dataset.id,
        "version": index["version"],
        "complete": dataset.complete,
        "kind": made.kind if made else None,
        "planned": len(made.shapes) if made else None,
        "samples": samples,
        "views": views,
        "images": samples * views,
        "size": _first_size(dataset),
        "members": members,
        "splits": {split: dict(sorted(counts[split].items())) for split in in_order(counts)},
        "shards": len(dataset.shards),
        "bytes": sum(shard["bytes"] for shard in dataset.shards),
        "job": index["job"],
        "parent": index["parent"],
        "created_with": index["created_with"],
        "sources": index["sources"],
        "failed": failed,
    }


def in_order(splits: Iterable[str]) -> list[str]:
    """Splits in the order of their use: train, val, test, then others by name."""
    return sorted(splits, key=lambda split: (SPLITS.index(split) if split in SPLITS else 9, split))


def _category(dataset: Dataset, made: Made | None, key: str) -> str:
    """The sample's category; where job.json does not know it, what its key begins with."""
    if made and (shape := made.shapes.get(key)):
        return str(shape.get("category") or "?")
    return key.partition("-")[0]


def _first_size(dataset: Dataset) -> list[int] | None:
    """[width, height] of the first sample's images."""
    return list(dataset[0].meta["size"]) if len(dataset) else None


def told(facts: dict[str, Any]) -> str:
    """The facts for people."""
    size = "x".join(map(str, facts["size"])) if facts["size"] else "?"
    state = "complete"
    if not facts["complete"]:
        of = f" of {facts['planned']}" if facts["planned"] else ""
        done = facts["samples"] + len(facts["failed"])
        state = f"NOT COMPLETE: {done}{of} shapes so far; its job has not finished"
    kinds = sorted({".".join(n.split(".")[1:]) for n in facts["members"] if n[0].isdigit()})
    rest = [n for n in facts["members"] if not n[0].isdigit() and n != "json"]
    lines = [
        f"{facts['folder']}: {state}",
        "",
        _row("id", facts["id"]),
        _row("samples", f"{facts['samples']:,}, {facts['views']} views of {size} px each"),
        _row("images", f"{facts['images']:,} of each of {', '.join(_plain(k) for k in kinds)}"),
    ]
    if rest:
        lines.append(_row("clouds", ", ".join(rest)))
    lines.append(_row("storage", f"{facts['bytes'] / 1e6:,.1f} MB in {facts['shards']:,} shards"))
    lines.append(_row("made by", _job(facts)))
    for made_with in _listed(facts["created_with"]):
        lines.append(_row("with", _created(made_with)))
    for parent in _listed(facts["parent"] or []):
        lines.append(_row("from", _parent(parent)))
    for source in facts["sources"]:
        if source.get("licence"):
            lines.append(_row("licence", f"{source.get('address')}: {source['licence']}"))
    lines += ["", *_table(facts["splits"])]
    if facts["failed"]:
        lines += ["", f"{len(facts['failed'])} failed:"]
        for failure in facts["failed"]:
            tries = "" if failure["tries"] == 1 else f" ({failure['tries']} tries)"
            lines.append(f"  {failure['id']}: {failure['class']}: {failure['reason']}{tries}")
    return "\n".join(lines)


def _row(name: str, value: str) -> str:
    return f"  {name:<9}{value}"


def _plain(kind: str) -> str:
    return kind.removesuffix(".png")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _job(facts: dict[str, Any]) -> str:
    left_out = {"kind", "views", "passes", "size"}
    parts = []
    for name, value in facts["job"].items():
        told_above = name in left_out and not isinstance(value, list)
        if told_above or value in (None, [], "auto"):
            continue
        text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
        parts.append(f"{name} {text if len(text) <= 80 else text[:77] + '...'}")
    return ", ".join([facts["kind"] or "?", *parts])


def _parent(parent: dict[str, Any]) -> str:
    told = f"{parent['id'][:12]} ({parent.get('samples', '?')} samples)"
    if "run" not in parent:
        return told
    by = f"{parent['model']}, run {parent['run']}, step {parent['step']}"
    return f"{parent['folder']} {told}; colours by {by}"


def _created(made_with: dict[str, Any]) -> str:
    device = made_with.get("device") or {}
    versions = [f"{name} {value}" for name, value in made_with.items() if isinstance(value, str)]
    where = [device.get("kind"), device.get("name"), device.get("instruction_set")]
    return ", ".join([*versions, *(str(part) for part in where if part)])


def _table(splits: dict[str, dict[str, int]]) -> list[str]:
    """Samples per category and split."""
    categories = sorted({category for by in splits.values() for category in by})
    if not categories:
        return ["  no samples yet"]
    width = max(len("category"), *map(len, categories), len("total"))
    columns = [(s, max(len(s), 7)) for s in splits] + [("total", 7)]
    lines = ["  " + "category".ljust(width) + "".join(f"  {s:>{w}}" for s, w in columns)]
    rows = [(c, [by.get(c, 0) for by in splits.values()]) for c in categories]
    if len(rows) > 1:
        rows.append(("total", [sum(by.values()) for by in splits.values()]))
    for name, row in rows:
        cells = "".join(f"  {n:>{w},}" for n, (_, w) in zip([*row, sum(row)], columns, strict=True))
        lines.append("  " + name.ljust(width) + cells)
    return lines
