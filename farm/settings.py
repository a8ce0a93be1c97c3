"""One place for configuration: `farm.toml`, then FARM_* variables, which win.

`farm.toml` is the file named by FARM_CONFIG, else ./farm.toml, else $FARM_HOME/farm.toml.
Its keys are the field names below; the variables are the same in capitals after FARM_.
"""

from __future__ import annotations

import os
import tomllib
import types
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from farm import hours

SWITCHES = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, kw_only=True)
class Settings:
    home: Path = Path("~/.local/state/farm")
    """State of this machine's farm: its Redis, logs, sample shapes."""
    broker_url: str | None = None
    """Redis of the lab's farm, with the user and without the password: redis://worker@host:6379/0;
    without it, a private Redis under `home`."""
    broker_password_file: Path | None = None
    """File with the password of that Redis; nobody else may read it (mode 0600)."""
    broker_ca_file: Path | None = None
    """Certificates that a Redis at rediss:// is checked against; the system's without it."""
    storage_roots: tuple[str, ...] = ()
    """Folders and s3:// addresses beneath which alone jobs read and write; all without them."""
    shapenet_root: Path | None = None
    """Folder of ShapeNetCore v1 or v2."""
    modelnet_root: Path | None = None
    """Folder of ModelNet10 or ModelNet40."""
    samples_root: Path | None = None
    """Folder of the sample shapes; $FARM_HOME/samples without it."""
    kind_packages: tuple[str, ...] = ()
    """More packages whose files are job kinds, beside renderer.jobs and trainer.jobs."""
    logs_root: Path | None = None
    """Folder of the logs of tasks, such as shared storage; $FARM_HOME/logs without it."""
    log_format: str = "text"
    """How the controller and workers write their own logs: text, or json for one object a line."""

    lease_s: float = 15.0
    """A lease not renewed for this long is given to another worker."""
    renew_s: float = 2.0
    """A worker renews its lease and looks for a cancel this often."""
    item_timeout_s: float = 300.0
    """A child that reports nothing for this long is killed; its item failed as timeout."""
    start_timeout_s: float = 120.0
    """A child that is not ready after this long is killed; Blender on a cold disk takes 20."""
    tries: int = 3
    """An item that failed this often is quarantined."""
    yield_to_people: bool = False
    """A worker rests while somebody types or logs in here, or uses the desktop."""
    yield_to_gpu: bool = False
    """A worker rests while a program that is not the farm's computes on its GPU."""
    work_hours: str = ""
    """When workers work here: `20:00-08:00, weekends, fri 16:00-20:00`; always, without it."""
    return_after_s: float = 300.0
    """A worker that yielded works again after so long without a sign of anybody."""
    finish_within_s: float = 5.0
    """A worker that yields ends a task that needs no more than this, and hands back any other."""
    gather_s: float = 300.0
    """Workers wait so long for each other before a run on several machines begins."""
    regroup_s: float = 60.0
    """A run that has lost a machine waits so long for another, then goes on with those left."""
    window: int = 2
    """Tasks kept in the queue per live worker slot."""
    worker_dead_s: float = 10.0
    """A worker not seen for this long counts as dead."""
    tick_s: float = 0.25
    """The controller looks at its jobs this often."""
    vanished_s: float = 6.0
    """A message out of its queue this long without a lease is sent again."""
    publish_s: float = 2.0
    """The index of a running job is rewritten at most this often."""

    threads: int = 0
    """Threads a child may use; 0: all cores."""
    memory_mb: int = 0
    """A child that grows past this is killed as out_of_memory; 0: 80 % of the machine's memory."""
    recycle_mb: int = 1500
    """A child that has grown past this is replaced before its next task."""
    flower_port: int = 5555
    """Where `farm monitor` and `farm up` serve Flower, on 127.0.0.1."""
    dashboard_port: int = 5556
    """Where `farm dashboard` listens, on 127.0.0.1."""
    web_password_file: Path | None = None
    """File of mode 0600 with the password of the pages; $FARM_HOME/web/password without it."""

    def __post_init__(self) -> None:
        if self.log_format not in ("text", "json"):
            raise ValueError(f"log_format ({self.log_format!r}) must be text or json")

    @property
    def private(self) -> bool:
        """Whether this machine runs a farm of its own."""
        return self.broker_url is None

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def task_logs(self) -> Path:
        return self.logs_root or self.logs

    @property
    def roots(self) -> dict[str, str]:
        """Where shapes are looked for: variable -> folder, "" where there is none."""
        return {
            "FARM_SHAPENET_ROOT": str(self.shapenet_root or ""),
            "FARM_MODELNET_ROOT": str(self.modelnet_root or ""),
            "FARM_SAMPLES_ROOT": str(self.samples_root or self.home / "samples"),
        }

    def environment(self) -> dict[str, str]:
        """The FARM_* variables that give a child process these very settings."""
        found: dict[str, str] = {"FARM_CONFIG": os.devnull}
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None or value == ():
                continue
            text = ",".join(value) if isinstance(value, tuple) else str(value)
            found["FARM_" + field.name.upper()] = text
        return found


def look_for_shapes(settings: Settings) -> None:
    """Have this process find shapes where the settings say: kinds and sources go by the variables,
    and farm.toml may be what says it."""
    os.environ |= {name: root for name, root in settings.roots.items() if root}


def load(environ: Mapping[str, str] | None = None, cwd: Path | None = None) -> Settings:
    """Settings of this process.

    Raises ValueError, naming the file or variable, for an unknown key or a value of another type.
    """
    environ = os.environ if environ is None else environ
    cwd = cwd or Path.cwd()
    home = Path(environ.get("FARM_HOME") or Settings.home).expanduser()
    values: dict[str, Any] = {}
    hints = get_type_hints(Settings)
    for path in _files(environ, cwd, home):
        for key, value in _read(path).items():
            if key not in hints:
                known = ", ".join(sorted(hints))
                raise ValueError(f"{path}: unknown setting {key!r}; there are {known}")
            values[key] = _convert(f"{path}: {key}", value, hints[key])
        break
    for key, hint in hints.items():
        text = environ.get("FARM_" + key.upper())
        if text:
            values[key] = _convert("FARM_" + key.upper(), text, hint)
    if values.get("work_hours"):
        hours.parse(values["work_hours"])
    values.setdefault("home", home)
    for key, value in values.items():
        if isinstance(value, Path):
            values[key] = cwd / value.expanduser()
    if "storage_roots" in values:
        values["storage_roots"] = tuple(
            root if "://" in root else str(cwd / Path(root).expanduser())
            for root in values["storage_roots"]
        )
    return Settings(**values)


def _files(environ: Mapping[str, str], cwd: Path, home: Path) -> list[Path]:
    named = environ.get("FARM_CONFIG")
    if named == os.devnull:
        return []
    if named:
        return [cwd / named]
    return [path for path in (cwd / "farm.toml", home / "farm.toml") if path.is_file()]


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; FARM_CONFIG names it") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not TOML: {error}") from None


def _convert(name: str, value: Any, hint: Any) -> Any:
    """value as the type of a field; text is parsed, other types must fit."""
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(arg for arg in get_args(hint) if arg is not type(None))
    try:
        if hint is Path and isinstance(value, str):
            return Path(value)
        if hint is bool:
            return value if isinstance(value, bool) else SWITCHES[value.lower()]
        if hint is str and isinstance(value, str):
            return value
        if get_origin(hint) is tuple:
            parts = value.split(",") if isinstance(value, str) else value
            return tuple(str(part).strip() for part in parts if str(part).strip())
        if hint in (int, float) and not isinstance(value, bool):
            number = hint(value)
            if number < 0:
                raise ValueError
            return number
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    if hint is bool:
        raise ValueError(f"{name} ({value!r}) must be true or false")
    wanted = getattr(hint, "__name__", str(hint))
    raise ValueError(
        f"{name} ({value!r}) must be a {wanted} of at least 0"
        if hint in (int, float)
        else f"{name} ({value!r}) must be a {wanted}"
    )
