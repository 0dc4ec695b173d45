"""D5, D17: leases are re-made after any peer restarts, in any order; several of each role can be told apart."""

import aiohttp
import msgspec
import pytest
from fakes.fake_engine import FakeEngine
from fakes.ports import free_ports
from fakes.roles import Roles, config_for, running
from fakes.until import until

from cacheroute.proxy.app import planes
from cacheroute.service import serving


@pytest.mark.parametrize("role", ["scheduler", "pool-1", "instance-1-1", "engine-1-1"])
async def test_after_any_role_restarts_requests_are_served_again(tmp_path, role):
    async with running(config_for(tmp_path)) as roles:
        await roles.stop(role)
        await roles.start(role)
        await roles.until_ready()

        async def served() -> bool:
            return (await roles.chat(RAG=False))[0] == 200

        await until(served)


async def test_roles_may_start_in_reverse_order(tmp_path):
    config = config_for(tmp_path)
    async with aiohttp.ClientSession() as session:
        roles = Roles(config, session)
        await roles.start("instance-1-1", "pool-1", "engine-1-1", "scheduler")
        try:
            await roles.until_ready()
            assert (await roles.chat(RAG=False))[0] == 200
        finally:
            await roles.stop_all()


async def test_two_pools_of_two_instances_each_serve_their_share(tmp_path):
    async with running(config_for(tmp_path, pools=2, instances=2)) as roles:
        served = [(await roles.chat(RAG=False))[1] for _ in range(8)]
    pools = [headers["X-CacheRoute-Pool"] for headers in served]
    assert pools.count("pool-1") == pools.count("pool-2") == 4
    assert {len(engine.bodies) for engine in roles.engines.values()} == {2}


async def test_a_pool_that_is_gone_is_passed_over(tmp_path):
    async with running(config_for(tmp_path, pools=2)) as roles:
        await roles.stop("instance-2-1", "pool-2")
        answers = [await roles.chat(RAG=False) for _ in range(4)]
    assert [status for status, _, _ in answers] == [200] * 4
    assert {headers["X-CacheRoute-Pool"] for _, headers, _ in answers} == {"pool-1"}


async def test_a_second_process_under_a_live_name_is_refused(tmp_path):
    async with running(config_for(tmp_path)) as roles:
        record = {
            "name": "pool-1",
            "boot_id": "another",
            "url": "http://127.0.0.1:1",
            "control_url": "http://127.0.0.1:1",
        }
        answer = await roles.control("PUT", "/v1/leases/proxy/pool-1", record)
        assert answer["error"]["code"] == "conflict"
        assert "pool-1" in answer["error"]["message"]
        assert (await roles.chat(RAG=False))[0] == 200


async def test_a_process_whose_name_was_refused_takes_nothing_with_it_when_it_leaves(tmp_path):
    config = config_for(tmp_path)
    async with running(config) as roles:
        port, control_port = free_ports(2)
        twin = msgspec.structs.replace(config.proxy["pool-1"], port=port, control_port=control_port)
        async with serving(await planes(msgspec.structs.replace(config, proxy={"pool-1": twin}), "pool-1")):

            async def refused() -> bool:
                status = await roles.control("GET", "/debug/status", url=f"http://127.0.0.1:{control_port}")
                return "conflict" in status["why"]

            await until(refused)
        peers = await roles.control("GET", "/v1/peers")
        assert [proxy["name"] for proxy in peers["proxies"]] == ["pool-1"]


async def test_without_a_ready_engine_the_answer_is_503_with_retry_after(tmp_path):
    config = config_for(tmp_path)
    async with aiohttp.ClientSession() as session:
        roles = Roles(config, session)
        roles.engines["engine-1-1"] = FakeEngine(healthy=False)
        await roles.start("scheduler", "pool-1", "engine-1-1", "instance-1-1")
        try:
            status, headers, body = await roles.chat(RAG=False)
            assert status == 503
            assert "Retry-After" in headers
            assert "cacheroute status" in body["error"]["message"]
        finally:
            await roles.stop_all()
