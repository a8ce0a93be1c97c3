"""The Redis of a lab: its configuration, who may do what in it, and their passwords.

    redis.conf         an append-only file, nothing evicted, loopback unless asked otherwise
    users.acl          four users; of their passwords it has the SHA-256
    secrets/<user>     the password itself, mode 0600: what FARM_BROKER_PASSWORD_FILE names

`redis-server FOLDER/redis.conf` starts it.  Written again, passwords stay as they are; one whose
file was removed is made anew.  No user touches the server itself (flush, configure, stop, debug,
list keys): whoever must, does so on its machine, in these files.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from farm.secret import make_secret

ROLES = ("render", "train", "both", "cpu")
"""Queues of tasks."""
FINE = (7, 0)
"""From this Redis on, a user may read some keys and write others; before, both or none."""

# Commands by Redis's own families, so that a new use of data needs no new rule.  What reaches
# beyond the farm's keys is taken away again; INFO gives figures, to tell how Redis is.
DATA = (
    "+@hash +@sortedset +@list +@set +@string +@stream +@transaction +@connection +@pubsub "
    "+del +unlink +exists +type +expire +pexpire +expireat +pexpireat +ttl +pttl +time "
    "+eval +evalsha +script|load +script|exists -@dangerous -pubsub +select +info"
)
READ = (
    "+@read +@connection +@transaction +subscribe +psubscribe +unsubscribe +punsubscribe "
    "-@keyspace -@dangerous +exists +type +ttl +pttl +time +select +info"
)
QUEUES = ("_kombu.*", "unacked*")
_JOB = "farm:" + 12 * "[0-9a-f]"  # a job's own record, and none of its parts
_EVENTS = "/*.celeryev*"  # what workers say of tasks, for Flower
# Whoever listens to all of them names them just so, for the database that the address names.
_ALL_EVENTS = tuple(f"/{database}.celeryev/*" for database in range(16))
_CONTROL = "*celery.pidbox"  # Flower asks there; workers do not listen


@dataclass(frozen=True, kw_only=True)
class User:
    """What one of them may do; keys and channels are Redis's glob patterns."""

    commands: str
    writes: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()


def users(roles: Iterable[str] = ROLES) -> dict[str, User]:
    """The four users, by name.

    roles   queues that there are; a kind of yours may have one of its own
    """
    queues = (*QUEUES, *(f"{role}*" for role in roles))
    return {
        "controller": User(commands=DATA, writes=("farm:*", *queues), channels=(_EVENTS, _CONTROL)),
        "worker": User(
            commands=DATA,
            # Not a job's tasks, the list of jobs, pipelines, or the controller's lock.
            writes=(
                _JOB,
                f"{_JOB}:[^t]*",
                f"{_JOB}:todo",
                f"{_JOB}:tries",
                "farm:workers*",
                "farm:counts",
                "farm:seen",
                "farm:strikes:*",
                "farm:holds",
                "farm:gathering:*",
                *queues,
            ),
            reads=("farm:*",),
            channels=(_EVENTS, _CONTROL),
        ),
        "submit": User(
            commands=f"{READ} +hset +hdel +zadd +sadd +srem +set +del +eval +evalsha "
            "+script|load +script|exists",
            writes=(
                _JOB,
                f"{_JOB}:again",
                "farm:jobs",
                "farm:pipelines",
                "farm:pipeline:*",
                "farm:holds",
            ),
            reads=("farm:*", *queues),
        ),
        "monitor": User(
            # Kombu keeps what listens to events with scripts; one can do no more than its caller.
            commands=f"{READ} +publish +sadd +srem +zadd +zrem +del "
            "+eval +evalsha +script|load +script|exists",
            writes=(
                "_kombu.binding.celeryev*",
                "_kombu.binding_permanent.celeryev*",
                "_kombu.binding_deadlines",
                "_kombu.binding.*celery.pidbox",
                "celeryev.*",
            ),
            reads=("farm:*", *queues),
            channels=(*_ALL_EVENTS, _EVENTS, _CONTROL),
        ),
    }


USERS = tuple(users())


def acl(
    passwords: Mapping[str, str], *, roles: Iterable[str] = ROLES, server: tuple[int, ...] = FINE
) -> str:
    """The ACL file: what each user may do, and nobody without a password.

    passwords   user -> password; random, for they are kept as plain SHA-256 here
    server      version of the Redis that reads it. Before 7.0 a user that may read a key may
                write it too, as far as its commands go
    Raises ValueError for an unknown or missing user.
    """
    known = users(roles)
    if set(passwords) != set(known):
        raise ValueError(f"passwords of {', '.join(passwords)}; wanted: {', '.join(known)}")
    lines = ["user default off resetpass resetkeys resetchannels -@all"]
    for name, user in known.items():
        fine = server >= FINE
        digest = hashlib.sha256(passwords[name].encode()).hexdigest()
        words = [
            f"user {name} on #{digest} resetkeys resetchannels",
            *(f"~{pattern}" for pattern in user.writes),
            *(f"%R~{pattern}" if fine else f"~{pattern}" for pattern in user.reads),
            *(f"&{pattern}" for pattern in user.channels),
            f"-@all {user.commands}",
        ]
        lines.append(" ".join(words))
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, kw_only=True)
class Tls:
    """Files of a server that answers at rediss:// and in the clear nowhere."""

    certificate: Path
    key: Path


def conf(
    folder: Path,
    *,
    bind: Sequence[str] = ("127.0.0.1",),
    port: int = 6379,
    tls: Tls | None = None,
) -> str:
    """The configuration file.

    folder  where users.acl lies and data/ is kept, as the server sees it
    bind    addresses to listen at
    Raises ValueError for a folder that the file's format cannot name.
    """
    ports = {"port": str(port)}
    if tls:
        ports = {
            "port": "0",
            "tls-port": str(port),
            "tls-cert-file": _quoted(tls.certificate),
            "tls-key-file": _quoted(tls.key),
            "tls-auth-clients": "no",
            "tls-protocols": '"TLSv1.2 TLSv1.3"',
        }
    values = {
        "bind": " ".join(bind),
        **ports,
        "protected-mode": "yes",
        "aclfile": _quoted(folder / "users.acl"),
        "dir": _quoted(folder / "data"),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": '""',
        # An evicted key would be a lost task.
        "maxmemory-policy": "noeviction",
        # Six for each worker; Redis's own 10,000 would end at 1,600 of them.
        "maxclients": "60000",
        "tcp-keepalive": "60",
        "daemonize": "no",
    }
    return "".join(f"{name} {value}\n" for name, value in values.items())


def write(
    folder: Path,
    *,
    bind: Sequence[str] = ("127.0.0.1",),
    port: int = 6379,
    roles: Iterable[str] = ROLES,
    server: tuple[int, ...] | None = None,
    tls: Tls | None = None,
    seen_at: Path | None = None,
) -> dict[str, Path]:
    """Write redis.conf, users.acl and secrets/ into a folder; user -> file with its password.

    server  version of the Redis that will read them; this machine's without it
    seen_at the folder as that server sees it, where that is another path (a container)
    Raises ValueError for a secret that others may read, OSError where nothing can be written.
    """
    if server is None:
        from farm import broker

        server = broker.version(broker.server())
    folder = folder.absolute()
    (folder / "data").mkdir(parents=True, exist_ok=True, mode=0o700)
    files = {name: folder / "secrets" / name for name in USERS}
    passwords = {name: make_secret(path) for name, path in files.items()}
    _replace(folder / "users.acl", acl(passwords, roles=roles, server=server))
    _replace(folder / "redis.conf", conf(seen_at or folder, bind=bind, port=port, tls=tls))
    return files


def _quoted(path: Path) -> str:
    text = str(path)
    if any(letter in text for letter in '"\\\n\r'):
        raise ValueError(f"{text!r} cannot stand in redis.conf; choose a plainer path")
    return f'"{text}"'


def _replace(path: Path, text: str) -> None:
    """A file of mode 0600, whole or not at all."""
    handle, made = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(made, path)
    except BaseException:
        os.unlink(made)
        raise
