"""The prompt head: where knowledge stands in a prompt, the same for text and for KV.

Knowledge comes first, in canonical order, each block followed by a blank line, then the caller's system text,
all in one system message; then the conversation. So the tokens of the knowledge do not depend on the caller,
answers do not depend on the mode, and text traffic warms the cache that KV traffic uses. Pure.
"""

from collections.abc import Iterable, Sequence
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

    The leading `system` and `developer` messages become one; a later one keeps its place. Raises BadRequest for
    messages that are not objects with a role, or a system content that is not text.
    """
    for number, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise BadRequest(f"messages[{number}] must be an object with a role", param="messages")
    if not texts:
        return list(messages)
    lead = 0
    while lead < len(messages) and messages[lead]["role"] in SYSTEM_ROLES:
        lead += 1
    system = SEPARATOR.join(_text_of(message.get("content")) for message in messages[:lead])
    return [{"role": "system", "content": head_text(texts) + system}, *messages[lead:]]


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


def _text_of(content: Any) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        if len(parts) == len(content) and all(isinstance(text, str) for text in parts):
            return "".join(str(text) for text in parts)
    raise BadRequest("a system message's content must be text", param="messages")
