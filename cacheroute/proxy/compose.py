"""From a caller's body and the knowledge to the body that the engine gets. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct, structs

from cacheroute import prompt
from cacheroute.errors import BadRequest
from cacheroute.wire.serve import Endpoint, Knowledge, ProxyRequest, TurnKnowledge


class PromptKnowledge(Struct, frozen=True, kw_only=True):
    """The knowledge of one prompt by place, and what had to go because the prompt was too long."""

    head: tuple[Knowledge, ...]
    """Most relevant first."""
    turns: tuple[TurnKnowledge, ...] = ()
    left_out: tuple[str, ...] = ()

    @classmethod
    def of(cls, asked: ProxyRequest) -> "PromptKnowledge":
        return cls(head=asked.knowledge, turns=asked.turns)

    def __bool__(self) -> bool:
        return bool(self.head or self.turns)

    @property
    def kids(self) -> tuple[str, ...]:
        """In the order of the prompt, the head's by relevance."""
        return _kids((*self.head, *(item for turn in self.turns for item in turn.knowledge)))

    def shorter(self) -> "PromptKnowledge":
        """Without the oldest later turn's knowledge; where there is none, without the head's least relevant block."""
        if self.turns:
            gone, turns, head = self.turns[0].knowledge, self.turns[1:], self.head
        else:
            gone, turns, head = self.head[-1:], (), self.head[:-1]
        return structs.replace(self, head=head, turns=turns, left_out=(*self.left_out, *_kids(gone)))


def in_canonical_order(knowledge: Sequence[Knowledge]) -> list[Knowledge]:
    order = prompt.canonical_order(item.kid for item in knowledge)
    return sorted(knowledge, key=lambda item: order.index(item.kid))


def compose(
    endpoint: Endpoint, body: bytes, head: Sequence[Knowledge], turns: Sequence[TurnKnowledge] = ()
) -> msgspec.Raw:
    """The final body, with the texts in the prompt in the order given. Raises BadRequest where there is no place."""
    if not head and not turns:
        return msgspec.Raw(body)
    final: dict[str, Any] = msgspec.json.decode(body)
    if endpoint == "chat":
        messages = final.get("messages")
        if not isinstance(messages, list):
            raise BadRequest("messages must be a list", param="messages")
        for turn in turns:  # before the head, which moves the messages
            if turn.message >= len(messages) or not isinstance(messages[turn.message], dict):
                raise BadRequest(f"messages[{turn.message}] must be an object with a role", param="messages")
            messages[turn.message] = prompt.inject_turn(messages[turn.message], _texts(turn.knowledge))
        final["messages"] = prompt.inject_chat(messages, _texts(head))
    else:
        final["prompt"] = prompt.inject_completion(final.get("prompt"), _texts(head))
    return msgspec.Raw(msgspec.json.encode(final))


def _texts(knowledge: Iterable[Knowledge]) -> list[str]:
    return [item.text for item in knowledge]


def _kids(knowledge: Iterable[Knowledge]) -> tuple[str, ...]:
    return tuple(item.kid for item in knowledge)
