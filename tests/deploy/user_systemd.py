"""A real `systemd --user` on a host of a lab, as a machine that booted with systemd has one."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.lab.hosts import Host, wait

PROGRAM = Path("/lib/systemd/systemd")
CGROUPS = Path("/sys/fs/cgroup")
SCRIPT = """\
for folder in {folders}; do mkdir "$folder" && echo $$ > "$folder/cgroup.procs"; done
mkdir -p /run/systemd/system /run/user/0 && chmod 700 /run/user/0
XDG_RUNTIME_DIR=/run/user/0 exec {program} --user
"""


@contextlib.contextmanager
def user_systemd(host: Host) -> Iterator[bool]:
    """Whether it could be started; it ends with the host, its control groups with the block."""
    # It takes everything in its control group for its own, so it has one for itself.
    name = f"{host.lab.root.name}-{host.name}"
    hierarchies = [CGROUPS] if (CGROUPS / "cgroup.procs").exists() else sorted(CGROUPS.iterdir())
    folders = [path / name for path in hierarchies if (path / "cgroup.procs").exists()]
    try:
        yield PROGRAM.exists() and _runs(host, folders)
    finally:
        for folder in folders:
            for path in (*sorted(folder.rglob("*/"), reverse=True), folder):
                with contextlib.suppress(OSError):
                    path.rmdir()


def _runs(host: Host, folders: list[Path]) -> bool:
    script = SCRIPT.format(folders=" ".join(map(str, folders)), program=PROGRAM)
    host.start(["sh", "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    asked = ["env", "XDG_RUNTIME_DIR=/run/user/0", "systemctl", "--user", "is-system-running"]
    try:
        wait(lambda: host.run(asked, check=False).stdout.strip() in ("running", "degraded"))
    except TimeoutError:
        return False
    return True
