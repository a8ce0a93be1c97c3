"""Shell text for what keeps units running, and what that says. Pure.

Two of a kind: SYSTEMD is systemd --user, PROCESSES is deploy.supervise of the version that is
linked. Both have the same functions.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deploy.inventory import Host
from deploy.place import Place
from deploy.survey import Survey

BUS = 'export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/run/user/$(id -u)}"; '
UNITS = ".config/systemd/user"  # in a home
PROPERTIES = "Id,ActiveState,NRestarts,ExecMainStartTimestampMonotonic"


@dataclass(frozen=True)
class State:
    """How one unit is."""

    name: str
    up: bool
    up_s: float
    restarts: int


@dataclass(frozen=True)
class Keeping:
    """What keeps units running on a machine."""

    name: str
    start: Callable[[Place, Sequence[str]], str]
    stop: Callable[[Place, Sequence[str], bool], str]
    """now: kill them at once."""
    look: Callable[[Place, Sequence[str]], str]
    states: Callable[[str], list[State]]
    """What `look` told."""
    logs: Callable[[Place, str, int, bool], str]
    """Of units with this in their name, the last so many lines, and for ever those to come."""


def of(host: Host, found: Survey) -> Keeping:
    """What keeps units running there."""
    by_systemd = host.supervision == "systemd" or (host.supervision == "auto" and found.systemd)
    return SYSTEMD if by_systemd else PROCESSES


def _systemctl(*words: str) -> str:
    return f"{BUS}systemctl --user {shlex.join(words)}"


def _services(names: Sequence[str]) -> list[str]:
    return [f"{name}.service" for name in names]


def _systemd_start(place: Place, names: Sequence[str]) -> str:
    return (
        f"{_systemctl('daemon-reload')} && systemctl --user enable --quiet --now "
        f"{shlex.join(_services(names))}"
    )


def _systemd_stop(place: Place, names: Sequence[str], now: bool) -> str:
    services = shlex.join(_services(names))
    kill = f"systemctl --user kill --signal=KILL {services}; " if now else ""
    # disabled first, or what is killed would be started anew
    return (
        f"{BUS}systemctl --user disable --quiet {services}; {kill}systemctl --user stop {services}"
    )


def _systemd_look(place: Place, names: Sequence[str]) -> str:
    return (
        f"cut -d' ' -f1 /proc/uptime; "
        f"{_systemctl('show', f'--property={PROPERTIES}', *_services(names))}"
    )


def _systemd_states(text: str) -> list[State]:
    uptime, _, rest = text.partition("\n")
    found = []
    for block in rest.strip().split("\n\n"):
        facts = dict(line.partition("=")[::2] for line in block.splitlines())
        if "Id" not in facts:
            continue
        up = facts.get("ActiveState") == "active"
        since = int(facts.get("ExecMainStartTimestampMonotonic") or 0) / 1e6
        found.append(
            State(
                name=facts["Id"].removesuffix(".service"),
                up=up,
                up_s=float(uptime) - since if up else 0.0,
                restarts=int(facts.get("NRestarts") or 0),
            )
        )
    return found


def _systemd_logs(place: Place, part: str, lines: int, follow: bool) -> str:
    words = [f"--lines={lines}", f"--user-unit=farm-*{part}*", *(["--follow"] if follow else [])]
    return f"{BUS}journalctl --quiet --no-pager {shlex.join(words)}"


def _supervise(place: Place, *words: str) -> str:
    # The linked folder by its own name: else what is imported late would come from the next one.
    python = f'"$(realpath {shlex.quote(str(place.current))})/bin/python"'
    action, *rest = words
    return f"{python} -P -m deploy.supervise {shlex.join([str(place.root), action, *rest])}"


def _processes_start(place: Place, names: Sequence[str]) -> str:
    return _supervise(place, "start", *names)


def _processes_stop(place: Place, names: Sequence[str], now: bool) -> str:
    return _supervise(place, "stop", *(["--now"] if now else []), *names)


def _processes_look(place: Place, names: Sequence[str]) -> str:
    return _supervise(place, "status", *names)


def _processes_states(text: str) -> list[State]:
    return [State(**json.loads(line)) for line in text.splitlines() if line.startswith("{")]


def _processes_logs(place: Place, part: str, lines: int, follow: bool) -> str:
    # By their names (-F): what is begun anew is followed as well.
    files = f"{shlex.quote(str(place.logs))}/farm-*{shlex.quote(part)}*.log"
    # What is followed ends with the connection, and not with the next line.
    more = "-F --pid=$PPID " if follow else ""
    return f"tail -q -n {lines} {more}{files} 2>/dev/null"


SYSTEMD = Keeping(
    "systemd", _systemd_start, _systemd_stop, _systemd_look, _systemd_states, _systemd_logs
)
PROCESSES = Keeping(
    "processes",
    _processes_start,
    _processes_stop,
    _processes_look,
    _processes_states,
    _processes_logs,
)
