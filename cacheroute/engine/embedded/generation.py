"""One request between its two sides: what the compute thread advances, and what is told of it to whoever waits.

Knows tokens, text and when to stop; no model, no HTTP.
"""

import time
from collections.abc import Callable, Set

import torch

from cacheroute.engine.embedded.detokenise import Detokeniser, StopStrings
from cacheroute.engine.embedded.slab import KVSlab
from cacheroute.engine.openai.answer import Delta, Usage
from cacheroute.errors import CacheRouteError

Event = Delta | CacheRouteError
Pick = Callable[[torch.Tensor], int]
"""Chooses the next token from its logits, float32 `[vocab]`."""


class Generation:
    """Prompt in, tokens out. Only the compute thread touches it, `cancelled` and what is read at the end aside."""

    def __init__(
        self,
        prompt: list[int],
        *,
        max_tokens: int,
        eos_ids: Set[int],
        pick: Pick,
        detokeniser: Detokeniser,
        stops: StopStrings,
        awaits_store: bool,
        background: bool,
        notify: Callable[[Event], None],
    ) -> None:
        self.ids = prompt
        self.prompt_tokens = len(prompt)
        self.pick = pick
        self.awaits_store = awaits_store
        self.background = background
        """Nobody waits for it: it advances while nobody else is here."""
        self.cancelled = False
        self.slab: KVSlab | None = None
        self.passed_over_tokens = 0
        """Prompt tokens of others that were computed while this one could have been."""
        self.prefix_cache_tokens = 0
        self.kv_store_tokens = 0
        self.kept_chunks = 0
        self.stored_tokens: int | None = None
        self.parts_ms: dict[str, float] = {}
        self._max_tokens = max_tokens
        self._eos_ids = eos_ids
        self._detokeniser = detokeniser
        self._stops = stops
        self._notify = notify
        self._submitted_s = time.perf_counter()
        self._lap_s = self._submitted_s

    @property
    def generated(self) -> int:
        return len(self.ids) - self.prompt_tokens

    @property
    def remaining_prompt(self) -> int:
        """Prompt tokens without KV yet."""
        return self.prompt_tokens - (self.slab.length if self.slab is not None else 0)

    @property
    def usage(self) -> Usage:
        return Usage(
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.generated,
            prefix_cache_tokens=self.prefix_cache_tokens,
            kv_store_tokens=self.kv_store_tokens,
            stored_tokens=self.stored_tokens,
        )

    def lap(self, part: str) -> None:
        """Time since the last lap belongs to `part`."""
        now_s = time.perf_counter()
        self.parts_ms[part] = round(self.parts_ms.get(part, 0.0) + (now_s - self._lap_s) * 1000, 3)
        self._lap_s = now_s

    def accept(self, token: int) -> Delta:
        """Takes the next token; what it adds, and whether it was the last."""
        self.ids.append(token)
        if token in self._eos_ids:
            return Delta(self._stops.flush(), "stop")
        text = self._stops.push(self._detokeniser.push(token))
        if self._stops.stopped:
            return Delta(text, "stop")
        if self.generated >= self._max_tokens:
            return Delta(text + self._stops.flush(), "length")
        return Delta(text)

    def tell(self, event: Event) -> None:
        self._notify(event)
