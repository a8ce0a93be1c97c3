"""Who may see and do what in the farm's pages. Every page, picture and file is a Handler.

    class Workers(Handler):                 seen by everyone, unless the pages are private
        def get(self) -> None: ...

    class Pause(Handler):
        needs = Needs.LOGIN                 only after a login; POST has its token checked
        def post(self) -> None: ...

    class Metrics(Handler):
        needs = Needs.LOGIN
        takes_token = True                  or with `Authorization: Bearer` and the farm's token

A login is a cookie that is signed, that no script reads and no other site sends, and that ends
after SESSION_H hours. GET changes nothing; what other methods do needs the token of a form of ours
(tornado's xsrf_cookies) and a request that comes from our own pages (cross_origin_protection).
"""

from __future__ import annotations

import enum
import hashlib
import logging
import math
import secrets
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

import tornado.web

from farm.web.attempts import Attempts
from farm.web.password import Secrets, same

log = logging.getLogger(__name__)

SESSION_H = 12
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing inline, nothing from elsewhere, nobody's frame."""
TELLS = {
    401: "Log in first.",
    403: "This is not allowed from here; load the page again.",
    404: "There is no such page, or what it showed is gone.",
    405: "That is not done this way.",
    429: "Too many attempts; wait a little.",
    500: "Something broke here; the log of this program has it.",
    503: "The farm does not answer; the page comes back when it does.",
}


class Needs(enum.Enum):
    """What somebody must have shown to get an answer."""

    NOTHING = "nothing"
    VIEW = "a login where the pages are private"
    LOGIN = "a login"


class Refused(tornado.web.HTTPError):
    """An answer that is none, with one line for a person."""

    def __init__(self, status: int, told: str):
        super().__init__(status, "%s", told)
        self.told = told


class Guard:
    """What one server knows of who may come in.

    secrets  of this farm
    private  whether looking needs a login as well
    hosts    names under which the pages may be asked for; without them, any. On loopback, where
             looking needs no login, a name of another site that leads here must not open them
    secure   whether cookies travel by TLS alone
    """

    def __init__(
        self,
        secrets: Secrets,
        *,
        private: bool = False,
        hosts: frozenset[str] | None = LOOPBACK,
        secure: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.secrets, self.private, self.clock = secrets, private, clock
        self.hosts, self.secure = hosts, secure
        self.attempts = Attempts()
        # The monitor and the dashboard of one farm share it; farms on one machine do not.
        self.cookie = f"farm-{hashlib.sha256(secrets.key).hexdigest()[:8]}"
        self.ended: set[str] = set()
        """Sessions that somebody logged out of."""


class Handler(tornado.web.RequestHandler):
    """One page. Raises Refused, which is shown as a page, for what is not to be had."""

    needs = Needs.VIEW
    takes_token = False
    policy = POLICY

    @property
    def guard(self) -> Guard:
        guard: Guard = self.application.settings["guard"]
        return guard

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        for name, value in {
            "Content-Security-Policy": self.policy,
            "X-Frame-Options": "DENY",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-store",
        }.items():
            self.set_header(name, value)

    def get_current_user(self) -> str | None:
        """The session's id, or "token"; None for somebody unknown."""
        if self.takes_token:
            kind, _, token = self.request.headers.get("Authorization", "").partition(" ")
            if kind.lower() == "bearer" and same(token.strip(), self.guard.secrets.token):
                return "token"
        value = self.get_signed_cookie(self.guard.cookie, max_age_days=SESSION_H / 24)
        session = value.decode("ascii", "replace") if value else None
        return session if session not in self.guard.ended else None

    def prepare(self) -> None:
        hosts = self.guard.hosts
        if hosts is not None and self.host_asked not in hosts:
            raise Refused(403, f"These pages are not called {self.host_asked!r} here.")
        if self.needs is Needs.NOTHING or self.current_user:
            return
        if self.needs is Needs.VIEW and not self.guard.private:
            return
        wants_page = "text/html" in self.request.headers.get("Accept", "")
        if self.request.method in ("GET", "HEAD") and wants_page:
            self.redirect("/login?" + urlencode({"next": self.request.uri or "/"}))
            return
        raise Refused(401, TELLS[401])

    @property
    def host_asked(self) -> str:
        """The name in the request, without its port."""
        try:
            return urlsplit(f"//{self.request.host}").hostname or ""
        except ValueError:
            return ""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        told = error.told if isinstance(error, Refused) else TELLS.get(status_code, self._reason)
        if status_code == 401 and self.takes_token:
            self.set_header("WWW-Authenticate", "Bearer")
        self.render("error.html", status=status_code, told=told)

    def get_template_namespace(self) -> dict[str, Any]:
        found = super().get_template_namespace()
        found["title"] = self.application.settings.get("title", "farm")
        return found


class Static(Handler, tornado.web.StaticFileHandler):
    """Styles, scripts and icons of ours: the same for everyone."""

    needs = Needs.NOTHING


class Missing(Handler):
    """Whatever is not there."""

    def prepare(self) -> None:
        super().prepare()
        if not self._finished:
            raise Refused(404, TELLS[404])


class Login(Handler):
    """The form, and what comes of it."""

    needs = Needs.NOTHING

    def get(self) -> None:
        self.show()

    def post(self) -> None:
        guard, address, now = self.guard, str(self.request.remote_ip), self.guard.clock()
        wait_s = guard.attempts.wait_s(address, now)
        if wait_s > 0:
            self.set_status(429)
            self.set_header("Retry-After", str(math.ceil(wait_s)))
            log.warning("login refused address=%s wait_s=%.0f", address, wait_s)
            self.show(f"Too many attempts; the next one is heard in {math.ceil(wait_s)} s.")
            return
        if not same(self.get_body_argument("password", "", strip=False), guard.secrets.password):
            guard.attempts.failed(address, now)
            self.set_status(403)
            log.warning("login failed address=%s", address)
            self.show("That is not the password.")
            return
        guard.attempts.succeeded(address)
        log.info("login address=%s", address)
        self.set_signed_cookie(
            guard.cookie,
            secrets.token_urlsafe(16),
            expires_days=None,
            path="/",
            httponly=True,
            samesite="Strict",
            secure=guard.secure,
        )
        self.redirect(local(self.get_argument("next", "/")), status=303)

    def show(self, told: str = "") -> None:
        self.render("login.html", told=told, next=local(self.get_argument("next", "/")))


class Logout(Handler):
    """Ends a session, also for whoever copied its cookie."""

    needs = Needs.LOGIN

    def post(self) -> None:
        self.guard.ended.add(str(self.current_user))
        self.clear_cookie(self.guard.cookie, path="/")
        self.redirect("/", status=303)


def local(address: str) -> str:
    """The address where it is a page of ours; else the first page: nobody is sent elsewhere."""
    if not address.startswith("/") or "\\" in address or not address.isprintable():
        return "/"
    try:
        parts = urlsplit(address)
    except ValueError:
        return "/"
    return "/" if parts.scheme or parts.netloc or address.startswith("//") else address
