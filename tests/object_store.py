"""An S3 server on this machine, and a wire to it that breaks where a test asks for it.

python object_store.py     serves until its stdin ends; the first line of stdout is its URL
"""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from renderer import shards, storage

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "lab",
    "AWS_SECRET_ACCESS_KEY": "not-to-be-told",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": "/nowhere",
    "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True)
class Server:
    url: str

    @property
    def environment(self) -> dict[str, str]:
        """What makes a program use it."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL": self.url}

    def make_bucket(self, name: str) -> None:
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/{name}", method="PUT")).close()

    def keys(self, bucket: str) -> list[str]:
        """Everything in a bucket, seen past wire and cache."""
        with urllib.request.urlopen(f"{self.url}/{bucket.removeprefix('s3://')}") as answer:
            return re.findall("<Key>(.*?)</Key>", answer.read().decode())

    def read(self, bucket: str, key: str) -> bytes:
        """An object, seen past wire and cache."""
        import boto3

        client = boto3.client("s3", endpoint_url=self.url)
        try:
            body: bytes = client.get_object(Bucket=bucket.removeprefix("s3://"), Key=key)[
                "Body"
            ].read()
            return body
        finally:
            client.close()


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """A server in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin and process.stdout
    try:
        yield Server(process.stdout.readline().strip())
    finally:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


class Wire:
    """A TCP proxy to a server: what goes through can be cut.

    up, down   bytes of all connections together that may still go to the server, or come back;
               None: any number. At their end every connection is closed, and so are new ones
    """

    def __init__(self, url: str):
        parts = urlsplit(url)
        self._to = (str(parts.hostname), int(parts.port or 80))
        self.hide = b""
        """What does not reach the server"""
        self.up: int | None = None
        self.down: int | None = None
        self.cuts = 0
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def mend(self) -> None:
        self.up = self.down = None

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._hang_up()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._to)
            with self._lock:
                self._open |= {client, server}
            for source, sink, way in ((client, server, "up"), (server, client, "down")):
                thread = threading.Thread(target=self._pump, args=(source, sink, way), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pump(self, source: socket.socket, sink: socket.socket, way: str) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(16384):
                with self._lock:
                    left = getattr(self, way)
                    if left is not None:
                        data, cut = data[:left], len(data) >= left
                        setattr(self, way, left - len(data))
                    else:
                        cut = False
                if self.hide:
                    data = data.replace(self.hide, b"X" * len(self.hide))
                sink.sendall(data)
                if cut:
                    self.cuts += 1
                    self._hang_up()
                    break
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _hang_up(self) -> None:
        with self._lock:
            hung, self._open = self._open, set()
        for one in hung:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def stored(local: Path, address: str) -> storage.Place:
    """A dataset that lies in a folder, put into a store as the store's own writer would."""
    there = storage.place(address)
    for shard in shards.Dataset(local).shards:
        tar = shards.tar_path(there, shard["name"], shard["sha256"])
        storage.write(tar, (local / shard["name"]).read_bytes())
    for path in local.glob("*.json"):
        storage.write(there / path.name, path.read_bytes())
    return there


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def serve() -> None:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    print(f"http://{host}:{port}", flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    serve()
