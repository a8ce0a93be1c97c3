"""farm.toml of a machine, one for each user of Redis that its parts go by. Pure."""

from __future__ import annotations

import json
from typing import Any

from deploy.inventory import Host, Redis
from deploy.place import Place


def text(host: Host, redis: Redis, user: str, place: Place) -> str:
    """The file's text; passwords are in files of their own, which it names."""
    scheme, _, rest = redis.url.partition("://")
    settings: dict[str, Any] = {"home": str(place.root / "state")}
    if redis.passwords:
        settings["broker_url"] = f"{scheme}://{user}@{rest}"
        settings["broker_password_file"] = str(place.secrets / user)
    else:
        settings["broker_url"] = redis.url
    if redis.ca_file:
        settings["broker_ca_file"] = str(place.ca_file)
    if host.storage_roots:
        settings["storage_roots"] = list(host.storage_roots)
    lines = [f"{key} = {_value(value)}" for key, value in {**settings, **host.settings}.items()]
    return "\n".join(["# written by farm deploy push", *lines, ""])


def _value(value: Any) -> str:
    """JSON's text, numbers and lists are TOML's."""
    return json.dumps(value)
