"""lab.toml: which machines a lab has, what runs on them, and where its Redis is.

    user = "farm"                          what a host does not say for itself; see Host
    storage_roots = ["/data/datasets"]

    [redis]
    url = "redis://server/0"
    passwords = "redis/secrets"            what `farm deploy redis` wrote

    [environment]                          of uv and of all that runs on the hosts
    UV_INDEX_URL = "https://pypi.lab/simple"

    [settings]                             of their farm.toml
    shapenet_root = "/data/ShapeNetCore.v2"

    [hosts.server]
    roles = ["controller", "monitor"]

    [hosts."gpu[01-04]"]                   gpu01, gpu02, gpu03, gpu04
    roles = ["render"]

Everything is checked before any host is asked anything.
"""

from __future__ import annotations

import fnmatch
import itertools
import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from deploy.errors import InventoryRefused
from farm import kinds
from farm.address import loopback
from farm.errors import FarmError
from farm.settings import Settings
from farm.settings import load as load_settings
from farm.stages import near

WORKERS = {
    "render": ("render",),
    "train": ("train",),
    "both": ("render", "train"),
    "cpu": ("render", "train"),
}
"""Role of a worker -> extras that it needs."""
SERVERS = {"controller": (), "monitor": ("monitor",), "dashboard": ("monitor",)}
"""Role that is one process of its own -> extras that it needs."""
ON_GPUS = ("render", "train", "both")
OURS = ("home", "broker_url", "broker_password_file", "broker_ca_file", "storage_roots")
"""Settings that the inventory says elsewhere."""
TOP = ("redis", "hosts", "known_hosts", "keep", "connect_s")
NUMBERS = ("keep", "connect_s")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
FOLDER = re.compile(r"[A-Za-z0-9/._~-]+")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
RANGE = re.compile(r"\[([^\]]*)\]")
MOST_HOSTS = 10_000


@dataclass(frozen=True, kw_only=True)
class Redis:
    """Where the lab's Redis is."""

    url: str
    """redis://host:6379/0, or rediss:// for TLS; without user and password."""
    passwords: Path | None = None
    """Folder with a file for each user, as `farm deploy redis` writes it."""
    ca_file: Path | None = None
    """Certificate of whoever signed Redis's own, for rediss://."""

    def __post_init__(self) -> None:
        if not re.match(r"rediss?://[^@/]+(/\d+)?$", self.url):
            told = re.sub(r"//.*@", "//...@", self.url)  # a password would stand there
            raise ValueError(
                f"url {told!r} must be redis://HOST:PORT/0 or rediss://HOST:PORT/0, without "
                "user and password: passwords names the folder of those"
            )
        if self.passwords is None and not loopback(str(urlsplit(self.url).hostname)):
            raise ValueError(
                f"no passwords for {self.url}; name the folder `secrets` that "
                "`farm deploy redis --out DIR` wrote"
            )


@dataclass(frozen=True, kw_only=True)
class Host:
    """One machine; a key that it does not have is looked for at the top of the file."""

    name: str
    address: str
    """What ssh is given; the name, where it says none."""
    roles: tuple[str, ...]
    """What runs there: render, train, both, cpu; controller, monitor, dashboard."""
    user: str | None = None
    """Who logs in; without it, whom ssh's own configuration names."""
    port: int | None = None
    key: Path | None = None
    """Private key file; without it, ssh's own keys and its agent."""
    root: str = "~/shapefarm"
    """Folder of the farm on the host."""
    python: str = "3.11"
    uv: str = "uv"
    """The program, where it is not on the path."""
    supervision: Literal["auto", "systemd", "process"] = "auto"
    """What keeps the farm running: systemd --user where it answers, else processes of ours."""
    gpus: Literal["auto"] | tuple[int, ...] = "auto"
    """Which cards have workers, as nvidia-smi counts them; auto: all."""
    slots: int = 0
    """Workers that need no GPU; 0: as many as suit its cores and memory."""
    arguments: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Role -> further words of its command line: monitor = ["--address", "0.0.0.0"]."""
    extras: tuple[str, ...] = ()
    """Further extras, beside those of its roles."""
    storage_roots: tuple[str, ...] = ()
    """Folders that all hosts see, where jobs may read and write."""
    environment: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"the name {self.name!r} will not do; take letters, digits, - and .")
        if not FOLDER.fullmatch(self.root) or not self.root.startswith(("/", "~/")):
            raise ValueError(
                f"root {self.root!r} must be a full path or begin with ~/, of letters, digits, ._-"
            )
        if not self.roles:
            raise ValueError('roles is empty; say what runs there, such as roles = ["render"]')
        self._check_roles()
        if self.slots < 0 or (self.gpus != "auto" and min(self.gpus, default=0) < 0):
            raise ValueError("gpus and slots must be at least 0")
        for folder in self.storage_roots:
            if not folder.startswith(("/", "s3://")):
                raise ValueError(f"storage_roots {folder!r} must be a full path or s3://BUCKET")
        for role, words in self.arguments.items():
            if role not in self.roles:
                raise ValueError(f"arguments of {role!r}, which is none of its roles")
            if not all(re.fullmatch(r"[\w@%+=:,./-]+", word) for word in words):
                raise ValueError(f"arguments of {role}: {list(words)}: words without spaces")
        _check_variables(self.environment)
        _check_settings(self.settings)

    def _check_roles(self) -> None:
        known = (*WORKERS, *SERVERS)
        for role in self.roles:
            own = self.settings.get("kind_packages") and re.fullmatch(r"[a-z]+", role)
            if role not in known and not own:
                raise ValueError(f"no role {role!r}; {near(role, known)}")
        sharing = [role for role in self.roles if role in ON_GPUS]
        if len(sharing) > 1:
            raise ValueError(
                f"roles {', '.join(sharing)} would put two workers on each GPU; "
                'take "both", whose one worker does both'
            )

    @property
    def needs(self) -> tuple[str, ...]:
        """The extras that what runs there needs."""
        of_roles = {**WORKERS, **SERVERS}
        found = {extra for role in self.roles for extra in of_roles.get(role, ())}
        return tuple(sorted(found | set(self.extras)))

    @property
    def folders(self) -> tuple[str, ...]:
        """Its storage roots that are folders, and not object stores."""
        return tuple(root for root in self.storage_roots if root.startswith("/"))

    @property
    def users(self) -> tuple[str, ...]:
        """By which names its parts speak to Redis."""
        return tuple(dict.fromkeys(user_of(role) for role in self.roles))

    @property
    def worker_roles(self) -> tuple[str, ...]:
        return tuple(role for role in self.roles if role not in SERVERS)


@dataclass(frozen=True, kw_only=True)
class Lab:
    """A checked inventory."""

    file: str
    redis: Redis
    hosts: tuple[Host, ...]
    known_hosts: Path
    """Host keys that are known; no other host is spoken to."""
    keep: int = 3
    """Versions that stay on a host, for a rollback."""
    connect_s: int = 10
    """A host that does not answer for so long counts as not reachable; one that fell silent while
    it was at work, after three times as long."""

    def chosen(self, patterns: Iterable[str]) -> tuple[Host, ...]:
        """The hosts of these names, ranges or patterns (gpu*); all, where none is given.

        Raises ValueError for what names no host.
        """
        names = [host.name for host in self.hosts]
        wanted: set[str] = set()
        for pattern in patterns:
            for name in spread(pattern):
                found = fnmatch.filter(names, name)
                if not found:
                    raise ValueError(f"no host {name!r} in {self.file}; {near(name, names)}")
                wanted.update(found)
        return tuple(host for host in self.hosts if not wanted or host.name in wanted)


def user_of(role: str) -> str:
    """By which name a role speaks to Redis; a dashboard pauses and cancels for who logs in."""
    servers = {"controller": "controller", "monitor": "monitor", "dashboard": "submit"}
    return servers.get(role, "worker")


def read(path: Path) -> Lab:
    """The inventory in a file; its paths are seen from the file's folder.

    Raises InventoryRefused with everything that is wrong; OSError.
    """
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InventoryRefused(
            str(path), ["no such file; docs/deploy.md shows one, --inventory names it"]
        ) from None
    except ValueError as error:  # also of bytes that are no UTF-8
        raise InventoryRefused(str(path), [f"not TOML: {error}"]) from None
    return check(table, str(path), path.resolve().parent)


def check(table: Mapping[str, Any], file: str, folder: Path) -> Lab:
    """The inventory that a table describes. Raises InventoryRefused."""
    problems: list[str] = []
    shared = [part.name for part in fields(Host) if part.name not in ("name", "address", "roles")]
    problems += [
        f"unknown key {key!r} at the top; {near(key, (*TOP, *shared))}"
        for key in table
        if key not in (*TOP, *shared)
    ]
    redis = _redis(table.get("redis"), folder, problems)
    hosts = list(_hosts(table, shared, folder, problems))
    twice = [name for name, group in itertools.groupby(sorted(h.name for h in hosts))
             if len(list(group)) > 1]  # fmt: skip
    problems += [f"hosts: {name} is there twice" for name in twice]
    known = table.get("known_hosts", "~/.ssh/known_hosts")
    if not isinstance(known, str):
        problems.append(f"known_hosts = {known!r}: a file is wanted")
    numbers = {key: table.get(key, Lab.__dataclass_fields__[key].default) for key in NUMBERS}
    for key, number in numbers.items():
        if type(number) is not int or number < 1:
            problems.append(f"{key} = {number!r}: a whole number is wanted, at least 1")
    if not hosts and not problems:
        problems.append("no hosts; add a table such as [hosts.gpu1]")
    if problems or redis is None:
        raise InventoryRefused(file, dict.fromkeys(problems))
    return Lab(
        file=file, redis=redis, hosts=tuple(hosts), known_hosts=_from(folder, known), **numbers
    )


def _redis(table: Any, folder: Path, problems: list[str]) -> Redis | None:
    if not isinstance(table, dict):
        problems.append('no [redis]; add one with url = "redis://HOST/0"')
        return None
    found: Redis | None = _as(Redis, table, "redis", folder, problems)
    return found


def _hosts(
    table: Mapping[str, Any], shared: list[str], folder: Path, problems: list[str]
) -> Iterator[Host]:
    """Every host of the file, in its order; what is wrong is added to problems."""
    hosts = table.get("hosts", {})
    if not isinstance(hosts, dict):
        problems.append("hosts: tables such as [hosts.gpu1] are wanted")
        return
    defaults = {key: table[key] for key in shared if key in table}
    for key, own in hosts.items():
        if not isinstance(own, dict):
            problems.append(f"hosts.{key}: a table [hosts.{key}] is wanted")
            continue
        merged: dict[str, Any] = {**defaults, **own}
        for part in ("environment", "settings"):
            both = (defaults.get(part, {}), own.get(part, {}))
            if all(isinstance(each, dict) for each in both):
                merged[part] = {**both[0], **both[1]}
        try:
            names = spread(key)
            addresses = spread(str(own.get("address", key)))
            if len(names) != len(addresses):
                raise ValueError(f"{len(addresses)} addresses for {len(names)} hosts")
        except (TypeError, ValueError) as error:
            problems.append(f"hosts.{key}: {error}")
            continue
        for name, address in zip(names, addresses, strict=True):
            facts = {**merged, "name": name, "address": address}
            host: Host | None = _as(Host, facts, f"hosts.{key}", folder, problems)
            if host is None:
                break  # the rest of a range would say the same
            yield host


def _as(type_: Any, facts: dict[str, Any], where: str, folder: Path, problems: list[str]) -> Any:
    """An instance of a dataclass of this page; None, and a problem more, where it will not do."""
    known = [part.name for part in fields(type_)]
    unknown = [f"{where}: unknown key {key!r}; {near(key, known)}" for key in facts
               if key not in known]  # fmt: skip
    if unknown:
        problems += unknown
        return None
    gpus = facts.get("gpus", "auto")
    if gpus != "auto" and not (isinstance(gpus, list) and all(type(gpu) is int for gpu in gpus)):
        problems.append(f'{where}: gpus = {gpus!r}: "auto" or numbers such as [0, 1] are wanted')
        return None
    for part in fields(type_):
        if "Path" in str(part.type) and isinstance(facts.get(part.name), str):
            facts = {**facts, part.name: str(_from(folder, facts[part.name]))}
    try:
        return kinds.read(type_, json.dumps(facts, default=str), where)
    except (FarmError, ValueError) as error:
        text = str(error).replace("unknown field", "unknown key").replace("field ", "key ")
        problems.append(text if text.startswith(where) else f"{where}: {text}")
        return None


def _check_variables(variables: Mapping[str, str]) -> None:
    """Raises ValueError for a variable that a file of them cannot hold, or that is a setting."""
    for name, value in variables.items():
        if not VARIABLE.fullmatch(name) or not value.isprintable():
            raise ValueError(f"environment: {name} = {value!r} is no variable of one line")
        if name.startswith("FARM_"):
            setting = name.removeprefix("FARM_").lower()
            raise ValueError(f"environment: {name} is a setting; write {setting} in [settings]")


def _check_settings(settings: Mapping[str, Any]) -> None:
    """Raises ValueError for a setting that farm.toml would not take."""
    known = [part.name for part in fields(Settings) if part.name not in OURS]
    for key, value in settings.items():
        if key in OURS:
            raise ValueError(f"settings: {key} is what deploy itself writes; leave it out")
        if key not in known:
            raise ValueError(f"settings: unknown setting {key!r}; {near(key, known)}")
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        try:
            load_settings({"FARM_CONFIG": os.devnull, f"FARM_{key.upper()}": text})
        except ValueError as error:
            raise ValueError(f"settings: {error}") from None


def spread(text: str) -> list[str]:
    """gpu[01-03,7] -> gpu01, gpu02, gpu03, gpu7. Raises ValueError for a range that is none."""
    match = RANGE.search(text)
    if match is None:
        return [text]
    parts = [_numbers(part, text) for part in match[1].split(",")]
    found = [
        text[: match.start()] + number + rest
        for number in itertools.chain.from_iterable(parts)
        for rest in spread(text[match.end() :])
    ]
    if len(found) > MOST_HOSTS:
        raise ValueError(f"{text!r} makes {len(found)} hosts; at most {MOST_HOSTS}")
    return found


def _numbers(part: str, text: str) -> list[str]:
    """01-03 -> 01, 02, 03; zeros in front stay."""
    first, dash, last = part.partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()):
        raise ValueError(f"{text!r}: {part!r} is no range; write [01-20] or [1,3,5-7]")
    if not dash:
        return [first]
    if int(last) < int(first) or int(last) - int(first) >= MOST_HOSTS:
        raise ValueError(f"{text!r}: {part!r} runs backwards or too far")
    return [f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]


def _from(folder: Path, text: str) -> Path:
    return folder / Path(text).expanduser()
