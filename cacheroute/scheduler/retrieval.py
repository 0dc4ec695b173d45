"""From a question to the knowledge for it, or to the reason why there is none."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from cacheroute import sanitise
from cacheroute.embedding_client import EmbeddingClient
from cacheroute.errors import CacheRouteError, NotFound
from cacheroute.scheduler.access import Caller
from cacheroute.scheduler.body import ClientRequest
from cacheroute.wire.decision import Considered
from cacheroute.wire.serve import Knowledge
from knowledge.document import Block
from knowledge.replication.replica import Replica
from knowledge.retrieval.match import Gate, Limits, Matches
from knowledge.retrieval.turn import search_turn, turn

MAX_QUESTION_CHARS = 16_384
"""What is looked up of a question: more than an embedding model and the word search read of it anyway. A pasted
book would keep both from everybody else for seconds."""


MAX_CONSIDERED = 5
"""How many of the blocks that were looked at a request's trace tells about."""


class Retrieved(Struct, frozen=True, kw_only=True):
    knowledge: tuple[Knowledge, ...]
    """Most relevant first."""
    reason: str
    considered: tuple[Considered, ...] = ()
    """The best few, best first, also where none was used."""


class Retriever:
    """Searches the scheduler's copy. `refresh` brings the copy up to date where a kid is asked for that it lacks."""

    def __init__(
        self, replica: Replica, embedder: EmbeddingClient, limits: Limits, refresh: Callable[[], Awaitable[None]]
    ) -> None:
        self._replica = replica
        self._embedder = embedder
        self._limits = limits
        self._refresh = refresh
        self.gate = Gate()
        """What a block must reach; whoever knows this catalogue better replaces it."""

    async def knowledge_for(self, asked: ClientRequest, caller: Caller) -> Retrieved:
        """Raises NotFound for an explicit kid that does not exist for this caller; nothing else."""
        if asked.knowledge_ids is not None:
            return await self._explicit(asked.knowledge_ids, caller)
        if not asked.rag:
            return Retrieved(knowledge=(), reason="rag-off")
        if not asked.query.strip():
            return Retrieved(knowledge=(), reason="no-question")
        try:
            matches = await self.search(asked.query, caller, self._limits, asked.previous)
        except CacheRouteError as error:  # no knowledge rather than no answer
            return Retrieved(knowledge=(), reason=f"retrieval-unavailable: {error.message}")
        kids = [match.kid for match in matches.accepted]
        blocks = await asyncio.to_thread(self._replica.blocks, kids, caller.collections)
        return Retrieved(
            knowledge=_as_knowledge(kids, blocks), reason=matches.reason, considered=considered_of(matches)
        )

    async def search(
        self, question: str, caller: Caller, limits: Limits, previous: str = "", gate: Gate | None = None
    ) -> Matches:
        """What was considered for a question that follows the user's turn `previous`, with scores.

        Another `gate` than the one in force may be asked. Raises Unavailable, Overloaded, UpstreamFailed.
        """
        asked = turn(question[:MAX_QUESTION_CHARS], previous[:MAX_QUESTION_CHARS])
        vectors = await self._embedder.embed(asked.texts, "query")
        return await asyncio.to_thread(
            search_turn, self._replica.shelf, asked, vectors, gate or self.gate, limits, caller.collections
        )

    async def _explicit(self, kids: tuple[str, ...], caller: Caller) -> Retrieved:
        blocks = await asyncio.to_thread(self._replica.blocks, kids, caller.collections)
        if len(blocks) < len(kids):  # registered a moment ago, perhaps
            await self._refresh()
            blocks = await asyncio.to_thread(self._replica.blocks, kids, caller.collections)
        for kid in kids:
            if kid not in blocks:
                shown = sanitise.for_line(kid, 100)
                raise NotFound(f"there is no knowledge {shown!r}", param="knowledge_ids", code="knowledge_not_found")
        return Retrieved(knowledge=_as_knowledge(kids, blocks), reason="explicit")


def considered_of(matches: Matches) -> tuple[Considered, ...]:
    """The best few, without their texts."""
    return tuple(
        Considered(
            kid=match.kid,
            title=match.title,
            fused=round(match.fused, 4),
            lexical=round(match.lexical, 4),
            cosine=round(match.cosine, 4),
            confidence=round(match.confidence, 4),
            reason=match.reason,
        )
        for match in matches.considered[:MAX_CONSIDERED]
    )


def _as_knowledge(kids: Sequence[str], blocks: dict[str, Block]) -> tuple[Knowledge, ...]:
    return tuple(Knowledge(kid=kid, title=blocks[kid].title, text=blocks[kid].text) for kid in kids if kid in blocks)
