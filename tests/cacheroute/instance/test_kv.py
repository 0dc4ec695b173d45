"""The gate before the engine, against stores that do not do what they should."""

import asyncio
import time

import aiohttp

from cacheroute.instance import kv
from cacheroute.kvstore.config import KvStoreConfig
from cacheroute.kvstore.store import KvStore
from cacheroute.tokens import Tokens
from cacheroute.wire.serve import KvPlan


async def test_a_store_that_hangs_costs_a_moment_not_its_whole_timeout(monkeypatch):
    monkeypatch.setattr(kv, "TOUCH_TIMEOUT_S", 0.05)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    config = KvStoreConfig(port=server.sockets[0].getsockname()[1], timeout_s=30)
    store = KvStore("kv-1", config, Tokens(control="c", kv_password="p"))
    plan = KvPlan(kdn="kdn-1", artifact_id="a", keys=("k",))
    async with server, aiohttp.ClientSession() as session:
        start_s = time.monotonic()
        receipt = await kv.KvGate(store, session, "c", dict, 30).ensure(plan, "r")
        assert time.monotonic() - start_s < 10
        assert "did not answer" in receipt.error
        await store.close()
