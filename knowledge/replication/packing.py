"""An entry as two columns of a row, for one that is kept but not searched. Its vectors stay bytes."""

from __future__ import annotations

import json

from knowledge.catalogue.changes import Entry
from knowledge.document import Block, Passage


def packed(entry: Entry) -> str:
    """All of an entry but its vectors and its version."""
    block = entry.block
    return json.dumps(
        [
            [block.kid, block.ordinal, block.text, block.tokens, block.source, block.title, block.version,
             block.collection, block.tags],
            [[passage.ordinal, passage.title, passage.text] for passage in entry.passages],
        ]
    )  # fmt: skip


def unpacked(text: str, vectors: bytes) -> Entry:
    """The entry again, of no version in particular."""
    (kid, ordinal, content, tokens, source, title, version, collection, tags), passages = json.loads(text)
    return Entry(
        Block(kid, ordinal, content, tokens, source, title, version, collection, tuple(tags)),
        tuple(Passage(kid, number, heading, words) for number, heading, words in passages),
        vectors,
        registered_ms=0,
    )
