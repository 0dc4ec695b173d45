"""The engine's own prefix cache: chunk values in memory by their key, least recently used out first.

A key names the whole prefix up to its chunk, so a match is a run of keys from the head. For one thread; knows
neither slabs nor stores.
"""

from collections import OrderedDict
from collections.abc import Sequence


class PrefixCache:
    """At most `budget_bytes` of chunk values; 0 keeps nothing."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._values = OrderedDict[str, memoryview]()
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._values)

    def match(self, keys: Sequence[str]) -> list[memoryview]:
        """Values of the longest run of `keys` from the first on. Does not count as use; see `touch`."""
        values: list[memoryview] = []
        for key in keys:
            value = self._values.get(key)
            if value is None:
                break
            values.append(value)
        return values

    def get(self, key: str) -> memoryview | None:
        return self._values.get(key)

    def put(self, key: str, value: memoryview) -> None:
        """Keeps a value, or marks it as just used."""
        old = self._values.pop(key, None)
        self._values[key] = value
        self.nbytes += value.nbytes - (old.nbytes if old is not None else 0)
        while self.nbytes > self._budget_bytes:
            _, evicted = self._values.popitem(last=False)
            self.nbytes -= evicted.nbytes

    def clear(self) -> None:
        self._values.clear()
        self.nbytes = 0
