from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from fakes.ports import free_port

from cacheroute import errors
from cacheroute.client import Client
from cacheroute.config import ApiKey, Config, Paths, Security
from cacheroute.kdn.config import KdnConfig
from cacheroute.kdn_client import Kdn
from cacheroute.role_client import Role
from cacheroute.scheduler.config import SchedulerConfig
from cacheroute.service import Plane, json_response, serving
from cacheroute.wire.artifacts import BuildResult
from cacheroute.wire.documents import BlockInfo

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def kdn_that(handler: Handler, **security: Any) -> AsyncGenerator[Client]:
    """A client whose scheduler and one KDN are both a server with `handler` for everything."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    port = free_port()
    config = Config(
        paths=Paths(state="unused", data="unused"),
        scheduler=SchedulerConfig(port=port, control_port=port),
        kdn={"kdn-1": KdnConfig(port=port)},
        security=Security(**security),
    )
    async with serving([Plane("127.0.0.1", port, app)], drain_s=0), Client(config, "control-token") as client:
        yield client


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.BadRequest),
        (401, errors.Unauthorized),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (413, errors.TooLarge),
        (418, errors.BadRequest),
        (429, errors.Overloaded),
        (500, errors.UpstreamFailed),
        (502, errors.UpstreamFailed),
        (503, errors.Unavailable),
        (504, errors.DeadlineExceeded),
    ],
)
async def test_an_error_comes_back_as_what_it_was_with_the_roles_words(
    status: int, kind: type[errors.CacheRouteError]
) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return json_response({"error": {"message": "so it is", "code": "because"}}, status=status)

    async with kdn_that(refuse) as client:
        with pytest.raises(kind, match="kdn-1: so it is") as caught:
            await client.kdns["kdn-1"].blocks()
    assert type(caught.value) is kind
    assert caught.value.error_code == "because"


async def test_an_error_without_our_shape_is_quoted() -> None:
    async def nonsense(request: web.Request) -> web.Response:
        return web.Response(status=502, text="<h1>Bad Gateway</h1>")

    async with kdn_that(nonsense) as client:
        with pytest.raises(errors.UpstreamFailed, match="HTTP 502: <h1>Bad Gateway"):
            await client.peers()


async def test_nobody_there_says_what_to_do() -> None:
    async def never(request: web.Request) -> web.Response:
        raise AssertionError

    async with kdn_that(never) as client:
        nowhere = client.role("engine-1", f"http://127.0.0.1:{free_port()}")
        with pytest.raises(errors.Unavailable, match=r"engine-1 does not answer at .*; is the stack up\?"):
            await nowhere.get("/health", dict[str, Any])


async def test_an_answer_of_another_shape_is_upstreams_failure() -> None:
    async def other(request: web.Request) -> web.Response:
        return json_response({"not": "a list"})

    async with kdn_that(other) as client:
        with pytest.raises(errors.UpstreamFailed, match="something else"):
            await client.kdns["kdn-1"].blocks()


async def test_a_hanging_role_is_given_up() -> None:
    import asyncio

    async def hang(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with kdn_that(hang) as client:
        with pytest.raises(errors.DeadlineExceeded, match="did not answer"):
            await client.kdns["kdn-1"].post("/v1/inject", {}, dict[str, Any], timeout_s=0.1)


async def test_control_calls_carry_the_token_and_the_endpoint_an_api_key() -> None:
    seen: dict[str, str] = {}

    async def note(request: web.Request) -> web.Response:
        seen[request.path] = request.headers.get("Authorization", "none")
        return json_response({"data": [{"id": "tiny"}]} if request.path == "/v1/models" else {})

    keys = {
        "narrow": ApiKey(key="sees-one", collections=("one",)),
        "wide": ApiKey(key="sees-all"),
    }
    async with kdn_that(note, api_keys=keys) as client:
        assert await client.models() == ("tiny",)
        await client.peers()
    assert seen == {"/v1/models": "Bearer sees-all", "/v1/peers": "Bearer control-token"}


async def test_without_api_keys_the_endpoint_gets_no_authorization() -> None:
    async def note(request: web.Request) -> web.Response:
        assert "Authorization" not in request.headers
        return json_response({"data": []})

    async with kdn_that(note) as client:
        assert await client.models() == ()


async def test_names_travel_whole_whatever_is_in_them() -> None:
    seen: list[str] = []

    async def note(request: web.Request) -> web.Response:
        seen.append(request.query.get("source", "") or request.path)
        if request.method == "DELETE":
            body = {"source": "s", "collection": "c", "kids": [], "artifacts": [], "purged": {}}
            return json_response(body)
        return json_response(BlockInfo(kid="k", source="s", title="t", ordinal=0, chars=1, collection="c"))

    async with kdn_that(note) as client:
        kdn = client.kdns["kdn-1"]
        assert isinstance(kdn, Kdn)
        await kdn.forget("docs/a b&c=d?e#f/ü.md", "default")
        await kdn.block("a/../b")
    assert seen == ["docs/a b&c=d?e#f/ü.md", "/v1/blocks/a/../b"]


async def test_a_build_answers_one_result_a_fingerprint() -> None:
    async def built(request: web.Request) -> web.Response:
        assert await request.json() == {"kids": ["a", "b"], "rendering": "chat", "fingerprint": ""}
        result = BuildResult(fingerprint="f", instance="i", artifact=None, reason="too short", ms=1.0)
        return json_response([result])

    async with kdn_that(built) as client:
        (result,) = await client.kdns["kdn-1"].build(("a", "b"))
    assert result.reason == "too short"


def test_a_role_is_no_more_than_a_name_an_address_and_a_token(tmp_path: Path) -> None:
    config = Config(scheduler=SchedulerConfig(host="0.0.0.0"))
    client = Client(config, "t")
    assert isinstance(client.scheduler, Role)
    assert client.scheduler.url == "http://127.0.0.1:7002"
