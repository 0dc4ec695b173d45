"""What was asked of each KDN since its last lease, which that lease cannot know: else all would go to the one that was
the least busy until the next. Begins at 0 with every lease, so nothing can drift. Pure."""

from cacheroute.wire.control import KdnRecord


class AskedSince:
    """Requests by KDN, each counted while the record it was chosen by is the newest."""

    def __init__(self) -> None:
        self._counted: dict[str, tuple[KdnRecord, int]] = {}

    def of(self, kdn: KdnRecord) -> int:
        record, count = self._counted.get(kdn.name, (kdn, 0))
        return count if record is kdn else 0

    def add(self, kdn: KdnRecord) -> None:
        """It was chosen once more."""
        self._counted[kdn.name] = kdn, self.of(kdn) + 1
