"""The Redis of a lab lets in who has a password, and each of them to what is theirs."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from locked import wait

from deploy.redis import ROLES, USERS, Tls, acl, conf, write

REFUSED = {
    "flush": ("FLUSHALL",),
    "flush one": ("FLUSHDB",),
    "configure": ("CONFIG", "SET", "dir", "/tmp"),
    "read the configuration": ("CONFIG", "GET", "*"),
    "stop the server": ("SHUTDOWN", "NOSAVE"),
    "debug": ("DEBUG", "SLEEP", "0"),
    "list keys": ("KEYS", "*"),
    "walk keys": ("SCAN", "0"),
    "kill a script": ("SCRIPT", "KILL"),
    "forget scripts": ("SCRIPT", "FLUSH"),
    "see the users": ("ACL", "LIST"),
    "make a user": ("ACL", "SETUSER", "me", "on", "nopass", "~*", "+@all"),
    "overhear": ("MONITOR",),
    "see who is there": ("CLIENT", "LIST"),
    "throw somebody out": ("CLIENT", "KILL", "TYPE", "normal"),
    "load code": ("MODULE", "LOAD", "/tmp/x.so"),
    "be another's replica": ("REPLICAOF", "127.0.0.1", "1"),
    "move keys away": ("MIGRATE", "127.0.0.1", "1", "farm:jobs", "0", "10"),
    "save": ("BGSAVE",),
    "swap": ("SWAPDB", "0", "1"),
    "read another program's keys": ("GET", "other:key"),
    "write another program's keys": ("SET", "other:key", "1"),
    "overhear another program": ("SUBSCRIBE", "other"),
}


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("what", REFUSED)
def test_nobody_can(lab, user, what):
    client = lab.client(user)
    with pytest.raises(redis.ResponseError, match=r"(?i)permission|no such|not allowed"):
        client.execute_command(*REFUSED[what])


REFUSAL = r"(?i)permission|can't run this command|can't access at least one of the keys"


@pytest.mark.parametrize("user", USERS)
def test_a_script_can_do_no_more_than_its_caller(lab, user):
    client = lab.client(user)

    with pytest.raises(redis.ResponseError, match=REFUSAL):
        client.eval("return redis.call('FLUSHALL')", 0)

    with pytest.raises(redis.ResponseError, match=REFUSAL):
        client.eval("return redis.call('GET', 'other:key')", 0)


@pytest.mark.parametrize("user", ["default", "worker", "root"])
@pytest.mark.parametrize("password", [None, "", "wrong", "default"])
def test_nobody_comes_in_without_the_password(lab, user, password):
    client = redis.Redis(port=lab.port, username=user, password=password, retry=None)

    with pytest.raises((redis.AuthenticationError, redis.ResponseError)):
        client.ping()


def test_the_default_user_is_off(lab):
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=lab.port, retry=None).ping()


NEEDS_FINE = "Redis before 7.0 cannot tell reading a key from writing it"
OVERREACH = [
    ("worker", ("HSET", "farm:0123456789ab:tasks", "train-000000", "{}")),
    ("worker", ("ZADD", "farm:jobs", "1", "0123456789ab")),
    ("worker", ("DEL", "farm:controller")),
    ("worker", ("HSET", "farm:pipeline:x", "state", "running")),
    ("submit", ("HSET", "farm:0123456789ab:tasks", "train-000000", "{}")),
    ("submit", ("HSET", "farm:0123456789ab:done", "train-000000", "{}")),
    ("submit", ("HSET", "farm:workers", "me", "{}")),
    ("submit", ("DEL", "farm:controller")),
    ("submit", ("LPUSH", "render", "{}")),
    ("monitor", ("HSET", "farm:0123456789ab", "state", "cancelled")),
    ("monitor", ("DEL", "farm:jobs")),
    ("monitor", ("SADD", "farm:0123456789ab:again", "train-000000")),
]


@pytest.mark.parametrize(("user", "words"), OVERREACH, ids=lambda part: str(part)[:60])
def test_what_a_role_has_no_business_writing_is_refused(lab, user, words):
    client = lab.client(user)
    if tuple(map(int, client.info("server")["redis_version"].split(".")[:2])) < (7, 0):
        pytest.skip(NEEDS_FINE)

    with pytest.raises(redis.ResponseError, match="permission"):
        client.execute_command(*words)


def test_a_job_is_submitted_run_watched_and_steered_each_as_its_own_user(lab):
    lab.denied()
    words = ("count", "--things", "n:12", "bad-1", "flaky-2", "--out", "out", "--json")

    done = lab.run("submit", "submit", *words)
    status = lab.run("submit", "status", "--json")
    seen = lab.run("monitor", "workers", "--json")
    again = lab.run("submit", "retry", json.loads(done.stdout)["job"])

    assert done.returncode == 0, done.stderr + lab.logs()
    assert json.loads(done.stdout)["made"]["shapes"] == 13
    assert json.loads(status.stdout)["jobs"][0]["state"] == "done"
    assert json.loads(seen.stdout)["workers"][0]["role"] == "count"
    assert "Traceback" not in done.stderr + again.stderr + lab.logs()
    # redis-py tells its name and version, which Redis 6 cannot allow by itself; it is not missed.
    assert [entry for entry in lab.denied() if entry["object"] != "client"] == []


def test_a_job_is_paused_goes_on_and_is_cancelled_by_who_submits(lab):
    words = ("count", "--things", "n:400", "--seconds", "0.2", "--out", "long", "--no-wait")
    job = json.loads(lab.run("submit", "submit", *words, "--json").stdout)["job"]
    client = lab.client("submit")

    def state():
        return client.hget(f"farm:{job}", "state")

    assert lab.run("submit", "pause", job).returncode == 0
    wait(lambda: state() == "paused")
    assert lab.run("submit", "resume", job).returncode == 0
    wait(lambda: state() in ("submitted", "running"))
    assert lab.run("submit", "cancel", job).returncode == 0
    wait(lambda: state() == "cancelled")


def test_what_a_monitor_may_not_do_is_told_in_one_line(lab):
    result = lab.run("monitor", "submit", "count", "--things", "n:4", "--out", "no", "--no-wait")

    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "permission" in result.stderr


def passwords(lab):
    return [path.read_text().strip() for path in lab.secrets.values()]


def test_no_command_line_has_a_password_in_it(lab):
    lines = [
        path.read_bytes().decode(errors="replace")
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if path.exists()
    ]

    assert any("worker" in line and "count" in line for line in lines)
    assert not [line for line in lines for secret in passwords(lab) if secret in line]


def test_no_environment_has_a_password_in_it(lab):
    for process in lab.processes:
        environment = Path(f"/proc/{process.pid}/environ").read_bytes().decode(errors="replace")

        assert "FARM_BROKER_PASSWORD_FILE" in environment
        assert not [secret for secret in passwords(lab) if secret in environment]


@pytest.mark.parametrize(
    "words", [("controller",), ("worker", "count", "--slot", "x"), ("status",)]
)
def test_whoever_has_the_wrong_password_is_told_and_it_is_in_no_log(lab, words, tmp_path):
    wrong = tmp_path / "password"
    wrong.write_text("hunter2-and-some-more")
    wrong.chmod(0o600)
    environment = {**lab.environment("worker"), "FARM_BROKER_PASSWORD_FILE": str(wrong)}
    log = tmp_path / "log"

    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "farm.cli", *words],
            env=environment, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        wait(lambda: "invalid username-password" in log.read_text())
    finally:
        process.kill()
        process.wait()

    assert "hunter2" not in log.read_text()
    assert "Traceback" not in log.read_text()


# what is written


def test_files_are_for_their_owner_alone_and_passwords_are_random(tmp_path):
    secrets = write(tmp_path, port=7000)

    assert sorted(secrets) == sorted(USERS)
    written = [tmp_path / "redis.conf", tmp_path / "users.acl", *secrets.values()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {0o600}
    texts = {path.read_text() for path in secrets.values()}
    assert len(texts) == len(USERS)
    assert min(map(len, texts)) > 40
    assert not [text for text in texts if text.strip() in (tmp_path / "users.acl").read_text()]


def test_written_again_passwords_stay_and_a_removed_one_is_made_anew(tmp_path):
    secrets = write(tmp_path)
    before = {name: path.read_text() for name, path in secrets.items()}
    secrets["submit"].unlink()

    write(tmp_path, bind=("10.0.0.1",))

    after = {name: path.read_text() for name, path in secrets.items()}
    assert {name for name in USERS if before[name] != after[name]} == {"submit"}
    assert "bind 10.0.0.1\n" in (tmp_path / "redis.conf").read_text()


def test_nothing_is_written_beside_a_secret_that_others_can_read(tmp_path):
    secrets = write(tmp_path)
    (tmp_path / "users.acl").unlink()
    secrets["worker"].chmod(0o644)

    with pytest.raises(ValueError, match=r"worker has mode 0644, so others may use it; chmod 600"):
        write(tmp_path)

    assert not (tmp_path / "users.acl").exists()


def test_it_listens_on_loopback_unless_asked_and_keeps_what_it_is_told(tmp_path):
    text = conf(tmp_path)

    assert "bind 127.0.0.1\n" in text
    assert "protected-mode yes\n" in text
    assert "appendonly yes\n" in text
    assert "maxmemory-policy noeviction\n" in text


def test_with_tls_nothing_is_answered_in_the_clear(tmp_path):
    text = conf(tmp_path, port=7000, tls=Tls(certificate=tmp_path / "crt", key=tmp_path / "key"))

    assert "\nport 0\n" in text
    assert "tls-port 7000\n" in text


def test_a_folder_that_the_file_cannot_name_is_refused(tmp_path):
    with pytest.raises(ValueError, match="choose a plainer path"):
        conf(tmp_path / 'a"b')


def test_a_user_without_password_is_refused():
    with pytest.raises(ValueError, match="wanted: controller, worker, submit, monitor"):
        acl({"worker": "x"})


def test_from_redis_7_on_reading_a_key_is_not_writing_it():
    some = {name: name for name in USERS}
    lines = {line.split()[1]: line.split() for line in acl(some, server=(7, 0)).splitlines()}
    older = {line.split()[1]: line.split() for line in acl(some, server=(6, 2)).splitlines()}

    for user in ("worker", "submit", "monitor"):
        assert "%R~farm:*" in lines[user] and "~farm:*" not in lines[user]
        assert "~farm:*" in older[user] and not [w for w in older[user] if w.startswith("%")]
    assert "~farm:*" in lines["controller"]


def test_a_queue_of_ones_own_can_be_added(tmp_path):
    some = {name: name for name in USERS}

    assert "%R~wash*" not in acl(some)
    assert "%R~wash*" in acl(some, roles=(*ROLES, "wash"))
