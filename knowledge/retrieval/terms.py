"""The words of a question that can tell one text from another, and the FTS5 query made of them.

Pure. Stop words are English; a question in another language keeps all its words, which only costs time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MAX_WORDS = 64
"""A pasted page is a question too; its first words say enough, and every word costs a look-up."""

_WORD = re.compile(r"[^\W_]+")

_STOP_WORD_LIST = """
    a about above after again against ain all also am an and any are aren as at be because been before being below
    between both but by can cannot could couldn d did didn do does doesn doing don down during each either few for
    from further get gets give given had hadn has hasn have haven having he her here hers herself him himself his how
    however i if in into is isn it its itself just ll let ma may me might mine more most much must mustn my myself need
    no nor not now o of off on once one only or other our ours ourselves out over own per please re s same shall shan
    she should shouldn so some such t tell than that the their theirs them themselves then there these they this those
    through to too under until up upon us ve very via was wasn we were weren what whatever when where whether which
    while who whom whose why will with within without won would wouldn y yes yet you your yours yourself yourselves
    hello hey hi okay ok thank thanks
"""
_STOP_WORDS = frozenset(_STOP_WORD_LIST.split())


def content_words(question: str) -> tuple[str, ...]:
    """The question's words without stop words, each once whatever its case, at most MAX_WORDS."""
    words: dict[str, str] = {}
    for word in _WORD.findall(question):
        if word.lower() not in _STOP_WORDS:
            words.setdefault(word.lower(), word)
    return tuple(words.values())[:MAX_WORDS]


def fts_query(words: Sequence[str]) -> str:
    """Any of the words. Quoted, and letters and digits only, so no word can be read as FTS5 syntax."""
    return " OR ".join(f'"{word}"' for word in words)
