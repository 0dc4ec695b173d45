"""Whether a turn of a conversation leans on the one before it, and whether a block found for both is about both.

Pure. Only a turn that finds nothing by itself is looked up together with the turn before, and only where it
points back ("how long does it take?"). The turn before is the longer one, mostly, and drags its own block along:
so the block must also say one of the words that the new turn brings. Of twenty changes of subject that refused
every one; it cost two of twenty follow-ups.
"""

from __future__ import annotations

import re
from collections.abc import Set

from knowledge.retrieval.terms import content_words

_POINTS_BACK = re.compile(
    r"\b(?:it|its|itself|they|them|their|theirs|that|this|these|those|one|ones|he|him|his|she|her|there|then|both"
    r"|either|neither|others?|same|former|latter)\b"
    r"|^\W*(?:and|but|so|or|then|also|why|what about|how about|what else|how so)\b",
    re.IGNORECASE,
)
_TO_THE_MODEL = re.compile(r"\b(?:you|your|yours|yourself)\b", re.IGNORECASE)


def leans(question: str) -> bool:
    """Whether the question points back at something said before."""
    return bool(_POINTS_BACK.search(question))


def both(previous: str, question: str) -> str:
    """The two turns as one question."""
    return f"{previous.strip()} {question.strip()}"


def keeps_subject(question: str, said: Set[str]) -> bool:
    """Whether a block that says the words `said` of both turns is about the new one, too. A turn without a word of
    its own ("and why?") keeps the subject, unless it speaks to the model ("and who are you?")."""
    words = {word.lower() for word in content_words(question)}
    if not words:
        return not _TO_THE_MODEL.search(question)
    return not words.isdisjoint(word.lower() for word in said)
