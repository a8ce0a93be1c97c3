"""Where pages listen: on this machine alone; elsewhere only with TLS.

place = Place(port=5556)
app = application([("/", Overview)], password.load(home), place, title="dashboard")
serve(app, place, print)
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tornado.httpserver
import tornado.routing
import tornado.web

from farm.web.login import LOOPBACK, Guard, Login, Logout, Missing, Static
from farm.web.password import Secrets

HERE = Path(__file__).parent
MOST_BYTES = 64 * 1024
"""Of a request: forms of ours are small."""
SLOW_S = 20.0
"""A request that takes longer to arrive is dropped."""
LAST_S = 2.0
"""A connection that does not close by then is left to its fate."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """An address and a port, and how what is said there is kept secret.

    Raises ValueError for an address beyond this machine without TLS.
    """

    port: int
    address: str = "127.0.0.1"
    cert: Path | None = None
    key: Path | None = None
    behind_proxy: bool = False
    """A proxy with TLS stands in front, and nothing else reaches the port: it is believed whom
    it answers."""

    def __post_init__(self) -> None:
        if not 0 <= self.port < 65536:
            raise ValueError(f"--port {self.port}: 0 to 65535")
        if (self.cert is None) != (self.key is None):
            raise ValueError("--cert and --key belong together")
        if not (self.loopback or self.cert or self.behind_proxy):
            raise ValueError(
                f"--address {self.address}: beyond this machine passwords need TLS; give --cert "
                "and --key, or --behind-proxy where a proxy has them"
            )

    @property
    def loopback(self) -> bool:
        return self.address in LOOPBACK

    @property
    def secure(self) -> bool:
        """Whether all that reaches it came by TLS."""
        return self.cert is not None or self.behind_proxy

    @property
    def hosts(self) -> frozenset[str] | None:
        """Names under which a page may be asked for; None: any."""
        return LOOPBACK if self.loopback and not self.behind_proxy else None

    def tls(self) -> ssl.SSLContext | None:
        """Raises ValueError where the files are no certificate and key."""
        if self.cert is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.cert, self.key)
        except OSError as error:  # ssl's own are OSErrors
            raise ValueError(
                f"--cert {self.cert} --key {self.key}: {error.strerror or error}"
            ) from None
        return context


def application(
    routes: Sequence[Any],
    secrets: Secrets,
    place: Place,
    *,
    title: str,
    private: bool = False,
    **more: Any,
) -> tornado.web.Application:
    """The pages of one server, with a login, a logout and what every page needs.

    routes   tornado's: (pattern, Handler) or (pattern, Handler, arguments)
    title    what the pages call themselves
    private  whether looking needs a login too; beyond this machine it always does
    more     settings that the handlers of the routes look for
    """
    private = private or place.hosts is None
    guard = Guard(secrets, private=private, hosts=place.hosts, secure=place.secure)
    return tornado.web.Application(
        [*routes, ("/login", Login), ("/logout", Logout)],
        guard=guard,
        title=title,
        cookie_secret=secrets.key,
        login_url="/login",
        xsrf_cookies=True,
        xsrf_cookie_kwargs={"httponly": True, "samesite": "Strict", "secure": place.secure},
        cross_origin_protection=True,
        template_path=str(HERE / "templates"),
        static_path=str(HERE / "static"),
        static_handler_class=Static,
        default_handler_class=Missing,
        **more,
    )


def listen(app: tornado.routing.Router, place: Place) -> tuple[tornado.httpserver.HTTPServer, str]:
    """Begin to answer, in the loop that runs; the server and its address.

    Raises ValueError where the port is taken or the certificate is none.
    """
    tls = place.tls()
    try:
        family = socket.AF_INET6 if ":" in place.address else socket.AF_INET
        listening = socket.create_server((place.address, place.port), family=family, backlog=128)
    except OSError as error:
        raise ValueError(
            f"{place.address} port {place.port}: {error.strerror or error}; choose another --port"
        ) from None
    server = tornado.httpserver.HTTPServer(
        app,
        ssl_options=tls,
        xheaders=place.behind_proxy,
        max_body_size=MOST_BYTES,
        max_header_size=MOST_BYTES,
        body_timeout=SLOW_S,
        idle_connection_timeout=120,
    )
    listening.setblocking(False)
    server.add_socket(listening)
    host = f"[{place.address}]" if ":" in place.address else place.address
    return server, f"{'https' if tls else 'http'}://{host}:{listening.getsockname()[1]}/"


def serve(app: tornado.routing.Router, place: Place, started: Callable[[str], None]) -> int:
    """Answer until SIGTERM (returns 0) or Ctrl-C (130); `started` is told the address."""
    return asyncio.run(_serve(app, place, started))


async def _serve(app: tornado.routing.Router, place: Place, started: Callable[[str], None]) -> int:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()

    def end(code: int) -> None:
        if not ended.done():
            ended.set_result(code)

    loop.add_signal_handler(signal.SIGTERM, end, 0)
    loop.add_signal_handler(signal.SIGINT, end, 130)
    server, url = listen(app, place)
    started(url)
    code = await ended
    await stop(server)
    return code


async def stop(server: tornado.httpserver.HTTPServer) -> None:
    """Answer no more; who is being answered gets a moment."""
    server.stop()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(server.close_all_connections(), LAST_S)
