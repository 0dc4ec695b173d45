"""A kv store as KDN and instance use it: touch, read, write tail to head, purge. Values are opaque bytes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis.asyncio as redis
from redis.exceptions import RedisError

from cacheroute.errors import Unavailable
from cacheroute.kvstore.config import KvStoreConfig
from cacheroute.tokens import Tokens

PIPELINE_CHUNKS = 8
"""Chunks written in one pipelined round: enough to hide the round trip, few enough to bound memory."""


def store_url(config: KvStoreConfig, tokens: Tokens) -> str:
    """The address of a store, with its password: for this process's own use, never for a request or a log."""
    return config.url or f"redis://:{tokens.kv_password}@{config.host}:{config.port}/0"


def socket_path(state_dir: Path, name: str) -> Path:
    """The embedded store's unix socket, beside its TCP port."""
    return state_dir / f"{name}.sock"


class KvStore:
    """One store by name. Raises Unavailable whenever the server cannot be asked; never blocks the loop."""

    def __init__(self, name: str, config: KvStoreConfig, tokens: Tokens) -> None:
        self.name = name
        self._redis: Any = redis.Redis.from_url(
            store_url(config, tokens),
            socket_timeout=config.timeout_s,
            socket_connect_timeout=min(2.0, config.timeout_s),
            max_connections=32,
        )

    async def close(self) -> None:
        await self._redis.aclose()

    async def missing(self, keys: Sequence[str]) -> list[int]:
        """Indexes of the keys that are not there. One pipelined TOUCH: what is there counts as just used."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for key in reversed(keys):  # tail first, so that under LRU the head survives longest
                pipe.touch(key)
            found = await self._call(pipe.execute())
        return [index for index, there in enumerate(reversed(found)) if not there]

    async def read(self, keys: Sequence[str]) -> list[bytes | None]:
        return await self._call(self._redis.mget(keys)) if keys else []

    async def write(self, items: Sequence[tuple[str, bytes]]) -> None:
        """Sets the items in one pipelined round, in the order given."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for key, value in items:
                pipe.set(key, value)
            await self._call(pipe.execute())

    async def purge(self, keys: Sequence[str]) -> int:
        """Deletes the keys; returns how many were there."""
        return int(await self._call(self._redis.delete(*keys))) if keys else 0

    async def info(self) -> dict[str, Any]:
        return await self._call(self._redis.info())

    async def _call(self, awaitable: Any) -> Any:
        try:
            return await awaitable
        except (RedisError, OSError, TimeoutError) as error:
            raise Unavailable(f"kv store {self.name}: {str(error) or type(error).__name__}") from error
