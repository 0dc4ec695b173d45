"""What the console knows at one moment, as values: one view a source, each with the time it was taken. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the screen is painted before any of this is imported
    from cacheroute.wire.control import Listing
    from cacheroute.wire.decision import RequestTrace
    from stack.status import StackStatus


@dataclass(frozen=True, slots=True)
class StackView:
    """The processes, as the stack says; `why` is set, and `status` empty, where it cannot be asked."""

    taken_s: float
    status: StackStatus | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class TrafficView:
    """Pools, KDNs and the last requests (newest first), as the scheduler says."""

    taken_s: float
    peers: Listing | None
    requests: tuple[RequestTrace, ...] = ()
    why: str = ""
