"""The OpenAI routes of an engine: chat and completions are one handler with two small adapters.

HTTP headers leave with the first token, so whatever goes wrong before it has a true status.
"""

import time
from collections.abc import Callable

import msgspec
from aiohttp import web

from cacheroute.engine.metrics import EngineMetrics
from cacheroute.engine.openai.answer import DONE, Answer, Delta, Usage
from cacheroute.engine.openai.ask import Ask, chat_ask, completions_ask
from cacheroute.engine.openai.backend import Backend, Stream
from cacheroute.engine.openai.fields import Fields
from cacheroute.errors import CacheRouteError, NotFound
from cacheroute.hop import HOP_HEADER, encode_hop
from cacheroute.incoming import read_body
from cacheroute.service import REQUEST_ID, REQUEST_ID_HEADER, error_response, json_response
from cacheroute.telemetry import Stopwatch
from cacheroute.wire.decision import HopReport
from cacheroute.wire.serve import ENGINE_PATH


class OpenAIRoutes:
    """`backend` raises Unavailable until the engine is ready; `name` is the hop's name in traces."""

    def __init__(self, backend: Callable[[], Backend], name: str, metrics: EngineMetrics) -> None:
        self._backend = backend
        self._name = name
        self._metrics = metrics

    def all(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/models", self._models),
            web.post(ENGINE_PATH["chat"], self._chat),
            web.post(ENGINE_PATH["completions"], self._completions),
        ]

    async def _models(self, request: web.Request) -> web.Response:
        info = self._backend().info
        model = {"id": info.model, "object": "model", "created": 0, "owned_by": "cacheroute"}
        return json_response({"object": "list", "data": [{**model, "max_model_len": info.max_model_len}]})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, chat_ask)

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, completions_ask)

    async def _answer(self, request: web.Request, parse: Callable[[Fields], Ask]) -> web.StreamResponse:
        watch = Stopwatch()
        backend = self._backend()
        ask = parse(Fields.decode(await read_body(request)))
        check_model(backend, ask.model)
        watch.mark("parse", watch.elapsed_ms)
        answer = Answer(ask.endpoint, request[REQUEST_ID], ask.model, int(time.time()))
        async with backend.generating(ask) as stream:
            first = await stream.next()
            self._metrics.ttft_ms.labels(_source(stream.usage)).observe(watch.elapsed_ms)
            report = HopReport(hop=self._name, parts_ms={**watch.parts_ms, **stream.parts_ms})
            headers = {HOP_HEADER: encode_hop(report), REQUEST_ID_HEADER: request[REQUEST_ID]}
            if ask.stream:
                return await _streamed(request, headers, answer, stream, first, ask.include_usage)
            text, delta = first.text, first
            while delta.finish is None:
                delta = await stream.next()
                text += delta.text
            return json_response(answer.whole(text, delta.finish, stream.usage), headers=headers)


def check_model(backend: Backend, model: str) -> None:
    """Raises NotFound unless `model` is the one that is served."""
    served = backend.info.model
    if model != served:
        raise NotFound(f"there is no model {model!r} here; served: {served}", param="model", code="model_not_found")


async def _streamed(
    request: web.Request, headers: dict[str, str], answer: Answer, stream: Stream, delta: Delta, include_usage: bool
) -> web.StreamResponse:
    response = web.StreamResponse(headers={**headers, "Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    await response.write(answer.opening() + _events(answer, delta))
    try:
        while delta.finish is None:
            delta = await stream.next()
            await response.write(_events(answer, delta))
    except CacheRouteError as error:
        # The status is out. The error is said, and no end mark follows: nobody takes this for a whole answer.
        await response.write(b"data: " + msgspec.json.encode(msgspec.Raw(_body(error))) + b"\n\n")
        await response.write_eof()
        return response
    await response.write((answer.usage(stream.usage) if include_usage else b"") + DONE)
    await response.write_eof()
    return response


def _events(answer: Answer, delta: Delta) -> bytes:
    """The text, then, in a chunk of its own as clients expect it, how it ended."""
    text = answer.piece(delta.text) if delta.text else b""
    return text + answer.piece("", delta.finish) if delta.finish else text


def _body(error: CacheRouteError) -> bytes:
    body = error_response(error).body
    return body if isinstance(body, bytes) else b"{}"


def _source(usage: Usage) -> str:
    """Where most of a prompt's restored KV came from; `computed` where none did."""
    if not usage.prefix_cache_tokens and not usage.kv_store_tokens:
        return "computed"
    return "prefix_cache" if usage.prefix_cache_tokens >= usage.kv_store_tokens else "kv_store"
