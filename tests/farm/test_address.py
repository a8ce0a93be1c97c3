"""Redis is used with a password, from a file that nobody else can read, or not at all."""

from __future__ import annotations

import pytest
import redis
from kombu import Connection

from farm.address import celery_url, loopback, redis_url
from farm.settings import Settings

SECRET = "p@ss/w:rd?#%;+ü"


@pytest.fixture
def password(tmp_path):
    path = tmp_path / "password"
    path.write_text(SECRET + "\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    "url",
    ["redis://worker@lab:6380/2", "rediss://worker@lab:6380/2", "unix://worker@/run/redis?db=2"],
)
def test_both_clients_get_user_and_password_from_the_file(password, url):
    settings = Settings(broker_url=url, broker_password_file=password)

    client = redis.Redis.from_url(redis_url(settings)).connection_pool.connection_kwargs
    channel = Connection(celery_url(settings)).transport.Channel
    kombu = channel._connparams(_Channel(Connection(celery_url(settings)), channel))

    for found in (client, kombu):
        assert (found["username"], found["password"], int(found["db"])) == ("worker", SECRET, 2)


class _Channel:
    """What kombu's Channel asks of itself to find its connection's parameters."""

    def __init__(self, connection, of):
        self._of = of
        self.connection = connection.transport
        self._registered = False

    def __getattr__(self, name):
        value = getattr(self._of, name)
        return value.__get__(self) if callable(value) and not isinstance(value, type) else value


@pytest.mark.parametrize("url", ["redis://lab/0", "redis://worker@10.0.0.7:6379/0", "rediss://lab"])
def test_a_redis_without_password_beyond_this_machine_is_refused(url):
    settings = Settings(broker_url=url)

    for address in (redis_url, celery_url):
        with pytest.raises(ValueError, match="FARM_BROKER_PASSWORD_FILE names the file") as refused:
            address(settings)
        assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:6379/0", "redis://localhost/0", "redis://[::1]/0", "unix:///r?db=0"]
)
def test_on_this_machine_it_needs_none(url):
    assert redis_url(Settings(broker_url=url)) == url


@pytest.mark.parametrize(
    ("host", "is_here"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
     ("127.0.0.1.example.org", False), ("localhost.example.org", False), ("0.0.0.0", False),
     ("10.0.0.1", False), ("", False)],
)  # fmt: skip
def test_this_machine_is_told_from_what_only_looks_like_it(host, is_here):
    assert loopback(host) is is_here


@pytest.mark.parametrize(
    "url",
    [
        "redis://worker:hunter2@lab/0",
        "redis://:hunter2@127.0.0.1/0",
        "redis://lab/0?password=hunter2",
    ],
)
def test_a_password_in_the_address_is_refused_and_not_repeated(url, password):
    settings = Settings(broker_url=url, broker_password_file=password)

    with pytest.raises(ValueError, match="has a password in it") as refused:
        redis_url(settings)

    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("url", ["http://lab", "lab:6379", "redis://", "redis://lab:port"])
def test_what_is_no_address_of_a_redis_is_told(url, password):
    with pytest.raises(ValueError, match="FARM_BROKER_URL"):
        redis_url(Settings(broker_url=url, broker_password_file=password))


@pytest.mark.parametrize(
    ("mode", "text", "told"),
    [(0o644, "x", "has mode 0644, so others may use it; chmod 600 it"),
     (0o640, "x", "has mode 0640"), (0o602, "x", "has mode 0602"),
     (0o600, "", "must hold one line"), (0o600, "a\nb", "must hold one line")],
)  # fmt: skip
def test_a_file_that_will_not_do_is_told_by_name(tmp_path, mode, text, told):
    path = tmp_path / "password"
    path.write_text(text)
    path.chmod(mode)

    with pytest.raises(ValueError, match=told) as refused:
        redis_url(Settings(broker_url="redis://lab/0", broker_password_file=path))

    assert str(path) in str(refused.value)
    assert "FARM_BROKER_PASSWORD_FILE" in str(refused.value)


def test_a_file_that_is_not_there_is_told_by_name(tmp_path):
    settings = Settings(broker_url="redis://lab/0", broker_password_file=tmp_path / "none")

    with pytest.raises(ValueError, match=r"FARM_BROKER_PASSWORD_FILE: .*none: no such file"):
        redis_url(settings)


def test_what_is_printed_of_settings_and_clients_has_no_password_in_it(password):
    from farm.app import make_app
    from farm.store import connect

    settings = Settings(broker_url="redis://worker@lab/0", broker_password_file=password)
    client, app = connect(redis_url(settings)), make_app(settings)
    shown = [
        repr(settings), str(settings.environment()), repr(client), repr(client.connection_pool),
        repr(app), app.conf.humanize(), str(app.conf.table(censored=True)),
        repr(app.connection()), app.connection().as_uri(),
    ]  # fmt: skip

    hidden = (SECRET, "p%40ss", "w%3Ard")
    assert not [text for text in shown for part in hidden if part in text]
