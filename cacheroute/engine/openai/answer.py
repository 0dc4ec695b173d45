"""OpenAI's answer shapes: whole bodies and stream chunks for both endpoints. Pure.

The two endpoints differ in names and in where the text stands, and in nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from msgspec import Struct

from cacheroute.wire.serve import Endpoint

Finish = Literal["stop", "length"]

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Delta:
    """What one more token adds to an answer. The first has no text if its character is not complete."""

    text: str
    finish: Finish | None = None


class Usage(Struct, frozen=True, kw_only=True):
    """Token counts of one answer; where the prompt's KV came from, by source."""

    prompt_tokens: int
    completion_tokens: int
    prefix_cache_tokens: int
    kv_store_tokens: int
    stored_tokens: int | None = None
    """Prompt tokens that the kv store held when the answer left; only a prefill waits to know."""

    def body(self) -> dict[str, Any]:
        details = {
            "cached_tokens": self.prefix_cache_tokens + self.kv_store_tokens,
            "prefix_cache_tokens": self.prefix_cache_tokens,
            "kv_store_tokens": self.kv_store_tokens,
        }
        if self.stored_tokens is not None:
            details["stored_tokens"] = self.stored_tokens
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": details,
        }


@dataclass(frozen=True, slots=True)
class _Shape:
    """How one endpoint writes a choice: whole, and as a piece of a stream."""

    id_prefix: str
    whole_object: str
    chunk_object: str
    whole: Callable[[str], dict[str, Any]]
    piece: Callable[[str], dict[str, Any]]
    opening: dict[str, Any] | None
    """What a stream's first chunk says before any text."""


_SHAPES: dict[Endpoint, _Shape] = {
    "chat": _Shape(
        id_prefix="chatcmpl-",
        whole_object="chat.completion",
        chunk_object="chat.completion.chunk",
        whole=lambda text: {"message": {"role": "assistant", "content": text, "refusal": None}},
        piece=lambda text: {"delta": {"content": text} if text else {}},
        opening={"delta": {"role": "assistant", "content": ""}},
    ),
    "completions": _Shape(
        id_prefix="cmpl-",
        whole_object="text_completion",
        chunk_object="text_completion",
        whole=lambda text: {"text": text},
        piece=lambda text: {"text": text},
        opening=None,
    ),
}


class Answer:
    """One answer's bodies: all of its chunks share an id and a moment."""

    def __init__(self, endpoint: Endpoint, request_id: str, model: str, created: int) -> None:
        self._shape = _SHAPES[endpoint]
        self._head = {"id": self._shape.id_prefix + request_id, "created": created, "model": model}

    def whole(self, text: str, finish: Finish, usage: Usage) -> dict[str, Any]:
        choice = {"index": 0, **self._shape.whole(text), "logprobs": None, "finish_reason": finish}
        return {**self._head, "object": self._shape.whole_object, "choices": [choice], "usage": usage.body()}

    def opening(self) -> bytes:
        return self._event(self._shape.opening, None) if self._shape.opening else b""

    def piece(self, text: str, finish: Finish | None = None) -> bytes:
        return self._event(self._shape.piece(text), finish)

    def usage(self, usage: Usage) -> bytes:
        """The chunk without choices that ends a stream which asked for usage."""
        return self._sse({"choices": [], "usage": usage.body()})

    def _event(self, content: dict[str, Any], finish: Finish | None) -> bytes:
        return self._sse({"choices": [{"index": 0, **content, "logprobs": None, "finish_reason": finish}]})

    def _sse(self, fields: dict[str, Any]) -> bytes:
        body = msgspec.json.encode({**self._head, "object": self._shape.chunk_object, **fields})
        return b"data: " + body + b"\n\n"
