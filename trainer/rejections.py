"""What was rejected, by which filter: a note beside each shard, and lists of the whole dataset.

train-000000.rejected.json    of one shard: its photos, what was found and rejected in them
rejected.csv                  all of it, a line each
segments.json                 counts and ratios of the whole dataset
pictures/                     the funnel, the ratios, and what was accepted and rejected
"""

from __future__ import annotations

import csv
import importlib.util
import io
import logging
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer import atomic

if TYPE_CHECKING:
    from trainer.jobs.segment import Done, Job, Scanned

log = logging.getLogger(__name__)

VERSION = 1
CSV, FACTS, PICTURES = "rejected.csv", "segments.json", "pictures"
COLUMNS = ("photo", "segment", "label", "score", "x0", "y0", "x1", "y1", "filter", "reason")
NO_SEGMENT = ("photo", "mask", "empty")
"""What refuses a photo before there is a segment in it."""
DRAW_S = 300


def path(folder: Path, name: str) -> Path:
    return folder / f"{name}.rejected.json"


def read(folder: Path, name: str) -> dict[str, Any] | None:
    """The note of a shard; None where there is none that can be read."""
    try:
        return atomic.read_json(path(folder, name), VERSION)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def write(folder: Path, name: str, photos: Sequence[Mapping[str, Any]]) -> None:
    """The note of a shard, from what was found in each of its photos."""
    note = {
        "version": VERSION,
        "photos": [{"file": one["file"], "found": one["found"]} for one in photos],
        "ratios": [pair for one in photos for pair in one["ratios"]],
        "rejected": [rejected for one in photos for rejected in one["rejected"]],
    }
    atomic.write_json(path(folder, name), note)


def gather(job: Job, scanned: Scanned, dones: Sequence[Done]) -> dict[str, Any]:
    """Write the lists of the whole dataset; returns what segments.json holds."""
    notes = [read(job.folder, done.name) for done in sorted(dones, key=lambda d: d.name)]
    rejected = [one for note in notes if note for one in note["rejected"]]
    rejected += [
        {"photo": one.file, "filter": "photo", "reason": one.reason} for one in scanned.skipped
    ]
    rejected.sort(key=lambda one: (one["photo"], one.get("segment") or 0))
    atomic.write(job.folder / CSV, _csv(rejected).encode())
    pairs = [pair for note in notes if note for pair in note["ratios"]]
    match = scanned.match
    facts = {
        "version": VERSION,
        "photos": len(scanned.photos) + len(scanned.skipped),
        "found": sum(one["found"] for note in notes if note for one in note["photos"]),
        "accepted": sum(done.segments for done in dones),
        "rejected": dict(Counter(one["filter"] for one in rejected)),
        "ratios": {
            "match": {"mean": match.mean, "deviation": match.deviation, "counts": match.counts}
            if match
            else None,
            "before": [before for before, _, _ in pairs],
            "drawn": [drawn for _, drawn, _ in pairs],
            "after": [after for _, _, after in pairs],
        },
    }
    atomic.write_json(job.folder / FACTS, facts)
    return facts


def told(facts: Mapping[str, Any]) -> str:
    """`6 photos, 3 segments found: 2 by side, 1 by fill`."""
    counts = Counter(facts["rejected"]).most_common()
    why = ", ".join(f"{count} by {name}" for name, count in counts)
    return f"{facts['photos']} photos, {facts['found']} segments found; rejected {why or 'none'}"


def draw(folder: Path) -> None:
    """Draw the pictures, in a process of its own: the controller never imports matplotlib."""
    if importlib.util.find_spec("matplotlib") is None:
        log.warning("no pictures: matplotlib is not installed; pip install 'shapefarm[train]'")
        return
    drawn = subprocess.run(
        [sys.executable, "-m", "trainer.segment_pictures", str(folder)],
        capture_output=True,
        timeout=DRAW_S,
    )
    if drawn.returncode:  # a dataset is none the worse for it
        log.error("no pictures: %s", drawn.stderr.decode(errors="replace").strip()[-500:])


def _csv(rejected: Iterable[Mapping[str, Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for one in rejected:
        row = {name: one.get(name) for name in COLUMNS}
        if box := one.get("box"):
            row |= dict(zip(("x0", "y0", "x1", "y1"), box, strict=True))
        if (score := row["score"]) is not None:
            row["score"] = round(float(score), 4)
        writer.writerow(row)
    return buffer.getvalue()
