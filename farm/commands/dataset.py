"""What people do with a dataset: look into it, prove it, show it, hand it on."""

from __future__ import annotations

import json as json_
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

Folder = Annotated[str, Positional, arg(metavar="DIR")]


@dataclass(frozen=True, kw_only=True)
class Info:
    """What a dataset holds: samples, sizes, how it was made, what failed.

    Works while the dataset grows.

        farm dataset info data/samples-cars
    """

    dir: Folder
    """Folder of the dataset, or its s3:// address."""
    json: bool = False
    """Print one JSON object."""

    def __call__(self) -> int:
        from renderer.dataset.info import info, told
        from renderer.storage import place

        facts = info(place(self.dir))
        print(json_.dumps(facts) if self.json else told(facts))
        return 0


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Whether everything on storage is what it says it is; exit 1 if not.

    Checks the index, every shard, side-car, member and pixel against their hashes, the content
    rules, the cameras and the job, and names what is wrong, a line each.

        farm dataset verify data/samples-cars
    """

    dir: Folder
    """Folder of the dataset, or its s3:// address."""
    processes: int | None = None
    """How many work at it; as many as there are CPUs, where that pays."""
    parent: str | None = None
    """Of a stylized dataset: its parent's folder; by default where it was, or beside it."""
    json: bool = False
    """Print one JSON object."""

    def __call__(self) -> int:
        from renderer.dataset.verify import Report, verify
        from renderer.storage import place

        if self.processes is not None and self.processes < 1:
            raise ValueError(f"--processes {self.processes}: at least 1")
        shown = _Progress("verifying", "images")

        def progress(report: Report, total: int) -> None:
            shown.show(report.bytes, total, report.images)

        parent = place(self.parent) if self.parent else None
        report = verify(place(self.dir), self.processes, progress, parent)
        shown.end()
        good = not report.problems
        if self.json:
            facts = {
                "ok": good,
                "shards": report.shards,
                "samples": report.samples,
                "images": report.images,
                "bytes": report.bytes,
                "problems": [asdict(problem) for problem in report.problems],
                "notes": report.notes,
            }
            print(json_.dumps(facts))
            return 0 if good else 1
        for problem in report.problems:
            print(problem)
        for note in report.notes:
            print(f"note: {note}")
        found = f"{report.samples:,} samples, {report.images:,} images in {report.shards:,} shards"
        if good:
            print(f"{self.dir}: all is as it should be: {found}, {report.bytes / 1e6:,.1f} MB")
        else:
            count = len(report.problems)
            print(f"{self.dir}: {count} problem{'s' * (count > 1)} in {found}")
        return 0 if good else 1


@dataclass(frozen=True, kw_only=True)
class Reproduce:
    """Render random samples again from their shapes and compare; exit 1 if one differs.

    Bytes first; where they differ, pixels within the tolerances of the format, with the reason.

        farm dataset reproduce data/samples-cars --samples 5
    """

    dir: Folder
    """Folder of the dataset, or its s3:// address."""
    samples: int = 3
    """How many, drawn at random."""
    seed: int = 0
    """Of the draw."""
    json: bool = False
    """Print one JSON object."""

    def __call__(self) -> int:
        from renderer.dataset.reproduce import reproduce
        from renderer.storage import place

        shown = _Progress("rendering", "samples")
        found = reproduce(place(self.dir), self.samples, self.seed, shown.show)
        shown.end()
        if self.json:
            outcomes = [asdict(outcome) for outcome in found.outcomes]
            facts = {
                "ok": found.good,
                "outcomes": outcomes,
                "differences": list(found.differences),
            }
            print(json_.dumps(facts))
            return 0 if found.good else 1
        for outcome in found.outcomes:
            print(outcome)
        if found.differences:
            print(f"made with other means: {'; '.join(found.differences)}")
        elif any(outcome.members for outcome in found.outcomes):
            print("made with the same versions and the same instruction set as here")
        same = sum(outcome.verdict == "identical" for outcome in found.outcomes)
        good = sum(outcome.good for outcome in found.outcomes)
        print(
            f"{self.dir}: {good} of {len(found.outcomes)} samples were made again, "
            f"{same} of them byte for byte"
        )
        return 0 if found.good else 1


@dataclass(frozen=True, kw_only=True)
class Preview:
    """A contact sheet: views, depth, normals, albedo, parts and point clouds as one PNG.

    farm dataset preview data/samples-cars --out preview.png
    """

    dir: Folder
    """Folder of the dataset, or its s3:// address."""
    out: str
    """The PNG to write."""
    samples: int = 8
    """Shapes on the sheet, a row each, of as many categories as there are."""
    split: str | None = None
    """Only this split."""
    seed: int = 0
    """Of the choice of shapes."""

    def __call__(self) -> int:
        from renderer.dataset.preview import preview
        from renderer.storage import place

        size = preview(place(self.dir), Path(self.out), self.samples, self.split, self.seed)
        print(f"{self.out}: {size[0]} x {size[1]} pixels")
        return 0


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a dataset in another program's layout.

    nerf: transforms.json as nerfstudio reads it. dpc: the files of the public code of
    Differentiable Point Clouds. folder: plain PNG, NPY and JSON files.

        farm dataset export data/samples-cars --format nerf --out cars-nerf
    """

    dir: Folder
    """Folder of the dataset, or its s3:// address."""
    format: str
    """nerf, dpc or folder."""
    out: str
    """A new folder, or one in which the same export was interrupted."""

    def __call__(self) -> int:
        from renderer.dataset.export import export
        from renderer.storage import place

        shown = _Progress("exporting", "samples")
        count = export(place(self.dir), self.format, Path(self.out), shown.show)
        shown.end()
        print(f"{self.out}: {count:,} samples; README.md there says what lies where")
        return 0


@dataclass(frozen=True, kw_only=True)
class Merge:
    """Make one dataset of several; their shards are copied byte for byte.

    farm dataset merge data/cars data/chairs --out data/both
    """

    dirs: Annotated[tuple[str, ...], Positional, arg(metavar="DIR...")]
    """Folders of finished datasets, or s3:// addresses."""
    out: str
    """Folder of the new one."""

    def __call__(self) -> int:
        from renderer.dataset.merge import merge
        from renderer.storage import place

        shown = _Progress("merging", "MB", 1e-6)
        index = merge([place(folder) for folder in self.dirs], place(self.out), shown.show)
        shown.end()
        return _made(self.out, index)


@dataclass(frozen=True, kw_only=True)
class Subset:
    """Make a smaller dataset of one: some categories, splits, views or samples.

    farm dataset subset data/shapenet --out data/small --category car chair --limit 200
    """

    dir: Folder
    """Folder of a finished dataset, or its s3:// address."""
    out: str
    """Folder of the new one."""
    category: tuple[str, ...] = ()
    """Names or synsets of the categories wanted; all of them without."""
    split: tuple[str, ...] = ()
    """The splits wanted; all of them without."""
    views: str | None = None
    """3 for the first three; 0,2,4 for these."""
    limit: int | None = None
    """At most so many samples, taken evenly from every category and split."""
    keys: str | None = None
    """A file with one key per line: exactly these samples."""

    def __call__(self) -> int:
        from renderer.dataset.subset import Choice, read_keys, subset
        from renderer.storage import place

        choice = Choice(
            categories=self.category,
            splits=self.split,
            views=self.views,
            limit=self.limit,
            keys=None if self.keys is None else read_keys(Path(self.keys)),
        )
        shown = _Progress("copying", "samples")
        index = subset(place(self.dir), place(self.out), choice, shown.show)
        shown.end()
        return _made(self.out, index)


def _made(out: str, index: dict[str, object]) -> int:
    shards = index["shards"]
    assert isinstance(shards, list)
    samples = sum(shard["samples"] for shard in shards)
    size = sum(shard["bytes"] for shard in shards)
    print(f"{out}: {samples:,} samples, {size / 1e6:,.1f} MB in {len(shards):,} shards")
    return 0


class _Progress:
    """How far it is: a line that changes on a terminal, a line now and then elsewhere."""

    def __init__(self, doing: str, unit: str, scale: float = 1):
        self._doing, self._unit, self._scale = doing, unit, scale
        self._began = self._told = time.monotonic()
        self._live = sys.stderr.isatty()
        self._shown = False

    def show(self, done: int, total: int, counted: int | None = None) -> None:
        """done of total, of which the rest of the time is reckoned; counted gives the rate."""
        now = time.monotonic()
        if now - self._told < (0.1 if self._live else 10):
            return
        self._told = now
        seconds = max(now - self._began, 1e-6)
        rate = (done if counted is None else counted) * self._scale / seconds
        left = seconds * (total - done) / max(done, 1)
        share = done / max(total, 1)
        line = f"{self._doing}: {share:.0%}, {rate:,.0f} {self._unit}/s, {_spelled(left)} left"
        self._shown = True
        print(f"\r{line}\033[K" if self._live else line, end="" if self._live else "\n",
              file=sys.stderr, flush=True)  # fmt: skip

    def end(self) -> None:
        if self._live and self._shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def _spelled(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


COMMANDS = {
    "dataset": {
        "info": Info,
        "verify": Verify,
        "reproduce": Reproduce,
        "preview": Preview,
        "export": Export,
        "merge": Merge,
        "subset": Subset,
    }
}
