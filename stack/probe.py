"""How a service shows that it is ready, as plain values. Knows no socket: `prober` asks the questions."""

from collections.abc import Mapping

from msgspec import Struct

Scalar = bool | int | float | str | None


class ExecProbe(Struct, frozen=True, tag="exec"):
    """A command that exits with 0."""

    argv: tuple[str, ...]
    timeout_s: float = 2.0


class TcpProbe(Struct, frozen=True, tag="tcp"):
    """A port that accepts a connection."""

    host: str
    port: int
    timeout_s: float = 2.0


class HttpProbe(Struct, frozen=True, tag="http"):
    """A GET with the right status and, where `expect` asks, the right JSON.

    `expect` maps dotted paths to values: {"data.0.id": "tiny"} is met by {"data": [{"id": "tiny"}]}.
    """

    url: str
    status: int = 200
    expect: Mapping[str, Scalar] = {}
    headers: Mapping[str, str] = {}
    bearer: str | None = None
    timeout_s: float = 2.0


class RedisProbe(Struct, frozen=True, tag="redis"):
    """A server that answers PING with PONG, over TCP or, where `unix_socket` is given, there."""

    host: str = "127.0.0.1"
    port: int = 6379
    unix_socket: str | None = None
    username: str | None = None
    password: str | None = None
    timeout_s: float = 2.0


Probe = ExecProbe | TcpProbe | HttpProbe | RedisProbe


class Verdict(Struct, frozen=True):
    """What a probe found; `reason` says what is missing, and is empty when `ok`."""

    ok: bool
    reason: str = ""
    took_ms: float = 0.0
