"""What a chat template does with a system text: can prompt heads be pinned, and has it a place for one at all? Pure.

KV of knowledge is only found again if every prompt with that knowledge begins with the same tokens: nothing
that changes from call to call (a date, the caller's tools) may stand before the system text, and it must stand
first in a conversation of any length. A constant text of the template's own before it does no harm: it is part of
the head. Where there is no system role, a system text goes before the first user's own: the model reads it, but
no KV is offered.
"""

from collections.abc import Callable, Sequence
from typing import Any

from cacheroute.prompt import SEPARATOR

MARK = "Seven grey herons wait."
"""Stands for knowledge in a probe; no template contains it."""
_ASKED = {"role": "user", "content": "How many?"}
_MESSAGES = [{"role": "system", "content": MARK}, _ASKED]
_LATER = [*_MESSAGES, {"role": "assistant", "content": "Seven."}, {"role": "user", "content": "For what?"}]
_TOOL = {"type": "function", "function": {"name": "count", "description": "Counts.", "parameters": {"type": "object"}}}

DROPPED = "the chat template drops the system message"

Render = Callable[[list[dict[str, Any]], list[dict[str, Any]] | None, str], str]
"""(messages, tools, the date that the template shall see) -> prompt. Raises ValueError where it cannot."""


def why_not_pinned(render: Render) -> str:
    """Why KV cannot be offered under this template; empty if it can."""
    try:
        plain = render(_MESSAGES, None, "1 May 2001")
        later = render(_MESSAGES, None, "2 June 2022")
    except ValueError as error:
        return f"the chat template cannot render a system message: {error}"
    before, found, _ = plain.partition(MARK)
    if not found:
        return DROPPED
    reasons: list[str] = []
    if not later.startswith(before + MARK):
        reasons.append("the chat template puts the date before the knowledge")
    if not _with_tools(render).startswith(before + MARK):
        reasons.append("the chat template puts tools before the knowledge")
    if not _rendered(render, _LATER).startswith(before + MARK):
        reasons.append("the chat template moves the system message as a conversation grows")
    return "; ".join(reasons)


def has_system_role(render: Render) -> bool:
    """Whether a system message reaches the prompt."""
    return MARK in _rendered(render, _MESSAGES)


def without_system_role(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same with the leading system texts before the first user message's own, or as a user message."""
    lead = 0
    while lead < len(messages) and messages[lead]["role"] == "system":
        lead += 1
    rest = list(messages[lead:])
    text = SEPARATOR.join(message["content"] for message in messages[:lead])
    if not text:
        return rest or list(messages)
    if not rest or rest[0]["role"] != "user":
        return [{"role": "user", "content": text}, *rest]
    seam = "" if text.endswith(SEPARATOR) else SEPARATOR
    return [{**rest[0], "content": text + seam + rest[0]["content"]}, *rest[1:]]


def _with_tools(render: Render) -> str:
    try:
        return render(_MESSAGES, [_TOOL], "1 May 2001")
    except ValueError:  # a template that refuses tools never puts them anywhere
        return render(_MESSAGES, None, "1 May 2001")


def _rendered(render: Render, messages: list[dict[str, Any]]) -> str:
    """Empty where the template cannot."""
    try:
        return render(messages, None, "1 May 2001")
    except ValueError:
        return ""
