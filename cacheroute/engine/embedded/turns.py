"""Who is here, and whose turn it is: those whom somebody waits for first, then what is done in the background.

Background work advances while nobody else wants the engine. Where that never happens it gets a step now and then, so
that it ends some day. For one thread; knows no model, and no time but its clock's.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence

from cacheroute.engine.embedded.generation import Generation

BACKGROUND_EVERY_S = 1.0
"""After so long, background work gets a step in spite of others: 70 ms of theirs, with the default model."""
QUIET_S = 0.1
"""So long after another's last step it waits for more: whoever has an answer often asks again at once."""


class Turns:
    """Every Generation between `add` and its end: waiting for a stream, loading, prefilling or decoding.

    At most `max_streams` run for somebody, and one more in the background.
    """

    def __init__(self, max_streams: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.loading: list[Generation] = []
        self.prefilling: list[Generation] = []
        self.decoding: list[Generation] = []
        self._foreground_line = deque[Generation]()
        self._background_line = deque[Generation]()
        self._max_streams = max_streams
        self._clock = clock
        self._background_due_s = clock()
        self._foreground_step_s = -math.inf

    @property
    def waiting(self) -> int:
        return len(self._foreground_line) + len(self._background_line)

    @property
    def running(self) -> int:
        """Streams that hold a slab."""
        return len(self.loading) + len(self.prefilling) + len(self.decoding)

    @property
    def foreground(self) -> int:
        """Streams that somebody waits for."""
        return sum(not one.background for one in self._streams())

    def everybody(self) -> list[Generation]:
        return [*self._foreground_line, *self._background_line, *self._streams()]

    def add(self, generation: Generation) -> None:
        (self._background_line if generation.background else self._foreground_line).append(generation)

    def drop_cancelled(self) -> list[Generation]:
        """Those that left. One whose KV is being loaded goes when it is."""
        gone: list[Generation] = []
        for group in (self.prefilling, self.decoding, self._foreground_line, self._background_line):
            left = [one for one in group if one.cancelled]
            for one in left:
                group.remove(one)
            gone += left
        return gone

    def next_to_admit(self) -> Generation | None:
        """Takes the next one out of its line, if there is a stream for it."""
        if self._foreground_line and self.foreground < self._max_streams:
            return self._foreground_line.popleft()
        if self._background_line and self.running == self.foreground and not self._background_waits_s():
            return self._background_line.popleft()
        return None

    def next_prompt(self) -> Generation | None:
        """Whose piece is next."""
        background = [one for one in self.prefilling if one.background]
        if background and not self._background_waits_s():
            return background[0]
        foreground = [one for one in self.prefilling if not one.background]
        return next_prompt(foreground) if foreground else None

    def next_batch(self) -> list[Generation]:
        """Those that get their next token together."""
        waits = self._background_waits_s() > 0
        return [one for one in self.decoding if not (one.background and waits)]

    def stepped(self, generations: Sequence[Generation]) -> None:
        """These got their step. After one in the background, whoever comes now does not wait for another at once."""
        now_s = self._clock()
        if any(one.background for one in generations):
            self._background_due_s = now_s + BACKGROUND_EVERY_S
        if not all(one.background for one in generations):
            self._foreground_step_s = now_s

    def idle_s(self) -> float | None:
        """How long there is nothing to compute; None: until something arrives."""
        computing = (*self.prefilling, *self.decoding)
        if computing:
            only_background = all(one.background for one in computing)
        elif self.loading or not self.waiting:
            return None
        else:
            only_background = not self._foreground_line
        return self._background_waits_s() if only_background else 0.0

    def _background_waits_s(self) -> float:
        ready_s = self._background_due_s
        if not self.foreground:
            ready_s = min(ready_s, self._foreground_step_s + QUIET_S)
        return max(0.0, ready_s - self._clock())

    def _streams(self) -> list[Generation]:
        return [*self.loading, *self.prefilling, *self.decoding]


def next_prompt(prefilling: Sequence[Generation]) -> Generation:
    """Whose piece is next: the shortest remaining prompt, where being passed over counts as having become shorter.

    Shortest first makes the mean wait least; the credit bounds what a long prompt waits to its own length.
    """
    return min(prefilling, key=lambda one: one.remaining_prompt - one.passed_over_tokens)
