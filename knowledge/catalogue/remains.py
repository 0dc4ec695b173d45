"""What a catalogue still has of texts that it should not have any more. Looks, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from knowledge.catalogue.shelf import Shelf


@dataclass(frozen=True, slots=True)
class Remains:
    """Rows by kind: blocks of the kids; vectors and search rows of the kids, or of no block at all."""

    texts: int
    vectors: int
    search_rows: int


def remains(shelf: Shelf, kids: Iterable[str]) -> Remains:
    """What is there of kids that were deleted. Blocking."""
    wanted = "SELECT value FROM json_each(:kids)"
    asked = {"kids": json.dumps(list(kids))}
    with shelf.read() as connection:
        texts = f"SELECT count(*) FROM blocks WHERE kid IN ({wanted})"
        vectors = f"""SELECT count(*) FROM passages LEFT JOIN blocks ON blocks.id = passages.block
            WHERE blocks.id IS NULL OR kid IN ({wanted})"""
        search_rows = f"""SELECT count(*) FROM passage_fts_docsize AS found
            LEFT JOIN passages ON passages.id = found.id LEFT JOIN blocks ON blocks.id = passages.block
            WHERE found.id > 0 AND (blocks.id IS NULL OR kid IN ({wanted}))"""  # below are rows of no passage
        return Remains(
            *(int(connection.execute(query, asked).fetchone()[0]) for query in (texts, vectors, search_rows))
        )
