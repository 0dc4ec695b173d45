"""Blocks that say almost the same, found by a look-up among those that a catalogue has.

Alike is what shares its runs of five words: the share that two texts have in common (Jaccard) is measured exactly, on
the few candidates that MinHash puts forward. Each block has some rows in `sketches`; texts that share most of
their runs share at least one (at .7 in 99.9 of 100 pairs), unrelated ones none. Knows no vectors and no language.
"""

from __future__ import annotations

import re
import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knowledge.document import Block

ALIKE = 0.7
"""The least share of common runs that is worth a word."""
NAMED = 3
"""At most so many for each block, the most alike first."""

_RUN_WORDS = 5
_BANDS, _ROWS = 16, 3
_CANDIDATES = 8
_A_BAND = 64  # rows read of one band: of boilerplate that is everywhere, the first ones do

_CJK = "\u3040-\u30ff\u3400-\u9fff"  # written without spaces: each sign counts as a word
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+")

Hashes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """Block `kid` says almost the same as one of another document. `similarity`: share of their word runs, 0 to 1."""

    kid: str
    other_kid: str
    other_source: str
    other_collection: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Sketch:
    """A text by its word runs (hashes, each once, sorted), and the `bands` that it is looked up by."""

    runs: Hashes
    bands: tuple[int, ...]

    @classmethod
    def of(cls, text: str) -> Sketch:
        runs = _runs(text)
        least = np.array([_mixed(runs ^ seed).min() for seed in _SEEDS]).reshape(_BANDS, _ROWS)
        bands = np.arange(_BANDS, dtype=np.uint64)
        for column in least.T:
            bands = _mixed(bands ^ column)
        return cls(runs, tuple(bands.astype(np.int64).tolist()))

    def similarity(self, other: Hashes) -> float:
        common = len(np.intersect1d(self.runs, other, assume_unique=True))
        return common / (len(self.runs) + len(other) - common)


def keep(connection: sqlite3.Connection, block: int, sketch: Sketch) -> None:
    """Makes the block in row `block` one that can be found. Its rows go when it goes."""
    connection.executemany("INSERT OR IGNORE INTO sketches VALUES (?, ?)", ((band, block) for band in sketch.bands))


def complete(connection: sqlite3.Connection) -> None:
    """Sketches the blocks of a catalogue from before there were sketches."""
    without = "SELECT id FROM blocks WHERE NOT EXISTS (SELECT 1 FROM sketches WHERE block = blocks.id)"
    for found in connection.execute(without).fetchall():
        text = connection.execute("SELECT text FROM blocks WHERE id = ?", (found["id"],)).fetchone()["text"]
        keep(connection, found["id"], Sketch.of(text))


def near_duplicates(connection: sqlite3.Connection, block: Block, sketch: Sketch) -> tuple[NearDuplicate, ...]:
    """Those of `block` that stand in other documents, the same text included."""
    same = connection.execute(
        "SELECT kid, source, collection FROM blocks WHERE kid = ? AND document_id != ? "
        "ORDER BY collection, source LIMIT ?",
        (block.kid, block.document_id, NAMED),
    )
    found = [_named(block, row, 1.0) for row in same]
    if len(found) < NAMED:
        alike = ((sketch.similarity(_runs(row["text"])), row) for row in _candidates(connection, block, sketch))
        best = sorted((each for each in alike if each[0] >= ALIKE), key=lambda each: -each[0])
        found += [_named(block, row, similarity) for similarity, row in best]
    return tuple(found[:NAMED])


def _candidates(connection: sqlite3.Connection, block: Block, sketch: Sketch) -> Iterable[sqlite3.Row]:
    """One row for each other text, those first that share the most bands."""
    shared: Counter[int] = Counter()
    for band in sketch.bands:
        rows = connection.execute("SELECT block FROM sketches WHERE band = ? LIMIT ?", (band, _A_BAND))
        shared.update(row["block"] for row in rows)
    found: dict[str, sqlite3.Row] = {}
    for row_id, _ in shared.most_common():
        row = connection.execute("SELECT * FROM blocks WHERE id = ?", (row_id,)).fetchone()
        if row["document_id"] != block.document_id and row["kid"] != block.kid:
            found.setdefault(row["kid"], row)
        if len(found) == _CANDIDATES:
            break
    return found.values()


def _named(block: Block, other: sqlite3.Row, similarity: float) -> NearDuplicate:
    return NearDuplicate(block.kid, other["kid"], other["source"], other["collection"], round(similarity, 3))


def _runs(text: str) -> Hashes:
    """Of every five words in a row, a hash; of a shorter text, one of the whole."""
    words = _WORD.findall(text.casefold()) or [text]
    hashed = np.fromiter((zlib.crc32(word.encode()) for word in words), np.uint64, len(words))
    length = min(_RUN_WORDS, len(words))
    runs = np.zeros(len(words) - length + 1, np.uint64)
    for at in range(length):
        runs = _mixed(runs ^ hashed[at : at + len(runs)])
    return np.unique(runs)


def _mixed(values: Hashes) -> Hashes:
    """The finaliser of SplitMix64: near values come out far apart."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


_SEEDS = _mixed(np.arange(_BANDS * _ROWS, dtype=np.uint64))
