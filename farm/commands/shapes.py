"""`farm shapes`: what shapes there are, and whether they are fit to be rendered."""

from __future__ import annotations

import json as json_
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import Positional

if TYPE_CHECKING:
    from renderer.shapes.check import Checked, Report

SHOWN = 20  # lines of a list; --json has all of it


@dataclass(frozen=True, kw_only=True)
class List:
    """Every source of shapes: its root, its categories and how many shapes each has.

    farm shapes list
    """

    json: bool = False
    """Print one JSON object."""

    def __call__(self) -> int:
        from farm.settings import load, look_for_shapes
        from renderer.shapes import sources

        look_for_shapes(load())
        found = {name: source.available() for name, source in sources().items()}
        if self.json:
            print(json_.dumps({name: asdict(available) for name, available in found.items()}))
            return 0
        for name, available in found.items():
            where = f"{available.root}  ({available.note})" if available.root else available.note
            print(f"{'PATH' if name == 'folder' else name + '/':<12}{where}")
            for category in available.categories:
                shapes = "any number" if category.shapes is None else f"{category.shapes:,}"
                print(f"  {category.synset or '':<10}{category.name:<20}{shapes:>12}")
        return 0


@dataclass(frozen=True, kw_only=True)
class Check:
    """A health report on shapes before they are rendered; exits 1 when one is broken.

        farm shapes check shapenet/cars path/to/folder

    Broken: cannot be rendered right (no faces, NaN, cut off, an index out of range ...), and would
    fail as bad input. With warnings: is rendered, but not as its maker meant it (a texture is
    missing ...). Files outside a model's own folder are never read.
    """

    addresses: Positional[tuple[str, ...]]
    """Each a source's name first (samples/, shapenet/, modelnet/), else a path."""
    up: Literal["y", "z"] | None = None
    """Up axis of the files; the format's rule without."""
    limit: int | None = None
    """At most so many shapes of each address."""
    json: bool = False
    """Print one JSON object."""

    def __call__(self) -> int:
        from farm.settings import load, look_for_shapes
        from renderer.shapes import find
        from renderer.shapes.check import check, report

        look_for_shapes(load())
        if not self.addresses:
            raise ValueError("no address; try `farm shapes check samples/cars`")
        reports = []
        for address in self.addresses:
            candidates = list(find(address, self.up, self.limit))
            if not candidates:
                raise ValueError(
                    f"no shapes at {address!r}: no OBJ, GLB, glTF, PLY, STL or OFF in it"
                )
            checked = _shown(check(candidates), len(candidates), address)
            reports.append(report(address, checked))
        if self.json:
            print(json_.dumps({"addresses": [_facts(one) for one in reports]}))
        else:
            print("\n\n".join("\n".join(_lines(one)) for one in reports))
        return 1 if any(one.broken for one in reports) else 0


COMMANDS = {"shapes": {"list": List, "check": Check}}


def _shown(checked: Iterable[Checked], total: int, address: str) -> Iterator[Checked]:
    """The same, with progress on a terminal's stderr once it takes longer than a moment."""
    if not sys.stderr.isatty():
        yield from checked
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    begin = time.monotonic()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        task = progress.add_task(address, total=total, rate="", visible=False)
        for n, one in enumerate(checked, start=1):
            yield one
            seconds = time.monotonic() - begin
            rate = f"{n / seconds:,.0f} shapes/s" if seconds > 1 else ""
            progress.update(task, completed=n, rate=rate, visible=seconds > 1)


def _facts(report: Report) -> dict[str, Any]:
    return asdict(report)


def _lines(report: Report) -> Iterator[str]:
    """The report for people."""
    triangles, size = report.triangles, report.bytes
    yield report.address
    yield (
        f"  shapes       {report.shapes:,}: {report.ok:,} ok, {report.warned:,} with warnings,"
        f" {report.broken:,} broken"
    )
    if len(report.categories) > 1:
        some = [f"{count:,} {name}" for name, count in report.categories.items()]
        yield f"  categories   {_few(some)}"
    if triangles.total:
        yield (
            f"  triangles    {triangles.min:,} min, {triangles.median:,} median,"
            f" {triangles.max:,} max"
        )
    yield (
        f"  mesh files   {_size(size.min)} min, {_size(size.median)} median,"
        f" {_size(size.max)} max, {_size(size.total)} in all"
    )
    if report.missing:
        naming = sum(bool(shape.missing) for shape in report.problems + report.warnings)
        yield f"  missing      {report.missing:,} files that {naming:,} shapes name"
    if report.duplicates:
        extra = sum(len(keys) - 1 for keys in report.duplicates)
        yield f"  duplicates   {extra:,} shapes are copies of another"
        yield from _some([" = ".join(keys) for keys in report.duplicates])
    for word, shapes in (("broken", report.problems), ("warnings", report.warnings)):
        if shapes:
            yield f"  {word}"
            yield from _some([_one(shape) for shape in shapes])


def _one(shape: Checked) -> str:
    return f"{shape.path}: {'; '.join(shape.problems or shape.warnings)}"


def _some(lines: list[str]) -> Iterator[str]:
    yield from (f"    {line}" for line in lines[:SHOWN])
    if len(lines) > SHOWN:
        yield f"    and {len(lines) - SHOWN:,} more; --json lists all"


def _few(words: list[str]) -> str:
    return ", ".join(words[:12]) + (f" and {len(words) - 12} more" if len(words) > 12 else "")


def _size(bytes: int) -> str:
    for unit in ("B", "KB", "MB"):
        if bytes < 1000:
            return f"{bytes} {unit}" if unit == "B" else f"{bytes:.3g} {unit}"
        bytes /= 1000  # type: ignore[assignment]
    return f"{bytes:,.3g} GB"
