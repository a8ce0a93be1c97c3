"""An S3 store: addresses as plain data, and the few requests that a dataset is made of.

    s3://bucket/data/cars/dataset.json

Nothing is renamed there and nothing is locked; what a store does promise is enough:
an object appears whole or not at all, and a write may be made to depend on what lies there.

s3fs is imported by the first request.  Credentials and the endpoint come from the usual places
alone, AWS_* variables and the files of a profile, and are never told.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from renderer.errors import StoreUnavailable

T = TypeVar("T")

SCHEME = "s3://"
ROOTS = "FARM_ADDRESS_ROOTS"
"""Variable with the addresses, spaces between, beneath which alone a process asks, and those that
it starts; without it, any. What a file names (a run its datasets) is bounded by it too."""
PATIENCE_S = 120
"""A store that has answered this process before is waited for so long: it will come back."""
_BATCH = 1000  # objects that one request can delete
_PART = 16 << 20  # bytes of a part of a large object


@dataclass(frozen=True, order=True)
class Address:
    """Where an object lies, or several whose keys begin alike: what a path is on a disk."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.key}"

    def __truediv__(self, name: str) -> Address:
        return self._at(PurePosixPath(self.key) / name)

    @property
    def name(self) -> str:
        return PurePosixPath(self.key).name

    @property
    def stem(self) -> str:
        return PurePosixPath(self.key).stem

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.key).suffix

    @property
    def parent(self) -> Address:
        return self._at(PurePosixPath(self.key).parent)

    def with_name(self, name: str) -> Address:
        return self._at(PurePosixPath(self.key).with_name(name))

    def marked(self, mark: str) -> Address:
        """The same name with a mark before its suffix: train-000000.5f2a0d1c9be07a34.tar."""
        return self.with_name(f"{self.stem}.{mark}{self.suffix}")

    def with_suffix(self, suffix: str) -> Address:
        return self._at(PurePosixPath(self.key).with_suffix(suffix))

    def _at(self, path: PurePosixPath) -> Address:
        if path.is_absolute() or ".." in path.parts:  # names come out of other people's files
            raise ValueError(f"{self}: {str(path)[:100]!r} leads out of it")
        return Address(self.bucket, path.as_posix())


def parse(text: str) -> Address:
    """The address that `s3://bucket/some/folder` spells.

    Raises ValueError for what names no bucket, or no folder in it, or leaves it by `..`.
    """
    bucket, _, key = text.removeprefix(SCHEME).partition("/")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket):
        raise ValueError(f"{text}: {bucket!r} is no name of a bucket; s3://BUCKET/FOLDER is wanted")
    parts = key.strip("/").split("/")
    if not all(parts) or {".", ".."} & set(parts) or not key.isprintable():
        raise ValueError(f"{text}: no folder in the bucket; s3://BUCKET/FOLDER is wanted")
    return Address(bucket, "/".join(parts))


# --- requests ----------------------------------------------------------------------------------
# All raise StoreUnavailable in one line: no bucket, no credentials, no answer, no s3fs.


def read(address: Address) -> bytes:
    """Raises FileNotFoundError."""
    data: bytes = _ask(address, lambda fs: fs.cat_file(_spelled(address), max_concurrency=1))
    return data


def read_range(address: Address, offset: int, size: int) -> bytes:
    """Fewer bytes where the object ends before. Raises FileNotFoundError."""
    if min(offset, size - 1) < 0:
        return b""
    try:
        data: bytes = _ask(
            address, lambda fs: fs.cat_file(_spelled(address), start=offset, end=offset + size)
        )
    except StoreUnavailable as error:
        if error.code == "InvalidRange":  # it begins past the end
            return b""
        raise
    return data


def size(address: Address) -> int:
    """Bytes of an object. Raises FileNotFoundError."""
    return int(_head(address)["ContentLength"])


def version(address: Address) -> str | None:
    """What `write_if` wants to know of what lies there: its ETag; None where nothing does."""
    try:
        return str(_head(address)["ETag"])
    except FileNotFoundError:
        return None


def write(address: Address, data: bytes) -> None:
    _put(address, data)


def write_if(address: Address, data: bytes, seen: str | None) -> str | None:
    """Write, unless somebody has written there since; its version, or None where somebody has.

    seen  `version` when it was looked at; None: there was nothing
    """
    condition = {"IfNoneMatch": "*"} if seen is None else {"IfMatch": seen}
    try:
        written = _put(address, data, **condition)
        if seen is None:
            _refuse_unconditional(address, data)
        return written
    except StoreUnavailable as error:
        if error.code not in ("PreconditionFailed", "ConditionalRequestConflict"):
            raise
    except FileNotFoundError:  # what was seen is gone
        return None
    # An answer that is lost on its way is asked for again, and then finds what it wrote itself.
    with contextlib.suppress(FileNotFoundError):
        there = version(address)
        if read(address) == data and there == version(address):
            return there
    return None


def _refuse_unconditional(address: Address, data: bytes) -> None:
    """Raises StoreUnavailable for a store that takes no notice of conditions, on which all rests.

    The same again must be refused there; once is enough for a process and bucket.
    """
    if address.bucket in _conditional:
        return
    try:
        _put(address, data, IfNoneMatch="*")
    except StoreUnavailable as error:
        if error.code not in ("PreconditionFailed", "ConditionalRequestConflict"):
            raise
        _conditional.add(address.bucket)
        return
    raise StoreUnavailable(
        f"the store of {SCHEME}{address.bucket} takes no notice of If-None-Match, so that two "
        "machines could overwrite each other; use one that knows conditional writes",
        "unconditional",
    )


def upload(address: Address, file: Path) -> None:
    """Put a local file there, large ones in parts; it appears when the last part has come."""
    _ask(address, lambda fs: fs.put_file(str(file), _spelled(address), chunksize=_PART))


def download(address: Address, file: Path) -> None:
    """Raises FileNotFoundError."""
    _ask(address, lambda fs: fs.get_file(_spelled(address), str(file)))


def under(address: Address) -> Iterator[Address]:
    """Everything whose key begins with this address, whatever its depth."""
    for entry in _pages(address):
        yield Address(address.bucket, entry["Key"])


def names(address: Address) -> Iterator[str]:
    """Names of the objects right in this folder."""
    for entry in _pages(address, Delimiter="/"):
        yield PurePosixPath(entry["Key"]).name


def remove(addresses: Iterable[Address]) -> None:
    """Those that are not there are no error."""
    for bucket, some in itertools.groupby(sorted(addresses), lambda one: one.bucket):
        left = list(some)
        while left:
            _remove(bucket, left[:_BATCH])
            left = left[_BATCH:]


def _remove(bucket: str, some: list[Address]) -> None:
    for one in some:
        _refuse_outside(one)
    wanted = {"Objects": [{"Key": one.key} for one in some], "Quiet": True}
    answer = _call(some[0], "delete_objects", Bucket=bucket, Delete=wanted)
    for refused in answer.get("Errors", ()):
        raise StoreUnavailable(
            f"{SCHEME}{bucket}/{refused.get('Key')} cannot be removed: {refused.get('Message')}",
            str(refused.get("Code")),
        )


def _put(address: Address, data: bytes, **more: str) -> str:
    put = _call(address, "put_object", Bucket=address.bucket, Key=address.key, Body=data, **more)
    return str(put["ETag"])


def _head(address: Address) -> dict[str, Any]:
    return _call(address, "head_object", Bucket=address.bucket, Key=address.key)


def _pages(address: Address, **more: str) -> Iterator[dict[str, Any]]:
    """What a list of the objects in a folder tells of each."""
    asked = {"Bucket": address.bucket, "Prefix": f"{address.key}/", **more}
    while True:
        page = _call(address, "list_objects_v2", **asked)
        yield from page.get("Contents", ())
        if not page.get("IsTruncated"):
            return
        asked["ContinuationToken"] = page["NextContinuationToken"]


def _spelled(address: Address) -> str:
    return f"{address.bucket}/{address.key}"


# --- asking ------------------------------------------------------------------------------------

_patience = ContextVar("patience", default=float(PATIENCE_S))
_answered: set[int] = set()
"""The process that has had an answer; a forked one has had none."""
_conditional: set[str] = set()
"""Buckets whose store was found to know conditional writes."""


def _ask(address: Address, request: Callable[[Any], T]) -> T:
    """The answer to a request.

    Botocore tries a few times by itself. After that, a store that has answered before is waited
    for; one that never has is told of at once: its address or the network may be wrong.
    """
    _refuse_outside(address)
    deadline, pause = time.monotonic() + _patience.get(), 0.5
    while True:
        try:
            with _told(address):
                answer = request(_filesystem(os.getpid()))
            _answered.add(os.getpid())
            return answer
        except StoreUnavailable as error:
            waits = error.passing and os.getpid() in _answered
            if not waits or time.monotonic() + pause > deadline:
                raise
        time.sleep(pause)
        pause = min(2 * pause, 10)


def _refuse_outside(address: Address) -> None:
    """Raises StoreUnavailable for what lies outside of ROOTS."""
    roots = os.environ.get(ROOTS)
    if roots is not None and not any(
        f"{address}/".startswith(f"{root.rstrip('/')}/") for root in roots.split()
    ):
        raise StoreUnavailable(f"{address} lies outside of the storage roots {roots}", "outside")


@contextlib.contextmanager
def impatient() -> Iterator[None]:
    """Within the block a store that does not answer is told of, not waited for."""
    before = _patience.set(0.0)
    try:
        yield
    finally:
        _patience.reset(before)


def forget() -> None:
    """Take credentials and endpoint anew from where they are kept, at the next request."""
    _filesystem.cache_clear()
    _answered.clear()
    _conditional.clear()


def _call(address: Address, method: str, **arguments: Any) -> dict[str, Any]:
    answer: dict[str, Any] = _ask(address, lambda fs: fs.call_s3(method, **arguments))
    return answer


@functools.lru_cache(maxsize=1)
def _filesystem(process: int) -> Any:
    """s3fs, of its own in every process: its connections do not survive a fork."""
    try:
        from s3fs import S3FileSystem
    except ImportError:
        raise StoreUnavailable(
            "s3:// needs s3fs, which is not installed here: pip install 'shapefarm[s3]'", "s3fs"
        ) from None
    if "@" in _endpoint():
        raise StoreUnavailable(
            "AWS_ENDPOINT_URL has a password in it, which no store takes; credentials have "
            "variables of their own",
            "endpoint",
        )
    made = S3FileSystem(
        skip_instance_cache=True,
        use_listings_cache=False,
        config_kwargs={
            "connect_timeout": 10,
            "read_timeout": 60,
            "max_pool_connections": 32,
            "retries": {"mode": "standard", "max_attempts": 2},
        },
    )
    made.retries = 2  # botocore tries before it, and patience after it
    return made


@contextlib.contextmanager
def _told(address: Address) -> Iterator[None]:
    """What s3fs and botocore raise, in one line and without anything secret."""
    try:
        yield
    except (StoreUnavailable, KeyboardInterrupt):
        raise
    except Exception as error:
        raise _translated(address, error) from error


def _translated(address: Address, error: Exception) -> OSError:
    from botocore import exceptions as boto

    code, message = _of_answer(error)
    bucket = f"{SCHEME}{address.bucket}"
    if code == "NoSuchBucket":
        return StoreUnavailable(f"no bucket {bucket} at {_endpoint()}; create it first", code)
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, "no such object", str(address))
    if isinstance(
        error, boto.NoCredentialsError | boto.PartialCredentialsError | boto.ProfileNotFound
    ):
        return StoreUnavailable(
            f"no credentials for {bucket}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "or AWS_PROFILE",
            "credentials",
        )
    if isinstance(error, PermissionError):
        return StoreUnavailable(
            f"{address}: the store refuses it ({code or message}); it wants other credentials, "
            "or these more rights",
            code or "refused",
        )
    if isinstance(error, boto.BotoCoreError | TimeoutError | ConnectionError):
        return StoreUnavailable(
            f"no answer from {_endpoint()} for {bucket} ({type(error).__name__}); "
            "AWS_ENDPOINT_URL says where the store is",
            "unreachable",
            passing=True,
        )
    return StoreUnavailable(
        f"{address}: {message or type(error).__name__}",
        code or type(error).__name__,
        passing=code in ("InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout"),
    )


def _of_answer(error: BaseException) -> tuple[str, str]:
    """Code and message of the store's own answer, which s3fs keeps as the cause."""
    for one in (error, error.__cause__):
        response = getattr(one, "response", None)
        if isinstance(response, dict) and "Error" in response:
            told = response["Error"]
            return str(told.get("Code", "")), str(told.get("Message", ""))
    return "", " ".join(str(error).split())


def _endpoint() -> str:
    """Where the store is, as far as the environment says so."""
    variables = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    return next(filter(None, map(os.environ.get, variables)), "its endpoint")
