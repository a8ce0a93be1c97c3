"""`farm dashboard`: the farm's datasets, jobs and workers in a browser."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """Show datasets, jobs and workers in a browser.

        farm dashboard
        farm dashboard --address 0.0.0.0 --cert lab.pem --key lab.key

    On this machine looking needs no login, unless --private; pausing, cancelling and the like
    always do. Beyond this machine both do, and TLS.
    """

    port: int | None = None
    """Where it listens; without it, FARM_DASHBOARD_PORT."""
    address: str = "127.0.0.1"
    """Of this machine; another one than 127.0.0.1 needs TLS."""
    cert: Path | None = None
    """File with the certificate, and those that vouch for it."""
    key: Path | None = None
    """File with the certificate's key."""
    behind_proxy: bool = False
    """A proxy with TLS stands in front, and only it reaches the port."""
    private: bool = False
    """Looking needs a login as well."""

    def __call__(self) -> int:
        try:
            import tornado  # noqa: F401
        except ModuleNotFoundError:
            raise ValueError(
                "farm dashboard needs the extra monitor: pip install 'shapefarm[monitor]'"
            ) from None
        import logging
        import threading

        from farm import local
        from farm.settings import load
        from farm.web import dashboard, password
        from farm.web.server import Place, serve

        logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
        logging.getLogger("tornado.access").setLevel(logging.ERROR)
        settings = load()
        place = Place(
            port=settings.dashboard_port if self.port is None else self.port,
            address=self.address,
            cert=self.cert,
            key=self.key,
            behind_proxy=self.behind_proxy,
        )
        secrets = password.load(settings.home, settings.web_password_file)
        store = local.open_store(settings)
        app = dashboard.make(settings, store, secrets, place, private=self.private)
        ended = threading.Event()
        threading.Thread(
            target=dashboard.keep_awake, args=(settings, store, ended), daemon=True
        ).start()

        def started(url: str) -> None:
            print(f"{url}\nthe password to steer it is in {secrets.file}", flush=True)

        try:
            return serve(app, place, started)
        finally:
            ended.set()


COMMANDS = {"dashboard": Dashboard}
