"""`python -m trainer`: trains and evaluates, with the farm or without it.

python -m trainer                     tasks as JSON lines on stdin, events on stdout (farm/child.py)
python -m trainer train SPEC.json     train a job, or go on with it
python -m trainer evaluate SPEC.json  measure a run
python -m trainer doctor              what this machine can train with, as one JSON line

SPEC.json holds the options of `farm submit train` or `evaluate` as fields, read strictly.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

COMMANDS = ("train", "evaluate", "doctor")
EXITS = {
    "bad_input": os.EX_DATAERR,
    "environment": os.EX_UNAVAILABLE,
    "out_of_memory": os.EX_TEMPFAIL,
}


def main() -> int:
    # Before numpy: its OpenBLAS starts a thread per core. torch gets its own number later.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    words = sys.argv[1:]
    if not words:
        from farm.child import serve

        return serve("trainer.jobs", warm_up)
    if words[0] in ("-h", "--help"):
        print(__doc__)
        return os.EX_OK
    try:
        return _command(words)
    except KeyboardInterrupt:
        print(
            "trainer: interrupted; the same line goes on from the last checkpoint", file=sys.stderr
        )
        return 130


def _command(words: list[str]) -> int:
    match words:
        case ["doctor"]:
            return doctor()
        case ["check"]:
            return _told(check)
        case ["rank", spec]:
            return rank(spec)
        case ["train" | "evaluate" as kind, spec]:
            return _told(run, kind, spec)
    named = words[0] in COMMANDS
    wanted = f"{words[0]} wants one SPEC.json" if named else f"no {words[0]!r} here"
    print(f"trainer: {wanted}; there are {', '.join(COMMANDS)}", file=sys.stderr)
    return os.EX_USAGE


def _told(command: Any, *words: str) -> int:
    """Run a command; what goes wrong is one line, and its class the exit code."""
    from trainer.errors import RunFailed

    try:
        return int(command(*words))
    except RunFailed as error:
        print(f"trainer: {_line(error)}", file=sys.stderr)
        return EXITS.get(error.failure_class, os.EX_SOFTWARE)
    except (ValueError, OSError) as error:
        print(f"trainer: {_line(error)}", file=sys.stderr)
        return os.EX_DATAERR
    except ImportError as error:
        print(f"trainer: {_line(error)}; pip install 'shapefarm[train]'", file=sys.stderr)
        return os.EX_UNAVAILABLE


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def warm_up() -> None:
    import torch  # noqa: F401  seconds, while the farm connects


def run(name: str, spec: str) -> int:
    """A job from a file, here and now."""
    from farm import kinds

    kind = kinds.load(name, ["trainer.jobs"])
    job = kind.module.resolve(kinds.read_file(kind, Path(spec)), Path.cwd())
    terminal = Terminal()
    try:
        done = kind.module.run(job, kind.module.Task(name=name), terminal)
    finally:
        terminal.end()
    print(kind.module.summary(job, [done]))
    return os.EX_OK


def check() -> int:
    """A job's JSON on stdin; what it comes to as one JSON line, or one line of why not."""
    import dataclasses

    from farm import kinds
    from trainer import start
    from trainer.jobs.train import Job

    job = kinds.read(Job, sys.stdin.read(), "job")
    print(json.dumps(dataclasses.asdict(start.check(job))))
    return os.EX_OK


def rank(spec: str) -> int:
    """One of torchrun's processes."""
    from farm.child import die_with_parent

    die_with_parent()
    from farm import kinds
    from renderer.storage import StoreUnavailable
    from trainer import distributed, start
    from trainer.errors import RunFailed
    from trainer.jobs.train import Job
    from trainer.launch import EVENTS, Pipe
    from trainer.run import Run

    pipe = Pipe(os.environ[EVENTS])
    try:
        job = kinds.read(Job, Path(spec).read_text(), spec)
        world = distributed.here()
        came = start.work(Run(job.folder, job), world, pipe)
        if world.first:
            pipe.result(came)
        return os.EX_OK
    except (RunFailed, StoreUnavailable) as error:
        pipe.failed(error.failure_class, error.reason)
        return EXITS.get(error.failure_class, os.EX_SOFTWARE)
    except ValueError as error:
        pipe.failed("bad_input", _line(error))
        return os.EX_DATAERR
    except Exception as error:
        pipe.failed("crash", f"{type(error).__name__}: {_line(error)}")
        raise


class Terminal:
    """A lease where there is no farm: how it goes, on stderr."""

    EVERY_S = 5.0

    def __init__(self) -> None:
        self._steps, self._told = 0, time.monotonic()
        self._live = sys.stderr.isatty()

    def finish(self, item: str, **units: int) -> None:
        self._steps += units.get("steps", 0)

    found = finish

    def progress(self, at: str = "", **_: Any) -> None:
        now = time.monotonic()
        if not at or now - self._told < (0.5 if self._live else self.EVERY_S):
            return
        self._told = now
        text = f"step {self._steps}  {at}" if self._steps else at
        print(f"\r{text:<70}" if self._live else text, end="" if self._live else "\n",
              file=sys.stderr, flush=True)  # fmt: skip

    def commit(self) -> None: ...

    def end(self) -> None:
        if self._live:
            print(f"\r{'':<70}\r", end="", file=sys.stderr, flush=True)


def doctor() -> int:
    """What torch finds here: {"ok", "torch", "device", "gpus", "threads", ...}."""
    told: dict[str, Any]
    try:
        import torch

        from trainer import device

        there = device.choose("auto")
        told = {
            "ok": True,
            "versions": device.versions(),
            "device": {"kind": there.type, "name": device.name(there)},
            "precision": device.precision("auto", there),
            "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
            "threads": device.threads(),
        }
    except ImportError as error:
        told = {"ok": False, "reason": f"{error}; pip install 'shapefarm[train]'"}
    print(json.dumps(told))
    return os.EX_OK if told["ok"] else os.EX_UNAVAILABLE


if __name__ == "__main__":
    sys.exit(main())
