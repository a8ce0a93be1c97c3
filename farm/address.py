"""Where the farm's Redis is: the lab's, or the private one of this machine.

The password of a lab's Redis lies in a file that only its reader may open, and never in an address
that a person writes: so settings, their repr, command lines and environments hold no secret.  It is
put into the address here, for redis-py and for kombu, which both hide it in what they print.

Raised is always a ValueError of one line, and never with a password in it.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from farm import broker
from farm.secret import read_secret
from farm.settings import Settings

SCHEMES = ("redis", "rediss", "unix")
LOOPBACK = "127.0.0.1"


def redis_url(settings: Settings) -> str:
    """As redis-py writes it, with the password. Raises ValueError for what must not be used."""
    if settings.broker_url is None:
        return broker.url(settings.home)
    parts = _checked(settings)
    query = _query(parts, settings)  # urlunsplit would lose the slashes of unix:///path
    return f"{parts.scheme}://{_netloc(parts, settings)}{parts.path}" + (query and f"?{query}")


def celery_url(settings: Settings) -> str:
    """As kombu writes it, with the password. Raises ValueError for what must not be used."""
    if settings.broker_url is None:
        return f"redis+socket://{broker.socket_path(settings.home)}?virtual_host=0"
    url = redis_url(settings)
    if url.startswith("unix://"):
        return "redis+socket://" + url.removeprefix("unix://").replace("db=", "virtual_host=")
    return url


def _checked(settings: Settings) -> SplitResult:
    """The address's parts, once it is one that may be used."""
    url = str(settings.broker_url)
    try:
        parts = urlsplit(url)
        host, password = parts.hostname, parts.password
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"FARM_BROKER_URL is no address: {error}") from None
    if password is not None or "password=" in parts.query:
        raise ValueError(
            "FARM_BROKER_URL has a password in it, where others can read it; write the password "
            "into a file of mode 0600 that FARM_BROKER_PASSWORD_FILE names"
        )
    if parts.scheme not in SCHEMES:
        raise ValueError(
            f"FARM_BROKER_URL ({url}): the address of a Redis begins with redis://, rediss:// "
            "or unix://"
        )
    if parts.scheme != "unix" and not host:
        raise ValueError(f"FARM_BROKER_URL ({url}) names no host, as in redis://worker@host:6379/0")
    if settings.broker_password_file is None and parts.scheme != "unix" and not loopback(str(host)):
        raise ValueError(
            f"FARM_BROKER_URL ({url}): no Redis without a password beyond this machine; "
            "FARM_BROKER_PASSWORD_FILE names the file with the password"
        )
    return parts


def _netloc(parts: SplitResult, settings: Settings) -> str:
    user, _, place = parts.netloc.rpartition("@")
    if settings.broker_password_file is None:
        return parts.netloc
    secret = read_secret(settings.broker_password_file, "FARM_BROKER_PASSWORD_FILE")
    return f"{user}:{quote(secret, safe='')}@{place}"


def _query(parts: SplitResult, settings: Settings) -> str:
    """With what TLS asks for: a certificate that is valid, and for this host."""
    if parts.scheme != "rediss":
        return parts.query
    options = {"ssl_cert_reqs": "required", "ssl_check_hostname": "true"}
    if settings.broker_ca_file is not None:
        if not settings.broker_ca_file.is_file():
            raise ValueError(f"FARM_BROKER_CA_FILE: no file {settings.broker_ca_file}")
        options["ssl_ca_certs"] = str(settings.broker_ca_file)
    kept = [part for part in parts.query.split("&") if part and not part.startswith("ssl_")]
    return "&".join([*kept, urlencode(options)])


def loopback(host: str) -> bool:
    """Whether a host's name means this machine and no network."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def own_address(url: str) -> str:
    """This machine's address, as those see it that use the same Redis: that which it is reached
    from. 127.0.0.1 for a Redis of this machine alone."""
    parts = urlsplit(url)
    if not parts.hostname:
        return LOOPBACK
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 6379, type=socket.SOCK_DGRAM)
        family, kind, _, _, place = found[0]
        with socket.socket(family, kind) as telephone:
            telephone.connect(place)  # chooses a way; nothing is sent
            return str(telephone.getsockname()[0])
    except OSError:
        return LOOPBACK
