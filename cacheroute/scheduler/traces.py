"""The last requests, whole: what was decided, what happened, at which hop the time went."""

import json
from collections import deque
from typing import Any, Protocol

from msgspec import structs

from cacheroute.wire.decision import HopReport, RequestTrace

TAIL_BYTES = 4096
"""How much of an answer's end is looked at for its usage."""


class Traced(Protocol):
    """A request, under way or over."""

    request_id: str

    def trace(self) -> RequestTrace:
        """What is known of it now."""
        ...


class TraceRing:
    """The newest `size` requests, from the moment they come in."""

    def __init__(self, size: int) -> None:
        self._ring: deque[Traced] = deque(maxlen=size)

    def add(self, request: Traced) -> None:
        self._ring.append(request)

    def newest(self, limit: int) -> list[RequestTrace]:
        """Newest first."""
        return [request.trace() for request in list(reversed(self._ring))[: max(limit, 0)]]

    def find(self, request_id: str) -> RequestTrace | None:
        """The newest request of this id, if it is still kept."""
        return next((request.trace() for request in reversed(self._ring) if request.request_id == request_id), None)


class AnswerTail:
    """Watches an answer go by and keeps its end, where usage stands, streamed or not."""

    def __init__(self) -> None:
        self._tail = b""

    def see(self, chunk: bytes) -> None:
        self._tail = (self._tail + chunk)[-TAIL_BYTES:]

    @property
    def is_whole_stream(self) -> bool:
        """Whether a stream went by to its end: a client that leaves then has left nothing undone."""
        return b"data: [DONE]" in self._tail

    def usage(self) -> dict[str, Any] | None:
        """The answer's usage, if it tells one."""
        text = self._tail.decode(errors="replace")
        at = text.rfind('"usage":')
        if at < 0:
            return None
        try:
            usage, _ = json.JSONDecoder().raw_decode(text[at + len('"usage":') :].lstrip())
        except json.JSONDecodeError:
            return None
        return usage if isinstance(usage, dict) else None


def flatten(hops: tuple[HopReport, ...]) -> tuple[HopReport, ...]:
    """Each hop once, in the order travelled: proxy, instance, engine."""
    flat: list[HopReport] = []
    while hops:
        flat.append(structs.replace(hops[0], below=()))
        hops = hops[0].below
    return tuple(flat)
