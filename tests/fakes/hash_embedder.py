"""A deterministic embedder without a model: texts that share words have a high cosine, others about none.

Fit to test what is done with vectors, not how good they are.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np

from cacheroute.embedder.config import EmbedderConfig
from cacheroute.wire.embedding import Kind
from knowledge.catalogue.library import Library
from knowledge.catalogue.registration import Registration
from knowledge.cut import draft
from knowledge.embedding import DIMENSIONS, Vectors
from knowledge.parse import compose


class HashEmbedder:
    """Each word adds +-1 at a place that its hash names; the sum is scaled to length 1.

    Can stand for the model of the embedder role.
    """

    name = "hash"

    @classmethod
    def load(cls, config: EmbedderConfig) -> HashEmbedder:
        return cls()

    def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        vectors = np.zeros((len(texts), DIMENSIONS), np.float32)
        for row, text in enumerate(texts):
            vectors[row, 0] = 0.01  # so that a text without words still has a direction
            for word in re.findall(r"\w+", text.lower()):
                digest = hashlib.sha256(word.encode()).digest()
                vectors[row, int.from_bytes(digest[:4]) % DIMENSIONS] += 1 if digest[4] % 2 else -1
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors


def register(library: Library, source: str, text: str, **facts: str) -> Registration:
    """Cuts, embeds and registers a text; `facts` are title, version, collection."""
    cut = draft(compose(text, source=source, **facts).document)
    return library.register(cut, HashEmbedder().embed([passage.embedded for passage in cut.passages], "passage"))
