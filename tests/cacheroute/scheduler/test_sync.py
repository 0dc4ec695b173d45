"""How the scheduler follows a KDN over HTTP; what a page does to the copy is told of the replica itself."""

import asyncio

import msgspec
import pytest
from aiohttp import web
from fakes.ports import free_port
from fakes.roles import Roles, config_for, running, until

from cacheroute.service import Plane, serving
from knowledge.changes import Changes


class SlowKdn:
    """Answers a page of changes, an empty one, once its gate is open."""

    def __init__(self) -> None:
        self.port = free_port()
        self.asked = 0
        self.gate = asyncio.Event()

    def plane(self) -> Plane:
        app = web.Application()
        app.router.add_get("/v1/changes", self._changes)
        return Plane("127.0.0.1", self.port, app)

    async def renew(self, roles: Roles) -> None:
        url = f"http://127.0.0.1:{self.port}"
        record = {"name": "kdn-1", "boot_id": "b", "url": url, "epoch": "e", "seq": 5}
        await roles.control("PUT", "/v1/leases/kdn/kdn-1", record)

    async def _changes(self, request: web.Request) -> web.Response:
        self.asked += 1
        await self.gate.wait()
        return web.Response(body=msgspec.msgpack.encode(Changes("e", 0, 0, (), more=False)))


@pytest.fixture
async def kdn():
    slow = SlowKdn()
    async with serving([slow.plane()], drain_s=0.1):
        yield slow


async def test_a_kdn_that_renews_faster_than_it_tells_is_asked_once_at_a_time(tmp_path, kdn):
    async with running(config_for(tmp_path)) as roles:
        for _ in range(6):
            await kdn.renew(roles)
        await until(lambda: kdn.asked == 1)
        kdn.gate.set()

        async def asked_again() -> bool:
            await kdn.renew(roles)
            return kdn.asked > 1

        await until(asked_again)
        assert kdn.asked == 2
