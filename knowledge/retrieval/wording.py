"""Which of a question's words a passage says, and how many of them in one sentence.

Pure. Reads passages in which the search engine has marked the words that it found, so that "raises" counts for
"raising" here exactly where it counted there. Knows no stemmer and no SQL.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from itertools import takewhile

OPENS, CLOSES = "\x02", "\x03"
"""What stands around a word that was found."""

_FOUND = re.compile(f"{OPENS}([^{OPENS}{CLOSES}]+){CLOSES}")
_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+")


@dataclass(frozen=True, slots=True)
class Said:
    """`anywhere`: the question's words that the passage or its title has; `sentences`: those of each sentence."""

    anywhere: frozenset[str] = frozenset()
    sentences: tuple[frozenset[str], ...] = ()


def said(words: Collection[str], title: str, text: str) -> Said:
    """`title` and `text` with every form of `words` marked; `words` as in the question."""
    sentences = tuple(_named(words, sentence) for sentence in _SENTENCE_END.split(text))
    return Said(_named(words, title).union(*sentences), tuple(filter(None, sentences)))


def _named(words: Collection[str], marked: str) -> frozenset[str]:
    """A form shares its beginning with the word that it is a form of, and more of it than with any other."""
    forms = {found.lower() for found in _FOUND.findall(marked)}
    return frozenset(max(words, key=lambda word: (_shared(word.lower(), form), word)) for form in forms if words)


def _shared(word: str, form: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(word, form, strict=False)))
