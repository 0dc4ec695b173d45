"""The embedded engine as the event loop sees it: text in, a stream of text out.

Tokenising happens in a thread, computing in another; this counts who is here, turns one too many away, and tells
the compute thread when somebody has left.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TypeVar

from cacheroute.engine.embedded.compute import ComputeThread
from cacheroute.engine.embedded.detokenise import StopStrings
from cacheroute.engine.embedded.generation import Event, Generation
from cacheroute.engine.embedded.kv_keeper import KvKeeper
from cacheroute.engine.embedded.model import ModelSpec
from cacheroute.engine.embedded.sampler import Sampler
from cacheroute.engine.embedded.text import TextSide
from cacheroute.engine.openai.answer import Delta, Usage
from cacheroute.engine.openai.ask import Ask
from cacheroute.engine.openai.messages import Conversation
from cacheroute.errors import BadRequest, CacheRouteError, ContextOverflow, Overloaded
from cacheroute.wire.artifacts import CacheReset
from cacheroute.wire.engine import EngineInfo

T = TypeVar("T")

_SMOOTHING = 0.2
"""Weight of the newest answer in the mean that Retry-After is reckoned from."""


class EmbeddedEngine:
    """`Backend` on a model of our own."""

    def __init__(
        self,
        info: EngineInfo,
        spec: ModelSpec,
        text: TextSide,
        compute: ComputeThread,
        keeper: KvKeeper,
        *,
        default_max_tokens: int,
        max_streams: int,
        max_waiting: int,
    ) -> None:
        self.info = info
        self._spec = spec
        self._text = text
        self._compute = compute
        self._keeper = keeper
        self._default_max_tokens = default_max_tokens
        self._max_streams = max_streams
        self._max_waiting = max_waiting
        self._open = 0
        self._mean_service_s = 1.0
        self._tokenising = ThreadPoolExecutor(1, thread_name_prefix="tokenise")

    @property
    def alive(self) -> bool:
        return self._compute.alive

    @asynccontextmanager
    async def generating(self, ask: Ask) -> AsyncGenerator["EngineStream"]:
        if self._open >= self._max_streams + self._max_waiting:
            backlog_s = self._mean_service_s * (self._open - self._max_streams + 1) / self._max_streams
            raise Overloaded(f"{self._open} requests are running or waiting here", retry_after_s=backlog_s)
        self._open += 1
        started_s = time.perf_counter()
        try:
            prompt = await self._in_thread(self._tokens, ask)
            stream = self._begin(ask, prompt)
            stream.generation.parts_ms["tokenise"] = round((time.perf_counter() - started_s) * 1000, 3)
            try:
                yield stream
            finally:
                if not stream.ended:
                    self._compute.cancel(stream.generation)
                else:
                    service_s = time.perf_counter() - started_s - stream.parts_ms.get("queue", 0) / 1000
                    self._mean_service_s += _SMOOTHING * (service_s - self._mean_service_s)
        finally:
            self._open -= 1

    async def tokenize(self, prompt: Conversation | str, *, add_special_tokens: bool) -> list[int]:
        return await self._in_thread(self._encode, prompt, add_special_tokens)

    async def detokenize(self, ids: Sequence[int]) -> str:
        self._check_ids(ids)
        return await self._in_thread(partial(self._text.decode, ids, skip_special_tokens=False))

    async def reset_prefix_cache(self) -> CacheReset:
        """Forgets the engine's own cache; the kv store keeps what it has."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[CacheReset] = loop.create_future()
        cache = self._keeper.prefix_cache

        def reset() -> None:
            dropped = len(cache)
            cache.clear()
            loop.call_soon_threadsafe(_resolve, done, CacheReset(dropped=dropped, left=len(cache)))

        self._compute.post(reset)
        return await done

    async def close(self) -> None:
        await asyncio.to_thread(self._compute.stop)
        self._tokenising.shutdown(wait=False, cancel_futures=True)

    def _begin(self, ask: Ask, prompt: list[int]) -> "EngineStream":
        loop = asyncio.get_running_loop()
        events = asyncio.Queue[Event]()

        def notify(event: Event) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(events.put_nowait, event)

        generation = Generation(
            prompt,
            max_tokens=self._room(ask, len(prompt)),
            eos_ids=frozenset[int]() if ask.ignore_eos else self._spec.eos_ids,
            pick=Sampler(ask.temperature, ask.top_p, ask.seed).sample,
            detokeniser=self._text.detokeniser(),
            stops=StopStrings(ask.stop),
            awaits_store=ask.is_prefill,
            background=ask.priority > 0,
            notify=notify,
        )
        self._compute.submit(generation)
        return EngineStream(generation, events)

    def _tokens(self, ask: Ask) -> list[int]:
        if isinstance(ask.prompt, tuple):
            self._check_ids(ask.prompt)
            return list(ask.prompt)
        return self._encode(ask.prompt, True)

    def _encode(self, prompt: Conversation | str, add_special_tokens: bool) -> list[int]:
        is_chat = isinstance(prompt, Conversation)
        text = self._text.render(prompt) if is_chat else prompt
        context = self.info.max_model_len
        if len(text) > context * self._text.longest_token_chars:
            raise ContextOverflow(  # at once: megabytes take half a minute, and everybody else would wait behind them
                f"this model's context is {context} tokens; a prompt of {len(text):,} characters has more",
                param="messages" if is_chat else "prompt",
            )
        return self._text.encode_prompt(text) if add_special_tokens and not is_chat else self._text.encode_chat(text)

    def _check_ids(self, ids: Sequence[int]) -> None:
        if wrong := [token for token in ids if token >= self._spec.vocab]:
            raise BadRequest(f"{wrong[0]} is no token id: the model has {self._spec.vocab}", param="prompt")

    def _room(self, ask: Ask, prompt_tokens: int) -> int:
        """Tokens that may be generated. Raises ContextOverflow with the figures."""
        context = self.info.max_model_len
        wanted = ask.max_tokens or 1
        if prompt_tokens + wanted > context:
            raise ContextOverflow(
                f"this model's context is {context} tokens; the prompt has {prompt_tokens} and "
                f"{wanted} more are asked for: {prompt_tokens + wanted} in all",
                param="messages" if ask.endpoint == "chat" else "prompt",
            )
        return ask.max_tokens or min(context - prompt_tokens, self._default_max_tokens)

    async def _in_thread(self, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._tokenising, work, *args)


def _resolve(done: asyncio.Future[CacheReset], reset: CacheReset) -> None:
    if not done.done():  # whoever asked may have left
        done.set_result(reset)


class EngineStream:
    """`Stream` of one Generation."""

    def __init__(self, generation: Generation, events: asyncio.Queue[Event]) -> None:
        self.generation = generation
        self.ended = False
        self._events = events

    @property
    def usage(self) -> Usage:
        return self.generation.usage

    @property
    def parts_ms(self) -> Mapping[str, float]:
        return self.generation.parts_ms

    async def next(self) -> Delta:
        event = await self._events.get()
        if isinstance(event, CacheRouteError):
            self.ended = True
            raise event
        self.ended = event.finish is not None
        return event
