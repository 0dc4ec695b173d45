"""KV slabs: one preallocated bf16 tensor a sequence, written in place and reused.

A cache that grows by concatenation copies itself for every piece, and a fresh one costs its page faults
again, so a slab is taken from a pool and keeps its memory. A chunk's value in the kv store is the slab's
own layout cut along the positions: `[layers, K|V, kv heads, chunk tokens, head dim]`, raw bf16, no header.
What a chunk is called, and whether its bytes belong to this model, is not known here.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

ALIGNMENT = 64
"""Capacities are rounded up to this, so that a forward may look at whole groups of positions."""


class SlabError(ValueError):
    """Positions or bytes that do not fit the slab."""


class KVSlab:
    """One sequence's KV: `kv` is `[layers, 2, kv_heads, capacity, head_dim]`, `length` positions hold.

    Memory is only touched as positions are written, so a generous capacity costs address space alone.
    """

    __slots__ = ("kv", "length")

    def __init__(self, layers: int, kv_heads: int, head_dim: int, capacity: int) -> None:
        # calloc through numpy: finite values everywhere, yet a page costs nothing until it is written.
        zeros = np.zeros((layers, 2, kv_heads, -(-capacity // ALIGNMENT) * ALIGNMENT, head_dim), np.int16)
        self.kv = torch.from_numpy(zeros).view(torch.bfloat16)
        self.length = 0

    @property
    def capacity(self) -> int:
        return self.kv.shape[3]

    def claim(self, start: int, tokens: int) -> None:
        """Makes room for `tokens` positions from `start` on: forgets what was there, checks gap and end."""
        if tokens < 1:
            raise SlabError("a piece needs at least one token")
        if not 0 <= start <= self.length:
            raise SlabError(f"a piece at position {start} leaves a gap after {self.length}")
        if start + tokens > self.capacity:
            raise SlabError(f"{start + tokens} positions do not fit a slab of {self.capacity}")
        self.length = start

    def truncate(self, length: int) -> None:
        """Forgets every position from `length` on."""
        if not 0 <= length <= self.length:
            raise SlabError(f"cannot truncate {self.length} positions to {length}")
        self.length = length

    def chunk_nbytes(self, chunk_tokens: int) -> int:
        """The size of one chunk's value."""
        layers, pair, heads, _, head_dim = self.kv.shape
        return layers * pair * heads * chunk_tokens * head_dim * self.kv.element_size()

    def chunk_bytes(self, index: int, chunk_tokens: int) -> memoryview:
        """The value of chunk `index`, ready for the kv store: a copy of its own, made without the interpreter lock
        (`tobytes` would keep the event loop from sending the token that was just found).

        Raises `SlabError` where the chunk is not wholly computed.
        """
        if index < 0 or (index + 1) * chunk_tokens > self.length:
            raise SlabError(f"chunk {index} of {chunk_tokens} tokens is not within {self.length} positions")
        window = self._window(index, chunk_tokens)
        value = np.empty(window.shape, dtype=np.int16)
        value[...] = window
        return value.reshape(-1).view(np.uint8).data

    def load_chunk(self, index: int, chunk_tokens: int, buffer: bytes | bytearray | memoryview) -> None:
        """Copies a chunk's value into its place; the length grows to its end if it was shorter.

        Raises `SlabError` where the buffer's size is wrong, or the chunk leaves a gap or does not fit.
        """
        end = (index + 1) * chunk_tokens
        if index < 0 or index * chunk_tokens > self.length or end > self.capacity:
            raise SlabError(
                f"chunk {index} of {chunk_tokens} tokens does not follow {self.length} positions "
                f"in a slab of {self.capacity}"
            )
        expected, got = self.chunk_nbytes(chunk_tokens), memoryview(buffer).nbytes
        if got != expected:
            raise SlabError(f"a chunk of {chunk_tokens} tokens is {expected} bytes, not {got}")
        window = self._window(index, chunk_tokens)
        window[...] = np.frombuffer(buffer, dtype=np.int16).reshape(window.shape)
        self.length = max(self.length, end)

    def load_chunks(self, first: int, chunk_tokens: int, buffers: Sequence[bytes | memoryview]) -> None:
        """`load_chunk` for consecutive chunks, as an MGET answers them."""
        for offset, buffer in enumerate(buffers):
            self.load_chunk(first + offset, chunk_tokens, buffer)

    def _window(self, index: int, chunk_tokens: int) -> npt.NDArray[np.int16]:
        """A chunk's positions as numpy sees them: numpy has no bf16, and torch warns of read-only bytes."""
        start = index * chunk_tokens
        return self.kv[:, :, :, start : start + chunk_tokens].view(torch.int16).numpy()


class SlabPool:
    """Slabs of one shape, lent and taken back; at most `idle_limit` rest here with their memory."""

    def __init__(self, layers: int, kv_heads: int, head_dim: int, capacity: int, idle_limit: int) -> None:
        self._shape = (layers, kv_heads, head_dim, capacity)
        self._idle_limit = idle_limit
        self._idle: list[KVSlab] = []

    @property
    def idle(self) -> int:
        return len(self._idle)

    def acquire(self) -> KVSlab:
        """An empty slab: the one given back last (its pages are the warmest), or a fresh one."""
        return self._idle.pop() if self._idle else KVSlab(*self._shape)

    def release(self, slab: KVSlab) -> None:
        """Takes a slab back; whoever gave it must not touch it again."""
        slab.length = 0
        if len(self._idle) < self._idle_limit:
            self._idle.append(slab)
