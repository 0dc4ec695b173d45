"""Chunks from the kv store into a slab, before prefill. A chunk that is missing, late or wrong is recomputed."""

import logging
import time
from collections.abc import Sequence

from cacheroute.engine.embedded.kv_link import KvLink
from cacheroute.engine.embedded.slab import KVSlab
from cacheroute.engine.metrics import EngineMetrics
from cacheroute.kvstore.link import Link

log = logging.getLogger(__name__)

ANSWER_S = 0.25
SLOWEST_BYTES_PER_S = 100e6
"""A store slower than this loses against recomputing."""


class KvReader:
    """Loads runs of chunks. Blocking, for one thread."""

    def __init__(self, link: KvLink, chunk_tokens: int, chunk_nbytes: int, metrics: EngineMetrics) -> None:
        self._link = link
        self._chunk_tokens = chunk_tokens
        self._buffer = memoryview(bytearray(chunk_nbytes))
        self._metrics = metrics

    def load(self, slab: KVSlab, keys: Sequence[str]) -> int:
        """Puts the chunks behind what `slab` holds, up to the first that is not there; returns how many."""
        first = slab.length // self._chunk_tokens
        self._link.use(lambda link: self._load(link, slab, keys, first))
        loaded = slab.length // self._chunk_tokens - first  # counts also where the store died in between
        self._metrics.kv_chunks.labels("loaded").inc(loaded)
        return loaded

    def close(self) -> None:
        self._link.close()

    def _load(self, link: Link, slab: KVSlab, keys: Sequence[str], first: int) -> None:
        there = self._run_there(link, keys)
        if not there:
            return
        deadline_s = time.monotonic() + ANSWER_S + there * len(self._buffer) / SLOWEST_BYTES_PER_S
        for offset, value in enumerate(link.mget_into(keys[:there], self._buffer, deadline_s)):
            if value is not None and slab.length == (first + offset) * self._chunk_tokens:
                slab.load_chunk(first + offset, self._chunk_tokens, value)

    def _run_there(self, link: Link, keys: Sequence[str]) -> int:
        """How many of the keys, from the first on, are there with the right size. Asked first, so that nothing is
        moved which could not be used; wrong values are deleted."""
        sizes = link.sizes(keys)
        wrong = [key for key, size in zip(keys, sizes, strict=True) if size not in (0, len(self._buffer))]
        if wrong:
            log.warning("%d kv store values have a wrong size; deleted, first %s", len(wrong), wrong[0])
            self._metrics.kv_chunks.labels("wrong_size").inc(len(wrong))
            link.delete(wrong)
        run = 0
        while run < len(sizes) and sizes[run] == len(self._buffer):
            run += 1
        return run
