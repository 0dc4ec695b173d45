"""How far a registration of many documents is: what was read, what the KDN said of it, and how long the rest takes.

Pure but for its clock. Knows no file and no KDN.
"""

import time
from collections import Counter
from collections.abc import Callable

from cacheroute.wire.documents import AddedDocument


class Tally:
    """Counts and sums of one run over `files` files."""

    def __init__(self, files: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.files = files
        self.read = 0
        """Files that were read and parsed, or failed at it."""
        self.found = 0
        """Documents in them."""
        self.in_flight = 0
        self.added: list[AddedDocument] = []
        self.failures: list[str] = []
        self.refused = 0
        """Of the failures, documents that the KDN did not take."""
        self.waiting = ""
        """Why the KDN takes nothing at the moment."""
        self.parts_ms: dict[str, float] = {}
        """By stage, summed over documents."""
        self._clock = clock
        self._began_s = clock()
        self.last_in_s = self._began_s

    def registered(self, document: AddedDocument) -> None:
        self.added.append(document)
        self.last_in_s = self._clock()
        self.waiting = ""
        for part, ms in document.parts_ms.items():
            self._spent(part, ms)

    def failed(self, lines: list[str], *, refused: bool = False) -> None:
        self.failures += lines
        self.refused += refused

    def parsed(self, documents: int, ms: float) -> None:
        self.read += 1
        self.found += documents
        self._spent("read", ms)

    def _spent(self, part: str, ms: float) -> None:
        self.parts_ms[part] = self.parts_ms.get(part, 0.0) + ms

    @property
    def statuses(self) -> dict[str, int]:
        counts = Counter(document.status for document in self.added)
        return {status: counts[status] for status in ("added", "replaced", "unchanged")}

    @property
    def blocks(self) -> int:
        return sum(len(document.kids) for document in self.added)

    @property
    def took_s(self) -> float:
        return self._clock() - self._began_s

    @property
    def per_s(self) -> float:
        return len(self.added) / self.took_s if self.took_s > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds until all is in, at the rate so far; None as long as there is none."""
        done = len(self.added) + self.refused
        if not self.read or not done:
            return None
        expected = self.found / self.read * self.files
        return max(0.0, expected - done) / (done / self.took_s)
