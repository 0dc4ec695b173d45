"""A chat's messages, checked and made plain: `developer` is `system`, lists of text parts are one text. Pure."""

from typing import Any, cast

from msgspec import Struct

from cacheroute.engine.openai.fields import Fields, wrong
from cacheroute.errors import BadRequest

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}


class Conversation(Struct, frozen=True, kw_only=True):
    """What a chat template renders."""

    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...] = ()
    add_generation_prompt: bool = True


def conversation(fields: Fields, *, add_generation_prompt: bool = True) -> Conversation:
    """The `messages` and `tools` of a body. Raises BadRequest naming the message that is wrong."""
    messages = fields.raw("messages")
    if not isinstance(messages, list) or not messages:
        raise wrong("messages", "must be a list of at least one message")
    listed = cast(list[Any], messages)
    return Conversation(
        messages=tuple(_plain(message, f"messages[{number}]") for number, message in enumerate(listed)),
        tools=_tools(fields),
        add_generation_prompt=add_generation_prompt,
    )


def _plain(message: Any, where: str) -> dict[str, Any]:
    if not isinstance(message, dict):
        raise _bad(f"{where} must be an object")
    fields = cast(dict[str, Any], message)
    role = fields.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise _bad(f"{where}.role must be one of {', '.join(ROLES)}")
    if fields.get("content") is None and not (role == "assistant" and fields.get("tool_calls")):
        raise _bad(f"{where}.content is missing")
    return {**fields, "role": ROLES[role], "content": _text(fields.get("content"), f"{where}.content")}


def _text(content: Any, where: str) -> str:
    if content is None:  # an assistant's message that only calls tools
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise _bad(f"{where} must be a string or a list of text parts")
    texts: list[str] = []
    for number, part in enumerate(cast(list[Any], content)):
        fields = cast(dict[str, Any], part) if isinstance(part, dict) else {}
        text = fields.get("text")
        if fields.get("type") != "text" or not isinstance(text, str):
            raise _bad(f"{where}[{number}] is not a text part; this model reads text only")
        texts.append(text)
    return "".join(texts)


def _tools(fields: Fields) -> tuple[dict[str, Any], ...]:
    tools = fields.raw("tools")
    if tools is None:
        return ()
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in cast(list[Any], tools)):
        raise wrong("tools", "must be a list of objects")
    return tuple(cast(list[dict[str, Any]], tools))


def _bad(text: str) -> BadRequest:
    return BadRequest(text, param="messages")
