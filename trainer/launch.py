"""Runs that take several processes: torchrun starts them, a named pipe tells how they do.

Of several machines the first one writes into the run's folder where it can be met; every one starts
a torchrun of its own.  A process that dies takes the others with it, the task fails, and its next
try goes on from the last checkpoint.
"""

from __future__ import annotations

import dataclasses
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from trainer import atomic, device
from trainer.errors import RunFailed
from trainer.jobs.train import Job
from trainer.run import VERSION

EVENTS = "TRAINER_EVENTS"
MEET, MEET_S = "rendezvous.json", 1800.0  # the other machines may be busy with other jobs
# All die with their parent, also by kill -9: torchrun gives its processes sessions of their own.
TORCHRUN = """
import logging
logging.disable()  # its own words about what a process has told already
from farm.child import die_with_parent
die_with_parent()
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main
try:
    main()
except ChildFailedError:  # it said why
    raise SystemExit(1)
"""


class Died(RunFailed):
    """A process of the run told why it ended, or just ended."""

    def __init__(self, failure_class: str, reason: str):
        super().__init__(failure_class, reason)
        self.failure_class = failure_class

    def __str__(self) -> str:
        return str(self.args[1])


class Pipe:
    """A lease as the processes of torchrun have it: what they say goes to who started them."""

    def __init__(self, path: str):
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115  it is as old as the process

    def finish(self, item: str, **units: int) -> None:
        self._send(finish=units)

    def found(self, item: str, **units: int) -> None:
        self._send(found=units)

    def progress(self, **values: Any) -> None:
        self._send(progress=values)

    def result(self, came: dict[str, Any]) -> None:
        self._send(result=came)

    def failed(self, failure_class: str, reason: str) -> None:
        self._send(failed=[failure_class, reason[:2000]])

    def _send(self, **event: Any) -> None:
        self._file.write(json.dumps(event).encode() + b"\n")  # short lines are written whole


def launch(job: Job, lease: Any, node: int) -> dict[str, Any]:
    """Have torchrun train the job on this machine's devices; what it came to.

    Raises Died, with the first reason that a process gave.
    """
    with tempfile.TemporaryDirectory(prefix="run-") as name:
        spec, events = Path(name) / "job.json", Path(name) / "events"
        spec.write_text(json.dumps(dataclasses.asdict(job)))
        os.mkfifo(events)
        command = [sys.executable, "-c", TORCHRUN, "--nproc-per-node", str(job.devices)]
        command += _meeting(job, node, lease)
        command += ["-m", "trainer", "rank", str(spec)]
        threads = str(device.threads(job.devices))
        environment = {
            **os.environ,
            EVENTS: str(events),
            "OMP_NUM_THREADS": threads,
        }
        # Read and write: a pipe that nobody has open for writing would end.
        pipe = os.open(events, os.O_RDWR | os.O_NONBLOCK)
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
        try:
            return _follow(process, pipe, lease, job)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
            os.close(pipe)


def _follow(process: subprocess.Popen[bytes], pipe: int, lease: Any, job: Job) -> dict[str, Any]:
    came: dict[str, Any] = {"steps": 0, "seconds": 0.0, "metrics": {}}
    why: list[str] | None = None
    buffer, heard = b"", time.monotonic()
    while True:
        over = process.poll() is not None  # asked first: what it said before it ended comes after
        ready, _, _ = select.select([pipe], [], [], 0.0 if over else 0.5)
        if ready:
            buffer += os.read(pipe, 1 << 16)
            *lines, buffer = buffer.split(b"\n")
            for event in map(json.loads, lines):
                heard = time.monotonic()
                if "found" in event:
                    lease.found("train", **event["found"])
                if "finish" in event:
                    lease.finish("train", **event["finish"])
                lease.progress(**event.get("progress", {}))
                came = event.get("result", came)
                why = why or event.get("failed")
        elif over:
            break
        elif job.nodes > 1 and time.monotonic() - heard > 10:
            lease.progress()  # the first machine hears of steps, and is the one to call a silence
    if process.returncode or why:
        raise Died(*(why or ("crash", f"torchrun ended with {process.returncode}")))
    return came


def _meeting(job: Job, node: int, lease: Any) -> list[str]:
    """torchrun's words for where the machines of a run meet."""
    if job.nodes == 1:
        return ["--standalone"]
    path = job.folder / MEET
    if node == 0:
        with socket.create_server(("", 0)) as server:
            port = server.getsockname()[1]
        host = socket.gethostname()
        atomic.write_json(path, {"version": VERSION, "host": host, "port": port})
    else:
        host, port = _met(path, lease)
    return [
        "--nnodes", str(job.nodes), "--node-rank", str(node),
        "--master-addr", host, "--master-port", str(port),
    ]  # fmt: skip


def _met(path: Path, lease: Any) -> tuple[str, int]:
    """Where the first machine listens, once it does. Raises Died when it never does."""
    deadline = time.monotonic() + MEET_S
    while time.monotonic() < deadline:
        lease.progress(at="waits for the first machine")
        try:
            note = atomic.read_json(path, VERSION)
            socket.create_connection((note["host"], note["port"]), timeout=2).close()
            return note["host"], note["port"]
        except OSError:
            time.sleep(0.5)
    raise Died("environment", f"no word of the first machine within {MEET_S:.0f} s; see {path}")
