"""The hosts that other tests stand on are what they say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest
import redis

from tests.lab.hosts import Lab, sweep, wait


def ssh(lab: Lab, address: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["ssh", "-F", "none", "-i", lab.key, "-o", f"UserKnownHostsFile={lab.known_hosts}",
         "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5",
         f"root@{address}", *words],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip


def test_a_host_has_a_name_a_home_and_processes_of_its_own(lab):
    first = lab.hosts[0]

    told = ssh(lab, first.address, "hostname; echo ~; pwd; ps -e | grep -c sshd")

    assert told.stdout.split()[:3] == ["h1", str(first.home), str(first.home)], told.stderr
    assert int(told.stdout.split()[3]) <= 3


def test_hosts_see_each_other_and_one_storage(lab):
    one, two = lab.hosts[:2]
    (lab.storage / "note").write_text("seen by all")

    assert one.run(["cat", lab.storage / "note"]).stdout == "seen by all"
    assert two.run([*_connect(one.address, 22)], check=False).returncode == 0
    assert two.run([*_connect("h1", 22)], check=False).returncode == 0


def test_a_cut_host_hears_nothing_until_its_network_is_mended(lab):
    host = lab.hosts[0]

    host.cut()
    cut = host.run(_connect(lab.server.address, 6379), check=False)
    host.mend()

    assert cut.returncode == 1
    wait(lambda: host.run(_connect(lab.server.address, 6379), check=False).returncode == 0)


def test_a_signal_reaches_the_program_itself(lab):
    program = "import signal, time; signal.signal(15, lambda *_: exit(7)); print(1, flush=True); "
    process = lab.hosts[0].start(
        [sys.executable, "-c", program + "time.sleep(60)"], stdout=subprocess.PIPE
    )
    process.stdout.readline()

    process.terminate()

    assert process.wait(10) == 7
    process.stdout.close()


def test_a_power_cut_ends_everything_and_the_disk_stays(lab):
    host = lab.hosts[2]
    process = host.start(["sleep", "1000"])
    stopped = process.real()
    stopped.send_signal(signal.SIGSTOP)
    host.put("note", "kept")

    host.kill()

    assert not stopped.is_running()
    assert host.processes() == []
    process.wait(10)
    host.boot()
    assert ssh(lab, host.address, "cat note").stdout == "kept"


def test_a_full_disk_is_one_hosts_own(lab):
    host = lab.hosts[1]

    host.fill()
    try:
        with pytest.raises(OSError, match="No space left"):
            host.put("more", "x" * 5000)
        lab.hosts[0].put("more", "x" * 5000)
    finally:
        host.free()
    host.put("more", "x" * 5000)


def test_redis_asks_for_a_password(lab):
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(lab.server.address, retry=None).ping()
    with redis.Redis.from_url(lab.broker_url("worker")) as client:
        assert client.ping()


def test_a_host_may_refuse_or_show_another_key_and_everything_ends_with_the_block(lab_possible):
    with Lab(hosts=2) as lab:
        assert ssh(lab, lab.hosts[0].address, "true").returncode == 0
        lab.hosts[0].refuse()
        lab.hosts[1].disguise()

        assert "Permission denied" in ssh(lab, lab.hosts[0].address, "true").stderr
        assert "IDENTIFICATION HAS CHANGED" in ssh(lab, lab.hosts[1].address, "true").stderr
        processes = [process for host in lab.hosts for process in host.processes()]
        assert processes

    assert not [process for process in processes if process.is_running()]
    assert not lab.root.exists()
    assert not os.path.exists(f"/sys/class/net/{lab.bridge.name}")


def test_nothing_runs_on_when_the_lab_itself_is_killed_and_the_next_one_tidies(lab_possible):
    program = (
        "from tests.lab.hosts import Lab\n"
        "with Lab(hosts=1) as lab:\n"
        "    lab.hosts[0].start(['sleep', '1000'])\n"
        "    print(lab.root, lab.bridge.name, "
        "*[p.pid for h in (lab.server, *lab.hosts) for p in h.processes()], flush=True)\n"
        "    input()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    folder, bridge, *found = process.stdout.readline().split()
    assert len(found) >= 5

    process.kill()
    process.communicate()

    wait(lambda: not any(psutil.pid_exists(int(pid)) for pid in found))
    sweep()
    assert not os.path.exists(folder)
    assert not os.path.exists(f"/sys/class/net/{bridge}")


def _connect(address: str, port: int) -> list[str]:
    program = f"import socket; socket.create_connection(({address!r}, {port}), 1)"
    return [sys.executable, "-c", program]
