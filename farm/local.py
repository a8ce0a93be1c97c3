"""The private farm of one machine: a supervisor process that outlives the command that began it.

It keeps Redis, the controller and this machine's workers running, starts again what dies, and
ends, with all of them, a few seconds after the last job did. There is one for each FARM_HOME.
Everything it starts dies with it.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis

from farm import broker, machine, scratch, wheel
from farm.address import redis_url
from farm.errors import BrokerFailed, OtherRoots
from farm.kept import Kept
from farm.own_log import configure
from farm.pipelines import Pipelines
from farm.roles import CPU, RENDER, TRAIN
from farm.settings import Settings, load
from farm.store import Store, connect

log = logging.getLogger(__name__)

WISHES = "farm:private"
"""hash: stay, stop, closing (0|1), workers (a number), open (the supervisor's process id),
roots (where it looks for shapes, as JSON), watched (until when somebody looks at its pages)"""
LINGER_S = 4.0
TICK_S = 0.3
STOP_S = 12.0
START_S = 20.0
LOG_BYTES = 10_000_000


# for commands


def open_store(settings: Settings) -> Store:
    """The farm's memory: the lab's, or the private one's, which is started if it does not run.

    Raises BrokerFailed, in one line, when there is no answer.
    """
    if not settings.private:
        store = Store(connect(redis_url(settings), patience_s=1))
        try:
            store.client.ping()
        except redis.RedisError as error:
            raise BrokerFailed(
                str(settings.broker_url),
                _line(error),
                "check FARM_BROKER_URL and that it runs",
            ) from None
        return store
    store = Store(connect(broker.url(settings.home), patience_s=0))
    deadline = time.monotonic() + START_S
    started = 0.0
    while time.monotonic() < deadline:
        if not running(settings):
            if time.monotonic() - started > 5:
                start(settings)
                started = time.monotonic()
        elif _open(settings):
            return store
        time.sleep(0.05)
    raise BrokerFailed(
        str(broker.socket_path(settings.home)), "did not start", f"see {settings.logs / 'farm.log'}"
    )


def open_store_with_roots(settings: Settings) -> Store:
    """As open_store; a private farm then looks for shapes where this process does.

    One that was started with other FARM_*_ROOT is started anew, unless it works on a job: then
    OtherRoots is raised. Folders that are not set here are left as they are there.
    """
    store = open_store(settings)
    if not settings.private:
        return store
    wishes: Any = store.client.hgetall(WISHES)
    theirs = json.loads(wishes.get("roots") or "{}")
    other = [name for name, ours in settings.roots.items() if ours != theirs.get(name, ours)]
    other = [name for name in other if settings.roots[name]]
    if not other:
        return store
    if busy(store):
        raise OtherRoots(other[0], settings.roots[other[0]], theirs[other[0]])
    wish(store, stop=1)
    wait_until_gone(settings)
    store = open_store(settings)
    wish(store, **{name: int(wishes[name]) for name in ("stay", "workers") if name in wishes})
    return store


def busy(store: Store) -> bool:
    """Whether there is work: a job, or a pipeline between two of its stages."""
    return any(record.active for record in store.jobs()) or Pipelines(store).busy()


def running(settings: Settings) -> bool:
    """Whether the private farm's supervisor is there."""
    try:
        with _lock(settings):
            return False
    except BlockingIOError:
        return True


def start(settings: Settings) -> None:
    """Start the supervisor, detached from this terminal."""
    settings.logs.mkdir(parents=True, exist_ok=True)
    path = settings.logs / "farm.log"
    if path.exists() and path.stat().st_size > LOG_BYTES:
        os.replace(path, path.with_suffix(".log.1"))
    with path.open("ab") as output:
        subprocess.Popen(
            [sys.executable, "-m", "farm.local"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd=settings.home,
            env={**os.environ, **settings.environment()},
        )


def wish(store: Store, **wishes: int | str | None) -> None:
    """Tell the supervisor: stay=1, stop=1, workers=3; None takes a wish back."""
    for name, value in wishes.items():
        if value is None:
            store.client.hdel(WISHES, name)
        else:
            store.client.hset(WISHES, name, value)


def wait_until_gone(settings: Settings, patience_s: float = STOP_S + 8) -> bool:
    """Wait for the supervisor to have ended; whether it has."""
    deadline = time.monotonic() + patience_s
    while running(settings):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _open(settings: Settings) -> bool:
    """Whether the supervisor's Redis answers and is not about to close."""
    client = redis.Redis.from_url(
        broker.url(settings.home), decode_responses=True, retry=None, socket_timeout=2
    )
    try:
        wishes: Any = client.hgetall(WISHES)
        holder = (settings.home / "lock").read_text()
        return bool(wishes.get("open") == holder and wishes.get("closing") != "1")
    except redis.RedisError:
        return False
    finally:
        client.close()


@contextmanager
def _lock(settings: Settings) -> Iterator[None]:
    """Hold the one lock of this home. Raises BlockingIOError when another process does."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


# the supervisor


class Supervisor:
    def __init__(self, settings: Settings):
        self.settings = settings
        self.redis = Kept("redis", broker.command(settings.home), last_signal=signal.SIGTERM)
        self.store = Store(connect(broker.url(settings.home), patience_s=0))
        # The controller starts at once: whoever started this farm is about to submit a job.
        self.others = {"controller": self._farm("controller")}
        self.stop = False
        self._last_active = time.monotonic()
        self._greeted = False

    def run(self) -> None:
        """Until there is nothing left to do."""
        while not self.stop:
            self.redis.keep()
            try:
                if not self._greeted:
                    self.store.client.delete(WISHES)
                    roots = json.dumps(self.settings.roots)
                    wish(self.store, roots=roots, open=os.getpid())
                    self._greeted = True
                self._tick()
            except redis.RedisError as error:
                log.warning("no answer from Redis: %s", _line(error))
            for kept in self.others.values():
                kept.keep()
            self.redis.keep()
            time.sleep(TICK_S)
        self._end()

    def _tick(self) -> None:
        wishes = self.store.client.hgetall(WISHES)
        active = self.store.active()
        stay = wishes.get("stay") == "1"
        watched = float(wishes.get("watched") or 0) > time.time()
        if active or stay or watched or Pipelines(self.store).busy():
            self._last_active = time.monotonic()
        if wishes.get("stop") == "1" or time.monotonic() - self._last_active > LINGER_S:
            self.store.client.hset(WISHES, "closing", 1)
            self.stop = True
            return
        if not active and not stay:
            return
        number = int(wishes["workers"]) if wishes.get("workers") else None
        wanted: dict[str, Kept] = {}
        # Trainers take what needs no GPU, too: one more worker would only share their cores.
        roles = {TRAIN if record.role == CPU else record.role for record in active}
        roles |= {RENDER} if stay else set()
        for role in sorted(roles):
            for slot in machine.slots(role, number):
                name = f"{role}-{slot.name}"
                wanted[name] = self._farm("worker", role, slot.name)
                chosen = {
                    "FARM_THREADS": self.settings.threads,
                    "FARM_MEMORY_MB": self.settings.memory_mb,
                }
                wanted[name].environment.update(
                    {key: value for key, value in slot.environment.items() if not chosen.get(key)}
                )
        if stay and importlib.util.find_spec("flower"):
            wanted["monitor"] = self._farm("monitor")
        for name, kept in wanted.items():
            self.others.setdefault(name, kept)
        surplus = [
            name for name in self.others if name.rpartition("-")[0] in roles and name not in wanted
        ]
        for name in surplus:
            kept = self.others.pop(name)
            kept.ask_to_stop()
            kept.wait(time.monotonic() + STOP_S)

    def _farm(self, *words: str) -> Kept:
        code = {
            "controller": "from farm import controller as part",
            "worker": "from farm import worker as part",
            "monitor": "from farm.web import monitor as part",
        }[words[0]]
        call = (
            f"{code}; from farm.settings import load; import sys; "
            f"sys.exit(part.main(load(), *{list(words[1:])!r}, with_parent=True))"
        )
        return Kept(
            "-".join(words), [sys.executable, "-c", call], environment=self.settings.environment()
        )

    def _end(self) -> None:
        """Workers hand back what they hold, then the controller, then Redis."""
        log.info("ending")
        deadline = time.monotonic() + STOP_S
        first = [kept for name, kept in self.others.items() if name != "controller"]
        for kept in first:
            kept.ask_to_stop()
        for kept in first:
            kept.wait(deadline)
        for kept in (*self.others.values(), self.redis):
            kept.ask_to_stop()
            kept.wait(deadline + 5)
        broker.forget(self.settings.home)
        scratch.sweep()


def main() -> int:
    settings = load()
    configure(settings, f"farm@{socket.gethostname()}")
    for _ in range(40):  # a command may hold the lock for an instant, to see whether we are here
        if not running(settings):
            break
        time.sleep(0.03)
    try:
        with _lock(settings):
            (settings.home / "lock").write_text(str(os.getpid()))
            supervisor = Supervisor(settings)

            def stop(*_: object) -> None:
                supervisor.stop = True

            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, stop)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            log.info("started pid=%d home=%s", os.getpid(), settings.home)
            wheel.settle("bpy")
            supervisor.run()
    except BlockingIOError:
        return os.EX_OK  # there is one already
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
