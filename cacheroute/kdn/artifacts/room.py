"""How many bytes of artifacts there may be, and which go for others: the longest unused that may go.

Only decides; whoever asks does it, and lets one thread at a time in.
"""

from collections import Counter

from cacheroute.errors import Unavailable
from cacheroute.kdn.artifacts.catalogue import Stored
from cacheroute.kdn.artifacts.shelf import Shelf


class Room:
    """A quota over what stands on a shelf and what is being built."""

    def __init__(self, quota_bytes: int, shelf: Shelf) -> None:
        self.quota_bytes = quota_bytes
        self._shelf = shelf
        self._in_use = Counter[str]()
        self._reserved: dict[str, int] = {}

    @property
    def excess(self) -> int:
        """Bytes beyond the quota; negative: that many are free."""
        return self._shelf.nbytes + sum(self._reserved.values()) - self.quota_bytes

    def reserve(self, name: str, nbytes: int) -> list[Stored]:
        """Room for what is built under `name`, until it is released; returns who must go for it.

        Raises Unavailable where all that may go is not enough.
        """
        excess = self.excess + nbytes
        evicted = self.evictable(excess)
        if excess > sum(stored.artifact.nbytes for stored in evicted):
            raise Unavailable(self._why_full(nbytes), code="quota_exceeded")
        self._reserved[name] = nbytes
        return evicted

    def reserved(self) -> tuple[str, ...]:
        """What is being built."""
        return tuple(self._reserved)

    def release(self, name: str) -> None:
        self._reserved.pop(name, None)

    def enter(self, artifact_id: str) -> None:
        """It may not go before as many have left as entered."""
        self._in_use[artifact_id] += 1

    def leave(self, artifact_id: str) -> None:
        self._in_use[artifact_id] -= 1
        if not self._in_use[artifact_id]:
            del self._in_use[artifact_id]

    def evictable(self, excess: int) -> list[Stored]:
        """The longest unused, pinned and in use excepted, until they have `excess` bytes or there are no more."""
        evicted: list[Stored] = []
        for stored in self._shelf.least_recently_used():
            if excess <= 0:
                break
            if not stored.artifact.pinned and stored.artifact.id not in self._in_use:
                evicted.append(stored)
                excess -= stored.artifact.nbytes
        return evicted

    def _why_full(self, nbytes: int) -> str:
        held = [stored.artifact for stored in self._shelf.all()]
        pinned = sum(artifact.nbytes for artifact in held if artifact.pinned)
        read = sum(artifact.nbytes for artifact in held if artifact.id in self._in_use)
        return (
            f"{nbytes:,} bytes more would exceed the quota of {self.quota_bytes:,}, and nothing else may go: "
            f"{pinned:,} are pinned, {read:,} being read, {sum(self._reserved.values()):,} being built; unpin some, or "
            "raise the KDN's quota_mb"
        )
