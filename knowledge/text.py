"""The text of knowledge: one normal form, its name (`kid`), and control tokens made harmless.

Pure. Knows no document, no tokenizer and no model: control tokens are recognised by their shape.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass

_NEWLINE = re.compile(r"\r\n?")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_MAX_MARKS = 30
"""Combining marks on one letter that are kept, as in Unicode's Stream-Safe Text Format: what is more is no writing, and
bringing them into order takes time by the square of their number.
"""
_MAYBE_MARKS = re.compile(rf"[^\x00-\u02ff]{{{_MAX_MARKS + 1},}}")

# Tokens without an underscore in their name; those with one (<start_of_turn>, [TOOL_CALLS]) go by their shape.
_ANGLE = (
    "(?i:s|unk|pad|bos|eos|cls|sep|mask|sop|eop|eot|eod|think|image|video|audio|endoftext|unused[0-9]+"
    "|user|assistant|system|human|bot|tool|reponame|filename"
    "|[a-z][a-z0-9]*(?:[_▁][a-z0-9]+)+)"
)
# Upper case only, since code is full of x[my_index].
_SQUARE = (
    "(?:INST|SYS|CLS|SEP|PAD|UNK|MASK|BOS|EOS|IMG|THINK|ARGS|PREFIX|SUFFIX|MIDDLE|gMASK|sMASK|unused[0-9]+"
    "|[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)"
)
_CONTROL_TOKEN = re.compile(
    rf"(?P<open><[|｜]|<<(?=/?SYS>>)|<(?=/?{_ANGLE}>)|\[(?=/?{_SQUARE}\]))"
    r"(?P<name>[^\s<>|｜\[\]]{1,80})"
    r"(?P<close>[|｜]>|>>|>|\])"
)


@dataclass(frozen=True, slots=True)
class Neutralised:
    """Text without control tokens, and which ones it had (each once, in order of appearance)."""

    text: str
    found: tuple[str, ...]


def normalise(text: str) -> str:
    """One form for texts that read the same: LF line ends, Unicode NFC, no space around.

    A lone surrogate, which JSON can carry and UTF-8 cannot, becomes U+FFFD; of more combining marks on a letter than
    anybody writes, the first are kept. Idempotent.
    """
    text = _LONE_SURROGATE.sub("�", _NEWLINE.sub("\n", text))
    text = _MAYBE_MARKS.sub(_without_excess_marks, text)
    return unicodedata.normalize("NFC", text).strip()


def _without_excess_marks(run: re.Match[str]) -> str:
    kept: list[str] = []
    marks = 0
    for character in run[0]:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= _MAX_MARKS:
            kept.append(character)
    return "".join(kept)


def kid_of(text: str) -> str:
    """The knowledge id of a block: sha256 of its normalised text in UTF-8, as 64 hex digits."""
    return hashlib.sha256(normalise(text).encode()).hexdigest()


def neutralise(text: str) -> Neutralised:
    """Makes text that looks like a control token plain text, by spaces inside its brackets.

    `<|im_start|>` becomes `<| im_start |>`: a reader still sees what was written, and no tokenizer maps it
    to a special token, because those match exactly. The rule goes by shape (a name between bars, a bracketed
    name with an underscore, a few well-known short ones), so it holds for models that are not known yet.
    Only ever adds spaces, hence nothing can be nested so that it leaves a token behind. Idempotent.
    Give it normalised text: NFC can turn a look-alike letter into the real one.
    """
    found: dict[str, None] = {}

    def pad(token: re.Match[str]) -> str:
        found[token[0]] = None
        return f"{token['open']} {token['name']} {token['close']}"

    return Neutralised(_CONTROL_TOKEN.sub(pad, text), tuple(found))
