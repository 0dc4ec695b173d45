"""What one library tells another process about itself, a page at a time: values only.

Plain frozen dataclasses of str, int, bytes and tuples, so that any wire format that knows those carries them.
"""

from __future__ import annotations

from dataclasses import dataclass

from knowledge.document import Block, Passage


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far an origin's log was read. `epoch` names the log: a catalogue made anew counts from 1 again."""

    epoch: str
    seq: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A block as it stands in one document, with everything that searching it needs.

    `vectors`: float32, little endian, [len(passages), DIMENSIONS]. `registered_ms`: wall clock of the KDN that
    registered this version of the document, in ms since 1970.
    """

    block: Block
    passages: tuple[Passage, ...]
    vectors: bytes
    registered_ms: int


@dataclass(frozen=True, slots=True)
class Change:
    """The present state of one (document, kid): its entry, or None where it was deleted.

    `deleted_ms`: when its whole document was deleted, by the wall clock of the KDN that was told, in ms since 1970;
    0 where the document lives on without this kid.
    """

    seq: int
    document_id: str
    kid: str
    entry: Entry | None
    deleted_ms: int = 0


@dataclass(frozen=True, slots=True)
class Changes:
    """A page of a log: `items` are what changed after `start`, up to `next`, oldest first.

    `start` is 0 where the reader's cursor was of no use here (none, or of another epoch): then everything follows,
    and what the reader had from this origin and does not hear of again is gone. `more`: ask again from `next`.
    """

    epoch: str
    start: int
    next: int
    items: tuple[Change, ...]
    more: bool

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.epoch, self.next)
