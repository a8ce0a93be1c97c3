"""`farm workers` as a table: every worker, what it does and how it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from farm.records import WorkerRecord

if TYPE_CHECKING:
    from rich.console import RenderableType

STYLES = {"works": "green", "waits": "", "paused": "yellow", "refused": "red", "gone": "red"}
ROOMY = 110  # columns; where there are fewer, versions stand below the table
UNSAID = frozenset(("NVIDIA", "GeForce", "HBM2", "HBM2e", "HBM3", "HBM3e"))  # of a card's name


def roster(workers: Sequence[WorkerRecord], dead_s: float, columns: int) -> RenderableType:
    """Workers by machine; below the table why some of them rest, or are taken off a kind.

    dead_s   a worker not seen for so long is gone
    columns  of the terminal; nothing is wider
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    roomy = columns >= ROOMY
    machines = _machines(workers)
    table = Table(
        box=None, padding=(0, 2 if roomy else 1, 0, 0), header_style="dim", pad_edge=False,
        width=columns,
    )  # fmt: skip
    table.add_column("machine", overflow="ellipsis", no_wrap=True, ratio=3)
    table.add_column("worker", no_wrap=True)
    table.add_column("GPU", overflow="ellipsis", no_wrap=True, ratio=3)
    if roomy:
        table.add_column("version", no_wrap=True)
    table.add_column("task", overflow="ellipsis", no_wrap=True, ratio=3)
    for name in ("images/s", "MB", "seen"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    machine = ""
    for worker in sorted(workers, key=lambda worker: (worker.host, worker.name)):
        state = state_of(worker, dead_s)
        unit, rate = worker.rate
        table.add_row(
            machines[worker.host] if worker.host != machine else "",
            _short(worker),
            " ".join(word for word in worker.gpu.split() if word not in UNSAID) or "[dim]-[/]",
            *([worker.version] if roomy else []),
            worker.task,
            _rate(unit, rate),
            f"{worker.rss_mb:.0f}" if worker.rss_mb else "",
            age(worker.age_s),
            f"[{STYLES[state]}]{state}[/]" if STYLES[state] else state,
            style="dim" if state == "gone" else "",
        )
        machine = worker.host
    parts: list[RenderableType] = [table]
    told = [*_notes(workers), *([] if roomy else _versions(workers))]
    if told:
        parts += [Text(), *(Text(line, style="dim") for line in told)]
    return Group(*parts)


def state_of(worker: WorkerRecord, dead_s: float) -> str:
    """works, waits, paused, refused or gone."""
    if worker.age_s > dead_s:
        return "gone"
    if worker.task:
        return "works"
    if worker.refused:
        return "refused"
    return "paused" if worker.paused else "waits"


def named(pattern: str, workers: Iterable[WorkerRecord]) -> list[str]:
    """The workers that a person means: by name, by machine, or all.

    Raises ValueError, with those there are, where it is none.
    """
    found = list(workers)
    meant = [
        worker.name
        for worker in found
        if pattern in ("all", worker.name, worker.host, _short(worker))
    ]
    if not meant:
        there = ", ".join(worker.name for worker in found) or "none"
        raise ValueError(f"no worker or machine {pattern!r}; there are {there}; or all")
    return meant


def age(seconds: float) -> str:
    """3 s, 12 min, 5 h."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _short(worker: WorkerRecord) -> str:
    """Its name on its machine: render-0."""
    return worker.name.partition("@")[0]


def _machines(workers: Iterable[WorkerRecord]) -> dict[str, str]:
    """Host -> its name without the domain, where that tells it from the others."""
    hosts = {worker.host for worker in workers}
    counts = Counter(host.partition(".")[0] for host in hosts)
    return {
        host: host.partition(".")[0] if counts[host.partition(".")[0]] == 1 else host
        for host in hosts
    }


def _versions(workers: Sequence[WorkerRecord]) -> Iterator[str]:
    """The version that most have, and who has another."""
    counts = Counter(worker.version for worker in workers).most_common()
    for version, number in counts[:1]:
        yield f"version {version}" + ("" if len(counts) == 1 else f": {number} workers")
    for version, _ in counts[1:]:
        names = ", ".join(worker.name for worker in workers if worker.version == version)
        yield f"version {version}: {names}"


def _rate(unit: str, rate: float) -> str:
    if not unit:
        return ""
    return f"{rate:.1f}" if unit == "images" else f"{rate:.1f} {unit}"


def _notes(workers: Iterable[WorkerRecord]) -> Iterator[str]:
    for worker in workers:
        if worker.refused:
            yield f"{worker.name} is given no tasks: it {worker.refused}"
        if worker.paused:
            when = "ends its task, then rests" if worker.task else "rests"
            yield f"{worker.name} {when}: {worker.paused}"
        for kind, why in worker.off.items():
            yield f"{worker.name} is taken off {kind}: {why}"
