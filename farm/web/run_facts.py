"""What a page tells of a run: its curves, what it is, its newest sheets of samples."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from farm.web import svg
from farm.web.curves import Curves
from farm.web.datasets import NotThere, read_json
from farm.web.svg import Chart
from renderer import storage

CURVES, SHEETS = 12, 3
"""At most."""
FIRST, LAST = ("loss",), ("images_per_s", "lr")
"""Curves that come before the others, and after them."""
SHEET_NAME = re.compile(r"\d{8}\.png")


def facts(folder: str, curves: Curves) -> dict[str, Any]:
    """Curves and pictures of a run, and what it is."""
    flat = {name for name, splits in curves.names.items() if _is_flat(splits.values())}
    order = sorted(
        curves.names, key=lambda name: (name in flat, name in LAST, not name.startswith(FIRST))
    )
    charts = [
        Chart(
            title=name.replace("_", " "),
            picture=svg.lines(curves.names[name], label=name),
            note=", ".join(
                f"{split} {svg.short(points[-1][1])}"
                for split, points in curves.names[name].items()
                if points
            ),
        )
        for name in order[:CURVES]
    ]
    splits = [s for s in ("train", "val", "test") if any(s in c for c in curves.names.values())]
    return {
        "charts": charts,
        "splits": splits,
        "step": curves.step,
        "about": list(_about(read_json(folder, "run.json") or {})),
        "sheets": _sheets(folder),
    }


def spark(curves: Curves | None) -> str:
    """How the loss went, small."""
    names = curves.names if curves else {}
    name = next((n for n in names if n.startswith(FIRST)), "")
    points = names[name].get("train", []) if name else []
    return svg.spark(points, label=name)


def _about(about: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """What a run is, from its run.json."""
    config = about.get("config") if isinstance(about.get("config"), dict) else {}
    assert isinstance(config, dict)
    for name in ("model", "preset", "seed"):
        if about.get(name) is not None:
            yield name, str(about[name])
    if isinstance(about.get("parameters"), int):
        yield "parameters", svg.short(about["parameters"])
    for name in ("steps", "batch", "lr"):
        if config.get(name) is not None:
            yield name, str(config[name])
    datasets = about.get("datasets")
    for folder, digest in datasets.items() if isinstance(datasets, dict) else ():
        yield "trained on", f"{Path(folder).name} {str(digest)[:12]}"
    starts = about.get("starts")
    if isinstance(starts, list) and starts and isinstance(starts[-1], dict):
        last = starts[-1]
        told = [str(last[n]) for n in ("device", "precision") if last.get(n)]
        yield "on", ", ".join(told)
        if len(starts) > 1:
            yield "starts", str(len(starts))


def _is_flat(series: Iterable[Sequence[tuple[float, float]]]) -> bool:
    """Whether a number stays what it was: a baseline."""
    values = [value for points in series for _, value in points]
    largest = max((abs(value) for value in values), default=0.0)
    return len(values) > 1 and max(values) - min(values) <= max(1e-9, 1e-4 * largest)


def _sheets(folder: str) -> list[int]:
    """Steps of the newest sheets of samples."""
    try:
        found = storage.names(storage.place(folder) / "samples", "*.png")
    except (OSError, NotThere):
        return []
    names = [name for name in found if SHEET_NAME.fullmatch(name)]
    return [int(name[:8]) for name in names[-SHEETS:]][::-1]
