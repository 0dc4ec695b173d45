"""What a caller asks for, checked whole: two endpoints, one `Ask`. Pure.

Fields that we do not know pass; fields that we know and cannot honour are refused rather than dropped.
"""

from typing import Any, cast

from msgspec import Struct

from cacheroute.engine.openai.fields import Fields, wrong
from cacheroute.engine.openai.messages import Conversation, conversation
from cacheroute.wire.serve import Endpoint

MAX_STOPS = 4
COMPLETIONS_MAX_TOKENS = 16
"""OpenAI's own default for raw completions; a chat's is a setting."""
_SEED = 2**63


class Ask(Struct, frozen=True, kw_only=True):
    endpoint: Endpoint
    model: str
    prompt: Conversation | str | tuple[int, ...]
    """A chat, a text, or token ids to be taken as they are."""
    max_tokens: int | None
    """None: as many as the engine gives by default."""
    temperature: float = 1.0
    """0: greedy."""
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    stream: bool = False
    include_usage: bool = False
    priority: int = 0
    """As vLLM has it: the lower, the sooner. What is above 0 is done in the background."""

    @property
    def is_prefill(self) -> bool:
        """Whether only the KV of these token ids is wanted: the answer then waits until the kv store has it."""
        return isinstance(self.prompt, tuple) and self.max_tokens == 1 and not self.stream


def chat_ask(fields: Fields) -> Ask:
    """A `/v1/chat/completions` body. Raises BadRequest."""
    fields.refuse("response_format", "other than text is not supported", {"type": "text"})
    fields.refuse("tool_choice", "can only be auto or none: this engine cannot force a call", "auto", "none")
    fields.refuse("top_logprobs", "is not supported")
    limit = fields.integer("max_completion_tokens", 1, 2**31)
    return _ask(fields, "chat", conversation(fields), limit)


def completions_ask(fields: Fields) -> Ask:
    """A `/v1/completions` body. Raises BadRequest."""
    fields.refuse("best_of", "is not supported", 1)
    fields.refuse("suffix", "is not supported")
    fields.refuse("echo", "is not supported")
    return _ask(fields, "completions", completion_prompt(fields), None)


def completion_prompt(fields: Fields) -> str | tuple[int, ...]:
    """`prompt`: a text, a list of one text, a list of token ids, or a list of one such list."""
    prompt = fields.raw("prompt")
    if isinstance(prompt, list) and len(cast(list[Any], prompt)) == 1 and isinstance(prompt[0], str | list):
        prompt = cast(Any, prompt[0])
    if isinstance(prompt, str) and prompt:
        return prompt
    if isinstance(prompt, list) and prompt:
        return Fields({"prompt": prompt}).token_ids("prompt")
    raise wrong("prompt", "must be one text or one list of token ids, and not empty")


def _ask(fields: Fields, endpoint: Endpoint, prompt: Conversation | str | tuple[int, ...], limit: int | None) -> Ask:
    fields.refuse("n", "can only be 1", 1)
    fields.refuse("logprobs", "is not supported")
    fields.refuse("logit_bias", "is not supported")
    fields.refuse("frequency_penalty", "is not supported", 0)
    fields.refuse("presence_penalty", "is not supported", 0)
    max_tokens = limit or fields.integer("max_tokens", 1, 2**31)
    if max_tokens is None and endpoint == "completions":
        max_tokens = COMPLETIONS_MAX_TOKENS
    stream = fields.flag("stream")
    options = fields.inner("stream_options")
    if fields.raw("stream_options") is not None and not stream:
        raise wrong("stream_options", "is only allowed when stream is true")
    top_p = fields.number("top_p", 1.0, 0.0, 1.0)
    if top_p == 0:
        raise wrong("top_p", "must be above 0")
    return Ask(
        endpoint=endpoint,
        model=fields.text("model"),
        prompt=prompt,
        max_tokens=max_tokens,
        temperature=fields.number("temperature", 1.0, 0.0, 2.0),
        top_p=top_p,
        seed=fields.integer("seed", -_SEED, _SEED - 1),
        stop=fields.strings("stop", MAX_STOPS),
        ignore_eos=fields.flag("ignore_eos"),
        stream=stream,
        include_usage=options.flag("include_usage"),
        priority=fields.integer("priority", -_SEED, _SEED - 1) or 0,
    )
