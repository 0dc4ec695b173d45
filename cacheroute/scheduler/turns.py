"""A chat's messages as turns: where knowledge may go in, and what each beginning of the chat is known by. Pure.

A turn is the last user message before an answer (or before the end). Its digest names everything up to and with
that message, so equal beginnings have equal digests and nothing else has. Knows no knowledge.
"""

import hashlib
from typing import Any

import msgspec
from msgspec import Struct


class Turn(Struct, frozen=True, kw_only=True):
    message: int
    """Index into the caller's `messages`."""
    text: str
    """Empty where the message has none (a picture)."""
    digest: bytes
    """sha256 over the messages up to and with this one."""
    answered: bool = False
    """Whether an assistant's message follows: then it is history, or a turn that goes on with tools."""


def turns_of(messages: Any) -> tuple[Turn, ...]:
    """First to last. What is no message counts for the digests and is no turn: the engine will say so."""
    if not isinstance(messages, list):
        return ()
    turns: list[Turn] = []
    pending: Turn | None = None
    digest = b""
    for number, message in enumerate(messages):
        digest = hashlib.sha256(digest + hashlib.sha256(_canonical(message)).digest()).digest()
        role = message.get("role") if isinstance(message, dict) else None
        if role == "user":
            pending = Turn(message=number, text=text_of(message.get("content")), digest=digest)
        elif role == "assistant" and pending is not None:
            turns.append(msgspec.structs.replace(pending, answered=True))
            pending = None
    return (*turns, pending) if pending else tuple(turns)


def text_of(content: Any) -> str:
    """The text of a message's content, with the text parts of a list joined; empty where there is none."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return " ".join(part for part in parts if isinstance(part, str))
    return ""


def _canonical(message: Any) -> bytes:
    return msgspec.json.encode(message, order="deterministic")
