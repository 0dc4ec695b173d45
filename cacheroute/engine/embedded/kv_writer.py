"""Chunks into the kv store, off the path: a thread with a bounded queue. What does not fit or fails is dropped."""

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cacheroute.engine.embedded.kv_link import KvLink
from cacheroute.engine.metrics import EngineMetrics
from cacheroute.kvstore.link import Link

ROUND_CHUNKS = 8
"""Chunks a pipelined round: other commands get their turn in between."""
MAX_PENDING_BYTES = 512 * 2**20


@dataclass(frozen=True, slots=True)
class Batch:
    """Chunks of one sequence, from the head on. `on_stored` is told how many the store holds, from any thread."""

    items: Sequence[tuple[str, memoryview]]
    only_missing: bool = False
    on_stored: Callable[[int], None] = lambda count: None

    @property
    def nbytes(self) -> int:
        return sum(value.nbytes for _, value in self.items)


class KvWriter:
    """The storing thread. `submit` never blocks."""

    def __init__(self, link: KvLink, metrics: EngineMetrics) -> None:
        self._link = link
        self._metrics = metrics
        self._queue = queue.SimpleQueue[Batch | None]()
        self._lock = threading.Lock()
        self._pending_bytes = 0
        self._thread = threading.Thread(target=self._run, name="kv-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Lets what is queued be written, within a few seconds."""
        self._queue.put(None)
        self._thread.join(timeout=5)

    def submit(self, batch: Batch) -> None:
        with self._lock:
            full = self._pending_bytes + batch.nbytes > MAX_PENDING_BYTES
            if not full:
                self._pending_bytes += batch.nbytes
        if full:
            self._metrics.kv_chunks.labels("dropped").inc(len(batch.items))
            batch.on_stored(0)
        else:
            self._queue.put(batch)

    def _run(self) -> None:
        while (batch := self._queue.get()) is not None:
            stored = self._store(batch)
            with self._lock:
                self._pending_bytes -= batch.nbytes
            batch.on_stored(stored)
        self._link.close()

    def _store(self, batch: Batch) -> int:
        """How many of the batch's chunks the store holds now."""
        items = list(batch.items)
        if batch.only_missing:
            keys = [key for key, _ in items]
            there = self._link.use(lambda link: link.sizes(keys)) or [0] * len(items)
            items = [item for item, size in zip(items, there, strict=True) if size != item[1].nbytes]
        stored = len(batch.items) - len(items)
        items.reverse()  # tail first: under LRU the head, without which nothing else is found, survives longest
        for start in range(0, len(items), ROUND_CHUNKS):
            part = items[start : start + ROUND_CHUNKS]
            if self._link.use(lambda link, part=part: _set(link, part)) is None:
                self._metrics.kv_chunks.labels("dropped").inc(len(items) - start)
                break
            self._metrics.kv_chunks.labels("stored").inc(len(part))
            stored += len(part)
        return stored


def _set(link: Link, items: Sequence[tuple[str, memoryview]]) -> bool:
    link.set(items)
    return True
