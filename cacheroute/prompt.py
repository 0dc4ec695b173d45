"""The prompt head: where knowledge stands in a prompt, the same for text and for KV.

Knowledge comes first, in canonical order, each block followed by a blank line, then the caller's system text,
all in one system message; then the conversation, where knowledge found for a later turn stands before that turn's
text. So the tokens of the head do not depend on the caller, answers do not depend on the mode, text traffic warms
the cache that KV traffic uses, and each prompt of a conversation begins as the last one did. Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cacheroute.errors import BadRequest

SEPARATOR = "\n\n"
SYSTEM_ROLES = ("system", "developer")

CONTINUATIONS = ("You are brief.", "\n- 1", " and", "Ärger 7", "")
"""System texts to render behind a head: what all renderings share does not depend on what follows. A byte-pair
tokenizer merges across a seam, so two would do for most texts; these begin with each class it can merge with."""


def head_text(texts: Sequence[str]) -> str:
    """The text that a prompt with this knowledge begins with."""
    return "".join(text + SEPARATOR for text in texts)


def inject_chat(messages: Sequence[Any], texts: Sequence[str]) -> list[Any]:
    """`messages` with the knowledge before the caller's leading system texts, in one system message.

    The leading `system` and `developer` messages become one, up to the first that is not text; that and a later one
    keep their place. Raises BadRequest for messages that are not objects with a role.
    """
    for number, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise BadRequest(f"messages[{number}] must be an object with a role", param="messages")
    if not texts:
        return list(messages)
    system: list[str] = []
    for message in messages:
        text = _text_of(message.get("content")) if message["role"] in SYSTEM_ROLES else None
        if text is None:
            break
        system.append(text)
    return [{"role": "system", "content": head_text(texts) + SEPARATOR.join(system)}, *messages[len(system) :]]


def inject_turn(message: Mapping[str, Any], texts: Sequence[str]) -> dict[str, Any]:
    """A user message of a later turn with the knowledge that was found for it before its own text.

    Inside the message, since many templates know no system message but the first. Other parts (pictures) stay.
    """
    content = message.get("content")
    if isinstance(content, list):
        return {**message, "content": [{"type": "text", "text": head_text(texts)}, *content]}
    return {**message, "content": head_text(texts) + (content if isinstance(content, str) else "")}


def inject_completion(prompt: Any, texts: Sequence[str]) -> Any:
    """A raw completion prompt with the knowledge before it. Raises BadRequest where that cannot be done."""
    if not texts:
        return prompt
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise BadRequest("knowledge can only be put before one text prompt; send RAG: false", param="prompt")
    return head_text(texts) + prompt


def canonical_order(kids: Iterable[str]) -> tuple[str, ...]:
    """One order for one set, so that common sets share a prefix (and with it their KV)."""
    return tuple(sorted(set(kids)))


def common_head(renderings: Sequence[Sequence[int]], chunk_tokens: int) -> tuple[int, ...]:
    """The longest common prefix of several tokenised renderings, floored to whole chunks."""
    if not renderings:
        return ()
    shared = 0
    for column in zip(*renderings, strict=False):
        if len(set(column)) > 1:
            break
        shared += 1
    return tuple(renderings[0][: shared - shared % chunk_tokens])


def _text_of(content: Any) -> str | None:
    """None: it is not text."""
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        if len(parts) == len(content) and all(isinstance(text, str) for text in parts):
            return "".join(str(text) for text in parts)
    return None
