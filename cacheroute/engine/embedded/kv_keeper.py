"""Where a sequence's KV comes from before prefill, and where it is kept after: prefix cache first, then kv store.

Runs on the compute thread; only waiting for the store happens elsewhere. The keys are the KeyScheme's, so what
is found here is valid for exactly these tokens under exactly this fingerprint.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from cacheroute.engine.embedded.generation import Generation
from cacheroute.engine.embedded.kv_reader import KvReader
from cacheroute.engine.embedded.kv_writer import Batch, KvWriter
from cacheroute.engine.embedded.prefix_cache import PrefixCache
from cacheroute.engine.embedded.slab import KVSlab
from cacheroute.keys import KeyScheme

log = logging.getLogger(__name__)


class KvKeeper:
    """Restores and keeps KV by whole chunks. Reader and writer are None where the engine has no kv store.

    What is restored ends at a multiple of `cut_tokens` (itself one of the chunk): where a model's bits depend on
    how its prefill is cut, what follows a hit must begin where a piece of the whole prefill begins.
    """

    def __init__(
        self,
        scheme: KeyScheme,
        cut_tokens: int,
        prefix_cache: PrefixCache,
        reader: KvReader | None,
        writer: KvWriter | None,
    ) -> None:
        self.prefix_cache = prefix_cache
        self.chunk_tokens = scheme.chunk_tokens
        self._scheme = scheme
        self._cut_tokens = cut_tokens
        self._reader = reader
        self._writer = writer
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="kv-reader")

    def start(self) -> None:
        if self._writer is not None:
            self._writer.start()

    def stop(self) -> None:
        self._executor.shutdown(wait=True)
        if self._reader is not None:
            self._reader.close()
        if self._writer is not None:
            self._writer.stop()

    def restore(self, generation: Generation, slab: KVSlab, resume: Callable[[], None]) -> bool:
        """Fills `slab` with what is known of the prompt's KV. False: the store is being asked, and `resume` is
        called from another thread when it is done; until then the slab is the reader's.

        At least one token stays to be computed, for its logits.
        """
        chunk = self.chunk_tokens
        keys = self._scheme.keys(generation.ids[: self._aligned(generation.prompt_tokens - 1)])
        values = self.prefix_cache.match(keys)
        slab.load_chunks(0, chunk, values)
        generation.prefix_cache_tokens = slab.length
        missing = keys[len(values) :]
        generation.lap("prefix_cache")
        if not missing or self._reader is None:
            self._align(generation, slab)
            return True
        loading = self._executor.submit(self._reader.load, slab, missing)

        def loaded(future: Future[int]) -> None:
            if (error := future.exception()) is not None:
                log.error("the kv store reader failed; recomputing", exc_info=error)
            else:
                generation.kv_store_tokens = future.result() * chunk
                self._align(generation, slab)
            resume()

        loading.add_done_callback(loaded)
        return False

    def keep(self, generation: Generation, slab: KVSlab) -> None:
        """Keeps the chunks that have become whole since last time: in the prefix cache, and those that were computed
        here in the kv store, which gets them in its own time."""
        chunk = self.chunk_tokens
        keys = self._scheme.keys(generation.ids[: slab.length])
        restored = (generation.prefix_cache_tokens + generation.kv_store_tokens) // chunk
        fresh: list[tuple[str, memoryview]] = []
        for index in reversed(range(generation.kept_chunks, len(keys))):  # the head last: used most recently
            value = self.prefix_cache.get(keys[index])
            if value is None:
                value = slab.chunk_bytes(index, chunk)
                if index >= restored:
                    fresh.append((keys[index], value))
            self.prefix_cache.put(keys[index], value)
        generation.kept_chunks = len(keys)
        if fresh and self._writer is not None:
            self._writer.submit(Batch(fresh[::-1]))

    def store_prompt(self, generation: Generation, slab: KVSlab, done: Callable[[], None]) -> None:
        """Sees to it that the kv store has every whole chunk of the prompt, wherever it came from; then, from
        another thread, calls `done`."""
        if self._writer is None:
            generation.stored_tokens = 0
            done()
            return
        chunk = self.chunk_tokens

        def on_stored(count: int) -> None:
            generation.stored_tokens = count * chunk
            done()

        keys = self._scheme.keys(generation.ids[: generation.prompt_tokens])
        values = [self.prefix_cache.get(key) or slab.chunk_bytes(index, chunk) for index, key in enumerate(keys)]
        self._writer.submit(Batch(list(zip(keys, values, strict=True)), only_missing=True, on_stored=on_stored))

    def _aligned(self, tokens: int) -> int:
        return tokens // self._cut_tokens * self._cut_tokens

    def _align(self, generation: Generation, slab: KVSlab) -> None:
        slab.truncate(self._aligned(slab.length))
        generation.prefix_cache_tokens = min(generation.prefix_cache_tokens, slab.length)
        generation.kv_store_tokens = slab.length - generation.prefix_cache_tokens
