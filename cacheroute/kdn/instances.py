"""The instances that KV is built on: which of them, and the calls that are made to them.

Their addresses come from the lease's grant and from nowhere else.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar

import aiohttp
from msgspec import Struct

from cacheroute import call
from cacheroute.wire.artifacts import CacheReset, Head, HeadRequest, PrefillRequest, Rendering
from cacheroute.wire.control import InstanceRecord

S = TypeVar("S", bound=Struct)

RESET_TIMEOUT_S = 10.0
"""An engine empties its cache between two steps of its work."""


def why_not(instance: InstanceRecord, stores: Collection[str]) -> str:
    """Why no KV can be built on this instance; empty if it can. Pure."""
    if instance.engine.no_kv_reason:
        return instance.engine.no_kv_reason
    if not instance.ready:
        return instance.why or "it is not ready"
    if instance.kv_store is None:
        return "it has no kv store"
    if instance.kv_store not in stores:
        return f"its kv store {instance.kv_store!r} is not in this KDN's configuration"
    if not instance.engine.key_model.endswith(instance.engine.fingerprint.id):
        return f"its keys begin with {instance.engine.key_model!r}, which does not end with its fingerprint's id"
    return ""


def one_a_fingerprint(instances: Iterable[InstanceRecord], stores: Collection[str]) -> dict[str, InstanceRecord]:
    """For each fingerprint, the instance to build on: the least busy one, by name where several are. Pure."""
    chosen: dict[str, InstanceRecord] = {}
    for instance in sorted(instances, key=lambda each: (each.load.inflight, each.name)):
        if not why_not(instance, stores):
            chosen.setdefault(instance.engine.fingerprint.id, instance)
    return dict(sorted(chosen.items()))


class InstanceClient:
    """Calls to instances' control planes. Raises UpstreamFailed, Unavailable."""

    def __init__(self, session: aiohttp.ClientSession, token: str) -> None:
        self._session = session
        self._token = token

    async def head(self, instance: InstanceRecord, texts: Sequence[str], rendering: Rendering) -> Head:
        """The token ids of these texts as a prompt's head, by the instance's own tokenizer and template."""
        return await self._post(instance, "/v1/kv/head", HeadRequest(texts=tuple(texts), rendering=rendering), Head)

    async def prefill(self, instance: InstanceRecord, token_ids: Sequence[int], *, background: bool) -> None:
        """Has the engine compute these ids, after which it stores their chunks."""
        asked = PrefillRequest(token_ids=tuple(token_ids), background=background)
        await self._post(instance, "/v1/kv/prefill", asked, Struct)

    async def reset_prefix_cache(self, instance: InstanceRecord) -> CacheReset:
        """Has the engine forget its own cache; the kv store keeps what it has."""
        return await self._post(instance, "/v1/kv/reset_prefix_cache", Struct(), CacheReset, RESET_TIMEOUT_S)

    async def _post(
        self, instance: InstanceRecord, path: str, body: Struct, kind: type[S], timeout_s: float | None = None
    ) -> S:
        """Without `timeout_s`, whoever calls sees to it that this ends."""
        url = instance.control_url + path
        return await call.post(
            self._session, url, body, kind, peer=instance.name, token=self._token, timeout_s=timeout_s
        )
