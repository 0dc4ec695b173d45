"""The instance's view of its engine: where it answers, whether it is ready, what it says of itself.

Knows one difference between engines only: one that does not describe itself is offered no KV.
"""

import asyncio
import logging
from typing import Any, TypeVar

import aiohttp
import msgspec
from msgspec import Struct

from cacheroute.errors import BadRequest, Unavailable, UpstreamFailed
from cacheroute.wire.engine import EngineInfo, Fingerprint

log = logging.getLogger(__name__)
T = TypeVar("T")

POLL_S = 1.0
FIRST_POLL_S = 0.2


class _Tokens(Struct):
    tokens: list[int]


class _Model(Struct):
    id: str
    max_model_len: int | None = None


class _Models(Struct):
    data: list[_Model]


class EngineLink:
    """One engine, watched. `info` is None until it has been ready once; `why` says what it waits for.

    `describes_itself`: it answers `GET /v1/engine`, as ours do. `credential`: the bearer token it takes, if any.
    """

    def __init__(self, url: str, session: aiohttp.ClientSession, credential: str, *, describes_itself: bool) -> None:
        self.url = url
        self.info: EngineInfo | None = None
        self.ready = False
        self.why = "the engine has not answered yet"
        self.described = asyncio.Event()
        self.credential = credential
        self._describes_itself = describes_itself
        self._session = session
        self._headers = {"Authorization": f"Bearer {credential}"} if credential else {}

    async def watch(self) -> None:
        """Keeps `ready`, `why` and `info` true, for ever."""
        while True:
            try:
                self.info = await self._describe()
                self.ready, why = True, ""
                self.described.set()
            except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError, UpstreamFailed) as error:
                self.ready, why = False, str(error) or type(error).__name__
            if why != self.why:
                log.info("engine at %s: %s", self.url, why or "ready")
            self.why = why
            await asyncio.sleep(POLL_S if self.ready else FIRST_POLL_S)

    async def tokenize(self, body: dict[str, Any]) -> list[int]:
        """Token ids of `{"prompt": ...}` or `{"messages": [...]}`. Raises what `post` raises."""
        return (await self.post("/tokenize", body, _Tokens)).tokens

    async def post(self, path: str, body: dict[str, Any], kind: type[T], *, timeout_s: float = 30) -> T:
        """One JSON call to the engine. Raises BadRequest for its 4xx, Unavailable where it cannot answer,
        UpstreamFailed where its answer is no `kind`.
        """
        if self.info is None:
            raise Unavailable(f"the engine is not ready: {self.why}")
        try:
            async with self._session.post(
                self.url + path,
                data=msgspec.json.encode({"model": self.info.model, **body}),
                headers={**self._headers, "Content-Type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=timeout_s),
            ) as response:
                answer = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"the engine did not answer: {str(error) or type(error).__name__}") from error
        if 400 <= response.status < 500:
            raise BadRequest(f"the engine refused {path}: {answer[:500].decode(errors='replace')}")
        if response.status != 200:
            raise Unavailable(f"the engine answered {path} with HTTP {response.status}")
        try:
            return msgspec.json.decode(answer, type=kind)
        except msgspec.DecodeError as error:
            raise UpstreamFailed(f"the engine answered {path} with something else: {error}") from error

    async def _describe(self) -> EngineInfo:
        """Asked anew each time: what answers at this address may have been started with another model."""
        if self._describes_itself:
            return msgspec.json.decode(await self._get("/v1/engine"), type=EngineInfo)
        models = msgspec.json.decode(await self._get("/v1/models"), type=_Models).data
        if not models:
            raise UpstreamFailed("it serves no model")
        return _text_only(models[0])

    async def _get(self, path: str) -> bytes:
        timeout = aiohttp.ClientTimeout(total=5)
        async with self._session.get(self.url + path, headers=self._headers, timeout=timeout) as response:
            body = await response.read()
        if response.status != 200:
            raise UpstreamFailed(f"HTTP {response.status} {body[:200].decode(errors='replace')}")
        return body


def _text_only(model: _Model) -> EngineInfo:
    fingerprint = Fingerprint(
        weights="", tokenizer="", template="", dtype="", chunk_tokens=0, block_tokens=0, kv_layout="", kernel="openai"
    )
    return EngineInfo(
        kind="openai",
        model=model.id,
        max_model_len=model.max_model_len or 0,
        fingerprint=fingerprint,
        key_model="",
        kv_bytes_per_token=0,
        no_kv_reason="an engine of kind openai takes no KV from outside",
    )
