"""Where the farm's Redis is: the lab's, or the private one of this machine."""

from __future__ import annotations

from farm import broker
from farm.settings import Settings


def redis_url(settings: Settings) -> str:
    """As redis-py writes it."""
    return settings.broker_url or broker.url(settings.home)


def celery_url(settings: Settings) -> str:
    """As kombu writes it."""
    if not settings.broker_url:
        return f"redis+socket://{broker.socket_path(settings.home)}?virtual_host=0"
    if settings.broker_url.startswith("unix://"):
        return "redis+socket://" + settings.broker_url.removeprefix("unix://").replace(
            "db=", "virtual_host="
        )
    return settings.broker_url
