"""Jobs for a farm on a lab, one after another, and what each must leave, whatever happened."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from farm.records import DONE, RUNNING, SUBMITTED, View
from tests.lab.progress import ask
from tests.lab.room import Room

AT_ONCE = 2  # jobs that run, so that no worker is idle for want of work


@dataclass(frozen=True)
class Work:
    """One kind of job.

    role      of the workers that it needs
    words     what is typed after `farm submit`
    products  patterns of the files that it leaves, of which the job decides every byte
    """

    role: str
    words: tuple[str, ...]
    products: tuple[str, ...]

    def left(self, out: Path) -> dict[str, bytes]:
        """The products in a folder, by name."""
        found = [path for pattern in self.products for path in out.glob(pattern)]
        return {path.name: path.read_bytes() for path in sorted(found)}


def counting(things: int, seconds: float) -> Work:
    """The farm's double: no Blender, and it writes down every thing it makes."""
    words = ("count", "--things", f"n:{things}", "--seconds", str(seconds))
    return Work("count", words, ("count-*.txt", "count-*.json", "index.json"))


def rendering(shapes: int) -> Work:
    """Real pictures of sample shapes, small ones."""
    words = (
        *("render", "--shapes", "samples/mugs", "--limit", str(shapes), "--views", "3"),
        *("--size", "24", "--spp", "1", "--points", "300", "--shard-size", "1"),
    )
    return Work("render", words, ("*.tar", "*-[0-9]*[0-9].json", "dataset.json"))


@dataclass
class Ledger:
    """The jobs of one run: submitted, followed, and checked when they end.

    expected  what a job leaves undisturbed; the first one that ends tells
    """

    room: Room
    work: Work
    broken: Callable[[str], None]
    """Told of every promise that was not kept."""
    expected: dict[str, bytes] = field(default_factory=dict)
    running: dict[str, Path] = field(default_factory=dict)
    ended: int = 0
    units: Counter[str] = field(default_factory=Counter)
    again: int = 0
    """Things that were worked on more than once; the double tells."""
    forgotten: int = 0
    """Jobs that Redis forgot with its last second: the same line goes on from storage."""
    litter: list[str] = field(default_factory=list)
    """Temporary files that somebody left behind."""

    def __post_init__(self) -> None:
        self._clerk = ThreadPoolExecutor(1)  # submitting waits for a Redis that is away
        self._submits: list[Future[tuple[str, Path]]] = []
        self._numbers = 0

    def feed(self) -> None:
        """Look at what ended, and have enough to do."""
        self._look()
        while len(self.running) + len(self._submits) < AT_ONCE:
            self.submit()

    def finish(self, patience_s: float) -> None:
        """Until the jobs that run have ended."""
        deadline = time.monotonic() + patience_s
        while self.running or self._submits:
            self._look()
            if time.monotonic() > deadline:
                self.broken(f"{len(self.running)} jobs did not end")
                return
            time.sleep(0.1)

    def submit(self, out: Path | None = None) -> None:
        """One more job, in the background."""
        if out is None:
            self._numbers += 1
            out = self.room.lab.storage / f"job-{self._numbers}"
        words = (*self.work.words, "--out", str(out))
        self._submits.append(self._clerk.submit(lambda: (self.room.submit(*words), out)))

    def in_hand(self, workers: tuple[str, ...]) -> set[tuple[str, str]]:
        """Job and task of every lease that these workers hold."""

        def held() -> set[tuple[str, str]]:
            return {
                (job, task)
                for job in self.running
                for task, lease in self.room.store.client.hgetall(f"farm:{job}:leases").items()
                if lease.partition(" ")[2] in workers
            }

        return ask(held) or set()

    def open(self, tasks: set[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of these that are not committed yet."""

        def waiting() -> set[tuple[str, str]]:
            client = self.room.store.client
            return {
                (job, task)
                for job, task in tasks
                if job in self.running and not client.hexists(f"farm:{job}:done", task)
            }

        found = ask(waiting)
        return tasks if found is None else found

    def _look(self) -> None:
        for submit in [each for each in self._submits if each.done()]:
            self._submits.remove(submit)
            job, out = submit.result()
            self.running[job] = out
        for job, out in list(self.running.items()):
            found = ask(lambda job=job: [self.room.store.view(job)])
            if found is None:
                return
            view = found[0]
            if view is None:
                self.forgotten += 1
                del self.running[job]
                self.submit(out)
            elif view.record.state not in (SUBMITTED, RUNNING):
                del self.running[job]
                self._check(out, view)

    def _check(self, out: Path, view: View) -> None:
        """A job has ended: nothing lost, nothing doubled, nothing corrupt."""
        self.ended += 1
        record, left = view.record, self.work.left(out)
        if record.state != DONE:
            self.broken(f"{out.name} is {record.state}: {record.reason}")
            return
        if view.failures:
            self.broken(f"{out.name} gave up {self.room.store.failures(record.id)}")
        if view.made != view.total:
            self.broken(f"{out.name} tells of {view.made} made of {view.total}")
        self.expected = self.expected or left
        for name in differing(self.expected, left):
            self.broken(f"{out.name}/{name} is not what one host leaves undisturbed")
        self.again += made_again(out)
        self.litter += [
            f"{out.name}/{path.relative_to(out)}" for path in out.rglob(".*") if path.is_file()
        ]
        self.units.update(view.made)


def differing(expected: dict[str, bytes], left: dict[str, bytes]) -> list[str]:
    """Names of the files that are missing, too many, or not the same to the byte."""
    names = expected.keys() | left.keys()
    return sorted(name for name in names if expected.get(name) != left.get(name))


def made_again(out: Path) -> int:
    """How often a thing of a double's job was worked on, beyond once."""
    log = out / "work.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return sum(times - 1 for times in Counter(line.split()[0] for line in lines).values())
