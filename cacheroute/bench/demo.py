"""`cacheroute demo`: the same fresh documents asked as text, with KV from the KDN, from the kv store, from the engine.

TTFT at the client, through the whole chain, the four states interleaved, medians over the repeats. The text path is
held against plain transformers on the same token ids in the same run.
"""

import os
import platform
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from datetime import UTC, datetime
from random import Random, SystemRandom
from statistics import median

import msgspec
from msgspec import Struct

from cacheroute import tokens
from cacheroute.bench.documents import FreshDocument, fresh_document
from cacheroute.bench.plain import PlainTransformers, plain_transformers
from cacheroute.bench.states import STATES, Measured, Stage, State
from cacheroute.bench.stats import interval
from cacheroute.client import Client
from cacheroute.config import Config
from cacheroute.errors import Unavailable, UpstreamFailed
from cacheroute.kdn_client import Kdn
from cacheroute.prompt import canonical_order, inject_chat
from cacheroute.role_client import Role
from cacheroute.wire.control import InstanceRecord
from cacheroute.wire.documents import AddDocument

SIZES = (256, 512, 1024, 2048)
SPREAD_TOKENS = 64
"""Documents are longer than their size by up to this much at random, so that no length suits the chunks."""
MAX_TOKENS = 24
BASELINE_SIZE = 1024
COLLECTION = "demo"


class DemoRow(Struct, frozen=True, kw_only=True):
    """One size. `ttft_ms` and `ratio` are medians; `interval_ms` is their 95 % bootstrap interval."""

    knowledge_tokens: int
    ttft_ms: dict[State, float]
    interval_ms: dict[State, tuple[float, float]]
    ratio: dict[str, float]
    cached_tokens: int
    bytes_injected: int
    same_answer: bool


class DemoResult(Struct, frozen=True, kw_only=True):
    rows: tuple[DemoRow, ...]
    engine: str
    model: str
    text_vs_plain_transformers: float | None
    """Our text TTFT / plain transformers' at 1,024 tokens; None for an engine that is not the embedded one."""
    repeats: int
    seed: int
    machine: str
    raw: str
    """The file that holds every single measurement."""


class _Sample(Struct, frozen=True, kw_only=True):
    size: int
    n_tokens: int
    measured: dict[State, Measured]
    plain_ms: float | None


async def run_demo(
    config: Config,
    sizes: Sequence[int] = SIZES,
    repeats: int = 5,
    progress: Callable[[str], None] = lambda text: None,
    seed: int | None = None,
) -> DemoResult:
    """Measures on the running stack. Raises CacheRouteError if it is not up or a state does not come about."""
    seed = SystemRandom().getrandbits(32) if seed is None else seed
    rng = Random(seed)
    async with AsyncExitStack() as stack:
        token = tokens.ensure(config.paths.state_dir).control
        client = await stack.enter_async_context(Client(config, token))
        instances = await kv_instances(client)
        record = instances[0][0]
        kdn = next(iter(client.kdns.values()))
        baseline = await stack.enter_async_context(_baseline(config, record)) if BASELINE_SIZE in sizes else None
        stage = Stage(client, kdn, instances, record.engine.model)
        bench = _Bench(stage, kdn, instances[0][1], baseline)
        progress("warming up")
        await bench.sample(rng, min(sizes))
        samples: list[_Sample] = []
        for repeat in range(repeats):
            for size in sizes:
                progress(f"repeat {repeat + 1} of {repeats}, {size} tokens")
                samples.append(await bench.sample(rng, size))
    raw = _keep(config, samples, seed)
    return DemoResult(
        rows=tuple(_row([sample for sample in samples if sample.size == size]) for size in sizes),
        engine=record.engine.kind,
        model=record.engine.model,
        text_vs_plain_transformers=_against_plain(samples),
        repeats=repeats,
        seed=seed,
        machine=_machine(config),
        raw=raw,
    )


class _Bench:
    """One document at a time: registered, built, asked in the four states in random order, deleted."""

    def __init__(self, stage: Stage, kdn: Kdn, control: Role, baseline: PlainTransformers | None) -> None:
        self._stage = stage
        self._kdn = kdn
        self._control = control
        self._baseline = baseline

    async def sample(self, rng: Random, size: int) -> _Sample:
        document = await fresh_document(rng, size + rng.randrange(SPREAD_TOKENS), self._count)
        added = await self._kdn.add(
            AddDocument(source=document.source, title=document.title, text=document.text, collection=COLLECTION)
        )
        try:
            return await self._measure(rng, size, document, added.kids)
        finally:
            await self._kdn.forget(document.source, COLLECTION)

    async def _measure(self, rng: Random, size: int, document: FreshDocument, kids: Sequence[str]) -> _Sample:
        ordered = canonical_order(kids)
        built = await self._kdn.build(ordered)
        artifact = next((result.artifact for result in built if result.artifact), None)
        if artifact is None:
            raise UpstreamFailed(f"no KV could be built: {'; '.join(result.reason for result in built)}")
        plain_ms = None
        if self._baseline is not None and size == BASELINE_SIZE:
            plain_ms = await self._baseline.ttft_ms(await self._prompt_ids(document))
        measured: dict[State, Measured] = {}
        for state in rng.sample(STATES, len(STATES)):
            measured[state] = await self._stage.measure(state, document.question, artifact, MAX_TOKENS)
        return _Sample(size=size, n_tokens=document.n_tokens, measured=measured, plain_ms=plain_ms)

    async def _prompt_ids(self, document: FreshDocument) -> list[int]:
        messages = inject_chat([{"role": "user", "content": document.question}], [document.text])
        return (await self._control.post("/v1/tokenize", {"messages": messages}, dict[str, list[int]]))["tokens"]

    async def _count(self, text: str) -> int:
        return len((await self._control.post("/v1/tokenize", {"prompt": text}, dict[str, list[int]]))["tokens"])


async def kv_instances(client: Client) -> list[tuple[InstanceRecord, Role]]:
    """The ready instances that can take KV, and their control planes. Raises Unavailable if there is none."""
    peers = await client.peers()
    found = [
        (instance, client.role(instance.name, instance.control_url))
        for proxy in peers.proxies
        for instance in proxy.instances
        if instance.ready and instance.kv_store and not instance.engine.no_kv_reason
    ]
    if not found:
        raise Unavailable("no instance that can take KV is ready; see `cacheroute status`")
    return found


def _baseline(config: Config, record: InstanceRecord) -> AbstractAsyncContextManager[PlainTransformers | None]:
    if record.engine.kind != "embedded":
        return nullcontext()
    from cacheroute.engine.prepare import prepare

    engine = config.engine[config.instance[record.name].engine]
    prepared = prepare(engine.model or None, config.paths.data_dir)
    return plain_transformers(prepared.path, engine.threads or os.cpu_count() or 1)


def _row(samples: Sequence[_Sample]) -> DemoRow:
    ttft: dict[State, list[float]] = {state: [sample.measured[state].ttft_ms for sample in samples] for state in STATES}
    return DemoRow(
        knowledge_tokens=round(median(sample.n_tokens for sample in samples)),
        ttft_ms={state: round(median(values), 1) for state, values in ttft.items()},
        interval_ms={state: interval(values) for state, values in ttft.items()},
        ratio={
            state: round(median(ttft["text"]) / median(ttft[state]), 2)
            for state in ("kdn_inject", "store_hit", "prefix_hit")
        },
        cached_tokens=round(median(sample.measured["store_hit"].cached_tokens for sample in samples)),
        bytes_injected=round(median(sample.measured["kdn_inject"].bytes_injected for sample in samples)),
        same_answer=all(len({each.text for each in sample.measured.values()}) == 1 for sample in samples),
    )


def _against_plain(samples: Sequence[_Sample]) -> float | None:
    pairs = [(sample.measured["text"].ttft_ms, sample.plain_ms) for sample in samples if sample.plain_ms]
    return round(median(text for text, _ in pairs) / median(plain for _, plain in pairs), 3) if pairs else None


def _keep(config: Config, samples: Sequence[_Sample], seed: int) -> str:
    directory = config.paths.state_dir / "bench"
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"demo-{datetime.now(UTC):%Y%m%dT%H%M%S}.json"
    kept = {"seed": seed, "machine": _machine(config), "samples": samples}
    path.write_bytes(msgspec.json.format(msgspec.json.encode(kept)))
    return str(path)


def _machine(config: Config) -> str:
    threads = {name: engine.threads or os.cpu_count() for name, engine in config.engine.items()}
    return f"{platform.machine()}, {os.cpu_count()} cores, engine threads {threads}, Python {platform.python_version()}"
