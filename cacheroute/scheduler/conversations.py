"""Which knowledge stands where in a conversation, so that a later turn's prompt begins as the last one did. Pure.

The first turn fixes the head. What is found later stands before the turn that needed it, and stays. Kids only: no
text is kept, so nothing that was edited, deleted or closed to a caller can be served from here. Memory only: after
a restart the head is found again for the first question.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set

import msgspec
from msgspec import Struct

from cacheroute.scheduler.turns import Turn

TURNS_KEPT = 16
"""Newest turns of one conversation that are known: the last one is looked for, others where somebody goes back."""

MAX_KIDS = 64
"""Blocks of one prompt: a header of the answer names them all, and a header has at most 8 KB."""


class TurnKids(Struct, frozen=True, kw_only=True):
    message: int
    """Index of the user message that they stand before."""
    kids: tuple[str, ...]


class Placement(Struct, frozen=True, kw_only=True):
    """The knowledge of one prompt, by place. No kid stands twice."""

    head: tuple[str, ...] = ()
    """Most relevant first."""
    turns: tuple[TurnKids, ...] = ()
    """In the order of the messages."""

    @property
    def kids(self) -> tuple[str, ...]:
        """All of them, in the order of the prompt."""
        return (*self.head, *(kid for turn in self.turns for kid in turn.kids))

    def extended(self, message: int, kids: Iterable[str]) -> "Placement":
        """With those of `kids` that are not in yet, before the user message `message`."""
        there = set(self.kids)
        new = tuple(kid for kid in dict.fromkeys(kids) if kid not in there)
        if not new:
            return self
        turns = (*self.turns, TurnKids(message=message, kids=new))
        return Placement(head=self.head, turns=tuple(sorted(turns, key=lambda turn: turn.message)))

    def only(self, kids: Set[str]) -> "Placement":
        """What of it is in `kids`, each in its place."""
        turns = [
            TurnKids(message=turn.message, kids=tuple(kid for kid in turn.kids if kid in kids)) for turn in self.turns
        ]
        return Placement(
            head=tuple(kid for kid in self.head if kid in kids), turns=tuple(turn for turn in turns if turn.kids)
        )


class Known(Struct, frozen=True, kw_only=True):
    """What is remembered that a request can go on from."""

    placement: Placement
    turns: int
    """How many of the request's turns it covers; 0: only the head is known."""


class Conversations:
    """The placements of the newest `most` conversations, each for `ttl_s` since it was last heard of."""

    def __init__(self, ttl_s: float, most: int, clock_s: Callable[[], float]) -> None:
        self._ttl_s = ttl_s
        self._most = most
        self._clock_s = clock_s
        self._by_key = OrderedDict[bytes, _Conversation]()

    def __len__(self) -> int:
        return len(self._by_key)

    def known(self, key: bytes, turns: Sequence[Turn]) -> Known | None:
        """The placement of the longest beginning of these turns that was served before."""
        found = self._found(key)
        if found is None:
            return None
        for count in range(len(turns), 0, -1):
            placement = found.by_turn.get(turns[count - 1].digest)
            if placement is not None:
                return Known(placement=placement, turns=count)
        return None

    def head(self, key: bytes) -> Known | None:
        """The conversation's head alone: for one whose beginning its client has cut off or written anew."""
        found = self._found(key)
        return Known(placement=Placement(head=found.head), turns=0) if found else None

    def keep(self, key: bytes, turn: Turn, placement: Placement) -> None:
        """Remembers what the prompt that ends with `turn` was served with."""
        found = self._by_key[key] = self._found(key) or _Conversation()
        self._by_key.move_to_end(key)
        found.head = placement.head
        found.used_s = self._clock_s()
        found.by_turn.pop(turn.digest, None)
        found.by_turn[turn.digest] = placement
        while len(found.by_turn) > TURNS_KEPT:
            found.by_turn.popitem(last=False)
        while len(self._by_key) > self._most:
            self._by_key.popitem(last=False)

    def forget(self, key: bytes) -> None:
        self._by_key.pop(key, None)

    def _found(self, key: bytes) -> "_Conversation | None":
        oldest_s = self._clock_s() - self._ttl_s
        while self._by_key and next(iter(self._by_key.values())).used_s <= oldest_s:
            self._by_key.popitem(last=False)
        return self._by_key.get(key)


def conversation_key(caller: str, model: str, session: str, turns: Sequence[Turn]) -> bytes:
    """What a conversation is known by: the session that the client names, else its messages up to the first answer.

    `caller` and `model` are part of it, so that nobody reaches another's. Empty where there is no turn.
    """
    if not turns:
        return b""
    # a header may hold bytes that are no text
    named = ["session", session.encode(errors="surrogateescape")] if session else ["opening", turns[0].digest.hex()]
    return hashlib.sha256(msgspec.json.encode([caller, model, *named])).digest()


def fitted(
    placement: Placement, tokens: Mapping[str, int], budget_tokens: int, asked: int | None
) -> tuple[Placement, tuple[str, ...]]:
    """What fits the budget, and what was left out for it: the oldest later turn's knowledge goes first.

    `asked`: the message whose knowledge the caller named himself. It stays, and the head goes for it, last of all and
    least relevant first. A head by itself stays: it fitted when it was fixed.
    """
    head, turns = list(placement.head), list(placement.turns)
    out: list[str] = []
    over, left = sum(tokens[kid] for kid in placement.kids) - budget_tokens, len(placement.kids)
    while over > 0 or left > MAX_KIDS:
        droppable = [turn for turn in turns if turn.message != asked]
        if droppable:
            turns.remove(droppable[0])
            gone = droppable[0].kids
        elif turns and head:
            gone = (head.pop(),)
        else:
            break
        out += gone
        over, left = over - sum(tokens[kid] for kid in gone), left - len(gone)
    return Placement(head=tuple(head), turns=tuple(turns)), tuple(out)


class _Conversation:
    def __init__(self) -> None:
        self.head: tuple[str, ...] = ()
        self.by_turn = OrderedDict[bytes, Placement]()
        self.used_s = 0.0
