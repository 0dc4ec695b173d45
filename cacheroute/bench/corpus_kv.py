"""KV of a few blocks built through the build queue, then their questions asked by text and by injected KV, in turn.

A measurement counts only if the engine's own word on where its tokens came from agrees (`cacheroute/bench/states.py`).
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from statistics import median

from msgspec import Struct

from cacheroute.bench.corpus_search import SearchRow
from cacheroute.bench.demo import kv_instances
from cacheroute.bench.states import Measured, Stage, State
from cacheroute.client import Client
from cacheroute.errors import DeadlineExceeded, UpstreamFailed
from cacheroute.kdn_client import Kdn
from cacheroute.wire.artifacts import ArtifactInfo, Build, QueueBuilds

BLOCKS = 12
REPEATS = 3
MAX_TOKENS = 16
BUILD_TIMEOUT_S = 600.0
_POLL_S = 0.5
_OVER = ("built", "present", "failed", "cancelled")
_WAYS: tuple[State, ...] = ("kdn_inject", "text")


class KvRow(Struct, frozen=True, kw_only=True):
    """One question and its block. TTFTs are medians; `cached_tokens` is what the engine loaded."""

    question: str
    kid: str
    n_tokens: int
    build_ms: float
    nbytes: int
    text_ms: float
    kv_ms: float
    cached_tokens: int
    same_answer: bool


class KvResult(Struct, frozen=True, kw_only=True):
    """`took_s`: of all builds, with their waiting. `ratio`: text / KV, of the medians over all questions."""

    took_s: float
    failed_builds: tuple[str, ...]
    median_build_ms: float
    median_nbytes: int
    text_ms: float
    kv_ms: float
    ratio: float
    same_answers: int
    repeats: int
    rows: tuple[KvRow, ...]


async def build_and_ask(
    client: Client, kdn: Kdn, found: Sequence[SearchRow], progress: Callable[[str], None], repeats: int = REPEATS
) -> KvResult | None:
    """Of the first questions whose right document was found; None where there was none. Raises CacheRouteError."""
    chosen = list({row.kid: row for row in found if row.kid}.values())[:BLOCKS]
    if not chosen:
        return None
    instances = await kv_instances(client)
    began_s = time.monotonic()
    builds = await _built(kdn, [row.kid for row in chosen], progress)
    took_s = time.monotonic() - began_s
    stage = Stage(client, kdn, instances, instances[0][0].engine.model)
    asked: list[_Asked] = []
    for row in chosen:
        progress(f"asking by text and by KV: {len(asked) + 1} of {len(chosen)}")
        artifact = next((each for each in await kdn.artifacts(kid=row.kid) if each.kids == (row.kid,)), None)
        if artifact is not None:
            asked.append(_Asked(row, builds[row.kid], artifact, await _measured(stage, row, artifact, repeats)))
    failed = tuple(build.why for build in builds.values() if build.state == "failed")
    if not asked:
        raise UpstreamFailed(f"no KV could be built: {'; '.join(failed)}")
    return _summed(asked, failed, took_s, repeats)


class _Asked(Struct, frozen=True):
    row: SearchRow
    build: Build
    artifact: ArtifactInfo
    measured: list[Measured]

    def ttft_ms(self, way: State) -> list[float]:
        return [each.ttft_ms for each in self.measured if each.state == way]

    def texts(self, way: State) -> list[str]:
        return [each.text for each in self.measured if each.state == way]


async def _built(kdn: Kdn, kids: Sequence[str], progress: Callable[[str], None]) -> dict[str, Build]:
    """The builds of single blocks, by kid, once all are over."""
    queued = await kdn.queue_builds(QueueBuilds(sets=tuple((kid,) for kid in kids)))
    deadline_s = time.monotonic() + BUILD_TIMEOUT_S
    progress(f"building KV of {len(queued.ids)} blocks")
    while time.monotonic() < deadline_s:
        over = [build for build in await kdn.builds() if build.id in queued.ids and build.state in _OVER]
        if len(over) == len(queued.ids):
            return {build.kids[0]: build for build in over}
        await asyncio.sleep(_POLL_S)
    raise DeadlineExceeded(f"the builds at {kdn.name} were not over within {BUILD_TIMEOUT_S:g} s")


async def _measured(stage: Stage, row: SearchRow, artifact: ArtifactInfo, repeats: int) -> list[Measured]:
    """By KV and by text in turn."""
    measured: list[Measured] = []
    for _ in range(repeats):
        for way in _WAYS:
            measured.append(await stage.measure(way, row.question, artifact, MAX_TOKENS))
    return measured


def _summed(asked: Sequence[_Asked], failed: tuple[str, ...], took_s: float, repeats: int) -> KvResult:
    text_ms = median(ms for each in asked for ms in each.ttft_ms("text"))
    kv_ms = median(ms for each in asked for ms in each.ttft_ms("kdn_inject"))
    rows = tuple(_row(each) for each in asked)
    return KvResult(
        took_s=round(took_s, 1),
        failed_builds=failed,
        median_build_ms=round(median(row.build_ms for row in rows)),
        median_nbytes=round(median(row.nbytes for row in rows)),
        text_ms=round(text_ms, 1),
        kv_ms=round(kv_ms, 1),
        ratio=round(text_ms / kv_ms, 2),
        same_answers=sum(row.same_answer for row in rows),
        repeats=repeats,
        rows=rows,
    )


def _row(asked: _Asked) -> KvRow:
    loaded = [each.cached_tokens for each in asked.measured if each.state == "kdn_inject"]
    return KvRow(
        question=asked.row.question,
        kid=asked.row.kid,
        n_tokens=asked.artifact.n_tokens,
        build_ms=round(asked.build.ms, 1),
        nbytes=asked.artifact.nbytes,
        text_ms=round(median(asked.ttft_ms("text")), 1),
        kv_ms=round(median(asked.ttft_ms("kdn_inject")), 1),
        cached_tokens=round(median(loaded)),
        same_answer=asked.texts("kdn_inject") == asked.texts("text"),
    )
