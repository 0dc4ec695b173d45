"""What one library tells another process about itself, a page at a time: values, and what makes them believable.

Plain frozen dataclasses of str, int, bytes and tuples, so that any wire format that knows those carries them.
"""

from __future__ import annotations

from dataclasses import dataclass

from knowledge.document import Block, Passage
from knowledge.errors import BrokenPage
from knowledge.text import kid_of

_GREATEST = 2**63 - 1  # that SQLite keeps
_MOST_BLOCKS = 1_000_000


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far an origin's log was read. `epoch` names the log: a catalogue made anew counts from 1 again."""

    epoch: str
    seq: int


@dataclass(frozen=True, slots=True, order=True)
class Stamp:
    """Which version of a document: the greater is the newer, and everybody orders them alike.

    `registered_ms`: wall clock of the library that was told it first, in ms since 1970, always later than that of the
    version it replaced there. `digest` names all that the document says.
    """

    registered_ms: int
    digest: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A block as it stands in one document, with everything that searching it needs.

    `vectors`: float32, little endian, [len(passages), DIMENSIONS]. `registered_ms` and `digest` are the Stamp of its
    document's version, `n_blocks` is how many blocks that version has: with fewer it is not whole.
    """

    block: Block
    passages: tuple[Passage, ...]
    vectors: bytes
    registered_ms: int
    digest: str = ""
    n_blocks: int = 0

    @property
    def stamp(self) -> Stamp:
        return Stamp(self.registered_ms, self.digest)


@dataclass(frozen=True, slots=True)
class Change:
    """The present state of one (document, kid): its entry, or None where it was deleted.

    `deleted_ms`: when its whole document was deleted, by the wall clock of the library that was told, in ms since 1970
    (1: too long ago to be remembered); 0 where the document lives on without this kid.
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


def sound(changes: Changes) -> Changes:
    """The page itself. Raises BrokenPage where it contradicts itself: then none of it is to be believed."""
    if not 0 <= changes.start <= changes.next <= _GREATEST or (changes.more and changes.next == changes.start):
        raise BrokenPage(f"a page from {changes.start} to {changes.next} leads nowhere")
    before = changes.start
    for change in changes.items:
        if not before < change.seq <= changes.next:
            raise BrokenPage(f"change {change.seq} after {before}, on a page to {changes.next}")
        before = change.seq
        if not 0 <= change.deleted_ms <= _GREATEST or (
            change.entry is not None and not _is_sound(change, change.entry)
        ):
            raise BrokenPage(f"change {change.seq} is not of block {change.kid} of document {change.document_id}")
    return changes


def _is_sound(change: Change, entry: Entry) -> bool:
    block = entry.block
    return (
        not change.deleted_ms
        and block.document_id == change.document_id
        and block.kid == change.kid == kid_of(block.text)
        and all(passage.kid == block.kid for passage in entry.passages)
        and 0 <= entry.registered_ms <= _GREATEST
        and 0 <= entry.n_blocks <= _MOST_BLOCKS
        and max(block.ordinal, block.tokens, *(each.ordinal for each in entry.passages), 0) <= _GREATEST
    )
