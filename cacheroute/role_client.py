"""One role's plane as a client sees it: its routes as calls, its errors as ours, its long lists whole.

Knows no role in particular. Nothing here blocks an event loop.
"""

from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx
import msgspec

from cacheroute import errors
from cacheroute.wire.page import Page

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

    async def delete(self, path: str, kind: type[T], timeout_s: float = CONTROL_TIMEOUT_S, **params: str | int) -> T:
        return await self._ask("DELETE", path, kind, params=params, timeout_s=timeout_s)

    async def pages(self, path: str, kind: type[Page[T]], which: Mapping[str, str]) -> tuple[T, ...]:
        """All items of a listing, fetched page by page."""
        items: list[T] = []
        after: dict[str, str] = {}
        while True:
            page = await self.get(path, kind, **which, **after)
            items += page.items
            if not page.next:
                return tuple(items)
            after = {"after": page.next}

    async def upload(self, path: str, content: AsyncIterable[bytes], kind: type[T], timeout_s: float) -> T:
        """Posts a body as it comes; the timeout is for each piece of it, and for the answer."""
        async with self._asking("POST", path, content, {}, timeout_s) as response:
            return self._decoded(path, await response.aread(), kind)

    async def download(self, path: str, which: Mapping[str, str], timeout_s: float) -> AsyncGenerator[bytes]:
        """The body of an answer as it comes."""
        async with self._asking("GET", path, None, which, timeout_s) as response:
            async for piece in response.aiter_raw():
                yield piece

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
            return self._decoded(path, await response.aread(), kind)

    def _decoded(self, path: str, content: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.DecodeError as error:
            raise errors.UpstreamFailed(f"{self.name} answers {path} with something else: {error}") from error

    @asynccontextmanager
    async def _asking(
        self, method: str, path: str, body: Any, params: Mapping[str, str | int], timeout_s: float
    ) -> AsyncGenerator[httpx.Response]:
        """`body`: a value to send as JSON, or an async iterable of bytes to send as they are."""
        try:
            content = body if body is None or isinstance(body, AsyncIterable) else msgspec.json.encode(body)
            async with self._http.stream(
                method,
                self.url + path,
                params=params,
                content=content,
                headers={**self._headers, "Content-Type": "application/json"},
                timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, 3.0)),
            ) as response:
                if response.status_code >= 400:
                    raise _error(self.name, response.status_code, await response.aread())
                yield response
        except UnicodeEncodeError as error:
            raise errors.BadRequest("what was given is not UTF-8") from error
        except httpx.ConnectError as error:
            raise errors.Unavailable(
                f"{self.name} does not answer at {self.url}; is the stack up? (cacheroute up)"
            ) from error
        except httpx.TimeoutException as error:
            raise errors.DeadlineExceeded(f"{self.name} did not answer {path} within {timeout_s:g} s") from error
        except httpx.HTTPError as error:
            raise errors.UpstreamFailed(f"{self.name} broke off: {str(error) or type(error).__name__}") from error


def _error(name: str, status: int, content: bytes) -> errors.CacheRouteError:
    """An answer's error in our tree, with the role's own words."""
    try:
        said = msgspec.json.decode(content)["error"]
        message, code = str(said["message"]), said.get("code")
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        message, code = f"HTTP {status}: {content[:300].decode(errors='replace')}", None
    kind = _BY_STATUS.get(status, errors.BadRequest if status < 500 else errors.UpstreamFailed)
    return kind(f"{name}: {message}", code=code)
