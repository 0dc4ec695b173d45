"""One prefix of an S3-compatible object store: objects put whole, read in ranges, listed, removed.

Every request has a time limit and few repeats, so that a store that is gone costs seconds and never a thread.
Credentials are in no message. Knows nothing of what the objects are.
"""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from cacheroute.errors import Unavailable

if TYPE_CHECKING:
    from obstore.store import S3Config

MAX_REPEATS = 2
CONNECT_S = 5.0
_REASON_CHARS = 300


@dataclass(frozen=True, slots=True)
class S3Place:
    """Where the objects lie, and who may write there. Empty: what the AWS variables or the machine's role say."""

    bucket: str
    prefix: str
    endpoint: str
    region: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    timeout_s: float
    """Of one request."""

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"


class S3Prefix:
    """Blocking. Raises FileNotFoundError for an object that is not there, else Unavailable, saying why."""

    def __init__(self, place: S3Place) -> None:
        self._place = place
        self._store = _connected(place)

    def __str__(self) -> str:
        return str(self._place)

    def put(self, key: str, content: Path) -> None:
        """The whole as one object, in place of what had that key: there when this returns, and not before."""
        with self._errors_named():
            obstore.put(self._store, key, content)

    def create(self, key: str, content: bytes) -> bool:
        """False if the object was there."""
        with self._errors_named():
            try:
                obstore.put(self._store, key, content, mode="create")
            except AlreadyExistsError:
                return False
        return True

    def range(self, key: str, start: int, end: int) -> memoryview:
        """Those bytes; fewer, even none, where the object ends earlier."""
        try:
            with self._errors_named():
                return memoryview(obstore.get_range(self._store, key, start=start, end=end))
        except Unavailable:  # a range that begins beyond the end is answered with an error
            with self._errors_named():
                if start < obstore.head(self._store, key)["size"]:
                    raise
            return memoryview(b"")

    def remove(self, keys: Iterable[str]) -> None:
        """Those that are there."""
        with self._errors_named():
            obstore.delete(self._store, list(keys))

    def listing(self) -> list[str]:
        """All objects directly under the prefix."""
        with self._errors_named():
            return [each["path"] for each in obstore.list_with_delimiter(self._store)["objects"]]

    @contextmanager
    def _errors_named(self) -> Generator[None]:
        try:
            yield
        except BaseError as error:
            raise Unavailable(f"{self._place}: {_reason(error)}", code="storage_failed") from None


def _connected(place: S3Place) -> S3Store:
    limit = timedelta(seconds=place.timeout_s)
    config: S3Config = {}
    if place.endpoint:
        config["endpoint"] = place.endpoint
    if place.region:
        config["region"] = place.region
    if place.access_key:
        config["access_key_id"] = place.access_key
        config["secret_access_key"] = place.secret_key
    return S3Store(
        place.bucket,
        prefix=place.prefix,
        client_options={
            "allow_http": place.endpoint.startswith("http://"),
            "connect_timeout": min(limit, timedelta(seconds=CONNECT_S)),
            "timeout": limit,
        },
        retry_config={
            "max_retries": MAX_REPEATS,
            "retry_timeout": limit,
            "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=1), "base": 2},
        },
        config=config,
    )


def _reason(error: BaseError) -> str:
    """The first line, without the server's XML: that may repeat the access key."""
    return str(error).partition("\n")[0].partition("<?xml")[0].partition("<Error")[0].rstrip(" :")[:_REASON_CHARS]
