"""A connection to the kv store that may come and go: opened when it is used, left alone for a while after a failure.

A store that is down, slow or gone costs a bounded wait now and then, never an error: whoever asks gets None.
"""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from cacheroute.kvstore.link import Link, StoreError, Target

log = logging.getLogger(__name__)
T = TypeVar("T")

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 5.0


class KvLink:
    """One thread's way to the store. `purpose` names it in the log; `on_failure` counts.

    `timeout_s` is the longest wait for the store's next byte, connecting included.
    """

    def __init__(self, target: Target, timeout_s: float, purpose: str, on_failure: Callable[[], None]) -> None:
        self._target = target
        self._timeout_s = timeout_s
        self._purpose = purpose
        self._on_failure = on_failure
        self._link: Link | None = None
        self._pause_s = 0.0
        self._asleep_until_s = 0.0

    def use(self, work: Callable[[Link], T]) -> T | None:
        """What `work` returns, or None where the store cannot be asked."""
        if time.monotonic() < self._asleep_until_s:
            return None
        try:
            result = work(self._open())
        except (OSError, StoreError) as error:
            self.close()
            self._failed(error)
            return None
        if self._pause_s:
            log.info("kv store answers again (%s)", self._purpose)
            self._pause_s = 0.0
        return result

    def close(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def _open(self) -> Link:
        if self._link is not None and self._link.is_stale:
            self.close()
        if self._link is None:
            self._link = Link(self._target, self._timeout_s)
        return self._link

    def _failed(self, error: Exception) -> None:
        if not self._pause_s:  # one line an outage; the metric counts the rest
            log.warning("kv store: cannot %s, going on without: %s", self._purpose, str(error) or type(error).__name__)
        self._on_failure()
        self._pause_s = min(max(2 * self._pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        self._asleep_until_s = time.monotonic() + self._pause_s
