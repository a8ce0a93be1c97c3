"""Nothing is lost: faults in random order on a lab of three hosts, with jobs running all the while.

    python -m tests.lab.chaos --seed 0 --minutes 10

It needs root, and exits with 1 when a promise is broken:
- no sample is lost, doubled or corrupt: every job ends done and leaves, byte for byte, what one
  host leaves undisturbed;
- nothing waits longer than 30 s after a fault is over: until something is finished anywhere,
  until every worker that suffered finishes something, and until every task that was in hand when
  the fault began is committed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field

import psutil
import redis
from rich.console import Console
from rich.table import Table

from tests.lab.faults import KINDS, Fault, Lengths, draw
from tests.lab.hosts import Lab, missing, wait
from tests.lab.jobs import Ledger, Work, counting, rendering
from tests.lab.progress import Progress
from tests.lab.room import SHORT, Room

PROMISE_S = 30.0
PATIENCE_S = 120.0  # after which a wait is told as it stands
LOOK_S = 0.1
# Longer than a lease of 3 s where that is the point.
SHORT_LENGTHS = Lengths(cut=(3.5, 4.5), off=(0, 1), down=(0, 1), full=(2.5, 3), stopped=(3.5, 4))


@dataclass
class Waits:
    """What one fault cost, in seconds; the last three from its end on."""

    kind: str
    what: str
    lasted: float = 0.0
    meanwhile: float = 0.0
    """The longest time, while it lasted, in which nothing was finished anywhere."""
    anywhere: float = 0.0
    """Until something was finished anywhere."""
    workers: float = 0.0
    """Until every worker that suffered had finished something."""
    in_hand: float = 0.0
    """Until every task that the sufferers had in hand was committed."""

    @property
    def worst(self) -> float:
        return max(self.anywhere, self.workers, self.in_hand)


@dataclass
class Report:
    """How a run went."""

    seed: int
    work: str
    minutes: float = 0.0
    jobs: int = 0
    units: dict[str, int] = field(default_factory=dict)
    again: int = 0
    forgotten: int = 0
    litter: list[str] = field(default_factory=list)
    waits: list[Waits] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


class Chaos:
    """Lets faults happen to a farm that works, and measures how long what waits."""

    def __init__(
        self, room: Room, ledger: Ledger, say: Callable[[str], None], promise_s: float = PROMISE_S
    ):
        self.room, self.ledger, self.say, self.promise_s = room, ledger, say, promise_s
        self.progress = Progress(room.store)

    def settle(self, rest_s: float) -> None:
        """Have every worker at work, and for a while more."""
        names, began = set(self.room.names()), time.monotonic()
        self.progress.begin()
        while not (names <= self.progress.moved and self.ledger.running):
            if time.monotonic() - began > PATIENCE_S:
                idle = ", ".join(sorted(names - self.progress.moved))
                self.ledger.broken(f"without a fault nothing comes of {idle or 'submitting'}")
                return
            self._turn()
        while time.monotonic() - began < rest_s:
            self._turn()

    def strike(self, fault: Fault) -> Waits:
        """Let a fault happen, undo it, and wait until nothing waits for it any more."""
        waits = Waits(fault.kind, fault.what)
        in_hand = self.ledger.in_hand(fault.suffer)
        self.progress.begin()
        began = time.monotonic()
        end = fault.happen()
        while time.monotonic() - began < fault.seconds:
            self._turn()
            waits.meanwhile = max(waits.meanwhile, time.monotonic() - self.progress.last)
        end()
        self.progress.begin()
        waits.lasted = self.progress.began - began
        self._recover(waits, set(fault.suffer), in_hand)
        self.say(
            f"{fault.kind:<16} {fault.what:<12} {waits.lasted:5.1f} s; then waited "
            f"{waits.anywhere:4.1f} s anywhere, {waits.workers:4.1f} s workers, "
            f"{waits.in_hand:4.1f} s in hand"
        )
        return waits

    def _recover(self, waits: Waits, suffer: set[str], in_hand: set[tuple[str, str]]) -> None:
        """Measure the waits after a fault."""
        over, anywhere = self.progress.began, False
        while not (anywhere and suffer <= self.progress.moved and not in_hand):
            self._turn()
            now = time.monotonic() - over
            if not anywhere:
                anywhere, waits.anywhere = bool(self.progress.moved), now
            if waits.workers == 0.0 or not suffer <= self.progress.moved:
                waits.workers = now
            if in_hand:
                in_hand, waits.in_hand = self.ledger.open(in_hand), now
            if now > PATIENCE_S:
                break
        if waits.worst > self.promise_s:
            slow = sorted(suffer - self.progress.moved) + sorted(task for _, task in in_hand)
            self.ledger.broken(
                f"{waits.worst:.0f} s of waiting after {waits.kind} of {waits.what}"
                + (f", still for {', '.join(slow)}" if slow else "")
            )

    def _turn(self) -> None:
        self.progress.look()
        self.ledger.feed()
        time.sleep(LOOK_S)


def run(
    seed: int,
    work: Work,
    *,
    seconds: float = math.inf,
    rounds: int = sys.maxsize,
    kinds: tuple[str, ...] = KINDS,
    short: bool = False,
    workers: int = 2,
    promise_s: float = PROMISE_S,
    say: Callable[[str], None] = lambda line: None,
) -> Report:
    """Faults of these kinds, each as often as the others, until the time or the rounds are over.

    short      leases of 3 s, faults that are short too, and little rest between them
    workers    of each host
    promise_s  after which a wait is too long
    """
    rng = random.Random(seed)
    report = Report(seed, work.role)
    lengths, more = (SHORT_LENGTHS, SHORT) if short else (Lengths(), {})

    def broken(what: str) -> None:
        say(f"BROKEN: {what}")
        report.broken.append(what)

    with Lab(hosts=3, disk_mb=64) as lab, Room(lab, work.role, workers, more) as room:
        ledger = Ledger(room, work, broken)
        room.man(lab.hosts[:1])
        ledger.submit()
        ledger.finish(PATIENCE_S)
        say(f"one host, undisturbed, leaves {len(ledger.expected)} files; now three, and faults")
        room.man(lab.hosts[1:])
        chaos = Chaos(room, ledger, say, promise_s)
        chaos.settle(0.0)
        began = time.monotonic()
        for kind in _order(rng, kinds, rounds):
            if not short:
                chaos.settle(rng.uniform(0, 3))
            if time.monotonic() - began > seconds:
                break
            report.waits.append(chaos.strike(_drawn(kind, room, rng, lengths)))
        ledger.finish(PATIENCE_S)
        report.minutes = round((time.monotonic() - began) / 60, 1)
    report.jobs, report.units, report.again = ledger.ended, dict(ledger.units), ledger.again
    report.forgotten, report.litter = ledger.forgotten, ledger.litter
    return report


def _order(rng: random.Random, kinds: tuple[str, ...], rounds: int) -> Iterator[str]:
    """Every kind once in each round, in random order."""
    for _ in range(rounds):
        yield from rng.sample(kinds, len(kinds))


def _drawn(kind: str, room: Room, rng: random.Random, lengths: Lengths) -> Fault:
    """A fault, as soon as there is somebody it can meet."""
    found: list[Fault] = []

    def one() -> list[Fault]:
        with contextlib.suppress(LookupError, psutil.Error, redis.RedisError):
            found.append(draw(kind, room, rng, lengths))
        return found

    wait(one, PATIENCE_S)
    return found[0]


def table(report: Report) -> Table:
    """A line for each kind of fault: the worst of its waits."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("fault")
    for name in ("times", "lasted", "meanwhile", "anywhere", "workers", "in hand"):
        shown.add_column(name, justify="right")
    for kind in KINDS:
        of_kind = [waits for waits in report.waits if waits.kind == kind]
        if of_kind:
            lasted = [waits.lasted for waits in of_kind]
            worst = [
                max(getattr(waits, name) for waits in of_kind)
                for name in ("meanwhile", "anywhere", "workers", "in_hand")
            ]
            span = f"{min(lasted):.0f}-{max(lasted):.0f} s"
            shown.add_row(kind, str(len(of_kind)), span, *(f"{value:.1f} s" for value in worst))
    return shown


def summary(report: Report) -> str:
    """What came out, in a few words."""
    made = ", ".join(f"{number} {unit}" for unit, number in report.units.items())
    lines = [
        f"seed {report.seed}: {len(report.waits)} faults in {report.minutes} minutes; "
        f"{report.jobs} jobs, {made}",
        f"worked on again: {report.again}; jobs that Redis forgot: {report.forgotten}; "
        f"temporary files left: {len(report.litter)}",
        *(f"BROKEN: {what}" for what in report.broken),
    ]
    return "\n".join(lines if report.broken else [*lines, "every promise was kept"])


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.lab.chaos", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--seed", type=int, default=0, help="of the order, victims and lengths")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--work", choices=("count", "render"), default="count")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="of faults")
    parser.add_argument("--short", action="store_true", help="leases of 3 s and short faults")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the lab is taken down first
    if why := missing():
        print(f"chaos: {why}", file=sys.stderr)
        return 1
    report = run(
        asked.seed,
        counting(240, 0.25) if asked.work == "count" else rendering(24),
        seconds=60 * asked.minutes,
        kinds=tuple(asked.kinds),
        short=asked.short,
        workers=2 if asked.work == "count" else 1,
        say=lambda line: print(time.strftime("%H:%M:%S"), line, file=sys.stderr, flush=True),
    )
    if asked.json:
        print(json.dumps(asdict(report)))
    else:
        Console(highlight=False).print(table(report))
        print(summary(report))
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
