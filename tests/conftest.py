"""For every test: `uv run pytest` leaves Blender where it is, and Ctrl-C reaches what it starts."""

import importlib.util
import secrets
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from farm import wheel
from renderer import s3
from tests.object_store import Server, Wire, serving

# A shell that starts this in the background ignores Ctrl-C for it and for all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

wheel.settle("bpy")
# A busy machine is a normal machine: how long an example takes says nothing.
settings.register_profile("any machine", parent=settings(), deadline=None)
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Server]:
    """An object store on this machine, empty but for what other tests left in their buckets."""
    for package in ("s3fs", "moto"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: there is no object store")
    with serving() as server:
        yield server


@pytest.fixture
def bucket(s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a new bucket; this process and its children reach it."""
    name = f"bucket-{secrets.token_hex(6)}"
    s3_server.make_bucket(name)
    for variable, value in s3_server.environment.items():
        monkeypatch.setenv(variable, value)
    s3.forget()
    yield f"s3://{name}"
    s3.forget()


@pytest.fixture
def wire(s3_server: Server, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """What leads to the bucket and can be cut."""
    wire = Wire(s3_server.url)
    monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)
    s3.forget()
    yield wire
    wire.close()
