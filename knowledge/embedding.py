"""What knowledge takes for an embedding: unit vectors of one length. Knows no model and no server.

The stack has one embedding model; a role of its own runs it. What is said here is what both sides keep to.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from knowledge.errors import EmbeddingError

DIMENSIONS = 384

Vectors = NDArray[np.float32]
"""Shape [n, DIMENSIONS], float32, rows of length 1: their dot product is their cosine."""


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
