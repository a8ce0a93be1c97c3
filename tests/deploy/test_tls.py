"""rediss:// works for both clients, and only with the certificate of the host that is meant.

The server in front is a few lines that end TLS, since not every Redis is built with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import ipaddress
import socket
import ssl
import threading

import pytest
import redis

pytest.importorskip("cryptography", reason="the deploy extra has it")

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from farm.address import redis_url
from farm.app import make_app, send
from farm.settings import Settings
from farm.store import Store, connect


def certificate(folder, name, host, by=None):
    """A certificate and its key for a host, made by another one, or by itself as an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    issuer, signer = by or (subject, key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject).issuer_name(issuer).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
    )  # fmt: skip
    if host:
        names = [x509.IPAddress(ipaddress.ip_address(host))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    made = builder.sign(signer, hashes.SHA256())
    (folder / f"{name}.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return subject, key


class Front:
    """Ends TLS at a port of its own and hands the bytes on to Redis; counts who came through."""

    def __init__(self, folder, name, port):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
        self.behind, self.came = port, 0
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):  # it ends when the socket is closed
            while True:
                plain, _ = self.listening.accept()
                threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain):
        with (
            contextlib.suppress(OSError),  # a client that does not trust us goes away
            plain,
            self.context.wrap_socket(plain, server_side=True) as outside,
            socket.create_connection(("127.0.0.1", self.behind)) as inside,
        ):
            self.came += 1
            back = threading.Thread(target=_pass_on, args=(inside, outside), daemon=True)
            back.start()
            _pass_on(outside, inside)
            back.join()


def _pass_on(source, sink):
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    ours = certificate(folder, "authority", None)
    certificate(folder, "stranger", None)
    certificate(folder, "redis", "127.0.0.1", by=ours)
    certificate(folder, "another-host", "10.9.8.7", by=ours)
    return folder


@pytest.fixture
def front(certificates, lab):
    opened = []

    def front(name):
        opened.append(Front(certificates, name, lab.port))
        return opened[-1]

    yield front
    for each in opened:
        each.listening.close()


def settings(lab, port, authority):
    return Settings(
        broker_url=f"rediss://controller@127.0.0.1:{port}/0",
        broker_password_file=lab.secrets["controller"],
        broker_ca_file=authority,
    )


def test_records_and_messages_go_through_tls(lab, front, certificates):
    there = front("redis")
    chosen = settings(lab, there.port, certificates / "authority.crt")
    with contextlib.closing(connect(redis_url(chosen), patience_s=0)) as client:
        store = Store(client)
        with make_app(chosen) as app, app.connection_for_write() as connection:
            send(app, "cpu", "0123456789ab", "train-000000", "render", connection=connection)

        assert there.came >= 2
        assert store.queue_length("cpu") == 1
        client.delete("cpu")


@pytest.mark.parametrize(
    ("name", "authority"),
    [("redis", "stranger.crt"), ("redis", None), ("another-host", "authority.crt")],
)
def test_a_server_that_cannot_prove_who_it_is_gets_nothing(
    lab, front, certificates, name, authority
):
    there = front(name)
    chosen = settings(lab, there.port, authority and certificates / authority)

    with (
        contextlib.closing(connect(redis_url(chosen), patience_s=-4)) as client,
        pytest.raises(redis.ConnectionError, match="certificate verify failed"),
    ):
        client.ping()
    with (
        make_app(chosen) as app,
        app.connection_for_write() as connection,
        pytest.raises(redis.ConnectionError, match="certificate verify failed"),
    ):
        connection.channel()

    assert there.came == 0


def test_a_missing_file_of_certificates_is_told(lab, tmp_path):
    with pytest.raises(ValueError, match=r"FARM_BROKER_CA_FILE: no file .*none\.crt"):
        redis_url(settings(lab, 1, tmp_path / "none.crt"))


def test_flower_hears_events_and_counts_what_waits_through_tls(lab, front, certificates):
    pytest.importorskip("flower", reason="the extra `monitor` is not installed")
    from flower.utils.broker import Broker

    from farm.web.flower import embedded

    there = front("redis")
    chosen = dataclasses.replace(
        settings(lab, there.port, certificates / "authority.crt"),
        broker_url=f"rediss://monitor@127.0.0.1:{there.port}/0",
        broker_password_file=lab.secrets["monitor"],
    )

    async def look():
        flower = embedded(chosen)
        flower.events.start()
        while not flower.events.state.workers:  # the lab's worker says every two seconds
            await asyncio.sleep(0.05)
        broker = Broker(
            flower.broker_uri_with_password, broker_use_ssl=flower.capp.conf.broker_use_ssl
        )
        return await broker.queues(["count"])

    assert asyncio.run(asyncio.wait_for(look(), 30)) == [{"name": "count", "messages": 0}]
