"""A collection deleted document by document, and what its KDN proved of that."""

import time
from collections import Counter

from msgspec import Struct

from cacheroute.kdn_client import Kdn


class Removal(Struct, frozen=True, kw_only=True):
    """`looked_at`: proofs by place; `left`: what was still found there, all together; `documents_left`: that the KDN
    still lists."""

    documents: int
    artifacts: int
    took_s: float
    looked_at: dict[str, int]
    left: int
    pending: tuple[str, ...]
    documents_left: int


async def remove_all(kdn: Kdn, collection: str) -> Removal:
    """Raises CacheRouteError."""
    began_s = time.monotonic()
    documents = await kdn.documents(collection=collection)
    gone = [await kdn.forget(document.source, collection) for document in documents]
    took_s = time.monotonic() - began_s
    proofs = [proof for each in gone for proof in each.proof]
    return Removal(
        documents=len(gone),
        artifacts=len({artifact for each in gone for artifact in each.artifacts}),
        took_s=round(took_s, 1),
        looked_at=dict(Counter(proof.place for proof in proofs)),
        left=sum(proof.left for proof in proofs),
        pending=tuple(dict.fromkeys(place for each in gone for place in each.pending)),
        documents_left=len(await kdn.documents(collection=collection)),
    )
