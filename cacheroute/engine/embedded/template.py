"""Can a chat template be pinned? A probe that renders it in a few ways and says why not. Pure.

KV of knowledge is only found again if every prompt with that knowledge begins with the same tokens: nothing
that changes from call to call (a date, the caller's tools) may stand before the system text, and there must be
a system text. A constant text of the template's own before it does no harm: it is part of the head.
"""

from collections.abc import Callable
from typing import Any

MARK = "Seven grey herons wait."
"""Stands for knowledge in a probe; no template contains it."""
_ASKED = {"role": "user", "content": "How many?"}
_MESSAGES = [{"role": "system", "content": MARK}, _ASKED]
_TOOL = {"type": "function", "function": {"name": "count", "description": "Counts.", "parameters": {"type": "object"}}}

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
        return "the chat template drops the system message"
    reasons: list[str] = []
    if not later.startswith(before + MARK):
        reasons.append("the chat template puts the date before the knowledge")
    if not _with_tools(render).startswith(before + MARK):
        reasons.append("the chat template puts tools before the knowledge")
    return "; ".join(reasons)


def _with_tools(render: Render) -> str:
    try:
        return render(_MESSAGES, [_TOOL], "1 May 2001")
    except ValueError:  # a template that refuses tools never puts them anywhere
        return render(_MESSAGES, None, "1 May 2001")
