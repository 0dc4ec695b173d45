"""From a question to the knowledge for it, or to the reason why there is none."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from cacheroute.embedding_client import EmbeddingClient
from cacheroute.errors import CacheRouteError, NotFound
from cacheroute.scheduler.access import Caller
from cacheroute.scheduler.body import ClientRequest
from cacheroute.wire.serve import Knowledge
from knowledge.document import Block
from knowledge.match import Gate, Limits, Matches
from knowledge.replica import Replica
from knowledge.search import search

MAX_QUESTION_CHARS = 16_384
"""What is looked up of a question: more than an embedding model and the word search read of it anyway. A pasted
book would keep both from everybody else for seconds."""


class Retrieved(Struct, frozen=True, kw_only=True):
    knowledge: tuple[Knowledge, ...]
    """Most relevant first."""
    reason: str


class Retriever:
    """Searches the scheduler's copy. `refresh` brings the copy up to date where a kid is asked for that it lacks."""

    def __init__(
        self, replica: Replica, embedder: EmbeddingClient, limits: Limits, refresh: Callable[[], Awaitable[None]]
    ) -> None:
        self._replica = replica
        self._embedder = embedder
        self._limits = limits
        self._refresh = refresh
        self._gate = Gate()

    async def knowledge_for(self, asked: ClientRequest, caller: Caller) -> Retrieved:
        """Raises NotFound for an explicit kid that does not exist for this caller; nothing else."""
        if asked.knowledge_ids is not None:
            return await self._explicit(asked.knowledge_ids, caller)
        if not asked.rag:
            return Retrieved(knowledge=(), reason="rag-off")
        if not asked.query.strip():
            return Retrieved(knowledge=(), reason="no-question")
        try:
            matches = await self.search(asked.query, caller, self._limits)
        except CacheRouteError as error:  # no knowledge rather than no answer
            return Retrieved(knowledge=(), reason=f"retrieval-unavailable: {error.message}")
        kids = [match.kid for match in matches.accepted]
        blocks = await asyncio.to_thread(self._replica.blocks, kids, caller.collections)
        return Retrieved(knowledge=_as_knowledge(kids, blocks), reason=matches.reason)

    async def search(self, question: str, caller: Caller, limits: Limits) -> Matches:
        """What was considered for a question, with scores. Raises Unavailable, Overloaded, UpstreamFailed."""
        question = question[:MAX_QUESTION_CHARS]
        vector = await self._embedder.embed([question], "query")
        return await asyncio.to_thread(
            search, self._replica.shelf, question, vector, self._gate, limits, caller.collections
        )

    async def _explicit(self, kids: tuple[str, ...], caller: Caller) -> Retrieved:
        blocks = await asyncio.to_thread(self._replica.blocks, kids, caller.collections)
        if len(blocks) < len(kids):  # registered a moment ago, perhaps
            await self._refresh()
            blocks = await asyncio.to_thread(self._replica.blocks, kids, caller.collections)
        for kid in kids:
            if kid not in blocks:
                raise NotFound(f"there is no knowledge {kid!r}", param="knowledge_ids", code="knowledge_not_found")
        return Retrieved(knowledge=_as_knowledge(kids, blocks), reason="explicit")


def _as_knowledge(kids: Sequence[str], blocks: dict[str, Block]) -> tuple[Knowledge, ...]:
    return tuple(Knowledge(kid=kid, title=blocks[kid].title, text=blocks[kid].text) for kid in kids if kid in blocks)
