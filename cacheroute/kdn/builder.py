"""KV of knowledge, computed by an engine and kept here: one artifact for each live fingerprint.

Which keys to read follows from token ids alone, so no store is ever scanned, nothing foreign gets in, and an engine
that has the chunks already computes nothing. What is not complete is never offered.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from cacheroute.errors import BadRequest, CacheRouteError, DeadlineExceeded, NotFound, Unavailable, UpstreamFailed
from cacheroute.kdn.artifacts import Artifacts, artifact_id
from cacheroute.kdn.config import KdnConfig
from cacheroute.kdn.instances import InstanceClient, one_a_fingerprint, why_not
from cacheroute.kdn.singleflight import SingleFlight
from cacheroute.kdn.worker import Worker
from cacheroute.kvstore.link import Link
from cacheroute.kvstore.store import KvStore
from cacheroute.prompt import canonical_order
from cacheroute.telemetry import Metrics, Stopwatch
from cacheroute.wire.artifacts import Artifact, BuildRequest, BuildResult, Rendering
from cacheroute.wire.control import InstanceRecord
from knowledge.errors import KnowledgeError
from knowledge.library import Library

log = logging.getLogger(__name__)

MAX_BUILDS = 2
"""Prefills that this KDN asks for at a time: users' requests go first."""

ROUND_CHUNKS = 8
"""Chunks asked for at a time while an artifact is read out of a kv store: the engine's own reads come between."""

_POLL_S, _SLOWEST_POLL_S = 0.005, 0.25


class Builder:
    """Builds on the instances that `instances()` names at that moment."""

    def __init__(
        self,
        artifacts: Artifacts,
        library: Library,
        stores: Mapping[str, KvStore],
        instances: Callable[[], Sequence[InstanceRecord]],
        client: InstanceClient,
        worker: Worker,
        config: KdnConfig,
        metrics: Metrics,
    ) -> None:
        self._artifacts = artifacts
        self._library = library
        self._stores = stores
        self._instances = instances
        self._client = client
        self._worker = worker
        self._config = config
        self._turns = asyncio.Semaphore(MAX_BUILDS)
        self._flights = SingleFlight[str, tuple[Artifact, str]]()
        self._built = metrics.counter("builds", "Builds by outcome", "outcome")

    @property
    def building(self) -> int:
        """Builds under way or waiting."""
        return len(self._flights)

    async def build(self, request: BuildRequest) -> tuple[BuildResult, ...]:
        """One result a live fingerprint; a failure is a result too, and hinders no other.

        Raises BadRequest for no kids, NotFound for an unknown one, Unavailable where there is no instance to build on.
        """
        kids = canonical_order(request.kids)
        if not kids:
            raise BadRequest("kids names no block", param="kids")
        blocks = await self._worker.run(self._library.blocks, kids)
        for kid in kids:
            if kid not in blocks:
                raise NotFound(f"there is no knowledge block {kid!r}")
        texts = [blocks[kid].text for kid in kids]
        return tuple(
            await asyncio.gather(
                *(self._result(instance, kids, texts, request.rendering) for instance in self._targets(request))
            )
        )

    def _targets(self, request: BuildRequest) -> list[InstanceRecord]:
        instances = self._instances()
        chosen = one_a_fingerprint(instances, self._stores)
        wanted = [
            each
            for fingerprint, each in chosen.items()
            if not request.fingerprint or fingerprint == request.fingerprint
        ]
        if not wanted:
            reasons = [f"{each.name}: {why}" for each in instances if (why := why_not(each, self._stores))]
            with_it = f" with fingerprint {request.fingerprint!r}" if request.fingerprint else ""
            raise Unavailable(
                f"no live instance{with_it} can build KV" + "".join(f"; {why}" for why in reasons), code="no_instance"
            )
        return wanted

    async def _result(
        self, instance: InstanceRecord, kids: Sequence[str], texts: Sequence[str], rendering: Rendering
    ) -> BuildResult:
        fingerprint = instance.engine.fingerprint.id
        name = artifact_id(kids, rendering, fingerprint)
        watch = Stopwatch()
        artifact: Artifact | None = None
        try:
            (artifact, reason), _ = await self._flights.do(
                name, lambda: self._within_time(instance, kids, texts, rendering)
            )
        except CacheRouteError as error:
            reason = error.message
        except KnowledgeError as error:
            reason = f"storage: {error}"
        self._built.labels(reason if artifact else "failed").inc()
        if artifact is None:
            log.warning("no KV of %s for %s: %s", ", ".join(kid[:12] for kid in kids), fingerprint, reason)
        return BuildResult(
            fingerprint=fingerprint,
            instance=instance.name,
            artifact=artifact,
            reason=reason,
            ms=round(watch.elapsed_ms, 3),
        )

    async def _within_time(
        self, instance: InstanceRecord, kids: Sequence[str], texts: Sequence[str], rendering: Rendering
    ) -> tuple[Artifact, str]:
        present = self._artifacts.find(kids, rendering, instance.engine.fingerprint.id)
        if present is not None and present.kids == tuple(kids):
            return present, "present"
        try:
            async with asyncio.timeout(self._config.build_timeout_s), self._turns:
                return await self._build(instance, kids, texts, rendering), "built"
        except TimeoutError as error:
            raise DeadlineExceeded(f"not built within {self._config.build_timeout_s:g} s") from error

    async def _build(
        self, instance: InstanceRecord, kids: Sequence[str], texts: Sequence[str], rendering: Rendering
    ) -> Artifact:
        engine, store = instance.engine, self._stores[instance.kv_store or ""]
        head = await self._client.head(instance, texts, rendering)
        if head.fingerprint != engine.fingerprint.id:
            raise UpstreamFailed(f"{instance.name} has another engine now: {head.fingerprint}")
        keys = engine.key_scheme.keys(head.token_ids)
        if not keys:
            raise UpstreamFailed(head.reason or f"shorter than one chunk of {engine.fingerprint.chunk_tokens} tokens")
        n_tokens = len(keys) * engine.fingerprint.chunk_tokens
        if await store.missing(keys):
            await self._client.prefill(instance, head.token_ids[:n_tokens])
            await self._until_stored(store, keys)
        artifact = Artifact(
            id=artifact_id(kids, rendering, engine.fingerprint.id),
            kids=tuple(kids),
            rendering=rendering,
            fingerprint=engine.fingerprint.id,
            n_tokens=n_tokens,
            keys=keys,
            nbytes=0,
        )
        until_s = time.monotonic() + self._config.build_timeout_s
        return await store.run(
            lambda link: keep(link, artifact, self._artifacts, self._library, until_s),
            timeout_s=self._config.build_timeout_s,
        )

    async def _until_stored(self, store: KvStore, keys: Sequence[str]) -> None:
        """Waits for all keys. Raises UpstreamFailed once none has appeared for `store_wait_s`."""
        least, since_s, pause_s = len(keys) + 1, time.monotonic(), _POLL_S
        while missing := len(await store.missing(keys)):
            if missing < least:
                least, since_s = missing, time.monotonic()
            elif time.monotonic() - since_s > self._config.store_wait_s:
                raise UpstreamFailed(
                    f"{missing} of {len(keys)} chunks are not in {store.name}, though the engine computed them"
                )
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _SLOWEST_POLL_S)


def keep(link: Link, artifact: Artifact, artifacts: Artifacts, library: Library, until_s: float) -> Artifact:
    """Blocking. Reads the chunks out of the store onto the disk, a few at a time, and publishes the artifact.

    Raises UpstreamFailed where the chunks are not all there or not of one length, Unavailable where there is no room,
    NotFound where the knowledge was deleted meanwhile.
    """
    sizes = set(link.sizes(artifact.keys))
    if len(sizes) != 1 or (chunk_nbytes := sizes.pop()) <= 0:
        raise UpstreamFailed(f"the kv store does not hold {len(artifact.keys)} chunks of one length")
    complete = msgspec.structs.replace(artifact, nbytes=chunk_nbytes * len(artifact.keys))
    buffer = memoryview(bytearray(chunk_nbytes))
    checksums = bytearray()
    with artifacts.building(complete.id, complete.nbytes) as draft:
        for start in range(0, len(complete.keys), ROUND_CHUNKS):
            for value in link.mget_into(complete.keys[start : start + ROUND_CHUNKS], buffer, until_s):
                if value is None:
                    raise UpstreamFailed("the kv store lost chunks while they were read")
                checksums += draft.append(value)
        return artifacts.publish(
            complete, draft, bytes(checksums), lambda: len(library.blocks(complete.kids)) == len(complete.kids)
        )
