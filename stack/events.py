"""What happens to a stack, as values: the states a service passes through, each change with its why.

PENDING -> WAIT -> STARTING -> READY -> DRAINING -> STOPPED
                       └─────────┴─> FAILED
"""

import time
from collections.abc import Callable
from enum import StrEnum

from msgspec import Struct


class State(StrEnum):
    PENDING = "PENDING"
    WAIT = "WAIT"
    STARTING = "STARTING"
    READY = "READY"
    DEGRADED = "DEGRADED"
    """Was READY, and its probe is not content now."""
    DRAINING = "DRAINING"
    STOPPED = "STOPPED"
    FAILED = "FAILED"


class Event(Struct, frozen=True):
    """One change. `seq` counts from 1 over the life of a stack; `at_ms` is since that stack's first `up`.

    `why` is foreign text: its first line is the reason, what follows are the service's last log lines.
    """

    seq: int
    at_ms: float
    service: str
    state: State
    why: str = ""


Listener = Callable[[Event], None]
Emit = Callable[[str, State, str], None]


class EventStream:
    """Numbers and stamps events and hands each to every listener at once."""

    def __init__(self, origin_s: float, last_seq: int, *listeners: Listener) -> None:
        """`origin_s` is the time.monotonic() of the stack's first `up`."""
        self._origin_s = origin_s
        self._seq = last_seq
        self._listeners = listeners

    def emit(self, service: str, state: State, why: str = "") -> None:
        self._seq += 1
        at_ms = (time.monotonic() - self._origin_s) * 1000
        event = Event(self._seq, round(at_ms, 1), service, state, why)
        for listener in self._listeners:
            listener(event)
