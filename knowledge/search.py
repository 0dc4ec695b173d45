"""A question and its vector -> matches: FTS5 and cosine each find passages, match.py decides among them.

Synchronous: a server calls it off its event loop. Embeds nothing itself: the vector comes with the question.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Sequence, Set

from knowledge.embedding import Vectors, checked
from knowledge.match import Candidate, Gate, Limits, Matches, Question, match
from knowledge.schema import BALLAST_ROWS
from knowledge.shelf import IS_VISIBLE, Shelf, visibility
from knowledge.terms import content_words, fts_query

DEPTH = 50
"""How many passages each of the two searches may put forward."""

_BM25_DEPTH = 4 * DEPTH  # deeper, so that what only the vectors put forward mostly has its BM25 too
_K1 = 1.2  # fixed in FTS5's bm25()
_MIN_IDF = 1e-6  # likewise


def search(
    shelf: Shelf,
    question: str,
    vector: Vectors,
    gate: Gate,
    limits: Limits,
    visible: Set[str] | None = None,
) -> Matches:
    """The blocks of `shelf` that fit the question, or why there are none.

    `vector`: the question embedded as a "query", shape [1, DIMENSIONS]. `visible`: the collections the caller
    may see, None for all. Raises EmbeddingError, CatalogueError; no text of a question raises anything.
    """
    unit = checked(vector, 1)[0]
    words = content_words(question)
    with shelf.read() as connection:
        bm25 = _bm25(connection, words, visible)
        cosines = shelf.vectors.top(unit, DEPTH, visible, also=list(bm25)[:DEPTH])
        asked = Question(len(words), _bm25_mass(connection, words))
        return match(asked, _candidates(connection, bm25, cosines), gate, limits)


def _bm25(connection: sqlite3.Connection, words: Sequence[str], visible: Set[str] | None) -> dict[int, float]:
    """BM25 (positive) of the best visible passages by id, best first."""
    if not words:
        return {}
    rows = connection.execute(
        f"""SELECT passages.id, -rank AS bm25 FROM passage_fts
        JOIN passages ON passages.id = passage_fts.rowid JOIN blocks ON blocks.id = passages.block
        WHERE passage_fts MATCH :words AND {IS_VISIBLE} ORDER BY rank LIMIT :depth""",
        {"words": fts_query(words), "visible": visibility(visible), "depth": _BM25_DEPTH},
    )
    return {row["id"]: row["bm25"] for row in rows}


def _bm25_mass(connection: sqlite3.Connection, words: Sequence[str]) -> float:
    """The most that any passage could score for these words, by FTS5's own idf.

    Counted over all collections, since FTS5's idf is: it tells a caller nothing but how rare a word is.
    """
    passages: int = connection.execute("SELECT count(*) FROM passages").fetchone()[0]
    rows = passages + BALLAST_ROWS  # counting passage_fts itself reads all of it
    having = "SELECT count(*) FROM passage_fts WHERE passage_fts MATCH ?"
    mass = 0.0
    for word in words:
        hits: int = connection.execute(having, (fts_query([word]),)).fetchone()[0]
        mass += max(math.log((rows - hits + 0.5) / (hits + 0.5)), _MIN_IDF)
    return (_K1 + 1) * mass


def _candidates(connection: sqlite3.Connection, bm25: dict[int, float], cosines: dict[int, float]) -> list[Candidate]:
    rows = connection.execute(
        """SELECT passages.id, kid, passage_fts.title, passage_fts.text, tokens FROM passages
        JOIN blocks ON blocks.id = passages.block JOIN passage_fts ON passage_fts.rowid = passages.id
        WHERE passages.id IN (SELECT value FROM json_each(?))""",
        (json.dumps(list(cosines)),),
    )
    return [
        Candidate(
            kid=row["kid"],
            title=row["title"],
            passage=row["text"],
            tokens=row["tokens"],
            bm25=bm25.get(row["id"], 0.0),
            cosine=cosines[row["id"]],
        )
        for row in rows
    ]
