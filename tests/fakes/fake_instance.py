"""An instance as a KDN sees it: a real server that names a prompt's head and, told to prefill, fills a real kv store.

Its tokens are words, its values follow from their keys, so that a test can tell whose bytes lie where.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from aiohttp import web
from fakes.ports import free_port

from cacheroute.incoming import read_struct
from cacheroute.kvstore.store import KvStore
from cacheroute.prompt import head_text
from cacheroute.service import Guard, Plane, json_response, plane_app
from cacheroute.telemetry import Metrics
from cacheroute.wire.artifacts import CacheReset, Head, HeadRequest, PrefillRequest
from cacheroute.wire.control import InstanceRecord
from cacheroute.wire.engine import EngineInfo, Fingerprint


@dataclass
class FakeInstance:
    """`gate` holds prefills back until it is set; `lose` chunks never reach the store; `uneven` spoils one's length;
    `status` fails every call; `cached` chunks are in its engine's own cache."""

    store: KvStore
    token: str
    name: str = "instance-1"
    weights: str = "w1"
    chunk_tokens: int = 4
    chunk_nbytes: int = 4096
    no_kv_reason: str = ""
    lose: int = 0
    uneven: bool = False
    status: int = 200
    port: int = field(default_factory=free_port)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    heads: int = 0
    prefills: int = 0
    in_background: int = 0
    max_model_len: int = 8192
    model_string: str = "/models"
    cancelled: int = 0
    resets: int = 0
    cached: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    @property
    def engine(self) -> EngineInfo:
        fingerprint = Fingerprint(
            weights=self.weights,
            tokenizer="words",
            template="none",
            dtype="bf16",
            chunk_tokens=self.chunk_tokens,
            block_tokens=self.chunk_tokens,
            kv_layout="fake",
        )
        return EngineInfo(
            kind="embedded",
            model="fake-model",
            max_model_len=self.max_model_len,
            fingerprint=fingerprint,
            key_model=f"{self.model_string}/{fingerprint.id}",
            kv_bytes_per_token=self.chunk_nbytes // self.chunk_tokens,
            no_kv_reason=self.no_kv_reason,
        )

    @property
    def record(self) -> InstanceRecord:
        url = f"http://127.0.0.1:{self.port}"
        return InstanceRecord(
            name=self.name, boot_id="b", url=url, control_url=url, kv_store=self.store.name, engine=self.engine
        )

    def plane(self) -> Plane:
        app = plane_app(Guard(token=self.token), Metrics("fake"))
        app.router.add_post("/v1/kv/head", self._head)
        app.router.add_post("/v1/kv/prefill", self._prefill)
        app.router.add_post("/v1/kv/reset_prefix_cache", self._reset_prefix_cache)
        return Plane("127.0.0.1", self.port, app)

    def token_ids(self, texts: Sequence[str]) -> tuple[int, ...]:
        """A word's id is a hash of it; floored to whole chunks."""
        words = head_text(texts).split()
        ids = tuple(int.from_bytes(hashlib.sha256(word.encode()).digest()[:3]) for word in words)
        return ids[: len(ids) - len(ids) % self.chunk_tokens]

    def keys(self, texts: Sequence[str]) -> tuple[str, ...]:
        return self.engine.key_scheme.keys(self.token_ids(texts))

    def value(self, key: str) -> bytes:
        return value_of(key, self.chunk_nbytes)

    async def _head(self, request: web.Request) -> web.Response:
        asked = await read_struct(request, HeadRequest)
        self.heads += 1
        if self.status != 200:
            return web.Response(status=self.status, text="the engine is on fire")
        ids = self.token_ids(asked.texts)
        reason = "" if ids else f"shorter than one chunk of {self.chunk_tokens} tokens"
        return json_response(Head(token_ids=ids, fingerprint=self.engine.fingerprint.id, reason=reason))

    async def _reset_prefix_cache(self, request: web.Request) -> web.Response:
        self.resets += 1
        if self.status != 200:
            return web.Response(status=self.status, text="the engine is on fire")
        dropped, self.cached = self.cached, 0
        return json_response(CacheReset(dropped=dropped))

    async def _prefill(self, request: web.Request) -> web.Response:
        asked = await read_struct(request, PrefillRequest)
        self.prefills += 1
        self.in_background += asked.background
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        keys = self.engine.key_scheme.keys(asked.token_ids)
        values = [(key, self.value(key)) for key in keys[: len(keys) - self.lose]]
        if self.uneven:
            values[-1] = (values[-1][0], b"short")
        await self.store.write(values)
        return json_response({"prompt_tokens": len(asked.token_ids)})


def value_of(key: str, nbytes: int) -> bytes:
    """Bytes that belong to this key alone."""
    seed = hashlib.sha256(key.encode()).digest()
    return (seed * (nbytes // len(seed) + 1))[:nbytes]
