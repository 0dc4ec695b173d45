"""What a client asks: an OpenAI body, kept whole, and CacheRoute's own options taken out of it. Pure."""

from typing import Any

import msgspec
from msgspec import Struct

from cacheroute.errors import BadRequest
from cacheroute.scheduler.turns import Turn, turns_of
from cacheroute.wire.serve import Endpoint, InjectionType

_INJECTION: dict[str, InjectionType] = {
    "auto": "auto",
    "text": "text",
    "prompt": "text",
    "kv": "kv",
    "kvcache": "kv",
    "kv_cache": "kv",
    "kv-cache": "kv",
}
_RAG: dict[Any, bool] = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}

MAX_KNOWLEDGE_IDS = 64


class ClientRequest(Struct, frozen=True, kw_only=True):
    endpoint: Endpoint
    model: str
    query: str
    """What to look knowledge up for: the last user turn, or the raw prompt; empty where there is no text."""
    turns: tuple[Turn, ...] = ()
    """A chat's turns, first to last; a raw completion has none."""
    body: msgspec.Raw
    """The caller's body without the options below."""
    rag: bool
    injection: InjectionType
    knowledge_ids: tuple[str, ...] | None
    """Explicit kids, most relevant first; None: retrieve."""

    @property
    def previous(self) -> str:
        """The user turn before, if there was one: a question may only make sense after it."""
        return self.turns[-2].text if len(self.turns) > 1 else ""


def parse(endpoint: Endpoint, raw: bytes) -> ClientRequest:
    """Raises BadRequest naming the field. Fields that are the engine's business pass through unread."""
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the body is not JSON: {error}", code="invalid_json") from error
    if not isinstance(body, dict):
        raise BadRequest("the body must be a JSON object", code="invalid_json")
    fields: dict[str, Any] = body
    rag = _rag(fields.pop("RAG", True))
    injection = _injection(fields.pop("Injection_type", "auto"))
    knowledge_ids = _knowledge_ids(fields.pop("knowledge_ids", None))
    model = fields.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest("model is required", param="model")
    turns = _turns(fields.get("messages")) if endpoint == "chat" else ()
    query = (turns[-1].text if turns else "") if endpoint == "chat" else _prompt_text(fields.get("prompt"))
    return ClientRequest(
        endpoint=endpoint,
        model=model,
        query=query,
        turns=turns,
        body=msgspec.Raw(msgspec.json.encode(fields)),
        rag=rag,
        injection=injection,
        knowledge_ids=knowledge_ids,
    )


def _rag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | str) and str(value).lower() in _RAG:
        return _RAG[str(value).lower()]
    raise BadRequest("RAG must be true or false", param="RAG")


def _injection(value: Any) -> InjectionType:
    if isinstance(value, str) and value.lower() in _INJECTION:
        return _INJECTION[value.lower()]
    raise BadRequest("Injection_type must be auto, text or kv", param="Injection_type")


def _knowledge_ids(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    kids = [value] if isinstance(value, str) else value
    if not isinstance(kids, list) or not all(isinstance(kid, str) for kid in kids) or len(kids) > MAX_KNOWLEDGE_IDS:
        raise BadRequest(f"knowledge_ids must be a list of at most {MAX_KNOWLEDGE_IDS} ids", param="knowledge_ids")
    return tuple(dict.fromkeys(str(kid) for kid in kids))


def _turns(messages: Any) -> tuple[Turn, ...]:
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages must be a list that is not empty", param="messages")
    return turns_of(messages)


def _prompt_text(prompt: Any) -> str:
    match prompt:
        case str():
            return prompt
        case [str() as only]:
            return only
        case list():
            return ""
        case _:
            raise BadRequest("prompt is required", param="prompt")
