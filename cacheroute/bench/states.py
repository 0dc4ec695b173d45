"""The four states in which the demo asks about a document, how each is brought about, and how it is proved.

A measurement counts only if the engine's own word on where its tokens came from agrees with the state.
"""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import msgspec

from cacheroute.answer import Answer, Question, ask
from cacheroute.client import Client
from cacheroute.errors import UpstreamFailed
from cacheroute.kdn_client import Kdn
from cacheroute.role_client import Role
from cacheroute.wire.artifacts import Artifact, ArtifactInfo, InjectRequest, PurgeRequest
from cacheroute.wire.control import InstanceRecord
from cacheroute.wire.decision import InjectReceipt, RequestTrace

State = Literal["text", "kdn_inject", "store_hit", "prefix_hit"]
STATES: tuple[State, ...] = get_args(State)

TRIES = 3
"""The engine stores chunks after the answer began; a state can be spoilt by a write that was still under way."""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    state: State
    ttft_ms: float
    text: str
    cached_tokens: int
    bytes_injected: int


class Stage:
    """A running stack on which states are brought about. Uses every instance, since any may be asked."""

    def __init__(self, client: Client, kdn: Kdn, instances: Sequence[tuple[InstanceRecord, Role]], model: str) -> None:
        self._client = client
        self._kdn = kdn
        self._instances = instances
        self._model = model

    async def measure(
        self, state: State, question: str, artifact: Artifact | ArtifactInfo, max_tokens: int
    ) -> Measured:
        """One answer in `state` about what `artifact` holds. Raises UpstreamFailed if it could not be brought about."""
        asked = Question(
            text=question,
            model=self._model,
            injection="text" if state == "text" else "kv",
            knowledge_ids=artifact.kids,
            max_tokens=max_tokens,
        )
        last = ""
        for _ in range(TRIES):
            await self._prepare(state, asked, artifact.id)
            answer = await ask(self._client.endpoint, asked)
            receipt = await self._receipt(answer.way.request_id)
            details = _details(answer)
            last = f"{answer.way.injection} ({answer.way.reason}), usage {details}, receipt {receipt}"
            if _agrees(state, artifact.n_tokens, details, receipt) and answer.ttft_ms is not None:
                return Measured(
                    state=state,
                    ttft_ms=answer.ttft_ms,
                    text=answer.text,
                    cached_tokens=int(details.get("cached_tokens", 0)),
                    bytes_injected=receipt.nbytes if receipt else 0,
                )
        raise UpstreamFailed(f"the state {state} did not come about: {last}")

    async def _prepare(self, state: State, asked: Question, artifact: str) -> None:
        if state == "prefix_hit":
            for _ in self._instances:  # each in its turn
                await ask(self._client.endpoint, msgspec.structs.replace(asked, max_tokens=1))
            return
        for instance, control in self._instances:
            await control.post("/v1/kv/reset_prefix_cache", {}, dict[str, Any])
            store = instance.kv_store or ""
            # an engine stores what follows the knowledge, too: a question asked before would find its own chunks
            purge = PurgeRequest(artifact_id=artifact, store=store, strangers=True)
            await self._kdn.post("/v1/purge", purge, dict[str, Any], timeout_s=60)
            if state == "store_hit":
                request = InjectRequest(request_id="demo", artifact_id=artifact, store=store)
                await self._kdn.post("/v1/inject", request, InjectReceipt, timeout_s=60)

    async def _receipt(self, request_id: str) -> InjectReceipt | None:
        for trace in await self._client.requests(20):
            if trace.request_id == request_id:
                return _receipt_of(trace)
        return None


def _receipt_of(trace: RequestTrace) -> InjectReceipt | None:
    return next((hop.receipt for hop in trace.hops if hop.receipt is not None), None)


def _details(answer: Answer) -> dict[str, Any]:
    usage = answer.usage or {}
    return usage.get("prompt_tokens_details") or {}


def _agrees(state: State, n_tokens: int, details: dict[str, Any], receipt: InjectReceipt | None) -> bool:
    """Whether the answer came about as the state says. `n_tokens`: of the artifact, the most that may be loaded."""
    if state == "text":
        return int(details.get("cached_tokens", 0)) == 0
    if receipt is None or receipt.error:
        return False
    if state == "prefix_hit":
        return int(details.get("prefix_cache_tokens", 0)) > 0
    loaded = 0 < int(details.get("kv_store_tokens", 0)) <= n_tokens
    return loaded and (receipt.pushed > 0) == (state == "kdn_inject")
