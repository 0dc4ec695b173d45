"""D18: bounded queues, 429 with Retry-After, deadlines, ids that cannot be guessed."""

import asyncio
import gc
import tracemalloc

from fakes.roles import config_for, running
from fakes.until import until


async def test_a_full_ready_queue_answers_429_with_the_time_to_come_back(tmp_path):
    config = config_for(tmp_path, proxy={"instance_concurrency": 1, "max_ready": 1})
    async with running(config) as roles:
        roles.engine.gate.clear()
        first = asyncio.create_task(roles.chat(RAG=False))
        await until(lambda: roles.engine.running == 1)
        second = asyncio.create_task(roles.chat(RAG=False))
        url = f"http://127.0.0.1:{config.proxy['pool-1'].control_port}"

        async def one_waits() -> bool:
            queues = (await roles.control("GET", "/debug/status", url=url))["queues"]
            return queues["instance-1-1 ready queue"]["waiting"] == 1

        await until(one_waits)
        status, headers, body = await roles.chat(RAG=False)
        assert status == 429
        assert int(headers["Retry-After"]) >= 1
        assert body["error"]["type"] == "rate_limit_error"
        roles.engine.gate.set()
        assert (await first)[0] == (await second)[0] == 200


async def test_the_scheduler_serves_so_many_at_a_time(tmp_path):
    async with running(config_for(tmp_path, scheduler={"max_inflight": 2})) as roles:
        roles.engine.gate.clear()
        asked = [asyncio.create_task(roles.chat(RAG=False)) for _ in range(2)]
        await until(lambda: roles.engine.running == 2)
        status, headers, _ = await roles.chat(RAG=False)
        assert status == 429
        assert "Retry-After" in headers
        roles.engine.gate.set()
        await asyncio.gather(*asked)


async def test_the_time_to_come_back_does_not_grow_with_the_number_of_those_inside(tmp_path):
    config = config_for(tmp_path, scheduler={"max_inflight": 30}, proxy={"instance_concurrency": 1})
    async with running(config) as roles:
        roles.engine.gate.clear()
        asked = [asyncio.create_task(roles.chat(RAG=False)) for _ in range(30)]

        async def full() -> bool:
            return (await roles.control("GET", "/debug/status"))["inflight"] == len(asked)

        await until(full)
        status, headers, _ = await roles.chat(RAG=False)
        assert (status, headers["Retry-After"]) == (429, "1")
        roles.engine.gate.set()
        await asyncio.gather(*asked)


async def test_a_deadline_ends_a_request_that_waits_and_one_that_runs(tmp_path):
    async with running(config_for(tmp_path, proxy={"instance_concurrency": 1})) as roles:
        roles.engine.gate.clear()
        body = {"model": "fake-model", "messages": [{"role": "user", "content": "hi"}], "RAG": False}
        url, headers = f"{roles.url}/v1/chat/completions", {"X-Request-Deadline-Ms": "200"}

        async def ask() -> tuple[int, str]:
            async with roles.session.post(url, json=body, headers=headers) as answer:
                return answer.status, (await answer.json())["error"]["code"]

        answers = await asyncio.gather(ask(), ask())
        assert answers == [(504, "deadline_exceeded")] * 2
        await until(lambda: roles.engine.running == 0)


async def test_a_deadline_that_is_no_number_is_a_400(tmp_path):
    async with running(config_for(tmp_path)) as roles:
        body = {"model": "fake-model", "messages": [{"role": "user", "content": "hi"}]}
        for nonsense in ("soon", "-5", "nan", "inf"):
            headers = {"X-Request-Deadline-Ms": nonsense}
            async with roles.session.post(f"{roles.url}/v1/chat/completions", json=body, headers=headers) as answer:
                assert answer.status == 400


async def test_what_is_remembered_of_a_request_does_not_grow_with_its_body(tmp_path):
    async with running(config_for(tmp_path)) as roles:
        roles.engine.max_prompt_chars = 2**24
        await roles.chat("x" * 2**20, RAG=False)
        roles.engine.bodies.clear()
        tracemalloc.start()
        try:
            for _ in range(8):
                assert (await roles.chat("x" * 2**20, RAG=False))[0] == 200
            roles.engine.bodies.clear()
            gc.collect()
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len((await roles.control("GET", "/debug/requests"))["requests"]) == 9
    assert kept < 8 * 2**20  # not one copy of each


async def test_a_limit_that_is_no_number_is_a_400(tmp_path):
    async with running(config_for(tmp_path)) as roles:
        for nonsense in ("-1", "many", "%C2%B2", "%D9%A3"):
            answer = await roles.control("GET", f"/debug/requests?limit={nonsense}")
            assert answer["error"]["param"] == "limit"


async def test_refusals_are_counted_as_what_they_are(tmp_path):
    async with running(config_for(tmp_path, proxy={"max_ready": 0, "instance_concurrency": 1})) as roles:
        roles.engine.gate.clear()
        first = asyncio.create_task(roles.chat(RAG=False))
        await until(lambda: roles.engine.running == 1)
        assert (await roles.chat(RAG=False))[0] == 429
        roles.engine.gate.set()
        await first
        for port, labels in (
            (roles.config.scheduler.control_port, 'endpoint="chat",status="429"'),
            (roles.config.proxy["pool-1"].control_port, 'mode="none",status="429"'),
        ):
            headers = {"Authorization": f"Bearer {roles.token}"}
            async with roles.session.get(f"http://127.0.0.1:{port}/metrics", headers=headers) as answer:
                assert f"{{{labels}}} 1.0" in await answer.text()


async def test_request_ids_are_128_random_bits(tmp_path):
    async with running(config_for(tmp_path)) as roles:
        seen = {(await roles.chat(RAG=False))[1]["X-Request-ID"] for _ in range(5)}
    assert len(seen) == 5
    assert all(len(bytes.fromhex(each)) == 16 for each in seen)
