"""An engine for tests: a real OpenAI server on a real socket that echoes what it was asked, with dials for faults.

Not the `sim` engine: it models no time. It remembers every body it got, so that tests see what reached the engine.
"""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from cacheroute.errors import CacheRouteError, ContextOverflow
from cacheroute.kvstore.store import KvStore
from cacheroute.service import Plane, error_response, json_response
from cacheroute.wire.artifacts import CacheReset
from cacheroute.wire.engine import EngineInfo, Fingerprint

MODEL = "fake-model"


@dataclass
class FakeEngine:
    """Dials and observations. `gate` holds answers back until it is set; `max_prompt_chars` is its context.

    With a `store`, it puts made-up chunks of token-id prompts there, as an engine does that was asked to prefill; with
    a `cache` of keys, chunks of every prompt, which it finds again in its cache.
    """

    model: str = MODEL
    chunk_tokens: int = 16
    tokens: int = 3
    max_prompt_chars: int = 100_000
    status: int = 200
    break_after: int | None = None
    healthy: bool = True
    weights: str = "w1"
    no_kv_reason: str = ""
    store: KvStore | None = None
    cache: set[str] | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    running: int = 0
    peak: int = 0
    cancelled: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    @property
    def info(self) -> EngineInfo:
        fingerprint = Fingerprint(
            weights=self.weights,
            tokenizer="t",
            template="c",
            dtype="bf16",
            chunk_tokens=self.chunk_tokens,
            block_tokens=self.chunk_tokens,
            kv_layout="fake",
        )
        return EngineInfo(
            kind="embedded",
            model=self.model,
            max_model_len=8192,
            fingerprint=fingerprint,
            key_model=f"{self.model}-{fingerprint.id}",
            kv_bytes_per_token=64,
            no_kv_reason=self.no_kv_reason,
        )

    def plane(self, port: int) -> Plane:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_get("/health", self._health)
        app.router.add_get("/v1/engine", self._engine)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/tokenize", self._tokenize)
        app.router.add_post("/reset_prefix_cache", self._reset_prefix_cache)
        app.router.add_post("/v1/chat/completions", self._generate)
        app.router.add_post("/v1/completions", self._generate)
        return Plane("127.0.0.1", port, app)

    async def _health(self, request: web.Request) -> web.Response:
        return json_response({"ok": self.healthy}, status=200 if self.healthy else 503)

    async def _engine(self, request: web.Request) -> web.Response:
        return json_response(self.info, status=200 if self.healthy else 503)

    async def _models(self, request: web.Request) -> web.Response:
        return json_response({"object": "list", "data": [{"id": self.model, "object": "model"}]})

    async def _tokenize(self, request: web.Request) -> web.Response:
        body = await request.json()
        return json_response({"tokens": list(_prompt(body).encode())})

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        self.running += 1
        self.peak = max(self.peak, self.running)
        try:
            if self.status != 200:
                return error_response(_Chosen.of(self.status))
            if len(_prompt(body)) > self.max_prompt_chars:
                return error_response(ContextOverflow("maximum context length exceeded"))
            if self.store is not None and isinstance(body.get("prompt"), list):
                keys = self.info.key_scheme.keys(body["prompt"])
                await self.store.write([(key, key.encode() * 8) for key in keys])
                return json_response({"choices": [{"text": "x"}], "usage": {"prompt_tokens": len(body["prompt"])}})
            if not body.get("stream"):
                await self.gate.wait()
                usage = {"prompt_tokens_details": {"cached_tokens": await self._keep(_prompt(body))}}
                choices = [{"message": {"content": "ok"}}]
                return json_response({"object": "chat.completion", "choices": choices, "usage": usage})
            return await self._stream(request)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    async def _keep(self, prompt: str) -> int:
        """Keeps the chunks of a prompt; returns how many of its tokens were in the cache before."""
        if self.cache is None or self.store is None:
            return 0
        keys = self.info.key_scheme.keys(list(prompt.encode()))
        cached = next((index for index, key in enumerate(keys) if key not in self.cache), len(keys))
        await self.store.write([(key, key.encode() * 8) for key in keys])
        self.cache.update(keys)
        return cached * self.chunk_tokens

    async def _reset_prefix_cache(self, request: web.Request) -> web.Response:
        dropped, self.cache = len(self.cache or ()), set() if self.cache is not None else None
        return json_response(CacheReset(dropped=dropped))

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        out = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await out.prepare(request)
        for number in range(self.tokens):
            if number == self.break_after:
                assert request.transport is not None
                request.transport.abort()
                return out
            await out.write(f'data: {{"choices":[{{"delta":{{"content":"t{number}"}}}}]}}\n\n'.encode())
            await self.gate.wait()
        await out.write(b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3}}\n\n')
        await out.write(b"data: [DONE]\n\n")
        await out.write_eof()
        return out


class _Chosen(CacheRouteError):
    @classmethod
    def of(cls, status: int) -> "_Chosen":
        error = cls(f"the engine was told to answer {status}")
        type(error).status = status
        return error


def _prompt(body: dict[str, Any]) -> str:
    if "messages" in body:
        return json.dumps(body["messages"])
    return str(body.get("prompt"))
