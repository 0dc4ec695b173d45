"""From a caller's body and the knowledge to the body that the engine gets. Pure."""

from collections.abc import Sequence
from typing import Any

import msgspec

from cacheroute import prompt
from cacheroute.errors import BadRequest
from cacheroute.wire.serve import Endpoint, Knowledge


def in_canonical_order(knowledge: Sequence[Knowledge]) -> list[Knowledge]:
    order = prompt.canonical_order(item.kid for item in knowledge)
    return sorted(knowledge, key=lambda item: order.index(item.kid))


def compose(endpoint: Endpoint, body: bytes, knowledge: Sequence[Knowledge]) -> msgspec.Raw:
    """The final body, with the texts in the prompt in the order given. Raises BadRequest where there is no place."""
    if not knowledge:
        return msgspec.Raw(body)
    final: dict[str, Any] = msgspec.json.decode(body)
    texts = [item.text for item in knowledge]
    if endpoint == "chat":
        messages = final.get("messages")
        if not isinstance(messages, list):
            raise BadRequest("messages must be a list", param="messages")
        final["messages"] = prompt.inject_chat(messages, texts)
    else:
        final["prompt"] = prompt.inject_completion(final.get("prompt"), texts)
    return msgspec.Raw(msgspec.json.encode(final))
