"""What an embedder is to knowledge: texts in, unit vectors out. Knows no model and no server.

The stack has one embedding model; a role of its own runs it. What is said here is what both sides keep to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from knowledge.errors import EmbeddingError

DIMENSIONS = 384

Kind = Literal["query", "passage"]
Vectors = NDArray[np.float32]
"""Shape [n, DIMENSIONS], float32, rows of length 1: their dot product is their cosine."""


class Embedder(Protocol):
    """Turns texts into unit vectors. Synchronous: it computes, so callers run it in a thread or a process."""

    def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """One row a text. `kind` tells which prefix a model wants, where it wants one."""
        ...


def checked(vectors: Vectors, rows: int) -> Vectors:
    """The vectors as contiguous float32, or EmbeddingError if they are not `rows` unit vectors.

    A vector of another length or model would not fail later: it would quietly find the wrong text.
    """
    if vectors.shape != (rows, DIMENSIONS):
        raise EmbeddingError(f"vectors of shape {vectors.shape}, not ({rows}, {DIMENSIONS})")
    unit = np.ascontiguousarray(vectors, dtype=np.float32)
    if rows and not np.allclose(np.linalg.norm(unit, axis=1), 1.0, atol=1e-2):
        raise EmbeddingError("vectors are not of length 1")
    return unit
