"""What a page tells of a dataset: its facts, and how its views are distributed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from farm.web import svg
from farm.web.datasets import Opened, Seen
from farm.web.svg import Chart
from renderer.members import PASSES

SHARDS = 12
"""Listed of a dataset, at most."""


def facts(opened: Opened, newest: Sequence[str]) -> dict[str, Any]:
    """What a dataset is.

    newest  names of shards that were made last, where that is known

    Raises NotThere where one of them is missing.
    """
    index = opened.dataset.index
    members = [str(name) for name in index["members"]]
    names = [n for n in newest if n in opened.names] or list(opened.names)[::-1]
    return {
        "id": opened.dataset.id,
        "complete": opened.dataset.complete,
        "samples": len(opened.dataset),
        "images": len(opened.dataset) * opened.views,
        "passes": [kind for kind in PASSES if any(n.endswith(f".{kind}.png") for n in members)],
        "points": "points.npy" in members,
        "splits": sorted(opened.splits.items(), key=lambda one: -one[1]),
        "bytes": opened.bytes,
        "shards": len(opened.names),
        "newest": [opened.shard(name) for name in names[:SHARDS]],
        "made_with": list(_made_with(index.get("created_with"))),
        "parent": _parent(index.get("parent")),
        "licences": [
            f"{source.get('address')}: {source['licence']}"
            for source in index.get("sources") or []
            if isinstance(source, dict) and source.get("licence")
        ],
    }


def charts(seen: Seen) -> Iterable[Chart]:
    """Where the cameras stood, and how much of the pictures the shapes fill."""
    angles = [
        (view.azimuth_deg, view.elevation_deg)
        for view in seen.views
        if view.azimuth_deg is not None and view.elevation_deg is not None
    ]
    covered = [100 * view.coverage for view in seen.views if view.coverage is not None]
    of = f"{len(seen.views):,} views of {seen.shapes:,} shapes"
    if seen.shapes < seen.of:
        of += f", drawn from {seen.of:,}" if seen.whole else f" so far, of {seen.of:,}"
    if angles:
        yield Chart(title="Viewpoints", picture=svg.sky(angles, label="viewpoints"), note=of)
        elevations = [elevation for _, elevation in angles]
        low = -90 if min(elevations) < -1 else 0
        ends = [svg.short(end(elevations)) for end in (min, max)]
        yield Chart(
            title="Elevation",
            picture=svg.histogram(
                elevations,
                label="elevation",
                low=low,
                high=90,
                bins=36 if low else 30,
                unit="°",
                marks=range(low, 91, 30 if low else 15),
            ),
            note=f"{ends[0]}° to {ends[1]}°" if ends[0] != ends[1] else f"all at {ends[0]}°",
        )
    if covered:
        high = min(100.0, 10 * math.ceil(max(covered) / 10 + 1e-9))
        yield Chart(
            title="Coverage",
            picture=svg.histogram(covered, label="coverage", low=0, high=high, bins=30, unit="%"),
            note=f"{sum(covered) / len(covered):.1f} % of the pixels on average",
        )


def _made_with(created_with: Any) -> Iterable[str]:
    for one in created_with if isinstance(created_with, list) else [created_with]:
        if not isinstance(one, dict):
            continue
        device: Any = one.get("device")
        device = device if isinstance(device, dict) else {}
        versions = [f"{n} {one[n]}" for n in ("shapefarm", "bpy", "torch") if one.get(n)]
        where = [str(device[n]) for n in ("kind", "name") if device.get(n)]
        yield ", ".join([*versions, " ".join(where)] if where else versions)


def _parent(parent: Any) -> list[str]:
    parents = parent if isinstance(parent, list) else [parent]
    return [
        f"{p.get('folder', '')} {str(p.get('id', ''))[:12]}" for p in parents if isinstance(p, dict)
    ]
