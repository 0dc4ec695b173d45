"""Whole versions of documents, put together from the pages of a log that has them block by block.

A version is handed on when its last block has come, never before: half a document is none. Knows no library and no
network: who takes a version compares it with what he has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from knowledge.catalogue.changes import Change, Entry, Stamp
from knowledge.catalogue.shelf import vectors_of
from knowledge.document import Document, Draft
from knowledge.embedding import Vectors
from knowledge.errors import BrokenPage

MAX_UNFINISHED = 16
"""Versions that may be incomplete at a time. A log has a document's blocks in one run, so a sound one needs one or two:
a document that changes while its blocks are read comes again, whole, at the end."""


@dataclass(frozen=True, slots=True)
class Version:
    """A document as a library has it: `entries` in order of their blocks."""

    document_id: str
    stamp: Stamp
    entries: tuple[Entry, ...]

    @property
    def draft(self) -> Draft:
        """The document cut as it was cut there. Its text is that of its blocks."""
        first = self.entries[0].block
        blocks = tuple(entry.block for entry in self.entries)
        text = "\n\n".join(block.text for block in blocks)
        document = Document(first.source, first.title, text, first.version, first.collection, first.tags)
        return Draft(document, blocks, tuple(passage for entry in self.entries for passage in entry.passages))

    @property
    def vectors(self) -> Vectors:
        """One row a passage of the draft. Raises EmbeddingError for torn ones."""
        return np.concatenate([vectors_of(entry.vectors) for entry in self.entries])


@dataclass(frozen=True, slots=True)
class Deleted:
    """A document that is gone: `kids` are those that this page names, `deleted_ms` as in a Change."""

    document_id: str
    kids: tuple[str, ...]
    deleted_ms: int


class Assembly:
    """Takes one log's changes in order. Raises BrokenPage where too much of them does not fit together."""

    def __init__(self) -> None:
        self._unfinished: dict[str, tuple[Stamp, dict[str, Entry]]] = {}

    @property
    def is_idle(self) -> bool:
        """Whether everything that began has come to its end: then one may stop here, and go on from here later."""
        return not self._unfinished

    def feed(self, changes: tuple[Change, ...]) -> Iterator[Version | Deleted]:
        """What these changes complete, in the order of the log."""
        gone: dict[str, tuple[int, list[str]]] = {}
        for change in changes:
            if change.deleted_ms:
                self._unfinished.pop(change.document_id, None)
                gone.setdefault(change.document_id, (change.deleted_ms, []))[1].append(change.kid)
            elif change.entry is not None and (version := self._grown(change.document_id, change.entry)):
                yield version
        for document_id, (deleted_ms, kids) in gone.items():
            yield Deleted(document_id, tuple(kids), deleted_ms)

    def _grown(self, document_id: str, entry: Entry) -> Version | None:
        stamp, entries = self._unfinished.get(document_id, (entry.stamp, dict[str, Entry]()))
        if entry.stamp != stamp:  # it changed while it was read: this one is what it is now
            stamp, entries = entry.stamp, dict[str, Entry]()
        entries[entry.block.kid] = entry
        if len(entries) < entry.n_blocks:
            self._unfinished[document_id] = stamp, entries
            if len(self._unfinished) > MAX_UNFINISHED:
                raise BrokenPage(f"{len(self._unfinished)} documents are begun and not finished")
            return None
        self._unfinished.pop(document_id, None)
        return Version(document_id, stamp, tuple(sorted(entries.values(), key=lambda each: each.block.ordinal)))
