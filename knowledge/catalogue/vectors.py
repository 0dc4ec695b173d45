"""Passage vectors in memory: one float32 matrix, cosine top-n over the visible collections.

Exact, and fast enough: about 1 ms for 10,000 passages. Knows passage ids and collections, no text and no file.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knowledge.embedding import DIMENSIONS, Vectors

_FIRST_ROWS = 256


@dataclass(frozen=True, slots=True)
class Placed:
    """A passage's row in the making: its id, the collection it is visible in, its unit vector."""

    passage: int
    collection: str
    vector: NDArray[np.float32]


class VectorIndex:
    """Rows are kept dense: a removed row is filled by the last one. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._matrix: Vectors = np.empty((_FIRST_ROWS, DIMENSIONS), np.float32)
        self._passages = np.empty(_FIRST_ROWS, np.int64)
        self._collections = np.empty(_FIRST_ROWS, np.int32)
        self._row_of: dict[int, int] = {}
        self._code_of: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._row_of)

    def update(self, removed: Iterable[int], added: Iterable[Placed]) -> None:
        """One step for readers: they see all of it or nothing. Unknown ids in `removed` are passed over."""
        with self._lock:
            for passage in removed:
                self._remove(passage)
            for placed in added:
                self._add(placed)

    def top(
        self,
        query: NDArray[np.float32],
        n: int,
        visible: Set[str] | None = None,
        also: Iterable[int] = (),
    ) -> dict[int, float]:
        """Cosines of the `n` nearest visible passages, best first, then those of the passages `also` asked for."""
        with self._lock:
            size = len(self._row_of)
            cosines = self._matrix[:size] @ query
            seen = np.arange(size)
            if visible is not None:
                codes = [self._code_of[name] for name in visible if name in self._code_of]
                seen = np.flatnonzero(np.isin(self._collections[:size], codes))
            if n < len(seen):
                seen = seen[np.argpartition(-cosines[seen], n)[:n]]
            rows = [*seen[np.argsort(-cosines[seen], kind="stable")].tolist()]
            rows += [self._row_of[passage] for passage in also if passage in self._row_of]
            return {int(self._passages[row]): float(cosines[row]) for row in rows}

    def _add(self, placed: Placed) -> None:
        row = len(self._row_of)
        if row == len(self._passages):
            self._matrix = np.concatenate([self._matrix, np.empty_like(self._matrix)])
            self._passages = np.concatenate([self._passages, np.empty_like(self._passages)])
            self._collections = np.concatenate([self._collections, np.empty_like(self._collections)])
        self._matrix[row] = placed.vector
        self._passages[row] = placed.passage
        self._collections[row] = self._code_of.setdefault(placed.collection, len(self._code_of))
        self._row_of[placed.passage] = row

    def _remove(self, passage: int) -> None:
        row = self._row_of.pop(passage, None)
        if row is None:
            return
        last = len(self._row_of)
        if row != last:
            self._matrix[row] = self._matrix[last]
            self._passages[row] = self._passages[last]
            self._collections[row] = self._collections[last]
            self._row_of[int(self._passages[row])] = row
