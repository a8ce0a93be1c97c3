"""What health checks of containers and units ask."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated, Any

from tyro.conf import Positional, arg

ANSWER_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Health:
    """Whether a part of the farm is well; exits 1 and says what is wrong if not.

    The controller is while one is at work, a worker while this host's is seen, a page while it
    answers, also with its login.

        farm health worker
        farm health http://127.0.0.1:5555/
    """

    part: Annotated[str, Positional, arg(metavar="PART")]
    """controller, worker, or the address of a page."""

    def __call__(self) -> int:
        from farm.settings import load

        if self.part.startswith(("http://", "https://")):
            wrong = _page(self.part)
        elif self.part in ("controller", "worker"):
            wrong = _running(load(), self.part)
        else:
            raise ValueError(f"no part {self.part!r}; there are controller, worker, http://...")
        if wrong:
            print(f"farm: {wrong}", file=sys.stderr)
        return 1 if wrong else 0


def _running(settings: Any, part: str) -> str:
    """What is wrong with a part, by the farm's Redis; "" if nothing."""
    import socket

    from farm import local

    if settings.private and not local.running(settings):
        return "no farm runs here"
    store = local.open_store(settings)
    if part == "controller":
        return "" if store.holder() else "no controller is at work"
    host = socket.gethostname()
    if any(worker.host == host for worker in store.workers(settings.worker_dead_s)):
        return ""
    return f"no worker of {host} was seen in the last {settings.worker_dead_s:g} s"


def _page(url: str) -> str:
    """What is wrong with a page; "" if its server answers, be it that one must log in."""
    import ssl
    import urllib.error
    import urllib.request

    unchecked = ssl.create_default_context()  # its certificate is for another name than ours
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_S, context=unchecked):
            return ""
    except urllib.error.HTTPError as error:
        return f"{url} answers {error.code}" if error.code >= 500 else ""
    except OSError as error:
        return f"{url} does not answer: {getattr(error, 'reason', error)}"


COMMANDS = {"health": Health}
