"""Runs that take several processes: torchrun starts them, a named pipe tells how they do.

Of several machines each starts a torchrun of its own, once the farm has brought them together
(farm.meeting), and all of these are one rendezvous.  When a machine is lost, or comes to those that
went on without it, every torchrun is ended, the machines meet again, and the run goes on from its
last checkpoint.  torchrun's own `--nnodes 2:4 --max-restarts` is not enough for that: it dies with
the machine that holds its rendezvous, never hears of one whose power is cut, and may go on with a
number of machines that cannot share the batch.

A process that dies takes the others of its torchrun with it.  What it told is the task's failure;
a process of several machines that just ended is first taken for the loss of another one.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from farm.child import Meeting
from renderer.storage import Place
from trainer import checkpoint, device, mirror
from trainer.errors import RunFailed
from trainer.jobs.train import Job
from trainer.run import Run, result

EVENTS = "TRAINER_EVENTS"
LOOK_S = 2.0  # whether the machines that met are still together
ALIVE_S = 10.0  # the machine with the first process hears of steps; the others only say this
RESULT_S = 60.0  # that machine writes what the run came to, in a folder that takes time to show it
BARREN = 3  # such ends without a new checkpoint: then it is no lost machine
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


def launch(job: Job, lease: Any, run_is_in: Place) -> dict[str, Any] | None:
    """Have torchrun train the job on this machine's devices, with others where it takes several.

    run_is_in  where all machines have the run; job.folder mirrors it where that is a store

    What it came to; None where the machine with the first process writes that.
    Raises Died, with the first reason that a process gave.
    """
    run = Run(job.folder, job)
    if job.nodes == 1:
        return _ended(_round(job, lease, None, ()))
    can = sizes(job, run.config.batch)
    barren, reached = 0, checkpoint.saved(run.checkpoints)
    while True:
        meeting = lease.meet(_free_port(), can)
        mirror.refresh(run.folder)  # another machine may have written what this one did not see
        outcome = _round(job, lease, meeting, can)
        if outcome.parted:
            continue
        if outcome.unexplained:
            before, reached = reached, checkpoint.saved(run.checkpoints)
            barren = barren + 1 if reached == before else 0
            if barren < BARREN:
                continue
        came = _ended(outcome)
        if came or _written(run_is_in, lease):
            return came


def sizes(job: Job, batch: int) -> tuple[int, ...]:
    """How many machines can share a batch evenly, up to as many as the job asks for."""
    return tuple(n for n in range(1, job.nodes + 1) if batch % (n * job.devices) == 0)


@dataclass
class Outcome:
    """How the processes of one start came to their end."""

    code: int = 0
    came: dict[str, Any] | None = None
    """What the first process told of the finished run, where it is one of these."""
    why: list[str] = field(default_factory=list)
    """Failure class and reason, as the first that failed told them."""
    parted: bool = False
    """Ended from here, because the machines are to meet again."""

    @property
    def unexplained(self) -> bool:
        """Whether another machine may have been the cause."""
        return self.code != 0 and self.why[:1] in ([], ["crash"])


def _ended(outcome: Outcome) -> dict[str, Any] | None:
    if outcome.code or outcome.why:
        reason = outcome.why or ["crash", f"torchrun ended with {outcome.code}"]
        raise Died(*reason)
    return outcome.came


def _round(job: Job, lease: Any, meeting: Meeting | None, can: tuple[int, ...]) -> Outcome:
    """Start torchrun once, and follow it to its end."""
    with tempfile.TemporaryDirectory(prefix="run-") as name:
        spec, events = Path(name) / "job.json", Path(name) / "events"
        spec.write_text(json.dumps(dataclasses.asdict(job)))
        os.mkfifo(events)
        command = [sys.executable, "-c", TORCHRUN, "--nproc-per-node", str(job.devices)]
        command += _rendezvous(meeting) if meeting else ["--standalone"]
        command += ["-m", "trainer", "rank", str(spec)]
        environment = {
            **(_interfaces(meeting.address) if meeting else {}),
            **os.environ,
            EVENTS: str(events),
            "OMP_NUM_THREADS": str(device.threads(job.devices)),
        }
        # Read and write: a pipe that nobody has open for writing would end.
        pipe = os.open(events, os.O_RDWR | os.O_NONBLOCK)
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
        try:
            return _follow(process, pipe, lease, can if meeting else ())
        finally:
            _end(process)
            os.close(pipe)


def _follow(
    process: subprocess.Popen[bytes], pipe: int, lease: Any, can: tuple[int, ...]
) -> Outcome:
    outcome, buffer = Outcome(), b""
    heard = looked = time.monotonic()
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
                outcome.came = event.get("result", outcome.came)
                outcome.why = outcome.why or event.get("failed", [])
        elif over:
            outcome.code = process.returncode
            return outcome
        now = time.monotonic()
        if can and now - heard > ALIVE_S:
            heard = now
            lease.progress()
        if can and not over and outcome.came is None and now - looked > LOOK_S:
            looked = now
            if not lease.stands(can):
                outcome.parted = True
                return outcome


def _end(process: subprocess.Popen[bytes]) -> None:
    """End torchrun and all of its processes, which the kernel kills when it is gone."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _written(run_is_in: Place, lease: Any) -> bool:
    """Whether another machine has written what the run came to; waits for it a while."""
    deadline = time.monotonic() + RESULT_S
    while result(run_is_in) is None:
        if time.monotonic() > deadline:
            return False
        lease.progress(at="waits for the result")
        time.sleep(0.5)
    return True


def _rendezvous(meeting: Meeting) -> list[str]:
    """torchrun's words for who takes part, and where the others are found."""
    return [
        "--nnodes", str(meeting.size), "--node-rank", str(meeting.place),
        "--master-addr", meeting.host, "--master-port", str(meeting.port),
    ]  # fmt: skip


def _free_port() -> int:
    with socket.create_server(("", 0)) as server:
        return int(server.getsockname()[1])


def _interfaces(address: str) -> dict[str, str]:
    """By which network the processes talk: a machine's name often stands for 127.0.1.1."""
    import psutil  # type: ignore[import-untyped]

    wanted = ipaddress.ip_address(address)
    for name, addresses in psutil.net_if_addrs().items():
        for each in addresses:
            try:
                found = ipaddress.ip_address(each.address.partition("%")[0])
            except ValueError:
                continue  # that of the hardware
            if found == wanted:
                return {"GLOO_SOCKET_IFNAME": name, "NCCL_SOCKET_IFNAME": name}
    return {}
