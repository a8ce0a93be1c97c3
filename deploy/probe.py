"""What a machine has: a program that is sent to it, whatever is or is not installed there.

It is given to `python3 -` on the host with one question behind it (`asking`), so it needs the
standard library of Python 3.7 alone, and no secret is on a command line. It prints JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

TOKENS = ".farm-check"  # holds the tokens


def asking(name: str, question: dict[str, Any]) -> str:
    """This program, with a question for one of its functions behind it."""
    return f"{Path(__file__).read_text()}\ntell({name!r}, {json.dumps(question)!r})\n"


def tell(name: str, question: str) -> None:
    """Print what a function has to say."""
    functions: dict[str, Any] = {"survey": survey, "tokens": tokens, "sweep": sweep}
    print(json.dumps(functions[name](json.loads(question))))


def survey(asked: dict[str, Any]) -> dict[str, Any]:
    """Facts of this machine.

    asked: root, uv, python; roots (folders to find), written (those to write to), token (a name,
    "" for none), redis (a list of user, password; null for nothing), url (host, port, tls, ca).
    """
    home = os.path.expanduser("~")
    root = os.path.expanduser(asked["root"])
    uv = _uv(asked["uv"], home, root)
    return {
        "home": home,
        "user": pwd.getpwuid(os.getuid()).pw_name,
        "hostname": socket.gethostname(),
        "python": ".".join(map(str, sys.version_info[:3])),
        "uv": uv,
        "pip": not uv and _says([sys.executable, "-m", "pip", "--version"])[0] == 0,
        "wanted_python": _python(uv, asked["python"]),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1000000,
        "free_mb": shutil.disk_usage(_nearest(root)).free // 1000000,
        "writable": os.access(_nearest(root), os.W_OK),
        "current": os.path.basename(os.path.realpath(os.path.join(root, "current")))
        if os.path.exists(os.path.join(root, "current"))
        else "",
        "systemd": _systemd(),
        "linger": os.path.exists(
            os.path.join("/var/lib/systemd/linger", pwd.getpwuid(os.getuid()).pw_name)
        ),
        **_gpus(),
        "roots": {
            path: _folder(path, path in asked["written"], asked["token"]) for path in asked["roots"]
        },
        "redis": {user: _redis(asked["url"], user, password) for user, password in asked["redis"]},
    }


def tokens(asked: dict[str, Any]) -> dict[str, list[str]]:
    """Which of the tokens lie in each of the folders `written`.

    Looked up by name: a network file system may list a folder as it was half a minute ago.
    """
    return {
        path: [name for name in asked["tokens"] if os.path.exists(os.path.join(path, TOKENS, name))]
        for path in asked["written"]
    }


def sweep(asked: dict[str, Any]) -> None:
    """Take the token out of the folders `written` again."""
    for path in asked["written"]:
        folder = os.path.join(path, TOKENS)
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(folder, asked["token"]))
        with contextlib.suppress(OSError):
            os.rmdir(folder)  # by the last one


def _says(words: list[str]) -> tuple[int, str]:
    """Exit code and output of a program that may not be there."""
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=20,
        )  # fmt: skip
        return done.returncode, done.stdout.decode(errors="replace").strip()
    except subprocess.TimeoutExpired:
        return 124, words[0] + " does not answer"
    except OSError as error:
        return 127, str(error)


def _uv(given: str, home: str, root: str) -> str:
    """Where uv is; "" where it is not. The last place is where push brings it."""
    usual = (os.path.join(home, ".local/bin/uv"), os.path.join(home, ".cargo/bin/uv"))
    places = (given, *usual, os.path.join(root, "tools/bin/uv"))
    found = (shutil.which(os.path.expanduser(place)) for place in places)
    return next((path for path in found if path), "")


def _python(uv: str, wanted: str) -> str:
    """The Python that the farm would run on, as far as it is there already."""
    if not uv or not wanted:
        return ""
    code, text = _says([uv, "python", "find", "--no-project", "--system", wanted])
    return text.splitlines()[-1] if code == 0 and text else ""


def _nearest(path: str) -> str:
    """The folder itself, or the nearest above it that is there."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def _systemd() -> bool:
    """Whether this user's own systemd answers."""
    os.environ.setdefault("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    return _says(["systemctl", "--user", "show-environment"])[0] == 0


def _gpus() -> dict[str, Any]:
    """Every card, and why there is none where nvidia-smi is there and knows none."""
    if not shutil.which("nvidia-smi"):
        return {"gpus": [], "gpu_trouble": ""}
    query = "--query-gpu=index,name,driver_version"
    code, text = _says(["nvidia-smi", query, "--format=csv,noheader"])
    if code:
        return {"gpus": [], "gpu_trouble": (text.splitlines() or [f"exit code {code}"])[-1]}
    rows = [[part.strip() for part in line.split(",")] for line in text.splitlines()]
    cards = [
        {"index": int(row[0]), "name": row[1], "driver": row[2]}
        for row in rows
        if len(row) == 3 and row[0].isdigit()
    ]
    return {"gpus": cards, "gpu_trouble": ""}


def _folder(path: str, written: bool, token: str) -> str:
    """ "" when a folder can be used as it is to be, else why not. May leave a token there."""
    if not os.path.isdir(path):
        return "not there"
    if not os.access(path, os.R_OK | os.X_OK):
        return "cannot be read"
    if not written:
        return ""
    try:
        folder = os.path.join(path, TOKENS)
        os.makedirs(folder, exist_ok=True)
        if token:
            with open(os.path.join(folder, token), "w") as file:
                file.write(token)
    except OSError as error:
        return "cannot be written: " + (error.strerror or str(error))
    return ""


def _redis(url: dict[str, Any], user: str, password: str) -> str:
    """ "" when Redis lets this user in, else why not."""
    try:
        with socket.create_connection((url["host"], url["port"]), 5) as plain:
            if not url["tls"]:
                return _greeted(plain, user, password)
            context = ssl.create_default_context(cadata=url["ca"] or None)
            with context.wrap_socket(plain, server_hostname=url["host"]) as tunnel:
                return _greeted(tunnel, user, password)
    except (OSError, ssl.SSLError) as error:
        return error.strerror or str(error)


def _greeted(link: socket.socket, user: str, password: str) -> str:
    """The end of AUTH and PING."""
    words = [["AUTH", user, password]] if password else []
    for command in [*words, ["PING"]]:
        parts = [f"*{len(command)}"]
        for word in command:
            parts += [f"${len(word.encode())}", word]
        link.sendall(("\r\n".join(parts) + "\r\n").encode())
        answer = link.recv(512).decode(errors="replace").strip()
        if not answer.startswith("+"):
            return answer.lstrip("-") or "it hung up"
    return ""
