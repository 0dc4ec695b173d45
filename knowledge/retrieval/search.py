"""A question and its vector -> matches: FTS5 and cosine each find passages, match.py decides among them.

Synchronous: a server calls it off its event loop. Embeds nothing itself: the vector comes with the question.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knowledge.catalogue.schema import BALLAST_ROWS
from knowledge.catalogue.shelf import IS_VISIBLE, Shelf, visibility
from knowledge.embedding import Vectors, checked
from knowledge.retrieval.match import Gate, Limits, Matches, match
from knowledge.retrieval.ranking import MAX_WEIGHED, Candidate, Found, Question, Ranked, Read, rank, weigh
from knowledge.retrieval.terms import content_words, fts_query
from knowledge.retrieval.wording import CLOSES, OPENS, Said, said

DEPTH = 50
"""How many passages each of the two searches may put forward."""

_BM25_DEPTH = 4 * DEPTH  # deeper, so that what only the vectors put forward mostly has its BM25 too
_MIN_IDF = 1e-6  # fixed in FTS5's bm25()


@dataclass(frozen=True, slots=True)
class Findings:
    """What the catalogue has for a question, best first, with what speaks for each; nothing is decided yet."""

    question: Question
    found: tuple[Found, ...]


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
    found = look_up(shelf, question, vector, visible)
    return match(found.question, found.found, gate, limits)


def look_up(shelf: Shelf, question: str, vector: Vectors, visible: Set[str] | None = None) -> Findings:
    """As `search`, before anything is decided."""
    unit: NDArray[np.float32] = checked(vector, 1)[0]
    words = content_words(question)
    with shelf.read() as connection:
        bm25 = _bm25(connection, words, visible)
        cosines = shelf.vectors.top(unit, DEPTH, visible, also=list(bm25)[:DEPTH])
        asked = Question(_idf(connection, words))
        ranked = rank(asked, _candidates(connection, bm25, cosines))
        return Findings(asked, weigh(asked, ranked, _read(connection, words, ranked[:MAX_WEIGHED])))


def _bm25(connection: sqlite3.Connection, words: Sequence[str], visible: Set[str] | None) -> dict[int, float]:
    """BM25 (positive) of the best visible passages by id, best first."""
    if not words:
        return {}
    only_visible = f"""JOIN passages ON passages.id = passage_fts.rowid JOIN blocks ON blocks.id = passages.block
        WHERE {IS_VISIBLE} AND"""
    rows = connection.execute(
        f"""SELECT passage_fts.rowid AS id, -rank AS bm25 FROM passage_fts
        {"WHERE" if visible is None else only_visible} passage_fts MATCH :words ORDER BY rank LIMIT :depth""",
        {"words": fts_query(words), "visible": visibility(visible), "depth": _BM25_DEPTH},
    )
    return {row["id"]: row["bm25"] for row in rows}


def _idf(connection: sqlite3.Connection, words: Sequence[str]) -> dict[str, float]:
    """How rare each word is, as FTS5 has it.

    Counted over all collections, since FTS5's is: it tells a caller nothing but how rare a word is.
    """
    passages: int = connection.execute("SELECT count(*) FROM passages").fetchone()[0]
    rows = passages + BALLAST_ROWS  # counting passage_fts itself reads all of it
    having = "SELECT count(*) FROM passage_fts WHERE passage_fts MATCH ?"
    idf: dict[str, float] = {}
    for word in words:
        hits: int = connection.execute(having, (fts_query([word]),)).fetchone()[0]
        idf[word] = max(math.log((rows - hits + 0.5) / (hits + 0.5)), _MIN_IDF)
    return idf


def _candidates(connection: sqlite3.Connection, bm25: dict[int, float], cosines: dict[int, float]) -> list[Candidate]:
    rows = connection.execute(
        """SELECT passages.id, kid, passages.ordinal, tokens FROM passages
        JOIN blocks ON blocks.id = passages.block WHERE passages.id IN (SELECT value FROM json_each(?))""",
        (json.dumps(list(cosines)),),
    )
    return [
        Candidate(
            passage_id=row["id"],
            kid=row["kid"],
            ordinal=row["ordinal"],
            tokens=row["tokens"],
            bm25=bm25.get(row["id"], 0.0),
            cosine=cosines[row["id"]],
        )
        for row in rows
    ]


def _read(connection: sqlite3.Connection, words: Sequence[str], ranked: Sequence[Ranked]) -> dict[int, Read]:
    """The ranked passages by id, and which of the words each says."""
    passages = json.dumps([found.candidate.passage_id for found in ranked])
    says = _said(connection, words, passages) if words else {}
    rows = connection.execute(
        "SELECT rowid, title, text FROM passage_fts WHERE rowid IN (SELECT value FROM json_each(?))", (passages,)
    )
    return {row["rowid"]: Read(row["title"], row["text"], says.get(row["rowid"], Said())) for row in rows}


def _said(connection: sqlite3.Connection, words: Sequence[str], passages: str) -> dict[int, Said]:
    """Which of the words each passage says, by id; `passages`: their ids as JSON."""
    rows = connection.execute(
        """SELECT rowid, highlight(passage_fts, 0, :opens, :closes) AS title,
            highlight(passage_fts, 1, :opens, :closes) AS text
        FROM passage_fts WHERE passage_fts MATCH :words AND rowid IN (SELECT value FROM json_each(:passages))""",
        {
            "opens": OPENS,
            "closes": CLOSES,
            "words": fts_query(words),
            "passages": passages,
        },
    )
    return {row["rowid"]: said(words, row["title"], row["text"]) for row in rows}
