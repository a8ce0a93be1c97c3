"""How the parts of a lab's farm reach its Redis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from deploy.inventory import Host, Redis


@dataclass(frozen=True)
class Access:
    """What is secret, and read before any host is asked."""

    redis: Redis
    passwords: Mapping[str, str] = field(repr=False)
    """User -> password; empty where the lab's Redis has none."""
    ca: str = ""
    """Certificate of whoever signed Redis's own; "" without TLS or for a public one."""

    def pairs(self, host: Host) -> list[tuple[str, str]]:
        """User and password of each part of a host."""
        return [(user, self.passwords.get(user, "")) for user in host.users]

    @property
    def address(self) -> dict[str, Any]:
        """host, port, tls, ca: as a program needs them that has no library for it."""
        url = urlsplit(self.redis.url)
        return {
            "host": url.hostname,
            "port": url.port or 6379,
            "tls": url.scheme == "rediss",
            "ca": self.ca,
        }


def access(redis: Redis, hosts: Iterable[Host]) -> Access:
    """Read the passwords that these hosts need. Raises ValueError for one that is not there."""
    passwords = {}
    for user in sorted({user for host in hosts for user in host.users}):
        if redis.passwords is None:
            continue
        try:
            passwords[user] = (redis.passwords / user).read_text("utf-8").strip()
        except OSError as error:
            raise ValueError(
                f"{redis.passwords / user}: {error.strerror}; `farm deploy redis --out DIR` writes "
                "the passwords, and passwords in [redis] is DIR/secrets"
            ) from None
    try:
        return Access(redis, passwords, redis.ca_file.read_text("utf-8") if redis.ca_file else "")
    except OSError as error:
        raise ValueError(f"{redis.ca_file}: {error.strerror}; ca_file in [redis]") from None
