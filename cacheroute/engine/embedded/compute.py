"""The compute thread: everything that runs the model, several streams at once.

Each turn takes in what arrived, then one piece of one prompt, then one token for every running stream. So a long
prefill holds others up by a piece, not by itself. Others reach in through `post` only. Knows no HTTP and no store,
and leaves it to Turns who comes next.
"""

import logging
import queue
import threading
from collections.abc import Callable, Sequence

import torch

from cacheroute.engine.embedded.generation import Generation
from cacheroute.engine.embedded.kv_keeper import KvKeeper
from cacheroute.engine.embedded.model import Model
from cacheroute.engine.embedded.slab import KVSlab, SlabPool
from cacheroute.engine.embedded.turns import Turns
from cacheroute.engine.metrics import EngineMetrics
from cacheroute.errors import CacheRouteError

log = logging.getLogger(__name__)

SHARED_PIECE_TOKENS = 64
"""Prompt tokens in one go where others wait for the next, and in the background: about 70 ms of the default model."""
LONE_PIECE_TOKENS = 512
"""The same where nobody waits: a fifth faster, and whoever comes then waits half a second at most."""


class ComputeThread:
    """Owns the model, the slabs and every Generation between `submit` and its last event.

    `cut_tokens`: where a model's bits depend on how its prefill is cut, pieces end at multiples of it.
    """

    def __init__(
        self,
        model: Model,
        keeper: KvKeeper,
        metrics: EngineMetrics,
        *,
        max_streams: int,
        cut_tokens: int,
        capacity: int,
        threads: int,
    ) -> None:
        spec = model.spec
        self._model = model
        self._keeper = keeper
        self._metrics = metrics
        self._cut_tokens = cut_tokens
        self._pool = SlabPool(spec.layers, spec.kv_heads, spec.head_dim, capacity, idle_limit=max_streams)
        self._threads = threads
        self._inbox = queue.SimpleQueue[Callable[[], None]]()
        self._stopping = False
        self._turns = Turns(max_streams)
        self._thread = threading.Thread(target=self._run, name="compute", daemon=True)

    def start(self) -> None:
        self._keeper.start()
        self._thread.start()

    def stop(self) -> None:
        """Ends after the step in hand; what has not finished is told so."""
        self.post(self._stop)
        self._thread.join()
        self._keeper.stop()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def running(self) -> int:
        """Streams that hold a slab."""
        return self._turns.running

    @property
    def waiting(self) -> int:
        return self._turns.waiting

    def submit(self, generation: Generation) -> None:
        self.post(lambda: self._turns.add(generation))

    def cancel(self, generation: Generation) -> None:
        generation.cancelled = True
        self.post(lambda: None)  # wakes the thread where nothing else would

    def post(self, action: Callable[[], None]) -> None:
        """Runs `action` on the compute thread, between two steps."""
        self._inbox.put(action)

    def _run(self) -> None:
        torch.set_num_threads(self._threads)  # OpenMP keeps it by thread
        try:
            while not self._stopping:
                self._take_in()
                self._drop_cancelled()
                while (admitted := self._turns.next_to_admit()) is not None:
                    self._admit(admitted)
                if (prompt := self._turns.next_prompt()) is not None:
                    self._prefill(prompt)
                if batch := self._turns.next_batch():
                    self._decode(batch)
        finally:
            why = "it is stopping" if self._stopping else "its compute thread died"
            for generation in self._turns.everybody():
                generation.tell(CacheRouteError(f"the engine failed: {why}"))

    def _take_in(self) -> None:
        wait_s = self._turns.idle_s()
        while True:
            try:
                action = self._inbox.get(timeout=wait_s)
            except queue.Empty:
                return
            action()
            wait_s = 0.0

    def _stop(self) -> None:
        self._stopping = True

    def _drop_cancelled(self) -> None:
        for generation in self._turns.drop_cancelled():
            if (
                generation.slab is not None and generation.generated
            ):  # stopped by its reader, who may well go on from it
                self._keeper.keep(generation, generation.slab)
            self._end(generation, "cancelled")

    def _admit(self, generation: Generation) -> None:
        generation.lap("queue")
        slab = generation.slab = self._pool.acquire()
        self._turns.loading.append(generation)
        if self._keeper.restore(generation, slab, lambda: self.post(lambda: self._restored(generation))):
            self._restored(generation)

    def _restored(self, generation: Generation) -> None:
        self._turns.loading.remove(generation)
        generation.lap("kv_load")
        self._turns.prefilling.append(generation)

    def _prefill(self, generation: Generation) -> None:
        slab = _slab_of(generation)
        start = slab.length
        alone = not generation.background and self._turns.foreground == 1
        most_tokens = LONE_PIECE_TOKENS if alone else SHARED_PIECE_TOKENS
        end = self._model.spec.piece_end(start, generation.prompt_tokens, self._cut_tokens, most_tokens)
        piece = generation.ids[start:end]
        try:
            logits = self._model.prefill(slab, piece, start)
        except (RuntimeError, ValueError) as error:
            log.exception("a prefill of %d tokens at %d failed", len(piece), start)
            self._turns.prefilling.remove(generation)
            self._fail(generation, str(error))
            return
        self._metrics.steps.labels("prefill").inc()
        self._turns.stepped([generation])
        for other in self._turns.prefilling:
            if other is not generation:
                other.passed_over_tokens += len(piece)
        if slab.length < generation.prompt_tokens:
            return
        self._turns.prefilling.remove(generation)
        generation.lap("prefill")
        self._count_prompt(generation)
        self._turns.decoding.append(generation)
        self._accept(generation, generation.pick(logits))
        if generation.slab is not None:
            self._keeper.keep(generation, slab)  # after the first token is told: nobody waits for this

    def _decode(self, batch: Sequence[Generation]) -> None:
        try:
            logits = self._model.decode([_slab_of(one) for one in batch], [one.ids[-1] for one in batch])
        except (RuntimeError, ValueError) as error:
            log.exception("a decode step of %d streams failed", len(batch))
            for generation in batch:
                self._turns.decoding.remove(generation)
                self._fail(generation, str(error))
            return
        self._metrics.steps.labels("decode").inc()
        self._turns.stepped(batch)
        for generation, row in zip(batch, logits, strict=True):
            self._accept(generation, generation.pick(row))

    def _accept(self, generation: Generation, token: int) -> None:
        delta = generation.accept(token)
        self._metrics.generated_tokens.inc()
        if delta.finish is None:
            if delta.text or generation.generated == 1:
                generation.tell(delta)
            return
        self._turns.decoding.remove(generation)
        slab = _slab_of(generation)
        if not generation.awaits_store:
            generation.tell(delta)
        if not generation.awaits_store:
            self._finish_chunk(generation, slab)
        if not (generation.awaits_store and generation.background):  # the prefix cache is live traffic's
            self._keeper.keep(generation, slab)
        if generation.awaits_store:
            self._keeper.store_prompt(generation, slab, lambda: generation.tell(delta))
        self._end(generation, delta.finish)

    def _finish_chunk(self, generation: Generation, slab: KVSlab) -> None:
        """Computes the KV of an answer's last token where a chunk waits for it: a step here saves the conversation's
        next turn a whole chunk. Its logits nobody needs, and the client has been told."""
        if len(generation.ids) % self._keeper.chunk_tokens or slab.length + 1 != len(generation.ids):
            return
        try:
            self._model.decode([slab], generation.ids[-1:])
        except (RuntimeError, ValueError):
            log.exception("an answer's last token could not be computed; its chunk is not kept")

    def _fail(self, generation: Generation, why: str) -> None:
        generation.tell(CacheRouteError(f"the engine failed: {why}"))
        self._end(generation, "failed")

    def _end(self, generation: Generation, how: str) -> None:
        if generation.slab is not None:
            self._pool.release(generation.slab)
            generation.slab = None
        self._metrics.requests.labels(how).inc()

    def _count_prompt(self, generation: Generation) -> None:
        usage = generation.usage
        computed = usage.prompt_tokens - usage.prefix_cache_tokens - usage.kv_store_tokens
        self._metrics.prompt_tokens.labels("prefix_cache").inc(usage.prefix_cache_tokens)
        self._metrics.prompt_tokens.labels("kv_store").inc(usage.kv_store_tokens)
        self._metrics.prompt_tokens.labels("computed").inc(computed)


def _slab_of(generation: Generation) -> KVSlab:
    assert generation.slab is not None, "only a generation that holds a slab is computed"
    return generation.slab
