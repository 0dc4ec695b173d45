"""What the embedded engine's server may ask of a model: token ids in, logits and KV out.

It knows nothing of HTTP, tokenizers, sampling or stores. Everything behind it is synchronous and belongs
to one thread: the caller owns that thread, and sets torch's own thread count before it loads a model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from cacheroute.engine.embedded.slab import KVSlab


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The facts of a loaded model that others size their buffers and sign their artifacts with."""

    layers: int
    kv_heads: int
    head_dim: int
    hidden: int
    vocab: int
    max_positions: int
    eos_ids: frozenset[int]
    dtype: str
    digest: str
    """sha256 of the weights, as `PreparedModel.weights_sha256` has it."""
    forward: str
    """Which forward pass computes it (`reference-sdpa`, `llama-mkldnn`): part of the fingerprint."""
    splits_freely: bool = False
    """Whether a token's KV and logits are the same bits however prefill is cut, and in decoding too."""

    @property
    def bytes_per_token(self) -> int:
        """KV bytes of one token: K and V, every layer, every KV head, two bytes a value."""
        return self.layers * 2 * self.kv_heads * self.head_dim * 2

    def piece_end(self, start: int, end: int, chunk_tokens: int, most_tokens: int = 256) -> int:
        """Where the piece of prefill that begins at `start` may end, so that nobody's bits depend on it.

        Where prefill splits freely: in even pieces of at most `most_tokens` (small ones let other streams in
        between). Else at the next chunk boundary, the same on every path; what is left behind the last is one piece.
        """
        if not self.splits_freely:
            return min((start // chunk_tokens + 1) * chunk_tokens, end)
        pieces = -(-(end - start) // most_tokens)
        return start + -(-(end - start) // pieces)

    def slab(self, capacity: int) -> KVSlab:
        """A fresh slab that fits this model."""
        return KVSlab(self.layers, self.kv_heads, self.head_dim, capacity)


class Model(Protocol):
    """One causal language model on CPU, with its KV kept in slabs that the caller owns."""

    @property
    def spec(self) -> ModelSpec: ...

    def prefill(self, slab: KVSlab, ids: Sequence[int], start: int) -> torch.Tensor:
        """Computes the KV of the tokens `ids` at positions `[start, start + len(ids))` into `slab`.

        Returns the last token's logits, float32 `[vocab]`. What the slab held from `start` on is
        forgotten; what it holds before `start` is attended to, so `start` may not be past its length.

        Raises `SlabError` where the piece is empty, leaves a gap or does not fit.
        """
        ...

    def decode(self, slabs: Sequence[KVSlab], ids: Sequence[int]) -> torch.Tensor:
        """One step for several sequences: `ids[i]` goes to the end of `slabs[i]`.

        Returns float32 logits `[len(ids), vocab]`. Raises `SlabError` where a slab is full.
        """
        ...
