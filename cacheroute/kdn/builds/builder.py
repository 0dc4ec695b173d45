"""KV of knowledge, computed by an engine and kept here: one artifact for each live fingerprint.

Which keys to read follows from token ids alone, so no store is ever scanned, nothing foreign gets in, and an engine
that has the chunks already computes nothing. What is not complete is never offered. Knows no queue.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cacheroute.errors import BadRequest, CacheRouteError, DeadlineExceeded, NotFound, Unavailable, UpstreamFailed
from cacheroute.kdn.artifacts.artifacts import Artifacts, artifact_id
from cacheroute.kdn.builds.gather import gather_artifact
from cacheroute.kdn.config import KdnConfig
from cacheroute.kdn.instances import InstanceClient, one_a_fingerprint, why_not
from cacheroute.kdn.singleflight import SingleFlight
from cacheroute.kdn.worker import Worker
from cacheroute.kvstore.store import KvStore
from cacheroute.prompt import canonical_order
from cacheroute.telemetry import Metrics, Stopwatch
from cacheroute.wire.artifacts import Artifact, BuildRequest, BuildResult, Rendering
from cacheroute.wire.control import InstanceRecord
from knowledge.catalogue.library import Library
from knowledge.errors import KnowledgeError

log = logging.getLogger(__name__)

MAX_BUILDS = 2
"""Prefills that this KDN asks for at a time: users' requests go first."""

_POLL_S, _SLOWEST_POLL_S = 0.005, 0.25


@dataclass(frozen=True, slots=True)
class Order:
    """One artifact to be built. `background`: nobody waits for it, so it yields to live traffic."""

    instance: InstanceRecord
    kids: tuple[str, ...]
    texts: tuple[str, ...]
    rendering: Rendering
    background: bool = False

    @property
    def fingerprint(self) -> str:
        return self.instance.engine.fingerprint.id

    @property
    def artifact_id(self) -> str:
        return artifact_id(self.kids, self.rendering, self.fingerprint)


class NeverBuilt(UpstreamFailed):
    """No KV comes of these texts on this engine, however often it is tried."""


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
        self._awaited: dict[str, tuple[str, ...]] = {}
        self._built = metrics.counter("builds", "Builds by outcome", "outcome")

    @property
    def building(self) -> int:
        """Builds under way or waiting."""
        return len(self._flights)

    def awaited_keys(self) -> tuple[str, ...]:
        """Keys whose chunks a build under way waits for or reads: no purge of other texts may take them away."""
        return tuple(key for keys in self._awaited.values() for key in keys)

    async def build(self, request: BuildRequest) -> tuple[BuildResult, ...]:
        """One result a live fingerprint; a failure is a result too, and hinders no other.

        Raises BadRequest for no kids, NotFound for an unknown one, Unavailable where there is no instance to build on.
        """
        kids = canonical_order(request.kids)
        if not kids:
            raise BadRequest("kids names no block", param="kids")
        texts = await self.texts(kids)
        return tuple(
            await asyncio.gather(
                *(self._result(Order(instance, kids, texts, request.rendering)) for instance in self._targets(request))
            )
        )

    async def texts(self, kids: Sequence[str]) -> tuple[str, ...]:
        """Raises NotFound for an unknown kid."""
        blocks = await self._worker.run(self._library.blocks, kids)
        for kid in kids:
            if kid not in blocks:
                raise NotFound(f"there is no knowledge block {kid!r}")
        return tuple(blocks[kid].text for kid in kids)

    async def carry_out(self, order: Order) -> tuple[Artifact, str]:
        """The artifact, and `built` or `present`. One flight for all who order it: whether it yields to live traffic,
        the first of them has said.

        Raises NeverBuilt, NotFound where the knowledge was deleted meanwhile, or another CacheRouteError.
        """
        try:
            (artifact, reason), _ = await self._flights.do(order.artifact_id, lambda: self._within_time(order))
        except KnowledgeError as error:
            raise self._failed(order, Unavailable(f"storage: {error}")) from error
        except CacheRouteError as error:
            raise self._failed(order, error) from None
        self._built.labels(reason).inc()
        return artifact, reason

    def _failed(self, order: Order, error: CacheRouteError) -> CacheRouteError:
        self._built.labels("failed").inc()
        kids = ", ".join(kid[:12] for kid in order.kids)
        log.warning("no KV of %s for %s: %s", kids, order.fingerprint, error.message)
        return error

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

    async def _result(self, order: Order) -> BuildResult:
        watch = Stopwatch()
        artifact: Artifact | None = None
        try:
            artifact, reason = await self.carry_out(order)
        except CacheRouteError as error:
            reason = error.message
        return BuildResult(
            fingerprint=order.fingerprint,
            instance=order.instance.name,
            artifact=artifact,
            reason=reason,
            ms=round(watch.elapsed_ms, 3),
        )

    async def _within_time(self, order: Order) -> tuple[Artifact, str]:
        if (present := self._present(order)) is not None:
            return present, "present"
        try:
            async with asyncio.timeout(self._config.build_timeout_s), self._turns:
                return await self._build(order), "built"
        except TimeoutError as error:
            raise DeadlineExceeded(f"not built within {self._config.build_timeout_s:g} s") from error
        finally:
            self._awaited.pop(order.artifact_id, None)

    def _present(self, order: Order) -> Artifact | None:
        """The whole artifact, if it is there under the keys that the engine looks for."""
        held = self._artifacts.find(order.kids, order.rendering, order.fingerprint)
        if held is None or held.kids != order.kids or held.n_tokens < held.whole_tokens:
            return None
        if _keyed_for(held, order.instance):
            return held
        others = [each.name for each in self._instances() if _keyed_for(held, each)]
        if others:
            raise NeverBuilt(
                f"{others[0]} and {order.instance.name} have one fingerprint and name their keys differently "
                f"({held.keys[0]}, {order.instance.engine.key_model}): KV can be kept for one of them only"
            )
        return None

    async def _build(self, order: Order) -> Artifact:
        instance, engine = order.instance, order.instance.engine
        store = self._stores[instance.kv_store or ""]
        head = await self._client.head(instance, order.texts, order.rendering)
        if head.fingerprint != order.fingerprint:
            raise UpstreamFailed(f"{instance.name} has another engine now: {head.fingerprint}")
        keys = engine.key_scheme.keys(head.token_ids)
        if not keys:
            raise NeverBuilt(head.reason or f"shorter than one chunk of {engine.fingerprint.chunk_tokens} tokens")
        n_tokens = len(keys) * engine.fingerprint.chunk_tokens
        if n_tokens >= engine.max_model_len:
            raise NeverBuilt(f"{n_tokens:,} tokens leave no room in the context of {engine.max_model_len:,}")
        self._awaited[order.artifact_id] = keys
        if await store.missing(keys):
            await self._client.prefill(instance, head.token_ids[:n_tokens], background=order.background)
            await self._until_stored(store, keys)
        artifact = Artifact(
            id=order.artifact_id,
            kids=order.kids,
            rendering=order.rendering,
            fingerprint=order.fingerprint,
            n_tokens=n_tokens,
            whole_tokens=n_tokens,
            keys=keys,
            nbytes=0,
        )
        until_s = time.monotonic() + self._config.build_timeout_s
        return await store.run(
            lambda link: gather_artifact(link, artifact, self._artifacts, self._library, until_s),
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


def _keyed_for(artifact: Artifact, instance: InstanceRecord) -> bool:
    return artifact.keys[0].startswith(f"{instance.engine.key_model}@")
