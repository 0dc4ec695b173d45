from __future__ import annotations

import numpy as np
import pytest
from fakes.hash_embedder import HashEmbedder

from knowledge.embedding import DIMENSIONS, checked
from knowledge.errors import EmbeddingError


def test_the_hash_embedders_cosine_follows_shared_words() -> None:
    near, same, far = HashEmbedder().embed(["the kv cache grows", "kv cache growth the", "rye bread"], "passage")
    assert near @ same > 0.5 > near @ far


@pytest.mark.parametrize(
    "vectors",
    [
        np.ones((2, DIMENSIONS), np.float32),
        np.eye(2, DIMENSIONS - 1, dtype=np.float32),
        np.eye(3, DIMENSIONS, dtype=np.float32),
        np.full((2, DIMENSIONS), np.nan, np.float32),
    ],
    ids=["not of length 1", "too short", "too many", "not numbers"],
)
def test_vectors_that_would_quietly_find_the_wrong_text_are_refused(vectors: np.ndarray) -> None:
    with pytest.raises(EmbeddingError):
        checked(vectors, 2)
