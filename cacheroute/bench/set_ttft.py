"""What KV of a set is worth to one request that needs three blocks: time to the first token, on a running stack.

Each state gets documents of its own that no cache has seen, so none can help another; the engine's own prefix cache
is emptied before every question. A figure counts only if the engine's word on where its tokens came from agrees.
"""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from random import Random
from statistics import median
from typing import Any, Literal, get_args

from msgspec import Struct

from cacheroute import tokens
from cacheroute.answer import Question, ask
from cacheroute.bench.demo import COLLECTION, kv_instances
from cacheroute.bench.documents import FreshDocument, fresh_document
from cacheroute.bench.stats import interval
from cacheroute.client import Client
from cacheroute.config import Config
from cacheroute.errors import UpstreamFailed
from cacheroute.kdn_client import Kdn
from cacheroute.prompt import canonical_order
from cacheroute.role_client import Role
from cacheroute.wire.documents import AddDocument

SetState = Literal["text", "single", "set"]
STATES: tuple[SetState, ...] = get_args(SetState)
BLOCKS = 3
BLOCK_TOKENS = 384
SPREAD_TOKENS = 64
MAX_TOKENS = 4


class SetTtft(Struct, frozen=True, kw_only=True):
    """Medians over the repeats, and their 95 % bootstrap intervals. `single`: there is KV of the first block;
    `set`: of all three. `cached_tokens` is what the engine loaded."""

    knowledge_tokens: int
    ttft_ms: dict[SetState, float]
    interval_ms: dict[SetState, tuple[float, float]]
    cached_tokens: dict[SetState, int]
    repeats: int
    seed: int


class _Sample(Struct, frozen=True, kw_only=True):
    state: SetState
    n_tokens: int
    ttft_ms: float
    cached_tokens: int


async def run_set_ttft(
    config: Config, repeats: int = 7, progress: Callable[[str], None] = lambda text: None, seed: int = 0
) -> SetTtft:
    """Raises CacheRouteError if no stack is up, or a state does not come about."""
    rng = Random(seed)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(Client(config, tokens.ensure(config.paths.state_dir).control))
        instances = await kv_instances(client)
        model = instances[0][0].engine.model
        bench = _Bench(client, next(iter(client.kdns.values())), [role for _, role in instances], model)
        samples: list[_Sample] = []
        for repeat in range(repeats + 1):
            progress(f"repeat {repeat} of {repeats}" if repeat else "warming up")
            round_samples = [await bench.sample(rng, state) for state in rng.sample(STATES, len(STATES))]
            samples += round_samples if repeat else []
    ttft: dict[SetState, list[float]] = {
        state: [each.ttft_ms for each in samples if each.state == state] for state in STATES
    }
    return SetTtft(
        knowledge_tokens=round(median(each.n_tokens for each in samples)),
        ttft_ms={state: round(median(values), 1) for state, values in ttft.items()},
        interval_ms={state: interval(values) for state, values in ttft.items()},
        cached_tokens={
            state: round(median(each.cached_tokens for each in samples if each.state == state)) for state in STATES
        },
        repeats=repeats,
        seed=seed,
    )


class _Bench:
    """Three fresh documents at a time: registered, built as the state wants it, asked about, deleted."""

    def __init__(self, client: Client, kdn: Kdn, controls: Sequence[Role], model: str) -> None:
        self._client = client
        self._kdn = kdn
        self._controls = controls
        self._model = model

    async def sample(self, rng: Random, state: SetState) -> _Sample:
        documents = [
            await fresh_document(rng, BLOCK_TOKENS + rng.randrange(SPREAD_TOKENS), self._count) for _ in range(BLOCKS)
        ]
        try:
            return await self._measure(state, documents)
        finally:
            for document in documents:
                await self._kdn.forget(document.source, COLLECTION)

    async def _measure(self, state: SetState, documents: Sequence[FreshDocument]) -> _Sample:
        kids: list[str] = []
        for each in documents:
            added = await self._kdn.add(
                AddDocument(source=each.source, title=each.title, text=each.text, collection=COLLECTION)
            )
            kids += added.kids
        ordered = canonical_order(kids)
        built_tokens = await self._built({"text": (), "single": ordered[:1], "set": ordered}[state])
        for control in self._controls:
            await control.post("/v1/kv/reset_prefix_cache", {}, dict[str, Any])
        answer = await ask(
            self._client.endpoint,
            Question(
                text=documents[0].question,
                model=self._model,
                injection="text" if state == "text" else "kv",
                knowledge_ids=ordered,
                max_tokens=MAX_TOKENS,
            ),
        )
        cached_tokens = int(((answer.usage or {}).get("prompt_tokens_details") or {}).get("cached_tokens", 0))
        if answer.ttft_ms is None or cached_tokens != built_tokens:
            raise UpstreamFailed(f"{state}: {cached_tokens} tokens came from KV instead of {built_tokens}")
        return _Sample(
            state=state,
            n_tokens=sum(each.n_tokens for each in documents),
            ttft_ms=answer.ttft_ms,
            cached_tokens=cached_tokens,
        )

    async def _built(self, kids: tuple[str, ...]) -> int:
        """Builds KV of these blocks; how many tokens it has."""
        if not kids:
            return 0
        (result, *_) = await self._kdn.build(kids)
        if result.artifact is None:
            raise UpstreamFailed(f"no KV could be built: {result.reason}")
        return result.artifact.n_tokens

    async def _count(self, text: str) -> int:
        counted = await self._controls[0].post("/v1/tokenize", {"prompt": text}, dict[str, list[int]])
        return len(counted["tokens"])
