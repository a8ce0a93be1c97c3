"""The kernel keeps a child program from other files and from the network, whatever runs in it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from farm import jail
from farm.program import CLOUD, MACHINE, NETWORK, Program

TRIES = """
import json, os, socket, subprocess, sys
from farm import jail
from farm.settings import Settings
root, secret, port, network = sys.argv[1:]
settings = Settings(storage_roots=(root,) if root else (), samples_root=secret + "-samples")
lacking = jail.close(settings, network=network == "network")

def found(what):
    try:
        what()
        return "ok"
    except OSError as error:
        return type(error).__name__

def connect():
    socket.create_connection(("127.0.0.1", int(port)), timeout=5).close()

def ask_another():
    if subprocess.run(["cat", secret], capture_output=True).returncode:
        raise PermissionError

print(json.dumps({
    "lacking": lacking,
    "read": found(lambda: open(secret).read()),
    "read through a link": found(lambda: open(root + "/way-out").read()),
    "read through a program": found(ask_another),
    "write": found(lambda: open(secret + "-2", "w")),
    "link": found(lambda: os.link(secret, root + "/linked")),
    "list": found(lambda: os.listdir(os.path.dirname(secret))),
    "work": found(lambda: open(root + "/made", "w")),
    "rename": found(lambda: os.replace(root + "/made", root + "/done")),
    "scratch": found(lambda: open(os.environ["TMPDIR"] + "/a", "w")),
    "shadow": found(lambda: open("/etc/shadow").read()),
    "kernel log": found(lambda: open("/dev/kmsg")),
    "devices": found(lambda: (os.listdir("/dev"), open("/dev/null", "w"), open("/dev/urandom"))),
    "connect": found(connect),
    "udp": found(lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)),
    "raw": found(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)),
    "within": found(lambda: socket.socket(socket.AF_UNIX)),
    "pair": found(lambda: socket.socketpair()),
}))
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What a confined process could and could not do; one that needs the network; a free one."""
    found = {}
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = str(listening.getsockname()[1])
        for name in ("confined", "network", "free"):
            folder = tmp_path_factory.mktemp(name)
            for each in ("root", "tmp", "beside"):
                (folder / each).mkdir()
            (folder / "beside" / "secret").write_text("secret")
            (folder / "root" / "way-out").symlink_to("../beside/secret")
            words = (
                "" if name == "free" else str(folder / "root"),
                str(folder / "beside" / "secret"),
                port,
                "machine" if name == "confined" else "network",
            )
            done = subprocess.run(
                [sys.executable, "-c", TRIES, *words],
                env={**os.environ, "TMPDIR": str(folder / "tmp")},
                cwd=folder / "beside",
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stderr
            found[name] = json.loads(done.stdout)
    return found


NO = "PermissionError"


def test_a_process_is_open_to_everything_until_it_is_confined(outcomes):
    assert {outcomes["free"][what] for what in ("read", "write", "list", "connect", "udp")} == {
        "ok"
    }


@pytest.mark.parametrize("who", ["confined", "network"])
@pytest.mark.parametrize(
    "what",
    ["read", "read through a link", "read through a program", "write", "link", "list", "shadow"],
)
def test_what_lies_outside_of_the_roots_cannot_be_reached(outcomes, who, what):
    if not jail.landlock():
        pytest.skip("this kernel has no Landlock")

    assert outcomes[who][what] in (NO, "OSError")
    assert outcomes[who]["kernel log"] in (NO, "FileNotFoundError")


@pytest.mark.parametrize("who", ["confined", "network"])
@pytest.mark.parametrize("what", ["work", "rename", "scratch", "devices", "within", "pair"])
def test_what_work_needs_is_open(outcomes, who, what):
    assert outcomes[who][what] == "ok"


@pytest.mark.parametrize("what", ["connect", "udp", "raw"])
def test_no_socket_leads_out_of_the_machine(outcomes, what):
    assert outcomes["confined"][what] == NO


def test_a_process_that_needs_the_network_has_it(outcomes):
    assert (outcomes["network"]["connect"], outcomes["network"]["udp"]) == ("ok", "ok")


def test_what_the_kernel_cannot_do_is_told(outcomes):
    assert bool(outcomes["confined"]["lacking"]) == (not jail.landlock())


@pytest.mark.parametrize(("reach", "filters"), [(MACHINE, 1), (NETWORK, 0), (CLOUD, 0)])
def test_a_child_program_has_no_secrets_and_no_network_from_its_first_task_on(reach, filters):
    around = {
        **os.environ, "PYTHONPATH": str(Path(__file__).parent / "doubles"), "HARMLESS": "hunter2",
        "MY_API_TOKEN": "hunter2", "DB_PASSWORD": "hunter2", "AWS_SECRET_ACCESS_KEY": "hunter2",
        "FARM_BROKER_PASSWORD_FILE": "/hunter2", "FARM_BROKER_URL": "redis://hunter2/0",
    }  # fmt: skip
    program = Program("farmdouble", around, reach)
    try:
        while (event := program.receive(10)) is None:
            pass
        more = filters_of(program.pid) - filters_of(os.getpid())
        environment = psutil.Process(program.pid).environ()
        cores = psutil.Process(program.pid).rlimit(psutil.RLIMIT_CORE)
        score = int(Path(f"/proc/{program.pid}/oom_score_adj").read_text())
    finally:
        program.kill()

    assert event["event"] == "ready"
    assert more == filters
    assert (cores, score) == ((0, 0), 500)
    seen = {name for name, value in environment.items() if "hunter2" in value}
    assert seen == {"HARMLESS"} | ({"AWS_SECRET_ACCESS_KEY"} if reach == CLOUD else set())


def filters_of(pid):
    """How many filters of system calls a process has; a container's has some of its own."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("Seccomp_filters")))
