"""Flower for the farm, behind its password."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """Serve Flower behind a password: the farm's tasks by name, its workers and queues.

    It listens on this machine alone; beyond it, it wants TLS. Also serves /metrics for Prometheus.
    `farm up` runs it beside a private farm.

        farm monitor
        farm monitor --address 0.0.0.0 --cert lab.pem --key lab.key
    """

    port: int | None = None
    """Where it listens; FARM_FLOWER_PORT, which is 5555, without it."""
    address: str = "127.0.0.1"
    """Address to listen on; beyond this machine only with TLS."""
    cert: Path | None = None
    """Certificate, with its chain, as PEM; with --key it is served by TLS."""
    key: Path | None = None
    """Private key of the certificate."""
    behind_proxy: bool = False
    """A proxy with TLS stands in front, and nothing else reaches the port."""

    def __call__(self) -> int:
        import importlib.util

        from farm import local
        from farm.settings import load

        if not importlib.util.find_spec("flower"):
            raise ValueError("Flower is not installed: `uv run --extra monitor farm monitor`")
        from farm.web import monitor
        from farm.web.server import Place

        settings = load()
        place = Place(
            port=settings.flower_port if self.port is None else self.port,
            address=self.address,
            cert=self.cert,
            key=self.key,
            behind_proxy=self.behind_proxy,
        )
        if settings.private and not local.running(settings):
            raise ValueError("no farm runs here; `farm up` starts one, and this beside it")
        return monitor.main(settings, place)


COMMANDS = {"monitor": Monitor}
