"""A model's text side: its chat template and its tokenizer, with a memory for prompt heads that come again.

Loaded from a Hugging Face directory; nothing of a model's own code is run. Knows nothing of KV or sampling.
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from jinja2 import TemplateError
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from cacheroute.engine.embedded.detokenise import Detokeniser
from cacheroute.engine.embedded.template import has_system_role, why_not_pinned, without_system_role
from cacheroute.engine.openai.messages import Conversation
from cacheroute.errors import BadRequest

MEMORY_SEGMENTS = 256
MEMORABLE_CHARS = 200
"""Shorter segments are tokenised faster than they are worth remembering."""


class TextSide:
    """Rendering, tokenising, detokenising. Safe to use from several threads."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        self._backend = tokenizer.backend_tokenizer
        self._segments = _SegmentMemory(self._backend)
        self._has_system_role = not self._template or has_system_role(self._on_date)
        self.longest_token_chars = max(map(len, tokenizer.get_vocab()))
        """No token stands for more: so many tokens hold at most so many times this."""

    @classmethod
    def load(cls, path: Path) -> "TextSide":
        return cls(cast(PreTrainedTokenizerFast, AutoTokenizer.from_pretrained(path, local_files_only=True)))

    def render(self, conversation: Conversation) -> str:
        """The prompt's text. Raises BadRequest where the template refuses these messages."""
        messages = list(conversation.messages)
        if not self._has_system_role:
            messages = without_system_role(messages)
        try:
            return self._render(messages, list(conversation.tools) or None, conversation.add_generation_prompt)
        except ValueError as error:
            raise BadRequest(f"this model's chat template refuses the messages: {error}", param="messages") from error

    def encode_chat(self, text: str) -> list[int]:
        """Ids of a rendered chat: the template has written every special token."""
        return self._segments.encode(text)

    def encode_prompt(self, text: str) -> list[int]:
        """Ids of a raw prompt, with the special tokens that the tokenizer puts around one."""
        return self._backend.encode(text, add_special_tokens=True).ids

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        return self._backend.decode(list(ids), skip_special_tokens=skip_special_tokens)

    def detokeniser(self) -> Detokeniser:
        return Detokeniser(self.decode)

    def why_not_pinned(self) -> str:
        """Why this template's prompt heads cannot be pinned; empty if they can."""
        return why_not_pinned(self._on_date) if self._template else "the model has no chat template"

    def _on_date(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None, date: str) -> str:
        """A rendering that is told this date, whatever the day. Raises ValueError."""
        # A macro shadows the function of the same name, which would tell today's date.
        macro = "{%- macro strftime_now(format) -%}" + date + "{%- endmacro -%}"
        return self._render(messages, tools, True, template=macro + self._template)

    @property
    def _template(self) -> str:
        template = self._tokenizer.chat_template
        return template if isinstance(template, str) else ""

    def _render(
        self,
        messages: list[dict[str, Any]],
        tools: list[dict[str, Any]] | None,
        add_generation_prompt: bool,
        template: str | None = None,
    ) -> str:
        try:
            return cast(
                str,
                self._tokenizer.apply_chat_template(
                    messages,
                    tools=cast(Any, tools),
                    chat_template=template,
                    add_generation_prompt=add_generation_prompt,
                    tokenize=False,
                ),
            )
        except (TemplateError, TypeError, KeyError) as error:
            raise ValueError(str(error) or type(error).__name__) from error


class _SegmentMemory:
    """Tokenises between special tokens, remembering the long segments: a repeated prompt head costs nothing.

    A tokenizer cuts its input at special tokens before anything else, so what stands between two of them is
    tokenised by itself. That holds unless such a token swallows spaces beside it or the tokenizer puts
    something before a first word; then whole texts are encoded.
    """

    def __init__(self, backend: Tokenizer) -> None:
        self._backend = backend
        self._ids = OrderedDict[str, list[int]]()
        self._lock = threading.Lock()
        added = backend.get_added_tokens_decoder().values()
        plain = all(not (t.lstrip or t.rstrip or t.single_word or t.normalized) for t in added)
        self._special = {t.content: cast(int, backend.token_to_id(t.content)) for t in added if t.special}
        by_length = sorted(self._special, key=len, reverse=True)
        self._cut = re.compile(f"({'|'.join(map(re.escape, by_length))})") if plain and by_length else None
        if self._cut is not None and not self._is_exact():
            self._cut = None

    def encode(self, text: str) -> list[int]:
        if self._cut is None:
            return self._whole(text)
        ids: list[int] = []
        for segment in self._cut.split(text):
            if segment in self._special:
                ids.append(self._special[segment])
            elif len(segment) >= MEMORABLE_CHARS:
                ids += self._remembered(segment)
            elif segment:
                ids += self._whole(segment)
        return ids

    def _remembered(self, segment: str) -> list[int]:
        with self._lock:
            if segment in self._ids:
                self._ids.move_to_end(segment)
                return self._ids[segment]
        ids = self._whole(segment)
        with self._lock:
            self._ids[segment] = ids
            if len(self._ids) > MEMORY_SEGMENTS:
                self._ids.popitem(last=False)
        return ids

    def _whole(self, text: str) -> list[int]:
        return self._backend.encode_batch_fast([text], add_special_tokens=False)[0].ids

    def _is_exact(self) -> bool:
        """Whether cutting changes nothing, on a text with the seams that matter."""
        seams = "".join(f"word {special}\nword{special} next" for special in list(self._special)[:4])
        return self.encode(seams) == self._whole(seams)
