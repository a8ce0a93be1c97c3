"""Puts a version on machines: an environment of its own, its configuration, and the link to it."""

from __future__ import annotations

import re

from deploy import farm_toml, install, variables
from deploy.access import Access, access
from deploy.check import disk
from deploy.errors import HostFailed
from deploy.fleet import Outcome, Say, Show, each
from deploy.install import Installed
from deploy.inventory import Host, Lab
from deploy.place import Place
from deploy.release import Release
from deploy.remote import Remote
from deploy.survey import Survey, survey

INSTALL_S = 3600  # torch and CUDA are gigabytes
PROOF_S = 300  # the first import of Blender or torch from a cold disk


def push(lab: Lab, hosts: tuple[Host, ...], release: Release, show: Show) -> list[Outcome]:
    """Install a release on every host and link it; what runs goes on until it is restarted.

    Facts: version, was (what was linked before), removed (old versions).
    """
    ways = access(lab.redis, hosts)

    def one(host: Host, remote: Remote, say: Say) -> Outcome:
        say("looking at what it has")
        found = survey(host, remote)
        place = Place.of(host.root, found.home)
        name = release.name(host.needs, host.python)
        before = installed(remote, place)
        for problem in disk(host, found) if name not in before.there else ():
            raise HostFailed(problem.what, problem.remedy, problem.about)
        remote.run(install.folders(place))
        remote.put(place.variables, variables.text(host.environment).encode(), 0o600)
        if name not in before.there:
            _install(host, remote, say, release, place, name, found)
        say("writing its configuration")
        _configure(host, remote, ways, place, name, name in before.there)
        if name not in before.there:
            remote.run(install.finish(place, name))
        say("linking it")
        remote.run(install.flip(place, name))
        remote.run(install.remember(place, name))
        stale = installed(remote, place).stale(lab.keep)
        remote.run(install.remove(place, stale), timeout_s=PROOF_S)
        return Outcome(host.name, {"version": name, "was": before.current, "removed": stale})

    return each(lab, hosts, one, show)


def installed(remote: Remote, place: Place) -> Installed:
    """The versions that are on a machine."""
    return install.seen(remote.run(install.look(place)).out)


def _install(
    host: Host, remote: Remote, say: Say, release: Release, place: Place, name: str, found: Survey
) -> None:
    uv = found.uv
    if not uv:
        say("fetching uv")
        remote.run(install.fetch_uv(place), timeout_s=PROOF_S)
        uv = str(place.tools / "bin" / "uv")
    say("making an environment")
    remote.run(install.environment(place, name, uv, host.python), timeout_s=PROOF_S)
    remote.put(install.wheel(place, name, release.file), release.wheel)
    remote.put(install.pins(place, name), release.pins.encode())
    say(f"installing {', '.join(host.needs) or 'the base'}")
    remote.run(install.packages(place, name, uv, release.file, host.needs), timeout_s=INSTALL_S)
    say("trying it")
    said = remote.run(install.proof(place, name, host.needs), timeout_s=PROOF_S, check=False)
    if said.code:
        raise HostFailed(*unproven(said.last), "version")
    if said.out.split()[-1:] != [release.version]:
        raise HostFailed(
            f"it says {said.out.strip()!r} and not {release.version}",
            "does PYTHONPATH in [environment] name another shapefarm?",
            "version",
        )


def _configure(
    host: Host, remote: Remote, ways: Access, place: Place, name: str, there: bool
) -> None:
    """farm.toml and the password of each user, which nobody else can read."""
    if ways.ca:
        remote.put(place.ca_file, ways.ca.encode())
    for user, password in ways.pairs(host):
        if password:
            remote.put(place.secrets / user, f"{password}\n".encode(), 0o600)
        text = farm_toml.text(host, ways.redis, user, place)
        remote.put(install.config(place, name, user, there), text.encode(), 0o600)
        said = remote.run(install.config_proof(place, name, user, there), check=False)
        if said.code:
            raise HostFailed(
                said.last.removeprefix("ValueError: "),
                "mend [settings] in the inventory",
                "version",
            )


def unproven(last: str) -> tuple[str, str]:
    """What a version that cannot be started lacks, and the remedy."""
    library = re.search(r"ImportError: (lib[^:]+): cannot open shared object file", last)
    if library:
        return f"{library[1]} is missing", "sudo apt install what `apt-file search` finds for it"
    return f"it cannot be started: {last}", "`farm deploy check` tells what the host lacks"
