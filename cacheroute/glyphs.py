"""How a process's state looks, on the command line and in the console: a glyph and a colour beside its word, so
that nothing is told by colour alone.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from stack.events import State


class Look(NamedTuple):
    glyph: str
    style: str


LOOKS: Mapping[State, Look] = MappingProxyType(
    {
        State.PENDING: Look("○", "dim"),
        State.WAIT: Look("○", "dim"),
        State.STARTING: Look("◐", "yellow"),
        State.READY: Look("●", "green"),
        State.DEGRADED: Look("◍", "yellow"),
        State.DRAINING: Look("◑", "yellow"),
        State.STOPPED: Look("○", "dim"),
        State.FAILED: Look("✗", "red"),
    }
)
