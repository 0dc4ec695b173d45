"""One blocking connection to a kv store, made to move large values with as few copies as possible.

Speaks RESP2 (https://valkey.io/topics/protocol) itself, because what costs time in a client library is what it
copies: 24 MB took redis-py 45 ms here, and `sendfile` from the page cache to a unix socket takes 5. A value is
sent whole or not at all: the server takes a SET once its last byte is there. Knows no keys' meaning.
"""

import math
import select
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from redis.connection import parse_url

from cacheroute.kvstore.connect import connected

Reply = bytes | bytearray | int | list[Any] | None


class StoreError(Exception):
    """The server answered a command with an error, or with something that is no answer to it."""


@dataclass(frozen=True, slots=True)
class Extent:
    """A value that lies in an open file: it is sent from there, without passing through this process."""

    file: BinaryIO
    offset: int
    nbytes: int


Value = bytes | bytearray | memoryview | Extent


@dataclass(frozen=True, slots=True)
class Target:
    """Where a server listens. With `socket_path`, that is tried first where it exists."""

    url: str
    socket_path: Path | None = None


class Link:
    """Raises OSError (TimeoutError too) when the connection fails, StoreError when the server refuses.

    After either, and after `abort`, the link is of no more use.
    """

    def __init__(self, target: Target, timeout_s: float) -> None:
        options: dict[str, Any] = parse_url(target.url)
        self._socket = connected(target.url, target.socket_path, timeout_s)
        self._replies = self._socket.makefile("rb")
        if password := options.get("password"):
            username = options.get("username")
            self.call("AUTH", *([username] if username else []), password)
        if database := options.get("db"):
            self.call("SELECT", str(database))

    def close(self) -> None:
        self._replies.close()
        self._socket.close()

    def abort(self) -> None:
        """Ends whatever another thread is doing on this link, at once."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    @property
    def is_stale(self) -> bool:
        """Whether an idle link cannot be used: nothing is to come on it but the end of file of a server gone."""
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        return bool(poller.poll(0))

    def call(self, *command: str) -> Reply:
        self._socket.sendall(_packed(command))
        return self._reply()

    def touch(self, keys: Sequence[str]) -> list[bool]:
        """Which keys are there, in one round trip. Touched tail first, so that under LRU the head survives longest."""
        self._socket.sendall(b"".join(_packed(("TOUCH", key)) for key in reversed(keys)))
        found = [bool(self._reply()) for _ in keys]
        return found[::-1]

    def set(self, items: Iterable[tuple[str, Value]]) -> None:
        """Sets the items in the order given, pipelined; `items` may make each one while the last is under way."""
        count = 0
        for key, value in items:
            self._send_set(key, value)
            count += 1
        for _ in range(count):
            self._reply()

    def mget(self, keys: Sequence[str]) -> list[bytearray | None]:
        if not keys:
            return []
        return self._replied(list, self.call("MGET", *keys))

    def sizes(self, keys: Sequence[str]) -> list[int]:
        """Each value's size, in one round trip: 0 where there is none, -1 where it is no string. Counts as use."""
        self._socket.sendall(b"".join(_packed(("STRLEN", key)) for key in reversed(keys)))
        return [self._size() for _ in keys][::-1]

    def mget_into(self, keys: Sequence[str], buffer: memoryview, deadline_s: float) -> Iterator[memoryview | None]:
        """The values one after another, each in `buffer` until the next is asked for: a reused buffer stays in the
        processor's cache, where fresh ones cost their page faults (24 MB: 7.5 ms against 27).

        None stands for a value that is missing or of another size. Iterate to the end, or close the link. Raises
        TimeoutError when the monotonic clock passes `deadline_s`.
        """
        self._socket.sendall(_packed(("MGET", *keys)))
        if self._header(b"*") != len(keys):
            raise StoreError(f"MGET of {len(keys)} keys answered another number of values")
        for _ in keys:
            nbytes = self._header(b"$")
            if nbytes == len(buffer):
                self._fill(buffer, deadline_s)
                yield buffer
            else:
                self._bulk(nbytes)
                yield None

    def delete(self, keys: Sequence[str]) -> int:
        """Deletes the keys; returns how many were there."""
        return self._replied(int, self.call("DEL", *keys)) if keys else 0

    def unlink(self, keys: Sequence[str]) -> int:
        """The same; the server frees the memory beside its other work."""
        return self._replied(int, self.call("UNLINK", *keys)) if keys else 0

    def scan(self, cursor: int, pattern: str, count: int) -> tuple[int, list[str]]:
        """One step over about `count` of all keys: where the next one begins (0: that was the last), and the keys that
        fit. A key may come twice; one that is there from the first step to the last comes at least once."""
        reply = self._replied(list, self.call("SCAN", str(cursor), "MATCH", pattern, "COUNT", str(count)))
        return int(reply[0]), [key.decode(errors="surrogateescape") for key in reply[1]]

    def info(self) -> dict[str, str]:
        text = self._replied(bytearray, self.call("INFO")).decode()
        return dict(_fields(text))

    def _send_set(self, key: str, value: Value) -> None:
        nbytes = value.nbytes if isinstance(value, Extent | memoryview) else len(value)
        name = key.encode()
        self._socket.sendall(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n" % (len(name), name, nbytes))
        if isinstance(value, Extent):
            if self._socket.sendfile(value.file, value.offset, nbytes) != nbytes:
                raise OSError(f"a file ended before the {nbytes} bytes of a value")
        else:
            self._socket.sendall(value)
        self._socket.sendall(b"\r\n")

    def _reply(self) -> Reply:
        line = self._replies.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        match kind:
            case b"+":
                return rest
            case b":":
                return int(rest)
            case b"$":
                return self._bulk(int(rest))
            case b"*":
                return [self._reply() for _ in range(int(rest))]
            case b"-":
                raise StoreError(rest.decode(errors="replace"))
            case _:
                raise StoreError(f"an answer that is not RESP2: {line[:80]!r}")

    def _bulk(self, nbytes: int) -> bytearray | None:
        if nbytes < 0:
            return None
        value = bytearray(nbytes)
        self._fill(memoryview(value))
        return value

    def _fill(self, buffer: memoryview, deadline_s: float = math.inf) -> None:
        filled = 0
        while filled < len(buffer):
            if time.monotonic() > deadline_s:
                raise TimeoutError("the server is slower than it may be")
            got = self._replies.readinto1(buffer[filled:])
            if not got:
                raise ConnectionError("the server closed the connection in the middle of a value")
            filled += got
        if self._replies.read(2) != b"\r\n":
            raise ConnectionError("a value is not followed by its end")

    def _header(self, kind: bytes) -> int:
        line = self._replies.readline()
        if line[:1] == b"-":
            raise StoreError(line[1:-2].decode(errors="replace"))
        if line[:1] != kind:
            raise ConnectionError(f"not an answer to this: {line[:80]!r}")
        return int(line[1:-2])

    def _size(self) -> int:
        try:
            return self._replied(int, self._reply())
        except StoreError:  # WRONGTYPE: somebody else's list or hash under this name
            return -1

    @staticmethod
    def _replied(kind: type[Any], reply: Reply) -> Any:
        if not isinstance(reply, kind):
            raise StoreError(f"an answer of type {type(reply).__name__}, not {kind.__name__}")
        return reply


def _packed(command: Sequence[str]) -> bytes:
    parts = [b"*%d\r\n" % len(command)]
    for word in command:
        data = word.encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """INFO's lines `name:value`; `# Section` lines have none."""
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            yield name, value
