"""Where things lie in the farm's folder on a machine.

versions/<version>-<build>-<environment>/    one installation: an environment of its own, with
    config/<user>.toml                       its farm.toml for each user of Redis
current -> versions/...                      what is started next
history                                      versions in the order of their coming
secrets/<user>                               passwords, mode 0600
units/  run/  logs/                          of what is kept running
state/                                       FARM_HOME
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Place:
    """The farm's folder on one machine; a full path."""

    root: PurePosixPath

    @classmethod
    def of(cls, root: str, home: str) -> Place:
        """root as the inventory has it, for a user with this home."""
        return cls(PurePosixPath(home, root[2:]) if root.startswith("~/") else PurePosixPath(root))

    @property
    def versions(self) -> PurePosixPath:
        return self.root / "versions"

    @property
    def current(self) -> PurePosixPath:
        return self.root / "current"

    @property
    def history(self) -> PurePosixPath:
        return self.root / "history"

    @property
    def secrets(self) -> PurePosixPath:
        return self.root / "secrets"

    @property
    def variables(self) -> PurePosixPath:
        return self.root / "environment"

    @property
    def units(self) -> PurePosixPath:
        return self.root / "units"

    @property
    def logs(self) -> PurePosixPath:
        return self.root / "logs"

    @property
    def ca_file(self) -> PurePosixPath:
        return self.secrets / "ca.pem"

    @property
    def tools(self) -> PurePosixPath:
        """uv, where push had to bring it."""
        return self.root / "tools"

    def program(self, version: str) -> PurePosixPath:
        """`farm` of a version."""
        return self.versions / version / "bin" / "farm"

    def config(self, version: str, user: str) -> PurePosixPath:
        """farm.toml of a version, for those who go by this user's name."""
        return self.versions / version / "config" / f"{user}.toml"
