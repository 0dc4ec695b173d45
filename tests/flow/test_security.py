"""D19: who may call what. Nobody gets in without the control token; keys see their collections; nothing leaks."""

import asyncio

import pytest
from fakes.roles import config_for, running

from cacheroute.config import ApiKey


async def test_every_control_plane_and_inner_hop_wants_the_control_token(tmp_path):
    async with running(config_for(tmp_path)) as roles:
        config = roles.config
        proxy, instance = config.proxy["pool-1"], config.instance["instance-1-1"]
        for port, path in [
            (config.scheduler.control_port, "/v1/peers"),
            (config.scheduler.control_port, "/metrics"),
            (proxy.port, "/v1/serve"),
            (proxy.control_port, "/debug/status"),
            (instance.port, "/v1/serve"),
            (instance.control_port, "/v1/kv/prefill"),
        ]:
            for headers in ({}, {"Authorization": "Bearer wrong"}):
                async with roles.session.post(f"http://127.0.0.1:{port}{path}", json={}, headers=headers) as answer:
                    assert answer.status == 401, path


async def test_clients_see_no_metrics(tmp_path):
    async with running(config_for(tmp_path)) as roles:
        for path, status in (("/healthz", 200), ("/metrics", 404)):
            async with roles.session.get(roles.url + path) as answer:
                assert answer.status == status


async def test_a_foreign_host_or_origin_is_refused(tmp_path):
    async with running(config_for(tmp_path)) as roles:
        for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
            async with roles.session.get(f"{roles.url}/v1/models", headers=headers) as answer:
                assert answer.status == 403


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (b"Host: [::", 403),
        (b"Host: localhost:99999", 403),
        (b"Host: \xff", 403),
        (b"Host: localhost\r\nAuthorization: Bearer \xff\xfe", 401),
    ],
)
async def test_a_header_that_is_no_text_is_refused_like_any_other(tmp_path, header, status):
    async with running(config_for(tmp_path)) as roles:
        reader, writer = await asyncio.open_connection("127.0.0.1", roles.config.scheduler.control_port)
        writer.write(b"GET /v1/peers HTTP/1.1\r\n" + header + b"\r\nConnection: close\r\n\r\n")
        assert (await reader.readline()).split()[1] == str(status).encode()
        writer.close()


async def test_a_clients_authorization_never_reaches_the_engine(tmp_path):
    async with running(config_for(tmp_path)) as roles:
        body = {"model": "fake-model", "messages": [{"role": "user", "content": "hi"}], "RAG": False}
        headers = {"Authorization": "Bearer the-clients-own"}
        async with roles.session.post(f"{roles.url}/v1/chat/completions", json=body, headers=headers) as answer:
            assert answer.status == 200
        assert "the-clients-own" not in str(roles.engine.headers)


@pytest.mark.parametrize(("key", "status"), [("", 401), ("wrong", 401), ("s3cret", 200)])
async def test_with_api_keys_configured_a_client_needs_one(tmp_path, key, status):
    security = {"api_keys": {"ann": ApiKey(key="s3cret")}}
    async with running(config_for(tmp_path, security=security)) as roles:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        async with roles.session.get(f"{roles.url}/v1/models", headers=headers) as answer:
            assert answer.status == status


async def test_a_record_that_names_somebody_else_is_refused(tmp_path):
    async with running(config_for(tmp_path)) as roles:
        record = {"name": "kdn-9", "boot_id": "b", "url": "http://127.0.0.1:1", "epoch": "e", "seq": 0}
        answer = await roles.control("PUT", "/v1/leases/kdn/kdn-1", record)
        assert answer["error"]["code"] == "bad_request"
