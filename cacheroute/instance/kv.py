"""Before a request with KV is forwarded: is it in the engine's kv store, and if not, have the KDN put it there.

Residency is checked, never assumed. Whatever fails here only costs the engine a recomputation, so it ends in a
receipt with an error, not in an exception.
"""

import time
from collections.abc import Callable, Mapping

import aiohttp

from cacheroute import call
from cacheroute.errors import Unavailable, UpstreamFailed
from cacheroute.kvstore.store import KvStore
from cacheroute.wire.artifacts import InjectRequest
from cacheroute.wire.decision import InjectReceipt
from cacheroute.wire.serve import KvPlan

TOUCH_TIMEOUT_S = 1.0
"""One round trip takes a millisecond. A store that hangs must not cost a request more than the text would."""


class KvGate:
    """Makes sure of a plan's chunks in one kv store. `kdns` gives the live KDNs' urls by name, from the lease."""

    def __init__(
        self,
        store: KvStore,
        session: aiohttp.ClientSession,
        token: str,
        kdns: Callable[[], Mapping[str, str]],
        timeout_s: float,
    ) -> None:
        self._store = store
        self._session = session
        self._token = token
        self._kdns = kdns
        self._timeout_s = timeout_s

    async def ensure(self, plan: KvPlan, request_id: str) -> InjectReceipt:
        """A receipt: everything was there, or the KDN pushed what was missing, or `error` says why it did not."""
        start_s = time.perf_counter()
        present, why = 0, ""
        try:
            missing = await self._store.missing(plan.keys, timeout_s=TOUCH_TIMEOUT_S)
            present = len(plan.keys) - len(missing)
            if missing:
                return await self._inject(plan, request_id)
        except (Unavailable, UpstreamFailed) as error:
            why = error.message
        return InjectReceipt(
            artifact_id=plan.artifact_id,
            store=self._store.name,
            present=present,
            pushed=0,
            nbytes=0,
            ms=round((time.perf_counter() - start_s) * 1000, 3),
            error=why,
        )

    async def _inject(self, plan: KvPlan, request_id: str) -> InjectReceipt:
        url = self._kdns().get(plan.kdn)
        if url is None:
            raise Unavailable(f"{plan.kdn} is not alive")
        asked = InjectRequest(request_id=request_id, artifact_id=plan.artifact_id, store=self._store.name)
        return await call.post(
            self._session,
            f"{url}/v1/inject",
            asked,
            InjectReceipt,
            peer=plan.kdn,
            token=self._token,
            timeout_s=self._timeout_s,
        )
