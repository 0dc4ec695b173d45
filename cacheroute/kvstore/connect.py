"""A socket to a kv store, as its url says: TCP, TLS, or the unix socket beside it. Speaks no protocol."""

import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

from redis.connection import parse_url

SEND_BUFFER_BYTES = 4 * 2**20


def connected(url: str, socket_path: Path | None, timeout_s: float) -> socket.socket:
    """With `socket_path`, that is tried first where it exists. Raises OSError."""
    options: dict[str, Any] = parse_url(url)
    if path := options.get("path"):
        return _unix(path, timeout_s)
    if socket_path is not None:
        with suppress(OSError):  # a socket file may outlive its server, or not be there yet: TCP decides
            return _unix(str(socket_path), timeout_s)
    host, port = str(options.get("host", "localhost")), int(options.get("port", 6379))
    tcp = socket.create_connection((host, port), timeout=timeout_s)
    tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    if url.startswith("rediss://"):
        return ssl.create_default_context().wrap_socket(tcp, server_hostname=host)
    return tcp


def _unix(path: str, timeout_s: float) -> socket.socket:
    unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        unix.settimeout(timeout_s)
        unix.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        unix.connect(path)
    except OSError:
        unix.close()
        raise
    return unix
