"""What an operator's programs (command line, console, benches) ask of the running roles. Knows their routes and errors;
shows nothing and keeps nothing. Nothing here blocks an event loop.
"""

import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from cacheroute import errors
from cacheroute.address import base_url
from cacheroute.config import Config
from cacheroute.wire.artifacts import ArtifactInfo, BuildRequest, BuildResult
from cacheroute.wire.control import Listing
from cacheroute.wire.decision import RequestTrace
from cacheroute.wire.documents import AddDocument, AddedDocument, BlockInfo, DeletedDocument, DocumentInfo
from cacheroute.wire.page import Page
from knowledge.match import Matches

T = TypeVar("T")

CONTROL_TIMEOUT_S = 10.0
_BY_STATUS = {
    kind.status: kind
    for kind in (
        errors.BadRequest,
        errors.Unauthorized,
        errors.Forbidden,
        errors.NotFound,
        errors.Conflict,
        errors.TooLarge,
        errors.Overloaded,
        errors.UpstreamFailed,
        errors.Unavailable,
        errors.DeadlineExceeded,
    )
}


class Traces(msgspec.Struct, frozen=True):
    requests: tuple[RequestTrace, ...] = ()


class Client:
    """The roles that one configuration names, over one connection pool. Use in `async with`.

    Every call raises CacheRouteError: what the role answered, or Unavailable where nobody does.
    """

    def __init__(self, config: Config, token: str) -> None:
        # Roles speak plain HTTP: a context without trust roots spares the 20 ms that loading them takes.
        self._token = token
        self._http = httpx.AsyncClient(trust_env=False, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        scheduler = config.scheduler
        self.scheduler = Role(self._http, "scheduler", base_url(scheduler.host, scheduler.control_port), token)
        self.endpoint = Role(self._http, "scheduler", base_url(scheduler.host, scheduler.port), _api_key(config))
        self.kdns = {
            name: Kdn(self._http, name, base_url(kdn.host, kdn.port), token, kdn.build_timeout_s)
            for name, kdn in config.kdn.items()
        }

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    def role(self, name: str, url: str) -> "Role":
        """Another role's control plane, at an address that the scheduler's registry told."""
        return Role(self._http, name, url, self._token)

    async def peers(self) -> Listing:
        return await self.scheduler.get("/v1/peers", Listing)

    async def status(self) -> dict[str, Any]:
        return await self.scheduler.get("/debug/status", dict[str, Any])

    async def requests(self, limit: int) -> tuple[RequestTrace, ...]:
        """The last decisions, newest first."""
        return (await self.scheduler.get("/debug/requests", Traces, limit=limit)).requests

    async def search(self, query: str, k: int) -> Matches:
        """What the scheduler considers for a question, best first, and what it would use."""
        return await self.scheduler.post("/v1/search", {"query": query, "k": k}, Matches)

    async def models(self) -> tuple[str, ...]:
        """The names that the OpenAI endpoint serves now."""
        listed = await self.endpoint.get("/v1/models", dict[str, Any])
        return tuple(str(model.get("id", "")) for model in listed.get("data", ()))


class Role:
    """One role's plane: its name for messages, its address, the bearer token it takes."""

    def __init__(self, http: httpx.AsyncClient, name: str, url: str, token: str | None) -> None:
        self.name = name
        self.url = url
        self._http = http
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def get(self, path: str, kind: type[T], **params: str | int) -> T:
        return await self._ask("GET", path, kind, params=params)

    async def post(self, path: str, body: Any, kind: type[T], timeout_s: float = CONTROL_TIMEOUT_S) -> T:
        return await self._ask("POST", path, kind, body=body, timeout_s=timeout_s)

    async def delete(self, path: str, kind: type[T], **params: str | int) -> T:
        return await self._ask("DELETE", path, kind, params=params)

    @asynccontextmanager
    async def posting(self, path: str, body: Any, timeout_s: float) -> AsyncGenerator[httpx.Response]:
        """The answer to a POST as soon as its headers are there; its body is the caller's to read."""
        async with self._asking("POST", path, body, {}, timeout_s) as response:
            yield response

    async def _ask(
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        params: Mapping[str, str | int] | None = None,
        body: Any = None,
        timeout_s: float = CONTROL_TIMEOUT_S,
    ) -> T:
        async with self._asking(method, path, body, params or {}, timeout_s) as response:
            content = await response.aread()
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.DecodeError as error:
            raise errors.UpstreamFailed(f"{self.name} answers {path} with something else: {error}") from error

    @asynccontextmanager
    async def _asking(
        self, method: str, path: str, body: Any, params: Mapping[str, str | int], timeout_s: float
    ) -> AsyncGenerator[httpx.Response]:
        try:
            async with self._http.stream(
                method,
                self.url + path,
                params=params,
                content=None if body is None else msgspec.json.encode(body),
                headers={**self._headers, "Content-Type": "application/json"},
                timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, 3.0)),
            ) as response:
                if response.status_code >= 400:
                    raise _error(self.name, response.status_code, await response.aread())
                yield response
        except httpx.ConnectError as error:
            raise errors.Unavailable(
                f"{self.name} does not answer at {self.url}; is the stack up? (cacheroute up)"
            ) from error
        except httpx.TimeoutException as error:
            raise errors.DeadlineExceeded(f"{self.name} did not answer {path} within {timeout_s:g} s") from error
        except httpx.HTTPError as error:
            raise errors.UpstreamFailed(f"{self.name} broke off: {str(error) or type(error).__name__}") from error


class Kdn(Role):
    """One KDN's knowledge and artifacts."""

    def __init__(self, http: httpx.AsyncClient, name: str, url: str, token: str, build_timeout_s: float) -> None:
        super().__init__(http, name, url, token)
        self._build_timeout_s = build_timeout_s

    async def add(self, document: AddDocument) -> AddedDocument:
        return await self.post("/v1/documents", document, AddedDocument, timeout_s=60.0)

    async def documents(self, **which: str) -> tuple[DocumentInfo, ...]:
        """Every document, or those of a `source` or a `collection`."""
        return await self._pages("/v1/documents", Page[DocumentInfo], which)

    async def blocks(self, **which: str) -> tuple[BlockInfo, ...]:
        """Every block without its text, or those of a `source`, a `collection`, or whose kid begins with `kid`."""
        return await self._pages("/v1/blocks", Page[BlockInfo], which)

    async def block(self, kid: str) -> BlockInfo:
        """One block, with its text."""
        return await self.get(f"/v1/blocks/{quote(kid, safe='')}", BlockInfo)

    async def status(self) -> dict[str, Any]:
        return await self.get("/debug/status", dict[str, Any])

    async def artifacts(self, **which: str) -> tuple[ArtifactInfo, ...]:
        """Every artifact, or those that hold a whole `kid`, or of a `fingerprint`."""
        return await self._pages("/v1/artifacts", Page[ArtifactInfo], which)

    async def build(self, kids: tuple[str, ...]) -> tuple[BuildResult, ...]:
        request = BuildRequest(kids=kids)
        return await self.post("/v1/artifacts", request, tuple[BuildResult, ...], self._build_timeout_s)

    async def forget(self, source: str, collection: str) -> DeletedDocument:
        """Deletes a document for good: text, vectors, artifacts, and their chunks in the kv stores."""
        return await self.delete("/v1/documents", DeletedDocument, source=source, collection=collection)

    async def _pages(self, path: str, kind: type[Page[T]], which: Mapping[str, str]) -> tuple[T, ...]:
        items: list[T] = []
        after = "0"
        while after:
            page = await self.get(path, kind, after=after, **which)
            items += page.items
            after = page.next
        return tuple(items)


def _api_key(config: Config) -> str | None:
    """A key for the data plane, if it takes any: one that sees every collection, where there is one."""
    keys = sorted(config.security.api_keys.values(), key=lambda key: bool(key.collections))
    return keys[0].key if keys else None


def _error(name: str, status: int, content: bytes) -> errors.CacheRouteError:
    """An answer's error in our tree, with the role's own words."""
    try:
        said = msgspec.json.decode(content)["error"]
        message, code = str(said["message"]), said.get("code")
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        message, code = f"HTTP {status}: {content[:300].decode(errors='replace')}", None
    kind = _BY_STATUS.get(status, errors.BadRequest if status < 500 else errors.UpstreamFailed)
    return kind(f"{name}: {message}", code=code)
