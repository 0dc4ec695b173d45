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
        chunk = self._scheme.chunk_tokens
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

    def keep_prompt(self, generation: Generation, slab: KVSlab) -> None:
        """Keeps the prompt's chunks, once its first token is out."""
        fresh = self._remember(generation, slab, generation.prompt_tokens)
        if self._writer is not None and fresh and not generation.awaits_store:
            self._writer.submit(Batch(fresh))

    def keep_answer(self, generation: Generation, slab: KVSlab, done: Callable[[], None]) -> None:
        """Keeps the chunks that the generated tokens completed. Calls `done` when nothing more is waited for:
        at once, or for a prefill when its prompt is in the store."""
        fresh = self._remember(generation, slab, slab.length, after=generation.prompt_tokens)
        if self._writer is None or not generation.awaits_store:
            if self._writer is not None and fresh:
                self._writer.submit(Batch(fresh))
            done()
            return
        chunk = self._scheme.chunk_tokens

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

    def _remember(self, generation: Generation, slab: KVSlab, tokens: int, after: int = 0) -> list[tuple[str, bytes]]:
        """Puts whole chunks up to `tokens` that end behind `after` in the prefix cache; returns those that were
        computed here, which the store may lack."""
        chunk = self._scheme.chunk_tokens
        restored = (generation.prefix_cache_tokens + generation.kv_store_tokens) // chunk
        keys = self._scheme.keys(generation.ids[:tokens])
        fresh: list[tuple[str, bytes]] = []
        for index in reversed(range(after // chunk, len(keys))):  # head last: it is to be the most recently used
            value = self.prefix_cache.get(keys[index])
            if value is None:
                value = slab.chunk_bytes(index, chunk)
                if index >= restored:
                    fresh.append((keys[index], value))
            self.prefix_cache.put(keys[index], value)
        fresh.reverse()
        return fresh
