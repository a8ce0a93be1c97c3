"""Shell text that installs a version on a machine, and what that says. Pure.

A version is made under another name and renamed, so that it is there whole or not at all; the
link `current` is replaced by a rename as well. Units name the version that they were started from,
so nothing changes for what runs until it is started anew.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from deploy.place import Place

PROOF = {"render": "bpy", "train": "torch", "monitor": "flower"}
"""Extra -> what must be possible to import once it is installed."""


@dataclass(frozen=True)
class Installed:
    """The versions on a machine."""

    current: str
    """Name of the one that is linked; "" where none is."""
    history: tuple[str, ...]
    """In the order of their coming."""
    there: frozenset[str]
    running: frozenset[str]
    """Those that processes, or units, were started from."""

    @property
    def before(self) -> str | None:
        """What a rollback goes to: what came before the current one, and is still there."""
        names = [name for name in self.history if name in self.there]
        if self.current in names:
            names = names[: names.index(self.current)]
        return names[-1] if names else None

    def stale(self, keep: int) -> list[str]:
        """Versions to remove: neither of the last ones, nor linked, nor in use."""
        last = [name for name in self.history if name in self.there][-keep:]
        return sorted(self.there - {*last, self.current} - self.running)


def look(place: Place) -> str:
    """Tell which versions there are; `seen` reads it."""
    return f"""\
cd -P {_q(place.root)} 2>/dev/null || exit 0
test -e current && echo "current $(basename "$(readlink current)")"
test -f history && sed "s/^/history /" history
words=$(cat /proc/[0-9]*/cmdline units/*.env 2>/dev/null | tr "\\0" "\\n")
for folder in versions/*/; do
  name=$(basename "$folder")
  case "$name" in "*"|*.new) continue;; esac
  echo "there $name"
  case "$words" in *"$PWD/versions/$name/"*) echo "running $name";; esac
done"""


def seen(text: str) -> Installed:
    """What `look` told."""
    found: dict[str, list[str]] = {"current": [], "history": [], "there": [], "running": []}
    for line in text.splitlines():
        word, _, name = line.partition(" ")
        if word in found and name:
            found[word].append(name)
    return Installed(
        "".join(found["current"]),
        tuple(found["history"]),
        frozenset(found["there"]),
        frozenset(found["running"]),
    )


def fetch_uv(place: Place) -> str:
    """Bring uv into a folder of the farm's own; a system's Python refuses --user installs."""
    return f"{given(place)}python3 -m pip install --quiet --upgrade --target {_q(place.tools)} uv"


def folders(place: Place) -> str:
    """Make the folders that everything lies in."""
    mine = " ".join(_q(place.root / name) for name in ("versions", "units", "run", "logs", "state"))
    return f"umask 077 && mkdir -p {_q(place.secrets)} && umask 022 && mkdir -p {mine}"


def environment(place: Place, name: str, uv: str, python: str) -> str:
    """Make an empty environment under the name that a version has before it is whole."""
    new = _new(place, name)
    return (
        given(place) + f"rm -rf {_q(new)} && "
        f"{_q(uv)} venv --quiet --no-project --relocatable --python {_q(python)} {_q(new)} && "
        f"mkdir {_q(new / 'config')}"
    )


def wheel(place: Place, name: str, file: str) -> PurePosixPath:
    """Where the wheel is put."""
    return _new(place, name) / file


def pins(place: Place, name: str) -> PurePosixPath:
    """Where the pins are put."""
    return _new(place, name) / "constraints.txt"


def config(place: Place, name: str, user: str, there: bool) -> PurePosixPath:
    """Where a user's farm.toml is put; there: the version is whole already."""
    folder = place.versions / name if there else _new(place, name)
    return folder / "config" / f"{user}.toml"


def packages(place: Place, name: str, uv: str, file: str, extras: Iterable[str]) -> str:
    """Install the wheel with its extras, as the pins have it."""
    wanted = ",".join(sorted(extras))
    what = f"shapefarm{f'[{wanted}]' if wanted else ''} @ file://{wheel(place, name, file)}"
    return (
        given(place)
        + f"{_q(uv)} pip install --quiet --python {_q(_new(place, name) / 'bin' / 'python')} "
        f"--constraint {_q(pins(place, name))} {_q(what)}"
    )


def proof(place: Place, name: str, extras: Iterable[str]) -> str:
    """Start what was installed; prints its version."""
    new = _new(place, name)
    python = _q(new / "bin" / "python")
    imports = [f"{python} -c {_q('import ' + PROOF[each])}" for each in extras if each in PROOF]
    farm = _q(new / "bin" / "farm")
    imports.append(f"{python} -P -c 'import deploy.supervise'")
    return " && ".join([*imports, f"{farm} --help >/dev/null", f"{farm} --version"])


def config_proof(place: Place, name: str, user: str, there: bool) -> str:
    """Read a farm.toml as the parts of that version will."""
    path = config(place, name, user, there)
    python = _q(path.parent.parent / "bin" / "python")
    return f"FARM_CONFIG={_q(path)} {python} -c 'from farm.settings import load; load()'"


def finish(place: Place, name: str) -> str:
    """Give a version that is whole its name."""
    return f"mv -T {_q(_new(place, name))} {_q(place.versions / name)}"


def flip(place: Place, name: str) -> str:
    """Link a version, in one instant."""
    return (
        f"cd {_q(place.root)} && test -x versions/{_q(name)}/bin/farm && "
        f"ln -sfn versions/{_q(name)} current.new && mv -T current.new current"
    )


def remember(place: Place, name: str) -> str:
    """Note that a version came last."""
    return (
        f"cd {_q(place.root)} && touch history && "
        f"{{ grep -vxF -- {_q(name)} history; echo {_q(name)}; }} > history.new && "
        "mv history.new history"
    )


def remove(place: Place, names: Iterable[str]) -> str:
    """Take versions away; their names first, so that none is left in part."""
    parts = [
        f"mv {_q(place.versions / name)} {_q(_new(place, name))} && rm -rf {_q(_new(place, name))}"
        for name in names
    ]
    return " && ".join(parts) or "true"


def given(place: Place) -> str:
    """Take up the lab's variables. They lie in a file: what they say may be secret."""
    return f"set -a; . {_q(place.variables)}; set +a; "


def _new(place: Place, name: str) -> PurePosixPath:
    return place.versions / f"{name}.new"


def _q(value: object) -> str:
    return shlex.quote(str(value))
