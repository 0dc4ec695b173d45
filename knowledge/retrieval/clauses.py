"""A question that joins several -> its clauses, so that each can be looked up for itself.

Pure. Splits only where another question begins: "salt and pepper" is one thing, "what is salt and who mines it" two.
"""

from __future__ import annotations

import re

from knowledge.retrieval.terms import content_words

MAX_CLAUSES = 4
MIN_CONTENT_WORDS = 2
"""A clause with fewer ("and when?") is only understood with the others."""

_ASKS = (
    r"(?:(?:in|on|at|by|for|from|to|of|with|under)\s+)?(?:what|which|who|whom|whose|when|where|why|how)\b"
    r"|(?:is|are|was|were|do|does|did|can|could|has|have|had|will|would|should|must|may)\b"
    r"|(?:explain|describe|tell|list|name|give|show)\b"
)
_SEAM = re.compile(
    r"(?<=[?!])\s+"
    r"|;\s+"
    rf"|,?\s+(?:and|but|or)(?:\s+(?:also|then))?\s+(?={_ASKS})"
    rf"|,\s+(?={_ASKS})",
    re.IGNORECASE,
)
_ASKING = re.compile(
    rf"^(?:(?:and|but|also|so)\s+)*(?:{_ASKS})|\b(?:what|which|who|whom|whose|when|where|why|how)\b", re.IGNORECASE
)


def clauses(question: str) -> tuple[str, ...]:
    """At most MAX_CLAUSES parts that each ask something; none where the question is one question."""
    parts = [part.strip() for part in _SEAM.split(question)]
    asking = [part for part in parts if _ASKING.search(part) and len(content_words(part)) >= MIN_CONTENT_WORDS]
    return tuple(asking[:MAX_CLAUSES]) if len(asking) > 1 else ()
