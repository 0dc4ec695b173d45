"""A request's knowledge, by place: what its conversation has already, and what is found for its last turn."""

import asyncio
import time
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from cacheroute.errors import DeadlineExceeded
from cacheroute.prompt import canonical_order
from cacheroute.scheduler.access import Caller
from cacheroute.scheduler.body import ClientRequest
from cacheroute.scheduler.config import SchedulerConfig
from cacheroute.scheduler.conversations import MAX_KIDS, Conversations, Known, Placement, conversation_key, fitted
from cacheroute.scheduler.retrieval import Retrieved, Retriever
from cacheroute.wire.serve import Knowledge, TurnKnowledge
from knowledge.cut import estimate_tokens
from knowledge.replication.replica import Replica

SHARE_OF_TIME = 0.5
"""Of a request's time, what finding knowledge may take: no knowledge rather than no answer."""


class Placed(Struct, frozen=True, kw_only=True):
    """The knowledge of one request, and how it came about."""

    head: tuple[Knowledge, ...] = ()
    """Most relevant first."""
    turns: tuple[TurnKnowledge, ...] = ()
    retrieved: Retrieved
    """What was found for the last turn, without its texts (a trace keeps this long after the request); its reason
    also says what became of the conversation's knowledge."""
    placement: Placement = Placement()
    key: bytes = b""

    @property
    def conversation(self) -> str:
        """A short name of the conversation; empty where it is none."""
        return self.key.hex()[:12]


class Placer:
    """Knows the conversations. One a scheduler."""

    def __init__(self, settings: SchedulerConfig, retriever: Retriever, replica: Replica) -> None:
        self._budget_tokens = settings.knowledge_token_budget
        self._conversations = Conversations(
            settings.conversation_ttl_s, settings.max_conversations, clock_s=time.monotonic
        )
        self._retriever = retriever
        self._replica = replica

    async def place(self, asked: ClientRequest, caller: Caller, session: str, time_s: float) -> Placed:
        """The request's knowledge, found within a share of `time_s`.

        Raises NotFound for an explicit kid that does not exist for this caller, DeadlineExceeded where an explicit
        one cannot be had in time; nothing else.
        """
        key = conversation_key(caller.name, asked.model, session, asked.turns)
        if not asked.rag and asked.knowledge_ids is None:
            return Placed(retrieved=Retrieved(knowledge=(), reason="rag-off"), key=key)
        search = _Search(self._retriever, caller, until_s=time_s * SHARE_OF_TIME)
        base, texts, notes = await self._standing(asked, key, caller)
        if base is not None and base.turns == len(asked.turns) and asked.knowledge_ids is None:
            placement, found = base.placement, Retrieved(knowledge=(), reason="kept")
        elif base is None and (len(asked.turns) < 2 or asked.knowledge_ids is not None):
            found = await search.for_last(asked)
            placement = Placement(head=tuple(item.kid for item in found.knowledge))
        else:
            if base is None:
                first = await search.for_first(asked)
                notes.append(f"head found for the first turn: {first.reason}")
                texts = _by_kid(first.knowledge)
                placement = Placement(head=tuple(texts))
            else:
                placement = base.placement
            found = await search.for_last(asked)
            kids = canonical_order(item.kid for item in found.knowledge)
            placement = placement.extended(asked.turns[-1].message, kids)
        texts |= _by_kid(found.knowledge)
        if placement.turns:
            placement, left_out = self._fitted(placement, texts, asked)
            notes += left_out
        retrieved = msgspec.structs.replace(found, knowledge=(), reason="; ".join([found.reason, *notes]))
        return _placed(placement, texts, retrieved, key)

    def keep(self, asked: ClientRequest, placed: Placed, used: Iterable[str]) -> None:
        """Remembers what the prompt really had (kids), once it is on its way to the client."""
        if asked.turns and (asked.rag or asked.knowledge_ids is not None):
            self._conversations.keep(placed.key, asked.turns[-1], placed.placement.only(frozenset(used)))

    async def _standing(
        self, asked: ClientRequest, key: bytes, caller: Caller
    ) -> tuple[Known | None, dict[str, Knowledge], list[str]]:
        """What the conversation has already, with its texts as they are now; nothing, with the reason, where one of
        them was edited, deleted or is not this caller's to see.

        A turn that is asked again is looked up again: only what lies before it stands.
        """
        turns = asked.turns if asked.turns and asked.turns[-1].answered else asked.turns[:-1]
        base = self._conversations.known(key, turns)
        if base is None and len(asked.turns) > 1:
            base = self._conversations.head(key)
        if base is None or not base.placement.kids:
            return base, {}, []
        blocks = await asyncio.to_thread(self._replica.blocks, base.placement.kids, caller.collections)
        gone = [kid for kid in base.placement.kids if kid not in blocks]
        if gone:
            self._conversations.forget(key)
            return None, {}, [f"conversation started anew: its knowledge {gone[0][:12]} is gone or was changed"]
        texts = {kid: Knowledge(kid=kid, title=block.title, text=block.text) for kid, block in blocks.items()}
        return base, texts, []

    def _fitted(
        self, placement: Placement, texts: dict[str, Knowledge], asked: ClientRequest
    ) -> tuple[Placement, list[str]]:
        tokens = {kid: estimate_tokens(texts[kid].text) for kid in placement.kids}
        named = asked.turns[-1].message if asked.knowledge_ids is not None else None
        placement, out = fitted(placement, tokens, self._budget_tokens, named)
        left_out = ", ".join(kid[:12] for kid in out)
        return placement, [
            f"left out by the budget of {self._budget_tokens} tokens, {MAX_KIDS} blocks: {left_out}"
        ] if out else []


class _Search:
    """What the retriever finds before `until_s` from now; all the searches of one request share that time."""

    def __init__(self, retriever: Retriever, caller: Caller, until_s: float) -> None:
        self._retriever = retriever
        self._caller = caller
        self._until_s = asyncio.get_running_loop().time() + until_s

    async def for_last(self, asked: ClientRequest) -> Retrieved:
        try:
            async with asyncio.timeout_at(self._until_s):
                return await self._retriever.knowledge_for(asked, self._caller)
        except TimeoutError as error:
            if asked.knowledge_ids is not None:
                raise DeadlineExceeded("the knowledge that was asked for could not be had in time") from error
            return Retrieved(knowledge=(), reason="retrieval-unavailable: the request's time is too short for it")

    async def for_first(self, asked: ClientRequest) -> Retrieved:
        """As if the conversation had just begun."""
        first = asked.turns[0]
        return await self.for_last(msgspec.structs.replace(asked, query=first.text, turns=(first,)))


def _by_kid(knowledge: Iterable[Knowledge]) -> dict[str, Knowledge]:
    return {item.kid: item for item in knowledge}


def _placed(placement: Placement, texts: dict[str, Knowledge], retrieved: Retrieved, key: bytes) -> Placed:
    return Placed(
        head=tuple(texts[kid] for kid in placement.head),
        turns=tuple(
            TurnKnowledge(message=turn.message, knowledge=tuple(texts[kid] for kid in turn.kids))
            for turn in placement.turns
        ),
        retrieved=retrieved,
        placement=placement,
        key=key,
    )
