"""One question to the OpenAI endpoint and its answer: the text as it comes, where it came from, how long it took.

TTFT is measured here, at the client: from the request's sending to the first chunk with text in it.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import msgspec
from httpx_sse import EventSource, SSEError
from msgspec import Struct

from cacheroute.errors import UpstreamFailed
from cacheroute.role_client import Role
from cacheroute.wire.serve import (
    ENGINE_PATH,
    INJECTION_HEADER,
    INSTANCE_HEADER,
    KNOWLEDGE_HEADER,
    POOL_HEADER,
    REASON_HEADER,
    RETRIEVAL_HEADER,
    InjectionType,
)


class Question(Struct, frozen=True, kw_only=True):
    """What is asked, and with which of CacheRoute's options."""

    text: str
    model: str
    injection: InjectionType = "auto"
    rag: bool = True
    knowledge_ids: tuple[str, ...] = ()
    max_tokens: int = 128
    stream: bool = True
    timeout_s: float = 300.0

    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "user", "content": self.text}],
            "max_tokens": self.max_tokens,
            "temperature": 0,
            "RAG": self.rag,
            "Injection_type": self.injection,
            "stream": self.stream,
        }
        if self.knowledge_ids:
            body["knowledge_ids"] = list(self.knowledge_ids)
        if self.stream:
            body["stream_options"] = {"include_usage": True}
        return body


class Way(Struct, frozen=True, kw_only=True):
    """How an answer came about, as its headers say."""

    request_id: str
    knowledge: tuple[str, ...]
    retrieval: str
    pool: str
    instance: str
    injection: str
    reason: str

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> "Way":
        kids = headers.get(KNOWLEDGE_HEADER, "")
        return cls(
            request_id=headers.get("X-Request-ID", ""),
            knowledge=tuple(kid.strip() for kid in kids.split(",") if kid.strip()),
            retrieval=headers.get(RETRIEVAL_HEADER, ""),
            pool=headers.get(POOL_HEADER, ""),
            instance=headers.get(INSTANCE_HEADER, ""),
            injection=headers.get(INJECTION_HEADER, ""),
            reason=headers.get(REASON_HEADER, ""),
        )


class Answer(Struct, frozen=True, kw_only=True):
    """A complete answer. `ttft_ms` is None where it came in one piece, or without text."""

    text: str
    way: Way
    finish_reason: str
    ttft_ms: float | None
    total_ms: float
    usage: dict[str, Any] | None


async def ask(endpoint: Role, question: Question, on_text: Callable[[str], None] = lambda text: None) -> Answer:
    """Asks, and hands over each piece of text as it comes. Raises CacheRouteError; UpstreamFailed if it breaks off."""
    sent_s = time.perf_counter()
    async with endpoint.posting(ENGINE_PATH["chat"], question.body(), question.timeout_s) as response:
        reading = _Reading(sent_s, on_text)
        if response.headers.get("Content-Type", "").startswith("text/event-stream"):
            await reading.stream(response)
        else:
            reading.whole(await response.aread())
        return Answer(
            text="".join(reading.pieces),
            way=Way.of(response.headers),
            finish_reason=reading.finish_reason,
            ttft_ms=reading.ttft_ms,
            total_ms=reading.elapsed_ms,
            usage=reading.usage,
        )


class _Reading:
    """What has been read of one answer so far."""

    def __init__(self, sent_s: float, on_text: Callable[[str], None]) -> None:
        self._sent_s = sent_s
        self._on_text = on_text
        self.pieces: list[str] = []
        self.finish_reason = ""
        self.ttft_ms: float | None = None
        self.usage: dict[str, Any] | None = None

    @property
    def elapsed_ms(self) -> float:
        return (time.perf_counter() - self._sent_s) * 1000

    async def stream(self, response: httpx.Response) -> None:
        done = False
        try:
            async for event in EventSource(response).aiter_sse():
                if event.data == "[DONE]":
                    done = True  # read on to the end: closing now would look like a client that left
                elif not done:
                    self._take(_decoded(event.data), "delta", timed=True)
        except SSEError as error:
            raise UpstreamFailed(f"the answer cannot be read: {error}") from error
        if not done:
            raise UpstreamFailed("the answer broke off before its end")

    def whole(self, content: bytes) -> None:
        self._take(_decoded(content), "message", timed=False)

    def _take(self, chunk: dict[str, Any], part: str, *, timed: bool) -> None:
        if "error" in chunk:
            raise UpstreamFailed(str(chunk["error"].get("message", chunk["error"])))
        self.usage = chunk.get("usage") or self.usage
        for choice in chunk.get("choices", ()):
            text = choice.get(part, {}).get("content") or ""
            if text and timed and self.ttft_ms is None:
                self.ttft_ms = self.elapsed_ms
            if text:
                self.pieces.append(text)
                self._on_text(text)
            self.finish_reason = choice.get("finish_reason") or self.finish_reason


def _decoded(data: str | bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise UpstreamFailed(f"the answer cannot be read: {error}") from error
