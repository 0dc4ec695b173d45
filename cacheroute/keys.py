"""The key scheme: which string in a kv store names the KV of which tokens.

One string per chunk, in the key format of LMCache's multiprocess mode:
`{model}@{kv_rank:08x}@{group:x}@{chain hash}[@salt]`. The hash chains over whole chunks from position 0, so a
key names everything before its chunk too, and a tail shorter than a chunk has no key. Knows nothing of the
values: their layout is each engine's own, and the model string, named by the fingerprint, keeps layouts apart.
"""

import re
import struct
from collections.abc import Iterator, Sequence

from blake3 import blake3
from msgspec import Struct


def _link(parent: bytes, token_ids: Sequence[int]) -> bytes:
    return blake3(parent + struct.pack(f">{len(token_ids)}I", *token_ids)).digest()


ROOT = _link(bytes(8), (0,))
"""h_0: eight zero bytes, then token 0."""


_KEY = re.compile(r"(.+)@[0-9a-f]{8}@[0-9a-f]+@[0-9a-f]{64}(?:@[^@]*)?", re.DOTALL)


def model_of(key: str) -> str:
    """The model string that a chunk's key begins with; empty for a key of any other form, which is somebody else's."""
    found = _KEY.fullmatch(key)
    return found[1] if found else ""


class KeyScheme(Struct, frozen=True, kw_only=True):
    """How one engine's chunks are named. `model` is the exact model string that the engine's keys begin with."""

    model: str
    chunk_tokens: int
    world: int = 1
    rank: int = 0
    group: int = 0
    salt: str = ""

    def chain(self, token_ids: Sequence[int]) -> Iterator[bytes]:
        """The chain hash of each whole chunk, from the head on."""
        link = ROOT
        for start in range(0, len(token_ids) - self.chunk_tokens + 1, self.chunk_tokens):
            link = _link(link, token_ids[start : start + self.chunk_tokens])
            yield link

    def keys(self, token_ids: Sequence[int]) -> tuple[str, ...]:
        """The kv store key of each whole chunk of `token_ids`, from the head on."""
        kv_rank = self.world << 24 | self.rank << 16 | self.world << 8 | self.rank
        salt = f"@{self.salt}" if self.salt else ""
        head = f"{self.model}@{kv_rank:08x}@{self.group:x}@"
        return tuple(f"{head}{link.hex()}{salt}" for link in self.chain(token_ids))
