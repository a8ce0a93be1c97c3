"""A room of machines from nothing to running workers, upgraded with a job running, rolled back.

Real sshd, real uv, real Redis, real workers. One machine refuses the key, one has a full disk;
both are mended before the upgrade. One has a systemd for its users, where that can be; the others
have none. The tests go through the day in their order.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from deploy import check, inventory, logs, push, release, running
from deploy.errors import HostFailed
from deploy.fleet import Outcome, Silent
from deploy.inventory import Lab as Inventory
from deploy.release import Release
from deploy.remote import Remote
from farm.records import WorkerRecord
from farm.store import Store, connect
from tests.deploy.user_systemd import user_systemd
from tests.deploy.wheels import changed
from tests.lab.hosts import Host, Lab, missing, wait
from tests.processes import command_line

DOUBLES = Path(__file__).parents[1] / "farm" / "doubles"
DISK_MB = 500  # a little more than a version is said to take
WORKER = "farm-worker@count-0"


@dataclass
class Room:
    """The lab, its inventory, and two builds of this tree."""

    lab: Lab
    file: Path
    releases: tuple[Release, Release]
    systemd: bool
    """Whether its second machine has one for its users."""

    @property
    def inventory(self) -> Inventory:
        return inventory.read(self.file)

    def do(self, work: Callable[..., list[Outcome]], *more: Any) -> dict[str, Outcome]:
        """A command on all hosts: how it ended on each."""
        lab = self.inventory
        return {outcome.host: outcome for outcome in work(lab, lab.hosts, *more, Silent())}

    def farm(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "farm.cli", "deploy", *words, "--inventory", self.file],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    uv = shutil.which("uv")
    if why := missing() or ("" if uv else "no uv on the path"):
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("room")
    wheel = release.build(folder)
    (folder / "second").mkdir()
    releases = (
        release.read(wheel),
        release.read(changed(wheel, folder / "second", "the second build")),
    )
    # Linked into uv's cache, a version takes next to nothing; what runs may read a cache.
    cache = subprocess.run(["uv", "cache", "dir"], capture_output=True, text=True).stdout.strip()
    _skip_without_packages(wheel, releases[0], folder)
    with Lab(hosts=3, disk_mb=DISK_MB) as lab:
        net, last = lab.hosts[1].address.rsplit(".", 1)
        (folder / "lab.toml").write_text(f"""\
user = "root"
key = "{lab.key}"
known_hosts = "{lab.known_hosts}"
connect_s = 5
python = "{sys.version_info.major}.{sys.version_info.minor}"
uv = "{uv}"
storage_roots = ["{lab.storage}"]
slots = 1

[redis]
url = "redis://{lab.server.address}:6379/0"
passwords = "{lab.server.root}/redis/secrets"

[environment]
UV_OFFLINE = "1"
UV_CACHE_DIR = "{cache}"
UV_LINK_MODE = "symlink"
XDG_CACHE_HOME = "{Path(cache).parent}"
PYTHONPATH = "{DOUBLES}"

[settings]
kind_packages = ["farmdouble.jobs"]

[hosts.h1]
address = "{lab.hosts[0].address}"
roles = ["controller", "count"]

[hosts."h[2-3]"]
address = "{net}.[{last}-{int(last) + 1}]"
roles = ["count"]
""")
        lab.hosts[1].refuse()
        lab.hosts[2].fill()
        with user_systemd(lab.hosts[1]) as systemd:
            yield Room(lab, folder / "lab.toml", releases, systemd)
            for host in lab.hosts:
                host.kill()


def _skip_without_packages(wheel: Path, first: Release, folder: Path) -> None:
    """The hosts have no way out: what they install must be in the cache of uv."""
    (folder / "pins.txt").write_text(first.pins)
    done = subprocess.run(
        ["uv", "pip", "install", "--offline", "--dry-run", "--target", folder / "nowhere",
         "--constraint", folder / "pins.txt", wheel],
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        pytest.skip("uv's cache lacks what the base needs: " + done.stderr.strip()[-200:])


@pytest.fixture(scope="module")
def checked(room: Room) -> dict[str, Outcome]:
    return room.do(check.check)


@pytest.fixture(scope="module")
def pushed(room: Room, checked: object) -> dict[str, Outcome]:
    return room.do(push.push, room.releases[0])


@pytest.fixture(scope="module")
def started(room: Room, pushed: object) -> dict[str, Outcome]:
    return room.do(running.start)


@pytest.fixture(scope="module")
def mended(room: Room, started: object) -> dict[str, Outcome]:
    """All three machines run the first build."""
    _, second, third = room.lab.hosts
    second.admit()
    third.free()
    room.do(push.push, room.releases[0])
    return room.do(running.start)


@pytest.fixture(scope="module")
def upgraded(room: Room, mended: object) -> dict[str, Outcome]:
    """The second build is pushed, and nothing restarted."""
    return room.do(push.push, room.releases[1])


def lines(host: Host) -> dict[int, str]:
    """The command lines on a machine, of what did not end while one looked."""
    found = {process.pid: " ".join(command_line(process)) for process in host.processes()}
    return {pid: line for pid, line in found.items() if line}


def problem(outcome: Outcome) -> str:
    (one,) = outcome.problems
    return str(one)


def seen(room: Room) -> list[WorkerRecord]:
    """The workers, as Redis knows them."""
    with connect(room.lab.broker_url("monitor")) as client:
        return Store(client).workers(5)


def versions(room: Room) -> dict[str, str]:
    """What the worker of each machine says it is."""
    return {worker.host: worker.version for worker in seen(room)}


def test_check_tells_of_the_key_and_of_the_disk_and_finds_nothing_else(
    room: Room, checked: dict[str, Outcome]
) -> None:
    assert checked["h1"].problems == ()
    assert f"refuses the key of root@{room.lab.hosts[1].address}; ssh-copy-id -i" in problem(
        checked["h2"]
    )
    assert "disk: 0 MB free, a version takes 400; make room" in problem(checked["h3"])
    assert list(room.lab.storage.rglob(".farm-check/*")) == []


def test_the_one_machine_that_can_gets_the_version(room: Room, pushed: dict[str, Outcome]) -> None:
    assert {name: outcome.ok for name, outcome in pushed.items()} == {
        "h1": True,
        "h2": False,
        "h3": False,
    }
    first = room.lab.hosts[0].home / "shapefarm"
    assert (first / "current").resolve().name == pushed["h1"].facts["version"]
    assert not (room.lab.hosts[2].home / "shapefarm" / "current").exists()


def test_its_worker_is_seen_by_redis_as_the_build_that_was_pushed(
    room: Room, started: dict[str, Outcome]
) -> None:
    assert started["h1"].problems == ()
    assert {unit["name"] for unit in started["h1"].facts["units"]} == {"farm-controller", WORKER}
    assert versions(room) == {"h1": room.releases[0].version}
    assert "nothing is installed" in problem(started["h3"])


def test_the_exit_status_and_the_table_say_who_failed_and_why(room: Room, started: object) -> None:
    done = room.farm("status")

    assert done.returncode == 1
    assert "farm: 2 of 3 hosts failed: h2, h3" in done.stderr, done.stdout
    assert "h2: connection: it refuses the key" in done.stdout
    assert "2 of 2 units up  1 seen" in done.stdout


def test_passwords_are_in_files_of_their_own_and_on_no_command_line(
    room: Room, started: object
) -> None:
    first = room.lab.hosts[0]
    folder = first.home / "shapefarm"
    secrets = [(folder / "secrets" / user).read_text().strip() for user in ("controller", "worker")]

    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    holding = [path for path in files if any(s.encode() in path.read_bytes() for s in secrets)]
    commands = lines(first).values()

    assert {path.parent.name for path in holding} == {"secrets"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in holding} == {0o600}
    assert any("farm worker count" in line for line in commands)
    assert not [line for line in commands if any(secret in line for secret in secrets)]


def test_logs_come_with_the_name_of_their_machine(room: Room, started: object) -> None:
    lab = room.inventory
    told: list[str] = []
    host: Host = room.lab.hosts[0]
    log = host.home / "shapefarm" / "logs" / f"{WORKER}.log"
    with log.open("a") as file:
        file.write("a line of its own\n")

    logs.logs(lab, lab.chosen(["h1"]), Silent(), told.append, lines=1, follow=False, unit="worker")

    assert told == ["h1  a line of its own"]


def test_logs_are_followed_until_ctrl_c_and_nothing_stays_on_the_machine(
    room: Room, started: object
) -> None:
    host = room.lab.hosts[0]
    command = ["deploy", "logs", "-f", "-n", "0", "--unit", "worker", "--hosts", "h1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "farm.cli", *command, "--inventory", room.file],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip

    def tails() -> list[str]:
        return [line for line in lines(host).values() if line.startswith("tail ")]

    wait(tails)
    with (host.home / "shapefarm" / "logs" / f"{WORKER}.log").open("a") as file:
        file.write("news\n")
    assert process.stdout
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)

    assert first == "h1  news\n"
    assert process.returncode == 130
    wait(lambda: not tails())


def test_a_key_that_is_not_known_or_another_one_is_refused(
    room: Room, started: object, tmp_path: Path
) -> None:
    lab = room.inventory
    known = room.lab.known_hosts.read_text().splitlines()
    address, other = room.lab.hosts[0].address, known[0].split(maxsplit=1)[1]
    wrong = tmp_path / "wrong"
    wrong.write_text(f"{address} {other}\n")

    def refusal(known_hosts: Path) -> str:
        there = replace(lab, known_hosts=known_hosts)
        return problem(running.status(there, there.chosen(["h1"]), Silent())[0])

    assert f"ssh-keyscan {address} >> {tmp_path}/none, and compare" in refusal(tmp_path / "none")
    assert f"ssh-keygen -R {address} -f {wrong}" in refusal(wrong)


def test_what_dies_after_a_push_comes_back_as_what_it_was(
    room: Room, upgraded: dict[str, Outcome]
) -> None:
    first = upgraded["h1"].facts["was"]
    for host in room.lab.hosts[:2]:  # one that has no systemd, and one that has
        before = {pid for pid, line in lines(host).items() if "worker count" in line}
        for pid in before:
            os.kill(pid, signal.SIGKILL)

        def anew(host: Host = host, before: set[int] = before) -> bool:
            program = f"versions/{first}/bin/farm worker count"
            return any(program in line for pid, line in lines(host).items() if pid not in before)

        wait(anew)


def test_an_upgrade_with_a_job_running_loses_and_repeats_nothing(
    room: Room, mended: dict[str, Outcome], upgraded: dict[str, Outcome]
) -> None:
    assert [outcome.problems for outcome in mended.values()] == [(), (), ()]
    wait(lambda: list(versions(room).values()) == 3 * [room.releases[0].version])
    out = room.lab.storage / "counted"
    job = room.lab.server.start(
        room.lab.server.farm(
            *("submit", "count", "--things", "n:360", "--seconds", "0.1", "--per-task", "4"),
            *("--out", str(out), "--json"),
        ),
        env={**room.lab.environment("submit"), "FARM_KIND_PACKAGES": "farmdouble.jobs",
             "PYTHONPATH": f"{DOUBLES}:{DOUBLES.parents[2]}"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    work = out / "work.log"
    wait(lambda: len(work.read_text().splitlines()) >= 10)

    restarted = room.do(running.restart)
    told, error = job.communicate(timeout=120)

    assert [outcome.problems for outcome in restarted.values()] == [(), (), ()]
    assert set(versions(room).values()) == {room.releases[1].version}
    assert sum(worker.tasks for worker in seen(room)) > 0, "the second build had nothing to do"
    assert job.returncode == 0, error
    assert json.loads(told)["made"]["shapes"] == 360
    items = [line.split()[0] for line in work.read_text().splitlines()]
    assert len(items) == len(set(items)) == 360


def test_where_users_have_systemd_it_keeps_the_units_and_elsewhere_processes_do(
    room: Room, mended: object
) -> None:
    if not room.systemd:
        pytest.skip("no systemd --user can be started here")

    found = room.do(running.status)

    assert [found[name].facts["keeping"] for name in ("h1", "h2", "h3")] == [
        *("processes", "systemd", "processes")
    ]
    systemctl = ["env", "XDG_RUNTIME_DIR=/run/user/0", "systemctl", "--user"]
    asked = room.lab.hosts[1].run([*systemctl, "is-enabled", f"{WORKER}.service"])
    assert asked.stdout.strip() == "enabled"


def test_a_rollback_brings_the_first_build_back_to_life(room: Room, mended: object) -> None:
    found = room.do(running.rollback)

    assert [outcome.problems for outcome in found.values()] == [(), (), ()]
    assert set(versions(room).values()) == {room.releases[0].version}


def test_a_dead_machine_keeps_nobody_waiting_and_what_is_stopped_is_gone(
    room: Room, mended: object
) -> None:
    lab = room.inventory
    third = lab.chosen(["h3"])[0]
    failed: list[HostFailed] = []
    cut = threading.Event()

    def work() -> None:
        with pytest.raises(HostFailed) as told, Remote(third, lab.known_hosts, 2) as remote:
            room.lab.hosts[2].cut()
            cut.set()
            remote.run("sleep 600", timeout_s=600)
        failed.append(told.value)

    at_work = threading.Thread(target=work)
    at_work.start()
    cut.wait(30)
    found = room.do(running.stop)
    at_work.join(60)

    assert [found[name].ok for name in ("h1", "h2", "h3")] == [True, True, False]
    assert "connection: not reachable" in problem(found["h3"])
    left = [line for host in room.lab.hosts[:2] for line in lines(host).values()]
    assert not [line for line in left if "shapefarm/" in line]
    assert "connection was lost" in str(failed[0])
